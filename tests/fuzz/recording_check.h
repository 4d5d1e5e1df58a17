// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FUZZ_RECORDING_CHECK_H_
#define FIELDLOOP_TESTS_FUZZ_RECORDING_CHECK_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "services/ingestion/domain/sample.h"
#include "services/ingestion/formats/recording_formats.h"

namespace fieldloop::testing {

// Reads a file in the ways that projects have it, and ends the process if what comes out is not
// what RecordingParser promises.
inline void CheckRecording(ingestion::SampleFormat format, const std::uint8_t* data,
                           std::size_t size) {
  const auto require = [](bool condition) {
    if (!condition) std::abort();
  };
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ingestion::ParseOptions all_options[] = {{.signature_key = std::nullopt, .frequency_hz = 0},
                                                 {.signature_key = "key", .frequency_hz = 100}};
  for (const ingestion::ParseOptions& options : all_options) {
    const auto recording = ingestion::RecordingFormats().Parse(format, bytes, options);
    if (!recording.ok()) {
      require(absl::IsInvalidArgument(recording.status()) && !recording.status().message().empty());
      continue;
    }
    require(ingestion::ValidateAxes("axes", recording->axes).ok());
    require(recording->units.empty() || recording->units.size() == recording->axes.size());
    require(recording->readings > 0);
    require(recording->values.size() ==
            static_cast<std::size_t>(recording->readings) * recording->axes.size());
    require(std::isfinite(recording->frequency_hz) && recording->frequency_hz >= 0);
    require(ingestion::ResolveRanges("labels", recording->labels, recording->readings).ok());
    for (const float value : recording->values) {
      require(std::isfinite(value));
    }
  }
}

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_FUZZ_RECORDING_CHECK_H_
