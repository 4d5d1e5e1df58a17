// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_JSON_FORMAT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_JSON_FORMAT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Reads the data acquisition format, version v1, as JSON. Unknown keys are skipped; device_name and
// device_type become metadata.
//
// The signature is HMAC-SHA256 over the bytes as they are, with 64 zeros in its own place. With alg
// "HS256" a signature that does not fit `signature_key` sets the flag "signature-invalid", and
// without a key "signature-unchecked" is set. With alg "none" a project that has a key gets
// "signature-missing". No signature is a reason to refuse a file.
//
// INVALID_ARGUMENT, "payload.values[3][1]: got \"x\", want a number", or "line 7: not JSON: ...".
absl::StatusOr<ParsedRecording> ParseAcquisitionJson(
    absl::string_view bytes, const std::optional<std::string>& signature_key);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_JSON_FORMAT_H_
