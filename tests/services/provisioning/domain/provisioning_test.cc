// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The domain's classes over a real store: what devices, operators and services can do and cannot.

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migrations/provisioning_storage.h"
#include "services/common/sql/database.h"
#include "services/common/status/error_reason.h"
#include "services/common/sync/change_signal.h"
#include "services/provisioning/domain/access_control.h"
#include "services/provisioning/domain/device_registry.h"
#include "services/provisioning/domain/enrollment.h"
#include "services/provisioning/domain/project_registry.h"
#include "services/provisioning/storage/openssl_secret_source.h"
#include "services/provisioning/storage/sql_provisioning_store.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/services/provisioning/domain/fake_security.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::provisioning {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;

class ProvisioningTest : public ::testing::Test {
 protected:
  ProvisioningTest() {
    EXPECT_THAT(projects_.Create({.id = "motor"}), IsOk());
    EXPECT_THAT(projects_.Create({.id = "other"}), IsOk());
  }

  // A token for project motor, made by `change` from the default.
  NewEnrollmentToken MakeToken(void (*change)(EnrollmentToken&) = [](EnrollmentToken&) {}) {
    EnrollmentToken token = {.project = "motor", .expire_time = absl::InfinitePast()};
    change(token);
    absl::StatusOr<NewEnrollmentToken> made = enrollment_.CreateToken(token);
    EXPECT_THAT(made, IsOk());
    return made.ok() ? *std::move(made) : NewEnrollmentToken();
  }
  std::string MakeApiToken(Role role, const std::string& project = "") {
    absl::StatusOr<NewApiToken> made = access_.CreateToken({.role = role, .project = project});
    EXPECT_THAT(made, IsOk());
    return made.ok() ? made->secret : "";
  }
  absl::Status Check(const std::string& token, const std::string& resource, Role role) {
    return access_.Check({.token = token, .service = ""}, resource, role).status();
  }

  const TemporaryFolder folder_;
  const std::unique_ptr<Database> database_ =
      *Database::Open({.connection = "sqlite3://" + (folder_ / "p.db")}, Migrations());
  SqlProvisioningStore store_{*database_};
  FakeClock clock_;
  FakeSecretSource secrets_;
  FakeDeviceAuthority authority_;
  ChangeSignal changes_;
  ProjectRegistry projects_{store_, clock_};
  DeviceRegistry devices_{store_, changes_};
  Enrollment enrollment_{store_, secrets_, authority_, changes_, clock_, absl::Hours(24 * 30)};
  AccessControl access_{store_, secrets_, clock_};
};

TEST_F(ProvisioningTest, ATokenBecomesADeviceWithItsAttributesAndACertificateInItsName) {
  const NewEnrollmentToken token = MakeToken([](EnrollmentToken& t) {
    t.device_id = "press-7";
    t.attributes = {{"site", "north"}};
  });
  const absl::StatusOr<Enrolled> enrolled =
      enrollment_.Enroll("motor", token.secret, "key", "hw-1");
  ASSERT_THAT(enrolled, IsOk());
  EXPECT_EQ(enrolled->device.id, "press-7");
  EXPECT_EQ(enrolled->device.hardware_id, "hw-1");
  EXPECT_EQ(enrolled->device.attributes, (Attributes{{"site", "north"}}));
  EXPECT_EQ(enrolled->certificate, "key is motor/press-7 from 1699996400 to 1702592000");
  EXPECT_EQ(enrolled->issuer, "issuer");
  EXPECT_EQ(*devices_.Get("motor", "press-7"), enrolled->device);
}

TEST_F(ProvisioningTest, NeitherTheStoreNorAListHoldsTheSecret) {
  const NewEnrollmentToken token = MakeToken();
  const EnrollmentToken listed = enrollment_.ListTokens("motor", 0, "")->rows.front();
  EXPECT_EQ(listed.secret_digest, secrets_.DigestOf(token.secret));
  EXPECT_EQ(listed, token.token);
}

TEST_F(ProvisioningTest, ATokenIsGoodForADayWhenNothingIsSaid) {
  EXPECT_EQ(MakeToken().token.expire_time, clock_.Now() + absl::Hours(24));
}

TEST_F(ProvisioningTest, ADeviceThatLostTheAnswerAsksAgainAndIsTheSame) {
  const NewEnrollmentToken token = MakeToken();
  const std::string id = enrollment_.Enroll("motor", token.secret, "key/1", "hw")->device.id;
  clock_.Advance(absl::Hours(1));
  const absl::StatusOr<Enrolled> again = enrollment_.Enroll("motor", token.secret, "key/2", "hw");
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->device.id, id);
  EXPECT_EQ(again->device.certificate_expire_time, clock_.Now() + absl::Hours(24 * 30));
  EXPECT_EQ(devices_.List("motor", 0, "")->rows.size(), 1U);
}

TEST_F(ProvisioningTest, AUsedTokenIsRefusedWithAnotherKey) {
  const NewEnrollmentToken token = MakeToken();
  ASSERT_THAT(enrollment_.Enroll("motor", token.secret, "key", "hw"), IsOk());
  EXPECT_EQ(ReasonOf(enrollment_.Enroll("motor", token.secret, "thief", "hw").status()),
            "TOKEN_USED");
}

TEST_F(ProvisioningTest, ARevokedDeviceDoesNotComeBackWithItsOldToken) {
  const NewEnrollmentToken token = MakeToken();
  const std::string id = enrollment_.Enroll("motor", token.secret, "key", "hw")->device.id;
  ASSERT_THAT(devices_.Revoke("motor", id, "stolen"), IsOk());
  const absl::Status status = enrollment_.Enroll("motor", token.secret, "key", "hw").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(ReasonOf(status), "DEVICE_REVOKED");
}

TEST_F(ProvisioningTest, ATokenOfAnotherProjectIsUnknown) {
  const NewEnrollmentToken token = MakeToken();
  EXPECT_EQ(ReasonOf(enrollment_.Enroll("other", token.secret, "key", "hw").status()),
            "TOKEN_UNKNOWN");
  EXPECT_EQ(ReasonOf(enrollment_.Enroll("none", token.secret, "key", "hw").status()),
            "TOKEN_UNKNOWN");
}

TEST_F(ProvisioningTest, AGuessedSecretIsUnknownAlsoWithAnIdThatExists) {
  const NewEnrollmentToken token = MakeToken();
  for (const std::string& guess :
       {std::string(), std::string("x"), SecretPrefix("fle", token.token.id) + "guess",
        SecretPrefix("fle", "ffffffffffff") + "guess", token.secret + "x",
        SecretPrefix("fla", token.token.id) + "guess"}) {
    const absl::Status status = enrollment_.Enroll("motor", guess, "key", "hw").status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied)) << guess;
    EXPECT_EQ(ReasonOf(status), "TOKEN_UNKNOWN") << guess;
  }
}

TEST_F(ProvisioningTest, ABadRequestDoesNotUseUpTheToken) {
  const NewEnrollmentToken token = MakeToken();
  EXPECT_THAT(enrollment_.Enroll("motor", token.secret, "", "hw"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(enrollment_.Enroll("motor", token.secret, "key", ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(enrollment_.Enroll("motor", token.secret, "key", std::string(32, 'h')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(enrollment_.Enroll("motor", token.secret, "key", "hw"), IsOk());
}

TEST_F(ProvisioningTest, ADeviceIdThatIsTakenIsDrawnAgain) {
  const NewEnrollmentToken first = MakeToken();
  const NewEnrollmentToken second = MakeToken();
  secrets_.next_ids = {"0000abcd", "0000abcd", "0000abce"};
  EXPECT_EQ(enrollment_.Enroll("motor", first.secret, "k1", "hw")->device.id, "dev-0000abcd");
  EXPECT_EQ(enrollment_.Enroll("motor", second.secret, "k2", "hw")->device.id, "dev-0000abce");
}

TEST_F(ProvisioningTest, OfTwoTokensForOneDeviceIdTheFirstUsedWins) {
  const auto for_press = [](EnrollmentToken& t) { t.device_id = "press-7"; };
  const NewEnrollmentToken first = MakeToken(for_press);
  const NewEnrollmentToken second = MakeToken(for_press);
  ASSERT_THAT(enrollment_.Enroll("motor", first.secret, "k1", "hw"), IsOk());
  const absl::Status status = enrollment_.Enroll("motor", second.secret, "k2", "hw").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReasonOf(status), "DEVICE_EXISTS");
}

TEST_F(ProvisioningTest, OfManyDevicesWithOneTokenExactlyOneGetsIn) {
  OpensslSecretSource secrets;  // The fake one is for one thread.
  Enrollment enrollment(store_, secrets, authority_, changes_, clock_, absl::Hours(1));
  const absl::StatusOr<NewEnrollmentToken> token =
      enrollment.CreateToken({.project = "motor", .expire_time = absl::InfinitePast()});
  ASSERT_THAT(token, IsOk());
  constexpr int kDevices = 8;
  std::vector<absl::Status> results(kDevices);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kDevices; ++i) {
    threads.emplace_back([&, i] {
      results[i] =
          enrollment.Enroll("motor", token->secret, "key" + std::to_string(i), "hw").status();
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  int winners = 0;
  for (const absl::Status& result : results) {
    winners += result.ok() ? 1 : 0;
    EXPECT_TRUE(result.ok() || ReasonOf(result) == "TOKEN_USED") << result;
  }
  EXPECT_EQ(winners, 1);
  EXPECT_EQ(devices_.List("motor", 0, "")->rows.size(), 1U);
}

TEST_F(ProvisioningTest, OnlyAnUnusedTokenCanBeRevoked) {
  const NewEnrollmentToken unused = MakeToken();
  ASSERT_THAT(enrollment_.Revoke("motor", unused.token.id), IsOk());
  EXPECT_EQ(ReasonOf(enrollment_.Enroll("motor", unused.secret, "k", "hw").status()),
            "TOKEN_REVOKED");
  const NewEnrollmentToken used = MakeToken();
  ASSERT_THAT(enrollment_.Enroll("motor", used.secret, "k", "hw"), IsOk());
  const absl::Status status = enrollment_.Revoke("motor", used.token.id).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(status), "TOKEN_USED");
}

TEST_F(ProvisioningTest, ARenewalGivesTheSameDeviceACertificateForItsNewKey) {
  const std::string id = enrollment_.Enroll("motor", MakeToken().secret, "old", "hw")->device.id;
  clock_.Advance(absl::Hours(24 * 20));
  for (int attempt = 0; attempt < 2; ++attempt) {  // The device may lose any answer.
    const absl::StatusOr<Enrolled> renewed = enrollment_.Renew("motor", id, "new");
    ASSERT_THAT(renewed, IsOk());
    EXPECT_THAT(renewed->certificate, ::testing::StartsWith("new is motor/" + id));
    EXPECT_EQ(renewed->device.certificate_expire_time, clock_.Now() + absl::Hours(24 * 30));
  }
}

TEST_F(ProvisioningTest, ACertificateBeginsAnHourAgoOrATenthOfItsLife) {
  const auto from = [&](absl::Duration lifetime) {
    OpensslSecretSource secrets;
    Enrollment enrollment(store_, secrets, authority_, changes_, clock_, lifetime);
    const auto token =
        enrollment.CreateToken({.project = "motor", .expire_time = absl::InfinitePast()});
    EXPECT_THAT(token, IsOk());
    const std::string certificate =
        enrollment.Enroll("motor", token->secret, "k", "hw")->certificate;
    return certificate.substr(certificate.find(" from "));
  };
  const std::int64_t now = absl::ToUnixSeconds(clock_.Now());
  const std::int64_t day = 24 * 3600;
  EXPECT_EQ(from(absl::Hours(24)), absl::StrCat(" from ", now - 3600, " to ", now + day));
  // A device renews when two thirds are over: not at once.
  EXPECT_EQ(from(absl::Minutes(1)), absl::StrCat(" from ", now - 6, " to ", now + 60));
}

TEST_F(ProvisioningTest, ARevokedDeviceGetsNoNewCertificate) {
  const std::string id = enrollment_.Enroll("motor", MakeToken().secret, "old", "hw")->device.id;
  ASSERT_THAT(devices_.Revoke("motor", id, "stolen"), IsOk());
  EXPECT_EQ(ReasonOf(enrollment_.Renew("motor", id, "new").status()), "DEVICE_REVOKED");
  EXPECT_THAT(enrollment_.Renew("other", id, "new"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(enrollment_.Renew("motor", id, ""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProvisioningTest, ARevocationNeedsAReason) {
  const std::string id = enrollment_.Enroll("motor", MakeToken().secret, "k", "hw")->device.id;
  EXPECT_THAT(devices_.Revoke("motor", id, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(devices_.Get("motor", id)->revoked);
}

TEST_F(ProvisioningTest, EveryPageOfTokensAndDevicesFollowsTheOneBefore) {
  std::set<std::string> tokens;
  std::set<std::string> devices;
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(enrollment_.Enroll("motor", MakeToken().secret, "k" + std::to_string(i), "hw"),
                IsOk());
  }
  std::string token;
  int pages = 0;
  do {
    const absl::StatusOr<Page<EnrollmentToken>> page = enrollment_.ListTokens("motor", 2, token);
    ASSERT_THAT(page, IsOk());
    for (const EnrollmentToken& row : page->rows) {
      EXPECT_TRUE(tokens.insert(row.id).second);
    }
    token = page->next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(tokens.size(), 5U);
  do {
    const absl::StatusOr<Page<Device>> page = devices_.List("motor", 5, token);
    ASSERT_THAT(page, IsOk());
    for (const Device& row : page->rows) {
      EXPECT_TRUE(devices.insert(row.id).second);
    }
    token = page->next_page_token;  // A full last page has no next one.
  } while (!token.empty());
  EXPECT_EQ(devices.size(), 5U);
  EXPECT_THAT(devices_.List("motor", -1, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(devices_.List("motor", 1, "%"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(enrollment_.ListTokens("motor", 1, EncodePageToken("no number")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProvisioningTest, ATokenActsInItsRole) {
  const std::string viewer = MakeApiToken(Role::kViewer);
  EXPECT_THAT(Check(viewer, "projects/motor/devices/x", Role::kViewer), IsOk());
  EXPECT_THAT(Check(viewer, "", Role::kViewer), IsOk());
  EXPECT_THAT(Check(viewer, "projects/motor", Role::kOperator),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(ProvisioningTest, ATokenForOneProjectActsThereAndNowhereElse) {
  const std::string admin = MakeApiToken(Role::kAdmin, "motor");
  const absl::StatusOr<Grant> grant =
      access_.Check({.token = admin, .service = ""}, "projects/motor", Role::kAdmin);
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->project, "projects/motor");
  for (const char* elsewhere : {"", "projects/other", "projects/none"}) {
    EXPECT_THAT(Check(admin, elsewhere, Role::kViewer),
                StatusIs(absl::StatusCode::kPermissionDenied))
        << elsewhere;
  }
}

TEST_F(ProvisioningTest, AnUploadThatNamesNoProjectGoesToTheTokensOwn) {
  const absl::StatusOr<Grant> grant = access_.Check(
      {.token = MakeApiToken(Role::kIngest, "motor"), .service = ""}, "", Role::kIngest);
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->project, "projects/motor");
  EXPECT_THAT(Check(MakeApiToken(Role::kViewer, "motor"), "", Role::kIngest),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(ProvisioningTest, AProjectThatDoesNotExistIsNotFoundForThoseWhoMayKnow) {
  EXPECT_THAT(Check(MakeApiToken(Role::kViewer), "projects/none", Role::kViewer),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(access_.Check({.token = "", .service = "build"}, "projects/none", Role::kAdmin),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Check("guess", "projects/none", Role::kViewer),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(Check(MakeApiToken(Role::kViewer), "devices/x", Role::kViewer),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProvisioningTest, AServiceMayDoEverythingAndNobodyNothing) {
  const absl::StatusOr<Grant> grant =
      access_.Check({.token = "", .service = "build"}, "projects/motor", Role::kAdmin);
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->principal, "services/build");
  EXPECT_THAT(access_.Check({}, "projects/motor", Role::kIngest),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(ProvisioningTest, ABadTokenIsNotSavedByAGoodCertificate) {
  EXPECT_THAT(access_.Check({.token = "guess", .service = "build"}, "", Role::kViewer),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(ProvisioningTest, AnUnknownAnExpiredAndARevokedTokenCannotBeToldApart) {
  const absl::StatusOr<NewApiToken> expired =
      access_.CreateToken({.role = Role::kAdmin, .expire_time = clock_.Now() + absl::Seconds(1)});
  ASSERT_THAT(expired, IsOk());
  const absl::StatusOr<NewApiToken> revoked = access_.CreateToken({.role = Role::kAdmin});
  ASSERT_THAT(revoked, IsOk());
  EXPECT_THAT(Check(expired->secret, "", Role::kAdmin), IsOk());
  EXPECT_THAT(Check(revoked->secret, "", Role::kAdmin), IsOk());
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(access_.Revoke(revoked->token.id)->revoked);
  const absl::Status status = Check("guess", "", Role::kAdmin);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(Check(expired->secret, "", Role::kAdmin), status);
  EXPECT_EQ(Check(revoked->secret, "", Role::kAdmin), status);
  EXPECT_EQ(Check(SecretPrefix("fla", expired->token.id) + "x", "", Role::kAdmin), status);
}

TEST_F(ProvisioningTest, AnEnrollmentTokenIsNoApiToken) {
  EXPECT_THAT(Check(MakeToken().secret, "", Role::kViewer),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(ProvisioningTest, TheAdministratorsSecretBecomesATokenOnce) {
  const std::string secret = access_.NewSecret();
  EXPECT_THAT(Check(secret, "", Role::kAdmin), StatusIs(absl::StatusCode::kUnauthenticated));
  ASSERT_THAT(access_.EnsureAdministrator(secret), IsOk());
  ASSERT_THAT(access_.EnsureAdministrator(secret), IsOk());
  EXPECT_THAT(Check(secret, "", Role::kAdmin), IsOk());
  EXPECT_EQ(access_.ListTokens(0, "")->rows.size(), 1U);
}

TEST_F(ProvisioningTest, ARevokedAdministratorStaysRevoked) {
  const std::string secret = access_.NewSecret();
  ASSERT_THAT(access_.EnsureAdministrator(secret), IsOk());
  ASSERT_THAT(access_.Revoke(IdOfSecret("fla", secret)), IsOk());
  EXPECT_THAT(access_.EnsureAdministrator(secret), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Check(secret, "", Role::kAdmin), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(access_.EnsureAdministrator("guess"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProvisioningTest, SecretsFitTheDeviceProtocol) {
  OpensslSecretSource secrets;
  Enrollment enrollment(store_, secrets, authority_, changes_, clock_, absl::Hours(1));
  const absl::StatusOr<NewEnrollmentToken> token =
      enrollment.CreateToken({.project = "motor", .expire_time = absl::InfinitePast()});
  ASSERT_THAT(token, IsOk());
  EXPECT_LE(token->secret.size(), 63U);
  EXPECT_EQ(token->token.secret_digest.size(), 64U);
}

TEST(ChangeSignalTest, AWaitEndsWithAChangeAfterWhatWasSeen) {
  ChangeSignal signal;
  const std::uint64_t seen = signal.Current();
  std::thread other([&] { signal.Notify(); });
  signal.Wait(seen, absl::Hours(1));
  other.join();
  EXPECT_NE(signal.Current(), seen);
  signal.Wait(seen, absl::Hours(1));  // A change that came before the wait counts too.
}

TEST(ChangeSignalTest, StopEndsEveryWait) {
  ChangeSignal signal;
  std::thread other([&] { signal.Stop(); });
  signal.Wait(signal.Current(), absl::Hours(1));
  other.join();
  signal.Wait(signal.Current(), absl::Hours(1));
  EXPECT_TRUE(signal.stopped());
}

}  // namespace
}  // namespace fieldloop::provisioning
