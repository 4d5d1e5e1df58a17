// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/transport/provisioning_handler.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include "migrations/provisioning_storage.h"
#include "services/common/access/remote_access.h"
#include "services/common/crypto/certificate.h"
#include "services/common/grpc/client_call.h"
#include "services/common/server/service_server.h"
#include "services/common/sql/database.h"
#include "services/common/status/error_reason.h"
#include "services/provisioning/storage/file.h"
#include "services/provisioning/storage/openssl_secret_source.h"
#include "services/provisioning/storage/pki_folder.h"
#include "services/provisioning/storage/sql_provisioning_store.h"
#include "services/provisioning/transport/inventory_poller.h"
#include "tests/services/common/certificate_request.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::provisioning {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::RequestKey;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;
using Stub = v1::ProvisioningService::Stub;

// TLS checks certificates against the system's clock, so the service gets it too.
const SystemClock& RealClock() {
  static const SystemClock clock;
  return clock;
}

// Everything that main() builds, over one folder, until destroyed.
class RunningService {
 public:
  explicit RunningService(const std::string& folder)
      : pki(*PkiFolder::Open(folder + "/pki", {}, RealClock().Now())),
        database(*Database::Open({.connection = "sqlite3://" + folder + "/p.db"}, Migrations())),
        server("provisioning", Options()) {
    admin_secret = *pki.AdminToken([&] { return api_tokens.NewSecret(); });
    EXPECT_THAT(api_tokens.EnsureAdministrator(admin_secret), IsOk());
    server.Register(handler);
    EXPECT_THAT(server.Start(), IsOk());
  }
  ~RunningService() { changes.Stop(); }

  TlsFiles Tls(const std::string& service) const {
    return {.ca = pki.services_ca(),
            .cert = pki.service_certificate(service),
            .key = pki.service_key(service)};
  }
  ServiceOptions Options() const {
    ServiceOptions options;
    options.tls = Tls("provisioning");
    return options;
  }
  std::unique_ptr<Stub> AsPerson(const std::string& token) {
    return v1::ProvisioningService::NewStub(*OpenChannel(
        server.address(), {.ca = pki.services_ca(), .cert = "", .key = ""}, "provisioning", token));
  }
  std::shared_ptr<grpc::Channel> ServiceChannel() {
    return *OpenChannel(server.address(), Tls("distribution"), "provisioning");
  }
  std::unique_ptr<Stub> AsService() { return v1::ProvisioningService::NewStub(ServiceChannel()); }

  PkiFolder pki;
  std::unique_ptr<Database> database;
  SqlProvisioningStore store{*database};
  OpensslSecretSource secrets;
  AccessControl api_tokens{store, secrets, RealClock()};
  std::string admin_secret;
  ServiceServer server;
  ProvisioningMetrics metrics{server.registry()};
  CountedAccess access{api_tokens, metrics};
  ChangeSignal changes;
  ProjectRegistry projects{store, RealClock()};
  DeviceRegistry devices{store, changes};
  Enrollment enrollment{store,   secrets,     pki.device_authority(),
                        changes, RealClock(), absl::Hours(24 * 30)};
  ProvisioningHandler handler{{.access = access,
                               .projects = projects,
                               .enrollment = enrollment,
                               .devices = devices,
                               .api_tokens = api_tokens,
                               .changes = changes,
                               .metrics = metrics,
                               .clock = RealClock()}};
};

class ProvisioningHandlerTest : public ::testing::Test {
 protected:
  ProvisioningHandlerTest() { Start(); }

  void Start() {
    service_ = std::make_unique<RunningService>(folder_.path());
    admin_ = service_->AsPerson(service_->admin_secret);
    distribution_ = service_->AsService();
  }
  void Stop() {
    admin_.reset();
    distribution_.reset();
    service_.reset();
  }

  absl::Status CreateProject(const std::string& id) {
    v1::CreateProjectRequest request;
    request.mutable_project()->set_name("projects/" + id);
    return CallUnary(*admin_, &Stub::CreateProject, request).status();
  }
  v1::CreateEnrollmentTokenResponse CreateToken(const v1::EnrollmentToken& token = {}) {
    v1::CreateEnrollmentTokenRequest request;
    request.set_parent("projects/motor");
    *request.mutable_enrollment_token() = token;
    auto response = CallUnary(*admin_, &Stub::CreateEnrollmentToken, request);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? *response : v1::CreateEnrollmentTokenResponse();
  }
  absl::StatusOr<v1::EnrollDeviceResponse> Enroll(Stub& stub, const std::string& secret,
                                                  const std::string& csr,
                                                  const std::string& hardware_id = "hw-1") {
    v1::EnrollDeviceRequest request;
    request.set_parent("projects/motor");
    request.set_token(secret);
    request.set_csr(csr);
    request.set_hardware_id(hardware_id);
    return CallUnary(stub, &Stub::EnrollDevice, request);
  }
  // The name of a new device.
  std::string Join(const RequestKey& key) {
    const auto enrolled = Enroll(*distribution_, CreateToken().secret(), key.Request("x"));
    EXPECT_THAT(enrolled, IsOk());
    return enrolled.ok() ? enrolled->device().name() : "";
  }
  absl::StatusOr<v1::RevokeDeviceResponse> Revoke(Stub& stub, const std::string& name) {
    v1::RevokeDeviceRequest request;
    request.set_name(name);
    request.set_reason("stolen");
    return CallUnary(stub, &Stub::RevokeDevice, request);
  }
  v1::CreateApiTokenResponse CreateApiToken(v1::Role role, const std::string& project = "") {
    v1::CreateApiTokenRequest request;
    request.mutable_api_token()->set_role(role);
    request.mutable_api_token()->set_project(project);
    auto response = CallUnary(*admin_, &Stub::CreateApiToken, request);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? *response : v1::CreateApiTokenResponse();
  }
  absl::StatusOr<v1::CheckAccessResponse> CheckAccess(Stub& stub, const std::string& token,
                                                      const std::string& project, v1::Role role) {
    v1::CheckAccessRequest request;
    request.set_token(token);
    request.set_project(project);
    request.set_role(role);
    return CallUnary(stub, &Stub::CheckAccess, request);
  }
  std::string Metrics() {
    return prometheus::TextSerializer().Serialize(service_->server.registry().Collect());
  }

  const TemporaryFolder folder_;
  std::unique_ptr<RunningService> service_;
  std::unique_ptr<Stub> admin_;
  std::unique_ptr<Stub> distribution_;
};

TEST_F(ProvisioningHandlerTest, ProjectsAreCreatedReturnedAndListed) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  ASSERT_THAT(CreateProject("pump"), IsOk());
  EXPECT_THAT(CreateProject("pump"), StatusIs(absl::StatusCode::kAlreadyExists));
  v1::GetProjectRequest get;
  get.set_name("projects/motor");
  const auto project = CallUnary(*admin_, &Stub::GetProject, get);
  ASSERT_THAT(project, IsOk());
  EXPECT_EQ(project->project().name(), "projects/motor");
  EXPECT_GT(project->project().create_time().seconds(), 0);
  v1::ListProjectsRequest list;
  list.set_page_size(1);
  const auto first = CallUnary(*admin_, &Stub::ListProjects, list);
  ASSERT_THAT(first, IsOk());
  list.set_page_token(first->next_page_token());
  const auto second = CallUnary(*admin_, &Stub::ListProjects, list);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->projects(0).name(), "projects/pump");
  EXPECT_EQ(second->next_page_token(), "");
}

TEST_F(ProvisioningHandlerTest, ADeviceJoinsWithACertificateOfTheDeviceCaWhateverItsCsrSays) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  v1::EnrollmentToken token;
  token.set_device_id("press-7");
  token.set_hardware_id("hw-1");
  (*token.mutable_attributes())["site"] = "north";
  const RequestKey key = RequestKey::P256();
  const auto enrolled =
      Enroll(*distribution_, CreateToken(token).secret(), key.Request("motor/somebody-else"));
  ASSERT_THAT(enrolled, IsOk());
  EXPECT_EQ(enrolled->device().name(), "projects/motor/devices/press-7");
  EXPECT_EQ(enrolled->device().state(), v1::Device::STATE_ACTIVE);
  EXPECT_EQ(enrolled->device().attributes().at("site"), "north");
  EXPECT_EQ(*CertificateCommonName(enrolled->certificate()), "motor/press-7");
  EXPECT_EQ(absl::ToUnixSeconds(*CertificateNotAfter(enrolled->certificate())),
            enrolled->device().certificate_expire_time().seconds());
  const CertificateAuthority ca =
      *CertificateAuthority::FromPem(*ReadSmallFile(folder_ / "pki/devices-ca.crt"),
                                     *ReadSmallFile(folder_ / "pki/devices-ca.key"));
  EXPECT_TRUE(ca.HasIssued(enrolled->certificate()));
  EXPECT_EQ(enrolled->issuer(), ca.CertificateDer());

  v1::ListEnrollmentTokensRequest list;
  list.set_parent("projects/motor");
  const auto tokens = CallUnary(*admin_, &Stub::ListEnrollmentTokens, list);
  ASSERT_THAT(tokens, IsOk());
  EXPECT_EQ(tokens->enrollment_tokens(0).state(), v1::EnrollmentToken::STATE_USED);
  EXPECT_EQ(tokens->enrollment_tokens(0).device(), "projects/motor/devices/press-7");
}

TEST_F(ProvisioningHandlerTest, ARequestThatIsWeakForgedOrGarbageIsRefusedAndTheTokenKept) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const std::string secret = CreateToken().secret();
  const RequestKey key = RequestKey::P256();
  const RequestKey other = RequestKey::P256();
  const std::string good = key.Request("x");
  std::string changed = good;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  for (const std::string& bad :
       {RequestKey::P384().Request("x"), RequestKey::Secp256k1().Request("x"),
        RequestKey::Rsa().Request("x"), key.Request("x", &other), changed, good + "tail",
        good.substr(0, good.size() / 2), std::string("garbage"), std::string(),
        std::string(512, '\0')}) {
    const auto enrolled = Enroll(*distribution_, secret, bad);
    EXPECT_THAT(enrolled, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(std::string(enrolled.status().message()), ::testing::StartsWith("csr: "));
  }
  EXPECT_THAT(Enroll(*distribution_, secret, good), IsOk());
}

TEST_F(ProvisioningHandlerTest, ReasonsOfRefusedTokensReachTheCaller) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const RequestKey key = RequestKey::P256();
  const auto reason = [&](const std::string& secret, const std::string& hardware_id) {
    const absl::Status status =
        Enroll(*distribution_, secret, key.Request("x"), hardware_id).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied));
    return ReasonOf(status);
  };
  EXPECT_EQ(reason("guess", "hw-1"), "TOKEN_UNKNOWN");
  v1::EnrollmentToken bound;
  bound.set_hardware_id("hw-1");
  EXPECT_EQ(reason(CreateToken(bound).secret(), "hw-2"), "HARDWARE_MISMATCH");
  const auto revoked = CreateToken();
  v1::RevokeEnrollmentTokenRequest revoke;
  revoke.set_name(revoked.enrollment_token().name());
  const auto response = CallUnary(*admin_, &Stub::RevokeEnrollmentToken, revoke);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->enrollment_token().state(), v1::EnrollmentToken::STATE_REVOKED);
  EXPECT_EQ(reason(revoked.secret(), "hw-1"), "TOKEN_REVOKED");
  const std::string used = CreateToken().secret();
  ASSERT_THAT(Enroll(*distribution_, used, RequestKey::P256().Request("x")), IsOk());
  EXPECT_EQ(reason(used, "hw-1"), "TOKEN_USED");
}

TEST_F(ProvisioningHandlerTest, ADeviceIsRenewedUntilItIsRevoked) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const std::string name = Join(RequestKey::P256());
  v1::RenewDeviceCertificateRequest renew;
  renew.set_name(name);
  renew.set_csr(RequestKey::P256().Request("x"));
  const auto renewed = CallUnary(*distribution_, &Stub::RenewDeviceCertificate, renew);
  ASSERT_THAT(renewed, IsOk());
  EXPECT_EQ("projects/" + *CertificateCommonName(renewed->certificate()),
            "projects/motor/" + name.substr(name.rfind('/') + 1));
  const auto revoked = Revoke(*admin_, name);
  ASSERT_THAT(revoked, IsOk());
  EXPECT_EQ(revoked->device().state(), v1::Device::STATE_REVOKED);
  EXPECT_EQ(revoked->device().revoke_reason(), "stolen");
  const absl::Status status =
      CallUnary(*distribution_, &Stub::RenewDeviceCertificate, renew).status();
  EXPECT_EQ(ReasonOf(status), "DEVICE_REVOKED");
}

TEST_F(ProvisioningHandlerTest, AttributesAreReplacedAndDevicesListed) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const std::string name = Join(RequestKey::P256());
  v1::UpdateDeviceRequest update;
  update.mutable_device()->set_name(name);
  (*update.mutable_device()->mutable_attributes())["site"] = "south";
  ASSERT_THAT(CallUnary(*admin_, &Stub::UpdateDevice, update), IsOk());
  v1::GetDeviceRequest get;
  get.set_name(name);
  const auto device = CallUnary(*admin_, &Stub::GetDevice, get);
  ASSERT_THAT(device, IsOk());
  EXPECT_EQ(device->device().attributes().at("site"), "south");
  v1::ListDevicesRequest list;
  list.set_parent("projects/motor");
  const auto listed = CallUnary(*admin_, &Stub::ListDevices, list);
  ASSERT_THAT(listed, IsOk());
  EXPECT_EQ(listed->devices_size(), 1);
  EXPECT_EQ(listed->devices(0).name(), name);
}

TEST_F(ProvisioningHandlerTest, AWatchTellsOldChangesAndThenNewOnesAndEndsAtAStop) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const std::string first = Join(RequestKey::P256());
  const std::string second = Join(RequestKey::P256());
  grpc::ClientContext context;
  v1::WatchDevicesRequest request;
  request.set_after_revision(1);
  const auto reader = distribution_->WatchDevices(&context, request);
  v1::WatchDevicesResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.device().name(), second);
  ASSERT_THAT(Revoke(*admin_, first), IsOk());
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.device().name(), first);
  EXPECT_EQ(response.device().state(), v1::Device::STATE_REVOKED);
  EXPECT_EQ(response.device().revision(), 3);
  service_->changes.Stop();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ProvisioningHandlerTest, ServiceMethodsRefusePeopleEvenTheAdministrator) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  EXPECT_THAT(Enroll(*admin_, CreateToken().secret(), RequestKey::P256().Request("x")),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(CallUnary(*admin_, &Stub::RenewDeviceCertificate, {}),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(CheckAccess(*admin_, service_->admin_secret, "", v1::ROLE_VIEWER),
              StatusIs(absl::StatusCode::kPermissionDenied));
  grpc::ClientContext context;
  // A stream that is not refused would never end.
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
  v1::WatchDevicesResponse response;
  const auto reader = admin_->WatchDevices(&context, {});
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ProvisioningHandlerTest, EveryMethodForPeopleRefusesACallWithoutACredential) {
  const std::unique_ptr<Stub> nobody = service_->AsPerson("");
  const auto expect_refused = [](const auto& response) {
    EXPECT_THAT(response, StatusIs(absl::StatusCode::kUnauthenticated));
  };
  v1::GetProjectRequest project;
  project.set_name("projects/motor");
  v1::CreateEnrollmentTokenRequest token;
  token.set_parent("projects/motor");
  v1::ListEnrollmentTokensRequest tokens;
  tokens.set_parent("projects/motor");
  v1::RevokeEnrollmentTokenRequest revoke_token;
  revoke_token.set_name("projects/motor/enrollmentTokens/x");
  v1::GetDeviceRequest device;
  device.set_name("projects/motor/devices/x");
  v1::ListDevicesRequest devices;
  devices.set_parent("projects/motor");
  v1::UpdateDeviceRequest update;
  update.mutable_device()->set_name("projects/motor/devices/x");
  v1::RevokeDeviceRequest revoke;
  revoke.set_name("projects/motor/devices/x");
  expect_refused(CallUnary(*nobody, &Stub::CreateProject, {}));
  expect_refused(CallUnary(*nobody, &Stub::GetProject, project));
  expect_refused(CallUnary(*nobody, &Stub::ListProjects, {}));
  expect_refused(CallUnary(*nobody, &Stub::CreateEnrollmentToken, token));
  expect_refused(CallUnary(*nobody, &Stub::ListEnrollmentTokens, tokens));
  expect_refused(CallUnary(*nobody, &Stub::RevokeEnrollmentToken, revoke_token));
  expect_refused(CallUnary(*nobody, &Stub::GetDevice, device));
  expect_refused(CallUnary(*nobody, &Stub::ListDevices, devices));
  expect_refused(CallUnary(*nobody, &Stub::UpdateDevice, update));
  expect_refused(CallUnary(*nobody, &Stub::RevokeDevice, revoke));
  expect_refused(CallUnary(*nobody, &Stub::CreateApiToken, {}));
  expect_refused(CallUnary(*nobody, &Stub::ListApiTokens, {}));
  expect_refused(CallUnary(*nobody, &Stub::RevokeApiToken, {}));
}

TEST_F(ProvisioningHandlerTest, RolesOpenReadsChangesAndTokensInThisOrder) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const std::string name = Join(RequestKey::P256());
  v1::GetDeviceRequest get;
  get.set_name(name);
  v1::CreateEnrollmentTokenRequest token;
  token.set_parent("projects/motor");
  struct Row {
    v1::Role role;
    bool reads, changes, makes_tokens;
  };
  for (const Row& row :
       {Row{v1::ROLE_INGEST, false, false, false}, Row{v1::ROLE_VIEWER, true, false, false},
        Row{v1::ROLE_OPERATOR, true, true, false}, Row{v1::ROLE_ADMIN, true, true, true}}) {
    const std::unique_ptr<Stub> person =
        service_->AsPerson(CreateApiToken(row.role, "projects/motor").secret());
    EXPECT_EQ(CallUnary(*person, &Stub::GetDevice, get).ok(), row.reads) << row.role;
    EXPECT_EQ(Revoke(*person, name).ok(), row.changes) << row.role;
    EXPECT_EQ(CallUnary(*person, &Stub::CreateEnrollmentToken, token).ok(), row.makes_tokens)
        << row.role;
    // One project's administrator cannot make itself that of all.
    v1::CreateApiTokenRequest api_token;
    api_token.mutable_api_token()->set_role(v1::ROLE_ADMIN);
    EXPECT_THAT(CallUnary(*person, &Stub::CreateApiToken, api_token),
                StatusIs(absl::StatusCode::kPermissionDenied));
  }
}

TEST_F(ProvisioningHandlerTest, CheckAccessAnswersTheOtherServices) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const auto made = CreateApiToken(v1::ROLE_OPERATOR, "projects/motor");
  const auto yes = CheckAccess(*distribution_, made.secret(), "projects/motor", v1::ROLE_OPERATOR);
  ASSERT_THAT(yes, IsOk());
  EXPECT_EQ(yes->principal(), made.api_token().name());
  EXPECT_EQ(yes->project(), "projects/motor");
  EXPECT_THAT(CheckAccess(*distribution_, made.secret(), "projects/motor", v1::ROLE_ADMIN),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(CheckAccess(*distribution_, made.secret(), "projects/motor", v1::ROLE_UNSPECIFIED),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckAccess(*distribution_, "guess", "projects/motor", v1::ROLE_VIEWER),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(CheckAccess(*distribution_, "", "projects/motor", v1::ROLE_UNSPECIFIED), IsOk());
  EXPECT_THAT(CheckAccess(*distribution_, "", "projects/none", v1::ROLE_UNSPECIFIED),
              StatusIs(absl::StatusCode::kNotFound));

  v1::RevokeApiTokenRequest revoke;
  revoke.set_name(made.api_token().name());
  const auto revoked = CallUnary(*admin_, &Stub::RevokeApiToken, revoke);
  ASSERT_THAT(revoked, IsOk());
  EXPECT_TRUE(revoked->api_token().revoked());
  EXPECT_THAT(CheckAccess(*distribution_, made.secret(), "projects/motor", v1::ROLE_VIEWER),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(ProvisioningHandlerTest, RemoteAccessAgreesWithThisService) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const std::string viewer = CreateApiToken(v1::ROLE_VIEWER).secret();
  const std::unique_ptr<Access> remote = MakeRemoteAccess(service_->ServiceChannel(), RealClock());
  const Caller person = {.token = viewer, .service = ""};
  EXPECT_THAT(remote->Check(person, "projects/motor/models/1", Role::kViewer), IsOk());
  EXPECT_THAT(remote->Check(person, "projects/motor", Role::kAdmin),
              StatusIs(absl::StatusCode::kPermissionDenied));
  const absl::StatusOr<Grant> grant =
      remote->Check({.token = "", .service = "build"}, "projects/motor", Role::kAdmin);
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->principal, "services/build");
  EXPECT_THAT(remote->Check({.token = "", .service = "build"}, "projects/none", Role::kAdmin),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ProvisioningHandlerTest, ACertificateOfTheDeviceCaIsNoService) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  // As if a device's key pair were presented to the services' port.
  const CertificateAuthority devices =
      *CertificateAuthority::FromPem(*ReadSmallFile(folder_ / "pki/devices-ca.crt"),
                                     *ReadSmallFile(folder_ / "pki/devices-ca.key"));
  const absl::Time now = RealClock().Now();
  const auto forged = devices.IssueForService("distribution", {"distribution"},
                                              now - absl::Hours(1), now + absl::Hours(1));
  ASSERT_THAT(ReplaceFile(folder_ / "forged.crt", forged.certificate_pem, 0600), IsOk());
  ASSERT_THAT(ReplaceFile(folder_ / "forged.key", forged.key_pem, 0600), IsOk());
  const auto stub =
      v1::ProvisioningService::NewStub(*OpenChannel(service_->server.address(),
                                                    {.ca = service_->pki.services_ca(),
                                                     .cert = folder_ / "forged.crt",
                                                     .key = folder_ / "forged.key"},
                                                    "provisioning"));
  EXPECT_THAT(CheckAccess(*stub, "", "projects/motor", v1::ROLE_VIEWER),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ProvisioningHandlerTest, ARestartKeepsTheCasTheTokensAndTheDevices) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const RequestKey key = RequestKey::P256();
  const std::string csr = key.Request("x");
  const std::string secret = CreateToken().secret();
  const std::string unused = CreateToken().secret();
  const auto before = Enroll(*distribution_, secret, csr);
  ASSERT_THAT(before, IsOk());
  const std::string admin_secret = service_->admin_secret;
  Stop();
  Start();
  EXPECT_EQ(service_->admin_secret, admin_secret);
  const auto again = Enroll(*distribution_, secret, csr);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->device().name(), before->device().name());
  EXPECT_EQ(again->issuer(), before->issuer());
  EXPECT_THAT(Enroll(*distribution_, unused, csr), IsOk());
  v1::ListApiTokensRequest list;
  const auto tokens = CallUnary(*admin_, &Stub::ListApiTokens, list);
  ASSERT_THAT(tokens, IsOk());
  EXPECT_EQ(tokens->api_tokens_size(), 1);
}

TEST_F(ProvisioningHandlerTest, MetricsCountWhatHappened) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  const std::string secret = CreateToken().secret();
  ASSERT_THAT(Enroll(*distribution_, secret, RequestKey::P256().Request("x")), IsOk());
  EXPECT_FALSE(Enroll(*distribution_, secret, RequestKey::P256().Request("x")).ok());
  EXPECT_FALSE(CheckAccess(*distribution_, "guess", "", v1::ROLE_VIEWER).ok());
  const InventoryPoller poller(service_->store, service_->metrics, RealClock());
  const std::string text = Metrics();
  EXPECT_THAT(text, HasSubstr(R"(fieldloop_provisioning_enrollments_total{result="ok"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(fieldloop_provisioning_enrollments_total{result="token_used"} 1)"));
  EXPECT_THAT(
      text, HasSubstr(R"(fieldloop_provisioning_access_checks_total{result="unauthenticated"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(fieldloop_provisioning_devices{state="active"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(fieldloop_provisioning_enrollment_tokens{state="used"} 1)"));
}

TEST_F(ProvisioningHandlerTest, ABadFieldIsNamed) {
  ASSERT_THAT(CreateProject("motor"), IsOk());
  v1::CreateEnrollmentTokenRequest request;
  request.set_parent("projects/motor");
  request.mutable_enrollment_token()->mutable_expire_time()->set_seconds(-1'000'000'000'000'000);
  const absl::Status status = CallUnary(*admin_, &Stub::CreateEnrollmentToken, request).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("enrollment_token.expire_time"));
  EXPECT_THAT(CreateProject("Bad Name"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Revoke(*admin_, "projects/motor/models/x"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::provisioning
