// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_RECIPES_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_RECIPES_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/build/domain/dataset_source.h"
#include "services/build/domain/recipe.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::build {

// Two readings of two axes at 100 Hz, raw.
inline ImpulseRecipe SmallRecipe() {
  ImpulseRecipe recipe;
  recipe.window = {.length = 2, .stride = 2, .frequency_hz = 100, .axes = {"x", "y"}};
  recipe.blocks = {{.kind = BlockKind::kRaw, .scale = 1}};
  return *CompleteRecipe(recipe);
}

// A recording of axes x and y at 100 Hz with one label; reading i is (i, -i).
inline SourceSample SmallSample(const std::string& id, const std::string& label, int readings,
                                bool testing = false) {
  SourceSample sample;
  sample.name = absl::StrCat("projects/motor/samples/", id);
  sample.digest = ToHex(Sha256Of(id));
  sample.axes = {"x", "y"};
  sample.frequency_hz = 100;
  sample.testing = testing;
  sample.labels = {{.start = 0, .end = -1, .label = label}};
  for (int i = 0; i < readings; ++i) {
    sample.values.push_back(static_cast<float>(i));
    sample.values.push_back(static_cast<float>(-i));
  }
  return sample;
}

// The digest of a dataset version, as proto/fieldloop/ingestion/v1 defines it.
inline std::string VersionDigest(const std::vector<SourceSample>& samples) {
  std::string text;
  for (const SourceSample& sample : samples) {
    absl::StrAppend(&text, sample.digest, "\t", sample.testing ? "testing" : "training", "\t");
    for (std::size_t i = 0; i < sample.labels.size(); ++i) {
      const ReadingRange& range = sample.labels[i];
      absl::StrAppend(&text, i == 0 ? "" : ",", range.start, ":", range.end, ":", range.label);
    }
    absl::StrAppend(&text, "\n");
  }
  return ToHex(Sha256Of(text));
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_RECIPES_H_
