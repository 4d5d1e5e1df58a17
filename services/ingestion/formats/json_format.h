// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_JSON_FORMAT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_JSON_FORMAT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Reads the data acquisition format, version v1, as JSON; see AcquisitionDocument. Binary data
// begins right behind the brace that ends the document.
//
// INVALID_ARGUMENT, "payload.values[3][1]: got \"x\", want a number", or "line 7: got ...".
absl::StatusOr<ParsedRecording> ParseAcquisitionJson(absl::string_view bytes,
                                                     const ParseOptions& options);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_JSON_FORMAT_H_
