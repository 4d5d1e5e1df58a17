// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/metrics_server.h"

#include <atomic>
#include <chrono>
#include <netdb.h>
#include <thread>
#include <unistd.h>

#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace fieldloop {
namespace {

constexpr std::chrono::milliseconds kKnockPeriod{5};

std::string HostOf(const std::string& address) {
  absl::string_view host = absl::string_view(address).substr(0, address.rfind(':'));
  if (absl::ConsumePrefix(&host, "[")) {
    absl::ConsumeSuffix(&host, "]");
  }
  return std::string(host);
}

// Connects, and goes again.
void Knock(const std::string& host, int port) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* address = nullptr;
  if (getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &address) != 0) {
    return;
  }
  const int knock = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // NOLINTNEXTLINE(bugprone-unused-return-value): that it tries is enough.
  connect(knock, address->ai_addr, address->ai_addrlen);
  close(knock);
  freeaddrinfo(address);
}

}  // namespace

MetricsServer::MetricsServer(const std::string& listen)
    : host_(HostOf(listen)), exposer_(std::make_unique<prometheus::Exposer>(listen, 1)) {}

// CivetWeb, which the exposer is made of, looks whether it is to end when somebody connects, else
// every two seconds.
MetricsServer::~MetricsServer() {
  const int own_port = port();
  std::atomic<bool> ended = false;
  std::thread knocking([this, own_port, &ended] {
    while (!ended) {
      Knock(host_, own_port);
      std::this_thread::sleep_for(kKnockPeriod);
    }
  });
  exposer_.reset();
  ended = true;
  knocking.join();
}

void MetricsServer::Register(const std::weak_ptr<prometheus::Collectable>& metrics) {
  exposer_->RegisterCollectable(metrics);
}

int MetricsServer::port() const { return exposer_->GetListeningPorts().front(); }

}  // namespace fieldloop
