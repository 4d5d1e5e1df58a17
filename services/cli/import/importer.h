// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_IMPORT_IMPORTER_H_
#define FIELDLOOP_SERVICES_CLI_IMPORT_IMPORTER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "services/cli/import/import_plan.h"
#include "services/cli/import/sample_sender.h"

namespace fieldloop::cli {

struct ImportProgress {
  std::size_t done = 0;
  std::size_t total = 0;
  std::int64_t bytes = 0;  // That went over the wire.
};

struct ImportSummary {
  std::size_t stored = 0;
  std::size_t there = 0;                                     // Before.
  std::vector<std::pair<std::string, std::string>> refused;  // Path and reason, by path.
  absl::Status stopped;  // Why the rest was not tried, if it was not.
};

// Sends what is planned over `streams` calls at a time. A refused recording does not keep the
// others out; a service that stays away, or `stop`, ends it. Nothing is remembered here: the
// service knows what it has, so a second run sends only what is missing. `progress` is called on
// the caller's thread, about ten times a second and at the end.
ImportSummary Import(const std::vector<PlannedRecording>& recordings, SampleSender& sender,
                     int streams, const std::atomic<bool>& stop,
                     const std::function<void(const ImportProgress&)>& progress);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_IMPORT_IMPORTER_H_
