// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_COMMANDS_SAMPLE_FILTER_H_
#define FIELDLOOP_SERVICES_CLI_COMMANDS_SAMPLE_FILTER_H_

#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fieldloop/ingestion/v1/ingestion_service.pb.h>

#include "absl/status/statusor.h"
#include "services/cli/client/installation.h"

namespace fieldloop::cli {

// The flags that select recordings.
struct FilterFlags {
  std::vector<std::string> labels;
  std::vector<std::string> devices;
  std::vector<std::string> metadata;
  std::vector<std::string> flags;
  std::vector<std::string> without_flags;
  std::string newer_than;
  std::string older_than;
  std::string split;
  std::string source;
  bool labelled = false;
  bool unlabelled = false;

  // Without --labelled and --unlabelled where a command does not read them.
  void AddTo(CLI::App* verb, bool with_label_state = true);
};

// INVALID_ARGUMENT naming the flag.
absl::StatusOr<ingestion::v1::SampleFilter> FilterOf(const Client& client,
                                                     const FilterFlags& flags);

// "training", "testing", "auto" or "".
absl::StatusOr<ingestion::v1::Split> SplitOf(const std::string& text);

// The labels of a sample in order, "up,down".
std::string LabelsText(const ingestion::v1::Sample& sample);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_COMMANDS_SAMPLE_FILTER_H_
