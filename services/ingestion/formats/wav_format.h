// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_WAV_FORMAT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_WAV_FORMAT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Reads RIFF WAVE: PCM of 8, 16, 24 or 32 bit or float of 32 or 64 bit, also in its extensible
// form. Each channel is an axis: "audio" for one, "audio0", "audio1", ... for more.
//
// Values are in units of 16 bit whatever the file's are: PCM of 16 bit as it is, other PCM scaled
// to the same full scale, float times 32768 (so that 1.0 is full scale). A model is trained on, and
// runs on, the integers of a microphone, mostly of 16 bit; a recording at another depth is then the
// same sound. Float beyond full scale is kept.
//
// Data ends at the end of the file when its size is 0 or 0xffffffff, as writers of streams leave
// it, or when the file is shorter than it says; then the flag "truncated" is set, also when the
// data ends inside a reading.
//
// INVALID_ARGUMENT, "byte 36, chunk \"data\": got ..., want ...".
absl::StatusOr<ParsedRecording> ParseWav(absl::string_view bytes);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_WAV_FORMAT_H_
