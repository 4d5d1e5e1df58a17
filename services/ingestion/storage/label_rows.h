// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_LABEL_ROWS_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_LABEL_ROWS_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <soci/soci.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/labelling.h"

// Rows of labels and suggestions, for the stores. Included by .cc files of storage/ only. What SOCI
// throws passes through.
namespace fieldloop::ingestion {

absl::Status NoSample(absl::string_view project, absl::string_view id);

// Labels to insert with their numbers as they are, column by column: each statement is prepared
// once for all of them. SOCI binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct LabelColumns {
  std::vector<std::string> project, sample_id, author, source, suggested_by;
  std::vector<long long> number, create_micros, undoes;
  std::vector<int> reason;
  std::vector<double> probability;
  std::vector<std::string> range_project, range_sample_id, range_label;
  std::vector<long long> range_number, range_start, range_end;

  void Add(const Label& label);
  void InsertInto(soci::session& session) const;
};
// NOLINTEND(google-runtime-int)

// Stores a label as the newest of its sample: chooses its number, makes it stand, ends a lease of
// the sample (and says in the label how its author came by it), and keeps the sample's place in the
// labelling queue. NOT_FOUND; INVALID_ARGUMENT, "ranges...".
absl::StatusOr<Label> AddLabel(soci::session& session, Label label);

// At most `limit` labels of a sample with a number above `after`, oldest first.
std::vector<Label> SelectLabels(soci::session& session, const std::string& project,
                                const std::string& sample_id, std::int64_t after = 0,
                                std::int64_t limit = std::numeric_limits<std::int64_t>::max());

// The newest suggestion for a sample.
std::optional<Suggestion> NewestSuggestion(soci::session& session, const std::string& project,
                                           const std::string& sample_id);

// Writes what the queue orders a sample by, from its labels and its newest suggestion.
void RefreshQueue(soci::session& session, const std::string& project, const std::string& sample_id);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_LABEL_ROWS_H_
