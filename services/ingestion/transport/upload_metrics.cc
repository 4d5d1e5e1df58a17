// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/upload_metrics.h"

namespace fieldloop::ingestion {
namespace {

struct SourceName {
  SampleSource source;
  const char* name;
};
struct FormatName {
  SampleFormat format;
  const char* name;
};
struct ReasonName {
  RefusalReason reason;
  const char* name;
};

constexpr SourceName kSourceNames[] = {{SampleSource::kUpload, "upload"},
                                       {SampleSource::kDevice, "device"}};
constexpr FormatName kFormatNames[] = {{SampleFormat::kCsv, "csv"},
                                       {SampleFormat::kJson, "json"},
                                       {SampleFormat::kCbor, "cbor"},
                                       {SampleFormat::kWav, "wav"},
                                       {SampleFormat::kF32, "f32"}};
constexpr ReasonName kReasonNames[] = {
    {RefusalReason::kMalformed, "malformed"},      {RefusalReason::kTooLarge, "too_large"},
    {RefusalReason::kDuplicate, "duplicate"},      {RefusalReason::kBusy, "busy"},
    {RefusalReason::kStorageFull, "storage_full"}, {RefusalReason::kUnavailable, "unavailable"}};

template <typename Enum>
std::size_t Index(Enum value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

UploadMetrics::UploadMetrics(prometheus::Registry& registry)
    : waiting_(prometheus::BuildGauge()
                   .Name("fieldloop_ingestion_samples_waiting")
                   .Help("Samples without a label.")
                   .Register(registry)
                   .Add({})),
      oldest_waiting_(prometheus::BuildGauge()
                          .Name("fieldloop_ingestion_oldest_waiting_seconds")
                          .Help("Age of the oldest sample without a label.")
                          .Register(registry)
                          .Add({})) {
  auto& samples = prometheus::BuildCounter()
                      .Name("fieldloop_ingestion_samples_total")
                      .Help("Samples stored, without repeats.")
                      .Register(registry);
  auto& bytes = prometheus::BuildCounter()
                    .Name("fieldloop_ingestion_sample_bytes_total")
                    .Help("Bytes of the samples stored, as they came.")
                    .Register(registry);
  auto& requests = prometheus::BuildCounter()
                       .Name("fieldloop_ingestion_http_requests_total")
                       .Help("Requests answered over HTTP, by class of status.")
                       .Register(registry);
  http_good_ = &requests.Add({{"status", "2xx"}});
  http_refused_ = &requests.Add({{"status", "4xx"}});
  http_failed_ = &requests.Add({{"status", "5xx"}});
  auto& refused = prometheus::BuildCounter()
                      .Name("fieldloop_ingestion_refused_uploads_total")
                      .Help("Recordings that were not stored.")
                      .Register(registry);
  for (const FormatName& format : kFormatNames) {
    samples_[Index(SampleSource::kUpload)][Index(format.format)] =
        &samples.Add({{"source", "upload"}, {"format", format.name}});
  }
  samples_[Index(SampleSource::kDevice)][Index(SampleFormat::kF32)] =
      &samples.Add({{"source", "device"}, {"format", "f32"}});
  for (const SourceName& source : kSourceNames) {
    bytes_[Index(source.source)] = &bytes.Add({{"source", source.name}});
  }
  for (const ReasonName& reason : kReasonNames) {
    refused_[Index(reason.reason)] = &refused.Add({{"reason", reason.name}});
  }
}

void UploadMetrics::SampleStored(SampleSource source, SampleFormat format,
                                 std::int64_t size_bytes) {
  samples_[Index(source)][Index(format)]->Increment();
  bytes_[Index(source)]->Increment(static_cast<double>(size_bytes));
}

void UploadMetrics::HttpAnswered(int status) {
  constexpr int kRefused = 400;
  constexpr int kFailed = 500;
  prometheus::Counter* counter = status < kRefused  ? http_good_
                                 : status < kFailed ? http_refused_
                                                    : http_failed_;
  counter->Increment();
}

void UploadMetrics::SetBacklog(std::int64_t waiting, absl::Duration oldest_age) {
  waiting_.Set(static_cast<double>(waiting));
  oldest_waiting_.Set(absl::ToDoubleSeconds(oldest_age));
}

void UploadMetrics::UploadRefused(RefusalReason reason) { refused_[Index(reason)]->Increment(); }

}  // namespace fieldloop::ingestion
