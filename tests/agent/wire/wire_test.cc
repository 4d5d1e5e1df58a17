// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// What the agent costs on the wire, against the distribution's own listener. The figures that are
// printed stand in agent/docs/WIRE.md.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <fstream>
#include <memory>
#include <poll.h>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include "agent/ports/posix/posix_port.h"
#include "fieldloop_agent/agent.h"
#include "services/common/crypto/certificate.h"
#include "services/distribution/transport/device_listener.h"
#include "tests/agent/posix/temporary_directory.h"
#include "tests/services/distribution/support/fake_backends.h"

namespace fieldloop::distribution {
namespace {

struct Bytes {
  std::uint64_t up = 0;
  std::uint64_t down = 0;
  std::uint64_t both() const { return up + down; }
};

void Print(const char* what, const Bytes& bytes) {
  std::printf("%-60s %5llu up %5llu down %5llu both ways\n", what,
              static_cast<unsigned long long>(bytes.up),
              static_cast<unsigned long long>(bytes.down),
              static_cast<unsigned long long>(bytes.both()));
}

// An agent on the posix port, and the listener that it talks to. Application data is counted at the
// port, what goes over the network by the kernel.
class WireTest : public ::testing::Test {
 protected:
  WireTest() {
    all_.AddDevices(1);
    Listen();
    Open();
    Enroll();
  }
  ~WireTest() override {
    fl_posix_close(&posix_);
    listener_.reset();
  }

  void Listen() {
    const auto server =
        service_ca_.IssueForService("distribution", {"distribution"}, from_, until_);
    options_.certificate_file = Write("cert.pem", server.certificate_pem);
    options_.key_file = Write("key.pem", server.key_pem);
    options_.device_ca_file = Write("ca.pem", device_ca_.CertificatePem());
    options_.local_workers = 1;
    options_.remote_workers = 1;
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
    tcp_port_ = listener_->address().substr(listener_->address().rfind(':') + 1);
  }
  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = files_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  void Open() {
    state_ = files_.path() + "/state";
    authorities_ = service_ca_.CertificatePem();
    posix_config_.state_directory = state_.c_str();
    std::snprintf(server_.host, sizeof server_.host, "127.0.0.1");
    std::snprintf(server_.port, sizeof server_.port, "%s", tcp_port_.c_str());
    posix_config_.servers = &server_;
    posix_config_.server_count = 1;
    posix_config_.server_name = "distribution";
    posix_config_.authorities_pem = reinterpret_cast<const std::uint8_t*>(authorities_.c_str());
    posix_config_.authorities_size = authorities_.size();
    ASSERT_EQ(fl_posix_open(&posix_, &posix_config_), FL_OK) << posix_.failure;
    port_ = posix_.port;
    port_.context = this;
    port_.now_ms = [](void* context) { return Self(context)->now_ms_; };
    port_.connect = [](void* context, bool use_identity) {
      return Real(context).connect(&Self(context)->posix_, use_identity);
    };
    port_.send = [](void* context, const std::uint8_t* src, std::size_t size, std::size_t* sent) {
      const fl_status_t status = Real(context).send(&Self(context)->posix_, src, size, sent);
      if (status == FL_OK) Self(context)->application_.up += *sent;
      return status;
    };
    port_.receive = [](void* context, std::uint8_t* dst, std::size_t capacity, std::size_t* size) {
      const fl_status_t status = Real(context).receive(&Self(context)->posix_, dst, capacity, size);
      if (status == FL_OK) Self(context)->application_.down += *size;
      return status;
    };
    port_.random = [](void* context, void* dst, std::size_t size) {
      return Real(context).random(&Self(context)->posix_, dst, size);
    };
    port_.close = [](void* context) { Real(context).close(&Self(context)->posix_); };
    port_.identity = [](void* context, fl_identity_t* identity) {
      return Real(context).identity(&Self(context)->posix_, identity);
    };
    port_.firmware = {};
    port_.log = nullptr;
  }

  // As an enrolment would: a request of the device, and a certificate of the device CA.
  void Enroll() {
    std::uint8_t csr[512];
    std::size_t size = 0;
    ASSERT_EQ(posix_.port.identity_request(&posix_, csr, sizeof csr, &size), FL_OK);
    const auto certificate = device_ca_.IssueForRequest({reinterpret_cast<const char*>(csr), size},
                                                        "motor/d0", from_, until_);
    ASSERT_TRUE(certificate.ok()) << certificate.status();
    const std::string issuer = DerOf(device_ca_.CertificatePem());
    ASSERT_EQ(posix_.port.identity_store(
                  &posix_, reinterpret_cast<const std::uint8_t*>(certificate->data()),
                  certificate->size(), reinterpret_cast<const std::uint8_t*>(issuer.data()),
                  issuer.size()),
              FL_OK);
  }
  static std::string DerOf(const std::string& pem) {
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate, &bytes);
    std::string der(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    X509_free(certificate);
    BIO_free(bio);
    return der;
  }

  // Waits until the socket has something for the device.
  void Wait() const {
    const fl_posix_transport_t& transport = posix_.transport;
    pollfd ready = {transport.socket,
                    static_cast<short>(transport.wants_write ? POLLIN | POLLOUT : POLLIN), 0};
    poll(&ready, 1, 5000);
  }
  // TCP payload since the connection began.
  Bytes Network() const {
    tcp_info info = {};
    socklen_t size = sizeof info;
    EXPECT_EQ(getsockopt(posix_.transport.socket, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return {info.tcpi_bytes_sent - info.tcpi_bytes_retrans, info.tcpi_bytes_received};
  }

  // A connection of the port alone, until the handshake is done.
  Bytes Handshake() {
    fl_status_t status = FL_ERR_AGAIN;
    while ((status = posix_.port.connect(&posix_, true)) == FL_ERR_AGAIN) Wait();
    EXPECT_EQ(status, FL_OK);
    const Bytes bytes = Network();
    posix_.port.close(&posix_);
    return bytes;
  }

  static WireTest* Self(void* context) { return static_cast<WireTest*>(context); }
  static const fl_port_t& Real(void* context) { return Self(context)->posix_.port; }

  const absl::Time from_ = absl::Now() - absl::Hours(1);
  const absl::Time until_ = absl::Now() + absl::Hours(1);
  const CertificateAuthority device_ca_ = CertificateAuthority::Generate("devices", from_, until_);
  const CertificateAuthority service_ca_ =
      CertificateAuthority::Generate("services", from_, until_);
  const agent::TemporaryDirectory files_;
  TestDistribution all_;
  SigningKey directive_key_ = SigningKey::Generate();
  OfferSigner signer_{*SigningKey::FromPem(directive_key_.ToPem()), all_.clock};
  SampleBudget sample_budget_{1 << 20};
  prometheus::Registry prometheus_;
  DeviceMetrics metrics_{prometheus_};
  DeviceListenerOptions options_;
  std::unique_ptr<DeviceListener> listener_;
  std::string tcp_port_;
  std::string state_;
  std::string authorities_;
  fl_posix_server_t server_ = {};
  fl_posix_config_t posix_config_ = {};
  fl_posix_t posix_ = {};
  fl_port_t port_ = {};
  Bytes application_;
  std::uint64_t now_ms_ = 1000;
};

// A root document that can be read; nothing is offered.
std::string SomeRoot() {
  agent::v1::RootDocument root;
  root.set_version(1);
  root.add_keys()->set_public_key(std::string(65, '\4'));
  for (agent::v1::TrustedRole* role :
       {root.mutable_root(), root.mutable_release(), root.mutable_directive()}) {
    role->add_key_indices(0);
    role->set_threshold(1);
  }
  agent::v1::SignedDocument document;
  document.set_payload(root.SerializeAsString());
  return document.SerializeAsString();
}

TEST_F(WireTest, AnIdleCheckInIsAtMost40BytesOfApplicationData) {
  const std::string root = SomeRoot();
  fl_agent_config_t config = {};
  config.project = "motor";
  config.hardware_id = "posix";
  config.root = reinterpret_cast<const std::uint8_t*>(root.data());
  config.root_size = root.size();
  const fl_app_t app = {};
  const auto agent = std::make_unique<fl_agent_t>();
  ASSERT_EQ(fl_agent_init(agent.get(), &port_, &app, &config), FL_OK);

  // Until a check-in was answered, after which nothing is to be done for a while.
  const auto settle = [&] {
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t next = fl_agent_poll(agent.get());
      if (!agent->session.check_in_waiting && next > now_ms_ + 40'000) return true;
      if (posix_.transport.socket >= 0 && next > now_ms_) {
        Wait();
      } else {
        now_ms_ = std::max(now_ms_, next);
      }
    }
    return false;
  };
  ASSERT_TRUE(settle());
  Print("connect, report and first check-in: application data", application_);

  const Bytes before = Network();
  application_ = {};
  now_ms_ = agent->due.next_check_in_ms;
  ASSERT_TRUE(settle());
  const Bytes after = Network();
  Print("idle check-in: application data", application_);
  Print("idle check-in: with TLS records", {after.up - before.up, after.down - before.down});
  EXPECT_GT(application_.up, 0u);
  EXPECT_GT(application_.down, 0u);
  EXPECT_LE(application_.both(), 40u);
}

TEST_F(WireTest, ATlsSessionIsResumedAfterAnEndWithoutGoodbyeForAThirdOfTheBytes) {
  const Bytes full = Handshake();
  const Bytes resumed = Handshake();
  Print("TLS 1.2 mutual, ECDHE-ECDSA P-256: full handshake", full);
  Print("TLS 1.2 mutual, ECDHE-ECDSA P-256: resumed by session id", resumed);
  EXPECT_EQ(posix_.transport.tls.resumed, 1u);
  EXPECT_LE(full.both(), 2000u);
  EXPECT_LE(resumed.both() * 3, full.both());
}

// --- A pre-shared key, between two ends of mbedTLS in memory ---

// One direction of a connection.
struct Pipe {
  std::deque<unsigned char> bytes;
  std::uint64_t total = 0;
};

class PskEnd {
 public:
  PskEnd(int role, Pipe& out, Pipe& in, mbedtls_ctr_drbg_context* random,
         mbedtls_ssl_cache_context* cache)
      : out_(out), in_(in) {
    static constexpr int kSuites[] = {MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, 0};
    static constexpr unsigned char kKey[16] = {1, 2, 3};
    static constexpr unsigned char kName[] = "device-1";
    mbedtls_ssl_config_init(&config_);
    mbedtls_ssl_init(&ssl_);
    EXPECT_EQ(mbedtls_ssl_config_defaults(&config_, role, MBEDTLS_SSL_TRANSPORT_STREAM,
                                          MBEDTLS_SSL_PRESET_DEFAULT),
              0);
    mbedtls_ssl_conf_rng(&config_, mbedtls_ctr_drbg_random, random);
    mbedtls_ssl_conf_ciphersuites(&config_, kSuites);
    EXPECT_EQ(mbedtls_ssl_conf_psk(&config_, kKey, sizeof kKey, kName, sizeof kName - 1), 0);
    if (cache != nullptr) {
      mbedtls_ssl_conf_session_cache(&config_, cache, mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
    } else {
      mbedtls_ssl_conf_session_tickets(&config_, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    }
    EXPECT_EQ(mbedtls_ssl_setup(&ssl_, &config_), 0);
    mbedtls_ssl_set_bio(&ssl_, this, Send, Receive, nullptr);
  }
  ~PskEnd() {
    mbedtls_ssl_free(&ssl_);
    mbedtls_ssl_config_free(&config_);
  }
  PskEnd(const PskEnd&) = delete;
  PskEnd& operator=(const PskEnd&) = delete;

  mbedtls_ssl_context* ssl() { return &ssl_; }

 private:
  static int Send(void* context, const unsigned char* src, std::size_t size) {
    Pipe& pipe = static_cast<PskEnd*>(context)->out_;
    pipe.bytes.insert(pipe.bytes.end(), src, src + size);
    pipe.total += size;
    return static_cast<int>(size);
  }
  static int Receive(void* context, unsigned char* dst, std::size_t size) {
    Pipe& pipe = static_cast<PskEnd*>(context)->in_;
    if (pipe.bytes.empty()) return MBEDTLS_ERR_SSL_WANT_READ;
    const std::size_t part = std::min(size, pipe.bytes.size());
    const auto end = pipe.bytes.begin() + static_cast<std::ptrdiff_t>(part);
    std::copy(pipe.bytes.begin(), end, dst);
    pipe.bytes.erase(pipe.bytes.begin(), end);
    return static_cast<int>(part);
  }

  Pipe& out_;
  Pipe& in_;
  mbedtls_ssl_config config_ = {};
  mbedtls_ssl_context ssl_ = {};
};

TEST(PreSharedKeyTest, AHandshakeIsAFewHundredBytes) {
  mbedtls_entropy_context entropy;
  mbedtls_ctr_drbg_context random;
  mbedtls_ssl_cache_context cache;
  mbedtls_ssl_session session;
  mbedtls_entropy_init(&entropy);
  mbedtls_ctr_drbg_init(&random);
  mbedtls_ssl_cache_init(&cache);
  mbedtls_ssl_session_init(&session);
  ASSERT_EQ(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, nullptr, 0), 0);
  const auto handshake = [&](bool resume) {
    Pipe up;
    Pipe down;
    PskEnd client(MBEDTLS_SSL_IS_CLIENT, up, down, &random, nullptr);
    PskEnd server(MBEDTLS_SSL_IS_SERVER, down, up, &random, &cache);
    if (resume) {
      EXPECT_EQ(mbedtls_ssl_set_session(client.ssl(), &session), 0);
    }
    int client_result = 1;
    int server_result = 1;
    for (int i = 0; i < 100 && (client_result != 0 || server_result != 0); ++i) {
      if (client_result != 0) client_result = mbedtls_ssl_handshake(client.ssl());
      if (server_result != 0) server_result = mbedtls_ssl_handshake(server.ssl());
    }
    EXPECT_EQ(client_result, 0);
    EXPECT_EQ(server_result, 0);
    if (!resume) {
      EXPECT_EQ(mbedtls_ssl_get_session(client.ssl(), &session), 0);
    }
    return Bytes{up.total, down.total};
  };
  const Bytes full = handshake(false);
  const Bytes resumed = handshake(true);
  Print("TLS 1.2 PSK, AES-128-CCM-8: full handshake", full);
  Print("TLS 1.2 PSK, AES-128-CCM-8: resumed by session id", resumed);
  EXPECT_LE(full.both(), 450u);
  EXPECT_LE(resumed.both(), 450u);
  mbedtls_ssl_session_free(&session);
  mbedtls_ssl_cache_free(&cache);
  mbedtls_ctr_drbg_free(&random);
  mbedtls_entropy_free(&entropy);
}

}  // namespace
}  // namespace fieldloop::distribution
