// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TRAINER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TRAINER_H_

#include <stop_token>
#include <string>

#include "absl/time/time.h"
#include "services/build/domain/trainer.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

struct ProcessTrainerOptions {
  std::string program;  // Path.
  absl::Duration time_limit = absl::Hours(2);
};

// A trainer that is a program:
//   PROGRAM --info-file train_input.json --data-directory DIR --out-directory DIR
// docs/models.md describes the files and what it prints.
class ProcessTrainer final : public Trainer {
 public:
  // `clock` must outlive this object.
  ProcessTrainer(ProcessTrainerOptions options, const Clock& clock);

  absl::StatusOr<TrainerIdentity> Identify() override;
  absl::StatusOr<TrainedModel> Train(const TrainingJob& job, std::stop_token stop,
                                     TrainerListener& listener) override;

 private:
  const ProcessTrainerOptions options_;
  const Clock& clock_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TRAINER_H_
