// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_METRICS_SERVER_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_METRICS_SERVER_H_

#include <memory>
#include <string>

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>

namespace fieldloop {

// Answers GET /metrics over HTTP as long as it lives, and ends at once.
class MetricsServer {
 public:
  // `listen` is IP:PORT, port 0 for one that the system picks. Throws what prometheus::Exposer
  // throws if it cannot listen there.
  explicit MetricsServer(const std::string& listen);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  void Register(const std::weak_ptr<prometheus::Collectable>& metrics);
  int port() const;

 private:
  const std::string host_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_METRICS_SERVER_H_
