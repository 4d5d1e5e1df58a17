// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// capacity_load: many devices in one process, each over its own mutual TLS 1.2 as the agent speaks
// it. For tests/bench/capacity.py, which knows what its figures are for. Reads commands from its
// input, a line each, and prints a line of JSON for each:
//
//   enroll          each device gets a token and a certificate
//   handshake       each makes a full handshake and leaves
//   resume          the same with the session of its last handshake
//   connect         each opens a session that stays: Hello, what it runs, a check-in
//   check-in N      each checks in N times
//   state N         each says N times what it runs
//   sketch N        each sends N sketches of the model
//   sample N        each sends N recordings
//   update          each takes the offer of the rollout to its end
//   close           all leave

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <fieldloop/agent/v1/agent.pb.h>
#include <fieldloop/agent/v1/trust.pb.h>
#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nlohmann/json.hpp>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

namespace pv = provisioning::v1;
using agent::v1::DeviceMessage;
using agent::v1::ServerMessage;
using nlohmann::json;

constexpr char kHardware[] = "posix";
constexpr std::uint32_t kNewestRoot = 1'000'000;  // Newer than any, so that none is sent.
constexpr std::uint32_t kPieceBytes = 8192;       // Of an artifact, as much as one answer brings.
constexpr int kAnswerSeconds = 120;               // Then a device gives up.

struct Options {
  std::string listener;      // Of devices, "127.0.0.1:7410".
  std::string provisioning;  // Address of provisioning's gRPC.
  std::string ca;
  std::string token;  // Of the administrator.
  std::string project;
  int devices = 1000;
  int threads = 32;
  std::string model_digest;  // Hex.
  std::uint32_t reference = 0;
  int classes = 2;
  std::vector<int> bins;  // Of each channel of the reference.
  int axes = 3;
  int readings = 25;  // Of a recording.
};

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using Session = std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION, SSL_SESSION_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX, SSL_CTX_free>>;

// A connection of one device.
class Link {
 public:
  Link() = default;
  ~Link() { Close(); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Uses `session` if it is not null; then the server must have resumed it.
  absl::Status Open(SSL_CTX* context, const sockaddr_in& to, X509* certificate, EVP_PKEY* key,
                    SSL_SESSION* session) {
    Close();
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{.tv_sec = kAnswerSeconds, .tv_usec = 0};
    const int one = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      return absl::UnavailableError(absl::StrCat("connect: ", std::strerror(errno)));
    }
    tls_ = SSL_new(context);
    SSL_set_fd(tls_, socket_);
    if (certificate != nullptr) {
      SSL_use_certificate(tls_, certificate);
      SSL_use_PrivateKey(tls_, key);
    }
    if (session != nullptr) {
      SSL_set_session(tls_, session);
    }
    if (SSL_connect(tls_) != 1) {
      return absl::UnavailableError("the handshake failed");
    }
    if ((session != nullptr) != (SSL_session_reused(tls_) == 1)) {
      return absl::InternalError("the server did not resume the session");
    }
    return absl::OkStatus();
  }

  // As a link that is lost: nothing is said.
  void Close() {
    if (tls_ != nullptr) {
      // Without this OpenSSL forgets the session.
      SSL_set_shutdown(tls_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
      SSL_free(tls_);
      tls_ = nullptr;
    }
    if (socket_ >= 0) {
      ::close(socket_);
      socket_ = -1;
    }
  }

  Session TakeSession() const { return Session(SSL_get1_session(tls_)); }

  absl::Status Send(const DeviceMessage& message) {
    const std::string body = message.SerializeAsString();
    const std::string frame =
        std::string{static_cast<char>(body.size() >> 8U), static_cast<char>(body.size() & 0xFFU)} +
        body;
    if (tls_ == nullptr || SSL_write(tls_, frame.data(), static_cast<int>(frame.size())) <= 0) {
      return absl::UnavailableError("the session has ended");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ServerMessage> Receive() {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string length, Read(2));
    const auto size = (static_cast<std::size_t>(static_cast<unsigned char>(length[0])) << 8U) |
                      static_cast<unsigned char>(length[1]);
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string body, Read(size));
    ServerMessage message;
    if (!message.ParseFromString(body)) {
      return absl::InternalError("the frame cannot be read");
    }
    if (message.has_error()) {
      return absl::InternalError(
          absl::StrCat("error ", message.error().code(), ": ", message.error().detail()));
    }
    return message;
  }

 private:
  absl::StatusOr<std::string> Read(std::size_t size) {
    std::string data(size, '\0');
    for (std::size_t filled = 0; filled < size;) {
      const int got = SSL_read(tls_, data.data() + filled, static_cast<int>(size - filled));
      if (got <= 0) {
        return absl::UnavailableError("the session has ended");
      }
      filled += static_cast<std::size_t>(got);
    }
    return data;
  }

  int socket_ = -1;
  SSL* tls_ = nullptr;
};

class Device {
 public:
  absl::Status Enroll(const Options& options, pv::ProvisioningService::Stub& provisioning,
                      SSL_CTX* context, const sockaddr_in& to, EVP_PKEY* key,
                      const std::string& csr) {
    pv::CreateEnrollmentTokenRequest request;
    request.set_parent(absl::StrCat("projects/", options.project));
    request.mutable_enrollment_token()->set_hardware_id(kHardware);
    FIELDLOOP_ASSIGN_OR_RETURN(
        const pv::CreateEnrollmentTokenResponse token,
        CallUnary(provisioning, &pv::ProvisioningService::Stub::CreateEnrollmentToken, request,
                  absl::Seconds(kAnswerSeconds)));
    FIELDLOOP_RETURN_IF_ERROR(link_.Open(context, to, nullptr, nullptr, nullptr));
    FIELDLOOP_RETURN_IF_ERROR(Hello(options.project));
    DeviceMessage message;
    message.mutable_enroll_request()->set_token(token.secret());
    message.mutable_enroll_request()->set_csr(csr);
    FIELDLOOP_RETURN_IF_ERROR(link_.Send(message));
    FIELDLOOP_ASSIGN_OR_RETURN(const ServerMessage reply, link_.Receive());
    link_.Close();
    const std::string& der = reply.certificate_reply().certificate();
    const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
    certificate_.reset(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
    key_ = key;
    return certificate_ != nullptr ? absl::OkStatus() : absl::InternalError("no certificate");
  }

  absl::Status Handshake(SSL_CTX* context, const sockaddr_in& to, bool resume) {
    FIELDLOOP_RETURN_IF_ERROR(
        link_.Open(context, to, certificate_.get(), key_, resume ? session_.get() : nullptr));
    session_ = link_.TakeSession();
    link_.Close();
    return absl::OkStatus();
  }

  absl::Status Connect(SSL_CTX* context, const sockaddr_in& to) {
    FIELDLOOP_RETURN_IF_ERROR(link_.Open(context, to, certificate_.get(), key_, nullptr));
    FIELDLOOP_RETURN_IF_ERROR(Hello(""));
    FIELDLOOP_RETURN_IF_ERROR(State());
    return CheckIn();
  }

  absl::Status CheckIn() {
    DeviceMessage message;
    message.mutable_check_in()->set_settings_version(settings_);
    FIELDLOOP_RETURN_IF_ERROR(link_.Send(message));
    for (;;) {
      FIELDLOOP_ASSIGN_OR_RETURN(ServerMessage answer, link_.Receive());
      if (answer.has_check_in_reply()) {
        return absl::OkStatus();
      }
      if (answer.has_settings()) {
        settings_ = answer.settings().version();
      } else if (answer.has_update_offer()) {
        offer_ = std::move(*answer.mutable_update_offer());
      }
    }
  }

  absl::Status State() {
    DeviceMessage message;
    agent::v1::StateReport& report = *message.mutable_state_report();
    report.set_sequence(++sequence_);
    if (!active_.empty()) {
      agent::v1::ComponentState& component = *report.add_components();
      component.set_kind(agent::v1::COMPONENT_KIND_MODEL);
      component.set_active_digest(active_);
      component.set_confirmed(true);
    }
    return SendAndAwaitAck(message);
  }

  absl::Status Sketch(const Options& options, const std::string& model) {
    DeviceMessage message;
    agent::v1::SketchReport& report = *message.mutable_sketch_report();
    report.set_sequence(++sequence_);
    report.set_model_digest(model);
    report.set_reference_id(options.reference);
    report.set_start_ms(1'700'000'000'000 + sequence_ * 300'000);
    report.set_period_ms(300'000);
    constexpr std::uint32_t kWindows = 600;
    report.set_windows(kWindows);
    for (int i = 0; i < options.classes; ++i) {
      report.add_class_counts(i == 0 ? kWindows : 0);
    }
    for (const int bins : options.bins) {
      agent::v1::ChannelSketch& channel = *report.add_channels();
      for (int i = 0; i < bins; ++i) {
        channel.add_bins(i == 0 ? kWindows : 0);
      }
      channel.set_mean(0.5F);
      channel.set_m2(3.0F);
      channel.set_max(1.0F);
    }
    return SendAndAwaitAck(message);
  }

  absl::Status Sample(const Options& options, const std::string& model, int number) {
    std::vector<float> values(static_cast<std::size_t>(options.readings * options.axes), 0.25F);
    values[0] = static_cast<float>(number);  // No two recordings are the same.
    values[1] = static_cast<float>(++sequence_);
    const std::string payload(reinterpret_cast<const char*>(values.data()),
                              values.size() * sizeof(float));
    constexpr std::size_t kChunk = 1024;
    for (std::size_t at = 0; at < payload.size(); at += kChunk) {
      DeviceMessage message;
      agent::v1::SampleChunk& chunk = *message.mutable_sample_chunk();
      chunk.set_sequence(sequence_);
      chunk.set_offset(static_cast<std::uint32_t>(at));
      chunk.set_total_bytes(static_cast<std::uint32_t>(payload.size()));
      chunk.set_data(payload.substr(at, kChunk));
      if (at == 0) {
        agent::v1::SampleHeader& header = *chunk.mutable_header();
        header.set_start_ms(1'700'000'000'000 + sequence_ * 1000);
        header.set_frequency_hz(50);
        header.set_axes(static_cast<std::uint32_t>(options.axes));
        header.set_encoding(agent::v1::SAMPLE_ENCODING_F32);
        header.set_reason(agent::v1::SAMPLE_REASON_RANDOM);
        header.set_probability(0.01F);
        header.set_model_digest(model);
        header.set_confidence(0.75F);
        header.set_payload_digest(Sha256Of(payload));
      }
      FIELDLOOP_RETURN_IF_ERROR(link_.Send(message));
    }
    return AwaitAck();
  }

  absl::Status Update() {
    for (int attempt = 0; offer_.manifest().payload().empty(); ++attempt) {
      if (attempt == 2) {
        return absl::NotFoundError("no offer came");
      }
      FIELDLOOP_RETURN_IF_ERROR(CheckIn());
    }
    agent::v1::ReleaseManifest manifest;
    agent::v1::Directive directive;
    if (!manifest.ParseFromString(offer_.manifest().payload()) ||
        !directive.ParseFromString(offer_.directive().payload()) ||
        manifest.components_size() != 1) {
      return absl::InternalError("the offer cannot be read");
    }
    const agent::v1::ReleaseComponent& component = manifest.components(0);
    FIELDLOOP_RETURN_IF_ERROR(
        Report(directive, manifest, agent::v1::UPDATE_PHASE_ACCEPTED, active_));
    FIELDLOOP_RETURN_IF_ERROR(Download(component.digest(), component.size_bytes()));
    for (const agent::v1::UpdatePhase phase :
         {agent::v1::UPDATE_PHASE_DOWNLOADED, agent::v1::UPDATE_PHASE_TRIAL,
          agent::v1::UPDATE_PHASE_CONFIRMED}) {
      FIELDLOOP_RETURN_IF_ERROR(Report(directive, manifest, phase, component.digest()));
    }
    active_ = component.digest();
    offer_.Clear();
    return State();
  }

  void Close() { link_.Close(); }

 private:
  absl::Status Hello(const std::string& project) {
    DeviceMessage message;
    agent::v1::Hello& hello = *message.mutable_hello();
    hello.set_protocol(1);
    hello.set_max_frame_bytes(2560);
    hello.set_nonce(RandomBytes(16));
    hello.set_hardware_id(kHardware);
    hello.set_agent_version("1");
    hello.set_root_version(kNewestRoot);
    hello.set_boot_count(1);
    hello.set_project(project);
    FIELDLOOP_RETURN_IF_ERROR(link_.Send(message));
    return link_.Receive().status();
  }

  absl::Status Report(const agent::v1::Directive& directive,
                      const agent::v1::ReleaseManifest& manifest, agent::v1::UpdatePhase phase,
                      const std::string& active) {
    DeviceMessage message;
    agent::v1::UpdateReport& report = *message.mutable_update_report();
    report.set_sequence(++sequence_);
    report.set_rollout_id(directive.rollout_id());
    report.set_phase(phase);
    report.set_active_digest(active);
    report.set_release_sequence(manifest.sequence());
    return SendAndAwaitAck(message);
  }

  absl::Status Download(const std::string& digest, std::uint32_t size) {
    Sha256 hash;
    for (std::uint32_t at = 0; at < size;) {
      DeviceMessage message;
      message.mutable_artifact_request()->set_digest(digest);
      message.mutable_artifact_request()->set_offset(at);
      message.mutable_artifact_request()->set_length(std::min(kPieceBytes, size - at));
      FIELDLOOP_RETURN_IF_ERROR(link_.Send(message));
      for (const std::uint32_t end = std::min(at + kPieceBytes, size); at < end;) {
        FIELDLOOP_ASSIGN_OR_RETURN(const ServerMessage answer, link_.Receive());
        if (answer.artifact_chunk().offset() != at || answer.artifact_chunk().data().empty()) {
          return absl::InternalError("the artifact came in another order");
        }
        hash.Update(answer.artifact_chunk().data());
        at += static_cast<std::uint32_t>(answer.artifact_chunk().data().size());
      }
    }
    return hash.Finish() == digest ? absl::OkStatus()
                                   : absl::DataLossError("the artifact has another digest");
  }

  absl::Status SendAndAwaitAck(const DeviceMessage& message) {
    FIELDLOOP_RETURN_IF_ERROR(link_.Send(message));
    return AwaitAck();
  }
  absl::Status AwaitAck() {
    FIELDLOOP_ASSIGN_OR_RETURN(const ServerMessage answer, link_.Receive());
    return answer.has_ack() && answer.ack().sequence() == sequence_
               ? absl::OkStatus()
               : absl::InternalError("another answer than the acknowledgement");
  }

  Link link_;
  Certificate certificate_;
  EVP_PKEY* key_ = nullptr;
  Session session_;
  std::uint64_t sequence_ = 0;
  std::uint32_t settings_ = 0;
  std::string active_;  // Digest of the model that it runs.
  agent::v1::UpdateOffer offer_;
};

// A certificate request for `key`, DER.
std::string RequestFor(EVP_PKEY* key) {
  X509_REQ* request = X509_REQ_new();
  X509_REQ_set_pubkey(request, key);
  X509_REQ_sign(request, key, EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request, &der);
  std::string csr(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  X509_REQ_free(request);
  return csr;
}

sockaddr_in AddressOf(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  int port = 0;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    std::cerr << "capacity_load: --listener: got " << text << ", want IPV4:PORT\n";
    std::exit(EXIT_FAILURE);
  }
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// Does `work` for each device, `threads` of them at a time.
json ForAll(std::vector<Device>& devices, int threads,
            const std::function<absl::Status(Device&, int)>& work) {
  std::atomic<std::size_t> next{0};
  std::atomic<int> failed{0};
  std::mutex mutex;
  std::string failure;
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&] {
      for (std::size_t i = next++; i < devices.size(); i = next++) {
        if (const absl::Status status = work(devices[i], static_cast<int>(i)); !status.ok()) {
          ++failed;
          const std::lock_guard<std::mutex> lock(mutex);
          failure = status.ToString();
        }
      }
    });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {{"devices", devices.size()},
          {"failed", failed.load()},
          {"failure", failure},
          {"seconds", seconds.count()}};
}

int Run(const Options& options) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const auto channel = OpenChannel(options.provisioning, {.ca = options.ca, .cert = "", .key = ""},
                                   "provisioning", options.token);
  if (!channel.ok()) {
    std::cerr << "capacity_load: " << channel.status() << "\n";
    return EXIT_FAILURE;
  }
  const auto provisioning = pv::ProvisioningService::NewStub(*channel);
  const sockaddr_in to = AddressOf(options.listener);
  const absl::StatusOr<std::string> model = FromHex(options.model_digest);
  const Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_file(context.get(), options.ca.c_str()) != 1 || !model.ok()) {
    std::cerr << "capacity_load: --ca or --model-digest cannot be read\n";
    return EXIT_FAILURE;
  }
  const Key key(EVP_EC_gen("P-256"));
  const std::string csr = RequestFor(key.get());
  std::vector<Device> devices(static_cast<std::size_t>(options.devices));

  const auto times = [](int count, const std::function<absl::Status()>& once) {
    absl::Status status;
    for (int i = 0; i < count && status.ok(); ++i) {
      status = once();
    }
    return status;
  };
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string what;
    int count = 1;
    words >> what >> count;
    const json result = ForAll(devices, options.threads, [&](Device& device, int i) {
      if (what == "enroll") {
        return device.Enroll(options, *provisioning, context.get(), to, key.get(), csr);
      }
      if (what == "handshake" || what == "resume") {
        return device.Handshake(context.get(), to, what == "resume");
      }
      if (what == "connect") {
        return device.Connect(context.get(), to);
      }
      if (what == "check-in") {
        return times(count, [&] { return device.CheckIn(); });
      }
      if (what == "state") {
        return times(count, [&] { return device.State(); });
      }
      if (what == "sketch") {
        return times(count, [&] { return device.Sketch(options, *model); });
      }
      if (what == "sample") {
        return times(count, [&] { return device.Sample(options, *model, i); });
      }
      if (what == "update") {
        return device.Update();
      }
      if (what == "close") {
        device.Close();
        return absl::OkStatus();
      }
      return absl::InvalidArgumentError("there is no such command");
    });
    std::cout << result << std::endl;
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace fieldloop

int main(int argc, char** argv) try {
  fieldloop::Options options;
  CLI::App app{"Many devices, for tests/bench/capacity.py."};
  app.add_option("--listener", options.listener)->required();
  app.add_option("--provisioning", options.provisioning)->required();
  app.add_option("--ca", options.ca)->required();
  app.add_option("--token", options.token)->required();
  app.add_option("--project", options.project)->required();
  app.add_option("--devices", options.devices)->check(CLI::Range(1, 20'000));
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 256));
  app.add_option("--model-digest", options.model_digest)->required();
  app.add_option("--reference", options.reference)->required();
  app.add_option("--classes", options.classes)->required();
  app.add_option("--bins", options.bins)->delimiter(',')->required();
  app.add_option("--axes", options.axes)->required();
  app.add_option("--readings", options.readings)->required();
  CLI11_PARSE(app, argc, argv);
  return fieldloop::Run(options);
} catch (const std::exception& error) {  // CLI11.
  std::cerr << "capacity_load: " << error.what() << "\n";
  return EXIT_FAILURE;
}
