// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/recipe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
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
constexpr std::int64_t kMaxSpectralFft = 256;
constexpr std::int64_t kMaxMelFft = 2048;
constexpr std::int64_t kMaxFilterOrder = 8;
constexpr std::int64_t kMinFrame = 2;
constexpr std::int64_t kMaxFrame = 4096;
constexpr std::int64_t kMaxFrameStride = 65535;
constexpr std::int64_t kMinMelFilters = 2;
constexpr std::int64_t kMaxMelFilters = 128;
constexpr double kLowestNoiseFloorDb = -200;
constexpr std::int64_t kMaxNormalisationFrames = 1023;
constexpr std::size_t kMaxDenseLayers = 4;
constexpr std::int32_t kMaxDenseUnits = 512;
constexpr std::int32_t kMaxEpochs = 1000;
constexpr std::int32_t kMaxBatch = 65536;
constexpr std::int32_t kMaxCopies = 20;
constexpr std::int32_t kMaxTimeShift = 65535;
constexpr std::int32_t kMaxMask = 64;
constexpr std::size_t kMaxConvBlocks = 6;
constexpr std::int32_t kMaxConvFilters = 256;
constexpr std::int32_t kMaxKernel = 15;
constexpr std::int32_t kMaxConvStride = 4;
constexpr std::int32_t kMaxPool = 8;
constexpr std::int32_t kMaxPatience = 1000;
constexpr std::int32_t kMaxAnomalyComponents = 32;
constexpr std::int32_t kMaxAnomalyFeatures = 32;
constexpr std::int32_t kMaxTrials = 50;
constexpr double kMaxBudget = 1e9;
constexpr std::size_t kMaxParameters = 32;
constexpr std::size_t kMaxParameterName = 39;
constexpr std::size_t kMaxParameterValue = 200;
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

template <typename T>
void Fill(T& value, T fallback) {
  if (value == 0) {
    value = fallback;
  }
}

absl::Status CompleteScale(const std::string& field, float& scale) {
  if (!std::isfinite(scale)) {
    return Wrong(absl::StrCat(field, ".scale"), absl::StrCat(scale), "a finite number");
  }
  Fill(scale, 1.0F);
  return absl::OkStatus();
}

absl::Status CheckFft(const std::string& field, std::int64_t length, std::int64_t max) {
  FIELDLOOP_RETURN_IF_ERROR(CheckRange(field, length, kMinFft, max));
  if ((length & (length - 1)) != 0) {
    return Wrong(field, absl::StrCat(length), "a power of two");
  }
  return absl::OkStatus();
}

absl::Status CompleteFilter(const std::string& field, double frequency_hz, Filter& filter) {
  if (filter.kind == FilterKind::kNone) {
    filter = {};
    return absl::OkStatus();
  }
  if (!(filter.cutoff_hz > 0 && filter.cutoff_hz < frequency_hz / 2)) {
    return Wrong(absl::StrCat(field, ".cutoff_hz"), absl::StrCat(filter.cutoff_hz),
                 absl::StrCat("above 0 and below ", frequency_hz / 2));
  }
  Fill(filter.order, std::int64_t{6});
  if (filter.order < 2 || filter.order > kMaxFilterOrder || filter.order % 2 != 0) {
    return Wrong(absl::StrCat(field, ".order"), absl::StrCat(filter.order), "2, 4, 6 or 8");
  }
  return absl::OkStatus();
}

// What mfe and mfcc have in common.
absl::Status CompleteMelFrames(const std::string& field, const Window& window, DspBlock& block) {
  FIELDLOOP_RETURN_IF_ERROR(CompleteScale(field, block.scale));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".frame_length"), block.frame_length,
                                       kMinFrame, std::min(kMaxFrame, window.length)));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange(absl::StrCat(field, ".frame_stride"), block.frame_stride, 1, kMaxFrameStride));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckFft(absl::StrCat(field, ".fft_length"), block.fft_length, kMaxMelFft));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".filter_count"), block.filter_count,
                                       kMinMelFilters, kMaxMelFilters));
  const float nyquist_hz = window.frequency_hz / 2;
  Fill(block.high_hz, nyquist_hz);
  if (!(block.low_hz >= 0 && block.low_hz < block.high_hz)) {
    return Wrong(absl::StrCat(field, ".low_hz"), absl::StrCat(block.low_hz),
                 absl::StrCat("0 to below high_hz, ", block.high_hz));
  }
  FIELDLOOP_RETURN_IF_ERROR(
      CheckAbove(absl::StrCat(field, ".high_hz"), block.high_hz, 0, nyquist_hz));
  if (!(block.pre_emphasis >= 0 && block.pre_emphasis < 1)) {
    return Wrong(absl::StrCat(field, ".pre_emphasis"), absl::StrCat(block.pre_emphasis),
                 "0 to below 1");
  }
  return absl::OkStatus();
}

absl::Status CompleteBlock(const std::string& field, const Window& window, DspBlock& block) {
  switch (block.kind) {
    case BlockKind::kNone:
      return Wrong(field, "no block", "raw, flatten, spectral, mfe or mfcc");
    case BlockKind::kRaw:
    case BlockKind::kFlatten:
      return CompleteScale(field, block.scale);
    case BlockKind::kSpectral:
      FIELDLOOP_RETURN_IF_ERROR(
          CheckFft(absl::StrCat(field, ".fft_length"), block.fft_length, kMaxSpectralFft));
      return CompleteFilter(absl::StrCat(field, ".filter"), window.frequency_hz, block.filter);
    case BlockKind::kMfe:
      FIELDLOOP_RETURN_IF_ERROR(CompleteMelFrames(field, window, block));
      return CheckRange(absl::StrCat(field, ".noise_floor_db"), double{block.noise_floor_db},
                        kLowestNoiseFloorDb, 0.0);
    case BlockKind::kMfcc:
      FIELDLOOP_RETURN_IF_ERROR(CompleteMelFrames(field, window, block));
      FIELDLOOP_RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".coefficient_count"),
                                           block.coefficient_count, 1, block.filter_count));
      if (block.normalisation_frames < 0 || block.normalisation_frames > kMaxNormalisationFrames ||
          (block.normalisation_frames != 0 && block.normalisation_frames % 2 == 0)) {
        return Wrong(absl::StrCat(field, ".normalisation_frames"),
                     absl::StrCat(block.normalisation_frames),
                     absl::StrCat("0 or an odd number to ", kMaxNormalisationFrames));
      }
      return absl::OkStatus();
  }
  return absl::InternalError("unknown block");
}

absl::Status CheckAugmentation(const Augmentation& augmentation) {
  const auto integer = [](absl::string_view name, std::int64_t got, std::int64_t high) {
    return CheckRange(absl::StrCat("learning.augmentation.", name), got, 0, high);
  };
  const auto real = [](absl::string_view name, double got, double high) {
    return CheckRange(absl::StrCat("learning.augmentation.", name), got, 0.0, high);
  };
  FIELDLOOP_RETURN_IF_ERROR(integer("copies", augmentation.copies, kMaxCopies));
  FIELDLOOP_RETURN_IF_ERROR(real("rotation_degrees", augmentation.rotation_degrees, 180.0));
  FIELDLOOP_RETURN_IF_ERROR(real("gain", augmentation.gain, 1.0));
  FIELDLOOP_RETURN_IF_ERROR(real("noise", augmentation.noise, 1.0));
  FIELDLOOP_RETURN_IF_ERROR(integer("time_shift", augmentation.time_shift, kMaxTimeShift));
  FIELDLOOP_RETURN_IF_ERROR(integer("time_mask", augmentation.time_mask, kMaxMask));
  return integer("frequency_mask", augmentation.frequency_mask, kMaxMask);
}

absl::Status CompleteNetwork(Learning& learning) {
  if (learning.network == Network::kDense) {
    if (!learning.conv_blocks.empty()) {
      return Wrong("learning.conv_blocks", absl::StrCat(learning.conv_blocks.size(), " blocks"),
                   "none with NETWORK_DENSE");
    }
    if (learning.dense_units.empty()) {
      learning.dense_units = {32, 16};
    }
  }
  if (learning.dense_units.size() > kMaxDenseLayers) {
    return Wrong("learning.dense_units", absl::StrCat(learning.dense_units.size(), " layers"),
                 absl::StrCat("at most ", kMaxDenseLayers));
  }
  for (std::size_t i = 0; i < learning.dense_units.size(); ++i) {
    FIELDLOOP_RETURN_IF_ERROR(CheckRange(absl::StrCat("learning.dense_units[", i, "]"),
                                         std::int64_t{learning.dense_units[i]}, 1, kMaxDenseUnits));
  }
  if (learning.conv_blocks.size() > kMaxConvBlocks) {
    return Wrong("learning.conv_blocks", absl::StrCat(learning.conv_blocks.size(), " blocks"),
                 absl::StrCat("at most ", kMaxConvBlocks));
  }
  for (std::size_t i = 0; i < learning.conv_blocks.size(); ++i) {
    ConvBlock& block = learning.conv_blocks[i];
    Fill(block.kernel, 3);
    Fill(block.stride, 1);
    Fill(block.pool, 1);
    const auto check = [i](absl::string_view name, std::int64_t got, std::int64_t high) {
      return CheckRange(absl::StrCat("learning.conv_blocks[", i, "].", name), got, 1, high);
    };
    FIELDLOOP_RETURN_IF_ERROR(check("filters", block.filters, kMaxConvFilters));
    FIELDLOOP_RETURN_IF_ERROR(check("kernel", block.kernel, kMaxKernel));
    FIELDLOOP_RETURN_IF_ERROR(check("stride", block.stride, kMaxConvStride));
    FIELDLOOP_RETURN_IF_ERROR(check("pool", block.pool, kMaxPool));
  }
  return absl::OkStatus();
}

absl::Status CompleteAnomaly(AnomalyLearning& anomaly) {
  Fill(anomaly.components, 16);
  Fill(anomaly.features, 8);
  Fill(anomaly.quantile, 0.99);
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.anomaly.components",
                                       std::int64_t{anomaly.components}, 1, kMaxAnomalyComponents));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.anomaly.features", std::int64_t{anomaly.features},
                                       1, kMaxAnomalyFeatures));
  return CheckRange("learning.anomaly.quantile", anomaly.quantile, 0.5, 0.9999);
}

absl::Status CompleteBudget(Budget& budget) {
  Fill(budget.trials, 10);
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.budget.trials", std::int64_t{budget.trials}, 1, kMaxTrials));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.budget.flash_kb", budget.flash_kb, 0.0, kMaxBudget));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.budget.ram_kb", budget.ram_kb, 0.0, kMaxBudget));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.budget.mega_instructions", budget.mega_instructions, 0.0, kMaxBudget));
  if (budget.flash_kb == 0 && budget.ram_kb == 0 && budget.mega_instructions == 0) {
    return Wrong("learning.budget", "no limit", "flash_kb, ram_kb or mega_instructions above 0");
  }
  return absl::OkStatus();
}

bool IsParameterName(absl::string_view name) {
  bool good = !name.empty() && name.size() <= kMaxParameterName && name.front() != '-';
  for (const char c : name) {
    good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
  }
  return good;
}

absl::Status CheckParameters(const std::map<std::string, std::string>& parameters) {
  // What the contract itself passes.
  static constexpr absl::string_view kTaken[] = {"info-file", "data-directory", "out-directory",
                                                 "epochs", "learning-rate"};
  if (parameters.size() > kMaxParameters) {
    return Wrong("learning.parameters", absl::StrCat(parameters.size()),
                 absl::StrCat("at most ", kMaxParameters));
  }
  for (const auto& [name, value] : parameters) {
    if (!IsParameterName(name)) {
      return Wrong(
          "learning.parameters", absl::StrCat("the name \"", absl::CHexEscape(name), "\""),
          absl::StrCat("1 to ", kMaxParameterName, " of [a-z0-9-], not beginning with a hyphen"));
    }
    if (std::find(std::begin(kTaken), std::end(kTaken), name) != std::end(kTaken)) {
      return Wrong("learning.parameters", absl::StrCat("the name \"", name, "\""),
                   "a name that is not an argument of every trainer");
    }
    const bool is_text = std::none_of(value.begin(), value.end(),
                                      [](char c) { return static_cast<unsigned char>(c) < ' '; });
    if (value.size() > kMaxParameterValue || !is_text) {
      return Wrong(absl::StrCat("learning.parameters[", name, "]"),
                   is_text ? absl::StrCat(value.size(), " bytes") : "a control character",
                   absl::StrCat("at most ", kMaxParameterValue, " bytes of text"));
    }
  }
  return absl::OkStatus();
}

absl::Status CompleteLearning(Learning& learning) {
  FIELDLOOP_RETURN_IF_ERROR(CompleteNetwork(learning));
  Fill(learning.epochs, 60);
  Fill(learning.learning_rate, 0.002);
  Fill(learning.batch_size, 64);
  Fill(learning.weight_decay, 0.0001);
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.epochs", std::int64_t{learning.epochs}, 1, kMaxEpochs));
  FIELDLOOP_RETURN_IF_ERROR(CheckAbove("learning.learning_rate", learning.learning_rate, 0, 1));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.batch_size", std::int64_t{learning.batch_size}, 1, kMaxBatch));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.dropout", learning.dropout, 0.0, kMaxDropout));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.weight_decay", learning.weight_decay, 0.0, 1.0));
  FIELDLOOP_RETURN_IF_ERROR(CheckAugmentation(learning.augmentation));
  if (learning.group_key.size() > kMaxGroupKey) {
    return Wrong("learning.group_key", absl::StrCat(learning.group_key.size(), " bytes"),
                 absl::StrCat("at most ", kMaxGroupKey));
  }
  FIELDLOOP_RETURN_IF_ERROR(
      CheckRange("learning.device_weight", learning.device_weight, 0.0, kMaxDeviceWeight));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.training_stride",
                                       std::int64_t{learning.training_stride}, 0, kMaxWindow));
  FIELDLOOP_RETURN_IF_ERROR(CheckRange("learning.early_stopping_patience",
                                       std::int64_t{learning.early_stopping_patience}, 0,
                                       kMaxPatience));
  if (learning.anomaly.has_value()) {
    FIELDLOOP_RETURN_IF_ERROR(CompleteAnomaly(*learning.anomaly));
  }
  if (learning.budget.has_value()) {
    FIELDLOOP_RETURN_IF_ERROR(CompleteBudget(*learning.budget));
  }
  if (learning.early_stopping_patience > 0 || learning.budget.has_value()) {
    Fill(learning.validation_share, 0.2);
    FIELDLOOP_RETURN_IF_ERROR(
        CheckRange("learning.validation_share", learning.validation_share, 0.05, 0.5));
  } else if (learning.validation_share != 0) {
    return Wrong("learning.validation_share", absl::StrCat(learning.validation_share),
                 "0 without early_stopping_patience and budget");
  }
  return CheckParameters(learning.parameters);
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

constexpr std::array<FilterKind, 2> ValuesOf(FilterKind) {
  return {FilterKind::kLowPass, FilterKind::kHighPass};
}
constexpr std::array<Network, 3> ValuesOf(Network) {
  return {Network::kDense, Network::kConv1d, Network::kConv2d};
}
constexpr std::array<AnomalyMethod, 2> ValuesOf(AnomalyMethod) {
  return {AnomalyMethod::kKMeans, AnomalyMethod::kGaussianMixture};
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
  // A value of an enumeration that TextOf can write.
  template <typename Enum>
  Enum Code() {
    const absl::string_view word = Next();
    for (const Enum value : ValuesOf(Enum{})) {
      if (TextOf(value) == word) {
        return value;
      }
    }
    ok_ = false;
    return Enum{};
  }
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

DspBlock ReadMelFrames(BlockKind kind, Words& words) {
  DspBlock block{.kind = kind, .scale = static_cast<float>(words.Real())};
  block.frame_length = words.Integer<std::int64_t>();
  block.frame_stride = words.Integer<std::int64_t>();
  block.fft_length = words.Integer<std::int64_t>();
  block.filter_count = words.Integer<std::int64_t>();
  block.low_hz = static_cast<float>(words.Real());
  block.high_hz = static_cast<float>(words.Real());
  block.pre_emphasis = static_cast<float>(words.Real());
  return block;
}

std::string MelFramesText(const DspBlock& block) {
  return absl::StrCat(Number(block.scale), " ", block.frame_length, " ", block.frame_stride, " ",
                      block.fft_length, " ", block.filter_count, " ", Number(block.low_hz), " ",
                      Number(block.high_hz), " ", Number(block.pre_emphasis));
}

void ParseLine(Words& words, ImpulseRecipe& recipe, bool& known) {
  const absl::string_view key = words.Next();
  Learning& learning = recipe.learning;
  if (key == "window") {
    recipe.window.length = words.Integer<std::int64_t>();
    recipe.window.stride = words.Integer<std::int64_t>();
    recipe.window.frequency_hz = static_cast<float>(words.Real());
    recipe.window.pad_short = words.more() && words.Flag();
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
    if (words.more()) {
      block.filter.kind = words.Code<FilterKind>();
      block.filter.cutoff_hz = static_cast<float>(words.Real());
      block.filter.order = words.Integer<std::int64_t>();
    }
    recipe.blocks.push_back(block);
  } else if (key == "mfe") {
    DspBlock block = ReadMelFrames(BlockKind::kMfe, words);
    block.noise_floor_db = static_cast<float>(words.Real());
    recipe.blocks.push_back(block);
  } else if (key == "mfcc") {
    DspBlock block = ReadMelFrames(BlockKind::kMfcc, words);
    block.coefficient_count = words.Integer<std::int64_t>();
    block.normalisation_frames = words.Integer<std::int64_t>();
    recipe.blocks.push_back(block);
  } else if (key == "network") {
    learning.network = words.Code<Network>();
  } else if (key == "conv_block") {
    ConvBlock block;
    block.filters = words.Integer<std::int32_t>();
    block.kernel = words.Integer<std::int32_t>();
    block.stride = words.Integer<std::int32_t>();
    block.pool = words.Integer<std::int32_t>();
    learning.conv_blocks.push_back(block);
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
  } else if (key == "shift_and_masks") {
    learning.augmentation.time_shift = words.Integer<std::int32_t>();
    learning.augmentation.time_mask = words.Integer<std::int32_t>();
    learning.augmentation.frequency_mask = words.Integer<std::int32_t>();
  } else if (key == "validation") {
    learning.early_stopping_patience = words.Integer<std::int32_t>();
    learning.validation_share = words.Real();
  } else if (key == "anomaly") {
    AnomalyLearning& anomaly = learning.anomaly.emplace();
    anomaly.method = words.Code<AnomalyMethod>();
    anomaly.components = words.Integer<std::int32_t>();
    anomaly.features = words.Integer<std::int32_t>();
    anomaly.quantile = words.Real();
  } else if (key == "budget") {
    Budget& budget = learning.budget.emplace();
    budget.flash_kb = words.Real();
    budget.ram_kb = words.Real();
    budget.mega_instructions = words.Real();
    budget.trials = words.Integer<std::int32_t>();
  } else if (key == "parameter") {
    std::string name(words.Next());
    learning.parameters[std::move(name)] = words.Text();
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

std::string LearningText(const Learning& learning) {
  std::string text;
  if (learning.network != Network::kDense) {
    absl::StrAppend(&text, "\nnetwork ", TextOf(learning.network));
  }
  for (const ConvBlock& block : learning.conv_blocks) {
    absl::StrAppend(&text, "\nconv_block ", block.filters, " ", block.kernel, " ", block.stride,
                    " ", block.pool);
  }
  if (!learning.dense_units.empty()) {
    absl::StrAppend(&text, "\ndense_units ", absl::StrJoin(learning.dense_units, " "));
  }
  absl::StrAppend(&text, "\ntraining ", learning.epochs, " ", Number(learning.learning_rate), " ",
                  learning.batch_size, " ", Number(learning.dropout), " ",
                  Number(learning.weight_decay));
  const Augmentation& augmentation = learning.augmentation;
  absl::StrAppend(&text, "\naugmentation ", augmentation.copies, " ",
                  Number(augmentation.rotation_degrees), " ", Number(augmentation.gain), " ",
                  Number(augmentation.noise), " ", augmentation.half_turns ? 1 : 0);
  if (augmentation.time_shift != 0 || augmentation.time_mask != 0 ||
      augmentation.frequency_mask != 0) {
    absl::StrAppend(&text, "\nshift_and_masks ", augmentation.time_shift, " ",
                    augmentation.time_mask, " ", augmentation.frequency_mask);
  }
  if (learning.validation_share != 0) {
    absl::StrAppend(&text, "\nvalidation ", learning.early_stopping_patience, " ",
                    Number(learning.validation_share));
  }
  if (const std::optional<AnomalyLearning>& anomaly = learning.anomaly; anomaly.has_value()) {
    absl::StrAppend(&text, "\nanomaly ", TextOf(anomaly->method), " ", anomaly->components, " ",
                    anomaly->features, " ", Number(anomaly->quantile));
  }
  if (const std::optional<Budget>& budget = learning.budget; budget.has_value()) {
    absl::StrAppend(&text, "\nbudget ", Number(budget->flash_kb), " ", Number(budget->ram_kb), " ",
                    Number(budget->mega_instructions), " ", budget->trials);
  }
  for (const auto& [name, value] : learning.parameters) {
    absl::StrAppend(&text, "\nparameter ", name, " ", absl::CEscape(value));
  }
  absl::StrAppend(&text, "\nweighting ", learning.balance_classes ? 1 : 0, " ",
                  Number(learning.device_weight), " ", learning.training_stride);
  absl::StrAppend(&text, "\ngroup_key ", absl::CEscape(learning.group_key));
  return text;
}

}  // namespace

absl::string_view TextOf(FilterKind kind) {
  switch (kind) {
    case FilterKind::kNone:
      return "none";
    case FilterKind::kLowPass:
      return "low_pass";
    case FilterKind::kHighPass:
      return "high_pass";
  }
  return "unknown";
}

absl::string_view TextOf(Network network) {
  switch (network) {
    case Network::kDense:
      return "dense";
    case Network::kConv1d:
      return "conv_1d";
    case Network::kConv2d:
      return "conv_2d";
  }
  return "unknown";
}

absl::string_view TextOf(AnomalyMethod method) {
  switch (method) {
    case AnomalyMethod::kKMeans:
      return "k_means";
    case AnomalyMethod::kGaussianMixture:
      return "gaussian_mixture";
  }
  return "unknown";
}

absl::StatusOr<ImpulseRecipe> CompleteRecipe(ImpulseRecipe recipe) {
  FIELDLOOP_RETURN_IF_ERROR(CheckWindow(recipe.window));
  FIELDLOOP_RETURN_IF_ERROR(CheckMagnitudes(recipe.magnitudes, recipe.window.axes.size()));
  if (recipe.blocks.empty() || recipe.blocks.size() > kMaxBlocks) {
    return Wrong("blocks", absl::StrCat(recipe.blocks.size(), " blocks"),
                 absl::StrCat("1 to ", kMaxBlocks));
  }
  for (std::size_t i = 0; i < recipe.blocks.size(); ++i) {
    FIELDLOOP_RETURN_IF_ERROR(
        CompleteBlock(absl::StrCat("blocks[", i, "]"), recipe.window, recipe.blocks[i]));
  }
  FIELDLOOP_RETURN_IF_ERROR(CompleteLearning(recipe.learning));
  if (recipe.label_purity == 0) {
    recipe.label_purity = 1;
  }
  FIELDLOOP_RETURN_IF_ERROR(CheckAbove("label_purity", recipe.label_purity, 0.5, 1));
  return recipe;
}

std::string RecipeText(const ImpulseRecipe& recipe) {
  std::string text =
      absl::StrCat(kTextFormat, "\nwindow ", recipe.window.length, " ", recipe.window.stride, " ",
                   Number(recipe.window.frequency_hz), recipe.window.pad_short ? " 1" : "");
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
        if (block.filter.kind != FilterKind::kNone) {
          absl::StrAppend(&text, " ", TextOf(block.filter.kind), " ",
                          Number(block.filter.cutoff_hz), " ", block.filter.order);
        }
        break;
      case BlockKind::kMfe:
        absl::StrAppend(&text, "\nmfe ", MelFramesText(block), " ", Number(block.noise_floor_db));
        break;
      case BlockKind::kMfcc:
        absl::StrAppend(&text, "\nmfcc ", MelFramesText(block), " ", block.coefficient_count, " ",
                        block.normalisation_frames);
        break;
    }
  }
  absl::StrAppend(&text, LearningText(recipe.learning), "\nlabel_purity ",
                  Number(recipe.label_purity), "\n");
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
