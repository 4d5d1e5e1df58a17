// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/device_listener.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include <asio/buffer.hpp>
#include <asio/connect.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/ssl/context.hpp>
#include <asio/ssl/stream.hpp>
#include <asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "absl/strings/numbers.h"
#include "services/common/crypto/certificate.h"
#include "tests/services/common/trace/span_collector.h"
#include "tests/services/distribution/support/fake_backends.h"

namespace fieldloop::distribution {
namespace {

using agent::v1::DeviceMessage;
using agent::v1::ServerMessage;

constexpr char kNonce[] = "0123456789abcdef";

struct DeviceKey {
  std::string key_pem;
  std::string certificate_pem;
};

std::string PemOf(int (*write)(BIO*, void*), void* object) {
  BIO* bio = BIO_new(BIO_s_mem());
  write(bio, object);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

// A key, and a certificate for it that `ca` issues.
DeviceKey Enroll(const CertificateAuthority& ca, const std::string& common_name,
                 absl::Time not_before, absl::Time not_after) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509_REQ* request = X509_REQ_new();
  X509_REQ_set_pubkey(request, key);
  X509_REQ_sign(request, key, EVP_sha256());
  unsigned char* der = nullptr;
  const int der_size = i2d_X509_REQ(request, &der);
  const std::string csr(reinterpret_cast<char*>(der), static_cast<std::size_t>(der_size));
  OPENSSL_free(der);
  X509_REQ_free(request);
  const auto certificate = ca.IssueForRequest(csr, common_name, not_before, not_after);
  EXPECT_TRUE(certificate.ok()) << certificate.status();
  const auto* bytes = reinterpret_cast<const unsigned char*>(certificate->data());
  X509* parsed = d2i_X509(nullptr, &bytes, static_cast<long>(certificate->size()));
  DeviceKey made;
  made.certificate_pem = PemOf(
      [](BIO* bio, void* object) { return PEM_write_bio_X509(bio, static_cast<X509*>(object)); },
      parsed);
  made.key_pem = PemOf(
      [](BIO* bio, void* object) {
        return PEM_write_bio_PrivateKey(bio, static_cast<EVP_PKEY*>(object), nullptr, nullptr, 0,
                                        nullptr, nullptr);
      },
      key);
  X509_free(parsed);
  EVP_PKEY_free(key);
  return made;
}

asio::ip::port_type PortOf(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  return static_cast<asio::ip::port_type>(port);
}

// A device, as blocking calls.
class TestDevice {
 public:
  TestDevice(const std::string& address, const DeviceKey* key, int tls_version = TLS1_3_VERSION)
      : tls_(asio::ssl::context::tls_client), stream_(nullptr) {
    SSL_CTX_set_max_proto_version(tls_.native_handle(), tls_version);
    asio::error_code error;
    if (key != nullptr) {
      tls_.use_certificate(asio::buffer(key->certificate_pem), asio::ssl::context::pem, error);
      tls_.use_private_key(asio::buffer(key->key_pem), asio::ssl::context::pem, error);
    }
    stream_ = std::make_unique<asio::ssl::stream<asio::ip::tcp::socket>>(io_, tls_);
    stream_->lowest_layer().connect({asio::ip::make_address("127.0.0.1"), PortOf(address)}, error);
    EXPECT_FALSE(error) << error.message();
  }

  bool Handshake() {
    asio::error_code error;
    stream_->handshake(asio::ssl::stream_base::client, error);
    return !error;
  }
  void SendBytes(const std::string& bytes) {
    asio::error_code error;
    asio::write(*stream_, asio::buffer(bytes), error);
  }
  void Send(const DeviceMessage& message) {
    const std::string body = message.SerializeAsString();
    std::string frame{static_cast<char>(body.size() >> 8), static_cast<char>(body.size() & 0xFF)};
    SendBytes(frame + body);
  }
  // The next message; none when the server has ended the session.
  std::optional<ServerMessage> Receive() {
    std::array<unsigned char, 2> length{};
    asio::error_code error;
    asio::read(*stream_, asio::buffer(length), error);
    if (error) {
      return std::nullopt;
    }
    std::string body((std::size_t{length[0]} << 8) | length[1], ' ');
    asio::read(*stream_, asio::buffer(body), error);
    ServerMessage message;
    EXPECT_TRUE(!error && message.ParseFromString(body));
    return message;
  }
  void Hello(std::uint32_t root_version = 0, const std::string& project = "",
             bool want_trace_id = false) {
    DeviceMessage message;
    agent::v1::Hello& hello = *message.mutable_hello();
    hello.set_protocol(1);
    hello.set_max_frame_bytes(2560);
    hello.set_nonce(kNonce);
    hello.set_hardware_id("posix");
    hello.set_agent_version("1");
    hello.set_root_version(root_version);
    hello.set_boot_count(1);
    hello.set_project(project);
    hello.set_want_trace_id(want_trace_id);
    Send(message);
  }
  void CheckIn(std::uint32_t settings_version) {
    DeviceMessage message;
    message.mutable_check_in()->set_settings_version(settings_version);
    Send(message);
  }
  void ReportState(std::uint64_t sequence, const std::string& digest, bool confirmed) {
    DeviceMessage message;
    agent::v1::StateReport& report = *message.mutable_state_report();
    report.set_sequence(sequence);
    agent::v1::ComponentState& component = *report.add_components();
    component.set_kind(agent::v1::COMPONENT_KIND_MODEL);
    component.set_active_digest(digest);
    component.set_confirmed(confirmed);
    Send(message);
  }

 private:
  asio::io_context io_;
  asio::ssl::context tls_;
  std::unique_ptr<asio::ssl::stream<asio::ip::tcp::socket>> stream_;
};

std::uint32_t FirstByte(const std::string& hex_digest) {
  return static_cast<unsigned char>(FromHex(hex_digest)->front());
}

std::string WriteFile(const std::string& folder, const std::string& name, const std::string& text) {
  const std::string path = folder + name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

class DeviceListenerTest : public ::testing::Test {
 protected:
  DeviceListenerTest() {
    const std::string folder = ::testing::TempDir() + "/listener-" + ToHex(RandomBytes(8)) + "-";
    const auto server =
        service_ca_.IssueForService("distribution", {"distribution"}, from_, until_);
    options_.certificate_file = WriteFile(folder, "cert.pem", server.certificate_pem);
    options_.key_file = WriteFile(folder, "key.pem", server.key_pem);
    options_.device_ca_file = WriteFile(folder, "ca.pem", device_ca_.CertificatePem());
    options_.handshake_timeout = absl::Minutes(2);
    options_.local_workers = 2;
    options_.remote_workers = 2;
    all_.AddDevices(3);
    SignManifest();
  }
  ~DeviceListenerTest() override {
    listener_.reset();
    std::remove(options_.certificate_file.c_str());
    std::remove(options_.key_file.c_str());
    std::remove(options_.device_ca_file.c_str());
  }

  void SignManifest() {
    agent::v1::SignedDocument manifest;
    manifest.set_payload("the manifest");
    all_.registry.release.manifest = manifest.SerializeAsString();
  }
  void Listen() {
    auto listener = DeviceListener::Start(options_, {.devices = all_.devices,
                                                     .identity = all_.identity,
                                                     .fleet = all_.fleet,
                                                     .rollouts = all_.rollouts,
                                                     .roots = all_.roots,
                                                     .models = all_.models,
                                                     .artifacts = all_.artifacts,
                                                     .sketches = all_.sketches,
                                                     .samples = all_.samples,
                                                     .signer = signer_,
                                                     .sample_budget = sample_budget_,
                                                     .metrics = metrics_,
                                                     .clock = all_.clock,
                                                     .random = [] { return 0.5; }});
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  DeviceKey KeyOf(int i) const {
    return Enroll(device_ca_, absl::StrCat("motor/d", i), from_, until_);
  }
  // A device whose Hello was answered.
  std::unique_ptr<TestDevice> Connect(int i) {
    if (listener_ == nullptr) {
      Listen();
    }
    const DeviceKey key = KeyOf(i);
    auto device = std::make_unique<TestDevice>(listener_->address(), &key);
    EXPECT_TRUE(device->Handshake());
    device->Hello();
    const auto reply = device->Receive();
    EXPECT_TRUE(reply.has_value() && reply->has_hello_reply());
    return device;
  }
  // Handshakes that were counted with this result.
  int Handshakes(const std::string& result) const {
    for (const prometheus::MetricFamily& family : prometheus_.Collect()) {
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (family.name == "fieldloop_device_handshakes_total" &&
            metric.label.front().value == result) {
          return static_cast<int>(metric.counter.value);
        }
      }
    }
    return -1;
  }
  static agent::v1::ErrorCode CodeOf(const std::optional<ServerMessage>& message) {
    return message.has_value() && message->has_error() ? message->error().code()
                                                       : agent::v1::ERROR_CODE_UNSPECIFIED;
  }
  DeviceMessage Chunk(std::uint64_t sequence, const std::string& payload, std::uint32_t offset,
                      std::size_t size) const {
    DeviceMessage message;
    agent::v1::SampleChunk& chunk = *message.mutable_sample_chunk();
    chunk.set_sequence(sequence);
    chunk.set_offset(offset);
    chunk.set_total_bytes(static_cast<std::uint32_t>(payload.size()));
    chunk.set_data(payload.substr(offset, size));
    if (offset == 0) {
      agent::v1::SampleHeader& header = *chunk.mutable_header();
      header.set_start_ms(1'000);
      header.set_frequency_hz(50);
      header.set_axes(2);
      header.set_encoding(agent::v1::SAMPLE_ENCODING_I16);
      header.set_scale(0.5F);
      header.set_reason(agent::v1::SAMPLE_REASON_UNCERTAIN);
      header.set_probability(0.25F);
      header.set_model_digest(*FromHex(all_.registry.model_digest));
      header.set_predicted_class(1);
      header.set_confidence(0.5F);
      header.set_payload_digest(Sha256Of(payload));
    }
    return message;
  }

  // Certificates are checked against the real time.
  const absl::Time from_ = absl::Now() - absl::Hours(1);
  const absl::Time until_ = absl::Now() + absl::Hours(1);
  const CertificateAuthority device_ca_ = CertificateAuthority::Generate("devices", from_, until_);
  const CertificateAuthority service_ca_ =
      CertificateAuthority::Generate("services", from_, until_);
  TestDistribution all_;
  SigningKey directive_key_ = SigningKey::Generate();
  OfferSigner signer_{*SigningKey::FromPem(directive_key_.ToPem()), all_.clock};
  SampleBudget sample_budget_{1 << 20};
  prometheus::Registry prometheus_;
  DeviceMetrics metrics_{prometheus_};
  DeviceListenerOptions options_;
  std::unique_ptr<DeviceListener> listener_;
};

TEST_F(DeviceListenerTest, HelloIsAnsweredWithTheTimeAndNewerRootsInOrder) {
  for (std::uint32_t version = 1; version <= 3; ++version) {
    agent::v1::SignedDocument root;
    root.set_payload(absl::StrCat("root ", version));
    all_.registry.roots.push_back({.version = version, .document = root.SerializeAsString()});
  }
  ASSERT_TRUE(all_.roots.Refresh().ok());
  Listen();
  const DeviceKey key = KeyOf(0);
  TestDevice device(listener_->address(), &key);
  ASSERT_TRUE(device.Handshake());
  device.Hello(1);
  const auto reply = device.Receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->hello_reply().protocol(), 1U);
  EXPECT_EQ(reply->hello_reply().max_frame_bytes(), kMaxDeviceFrameBytes);
  EXPECT_EQ(reply->hello_reply().now_ms(), 1'700'000'000'000U);
  EXPECT_EQ(device.Receive()->root().payload(), "root 2");
  EXPECT_EQ(device.Receive()->root().payload(), "root 3");
}

TEST_F(DeviceListenerTest, ASessionIsATraceWhoseIdIsToldToADeviceThatAsks) {
  const ::fieldloop::testing::SpanCollector spans;
  Listen();
  const DeviceKey key = KeyOf(0);
  std::string trace_id;
  {
    TestDevice device(listener_->address(), &key);
    ASSERT_TRUE(device.Handshake());
    device.Hello(0, "", /*want_trace_id=*/true);
    const auto reply = device.Receive();
    ASSERT_TRUE(reply.has_value());
    ASSERT_EQ(reply->hello_reply().trace_id().size(), 16U);
    trace_id = ToHex(reply->hello_reply().trace_id());
    device.CheckIn(0);
    ASSERT_TRUE(device.Receive()->has_settings());
    ASSERT_TRUE(device.Receive()->has_check_in_reply());
    device.CheckIn(1);
    ASSERT_TRUE(device.Receive()->has_check_in_reply());
  }
  const SpanData session = spans.Get("device session", SpanKind::kServer);
  EXPECT_EQ(session.trace.trace_id, trace_id);
  const SpanData check_in = spans.Get("device check_in", SpanKind::kServer);
  EXPECT_EQ(check_in.trace.trace_id, trace_id);
  EXPECT_EQ(check_in.parent_span_id, session.trace.span_id);
  // Hello, the check-in that brought settings, the session; the idle check-in is none.
  EXPECT_EQ(spans.All().size(), 3U);
}

TEST_F(DeviceListenerTest, TheSendingOfAnOfferIsLinkedToTheCallThatStartedTheRollout) {
  const ::fieldloop::testing::SpanCollector spans;
  TraceContext call;
  {
    const WorkSpan work("CreateRollout", SpanKind::kServer, {}, {});
    call = CurrentCall().trace;
    ASSERT_TRUE(all_.rollouts.Create(kProject, all_.Wanted({100}), "", "me").ok());
  }
  const auto device = Connect(0);
  device->CheckIn(1);
  ASSERT_TRUE(device->Receive()->has_update_offer());
  const SpanData offer = spans.Get("rollout offer", SpanKind::kInternal);
  EXPECT_THAT(offer.links, ::testing::ElementsAre(call));
  const SpanData check_in = spans.Get("device check_in", SpanKind::kServer);
  EXPECT_EQ(offer.parent_span_id, check_in.trace.span_id);
  EXPECT_EQ(offer.attributes[0].first, "fieldloop.rollout");
  EXPECT_EQ(std::get<std::string>(offer.attributes[0].second), "projects/motor/rollouts/1");
}

TEST_F(DeviceListenerTest, ADeviceThatDoesNotAskIsSentNoTraceId) {
  Listen();
  const DeviceKey key = KeyOf(0);
  TestDevice device(listener_->address(), &key);
  ASSERT_TRUE(device.Handshake());
  device.Hello();
  EXPECT_EQ(device.Receive()->hello_reply().trace_id(), "");
}

TEST_F(DeviceListenerTest, Tls12IsSpokenToo) {
  Listen();
  const DeviceKey key = KeyOf(0);
  TestDevice device(listener_->address(), &key, TLS1_2_VERSION);
  ASSERT_TRUE(device.Handshake());
  device.Hello();
  EXPECT_TRUE(device.Receive()->has_hello_reply());
}

TEST_F(DeviceListenerTest, ACheckInBringsSettingsOnceAndTheNextTime) {
  const auto device = Connect(0);
  device->CheckIn(0);
  const auto settings = device->Receive();
  ASSERT_TRUE(settings->has_settings());
  EXPECT_EQ(settings->settings().version(), 1U);
  EXPECT_EQ(settings->settings().sketch_period_ms(), 300'000U);
  EXPECT_EQ(device->Receive()->check_in_reply().next_check_in_ms(), 300'000U);
  device->CheckIn(1);
  EXPECT_TRUE(device->Receive()->has_check_in_reply());
}

TEST_F(DeviceListenerTest, OnlyDevicesOfTheCollectionAreAskedForRecordings) {
  FleetSettings wanted;
  wanted.collection = Collection{.target = {.attributes = {{"site", "a"}}, .hardware_ids = {}},
                                 .samples_per_period = 3};
  ASSERT_TRUE(all_.fleet.UpdateSettings(kProject, wanted).ok());
  const auto chosen = Connect(0);
  chosen->CheckIn(1);
  const auto with = chosen->Receive();
  EXPECT_EQ(with->settings().collection().samples_per_period(), 3U);
  EXPECT_EQ(with->settings().collection().plan_id(), 2U);
  const auto other = Connect(1);
  other->CheckIn(1);
  const auto without = other->Receive();
  EXPECT_EQ(without->settings().version(), 2U);
  EXPECT_FALSE(without->settings().has_collection());
}

TEST_F(DeviceListenerTest, AStateReportIsCommittedBeforeItsAck) {
  const auto device = Connect(0);
  device->ReportState(9, std::string(32, 'm'), true);
  const auto ack = device->Receive();
  EXPECT_EQ(ack->ack().sequence(), 9U);
  const auto stored = all_.fleet_store->GetState(DeviceName(0));
  ASSERT_TRUE(stored.ok());
  EXPECT_EQ(Find(stored->components, ComponentKind::kModel).digest, ToHex(std::string(32, 'm')));
  EXPECT_EQ(stored->agent_version, "1");
  EXPECT_TRUE(all_.fleet.IsConnected(*all_.fleet.GetState(DeviceName(0))));
}

TEST_F(DeviceListenerTest, AnUpdateGoesFromOfferToConfirmation) {
  ASSERT_TRUE(all_.rollouts.Create(kProject, all_.Wanted({100}), "", "me").ok());
  const auto device = Connect(0);
  device->ReportState(1, "", false);
  device->Receive();
  device->CheckIn(1);
  const auto message = device->Receive();
  ASSERT_TRUE(message->has_update_offer());
  const agent::v1::UpdateOffer& offer = message->update_offer();
  agent::v1::Directive directive;
  ASSERT_TRUE(directive.ParseFromString(offer.directive().payload()));
  EXPECT_EQ(directive.device_id(), "motor/d0");
  EXPECT_EQ(directive.nonce(), kNonce);
  EXPECT_EQ(directive.rollout_id(), "1");
  EXPECT_EQ(directive.manifest_digest(), Sha256Of(offer.manifest().payload()));
  EXPECT_TRUE(VerifySignature(directive_key_.PublicKey(), kDirectiveContext,
                              offer.directive().payload(),
                              offer.directive().signatures(0).value()));
  EXPECT_TRUE(device->Receive()->has_check_in_reply());

  std::string artifact;
  while (artifact.size() < all_.registry.artifact.size()) {
    DeviceMessage request;
    request.mutable_artifact_request()->set_digest(*FromHex(all_.registry.model_digest));
    request.mutable_artifact_request()->set_offset(static_cast<std::uint32_t>(artifact.size()));
    request.mutable_artifact_request()->set_length(2048);
    device->Send(request);
    const std::size_t end = std::min(artifact.size() + 2048, all_.registry.artifact.size());
    while (artifact.size() < end) {
      const auto chunk = device->Receive();
      ASSERT_TRUE(chunk.has_value() && chunk->has_artifact_chunk());
      EXPECT_EQ(chunk->artifact_chunk().offset(), artifact.size());
      EXPECT_LE(chunk->artifact_chunk().data().size(), 1024U);
      EXPECT_EQ(chunk->artifact_chunk().artifact() & 0xffU, FirstByte(all_.registry.model_digest));
      artifact += chunk->artifact_chunk().data();
    }
  }
  EXPECT_EQ(artifact, all_.registry.artifact);

  DeviceMessage report;
  report.mutable_update_report()->set_sequence(2);
  report.mutable_update_report()->set_rollout_id("1");
  report.mutable_update_report()->set_phase(agent::v1::UPDATE_PHASE_CONFIRMED);
  report.mutable_update_report()->set_active_digest(*FromHex(all_.registry.model_digest));
  device->Send(report);
  EXPECT_EQ(device->Receive()->ack().sequence(), 2U);
  EXPECT_EQ(all_.rollout_store->GetDevice(kProject, 1, DeviceName(0))->state,
            RolloutDeviceState::kConfirmed);
}

TEST_F(DeviceListenerTest, EveryComponentOfAnOfferIsServedAndAllOfThemConfirm) {
  const std::string digest = all_.registry.Add(ComponentKind::kConfiguration, "c1", "rate=5");
  ASSERT_TRUE(all_.rollouts.Create(kProject, all_.Wanted({100}), "", "me").ok());
  const auto device = Connect(0);
  device->ReportState(1, std::string(32, 'm'), true);
  EXPECT_EQ(device->Receive()->ack().sequence(), 1U);
  device->CheckIn(1);
  EXPECT_TRUE(device->Receive()->has_update_offer());
  EXPECT_TRUE(device->Receive()->has_check_in_reply());
  DeviceMessage request;
  request.mutable_artifact_request()->set_digest(*FromHex(digest));
  request.mutable_artifact_request()->set_length(100);
  device->Send(request);
  EXPECT_EQ(device->Receive()->artifact_chunk().data(), "rate=5");

  const auto state_of = [&] {
    return all_.rollout_store->GetDevice(kProject, 1, DeviceName(0))->state;
  };
  DeviceMessage report;
  agent::v1::StateReport& state = *report.mutable_state_report();
  state.set_sequence(2);
  agent::v1::ComponentState& configuration = *state.add_components();
  configuration.set_kind(agent::v1::COMPONENT_KIND_CONFIGURATION);
  configuration.set_active_digest(*FromHex(digest));
  configuration.set_confirmed(true);
  configuration.set_release_sequence(1);
  device->Send(report);
  EXPECT_EQ(device->Receive()->ack().sequence(), 2U);
  EXPECT_EQ(state_of(), RolloutDeviceState::kOffered);
  agent::v1::ComponentState& model = *state.add_components();
  model.set_kind(agent::v1::COMPONENT_KIND_MODEL);
  model.set_active_digest(*FromHex(all_.registry.model_digest));
  model.set_confirmed(true);
  state.set_sequence(3);
  device->Send(report);
  EXPECT_EQ(device->Receive()->ack().sequence(), 3U);
  EXPECT_EQ(state_of(), RolloutDeviceState::kConfirmed);
  EXPECT_EQ(all_.fleet_store->GetState(DeviceName(0))->components.size(), 2U);
}

TEST_F(DeviceListenerTest, ArtifactsThatNoOfferNamesAreNotThere) {
  const auto device = Connect(0);
  DeviceMessage request;
  request.mutable_artifact_request()->set_digest(*FromHex(all_.registry.model_digest));
  request.mutable_artifact_request()->set_length(100);
  device->Send(request);
  EXPECT_EQ(CodeOf(device->Receive()), agent::v1::ERROR_CODE_NOT_FOUND);
  device->CheckIn(1);
  EXPECT_TRUE(device->Receive()->has_check_in_reply());  // The session goes on.
}

TEST_F(DeviceListenerTest, ASketchIsAckedRejectedOrKeptByWhatEvaluationSays) {
  const auto device = Connect(0);
  DeviceMessage report;
  report.mutable_sketch_report()->set_sequence(4);
  report.mutable_sketch_report()->set_model_digest(std::string(32, 'm'));
  report.mutable_sketch_report()->set_windows(7);
  device->Send(report);
  EXPECT_EQ(device->Receive()->ack().sequence(), 4U);
  EXPECT_EQ(all_.sketches.sketches().at(0).device, DeviceName(0));
  EXPECT_EQ(all_.sketches.sketches().at(0).windows, 7);

  all_.sketches.AnswerWith(absl::FailedPreconditionError("another reference"));
  device->Send(report);
  const auto rejected = device->Receive();
  EXPECT_EQ(CodeOf(rejected), agent::v1::ERROR_CODE_REJECTED);
  EXPECT_EQ(rejected->error().sequence(), 4U);

  all_.sketches.AnswerWith(absl::UnavailableError("10.0.0.7 is down"));
  device->Send(report);
  const auto kept = device->Receive();
  EXPECT_EQ(CodeOf(kept), agent::v1::ERROR_CODE_UNAVAILABLE);
  EXPECT_GT(kept->error().retry_after_ms(), 0U);
  EXPECT_THAT(kept->error().detail(), ::testing::Not(::testing::HasSubstr("10.0.0.7")));
}

TEST_F(DeviceListenerTest, ARecordingIsPutTogetherAndHandedOnAsFloats) {
  const auto device = Connect(0);
  std::string payload;
  for (int i = 0; i < 1200; ++i) {
    payload += std::string{static_cast<char>(i & 0xFF), static_cast<char>(i == 3 ? 0xFF : 0)};
  }
  device->Send(Chunk(6, payload, 0, 1024));
  device->Send(Chunk(6, payload, 1024, 1024));
  device->Send(Chunk(6, payload, 2048, 352));
  EXPECT_EQ(device->Receive()->ack().sequence(), 6U);
  const DeviceSample sample = all_.samples.samples().at(0);
  EXPECT_EQ(sample.device, DeviceName(0));
  EXPECT_EQ(sample.sequence, 6U);
  EXPECT_EQ(sample.payload.size(), payload.size() * 2);
  float fourth = 0;
  std::memcpy(&fourth, sample.payload.data() + 12, sizeof(fourth));
  EXPECT_EQ(fourth, (3 - 256) * 0.5F);
  EXPECT_THAT(sample.axes, ::testing::ElementsAre("x", "y"));
  EXPECT_EQ(sample.predicted_label, "run");
  EXPECT_EQ(sample.reason, "uncertain");
  EXPECT_EQ(sample.metadata.at("site"), "a");
}

TEST_F(DeviceListenerTest, ARecordingWithAWrongDigestIsRejectedAndTheSessionGoesOn) {
  const auto device = Connect(0);
  DeviceMessage chunk = Chunk(6, std::string(8, 'x'), 0, 8);
  chunk.mutable_sample_chunk()->mutable_header()->set_payload_digest(std::string(32, '0'));
  device->Send(chunk);
  const auto answer = device->Receive();
  EXPECT_EQ(CodeOf(answer), agent::v1::ERROR_CODE_REJECTED);
  EXPECT_EQ(answer->error().sequence(), 6U);
  device->Send(Chunk(7, std::string(8, 'x'), 0, 8));
  EXPECT_EQ(device->Receive()->ack().sequence(), 7U);
}

TEST_F(DeviceListenerTest, ChunksOutOfOrderEndTheSession) {
  const auto device = Connect(0);
  device->Send(Chunk(6, std::string(2048, 'x'), 1024, 1024));
  EXPECT_EQ(CodeOf(device->Receive()), agent::v1::ERROR_CODE_PROTOCOL);
  EXPECT_FALSE(device->Receive().has_value());
}

TEST_F(DeviceListenerTest, RecordingsBeyondTheMemoryForThemAreToComeLater) {
  ASSERT_TRUE(sample_budget_.Take((1 << 20) - 100));
  const auto device = Connect(0);
  device->Send(Chunk(6, std::string(2048, 'x'), 0, 1024));
  device->Send(Chunk(6, std::string(2048, 'x'), 1024, 1024));
  EXPECT_EQ(CodeOf(device->Receive()), agent::v1::ERROR_CODE_UNAVAILABLE);
  sample_budget_.Return((1 << 20) - 100);
  device->Send(Chunk(6, std::string(8, 'x'), 0, 8));
  EXPECT_EQ(device->Receive()->ack().sequence(), 6U);  // The chunk in between was ignored.
}

TEST_F(DeviceListenerTest, WithoutACertificateADeviceMayOnlyEnroll) {
  Listen();
  TestDevice device(listener_->address(), nullptr);
  ASSERT_TRUE(device.Handshake());
  device.Hello(0, "motor");
  EXPECT_TRUE(device.Receive()->has_hello_reply());
  DeviceMessage enroll;
  enroll.mutable_enroll_request()->set_token("bad");
  device.Send(enroll);
  EXPECT_EQ(CodeOf(device.Receive()), agent::v1::ERROR_CODE_REFUSED);
  enroll.mutable_enroll_request()->set_token("good");
  enroll.mutable_enroll_request()->set_csr("csr");
  device.Send(enroll);
  EXPECT_EQ(device.Receive()->certificate_reply().certificate(), "for csr");
  device.CheckIn(0);
  EXPECT_EQ(CodeOf(device.Receive()), agent::v1::ERROR_CODE_UNAUTHENTICATED);
  EXPECT_FALSE(device.Receive().has_value());
}

TEST_F(DeviceListenerTest, TokensCanBeGuessedThreeTimesAHandshake) {
  Listen();
  TestDevice device(listener_->address(), nullptr);
  ASSERT_TRUE(device.Handshake());
  device.Hello(0, "motor");
  device.Receive();
  DeviceMessage enroll;
  enroll.mutable_enroll_request()->set_token("bad");
  for (int i = 0; i < 3; ++i) {
    device.Send(enroll);
    EXPECT_EQ(CodeOf(device.Receive()), agent::v1::ERROR_CODE_REFUSED);
  }
  EXPECT_FALSE(device.Receive().has_value());
}

TEST_F(DeviceListenerTest, ACertificateIsRenewedWithinItsSession) {
  const auto device = Connect(0);
  DeviceMessage renew;
  renew.mutable_renew_request()->set_csr("csr2");
  device->Send(renew);
  EXPECT_EQ(device->Receive()->certificate_reply().certificate(), "again csr2");
}

TEST_F(DeviceListenerTest, ACertificateOfAnotherCaIsRefused) {
  Listen();
  const DeviceKey key = Enroll(service_ca_, "motor/d0", from_, until_);
  TestDevice device(listener_->address(), &key);
  device.Handshake();  // With TLS 1.3 the refusal comes after the client is done.
  device.Hello();
  EXPECT_FALSE(device.Receive().has_value());
}

TEST_F(DeviceListenerTest, AnExpiredCertificateRenewsItselfAndDoesNothingElse) {
  Listen();
  const DeviceKey key = Enroll(device_ca_, "motor/d0", from_, absl::Now() - absl::Minutes(1));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TestDevice device(listener_->address(), &key, version);
    ASSERT_TRUE(device.Handshake());
    device.Hello();
    EXPECT_TRUE(device.Receive()->has_hello_reply());
    device.ReportState(1, std::string(32, 'm'), true);
    EXPECT_EQ(device.Receive()->ack().sequence(), 1u);
    DeviceMessage renew;
    renew.mutable_renew_request()->set_csr("csr2");
    device.Send(renew);
    EXPECT_EQ(device.Receive()->certificate_reply().certificate(), "again csr2");
    device.CheckIn(0);
    ASSERT_EQ(CodeOf(device.Receive()), agent::v1::ERROR_CODE_UNAUTHENTICATED);
    EXPECT_FALSE(device.Receive().has_value());
  }
  EXPECT_EQ(Handshakes("expired"), 2);
  EXPECT_EQ(Handshakes("ok"), 0);
}

TEST_F(DeviceListenerTest, AnExpiredCertificateIsRefusedWhenItsGraceIsOver) {
  options_.renewal_grace = absl::Seconds(30);
  Listen();
  const DeviceKey key = Enroll(device_ca_, "motor/d0", from_, absl::Now() - absl::Minutes(1));
  TestDevice device(listener_->address(), &key);
  device.Handshake();
  device.Hello();
  ASSERT_EQ(CodeOf(device.Receive()), agent::v1::ERROR_CODE_UNAUTHENTICATED);
  EXPECT_FALSE(device.Receive().has_value());
  EXPECT_EQ(Handshakes("failed"), 1);
}

TEST_F(DeviceListenerTest, AnExpiredCertificateOfAnotherCaOrOfARevokedDeviceIsRefused) {
  Listen();
  const absl::Time end = absl::Now() - absl::Minutes(1);
  const DeviceKey foreign = Enroll(service_ca_, "motor/d0", from_, end);
  TestDevice stranger(listener_->address(), &foreign);
  stranger.Handshake();
  stranger.Hello();
  EXPECT_FALSE(stranger.Receive().has_value());
  all_.devices.Apply({.name = DeviceName(0),
                      .hardware_id = "posix",
                      .attributes = {},
                      .revoked = true,
                      .revision = 70});
  const DeviceKey key = Enroll(device_ca_, "motor/d0", from_, end);
  TestDevice device(listener_->address(), &key);
  ASSERT_TRUE(device.Handshake());
  device.Hello();
  EXPECT_EQ(CodeOf(device.Receive()), agent::v1::ERROR_CODE_UNAUTHENTICATED);
}

TEST_F(DeviceListenerTest, ADeviceThatProvisioningDoesNotKnowIsRefused) {
  Listen();
  const DeviceKey key = KeyOf(99);
  TestDevice device(listener_->address(), &key);
  ASSERT_TRUE(device.Handshake());
  device.Hello();
  EXPECT_EQ(CodeOf(device.Receive()), agent::v1::ERROR_CODE_UNAUTHENTICATED);
}

TEST_F(DeviceListenerTest, ADeviceThatWasEnrolledAMomentAgoIsAskedForAndServed) {
  all_.identity.Add({.name = DeviceName(50),
                     .hardware_id = "posix",
                     .attributes = {},
                     .revoked = false,
                     .revision = 60});
  Connect(50);
  EXPECT_TRUE(all_.devices.Find(DeviceName(50)).has_value());
}

TEST_F(DeviceListenerTest, ARevocationEndsTheLiveSessionAndRefusesTheNextOne) {
  const auto device = Connect(0);
  Device revoked = *all_.devices.Find(DeviceName(0));
  revoked.revoked = true;
  revoked.revision = 100;
  all_.AddDevice(revoked);
  EXPECT_EQ(CodeOf(device->Receive()), agent::v1::ERROR_CODE_UNAUTHENTICATED);
  EXPECT_FALSE(device->Receive().has_value());
  const DeviceKey key = KeyOf(0);
  TestDevice again(listener_->address(), &key);
  ASSERT_TRUE(again.Handshake());
  again.Hello();
  EXPECT_EQ(CodeOf(again.Receive()), agent::v1::ERROR_CODE_UNAUTHENTICATED);
}

TEST_F(DeviceListenerTest, ANewSessionOfADeviceEndsItsOldOne) {
  const auto old_session = Connect(0);
  const auto new_session = Connect(0);
  EXPECT_EQ(CodeOf(old_session->Receive()), agent::v1::ERROR_CODE_PROTOCOL);
  EXPECT_FALSE(old_session->Receive().has_value());
  new_session->CheckIn(1);
  EXPECT_TRUE(new_session->Receive()->has_check_in_reply());
}

TEST_F(DeviceListenerTest, AFrameThatIsTooLongEndsTheSession) {
  const auto device = Connect(0);
  device->SendBytes("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(CodeOf(device->Receive()), agent::v1::ERROR_CODE_PROTOCOL);
  EXPECT_FALSE(device->Receive().has_value());
}

TEST_F(DeviceListenerTest, AFrameThatCannotBeReadEndsTheSession) {
  const auto device = Connect(0);
  device->SendBytes(std::string("\x00\x03\xFF\xFF\xFF", 5));
  EXPECT_EQ(CodeOf(device->Receive()), agent::v1::ERROR_CODE_PROTOCOL);
  EXPECT_FALSE(device->Receive().has_value());
}

TEST_F(DeviceListenerTest, MessagesBeforeOrBesideTheOneHelloEndTheSession) {
  Listen();
  const DeviceKey key = KeyOf(0);
  TestDevice early(listener_->address(), &key);
  ASSERT_TRUE(early.Handshake());
  early.CheckIn(0);
  EXPECT_EQ(CodeOf(early.Receive()), agent::v1::ERROR_CODE_PROTOCOL);
  const auto twice = Connect(1);
  twice->Hello();
  EXPECT_EQ(CodeOf(twice->Receive()), agent::v1::ERROR_CODE_PROTOCOL);
}

TEST_F(DeviceListenerTest, BeyondTheCapDevicesAreToldWhenToComeBack) {
  options_.max_connections = 1;
  const auto first = Connect(0);
  const DeviceKey key = KeyOf(1);
  TestDevice second(listener_->address(), &key);
  ASSERT_TRUE(second.Handshake());
  const auto answer = second.Receive();
  EXPECT_EQ(CodeOf(answer), agent::v1::ERROR_CODE_OVERLOADED);
  EXPECT_GE(answer->error().retry_after_ms(), 5'000U);
  first->CheckIn(1);
  EXPECT_TRUE(first->Receive()->has_check_in_reply());
}

TEST_F(DeviceListenerTest, AHandshakeThatStallsIsGivenUp) {
  options_.handshake_timeout = absl::Milliseconds(50);
  Listen();
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  int port = 0;
  ASSERT_TRUE(
      absl::SimpleAtoi(listener_->address().substr(listener_->address().rfind(':') + 1), &port));
  socket.connect({asio::ip::make_address("127.0.0.1"), static_cast<asio::ip::port_type>(port)});
  std::array<char, 1> byte{};
  asio::error_code error;
  asio::read(socket, asio::buffer(byte), error);
  EXPECT_TRUE(error);
}

TEST_F(DeviceListenerTest, ItEndsWhileDevicesConnect) {
  for (int i = 0; i < 200; ++i) {
    Listen();
    const std::string address = listener_->address();
    std::atomic<bool> connected{false};
    std::atomic<bool> stop{false};
    std::thread devices([&] {
      asio::io_context io;
      while (!stop) {
        asio::ip::tcp::socket socket(io);
        asio::error_code error;
        socket.connect({asio::ip::make_address("127.0.0.1"), PortOf(address)}, error);
        connected = true;
        connected.notify_one();
      }
    });
    connected.wait(false);
    listener_.reset();
    stop = true;
    devices.join();
  }
}

TEST_F(DeviceListenerTest, PipelinedMessagesAreAnsweredInOrder) {
  const auto device = Connect(0);
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) {
    device->ReportState(sequence, std::string(32, 'm'), true);
    device->CheckIn(1);
  }
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) {
    EXPECT_EQ(device->Receive()->ack().sequence(), sequence);
    EXPECT_TRUE(device->Receive()->has_check_in_reply());
  }
}

}  // namespace
}  // namespace fieldloop::distribution
