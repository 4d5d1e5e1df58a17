// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_RECORDING_PARSER_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_RECORDING_PARSER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// A file's content, brought to an even rate.
struct ParsedRecording {
  std::vector<std::string> axes;
  std::vector<std::string> units;  // One for each axis, or empty when the file gives none.
  std::vector<float> values;       // values[reading * axes + axis], all finite.
  std::int64_t readings = 0;
  double frequency_hz = 0;         // 0 for a single reading without a rate.
  std::string resampling;          // How uneven readings became even; empty when they were.
  std::vector<LabelRange> labels;  // Those of a column of labels, in readings of `values`.
  std::vector<std::string> flags;  // See domain/quality.h.
  std::map<std::string, std::string> metadata;  // What the file says about its device.
};

// What a project says about reading its files.
struct ParseOptions {
  std::optional<std::string> signature_key{};  // For signed files.
  double frequency_hz = 0;  // Rate that uneven readings get; 0: the median of the file's own.
};

// Reads files of all formats. Owned by the domain, implemented in formats/. Thread-safe.
class RecordingParser {
 public:
  RecordingParser() = default;
  RecordingParser(const RecordingParser&) = delete;
  RecordingParser& operator=(const RecordingParser&) = delete;
  virtual ~RecordingParser() = default;

  // Reads a whole file. INVALID_ARGUMENT that names the line, column or field, what is there and
  // what is wanted. Takes bytes from anywhere: no input makes it crash, and its memory is bounded
  // by kMaxFileBytes and kMaxValues.
  virtual absl::StatusOr<ParsedRecording> Parse(SampleFormat format, absl::string_view bytes,
                                                const ParseOptions& options) const = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_RECORDING_PARSER_H_
