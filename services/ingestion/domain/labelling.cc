// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/labelling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/sha256_hex.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

// A number from 0 to below 1 that differs with `salt`, from one draw (SplitMix64).
double Fraction(std::uint64_t draw, std::uint64_t salt) {
  std::uint64_t x = draw + salt * 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  x ^= x >> 31U;
  return static_cast<double>(x >> 11U) * 0x1p-53;
}

std::size_t RoundByChance(double wanted, double fraction) {
  const double floor = std::floor(wanted + 1e-9);
  return static_cast<std::size_t>(floor) + (fraction < wanted - floor ? 1 : 0);
}

bool Contains(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

absl::Status ValidateSuggestion(absl::string_view field, const Suggestion& suggestion) {
  if (!IsSha256Hex(suggestion.model_digest)) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".model_digest: got ",
                                                   Quoted(suggestion.model_digest),
                                                   ", want 64 lower-case hex digits"));
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateLabelText(absl::StrCat(field, ".label"), suggestion.label));
  if (!(suggestion.confidence >= 0 && suggestion.confidence <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".confidence: got ", suggestion.confidence, ", want 0 to 1"));
  }
  if (!std::isfinite(suggestion.novelty)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".novelty: got ", suggestion.novelty, ", want a finite number"));
  }
  return absl::OkStatus();
}

QueueScores ScoresOf(const Suggestion& suggestion) {
  return {.uncertainty = suggestion.confidence < kSureFrom ? 1 - suggestion.confidence : 0,
          .novelty = suggestion.novelty > kNovelAbove ? suggestion.novelty : 0};
}

QueueScores ScoresOf(const std::optional<DeviceProvenance>& device) {
  if (!device.has_value()) {
    return {};
  }
  QueueScores scores;
  if (device->reason == "uncertain" ||
      (!device->predicted_label.empty() && device->confidence < kSureFrom)) {
    scores.uncertainty = std::max(1 - device->confidence, std::numeric_limits<double>::min());
  }
  if (device->reason == "novel") {
    scores.novelty = kNovelAbove;
  }
  return scores;
}

std::vector<Label> EffectiveLabels(const std::vector<Label>& history) {
  std::vector<Label> effective;
  std::set<std::int64_t> taken_back;
  for (auto label = history.rbegin(); label != history.rend(); ++label) {
    if (taken_back.count(label->number) > 0) {
      continue;
    }
    if (label->undoes != 0) {
      taken_back.insert(label->undoes);
    } else {
      effective.push_back(*label);
    }
  }
  std::reverse(effective.begin(), effective.end());
  return effective;
}

std::map<std::string, Label> Opinions(const std::vector<Label>& history) {
  std::map<std::string, Label> opinions;
  for (Label& label : EffectiveLabels(history)) {
    if (label.source != kPersonSource) {
      continue;
    }
    if (label.ranges.empty()) {
      opinions.erase(label.author);
    } else {
      opinions[label.author] = std::move(label);
    }
  }
  return opinions;
}

bool Disagrees(const std::vector<Label>& history, const std::optional<Suggestion>& newest) {
  const std::vector<Label> effective = EffectiveLabels(history);
  if (effective.empty() || effective.back().ranges.empty()) {
    return false;
  }
  const Label* before = nullptr;
  bool people_disagree = false;
  for (const Label& label : effective) {
    if (label.source != kPersonSource || label.ranges.empty()) {
      before = nullptr;
      people_disagree = false;
      continue;
    }
    people_disagree = !people_disagree && before != nullptr && before->author != label.author &&
                      before->ranges != label.ranges;
    before = &label;
  }
  if (people_disagree || !newest.has_value()) {
    return people_disagree;
  }
  const Label& stands = effective.back();
  const bool knew =
      stands.suggested_by == newest->model_digest ||
      (stands.reason == LabellingReason::kDisagreeing && stands.create_time >= newest->create_time);
  return stands.source != kModelSource && !knew && newest->confidence >= kSureFrom &&
         stands.ranges.size() == 1 && stands.ranges[0].label != newest->label;
}

QueueMix MixOf(std::size_t count, double random_share, double second_opinion_share,
               std::uint64_t draw) {
  QueueMix mix;
  const auto total = static_cast<double>(count);
  mix.random = std::min(count, RoundByChance(total * random_share, Fraction(draw, 1)));
  mix.second_opinion =
      std::min(count - mix.random, RoundByChance(total * second_opinion_share, Fraction(draw, 2)));
  mix.by_value = count - mix.random - mix.second_opinion;
  return mix;
}

std::vector<QueuePick> TakeInTurn(const std::vector<QueueLane>& lanes, std::size_t count,
                                  std::uint64_t draw, std::vector<std::string>& taken) {
  std::vector<QueuePick> picks;
  std::vector<std::size_t> next(lanes.size(), 0);
  std::size_t empty_turns = 0;
  for (std::size_t turn = draw % std::max<std::size_t>(lanes.size(), 1);
       picks.size() < count && empty_turns < lanes.size(); turn = (turn + 1) % lanes.size()) {
    const QueueLane& lane = lanes[turn];
    while (next[turn] < lane.sample_ids.size() && Contains(taken, lane.sample_ids[next[turn]])) {
      ++next[turn];
    }
    if (next[turn] == lane.sample_ids.size()) {
      ++empty_turns;
      continue;
    }
    empty_turns = 0;
    const std::string& id = lane.sample_ids[next[turn]++];
    taken.push_back(id);
    picks.push_back({.reason = lane.reason, .sample_id = id});
  }
  return picks;
}

std::vector<QueuePick> Weave(const std::vector<std::vector<QueuePick>>& parts) {
  std::vector<QueuePick> woven;
  std::vector<std::size_t> next(parts.size(), 0);
  for (;;) {
    const std::vector<QueuePick>* least = nullptr;
    double least_share = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (next[i] == parts[i].size()) {
        continue;
      }
      const double share =
          (static_cast<double>(next[i]) + 0.5) / static_cast<double>(parts[i].size());
      if (least == nullptr || share < least_share) {
        least = &parts[i];
        least_share = share;
        at = i;
      }
    }
    if (least == nullptr) {
      return woven;
    }
    woven.push_back((*least)[next[at]++]);
  }
}

}  // namespace fieldloop::ingestion
