// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_WORKER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_WORKER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/build/domain/build.h"
#include "services/build/domain/build_observer.h"
#include "services/build/domain/build_store.h"
#include "services/build/domain/dataset_source.h"
#include "services/build/domain/impulse_store.h"
#include "services/build/domain/model_checker.h"
#include "services/build/domain/model_judge.h"
#include "services/build/domain/model_store.h"
#include "services/build/domain/running_builds.h"
#include "services/build/domain/trainer.h"
#include "services/build/domain/trainer_runner.h"
#include "services/build/domain/work_area.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"

namespace fieldloop::build {

// Takes builds from the queue and runs them: prepares a training set, trains, checks, registers.
//
// A build is run under a lease of `owner`. Everything a worker writes is refused once the build was
// cancelled or another process has taken it over, so that doing an attempt twice does no harm.
// Thread-safe: any number of threads may call RunOne.
class BuildWorker {
 public:
  // All must outlive this object.
  struct Parts {
    BuildStore& builds;
    ImpulseStore& impulses;
    ModelStore& models;
    DatasetSource& datasets;
    const TrainerSet& trainers;
    TrainerRunner& runner;
    ModelChecker& checker;
    ModelJudge& judge;
    WorkArea& work;
    BlobStore& blobs;
    RunningBuilds& running;
    ChangeSignal& changes;
    BuildObserver& observer;
    const Clock& clock;
  };
  // `owner` names this process; the same after a restart on the same data directory. Another one
  // takes its builds `lease` after it last gave a sign.
  BuildWorker(const Parts& parts, std::string owner, absl::Duration lease = kLease);

  // Runs the build whose turn it is to its end in this thread. False if none waits. An error
  // means that the outcome could not be stored: the build is tried again when its lease is over.
  absl::StatusOr<bool> RunOne();

  // Puts builds back that a previous process of the same owner left in the middle. Call before
  // RunOne.
  absl::Status RequeueHeld();

  // Renews the leases of this process's builds, stops those that are no longer ours, ends what
  // still runs for builds that are done, and tells the observer about the queue. Call about every
  // second, from one thread.
  absl::Status Beat();

  static constexpr absl::Duration kLease = absl::Seconds(30);

 private:
  absl::Status Renew(RunningBuild& running);
  absl::Status DiscardLeftRuns();

  const Parts parts_;
  const std::string owner_;
  const absl::Duration lease_;
  absl::Time discard_after_ = absl::InfinitePast();  // Of the thread that calls Beat.
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_WORKER_H_
