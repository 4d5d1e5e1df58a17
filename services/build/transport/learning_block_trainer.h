// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_LEARNING_BLOCK_TRAINER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_LEARNING_BLOCK_TRAINER_H_

#include <stop_token>

#include "services/build/domain/trainer.h"
#include "services/build/domain/trainer_program.h"
#include "services/build/domain/trainer_runner.h"

namespace fieldloop::build {

// A program of the learning-block contract (docs/trainers.md): features in, a .tflite file out.
//   COMMAND --info-file FILE --data-directory DIR --out-directory DIR --epochs N --learning-rate X
//           --NAME VALUE for each of Learning.parameters
// The program sees the training side only, of which a part is held out for its validation. What it
// makes is checked, and gets the metadata that a device needs by being run on that part.
class LearningBlockTrainer final : public Trainer {
 public:
  // `runner` must outlive this object.
  LearningBlockTrainer(TrainerProgram program, TrainerRunner& runner);

  absl::string_view id() const override { return program_.id; }
  TrainerContract contract() const override { return TrainerContract::kLearningBlock; }
  absl::StatusOr<TrainerIdentity> Identify() override;
  absl::StatusOr<TrainedModel> Train(const TrainingJob& job, std::stop_token stop,
                                     TrainerListener& listener) override;

 private:
  const TrainerProgram program_;
  TrainerRunner& runner_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_LEARNING_BLOCK_TRAINER_H_
