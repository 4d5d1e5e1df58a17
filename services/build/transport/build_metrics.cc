// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/build_metrics.h"

#include <string>

#include "absl/time/time.h"
#include "services/build/domain/names.h"
#include "services/common/log/log.h"

namespace fieldloop::build {

BuildMetrics::BuildMetrics(prometheus::Registry& registry)
    : builds_(prometheus::BuildCounter()
                  .Name("fieldloop_builds_total")
                  .Help("Builds by how they ended.")
                  .Register(registry)),
      durations_(prometheus::BuildHistogram()
                     .Name("fieldloop_build_duration_seconds")
                     .Help("Time from the start of a build's last attempt to its end.")
                     .Register(registry)),
      duration_(durations_.Add(
          {}, prometheus::Histogram::BucketBoundaries{1, 5, 15, 60, 300, 900, 3600, 14400})),
      waiting_(prometheus::BuildGauge()
                   .Name("fieldloop_builds_waiting")
                   .Help("Builds in the queue.")
                   .Register(registry)
                   .Add({})),
      oldest_age_(prometheus::BuildGauge()
                      .Name("fieldloop_builds_oldest_waiting_seconds")
                      .Help("How long the build that waits longest has waited.")
                      .Register(registry)
                      .Add({})),
      running_(prometheus::BuildGauge()
                   .Name("fieldloop_builds_running")
                   .Help("Builds that run in this process.")
                   .Register(registry)
                   .Add({})),
      errors_(prometheus::BuildCounter()
                  .Name("fieldloop_build_worker_errors_total")
                  .Help("Failures of background work that no build shows.")
                  .Register(registry)
                  .Add({})) {
  // All end states are there from the start, so that a rate over them has a first value.
  for (const BuildState state :
       {BuildState::kSucceeded, BuildState::kFailed, BuildState::kCancelled}) {
    const absl::string_view text = StateText(state);
    counts_[state] = &builds_.Add({{"state", std::string(text)}});
  }
}

void BuildMetrics::OnBuildDone(const Build& build, absl::Duration duration) {
  counts_.at(build.state)->Increment();
  duration_.Observe(absl::ToDoubleSeconds(duration));
  spdlog::info("{} {}: {}", BuildName(build.project, build.number), StateText(build.state),
               build.state == BuildState::kFailed ? build.error : build.activity);
}

void BuildMetrics::OnQueue(std::int64_t waiting, absl::Duration oldest_age, std::int64_t running) {
  waiting_.Set(static_cast<double>(waiting));
  oldest_age_.Set(absl::ToDoubleSeconds(oldest_age));
  running_.Set(static_cast<double>(running));
}

void BuildMetrics::OnError(const absl::Status& status) {
  errors_.Increment();
  spdlog::error("build worker: {}", status.ToString());
}

}  // namespace fieldloop::build
