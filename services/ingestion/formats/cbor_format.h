// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_CBOR_FORMAT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_CBOR_FORMAT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Reads the data acquisition format, version v1, as CBOR (RFC 8949); see AcquisitionDocument.
// Lengths may be indefinite, numbers of any width and kind; tags are skipped. Undefined is read as
// null. Binary data begins right behind the document.
//
// INVALID_ARGUMENT, "payload.values[3][1]: got \"x\", want a number", or "byte 7: got ...".
absl::StatusOr<ParsedRecording> ParseAcquisitionCbor(absl::string_view bytes,
                                                     const ParseOptions& options);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_CBOR_FORMAT_H_
