// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/ingestion/domain/label.h"

namespace fieldloop::ingestion {

// The numbers of these enums are stored: they never change.
enum class Split : std::uint8_t { kUnspecified = 0, kTraining = 1, kTesting = 2 };
enum class SampleFormat : std::uint8_t {
  kUnspecified = 0,
  kCsv = 1,
  kJson = 2,
  kWav = 3,
  kF32 = 4,
  kCbor = 5
};
enum class SampleSource : std::uint8_t { kUnspecified = 0, kUpload = 1, kDevice = 2 };
enum class LabelState : std::uint8_t {
  kUnspecified = 0,
  kLabelled = 1,
  kUnlabelled = 2,
  kNoPerson = 3  // Not labelled by a person.
};

// Largest file that is taken, in bytes.
inline constexpr std::int64_t kMaxFileBytes = 100'000'000;
// Largest payload of a device, in bytes.
inline constexpr std::int64_t kMaxDevicePayloadBytes = 1 << 20;
// Most axes of a recording, and the longest name of one in bytes.
inline constexpr int kMaxAxes = 64;
inline constexpr int kMaxAxisBytes = 63;
// Fastest recording, in readings a second.
inline constexpr double kMaxFrequencyHz = 1e6;
// Most values of a canonical form (readings times axes): 256 MiB.
inline constexpr std::int64_t kMaxValues = std::int64_t{1} << 26;

// Where a sample of a device comes from and why it was chosen.
struct DeviceProvenance {
  std::string device;  // Resource name.
  std::string model_digest;
  std::string reason;
  double probability = 0;
  std::string predicted_label;
  double confidence = 0;
  absl::Time start_time = absl::UnixEpoch();

  friend bool operator==(const DeviceProvenance&, const DeviceProvenance&) = default;
};

// A recording without its payload.
struct Sample {
  std::string project;
  std::string id;
  std::string file_name;
  SampleFormat format = SampleFormat::kUnspecified;
  std::string digest;            // Of the bytes as they came, hex.
  std::int64_t size_bytes = 0;   // Of the bytes as they came.
  std::string canonical_digest;  // Of the canonical form, hex; empty: see canonical_form.h.
  std::vector<std::string> axes;
  std::vector<std::string> units;  // One for each axis, or empty when the file gives none.
  std::int64_t readings = 0;
  double frequency_hz = 0;  // 0 for a single reading without a rate.
  std::string resampling;
  Split split = Split::kUnspecified;
  std::string split_group;  // "person=s01": by which the server chose its side; empty: by itself.
  SampleSource source = SampleSource::kUnspecified;
  std::optional<DeviceProvenance> device;
  std::map<std::string, std::string> metadata;
  std::vector<LabelRange> labels;  // Those that stand.
  absl::Time create_time{};
  std::vector<std::string> flags;  // Sorted, each once.

  friend bool operator==(const Sample&, const Sample&) = default;
};

// Selects samples: all that is set must hold.
struct SampleFilter {
  LabelState label_state = LabelState::kUnspecified;
  std::vector<std::string> labels;
  Split split = Split::kUnspecified;
  SampleSource source = SampleSource::kUnspecified;
  std::vector<std::string> devices;
  std::map<std::string, std::string> metadata;
  std::optional<absl::Time> created_after;   // At or after.
  std::optional<absl::Time> created_before;  // Before.
  std::vector<std::string> flags;            // Has one of them.
  std::vector<std::string> without_flags;    // Has none of them.
  std::string without_suggestion_of{};       // Digest of a model.

  friend bool operator==(const SampleFilter&, const SampleFilter&) = default;
};

// The sample's id: the first 32 hex digits of its payload's SHA-256.
std::string SampleIdOf(absl::string_view digest);

// Reads the format from the ending of a file's name. INVALID_ARGUMENT, "file_name: ...".
absl::StatusOr<SampleFormat> FormatOfFileName(absl::string_view file_name);

// "CSV, JSON, CBOR or WAV": what people and programs may upload.
inline constexpr char kUploadFormats[] = "CSV, JSON, CBOR or WAV";

// Names, number and uniqueness of axes. INVALID_ARGUMENT naming `field`.
absl::Status ValidateAxes(absl::string_view field, const std::vector<std::string>& axes);

// Limits of a filter's lists and texts. INVALID_ARGUMENT naming `field`.
absl::Status ValidateFilter(absl::string_view field, const SampleFilter& filter);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_H_
