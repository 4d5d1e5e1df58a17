// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_CSV_FORMAT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_CSV_FORMAT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Reads text of separated values: a header line of names, then rows of numbers. With a column
// "timestamp" (milliseconds, ascending) the rows are readings in time, see MakeEven; without one
// there is exactly one row. A column "label" holds no numbers but labels: rows that follow each
// other with the same text are one range, and rows without are not labelled.
//
// The header's separator holds for the file: a comma, a semicolon or a tab, whichever is in the
// header; with the last two, numbers may have a decimal comma. A field that is empty or "nan" or
// "inf" is a missing value, see CheckReadings. Lines end in LF or CRLF; a byte order mark, blanks
// around a field, quotes around one and empty lines are allowed.
//
// INVALID_ARGUMENT, "line 3, column "accX": got "abc", want a number".
absl::StatusOr<ParsedRecording> ParseCsv(absl::string_view bytes, const ParseOptions& options);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_CSV_FORMAT_H_
