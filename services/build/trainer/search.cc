// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/search.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "services/build/packaging/int8_model.h"
#include "services/build/trainer/parallel.h"
#include "services/build/trainer/random.h"
#include "services/build/trainer/scores.h"
#include "services/build/trainer/tflite_writer.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

using fieldloop::agent::v1::Impulse;

constexpr double kKilo = 1024;
constexpr double kMega = 1e6;
constexpr std::uint64_t kSplitStream = 1U << 20;
constexpr std::uint64_t kSearchStream = (1U << 20) + 1;  // Of the first candidate.
constexpr int kMaxEdges = 15;
constexpr std::size_t kMaxNameBytes = 31;

// What training can at most add to the metadata.
Impulse LargestImpulse(const TrainInput& input, std::size_t feature_count) {
  Impulse impulse = input.impulse;
  const auto floats = [](auto* field, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      field->Add(static_cast<float>(i + 1));
    }
  };
  floats(impulse.mutable_standardisation()->mutable_mean(), feature_count);
  floats(impulse.mutable_standardisation()->mutable_inverse_deviation(), feature_count);
  impulse.mutable_standardisation()->set_clip(1);
  impulse.mutable_reference()->set_id(std::numeric_limits<std::uint32_t>::max());
  for (int i = 0; i < 6; ++i) {
    auto& channel = *impulse.mutable_reference()->add_channels();
    channel.set_kind(fieldloop::agent::v1::CHANNEL_KIND_NOVELTY);
    channel.set_feature_index(static_cast<std::uint32_t>(feature_count));
    channel.set_name(std::string(kMaxNameBytes, 'x'));
    floats(channel.mutable_edges(), kMaxEdges);
    floats(channel.mutable_shares(), kMaxEdges + 1);
  }
  floats(impulse.mutable_reference()->mutable_class_shares(), input.classes.size());
  floats(impulse.mutable_calibration()->mutable_bin_accuracy(), kMaxEdges + 1);
  impulse.mutable_self_test()->set_window(std::string(input.window_values() * sizeof(float), '\0'));
  impulse.mutable_self_test()->set_output(std::string(input.classes.size(), '\0'));
  impulse.set_uncertain_below(1);
  if (input.learning.anomaly.has_value()) {
    const auto columns = static_cast<std::size_t>(input.learning.anomaly->features);
    const auto components = static_cast<std::size_t>(input.learning.anomaly->components);
    auto& anomaly = *impulse.mutable_anomaly();
    for (std::size_t i = 0; i < std::min(columns, feature_count); ++i) {
      anomaly.add_features(static_cast<std::uint32_t>(i));
    }
    const auto values = components * static_cast<std::size_t>(anomaly.features_size());
    if (input.learning.anomaly->method == AnomalyMethod::kKMeans) {
      floats(anomaly.mutable_k_means()->mutable_centres(), values);
      floats(anomaly.mutable_k_means()->mutable_radii(), components);
    } else {
      floats(anomaly.mutable_gaussian_mixture()->mutable_log_weights(), components);
      floats(anomaly.mutable_gaussian_mixture()->mutable_means(), values);
      floats(anomaly.mutable_gaussian_mixture()->mutable_inverse_deviations(), values);
    }
    anomaly.set_threshold(1);
  }
  return impulse;
}

// Sizes a network as it would be after training.
absl::StatusOr<Candidate> Size(const NetworkOptions& options, const Network& description,
                               const std::string& metadata) {
  Network network = description;
  for (Layer& layer : network.layers) {
    layer.weights.assign(layer.form.weight_count(), 1.0F);
    layer.bias.assign(layer.form.bias_count(), 0.0F);
  }
  const FeatureTable row(1, network.layers.front().form.input.size());
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> model,
                             Int8Model::Open(WriteTflite(Quantise(network, row), metadata)));
  Candidate candidate;
  candidate.network = options;
  candidate.size_bytes = model->file().size();
  candidate.arena_bytes = model->arena_bytes();
  FIELDLOOP_ASSIGN_OR_RETURN(candidate.cortex_m4_instructions, model->CountInstructions());
  return candidate;
}

bool Within(double value, double limit) { return limit == 0 || value <= limit; }

bool Fits(const Candidate& candidate, const BudgetOptions& budget) {
  return Within(static_cast<double>(candidate.size_bytes), budget.flash_kb * kKilo) &&
         Within(static_cast<double>(candidate.arena_bytes), budget.ram_kb * kKilo) &&
         Within(static_cast<double>(candidate.cortex_m4_instructions),
                budget.mega_instructions * kMega);
}

absl::Status NothingFits(const std::vector<Candidate>& candidates, const BudgetOptions& budget) {
  const auto smallest = [&candidates](auto member) {
    return static_cast<double>(*std::min_element(candidates.begin(), candidates.end(),
                                                 [member](const Candidate& a, const Candidate& b) {
                                                   return a.*member < b.*member;
                                                 }).*
                               member);
  };
  return absl::FailedPreconditionError(absl::StrFormat(
      "learning.budget: no network fits: the smallest has %.1f KiB of flash (limit %g), %.1f KiB "
      "of "
      "RAM (limit %g) and %.2f million instructions (limit %g); 0 is no limit",
      smallest(&Candidate::size_bytes) / kKilo, budget.flash_kb,
      smallest(&Candidate::arena_bytes) / kKilo, budget.ram_kb,
      smallest(&Candidate::cortex_m4_instructions) / kMega, budget.mega_instructions));
}

absl::StatusOr<double> Judge(const FittingContext& context, const Network& description,
                             const ValidationSplit& split, std::uint64_t stream) {
  const bool stops_early = context.input.learning.early_stopping_patience > 0;
  FIELDLOOP_ASSIGN_OR_RETURN(
      const FittedModel fitted,
      Fit(context, description,
          {.windows = split.training,
           .stream = stream,
           .validation = stops_early ? split.validation : std::vector<std::size_t>{}},
          [](const EpochResult&) {}));
  Impulse impulse = context.input.impulse;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> model,
                             Int8Model::Open(ToFile(fitted, impulse)));
  Scores scores(context.input.classes.size());
  for (const std::size_t window : split.validation) {
    FIELDLOOP_ASSIGN_OR_RETURN(const fl_inference_t inference,
                               model->Run(context.train.windows.row(window)));
    scores.Add(context.train.labels[window], static_cast<int>(inference.predicted_class));
  }
  return scores.balanced_accuracy();
}

// At most `count` of `places`, evenly spread, the last among them.
std::vector<std::size_t> Spread(const std::vector<std::size_t>& places, std::size_t count) {
  if (places.size() <= count) {
    return places;
  }
  std::vector<std::size_t> spread;
  for (std::size_t i = 1; i <= count; ++i) {
    spread.push_back(places[i * places.size() / count - 1]);
  }
  return spread;
}

}  // namespace

absl::StatusOr<std::vector<Candidate>> SearchNetworks(const FittingContext& context,
                                                      const FeatureShape& shape,
                                                      const BudgetOptions& budget, int threads) {
  const TrainInput& input = context.input;
  const std::string metadata = LargestImpulse(input, shape.steps * shape.width).SerializeAsString();
  std::vector<Candidate> candidates;
  std::vector<Network> descriptions;
  std::vector<std::size_t> fitting;
  for (const NetworkOptions& options : CandidateNetworks(input.learning.network.kind, shape)) {
    FIELDLOOP_ASSIGN_OR_RETURN(Network description,
                               DescribeNetwork(options, shape, input.classes.size()));
    FIELDLOOP_ASSIGN_OR_RETURN(Candidate candidate, Size(options, description, metadata));
    candidate.fits = Fits(candidate, budget);
    if (candidate.fits) {
      fitting.push_back(candidates.size());
    }
    candidates.push_back(std::move(candidate));
    descriptions.push_back(std::move(description));
  }
  if (fitting.empty()) {
    return NothingFits(candidates, budget);
  }

  std::vector<std::size_t> all(context.train.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = i;
  }
  Random random(input.seed, kSplitStream);
  const ValidationSplit split =
      SplitForValidation(context.train, all, input.learning.validation_share, random);
  if (split.validation.empty()) {
    return absl::FailedPreconditionError(
        "learning.budget: the windows have no group that can be left out to judge networks by; "
        "want "
        "two groups that have every class");
  }
  const std::vector<std::size_t> tried = Spread(fitting, static_cast<std::size_t>(budget.trials));
  FIELDLOOP_RETURN_IF_ERROR(
      RunInParallel(threads, tried.size(), [&](std::size_t i) -> absl::Status {
        FIELDLOOP_ASSIGN_OR_RETURN(
            candidates[tried[i]].validation_balanced_accuracy,
            Judge(context, descriptions[tried[i]], split, kSearchStream + tried[i]));
        return absl::OkStatus();
      }));
  std::size_t best = tried.front();
  for (const std::size_t place : tried) {
    if (*candidates[place].validation_balanced_accuracy >
        *candidates[best].validation_balanced_accuracy) {
      best = place;
    }
  }
  candidates[best].chosen = true;
  candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                  [](const Candidate& candidate) {
                                    return candidate.fits &&
                                           !candidate.validation_balanced_accuracy.has_value();
                                  }),
                   candidates.end());
  return candidates;
}

}  // namespace fieldloop::build::trainer
