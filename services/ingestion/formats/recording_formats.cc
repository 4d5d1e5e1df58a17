// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/recording_formats.h"

#include "absl/strings/str_cat.h"
#include "services/ingestion/formats/cbor_format.h"
#include "services/ingestion/formats/csv_format.h"
#include "services/ingestion/formats/json_format.h"
#include "services/ingestion/formats/wav_format.h"

namespace fieldloop::ingestion {

absl::StatusOr<ParsedRecording> RecordingFormats::Parse(SampleFormat format,
                                                        absl::string_view bytes,
                                                        const ParseOptions& options) const {
  switch (format) {  // No default: the compiler reports a format that has no case.
    case SampleFormat::kCsv:
      return ParseCsv(bytes, options);
    case SampleFormat::kJson:
      return ParseAcquisitionJson(bytes, options);
    case SampleFormat::kCbor:
      return ParseAcquisitionCbor(bytes, options);
    case SampleFormat::kWav:
      return ParseWav(bytes);
    case SampleFormat::kF32:
    case SampleFormat::kUnspecified:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("format: want ", kUploadFormats));
}

}  // namespace fieldloop::ingestion
