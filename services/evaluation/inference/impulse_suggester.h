// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_INFERENCE_IMPULSE_SUGGESTER_H_
#define FIELDLOOP_SERVICES_EVALUATION_INFERENCE_IMPULSE_SUGGESTER_H_

#include <string>

#include "services/evaluation/domain/suggestions.h"
#include "services/evaluation/inference/impulse_judge.h"

namespace fieldloop::evaluation {

// Asks models with the code that runs on devices. Thread-safe.
class ImpulseSuggester final : public LabelSuggester {
 public:
  // All must outlive this object. `open` is OpenImpulse, or a fake.
  ImpulseSuggester(ModelRegistry& models, SuggestionDesk& desk, ImpulseJudge::Opener open);

  absl::StatusOr<SuggestionCounts> Suggest(const std::string& project, const std::string& model,
                                           int max_samples) override;

 private:
  ModelRegistry& models_;
  SuggestionDesk& desk_;
  const ImpulseJudge::Opener open_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_INFERENCE_IMPULSE_SUGGESTER_H_
