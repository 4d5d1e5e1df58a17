// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_SEARCH_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/build/trainer/architecture.h"
#include "services/build/trainer/fitting.h"
#include "services/build/trainer/train_input.h"

namespace fieldloop::build::trainer {

// A network that a search looked at; the fields are those of fieldloop.build.v1.Candidate.
struct Candidate {
  NetworkOptions network;
  std::size_t size_bytes = 0;
  std::size_t arena_bytes = 0;
  std::uint64_t cortex_m4_instructions = 0;
  std::optional<double> validation_balanced_accuracy;
  bool fits = false;
  bool chosen = false;
};

// Looks for the best network within `budget`: sizes the candidates of the kind that the recipe
// names, trains those that fit, at most budget.trials of them, on a part of the training side, and
// judges them by the balanced accuracy of the int8 model on the rest; of equals the smaller one is
// better. Returns those tried and those that do not fit, the smaller ones first; one is chosen.
//
// Sizes are those of a file with the largest metadata that training may give. FAILED_PRECONDITION
// if nothing fits, with the smallest sizes reached.
absl::StatusOr<std::vector<Candidate>> SearchNetworks(const FittingContext& context,
                                                      const FeatureShape& shape,
                                                      const BudgetOptions& budget, int threads);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_SEARCH_H_
