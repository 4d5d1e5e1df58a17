// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_POSIX_TLS_SERVER_H_
#define FIELDLOOP_TESTS_AGENT_POSIX_TLS_SERVER_H_

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

namespace fieldloop::agent {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

// A certificate authority of OpenSSL.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name)
      : key_(EVP_EC_gen("P-256"), &EVP_PKEY_free), certificate_(nullptr, &X509_free) {
    certificate_ = Issue(key_.get(), name, "", true, -3600, 86'400);
  }

  X509* certificate() const { return certificate_.get(); }

  std::string Pem() const {
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
    PEM_write_bio_X509(bio.get(), certificate_.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<size_t>(size)};
  }

  // A certificate for a key. alternative_names is like "DNS:localhost,IP:127.0.0.1".
  CertificatePtr Issue(EVP_PKEY* key, const std::string& common_name,
                       const std::string& alternative_names, bool is_authority, long not_before_s,
                       long not_after_s) const {
    CertificatePtr certificate(X509_new(), &X509_free);
    X509* raw = certificate.get();
    X509_set_version(raw, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(raw), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(raw), not_before_s);
    X509_gmtime_adj(X509_getm_notAfter(raw), not_after_s);
    X509_set_pubkey(raw, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
    X509_set_issuer_name(raw, certificate_ == nullptr ? X509_get_subject_name(raw)
                                                      : X509_get_subject_name(certificate_.get()));
    if (is_authority) AddExtension(raw, NID_basic_constraints, "critical,CA:TRUE");
    if (!alternative_names.empty()) AddExtension(raw, NID_subject_alt_name, alternative_names);
    EXPECT_GT(X509_sign(raw, key_.get(), EVP_sha256()), 0);
    return certificate;
  }

  // Answers a PKCS#10 request; the certificate is DER, empty if the request does not verify.
  std::string IssueForRequest(const std::string& csr, const std::string& common_name,
                              long not_after_s = 3600) const {
    const auto* at = reinterpret_cast<const unsigned char*>(csr.data());
    const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(
        d2i_X509_REQ(nullptr, &at, static_cast<long>(csr.size())), &X509_REQ_free);
    if (request == nullptr) return "";
    EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
    if (X509_REQ_verify(request.get(), key) != 1) return "";
    return Der(Issue(key, common_name, "", false, -60, not_after_s).get());
  }

  static std::string Der(X509* certificate) {
    unsigned char* data = nullptr;
    const int size = i2d_X509(certificate, &data);
    std::string der(reinterpret_cast<char*>(data), static_cast<size_t>(size));
    OPENSSL_free(data);
    return der;
  }

 private:
  static void AddExtension(X509* certificate, int nid, const std::string& value) {
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()), &X509_EXTENSION_free);
    ASSERT_NE(extension, nullptr);
    X509_add_ext(certificate, extension.get(), -1);
  }

  KeyPtr key_;
  CertificatePtr certificate_;
  mutable long serial_ = 0;
};

// A TLS server on a loopback port of the system's choice. It serves one connection after the other
// in a thread of its own.
class TlsServer {
 public:
  // Called for bytes that arrived; what it returns is sent. An empty first call says "connected".
  // Returning false ends the connection.
  struct Connection {
    std::string common_name;  // Of the client's certificate; empty without one.
    bool resumed = false;
  };
  using Handler =
      std::function<bool(const Connection&, const std::string& received, std::string* answer)>;

  TlsServer(const TestAuthority& authority, const TestAuthority& device_authority,
            const std::string& alternative_names, Handler handler)
      : key_(EVP_EC_gen("P-256"), &EVP_PKEY_free),
        context_(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free),
        handler_(std::move(handler)) {
    const CertificatePtr certificate =
        authority.Issue(key_.get(), "distribution", alternative_names, false, -60, 3600);
    SSL_CTX_use_certificate(context_.get(), certificate.get());
    SSL_CTX_use_PrivateKey(context_.get(), key_.get());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), device_authority.certificate());
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    static constexpr unsigned char kSessionContext[] = "test";
    SSL_CTX_set_session_id_context(context_.get(), kSessionContext, sizeof kSessionContext);
    // OpenSSL writes to sockets that the other side may have closed.
    std::signal(SIGPIPE, SIG_IGN);
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    EXPECT_EQ(listen(socket_, 8), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~TlsServer() {
    stop_ = true;
    shutdown(socket_, SHUT_RDWR);
    Drop();
    thread_.join();
    close(socket_);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::string port() const { return std::to_string(port_); }

  // Cuts the connection that is being served.
  void Drop() {
    const int current = connection_;
    if (current >= 0) shutdown(current, SHUT_RDWR);
  }

 private:
  void Serve() {
    while (!stop_) {
      const int accepted = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (accepted < 0) return;
      connection_ = accepted;
      if (!stop_) ServeConnection(accepted);
      connection_ = -1;
      close(accepted);
    }
  }

  void ServeConnection(int accepted) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_.get()), &SSL_free);
    SSL_set_fd(ssl.get(), accepted);
    if (SSL_accept(ssl.get()) != 1) return;
    Connection connection;
    connection.resumed = SSL_session_reused(ssl.get()) == 1;
    const CertificatePtr peer(SSL_get1_peer_certificate(ssl.get()), &X509_free);
    if (peer != nullptr) {
      char name[128] = "";
      X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName, name,
                                sizeof name);
      connection.common_name = name;
    }
    std::string received;
    for (;;) {
      std::string answer;
      const bool go_on = handler_(connection, received, &answer);
      if (!answer.empty() &&
          SSL_write(ssl.get(), answer.data(), static_cast<int>(answer.size())) <= 0) {
        return;
      }
      if (!go_on) {
        SSL_shutdown(ssl.get());
        return;
      }
      received.resize(16384);
      const int size = SSL_read(ssl.get(), received.data(), static_cast<int>(received.size()));
      if (size <= 0) return;
      received.resize(static_cast<size_t>(size));
    }
  }

  KeyPtr key_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  Handler handler_;
  int socket_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connection_{-1};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace fieldloop::agent

#endif  // FIELDLOOP_TESTS_AGENT_POSIX_TLS_SERVER_H_
