// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/recording_formats.h"

#include "services/ingestion/formats/csv_format.h"
#include "services/ingestion/formats/json_format.h"
#include "services/ingestion/formats/wav_format.h"

namespace fieldloop::ingestion {

absl::StatusOr<ParsedRecording> RecordingFormats::Parse(
    SampleFormat format, absl::string_view bytes,
    const std::optional<std::string>& signature_key) const {
  switch (format) {  // No default: the compiler reports a format that has no case.
    case SampleFormat::kCsv:
      return ParseCsv(bytes);
    case SampleFormat::kJson:
      return ParseAcquisitionJson(bytes, signature_key);
    case SampleFormat::kWav:
      return ParseWav(bytes);
    case SampleFormat::kF32:
    case SampleFormat::kUnspecified:
      break;
  }
  return absl::InvalidArgumentError("format: want CSV, JSON or WAV");
}

}  // namespace fieldloop::ingestion
