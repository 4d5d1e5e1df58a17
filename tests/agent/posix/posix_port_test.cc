// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/ports/posix/posix_port.h"

#include <cstdio>
#include <poll.h>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "fieldloop_agent/outbox.h"
#include "fieldloop_agent/record.h"
#include "tests/agent/core/signing.h"
#include "tests/agent/posix/temporary_directory.h"
#include "tests/agent/posix/tls_server.h"

namespace fieldloop::agent {
namespace {

class PosixPortTest : public ::testing::Test {
 protected:
  ~PosixPortTest() override { Close(); }

  // `ports`: of servers on this machine, with commas between.
  fl_status_t Open(const std::string& ports = "1", const std::string& server_name = "127.0.0.1") {
    Close();
    servers_.clear();
    std::istringstream list(ports);
    for (std::string port; std::getline(list, port, ',');) {
      fl_posix_server_t& server = servers_.emplace_back();
      std::snprintf(server.host, sizeof server.host, "127.0.0.1");
      std::snprintf(server.port, sizeof server.port, "%s", port.c_str());
    }
    server_name_ = server_name;
    authorities_ = authority_.Pem();
    config_ = {};
    config_.state_directory = directory_.path().c_str();
    config_.servers = servers_.data();
    config_.server_count = servers_.size();
    config_.server_name = server_name_.c_str();
    config_.authorities_pem = reinterpret_cast<const uint8_t*>(authorities_.c_str());
    config_.authorities_size = authorities_.size();
    posix_ = std::make_unique<fl_posix_t>();
    const fl_status_t status = fl_posix_open(posix_.get(), &config_);
    port_ = &posix_->port;
    return status;
  }
  void Close() {
    if (posix_ != nullptr) fl_posix_close(posix_.get());
    posix_.reset();
  }

  void Wait() const {
    const fl_posix_transport_t& transport = posix_->transport;
    pollfd ready = {transport.socket,
                    static_cast<short>(transport.wants_write ? POLLIN | POLLOUT : POLLIN), 0};
    poll(&ready, 1, 5000);
  }
  fl_status_t Connect(bool use_identity = false) const {
    for (;;) {
      const fl_status_t status = port_->connect(port_->context, use_identity);
      if (status != FL_ERR_AGAIN) return status;
      Wait();
    }
  }
  fl_status_t Send(const std::string& text) const {
    size_t done = 0;
    while (done < text.size()) {
      size_t sent = 0;
      const fl_status_t status =
          port_->send(port_->context, reinterpret_cast<const uint8_t*>(text.data()) + done,
                      text.size() - done, &sent);
      if (status == FL_ERR_AGAIN) {
        Wait();
      } else if (status != FL_OK) {
        return status;
      } else {
        done += sent;
      }
    }
    return FL_OK;
  }
  // Until size bytes came or the connection ended.
  std::string Receive(size_t size) const {
    std::string text;
    while (text.size() < size) {
      uint8_t buffer[1000];
      size_t part = 0;
      const fl_status_t status = port_->receive(port_->context, buffer, sizeof buffer, &part);
      if (status == FL_ERR_AGAIN) {
        Wait();
      } else if (status != FL_OK) {
        return text + "<" + fl_status_text(status) + ">";
      } else {
        text.append(reinterpret_cast<const char*>(buffer), part);
      }
    }
    return text;
  }

  std::string Request() const {
    uint8_t csr[512];
    size_t size = 0;
    EXPECT_EQ(port_->identity_request(port_->context, csr, sizeof csr, &size), FL_OK);
    return {reinterpret_cast<const char*>(csr), size};
  }
  fl_status_t Store(const std::string& certificate) const {
    const std::string issuer = TestAuthority::Der(devices_.certificate());
    return port_->identity_store(
        port_->context, reinterpret_cast<const uint8_t*>(certificate.data()), certificate.size(),
        reinterpret_cast<const uint8_t*>(issuer.data()), issuer.size());
  }
  void Enroll(const std::string& name) const {
    ASSERT_EQ(Store(devices_.IssueForRequest(Request(), name)), FL_OK);
  }

  static TlsServer::Handler Echo(std::vector<TlsServer::Connection>* connections = nullptr) {
    return [connections](const TlsServer::Connection& connection, const std::string& received,
                         std::string* answer) {
      if (received.empty() && connections != nullptr) connections->push_back(connection);
      *answer = received;
      return true;
    };
  }

  TemporaryDirectory directory_;
  const TestAuthority authority_{"service authority"};
  const TestAuthority devices_{"device authority"};
  std::string authorities_;
  std::vector<fl_posix_server_t> servers_;
  std::string server_name_;
  fl_posix_config_t config_ = {};
  std::unique_ptr<fl_posix_t> posix_;
  const fl_port_t* port_ = nullptr;
};

TEST_F(PosixPortTest, RecordsSurviveTheProcess) {
  ASSERT_EQ(Open(), FL_OK);
  ASSERT_EQ(fl_record_save(&port_->state, 0, "hello", 5), FL_OK);
  fl_outbox_t outbox;
  ASSERT_EQ(fl_outbox_mount(&outbox, &port_->outbox), FL_OK);
  const std::string large(65536 + 100, 'x');
  const fl_part_t part = {large.data(), large.size()};
  ASSERT_EQ(fl_outbox_append(&outbox, FL_ENTRY_RANDOM, 9, &part, 1), FL_OK)
      << "the largest recording fits";
  ASSERT_EQ(fl_outbox_sync(&outbox), FL_OK);

  ASSERT_EQ(Open(), FL_OK);
  char buffer[16];
  size_t size = 0;
  ASSERT_EQ(fl_record_load(&port_->state, 0, buffer, sizeof buffer, &size), FL_OK);
  EXPECT_EQ(std::string(buffer, size), "hello");
  ASSERT_EQ(fl_outbox_mount(&outbox, &port_->outbox), FL_OK);
  EXPECT_EQ(fl_outbox_find(&outbox, 9), FL_OK);
}

TEST_F(PosixPortTest, ASecondProcessIsKeptOut) {
  ASSERT_EQ(Open(), FL_OK);
  fl_posix_t second;
  EXPECT_EQ(fl_posix_open(&second, &config_), FL_ERR_AGAIN);
  EXPECT_THAT(second.failure, ::testing::HasSubstr("another process"));
  fl_posix_close(&second);
}

TEST_F(PosixPortTest, ARangeOutsideTheAreaIsRefused) {
  ASSERT_EQ(Open(), FL_OK);
  const fl_flash_t& slot = port_->slot[0];
  uint8_t bytes[16] = {};
  EXPECT_EQ(slot.read(slot.context, slot.size - 8, bytes, 16), FL_ERR_IO);
  EXPECT_EQ(slot.program(slot.context, slot.size, bytes, 16), FL_ERR_IO);
  EXPECT_EQ(slot.program(slot.context, 8, bytes, 16), FL_ERR_IO) << "not aligned";
  EXPECT_EQ(slot.erase(slot.context, slot.size), FL_ERR_IO);
}

TEST_F(PosixPortTest, VerifiesWhatOpenSslSigned) {
  ASSERT_EQ(Open(), FL_OK);
  const SigningKey key;
  const std::string message = "what was signed";
  std::string signature = key.Sign(message);
  std::string point = key.PublicPoint();
  std::string digest = Sha256(message);
  const auto verify = [&] {
    return port_->verify(port_->context, reinterpret_cast<const uint8_t*>(point.data()),
                         reinterpret_cast<const uint8_t*>(digest.data()),
                         reinterpret_cast<const uint8_t*>(signature.data()));
  };
  EXPECT_EQ(verify(), FL_OK);
  signature[63] = static_cast<char>(signature[63] ^ 1);
  EXPECT_EQ(verify(), FL_ERR_TRUST);
  signature[63] = static_cast<char>(signature[63] ^ 1);
  digest[0] = static_cast<char>(digest[0] ^ 1);
  EXPECT_EQ(verify(), FL_ERR_TRUST);
  digest[0] = static_cast<char>(digest[0] ^ 1);
  point[64] = static_cast<char>(point[64] ^ 1);
  EXPECT_EQ(verify(), FL_ERR_TRUST) << "no point of the curve";
}

TEST_F(PosixPortTest, HashesLikeOpenSsl) {
  ASSERT_EQ(Open(), FL_OK);
  fl_sha256_t hash;
  uint8_t digest[32];
  port_->sha256_start(port_->context, &hash);
  port_->sha256_update(port_->context, &hash, "ab", 2);
  port_->sha256_update(port_->context, &hash, "c", 1);
  port_->sha256_finish(port_->context, &hash, digest);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(digest), 32), Sha256("abc"));
}

TEST_F(PosixPortTest, TheIdentityIsThatOfTheCertificateAndSurvivesTheProcess) {
  ASSERT_EQ(Open(), FL_OK);
  fl_identity_t identity;
  EXPECT_EQ(port_->identity(port_->context, &identity), FL_ERR_NOT_FOUND);
  // A certificate is good from a minute ago for an hour from now on, in whole seconds.
  const uint64_t before_ms = fl_posix_wall_ms();
  Enroll("device-7");
  const uint64_t after_ms = fl_posix_wall_ms();
  ASSERT_EQ(Open(), FL_OK);
  ASSERT_EQ(port_->identity(port_->context, &identity), FL_OK);
  EXPECT_STREQ(identity.device_id, "device-7");
  EXPECT_GT(identity.not_before_ms + 60'000, before_ms - 1'000);
  EXPECT_LE(identity.not_before_ms + 60'000, after_ms);
  EXPECT_GT(identity.not_after_ms, before_ms + 3'600'000 - 1'000);
  EXPECT_LE(identity.not_after_ms, after_ms + 3'600'000);
  struct stat info;
  ASSERT_EQ(stat((directory_.path() + "/identity.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(PosixPortTest, ARepeatedRequestHasTheSameKeyAcrossARestart) {
  ASSERT_EQ(Open(), FL_OK);
  (void)Request();
  ASSERT_EQ(Open(), FL_OK);
  const std::string again = Request();
  ASSERT_EQ(Open(), FL_OK);
  EXPECT_EQ(Store(devices_.IssueForRequest(again, "device-7")), FL_OK);
  // A renewal has a new key: a certificate for the old one is no longer taken.
  (void)Request();
  EXPECT_EQ(Store(devices_.IssueForRequest(again, "device-8")), FL_ERR_TRUST);
  fl_identity_t identity;
  ASSERT_EQ(port_->identity(port_->context, &identity), FL_OK);
  EXPECT_STREQ(identity.device_id, "device-7");
}

TEST_F(PosixPortTest, ACertificateWithoutARequestIsRefused) {
  ASSERT_EQ(Open(), FL_OK);
  const std::string csr = Request();
  const std::string certificate = devices_.IssueForRequest(csr, "device-7");
  ASSERT_EQ(Store(certificate), FL_OK);
  EXPECT_EQ(Store(certificate), FL_ERR_TRUST);
  EXPECT_EQ(Store("no certificate"), FL_ERR_CORRUPT);
}

TEST_F(PosixPortTest, TalksToAServerOfItsAuthorityByAddress) {
  TlsServer server(authority_, devices_, "DNS:distribution,IP:127.0.0.1", Echo());
  ASSERT_EQ(Open(server.port(), "127.0.0.1"), FL_OK);
  ASSERT_EQ(Connect(), FL_OK);
  const std::string large(16'000, 'l');
  ASSERT_EQ(Send("hello"), FL_OK);
  EXPECT_EQ(Receive(5), "hello");
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(Send(large), FL_OK);
    EXPECT_EQ(Receive(large.size()), large);
  }
  server.Drop();
  EXPECT_EQ(Receive(1), "<FL_ERR_CLOSED>");
}

TEST_F(PosixPortTest, TalksToAServerByName) {
  TlsServer server(authority_, devices_, "DNS:distribution,IP:127.0.0.1", Echo());
  ASSERT_EQ(Open(server.port(), "distribution"), FL_OK);
  EXPECT_EQ(Connect(), FL_OK);
}

TEST_F(PosixPortTest, RefusesAServerOfAnotherNameAddressOrAuthority) {
  {
    TlsServer server(authority_, devices_, "DNS:other,IP:127.0.0.2", Echo());
    ASSERT_EQ(Open(server.port(), "distribution"), FL_OK);
    EXPECT_EQ(Connect(), FL_ERR_TRUST);
    ASSERT_EQ(Open(server.port(), "127.0.0.1"), FL_OK);
    EXPECT_EQ(Connect(), FL_ERR_TRUST);
  }
  TlsServer server(devices_, devices_, "DNS:distribution,IP:127.0.0.1", Echo());
  ASSERT_EQ(Open(server.port(), "127.0.0.1"), FL_OK);
  EXPECT_EQ(Connect(), FL_ERR_TRUST);
}

TEST_F(PosixPortTest, ReportsThatNobodyListens) {
  std::string port;
  { port = TlsServer(authority_, devices_, "IP:127.0.0.1", Echo()).port(); }
  ASSERT_EQ(Open(port), FL_OK);
  EXPECT_EQ(Connect(), FL_ERR_CLOSED);
}

TEST_F(PosixPortTest, ALostConnectionIsFollowedByOneToTheNextServer) {
  std::vector<TlsServer::Connection> first;
  std::vector<TlsServer::Connection> second;
  auto a = std::make_unique<TlsServer>(authority_, devices_, "IP:127.0.0.1", Echo(&first));
  auto b = std::make_unique<TlsServer>(authority_, devices_, "IP:127.0.0.1", Echo(&second));
  ASSERT_EQ(Open(a->port() + "," + b->port()), FL_OK);
  ASSERT_EQ(Connect(), FL_OK);
  ASSERT_EQ(Send("one"), FL_OK);
  ASSERT_EQ(Receive(3), "one");
  // It stays with its server as long as it is the one that closes.
  const size_t server = posix_->transport.server;
  port_->close(port_->context);
  ASSERT_EQ(Connect(), FL_OK);
  ASSERT_EQ(Send("two"), FL_OK);
  ASSERT_EQ(Receive(3), "two");
  EXPECT_EQ((server == 0 ? first : second).size(), 2u);
  EXPECT_EQ((server == 0 ? second : first).size(), 0u);
  // Its server goes: the next connection is to the other one.
  (server == 0 ? a : b).reset();
  EXPECT_EQ(Receive(1), "<FL_ERR_CLOSED>");
  port_->close(port_->context);
  ASSERT_EQ(Connect(), FL_OK);
  ASSERT_EQ(Send("three"), FL_OK);
  EXPECT_EQ(Receive(5), "three");
  EXPECT_EQ((server == 0 ? second : first).size(), 1u);
  // That one goes too, and nobody listens at either: it tries both in turn.
  (server == 0 ? b : a).reset();
  port_->close(port_->context);
  const size_t tried = posix_->transport.server;
  EXPECT_EQ(Connect(), FL_ERR_CLOSED);
  EXPECT_EQ(Connect(), FL_ERR_CLOSED);
  EXPECT_NE(posix_->transport.server, tried);
}

TEST_F(PosixPortTest, ShowsItsCertificateOnlyWhenAskedToAndResumesSessions) {
  std::vector<TlsServer::Connection> connections;
  {
    TlsServer server(authority_, devices_, "IP:127.0.0.1", Echo(&connections));
    ASSERT_EQ(Open(server.port()), FL_OK);
    Enroll("device-7");
    const auto converse = [this](bool use_identity) {
      ASSERT_EQ(Connect(use_identity), FL_OK);
      ASSERT_EQ(Send("x"), FL_OK);
      ASSERT_EQ(Receive(1), "x");
      port_->close(port_->context);
    };
    converse(false);
    converse(true);
    converse(true);
    Enroll("device-8");
    converse(true);
  }
  ASSERT_EQ(connections.size(), 4u);
  EXPECT_EQ(connections[0].common_name, "");
  EXPECT_EQ(connections[1].common_name, "device-7");
  EXPECT_FALSE(connections[1].resumed) << "a session without a certificate is not reused";
  EXPECT_EQ(connections[2].common_name, "device-7");
  EXPECT_TRUE(connections[2].resumed);
  EXPECT_EQ(posix_->transport.tls.resumed, 1u);
  EXPECT_EQ(connections[3].common_name, "device-8") << "the new certificate is shown";
}

}  // namespace
}  // namespace fieldloop::agent
