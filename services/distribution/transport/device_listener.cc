// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/device_listener.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/bind_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/ssl/context.hpp>
#include <asio/ssl/stream.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <asio/write.hpp>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/log/log.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {
namespace {

using agent::v1::ServerMessage;
using asio::ip::tcp;

constexpr std::size_t kLengthBytes = 2;
constexpr std::chrono::seconds kGoodbye{1};  // For the device to take the last answer.
constexpr std::chrono::milliseconds kAcceptPause{100};
// Connections beyond max_connections that still get a handshake, to be told when to come back.
constexpr int kSurplusDivisor = 8;
constexpr int kSurplusAtLeast = 16;
constexpr double kOverloadedMinMs = 5'000;
constexpr double kOverloadedMaxMs = 30'000;
constexpr std::int64_t kTlsSessionSeconds = std::int64_t{24} * 3600;

void AppendFrame(const ServerMessage& message, std::string& out) {
  const std::string body = message.SerializeAsString();
  out.push_back(static_cast<char>((body.size() >> 8) & 0xFFU));
  out.push_back(static_cast<char>(body.size() & 0xFFU));
  out += body;
}

// What the verified certificate of the peer says.
struct PeerCertificate {
  bool present = false;
  bool acceptable = false;  // By its dates: a resumed session does not look at them again.
  DeviceCertificate certificate;
};

// Lets a device's certificate through whose only fault is that it has ended: ReadPeerCertificate()
// looks at the dates.
int AcceptExpired(int verified, X509_STORE_CTX* context) {
  if (verified == 0 && X509_STORE_CTX_get_error_depth(context) == 0 &&
      X509_STORE_CTX_get_error(context) == X509_V_ERR_CERT_HAS_EXPIRED) {
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
  }
  return verified;
}

PeerCertificate ReadPeerCertificate(SSL* ssl, absl::Duration renewal_grace) {
  PeerCertificate peer;
  const std::unique_ptr<X509, void (*)(X509*)> certificate(SSL_get1_peer_certificate(ssl),
                                                           &X509_free);
  if (certificate == nullptr) {
    return peer;
  }
  peer.present = true;
  const ASN1_TIME* end = X509_get0_notAfter(certificate.get());
  std::time_t latest_end = absl::ToTimeT(absl::Now() - renewal_grace);
  peer.acceptable = X509_cmp_current_time(X509_get0_notBefore(certificate.get())) < 0 &&
                    X509_cmp_time(end, &latest_end) > 0;
  peer.certificate.expired = X509_cmp_current_time(end) < 0;
  std::array<char, 256> name{};
  const int length =
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName,
                                name.data(), static_cast<int>(name.size()));
  if (length > 0) {
    peer.certificate.common_name.assign(name.data(), static_cast<std::size_t>(length));
  }
  return peer;
}

absl::Status PrepareTls(const DeviceListenerOptions& options, SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   // Sessions are kept here rather than in tickets: a ticket would
                                   // carry the device's certificate over the air each time.
                                   SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM") != 1) {
    return absl::InternalError("TLS ciphers");
  }
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("tls-cert: cannot use \"", options.certificate_file, "\""));
  }
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("tls-key: cannot use \"", options.key_file, "\""));
  }
  if (SSL_CTX_load_verify_file(context, options.device_ca_file.c_str()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("device-ca: cannot use \"", options.device_ca_file, "\""));
  }
  // Asked for, and verified when there is one: a device that enrols has none yet.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, &AcceptExpired);
  constexpr std::array<unsigned char, 9> kSessionContext = {'f', 'i', 'e', 'l', 'd',
                                                            'l', 'o', 'o', 'p'};
  SSL_CTX_set_session_id_context(context, kSessionContext.data(), kSessionContext.size());
  SSL_CTX_set_timeout(context, kTlsSessionSeconds);
  SSL_CTX_sess_set_cache_size(context, 2L * options.max_connections);
  SSL_CTX_set_num_tickets(context, 1);
  return absl::OkStatus();
}

}  // namespace

struct DeviceListener::State {
  class Session;

  State(DeviceListenerOptions listener_options, DeviceServices device_services)
      : options(std::move(listener_options)),
        services(std::move(device_services)),
        tls(asio::ssl::context::tls_server),
        work(asio::make_work_guard(io)),
        acceptor(asio::make_strand(io)),
        accept_timer(acceptor.get_executor()),
        local(static_cast<std::size_t>(options.local_workers)),
        remote(static_cast<std::size_t>(options.remote_workers)) {}

  absl::Status Listen();
  void Accept();
  void Serve(tcp::socket socket);
  // Makes `session` the one of its device; one that was there before ends.
  void Register(const std::string& device, const std::shared_ptr<Session>& session);
  // Forgets `session`, and says the device has gone unless it has another one.
  void Unregister(const std::string& device, const Session* session);
  // Ends the session of a device that is no longer trusted.
  void EndSession(const std::string& device);
  std::uint32_t OverloadedRetryMs() const {
    return static_cast<std::uint32_t>(kOverloadedMinMs +
                                      (kOverloadedMaxMs - kOverloadedMinMs) * services.random());
  }

  const DeviceListenerOptions options;
  DeviceServices services;
  asio::ssl::context tls;
  std::atomic<int> connections{0};
  std::atomic<int> waiting{0};  // Messages that are with the workers.
  std::mutex mutex;
  bool stopping = false;                                                // Guarded by mutex.
  std::unordered_map<const Session*, std::weak_ptr<Session>> sessions;  // Guarded by mutex.
  std::unordered_map<std::string, std::weak_ptr<Session>> by_device;    // Guarded by mutex.
  // After all that a session uses when it ends: what waits here at the end may hold some.
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  tcp::acceptor acceptor;
  asio::steady_timer accept_timer;
  std::string address;
  asio::thread_pool local;
  asio::thread_pool remote;
  std::vector<std::thread> io_threads;
};

// One connection. Everything but the work on a message happens on its strand.
class DeviceListener::State::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(State& state, tcp::socket socket, bool overloaded)
      : state_(state),
        overloaded_(overloaded),
        stream_(std::move(socket), state.tls),
        timer_(stream_.get_executor()) {}

  ~Session() {
    // A device whose link was lost resumes its TLS session: without this OpenSSL forgets a session
    // whose connection ended without a goodbye.
    SSL_set_shutdown(stream_.native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    state_.Unregister(conversation_ == nullptr ? "" : conversation_->device(), this);
    state_.services.metrics.connections.Set(static_cast<double>(--state_.connections));
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Start() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->Handshake(); });
  }

  // The device is no longer trusted, or has a newer session.
  void End(agent::v1::ErrorCode code, std::string detail) {
    asio::post(stream_.get_executor(),
               [self = shared_from_this(), code, detail = std::move(detail)] {
                 self->end_ = MakeError(code, detail);
                 self->FinishIfIdle();
               });
  }

  void Close() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->CloseNow(); });
  }

 private:
  // Closes the connection unless something happens before.
  void Limit(absl::Duration timeout) {
    timer_.expires_after(absl::ToChronoMilliseconds(timeout));
    timer_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
      const std::shared_ptr<Session> self = weak.lock();
      if (!error && self != nullptr) {
        self->CloseNow();
      }
    });
  }

  void Handshake() {
    Limit(state_.options.handshake_timeout);
    stream_.async_handshake(
        asio::ssl::stream_base::server,
        [self = shared_from_this()](const asio::error_code& error) { self->OnHandshake(error); });
  }

  void CloseNow() {
    timer_.cancel();
    asio::error_code ignored;
    // NOLINTNEXTLINE(bugprone-unused-return-value): nothing can be done about it.
    stream_.lowest_layer().close(ignored);
  }

  void OnHandshake(const asio::error_code& error) {
    if (error) {
      state_.services.metrics.CountHandshake("failed");
      return CloseNow();
    }
    if (overloaded_) {
      state_.services.metrics.CountHandshake("overloaded");
      return Finish(MakeError(agent::v1::ERROR_CODE_OVERLOADED, "too many devices",
                              state_.OverloadedRetryMs()));
    }
    PeerCertificate peer =
        ReadPeerCertificate(stream_.native_handle(), state_.options.renewal_grace);
    if (peer.present && (!peer.acceptable || peer.certificate.common_name.empty())) {
      state_.services.metrics.CountHandshake("failed");
      return Finish(
          MakeError(agent::v1::ERROR_CODE_UNAUTHENTICATED, "the certificate is not valid now"));
    }
    state_.services.metrics.CountHandshake(peer.certificate.expired ? "expired"
                                           : SSL_session_reused(stream_.native_handle()) != 0
                                               ? "resumed"
                                               : "ok");
    conversation_ =
        std::make_unique<DeviceConversation>(state_.services, std::move(peer.certificate));
    // Before the conversation looks whether the device is trusted: a revocation that comes after
    // that look finds the session.
    if (!conversation_->device().empty()) {
      state_.Register(conversation_->device(), shared_from_this());
    }
    ReadLength();
  }

  void ReadLength() {
    reading_ = true;
    asio::async_read(stream_, asio::buffer(length_),
                     [self = shared_from_this()](const asio::error_code& error, std::size_t) {
                       self->OnLength(error);
                     });
  }

  void OnLength(const asio::error_code& error) {
    if (error || ending_) {
      reading_ = false;
      return ending_ ? void() : CloseNow();
    }
    const std::size_t size = (std::size_t{length_[0]} << 8) | length_[1];
    if (size > kMaxDeviceFrameBytes) {
      reading_ = false;
      return Finish(MakeError(agent::v1::ERROR_CODE_PROTOCOL, "the frame is too long"));
    }
    frame_.resize(size);
    asio::async_read(stream_, asio::buffer(frame_),
                     [self = shared_from_this()](const asio::error_code& read_error, std::size_t) {
                       self->OnFrame(read_error);
                     });
  }

  void OnFrame(const asio::error_code& error) {
    reading_ = false;
    if (error || ending_) {
      return ending_ ? void() : CloseNow();
    }
    state_.services.metrics.received_bytes.Increment(
        static_cast<double>(kLengthBytes + frame_.size()));
    agent::v1::DeviceMessage message;
    const bool parsed = message.ParseFromString(frame_);
    frame_.clear();
    frame_.shrink_to_fit();
    if (!parsed) {
      return Finish(MakeError(agent::v1::ERROR_CODE_PROTOCOL, "the frame cannot be read"));
    }
    if (message.has_hello() && state_.waiting.load() >= state_.options.max_waiting) {
      return Finish(MakeError(agent::v1::ERROR_CODE_OVERLOADED, "too many devices",
                              state_.OverloadedRetryMs()));
    }
    timer_.cancel();  // The time of the work is ours.
    working_ = true;
    ++state_.waiting;
    asio::thread_pool& pool =
        conversation_->LaneOf(message) == DeviceLane::kLocal ? state_.local : state_.remote;
    asio::post(pool, [self = shared_from_this(), message = std::move(message)] {
      DeviceAnswer answer = self->conversation_->Handle(message);
      --self->state_.waiting;
      asio::post(self->stream_.get_executor(),
                 [self, answer = std::move(answer)] { self->OnAnswer(answer); });
    });
  }

  void OnAnswer(const DeviceAnswer& answer) {
    working_ = false;
    out_.clear();
    for (const ServerMessage& message : answer.messages) {
      AppendFrame(message, out_);
    }
    patience_ = answer.patience;
    close_ = answer.close;
    if (out_.empty()) {
      return OnWritten({});
    }
    state_.services.metrics.sent_bytes.Increment(static_cast<double>(out_.size()));
    Limit(state_.options.write_timeout);
    writing_ = true;
    asio::async_write(stream_, asio::buffer(out_),
                      [self = shared_from_this()](const asio::error_code& error, std::size_t) {
                        self->writing_ = false;
                        self->OnWritten(error);
                      });
  }

  void OnWritten(const asio::error_code& error) {
    if (error) {
      return CloseNow();
    }
    out_.clear();
    out_.shrink_to_fit();
    if (close_) {
      return SayGoodbye();
    }
    if (end_.has_value()) {
      return FinishIfIdle();
    }
    Limit(patience_);
    ReadLength();
  }

  // Ends the session as end_ says, now or when the work on the current message is done.
  void FinishIfIdle() {
    if (!working_ && !writing_ && !ending_ && conversation_ != nullptr) {
      Finish(*end_);
    }
  }

  // Sends a last message.
  void Finish(const ServerMessage& message) {
    if (ending_) {
      return;
    }
    ending_ = true;
    out_.clear();
    AppendFrame(message, out_);
    state_.services.metrics.sent_bytes.Increment(static_cast<double>(out_.size()));
    Limit(absl::FromChrono(kGoodbye));
    asio::async_write(stream_, asio::buffer(out_),
                      [self = shared_from_this()](const asio::error_code& error, std::size_t) {
                        error ? self->CloseNow() : self->SayGoodbye();
                      });
  }

  // Says that no more comes, and leaves the device a moment to read what came: closing at once
  // would reset the connection, and the device might lose the answer.
  void SayGoodbye() {
    ending_ = true;
    Limit(absl::FromChrono(kGoodbye));
    if (reading_) {
      // A TLS shutdown must not run beside a read; half a close says the same.
      asio::error_code ignored;
      // NOLINTNEXTLINE(bugprone-unused-return-value): nothing can be done about it.
      stream_.lowest_layer().shutdown(tcp::socket::shutdown_send, ignored);
      return;
    }
    stream_.async_shutdown(
        [self = shared_from_this()](const asio::error_code& /*error*/) { self->CloseNow(); });
  }

  State& state_;
  const bool overloaded_;
  asio::ssl::stream<tcp::socket> stream_;
  asio::steady_timer timer_;
  std::unique_ptr<DeviceConversation> conversation_;  // Set once, after the handshake.
  std::array<unsigned char, kLengthBytes> length_{};
  std::string frame_;
  std::string out_;
  absl::Duration patience_;
  std::optional<ServerMessage> end_;  // Why the session is to end.
  bool reading_ = false;
  bool working_ = false;
  bool writing_ = false;
  bool close_ = false;   // After the answer that is being written.
  bool ending_ = false;  // The last message is on its way: nothing else is sent or read.
};

absl::Status DeviceListener::State::Listen() {
  FIELDLOOP_RETURN_IF_ERROR(PrepareTls(options, tls.native_handle()));
  const std::size_t colon = options.address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(options.address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("device-listen: got \"", options.address, "\", want host:port"));
  }
  asio::error_code error;
  const auto host = asio::ip::make_address(options.address.substr(0, colon), error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("device-listen: got \"", options.address, "\", want an IP address"));
  }
  const tcp::endpoint endpoint(host, static_cast<asio::ip::port_type>(port));
  acceptor.open(endpoint.protocol(), error);
  if (!error) {
    acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    acceptor.bind(endpoint, error);
  }
  if (!error) {
    acceptor.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.address, ": ", error.message()));
  }
  const tcp::endpoint bound = acceptor.local_endpoint(error);
  address = absl::StrCat(options.address.substr(0, colon), ":", bound.port());
  services.devices.OnRevoked([this](const std::string& device) { EndSession(device); });
  Accept();
  for (int i = 0; i < options.io_threads; ++i) {
    io_threads.emplace_back([this] { io.run(); });
  }
  return absl::OkStatus();
}

void DeviceListener::State::Accept() {
  if (!acceptor.is_open()) {
    return;
  }
  // Each connection has a strand: its handlers never run at the same time.
  acceptor.async_accept(asio::make_strand(io),
                        [this](const asio::error_code& error, tcp::socket socket) {
                          if (error == asio::error::operation_aborted) {
                            return;
                          }
                          if (!error) {
                            Serve(std::move(socket));
                            return Accept();
                          }
                          // Out of file descriptors, most likely: some will come back.
                          spdlog::warn("accepting devices: {}", error.message());
                          accept_timer.expires_after(kAcceptPause);
                          accept_timer.async_wait([this](const asio::error_code& stopped) {
                            if (!stopped) {
                              Accept();
                            }
                          });
                        });
}

void DeviceListener::State::Serve(tcp::socket socket) {
  const int surplus = std::max(kSurplusAtLeast, options.max_connections / kSurplusDivisor);
  if (connections.load() >= options.max_connections + surplus) {
    return;  // Not even a handshake: the socket closes here.
  }
  const int open = ++connections;
  services.metrics.connections.Set(static_cast<double>(open));
  asio::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  const auto session =
      std::make_shared<Session>(*this, std::move(socket), open > options.max_connections);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (stopping) {
      return;
    }
    sessions.emplace(session.get(), session);
  }
  session->Start();
}

void DeviceListener::State::Register(const std::string& device,
                                     const std::shared_ptr<Session>& session) {
  std::shared_ptr<Session> before;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    std::weak_ptr<Session>& current = by_device[device];
    before = current.lock();
    current = session;
  }
  if (before != nullptr) {
    before->End(agent::v1::ERROR_CODE_PROTOCOL, "the device has a newer session");
  }
}

void DeviceListener::State::Unregister(const std::string& device, const Session* session) {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    sessions.erase(session);
    const auto current = by_device.find(device);
    // A session that is being destroyed has expired already.
    if (current == by_device.end() || !current->second.expired()) {
      return;
    }
    by_device.erase(current);
  }
  services.fleet.Gone(device);
}

void DeviceListener::State::EndSession(const std::string& device) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (const auto found = by_device.find(device); found != by_device.end()) {
      session = found->second.lock();
    }
  }
  if (session != nullptr) {
    session->End(agent::v1::ERROR_CODE_UNAUTHENTICATED, "the device is revoked");
  }
}

DeviceListener::DeviceListener(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<DeviceListener>> DeviceListener::Start(
    const DeviceListenerOptions& options, DeviceServices services) {
  auto state = std::make_unique<State>(options, std::move(services));
  FIELDLOOP_RETURN_IF_ERROR(state->Listen());
  return std::unique_ptr<DeviceListener>(new DeviceListener(std::move(state)));
}

DeviceListener::~DeviceListener() {
  std::vector<std::shared_ptr<State::Session>> open;
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stopping = true;
    for (const auto& [key, weak] : state_->sessions) {
      if (std::shared_ptr<State::Session> session = weak.lock(); session != nullptr) {
        open.push_back(std::move(session));
      }
    }
  }
  asio::post(state_->acceptor.get_executor(), [state = state_.get()] {
    asio::error_code ignored;
    state->acceptor.close(ignored);
    state->accept_timer.cancel();
  });
  for (const std::shared_ptr<State::Session>& session : open) {
    session->Close();
  }
  open.clear();
  // Work that has begun ends, and hands its answers to connections that are closed.
  state_->local.join();
  state_->remote.join();
  state_->services.devices.OnRevoked(nullptr);
  state_->work.reset();
  for (std::thread& thread : state_->io_threads) {
    thread.join();
  }
}

const std::string& DeviceListener::address() const { return state_->address; }

}  // namespace fieldloop::distribution
