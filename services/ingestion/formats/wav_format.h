// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_WAV_FORMAT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_WAV_FORMAT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Reads RIFF WAVE with PCM of 16 bit, also in its extensible form. Each channel is an axis: "audio"
// for one, "audio0", "audio1", ... for more. The values are the integers, -32768 to 32767.
//
// INVALID_ARGUMENT, "byte 36, chunk \"data\": got ..., want ...".
absl::StatusOr<ParsedRecording> ParseWav(absl::string_view bytes);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_WAV_FORMAT_H_
