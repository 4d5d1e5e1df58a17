// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_IMPORT_SAMPLE_SENDER_H_
#define FIELDLOOP_SERVICES_CLI_IMPORT_SAMPLE_SENDER_H_

#include <atomic>
#include <functional>
#include <string>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fieldloop::cli {

// Sends recordings to the ingestion service, however often the connection breaks: a file of more
// than 8 MB goes on where it was, a smaller one is sent again. Thread-safe.
class SampleSender {
 public:
  struct Options {
    int attempts = 6;
    // Waits between two attempts; returns early when the program is to stop.
    std::function<void(absl::Duration)> wait;
  };

  SampleSender(ingestion::v1::IngestionService::StubInterface& stub, Options options);

  // Sends the file at `path`; `sent_bytes` grows as it goes. INVALID_ARGUMENT if the file cannot be
  // read; otherwise as UploadSample.
  absl::StatusOr<ingestion::v1::UploadSampleResponse> Send(const std::string& path,
                                                           ingestion::v1::UploadSpec spec,
                                                           std::atomic<std::int64_t>& sent_bytes);

  // The sample with the content of that file, if the project has it: asks, sends nothing.
  absl::StatusOr<bool> IsThere(const std::string& path, const std::string& project);

 private:
  absl::StatusOr<ingestion::v1::UploadSampleResponse> SendOnce(
      const std::string& path, const ingestion::v1::UploadSpec& spec,
      std::atomic<std::int64_t>& sent_bytes);

  ingestion::v1::IngestionService::StubInterface& stub_;
  Options options_;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_IMPORT_SAMPLE_SENDER_H_
