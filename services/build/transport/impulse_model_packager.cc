// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/impulse_model_packager.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/strings/str_cat.h"
#include "services/build/packaging/package.h"
#include "services/build/transport/proto_conversion.h"
#include "services/common/npy/npy_array.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

// The training windows that have one of the classes.
absl::StatusOr<LabelledRows> ReadWindows(const std::string& folder) {
  FIELDLOOP_ASSIGN_OR_RETURN(const NpyArray<float> windows,
                             ReadNpy<float>(folder + "/windows_train.npy"));
  FIELDLOOP_ASSIGN_OR_RETURN(const NpyArray<std::int32_t> labels,
                             ReadNpy<std::int32_t>(folder + "/labels_train.npy"));
  LabelledRows rows;
  for (std::size_t row = 0; row < labels.rows(); ++row) {
    if (const std::int32_t label = labels.row(row)[0]; label > 0) {
      rows.windows.values.insert(rows.windows.values.end(), windows.row(row),
                                 windows.row(row) + windows.columns());
      rows.labels.push_back(label - 1);
    }
  }
  rows.windows.shape = {rows.labels.size(), windows.columns()};
  return rows;
}

}  // namespace

absl::StatusOr<CarriedImpulse> ImpulseModelPackager::Read(absl::string_view file) {
  FIELDLOOP_ASSIGN_OR_RETURN(const agent::v1::Impulse impulse, ImpulseOf(file));
  absl::StatusOr<ImpulseRecipe> recipe = CompleteRecipe(RecipeOf(impulse));
  if (!recipe.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the impulse that the file carries: ", recipe.status().message()));
  }
  return CarriedImpulse{.recipe = *std::move(recipe),
                        .classes = {impulse.classes().begin(), impulse.classes().end()}};
}

absl::StatusOr<std::string> ImpulseModelPackager::Package(absl::string_view file,
                                                          const ImpulseRecipe& recipe,
                                                          const std::vector<std::string>& classes,
                                                          const std::string& data_directory) {
  absl::StatusOr<agent::v1::Impulse> impulse = ImpulseOf(file);
  if (!impulse.ok()) {
    impulse = ToAgentImpulse(recipe, classes);
  }
  LabelledRows windows;
  if (!data_directory.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(windows, ReadWindows(data_directory));
  }
  return PackageModel(file, *std::move(impulse), windows);
}

}  // namespace fieldloop::build
