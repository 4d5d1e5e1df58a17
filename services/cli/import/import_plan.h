// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_IMPORT_IMPORT_PLAN_H_
#define FIELDLOOP_SERVICES_CLI_IMPORT_IMPORT_PLAN_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.pb.h>

#include "absl/status/statusor.h"
#include "services/cli/import/name_pattern.h"

namespace fieldloop::cli {

// How the files of a folder become recordings.
struct ImportOptions {
  std::string project;                 // "projects/motor".
  std::optional<NamePattern> pattern;  // What names say; without it, folders are labels.
  std::vector<FieldRule> testing;      // If any: where one holds, testing; elsewhere, training.
  std::string split;                   // "training", "testing", or "auto".
  std::string split_key;
  std::string label;  // Of all.
  std::map<std::string, std::string> metadata;
};

// A file to send, and what goes with it.
struct PlannedRecording {
  std::string path;
  ingestion::v1::UploadSpec spec;
};

struct ImportPlan {
  std::vector<PlannedRecording> recordings;                  // By path.
  std::vector<std::pair<std::string, std::string>> skipped;  // Path, and why it is no recording.
  std::vector<std::pair<std::string, std::string>> refused;  // Path, and what is wrong.
};

// Decides what of `folder` is sent, and as what. With an index "info.labels" in it, what that
// lists; otherwise every file in it and below that ends as a recording does. INVALID_ARGUMENT for a
// folder or a side file that cannot be read.
absl::StatusOr<ImportPlan> PlanImport(const std::string& folder, const ImportOptions& options);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_IMPORT_IMPORT_PLAN_H_
