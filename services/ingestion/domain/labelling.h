// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// What a model says of a sample: never a label.
struct Suggestion {
  std::string project;
  std::string sample_id;
  std::string model_digest;  // Hex.
  std::string label;
  double confidence = 0;  // 0 to 1.
  double novelty = 0;     // 0 or more; larger is more unusual.
  absl::Time create_time{};

  friend bool operator==(const Suggestion&, const Suggestion&) = default;
};

// A model is sure of itself from this confidence on: below, its sample is uncertain; from there on,
// it disagrees with a label that is not its own.
inline constexpr double kSureFrom = 0.8;
// Novelty of training data is 1 on average; above, a sample is novel.
inline constexpr double kNovelAbove = 1;

// INVALID_ARGUMENT naming the field below `field`.
absl::Status ValidateSuggestion(absl::string_view field, const Suggestion& suggestion);

// What the queue orders an unlabelled sample by; 0: not uncertain, not novel.
struct QueueScores {
  double uncertainty = 0;
  double novelty = 0;
};
QueueScores ScoresOf(const Suggestion& suggestion);
// Before a suggestion comes, what the device said counts.
QueueScores ScoresOf(const std::optional<DeviceProvenance>& device);

// Of all labels of a sample, oldest first: those that state something of their own and were not
// taken back. An undo takes back what it undoes unless it was itself undone.
std::vector<Label> EffectiveLabels(const std::vector<Label>& history);

// The last effective label of each person who has one that says something, by author.
std::map<std::string, Label> Opinions(const std::vector<Label>& history);

// Whether a sample needs a further look: somebody gave another label than the person before, or the
// newest model is sure of another label than the one that stands. A further label settles the
// first; a label given in the knowledge of the suggestion, or for this reason, settles the second.
bool Disagrees(const std::vector<Label>& history, const std::optional<Suggestion>& newest);

// How many of `count` tasks are drawn by chance, given for a second opinion and given by value. A
// share that is no whole number of tasks is rounded by `draw`, so that it holds in the long run.
struct QueueMix {
  std::size_t random = 0;
  std::size_t second_opinion = 0;
  std::size_t by_value = 0;
};
QueueMix MixOf(std::size_t count, double random_share, double second_opinion_share,
               std::uint64_t draw);

// The candidates of one reason, the most valuable first.
struct QueueLane {
  LabellingReason reason = LabellingReason::kUnspecified;
  std::vector<std::string> sample_ids;
};

struct QueuePick {
  LabellingReason reason = LabellingReason::kUnspecified;
  std::string sample_id;

  friend bool operator==(const QueuePick&, const QueuePick&) = default;
};

// Takes up to `count` different samples from `lanes` in turn, beginning with the lane that `draw`
// says, without those of `taken`, to which it adds.
std::vector<QueuePick> TakeInTurn(const std::vector<QueueLane>& lanes, std::size_t count,
                                  std::uint64_t draw, std::vector<std::string>& taken);

// Merges the parts of a mix so that every beginning of the result has about the shares of the
// whole: who stops in the middle has not labelled only the valuable ones.
std::vector<QueuePick> Weave(const std::vector<std::vector<QueuePick>>& parts);

// A sample that waits for a label, given to one labeller for a while.
struct LabellingTask {
  Sample sample;  // Without labels for a second opinion.
  LabellingReason reason = LabellingReason::kUnspecified;
  std::optional<Suggestion> suggestion;  // The newest.
  absl::Time lease_expire_time{};
  double probability = 0;  // With which a random one was drawn; 0 for the others.
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_H_
