// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_TRANSPORT_UPLOAD_METRICS_H_
#define FIELDLOOP_SERVICES_INGESTION_TRANSPORT_UPLOAD_METRICS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include "absl/time/time.h"
#include "services/ingestion/domain/upload_observer.h"

namespace fieldloop::ingestion {

// Counts recordings for Prometheus:
//   fieldloop_ingestion_samples_total{source="upload|device",format="csv|json|wav|f32"}
//   fieldloop_ingestion_sample_bytes_total{source="upload|device"}
//   fieldloop_ingestion_refused_uploads_total{reason="malformed|too_large|duplicate|busy|
//                                                     storage_full|unavailable"}
//   fieldloop_ingestion_http_requests_total{status="2xx|4xx|5xx"}
//   fieldloop_ingestion_samples_waiting, fieldloop_ingestion_oldest_waiting_seconds
// All series exist from the start. Thread-safe.
class UploadMetrics final : public UploadObserver {
 public:
  // `registry` must outlive this object.
  explicit UploadMetrics(prometheus::Registry& registry);

  void SampleStored(SampleSource source, SampleFormat format, std::int64_t size_bytes) override;
  void UploadRefused(RefusalReason reason) override;
  // A request that was answered over HTTP, with its status.
  void HttpAnswered(int status);
  // Samples without a label, and the age of the oldest.
  void SetBacklog(std::int64_t waiting, absl::Duration oldest_age);

 private:
  static constexpr std::size_t kSources = 3;
  static constexpr std::size_t kFormats = 6;
  static constexpr std::size_t kReasons = 6;

  std::array<std::array<prometheus::Counter*, kFormats>, kSources> samples_{};
  std::array<prometheus::Counter*, kSources> bytes_{};
  std::array<prometheus::Counter*, kReasons> refused_{};
  prometheus::Counter* http_good_ = nullptr;
  prometheus::Counter* http_refused_ = nullptr;
  prometheus::Counter* http_failed_ = nullptr;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& oldest_waiting_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_TRANSPORT_UPLOAD_METRICS_H_
