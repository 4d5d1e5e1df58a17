// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/package.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/impulse/network.h"
#include "services/build/packaging/feature_extractor.h"
#include "services/build/packaging/feature_table.h"
#include "services/build/packaging/held_out.h"
#include "services/build/packaging/int8_model.h"
#include "services/build/packaging/reference.h"
#include "services/build/packaging/self_test.h"
#include "services/build/packaging/tflite_metadata.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMadeUpWindows = 8;

const std::uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

// Says what a device would say, and how inputs and outputs fit the impulse.
absl::Status CheckNetwork(absl::string_view model, std::size_t features, std::size_t classes) {
  fl_refusal_t refusal{};
  if (const fl_status_t status = fl_network_check(Bytes(model), model.size(), &refusal);
      status != FL_OK) {
    return absl::InvalidArgumentError(
        absl::StrCat("a device would not run it: ",
                     refusal.reason == nullptr ? fl_status_text(status) : refusal.reason,
                     "; want a network of int8 with an int8 input and an int8 output"));
  }
  std::size_t arena_size = 0;
  fl_network_arena_size(Bytes(model), model.size(), &arena_size);
  std::vector<std::uint64_t> arena(arena_size / sizeof(std::uint64_t) + 1);
  fl_network_t network;
  if (const fl_status_t status =
          fl_network_open(&network, Bytes(model), model.size(), arena.data(), arena_size);
      status != FL_OK) {
    return absl::InvalidArgumentError(
        absl::StrCat("a device would not run it: ", fl_status_text(status)));
  }
  if (network.input_size != features) {
    return absl::InvalidArgumentError(absl::StrCat(
        "its input has ", network.input_size, " values, the impulse has ", features, " features"));
  }
  if (network.output_size != classes) {
    return absl::InvalidArgumentError(absl::StrCat("its output has ", network.output_size,
                                                   " values, but there are ", classes, " classes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Int8Model>> OpenWith(absl::string_view model,
                                                    const agent::v1::Impulse& impulse) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::string file,
                             WithImpulseMetadata(model, impulse.SerializeAsString()));
  absl::StatusOr<std::unique_ptr<Int8Model>> opened = Int8Model::Open(std::move(file));
  if (!opened.ok()) {
    return absl::InvalidArgumentError(opened.status().message());
  }
  return opened;
}

// Features as the network sees them.
absl::StatusOr<FeatureTable> FeaturesOf(FeatureExtractor& extractor,
                                        const agent::v1::Impulse& impulse,
                                        const NpyArray<float>& windows) {
  FeatureTable table(windows.rows(), extractor.feature_count());
  for (std::size_t row = 0; row < windows.rows(); ++row) {
    FIELDLOOP_RETURN_IF_ERROR(extractor.Compute(windows.row(row), table.row(row)));
  }
  const agent::v1::Standardisation& standardisation = impulse.standardisation();
  if (standardisation.mean_size() == static_cast<int>(table.columns)) {
    for (std::size_t row = 0; row < table.rows; ++row) {
      for (std::size_t i = 0; i < table.columns; ++i) {
        const float z = (table.row(row)[i] - standardisation.mean(static_cast<int>(i))) *
                        standardisation.inverse_deviation(static_cast<int>(i));
        table.row(row)[i] =
            std::fmin(std::fmax(z, -standardisation.clip()), standardisation.clip());
      }
    }
  }
  return table;
}

absl::Status AddReference(Int8Model& model, FeatureExtractor& extractor,
                          const LabelledRows& windows, agent::v1::Impulse& impulse) {
  std::vector<HeldOutPrediction> predictions;
  for (std::size_t row = 0; row < windows.windows.rows(); ++row) {
    FIELDLOOP_ASSIGN_OR_RETURN(const fl_inference_t inference, model.Run(windows.windows.row(row)));
    predictions.push_back({.label = windows.labels[row],
                           .predicted = static_cast<int>(inference.predicted_class),
                           .confidence = inference.confidence,
                           .novelty = inference.novelty,
                           .anomaly = inference.anomaly});
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const FeatureTable features,
                             FeaturesOf(extractor, impulse, windows.windows));
  const std::vector<std::size_t> chosen =
      ChooseFeatures(features, windows.labels, static_cast<std::size_t>(impulse.classes_size()),
                     kMaxFeatureChannels - (impulse.has_anomaly() ? 1 : 0));
  DescribeReference(predictions, features, chosen, FeatureNames(impulse), impulse);
  return absl::OkStatus();
}

// Slow waves of growing size: any signal does, as long as it is always the same.
LabelledRows MadeUpWindows(const agent::v1::Window& window) {
  const auto axes = static_cast<std::size_t>(window.axes_size());
  const std::size_t values = window.length() * axes;
  LabelledRows rows;
  rows.windows.shape = {kMadeUpWindows, values};
  for (std::size_t row = 0; row < kMadeUpWindows; ++row) {
    for (std::size_t i = 0; i < values; ++i) {
      const std::size_t reading = i / axes;
      // A triangle in whole numbers: the C library's sine differs between machines.
      const std::size_t period = 8 + 4 * row + i % axes;
      const auto phase = static_cast<float>(reading % period) / static_cast<float>(period);
      const auto size = static_cast<float>(std::size_t{1} << row);
      rows.windows.values.push_back(size * (phase < 0.5F ? 4 * phase - 1 : 3 - 4 * phase));
    }
  }
  rows.labels.assign(kMadeUpWindows, 0);
  return rows;
}

}  // namespace

absl::StatusOr<std::string> PackageModel(absl::string_view model, agent::v1::Impulse impulse,
                                         const LabelledRows& windows) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<FeatureExtractor> extractor,
                             FeatureExtractor::Open(impulse));
  FIELDLOOP_RETURN_IF_ERROR(CheckNetwork(model, extractor->feature_count(),
                                         static_cast<std::size_t>(impulse.classes_size())));
  const bool has_windows = !windows.labels.empty();
  if (impulse.reference().channels_size() == 0 && has_windows) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> opened, OpenWith(model, impulse));
    FIELDLOOP_RETURN_IF_ERROR(AddReference(*opened, *extractor, windows, impulse));
  }
  if (impulse.self_test().output().empty()) {
    impulse.clear_self_test();
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> opened, OpenWith(model, impulse));
    const LabelledRows made_up = has_windows ? LabelledRows() : MadeUpWindows(impulse.window());
    const LabelledRows& source = has_windows ? windows : made_up;
    FIELDLOOP_RETURN_IF_ERROR(AddSelfTest(*opened, source.windows, source.labels, impulse));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> packaged, OpenWith(model, impulse));
  if (const absl::Status status = packaged->SelfTest(); !status.ok()) {
    return absl::InvalidArgumentError(status.message());
  }
  return packaged->file();
}

absl::StatusOr<agent::v1::Impulse> ImpulseOf(absl::string_view model) {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  const fl_status_t status =
      fl_tflite_metadata(Bytes(model), model.size(), kImpulseMetadata, &data, &size);
  agent::v1::Impulse impulse;
  if (status == FL_ERR_NOT_FOUND) {
    return absl::NotFoundError("the model carries no impulse");
  }
  if (status != FL_OK || !impulse.ParseFromArray(data, static_cast<int>(size))) {
    return absl::InvalidArgumentError("the impulse that the model carries cannot be read");
  }
  return impulse;
}

}  // namespace fieldloop::build
