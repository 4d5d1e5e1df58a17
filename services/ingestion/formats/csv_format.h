// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_CSV_FORMAT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_CSV_FORMAT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Reads comma-separated text: a header line of names, then rows of numbers. With a first column
// "timestamp" (milliseconds, ascending strictly) the rows are readings in time, see MakeEven;
// without one there is exactly one row. Lines end in LF or CRLF; a byte order mark, blanks around a
// field, a pair of quotes around one and empty lines at the end are allowed.
//
// INVALID_ARGUMENT, "line 3, column "accX": got "abc", want a number".
absl::StatusOr<ParsedRecording> ParseCsv(absl::string_view bytes);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_CSV_FORMAT_H_
