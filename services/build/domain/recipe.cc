// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/recipe.h"

#include <cmath>
#include <cstddef>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kTextFormat[] = "fieldloop.recipe.v1";

constexpr std::int64_t kMaxWindow = 65535;
constexpr double kMaxFrequencyHz = 1e6;
constexpr std::size_t kMaxAxes = 12;
constexpr std::size_t kMaxAxisName = 23;
constexpr std::size_t kMaxMagnitudes = 4;
constexpr std::size_t kMaxBlocks = 4;
constexpr std::int64_t kMinFft = 8;
constexpr std::int64_t kMaxFft = 256;
constexpr std::size_t kMaxDenseLayers = 4;
constexpr std::int32_t kMaxDenseUnits = 512;
constexpr std::int32_t kMaxEpochs = 1000;
constexpr std::int32_t kMaxBatch = 65536;
constexpr std::int32_t kMaxCopies = 20;
constexpr double kMaxDropout = 0.9;
constexpr double kMaxDeviceWeight = 1e6;
constexpr std::size_t kMaxGroupKey = 39;

absl::Status Wrong(absl::string_view field, absl::string_view got, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat("recipe.", field, ": got ", got, ", want ", want));
}

absl::Status CheckRange(absl::string_view field, std::int64_t got, std::int64_t low,
                        std::int64_t high) {
  if (got < low || got > high) {
    return Wrong(field, absl::StrCat(got), absl::StrCat(low, " to ", high));
  }
  return absl::OkStatus();
}

// NaN fails: no comparison with it holds.
absl::Status CheckRange(absl::string_view field, double got, double low, double high) {
  if (!(got >= low && got <= high)) {
    return Wrong(field, absl::StrCat(got), absl::StrCat(low, " to ", high));
  }
  return absl::OkStatus();
}

absl::Status CheckAbove(absl::string_view field, double got, double low, double high) {
  if (!(got > low && got <= high)) {
    return Wrong(field, absl::StrCat(got), absl::StrCat("above ", low, " to ", high));
  }
  return absl::OkStatus();
}

absl::Status CheckWindow(const Window& window) {
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("window.length", window.length, 1, kMaxWindow));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("window.stride", window.stride, 1, window.length));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckAbove("window.frequency_hz", window.frequency_hz, 0, kMaxFrequencyHz));
  if (window.axes.empty() || window.axes.size() > kMaxAxes) {
    return Wrong("window.axes", absl::StrCat(window.axes.size(), " axes"),
                 absl::StrCat("1 to ", kMaxAxes));
  }
  std::set<absl::string_view> seen;
  for (std::size_t i = 0; i < window.axes.size(); ++i) {
    const std::string& axis = window.axes[i];
    const std::string field = absl::StrCat("window.axes[", i, "]");
    if (axis.empty() || axis.size() > kMaxAxisName) {
      return Wrong(field, absl::StrCat(axis.size(), " bytes"), absl::StrCat("1 to ", kMaxAxisName));
    }
    if (!seen.insert(axis).second) {
      return Wrong(field, absl::StrCat("\"", absl::CHexEscape(axis), "\" again"), "each axis once");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMagnitudes(const std::vector<MagnitudeAxis>& magnitudes, std::size_t axes) {
  if (magnitudes.size() > kMaxMagnitudes) {
    return Wrong("magnitudes", absl::StrCat(magnitudes.size()),
                 absl::StrCat("0 to ", kMaxMagnitudes));
  }
  for (std::size_t i = 0; i < magnitudes.size(); ++i) {
    const std::string field = absl::StrCat("magnitudes[", i, "]");
    FIELDLOOP_RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".count"), magnitudes[i].count, 2, 3));
    if (magnitudes[i].first_axis < 0 ||
        magnitudes[i].first_axis + magnitudes[i].count > static_cast<std::int64_t>(axes)) {
      return Wrong(field,
                   absl::StrCat("axes ", magnitudes[i].first_axis, " to ",
                                magnitudes[i].first_axis + magnitudes[i].count - 1),
                   absl::StrCat("axes within 0 to ", axes - 1));
    }
  }
  return absl::OkStatus();
}

absl::Status CompleteBlock(const std::string& field, DspBlock& block) {
  switch (block.kind) {
    case BlockKind::kNone:
      return Wrong(field, "no block", "raw, flatten or spectral");
    case BlockKind::kRaw:
    case BlockKind::kFlatten:
      if (!std::isfinite(block.scale)) {
        return Wrong(absl::StrCat(field, ".scale"), absl::StrCat(block.scale), "a finite number");
      }
      if (block.scale == 0) {
        block.scale = 1;
      }
      return absl::OkStatus();
    case BlockKind::kSpectral:
      FIELDLOOP_RETURN_IF_ERROR(
          CheckRange(absl::StrCat(field, ".fft_length"), block.fft_length, kMinFft, kMaxFft));
      if ((block.fft_length & (block.fft_length - 1)) != 0) {
        return Wrong(absl::StrCat(field, ".fft_length"), absl::StrCat(block.fft_length),
                     "a power of two");
      }
      return absl::OkStatus();
  }
  return absl::InternalError("unknown block");
}

absl::Status CompleteLearning(Learning& learning) {
  if (learning.dense_units.empty()) {
    learning.dense_units = {32, 16};
  }
  if (learning.dense_units.size() > kMaxDenseLayers) {
    return Wrong("learning.dense_units", absl::StrCat(learning.dense_units.size(), " layers"),
                 absl::StrCat("1 to ", kMaxDenseLayers));
  }
  for (std::size_t i = 0; i < learning.dense_units.size(); ++i) {
    FIELDLOOP_RETURN_IF_ERROR(CheckRange(absl::StrCat("learning.dense_units[", i, "]"),
                                         std::int64_t{learning.dense_units[i]}, 1, kMaxDenseUnits));
  }
  const auto fill = [](auto& value, auto fallback) {
    if (value == 0) {
      value = fallback;
    }
  };
  fill(learning.epochs, 60);
  fill(learning.learning_rate, 0.002);
  fill(learning.batch_size, 64);
  fill(learning.weight_decay, 0.0001);
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.epochs", std::int64_t{learning.epochs}, 1, kMaxEpochs));
  FIELDLOOP_RETURN_IF_ERROR(CheckAbove("learning.learning_rate", learning.learning_rate, 0, 1));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.batch_size", std::int64_t{learning.batch_size}, 1, kMaxBatch));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.dropout", learning.dropout, 0.0, kMaxDropout));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.weight_decay", learning.weight_decay, 0.0, 1.0));
  const Augmentation& augmentation = learning.augmentation;
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.augmentation.copies", std::int64_t{augmentation.copies}, 0, kMaxCopies));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.augmentation.rotation_degrees",
                                       augmentation.rotation_degrees, 0.0, 180.0));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.augmentation.gain", augmentation.gain, 0.0, 1.0));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.augmentation.noise", augmentation.noise, 0.0, 1.0));
  if (learning.group_key.size() > kMaxGroupKey) {
    return Wrong("learning.group_key", absl::StrCat(learning.group_key.size(), " bytes"),
                 absl::StrCat("at most ", kMaxGroupKey));
  }
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.device_weight", learning.device_weight, 0.0, kMaxDeviceWeight));
  return CheckRange("learning.training_stride", std::int64_t{learning.training_stride}, 0,
                    kMaxWindow);
}

// The shortest text that reads back as the same number.
std::string Number(double value) {
  for (int digits = 6; digits < 17; ++digits) {
    std::string text = absl::StrFormat("%.*g", digits, value);
    double back = 0;
    if (absl::SimpleAtod(text, &back) && back == value) {
      return text;
    }
  }
  return absl::StrFormat("%.17g", value);
}

// Reads the words of one line in order; `ok` turns false at the first that is not what it should
// be.
class Words {
 public:
  explicit Words(absl::string_view line) : words_(absl::StrSplit(line, ' ')) {}

  absl::string_view Next() {
    if (next_ >= words_.size()) {
      ok_ = false;
      return "";
    }
    return words_[next_++];
  }
  template <typename T>
  T Integer() {
    T value = 0;
    ok_ = absl::SimpleAtoi(Next(), &value) && ok_;
    return value;
  }
  double Real() {
    double value = 0;
    ok_ = absl::SimpleAtod(Next(), &value) && ok_;
    return value;
  }
  bool Flag() { return Integer<int>() != 0; }
  // What is left of the line, unescaped.
  std::string Text() {
    std::string text;
    const std::string rest =
        absl::StrJoin(words_.begin() + static_cast<std::ptrdiff_t>(next_), words_.end(), " ");
    next_ = words_.size();
    ok_ = absl::CUnescape(rest, &text) && ok_;
    return text;
  }
  bool more() const { return next_ < words_.size(); }
  bool ok() const { return ok_; }

 private:
  std::vector<absl::string_view> words_;
  std::size_t next_ = 0;
  bool ok_ = true;
};

void ParseLine(Words& words, ImpulseRecipe& recipe, bool& known) {
  const absl::string_view key = words.Next();
  Learning& learning = recipe.learning;
  if (key == "window") {
    recipe.window.length = words.Integer<std::int64_t>();
    recipe.window.stride = words.Integer<std::int64_t>();
    recipe.window.frequency_hz = static_cast<float>(words.Real());
  } else if (key == "axis") {
    recipe.window.axes.push_back(words.Text());
  } else if (key == "magnitude") {
    MagnitudeAxis magnitude;
    magnitude.first_axis = words.Integer<std::int64_t>();
    magnitude.count = words.Integer<std::int64_t>();
    recipe.magnitudes.push_back(magnitude);
  } else if (key == "raw") {
    recipe.blocks.push_back({.kind = BlockKind::kRaw, .scale = static_cast<float>(words.Real())});
  } else if (key == "flatten") {
    DspBlock block{.kind = BlockKind::kFlatten, .scale = static_cast<float>(words.Real())};
    block.without_shape = words.Flag();
    recipe.blocks.push_back(block);
  } else if (key == "spectral") {
    DspBlock block{.kind = BlockKind::kSpectral};
    block.fft_length = words.Integer<std::int64_t>();
    block.average_frames = words.Flag();
    recipe.blocks.push_back(block);
  } else if (key == "dense_units") {
    while (words.more()) {
      learning.dense_units.push_back(words.Integer<std::int32_t>());
    }
  } else if (key == "training") {
    learning.epochs = words.Integer<std::int32_t>();
    learning.learning_rate = words.Real();
    learning.batch_size = words.Integer<std::int32_t>();
    learning.dropout = words.Real();
    learning.weight_decay = words.Real();
  } else if (key == "augmentation") {
    learning.augmentation.copies = words.Integer<std::int32_t>();
    learning.augmentation.rotation_degrees = words.Real();
    learning.augmentation.gain = words.Real();
    learning.augmentation.noise = words.Real();
    learning.augmentation.half_turns = words.Flag();
  } else if (key == "weighting") {
    learning.balance_classes = words.Flag();
    learning.device_weight = words.Real();
    learning.training_stride = words.Integer<std::int32_t>();
  } else if (key == "group_key") {
    learning.group_key = words.Text();
  } else if (key == "label_purity") {
    recipe.label_purity = words.Real();
  } else {
    known = false;
  }
}

}  // namespace

absl::StatusOr<ImpulseRecipe> CompleteRecipe(ImpulseRecipe recipe) {
  FIELDLOOP_RETURN_IF_ERROR(CheckWindow(recipe.window));
  FIELDLOOP_RETURN_IF_ERROR(CheckMagnitudes(recipe.magnitudes, recipe.window.axes.size()));
  if (recipe.blocks.empty() || recipe.blocks.size() > kMaxBlocks) {
    return Wrong("blocks", absl::StrCat(recipe.blocks.size(), " blocks"),
                 absl::StrCat("1 to ", kMaxBlocks));
  }
  for (std::size_t i = 0; i < recipe.blocks.size(); ++i) {
    FIELDLOOP_RETURN_IF_ERROR(CompleteBlock(absl::StrCat("blocks[", i, "]"), recipe.blocks[i]));
  }
  FIELDLOOP_RETURN_IF_ERROR(CompleteLearning(recipe.learning));
  if (recipe.label_purity == 0) {
    recipe.label_purity = 1;
  }
  FIELDLOOP_RETURN_IF_ERROR(CheckAbove("label_purity", recipe.label_purity, 0.5, 1));
  return recipe;
}

std::string RecipeText(const ImpulseRecipe& recipe) {
  const Learning& learning = recipe.learning;
  std::string text = absl::StrCat(kTextFormat, "\nwindow ", recipe.window.length, " ",
                                  recipe.window.stride, " ", Number(recipe.window.frequency_hz));
  for (const std::string& axis : recipe.window.axes) {
    absl::StrAppend(&text, "\naxis ", absl::CEscape(axis));
  }
  for (const MagnitudeAxis& magnitude : recipe.magnitudes) {
    absl::StrAppend(&text, "\nmagnitude ", magnitude.first_axis, " ", magnitude.count);
  }
  for (const DspBlock& block : recipe.blocks) {
    switch (block.kind) {
      case BlockKind::kNone:
        break;
      case BlockKind::kRaw:
        absl::StrAppend(&text, "\nraw ", Number(block.scale));
        break;
      case BlockKind::kFlatten:
        absl::StrAppend(&text, "\nflatten ", Number(block.scale), " ", block.without_shape ? 1 : 0);
        break;
      case BlockKind::kSpectral:
        absl::StrAppend(&text, "\nspectral ", block.fft_length, " ", block.average_frames ? 1 : 0);
        break;
    }
  }
  absl::StrAppend(&text, "\ndense_units ", absl::StrJoin(learning.dense_units, " "));
  absl::StrAppend(&text, "\ntraining ", learning.epochs, " ", Number(learning.learning_rate), " ",
                  learning.batch_size, " ", Number(learning.dropout), " ",
                  Number(learning.weight_decay));
  const Augmentation& augmentation = learning.augmentation;
  absl::StrAppend(&text, "\naugmentation ", augmentation.copies, " ",
                  Number(augmentation.rotation_degrees), " ", Number(augmentation.gain), " ",
                  Number(augmentation.noise), " ", augmentation.half_turns ? 1 : 0);
  absl::StrAppend(&text, "\nweighting ", learning.balance_classes ? 1 : 0, " ",
                  Number(learning.device_weight), " ", learning.training_stride);
  absl::StrAppend(&text, "\ngroup_key ", absl::CEscape(learning.group_key));
  absl::StrAppend(&text, "\nlabel_purity ", Number(recipe.label_purity), "\n");
  return text;
}

absl::StatusOr<ImpulseRecipe> ParseRecipeText(absl::string_view text) {
  ImpulseRecipe recipe;
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (lines.empty() || lines.front() != kTextFormat) {
    return absl::DataLossError("recipe: unknown format");
  }
  for (std::size_t i = 1; i < lines.size(); ++i) {
    Words words(lines[i]);
    bool known = true;
    ParseLine(words, recipe, known);
    if (!known || !words.ok() || words.more()) {
      return absl::DataLossError(absl::StrCat("recipe: cannot read line ", i + 1));
    }
  }
  return recipe;
}

std::string RecipeDigest(const ImpulseRecipe& recipe) {
  return ToHex(Sha256Of(RecipeText(recipe)));
}

std::int64_t TrainingStride(const ImpulseRecipe& recipe) {
  return recipe.learning.training_stride > 0 ? recipe.learning.training_stride
                                             : recipe.window.stride;
}

}  // namespace fieldloop::build
