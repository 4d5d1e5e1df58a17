// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_ROWS_FILE_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_ROWS_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/blob/blob_store.h"
#include "services/common/sql/table_copy.h"

namespace fieldloop::cli {

// A table as text: a line {"table": NAME, "columns": [[NAME, TYPE], ...]} with types of NameOf(),
// then a line for each row, an array with a value for each column: null, a string, or a number.
// Text that is not UTF-8 is {"base64": TEXT}; what JSON has no number for is "NaN", "Infinity" or
// "-Infinity" in a column of type real.
std::string HeaderLine(const TableShape& table);
std::string RowLine(const TableShape& table, const TableRow& row);

// Reads such a file from a store, and gives its rows to `sink`. `on_table` comes before the first
// one; its table has no key. Returns the number of rows. DATA_LOSS if the file is missing, has not
// its digest, or is not of this form.
absl::StatusOr<std::int64_t> ReadRowsFile(
    BlobStore& store, const std::string& digest,
    absl::FunctionRef<absl::Status(const TableShape&)> on_table,
    absl::FunctionRef<absl::Status(TableRow)> sink);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_ROWS_FILE_H_
