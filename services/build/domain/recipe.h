// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_RECIPE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_RECIPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// The piece of signal that one inference sees. Lengths in readings.
struct Window {
  std::int64_t length = 0;
  std::int64_t stride = 0;
  float frequency_hz = 0;
  std::vector<std::string> axes;
  friend bool operator==(const Window&, const Window&) = default;
};

// An axis sqrt(sum of squares) of `count` sensor axes from `first_axis` on.
struct MagnitudeAxis {
  std::int64_t first_axis = 0;
  std::int64_t count = 0;
  friend bool operator==(const MagnitudeAxis&, const MagnitudeAxis&) = default;
};

enum class BlockKind : std::uint8_t { kNone, kRaw, kFlatten, kSpectral };

// One step of signal processing. Which fields count depends on `kind`.
struct DspBlock {
  BlockKind kind = BlockKind::kNone;
  float scale = 0;              // Raw, flatten.
  bool without_shape = false;   // Flatten.
  std::int64_t fft_length = 0;  // Spectral.
  bool average_frames = false;  // Spectral.
  friend bool operator==(const DspBlock&, const DspBlock&) = default;
};

struct Augmentation {
  std::int32_t copies = 0;
  double rotation_degrees = 0;
  double gain = 0;
  double noise = 0;
  bool half_turns = false;
  friend bool operator==(const Augmentation&, const Augmentation&) = default;
};

struct Learning {
  std::vector<std::int32_t> dense_units;
  std::int32_t epochs = 0;
  double learning_rate = 0;
  std::int32_t batch_size = 0;
  double dropout = 0;
  double weight_decay = 0;
  Augmentation augmentation;
  bool balance_classes = false;
  std::string group_key;
  double device_weight = 0;
  std::int32_t training_stride = 0;  // 0: the window's stride.
  friend bool operator==(const Learning&, const Learning&) = default;
};

// A recipe as proto/fieldloop/build/v1 describes it: window, signal processing, learning.
struct ImpulseRecipe {
  Window window;
  std::vector<MagnitudeAxis> magnitudes;
  std::vector<DspBlock> blocks;
  Learning learning;
  double label_purity = 0;
  friend bool operator==(const ImpulseRecipe&, const ImpulseRecipe&) = default;
};

// One version of a named recipe.
struct Impulse {
  std::string project;
  std::string id;
  std::int64_t version = 0;  // Counts from 1.
  ImpulseRecipe recipe;      // Complete.
  std::string digest;        // RecipeDigest, hex.
  absl::Time create_time{};
  friend bool operator==(const Impulse&, const Impulse&) = default;
};

// Fills in the defaults and checks every range. INVALID_ARGUMENT naming the first bad field, such
// as "recipe.window.length: got 0, want 1 to 65535".
absl::StatusOr<ImpulseRecipe> CompleteRecipe(ImpulseRecipe recipe);

// A complete recipe as lines of text: one text for one recipe, so that it is stored and hashed.
std::string RecipeText(const ImpulseRecipe& recipe);
// The way back. DATA_LOSS if it is not a text of RecipeText.
absl::StatusOr<ImpulseRecipe> ParseRecipeText(absl::string_view text);

// SHA-256 of RecipeText, in hex.
std::string RecipeDigest(const ImpulseRecipe& recipe);

// Stride of the windows of the training side.
std::int64_t TrainingStride(const ImpulseRecipe& recipe);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_RECIPE_H_
