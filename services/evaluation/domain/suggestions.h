// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SUGGESTIONS_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SUGGESTIONS_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/evaluation/domain/model.h"
#include "services/evaluation/domain/neighbours.h"

namespace fieldloop::evaluation {

// What one model says of one recording, for people who label.
struct Suggestion {
  std::string sample;
  std::string model_digest;
  std::string label;      // Of most windows; of equals the more probable one.
  double confidence = 0;  // Mean probability of that label over all windows.
  double novelty = 0;     // Mean over all windows.
};

// What one window looks like to a model.
struct WindowOpinion {
  std::vector<double> probabilities;  // By class.
  double novelty = 0;
};

// Sums up the windows of a sample; there is at least one, and each has a probability per class.
Suggestion SumUp(const std::vector<WindowOpinion>& windows,
                 const std::vector<std::string>& classes);

// The ingestion service, as far as labelling goes.
class SuggestionDesk {
 public:
  SuggestionDesk() = default;
  SuggestionDesk(const SuggestionDesk&) = delete;
  SuggestionDesk& operator=(const SuggestionDesk&) = delete;
  virtual ~SuggestionDesk() = default;

  // Calls `sink` with samples of a project that no person has labelled and that have no suggestion
  // of the model yet, those without any label first, newest first, until it returns false. Only
  // samples for which `wanted` is true, which sees them without readings, are fetched.
  virtual absl::Status ForEachUnlabelled(
      const std::string& project, const std::string& model_digest,
      absl::FunctionRef<bool(const TestingSample& sample)> wanted,
      absl::FunctionRef<absl::StatusOr<bool>(const TestingSample& sample)> sink) = 0;
  // Returns how many were stored.
  virtual absl::StatusOr<int> Store(const std::string& project,
                                    const std::vector<Suggestion>& suggestions) = 0;
};

struct SuggestionCounts {
  int suggested = 0;
  int unreadable = 0;  // Samples that the model cannot read: too short, or without its axes.
};

// Asks models what unlabelled samples are. Implemented by inference/ with the C code of the
// devices.
class LabelSuggester {
 public:
  LabelSuggester() = default;
  LabelSuggester(const LabelSuggester&) = delete;
  LabelSuggester& operator=(const LabelSuggester&) = delete;
  virtual ~LabelSuggester() = default;

  // Asks `model` about at most `max_samples` samples. FAILED_PRECONDITION, reason MODEL_UNREADABLE;
  // errors of the other services as they come.
  virtual absl::StatusOr<SuggestionCounts> Suggest(const std::string& project,
                                                   const std::string& model, int max_samples) = 0;
};

inline constexpr char kModelUnreadable[] = "MODEL_UNREADABLE";

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SUGGESTIONS_H_
