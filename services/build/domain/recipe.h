// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_RECIPE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_RECIPE_H_

#include <cstdint>
#include <map>
#include <optional>
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
  bool pad_short = false;  // See PadShort.
  friend bool operator==(const Window&, const Window&) = default;
};

// An axis sqrt(sum of squares) of `count` sensor axes from `first_axis` on.
struct MagnitudeAxis {
  std::int64_t first_axis = 0;
  std::int64_t count = 0;
  friend bool operator==(const MagnitudeAxis&, const MagnitudeAxis&) = default;
};

enum class FilterKind : std::uint8_t { kNone, kLowPass, kHighPass };

// A Butterworth filter before the spectrum.
struct Filter {
  FilterKind kind = FilterKind::kNone;
  float cutoff_hz = 0;
  std::int64_t order = 0;
  friend bool operator==(const Filter&, const Filter&) = default;
};

enum class BlockKind : std::uint8_t { kNone, kRaw, kFlatten, kSpectral, kMfe, kMfcc };

// One step of signal processing. Which fields count depends on `kind`; the others stay 0.
struct DspBlock {
  BlockKind kind = BlockKind::kNone;
  float scale = 0;                // All but spectral.
  bool without_shape = false;     // Flatten.
  std::int64_t fft_length = 0;    // Spectral, mfe, mfcc.
  bool average_frames = false;    // Spectral.
  Filter filter{};                // Spectral.
  std::int64_t frame_length = 0;  // Mfe and mfcc, as all below.
  std::int64_t frame_stride = 0;
  std::int64_t filter_count = 0;
  float low_hz = 0;
  float high_hz = 0;
  float pre_emphasis = 0;
  float noise_floor_db = 0;               // Mfe only.
  std::int64_t coefficient_count = 0;     // Mfcc only.
  std::int64_t normalisation_frames = 0;  // Mfcc only; 0: none.
  friend bool operator==(const DspBlock&, const DspBlock&) = default;
};

struct Augmentation {
  std::int32_t copies = 0;
  double rotation_degrees = 0;
  double gain = 0;
  double noise = 0;
  bool half_turns = false;
  std::int32_t time_shift = 0;
  std::int32_t time_mask = 0;
  std::int32_t frequency_mask = 0;
  friend bool operator==(const Augmentation&, const Augmentation&) = default;
};

enum class Network : std::uint8_t { kDense, kConv1d, kConv2d };

// One convolution.
struct ConvBlock {
  std::int32_t filters = 0;
  std::int32_t kernel = 0;
  std::int32_t stride = 0;
  std::int32_t pool = 0;
  friend bool operator==(const ConvBlock&, const ConvBlock&) = default;
};

enum class AnomalyMethod : std::uint8_t { kKMeans, kGaussianMixture };

// How the anomaly block is made.
struct AnomalyLearning {
  AnomalyMethod method = AnomalyMethod::kKMeans;
  std::int32_t components = 0;
  std::int32_t features = 0;
  double quantile = 0;
  friend bool operator==(const AnomalyLearning&, const AnomalyLearning&) = default;
};

// What a searched network has to keep; 0 is no limit.
struct Budget {
  double flash_kb = 0;
  double ram_kb = 0;
  double mega_instructions = 0;
  std::int32_t trials = 0;
  friend bool operator==(const Budget&, const Budget&) = default;
};

struct Learning {
  Network network = Network::kDense;
  std::vector<ConvBlock> conv_blocks{};  // Empty: the trainer's choice.
  std::vector<std::int32_t> dense_units;
  std::int32_t epochs = 0;
  double learning_rate = 0;
  std::int32_t batch_size = 0;
  double dropout = 0;
  double weight_decay = 0;
  Augmentation augmentation{};
  bool balance_classes = false;
  std::string group_key;
  double device_weight = 0;
  std::int32_t training_stride = 0;          // 0: the window's stride.
  std::int32_t early_stopping_patience = 0;  // 0: never stops early.
  double validation_share = 0;               // 0: no validation split.
  std::optional<AnomalyLearning> anomaly{};
  std::optional<Budget> budget{};
  std::map<std::string, std::string> parameters{};  // Of a trainer of the learning-block contract.
  friend bool operator==(const Learning&, const Learning&) = default;
};

// "low_pass", "conv_2d", "k_means": as they stand in stored recipes and in train_input.json.
absl::string_view TextOf(FilterKind kind);
absl::string_view TextOf(Network network);
absl::string_view TextOf(AnomalyMethod method);

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
// What a recipe does not use has no line, so that a new kind of line leaves the texts there are
// alone.
std::string RecipeText(const ImpulseRecipe& recipe);
// The way back. DATA_LOSS if it is not a text of RecipeText.
absl::StatusOr<ImpulseRecipe> ParseRecipeText(absl::string_view text);

// SHA-256 of RecipeText, in hex.
std::string RecipeDigest(const ImpulseRecipe& recipe);

// Stride of the windows of the training side.
std::int64_t TrainingStride(const ImpulseRecipe& recipe);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_RECIPE_H_
