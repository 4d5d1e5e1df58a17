// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TRAINER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TRAINER_H_

#include <stop_token>

#include "services/build/domain/trainer.h"
#include "services/build/domain/trainer_program.h"
#include "services/build/domain/trainer_runner.h"

namespace fieldloop::build {

// A program of the contract of docs/models.md: windows in, a model with its impulse out.
//   COMMAND --info-file train_input.json --data-directory DIR --out-directory DIR
class ProcessTrainer final : public Trainer {
 public:
  // `runner` must outlive this object.
  ProcessTrainer(TrainerProgram program, TrainerRunner& runner);

  absl::string_view id() const override { return program_.id; }
  TrainerContract contract() const override { return TrainerContract::kFieldloop; }
  absl::StatusOr<TrainerIdentity> Identify() override;
  absl::StatusOr<TrainedModel> Train(const TrainingJob& job, std::stop_token stop,
                                     TrainerListener& listener) override;

 private:
  const TrainerProgram program_;
  TrainerRunner& runner_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TRAINER_H_
