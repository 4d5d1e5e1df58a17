// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUNS_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUNS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/build/domain/trainer_run_store.h"
#include "services/build/domain/trainer_runner.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// What a run may send back in all, with what its archive adds.
inline constexpr std::int64_t kMaxRunOutputBytes = std::int64_t{64} << 20;
// The first file of every archive of a run: makes its bytes those of this run and no other, so that
// its blob can be deleted with it.
inline constexpr char kRunFile[] = "run.id";

// The runs of trainers that are not below this process: what they get, what they give back, and
// which of them may. Files travel as archives (services/common/tar/tar.h) that lie in the blob
// store, so that any replica of the service can serve them. Thread-safe.
class TrainerRuns {
 public:
  // All must outlive this object.
  TrainerRuns(TrainerRunStore& store, BlobStore& blobs, const Clock& clock)
      : store_(store), blobs_(blobs), clock_(clock) {}

  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;
  // Writes the archive with the inputs of the run `id`: the same bytes for the same id and files.
  using WriteInputs = absl::FunctionRef<absl::Status(absl::string_view id, Sink sink)>;

  // The run of a build: the one there is, if it was given the same inputs and its token is good for
  // a while; else a new one, whose token is good for `lifetime`, in place of it. ABORTED if another
  // process makes another one at the same moment.
  absl::StatusOr<TrainerRun> Begin(const BuildKey& build, absl::Duration lifetime,
                                   WriteInputs write);

  // Whose token this is. UNAUTHENTICATED.
  absl::StatusOr<TrainerRun> Authenticate(absl::string_view token);
  // Gives the archive to `sink`, piece by piece.
  absl::Status ReadInputs(const TrainerRun& run, Sink sink);
  // Takes how the run ended, OK or an error for people, and the archive of its outputs. What comes
  // after the first time is not taken, and no error: a run repeats what it was not told the end of.
  // INVALID_ARGUMENT.
  absl::Status Finish(const TrainerRun& run, const absl::Status& end, absl::string_view outputs);

  // As it is now. NOT_FOUND.
  absl::StatusOr<TrainerRun> Get(const BuildKey& build);
  // The files that a run gave back, by name.
  absl::StatusOr<std::map<std::string, std::string>> Outputs(const TrainerRun& run);
  // Deletes the run and its blobs.
  absl::Status Forget(const TrainerRun& run);
  absl::StatusOr<std::vector<BuildKey>> Builds();

 private:
  absl::StatusOr<std::string> DigestOfInputs(absl::string_view id, WriteInputs write) const;
  absl::Status Store(const TrainerRun& run, WriteInputs write);

  TrainerRunStore& store_;
  BlobStore& blobs_;
  const Clock& clock_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUNS_H_
