// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_STORE_UNDER_TEST_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_STORE_UNDER_TEST_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/ingestion/domain/dataset_store.h"
#include "services/ingestion/domain/labelling_store.h"
#include "services/ingestion/domain/retention_store.h"
#include "services/ingestion/domain/sample_store.h"
#include "services/ingestion/domain/settings_store.h"

namespace fieldloop::ingestion {

// The stores over one backend, which lives as long as they.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;
  virtual SampleStore& samples() = 0;
  virtual DatasetStore& datasets() = 0;
  virtual SettingsStore& settings() = 0;
  virtual LabellingStore& labelling() = 0;
  virtual RetentionStore& retention() = 0;
};

// A backend that the contract suites run against; each call of `make` gives an empty one.
struct StoreUnderTest {
  std::string name;
  std::function<std::unique_ptr<Backend>()> make;

  // Without it GoogleTest prints the raw bytes, and the name CTest sees changes from run to run.
  friend void PrintTo(const StoreUnderTest& store, std::ostream* os) { *os << store.name; }
};

// A sample of project "motor" with 100 readings, whose digest comes from `content`; stored `second`
// seconds after the epoch.
inline NewSample SampleOf(const std::string& content, int second = 10) {
  NewSample fresh;
  fresh.sample = {.project = "motor",
                  .id = "",
                  .file_name = content + ".csv",
                  .format = SampleFormat::kCsv,
                  .digest = ToHex(Sha256Of(content)),
                  .size_bytes = 1000,
                  .canonical_digest = ToHex(Sha256Of("canonical " + content)),
                  .axes = {"x", "y"},
                  .units = {},
                  .readings = 100,
                  .frequency_hz = 62.5,
                  .resampling = "",
                  .split = Split::kTraining,
                  .split_group = "",
                  .source = SampleSource::kUpload,
                  .device = {},
                  .metadata = {{"site", "hall 3"}},
                  .labels = {},
                  .create_time = absl::FromUnixSeconds(second),
                  .flags = {}};
  fresh.sample.id = SampleIdOf(fresh.sample.digest);
  fresh.label_author = "apiTokens/a";
  fresh.label_source = "import";
  return fresh;
}

inline NewSample LabelledSampleOf(const std::string& content, const std::string& label,
                                  int second = 10) {
  NewSample fresh = SampleOf(content, second);
  fresh.sample.labels = {{0, 99, label}};
  return fresh;
}

inline NewSample DeviceSampleOf(const std::string& content, const std::string& device,
                                std::uint64_t sequence, int second = 10) {
  NewSample fresh = SampleOf(content, second);
  const std::string name = "projects/motor/devices/" + device;
  fresh.sample.format = SampleFormat::kF32;
  fresh.sample.source = SampleSource::kDevice;
  fresh.sample.split = Split::kUnspecified;
  fresh.sample.device = DeviceProvenance{.device = name,
                                         .model_digest = std::string(64, 'c'),
                                         .reason = "uncertain",
                                         .probability = 0.25,
                                         .predicted_label = "idle",
                                         .confidence = 0.5,
                                         .start_time = absl::FromUnixMillis(1'600'000'000'123)};
  fresh.split_key = SplitKey{.name = "device", .value = name};
  fresh.uplink = Uplink{.device = name, .sequence = sequence};
  return fresh;
}

inline Label LabelOf(const Sample& sample, std::vector<LabelRange> ranges) {
  return {.project = sample.project,
          .sample_id = sample.id,
          .number = 0,
          .ranges = std::move(ranges),
          .author = "apiTokens/b",
          .source = "person",
          .create_time = absl::FromUnixSeconds(20)};
}

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_STORE_UNDER_TEST_H_
