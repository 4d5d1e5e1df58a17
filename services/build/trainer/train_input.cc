// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/train_input.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;
constexpr std::size_t kMaxClasses = 32;
constexpr std::size_t kMaxClassBytes = 31;
constexpr std::size_t kMaxLayers = 4;
constexpr int kMaxUnits = 512;
constexpr std::size_t kMaxBlocks = 6;
constexpr std::size_t kMaxFeatureChannels = 4;  // One less beside an anomaly block.
constexpr std::size_t kMaxShownBytes = 60;

absl::Status Refuse(absl::string_view field, absl::string_view got, absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat("train_input.json: ", field, ": got ", got, ", want ", want));
}

std::string Shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= kMaxShownBytes ? text : text.substr(0, kMaxShownBytes) + "...";
}

// The fields of one object. An error names a field with `prefix` before it.
class Fields {
 public:
  Fields(const Json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {}

  const Json* Find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  absl::Status Number(const char* name, double min, double max, double& value) const {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    const double number = field->is_number() ? field->get<double>() : std::nan("");
    if (!(number >= min && number <= max)) {
      return Refuse(prefix_ + name, Shown(*field), absl::StrCat(min, " to ", max));
    }
    value = number;
    return absl::OkStatus();
  }

  absl::Status Integer(const char* name, int min, int max, int& value) const {
    const Json* field = Find(name);
    double number = value;
    FIELDLOOP_RETURN_IF_ERROR(Number(name, min, max, number));
    if (number != std::floor(number)) {
      return Refuse(prefix_ + name, Shown(*field), "a whole number");
    }
    value = static_cast<int>(number);
    return absl::OkStatus();
  }

  // As Integer and Number, but 0 stands for the default.
  absl::Status PositiveInteger(const char* name, int min, int max, int& value) const {
    int read = 0;
    FIELDLOOP_RETURN_IF_ERROR(Integer(name, 0, max, read));
    if (read != 0 && read < min) {
      return Refuse(prefix_ + name, absl::StrCat(read), absl::StrCat(min, " to ", max));
    }
    value = read == 0 ? value : read;
    return absl::OkStatus();
  }
  absl::Status PositiveNumber(const char* name, double min, double max, double& value) const {
    double read = 0;
    FIELDLOOP_RETURN_IF_ERROR(Number(name, 0, max, read));
    if (read != 0 && read < min) {
      return Refuse(prefix_ + name, absl::StrCat(read), absl::StrCat(min, " to ", max));
    }
    value = read == 0 ? value : read;
    return absl::OkStatus();
  }

  // One of `names`, by its place.
  template <typename Enum>
  absl::Status Choice(const char* name, const std::vector<std::string>& names, Enum& value) const {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    const auto place = field->is_string() ? std::find(names.begin(), names.end(),
                                                      field->get_ref<const std::string&>())
                                          : names.end();
    if (place == names.end()) {
      return Refuse(prefix_ + name, Shown(*field), absl::StrJoin(names, ", "));
    }
    value = static_cast<Enum>(place - names.begin());
    return absl::OkStatus();
  }

  // Calls `read` with the fields of an object, if it is there.
  template <typename Read>
  absl::Status Object(const char* name, const Read& read) const {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    if (!field->is_object()) {
      return Refuse(prefix_ + name, Shown(*field), "an object");
    }
    return read(Fields(*field, absl::StrCat(prefix_, name, ".")));
  }

  absl::Status Boolean(const char* name, bool& value) const {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    if (!field->is_boolean()) {
      return Refuse(prefix_ + name, Shown(*field), "true or false");
    }
    value = field->get<bool>();
    return absl::OkStatus();
  }

  absl::Status String(const char* name, std::string& value) const {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    if (!field->is_string()) {
      return Refuse(prefix_ + name, Shown(*field), "a string");
    }
    value = field->get<std::string>();
    return absl::OkStatus();
  }

  absl::Status Strings(const char* name, std::vector<std::string>& values) const {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    if (!field->is_array() || !std::all_of(field->begin(), field->end(),
                                           [](const Json& item) { return item.is_string(); })) {
      return Refuse(prefix_ + name, Shown(*field), "a list of strings");
    }
    values = field->get<std::vector<std::string>>();
    return absl::OkStatus();
  }

 private:
  const Json& object_;
  std::string prefix_;
};

absl::Status ReadAugmentation(const Fields& fields, AugmentationOptions& augmentation) {
  FIELDLOOP_RETURN_IF_ERROR(fields.Integer("copies", 0, 20, augmentation.copies));
  FIELDLOOP_RETURN_IF_ERROR(
      fields.Number("rotation_degrees", 0, 180, augmentation.rotation_degrees));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("gain", 0, 1, augmentation.gain));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("noise", 0, 1, augmentation.noise));
  FIELDLOOP_RETURN_IF_ERROR(fields.Boolean("half_turns", augmentation.half_turns));
  FIELDLOOP_RETURN_IF_ERROR(fields.Integer("time_shift", 0, 65535, augmentation.time_shift));
  FIELDLOOP_RETURN_IF_ERROR(fields.Integer("time_mask", 0, 64, augmentation.time_mask));
  return fields.Integer("frequency_mask", 0, 64, augmentation.frequency_mask);
}

absl::Status ReadConvBlocks(const Json& list, std::vector<ConvBlock>& blocks) {
  if (!list.is_array() || list.size() > kMaxBlocks) {
    return Refuse("learning.conv_blocks", Shown(list),
                  absl::StrCat("a list of at most ", kMaxBlocks, " objects"));
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string name = absl::StrCat("learning.conv_blocks[", i, "]");
    if (!list[i].is_object()) {
      return Refuse(name, Shown(list[i]), "an object");
    }
    const Fields fields(list[i], name + ".");
    ConvBlock block;
    FIELDLOOP_RETURN_IF_ERROR(fields.Integer("filters", 1, 256, block.filters));
    if (block.filters == 0) {
      return Refuse(name + ".filters", "nothing", "1 to 256");
    }
    FIELDLOOP_RETURN_IF_ERROR(fields.PositiveInteger("kernel", 1, 15, block.kernel));
    FIELDLOOP_RETURN_IF_ERROR(fields.PositiveInteger("stride", 1, 4, block.stride));
    FIELDLOOP_RETURN_IF_ERROR(fields.PositiveInteger("pool", 1, 8, block.pool));
    blocks.push_back(block);
  }
  return absl::OkStatus();
}

absl::Status ReadDenseUnits(const Json& list, std::vector<int>& units) {
  bool valid = list.is_array() && list.size() <= kMaxLayers;
  for (std::size_t i = 0; valid && i < list.size(); ++i) {
    const double count = list[i].is_number() ? list[i].get<double>() : 0;
    valid = count >= 1 && count <= kMaxUnits && count == std::floor(count);
    units.push_back(valid ? static_cast<int>(count) : 0);
  }
  return valid ? absl::OkStatus()
               : Refuse("learning.dense_units", Shown(list),
                        absl::StrCat("1 to ", kMaxLayers, " numbers of 1 to ", kMaxUnits));
}

absl::Status ReadNetwork(const Fields& fields, NetworkOptions& network) {
  FIELDLOOP_RETURN_IF_ERROR(
      fields.Choice("network", {"dense", "conv_1d", "conv_2d"}, network.kind));
  if (const Json* units = fields.Find("dense_units"); units != nullptr) {
    FIELDLOOP_RETURN_IF_ERROR(ReadDenseUnits(*units, network.dense_units));
  }
  if (const Json* blocks = fields.Find("conv_blocks"); blocks != nullptr) {
    FIELDLOOP_RETURN_IF_ERROR(ReadConvBlocks(*blocks, network.conv_blocks));
  }
  if (network.kind == NetworkKind::kDense && !network.conv_blocks.empty()) {
    return Refuse("learning.conv_blocks", absl::StrCat(network.conv_blocks.size(), " blocks"),
                  "none in a dense network");
  }
  return absl::OkStatus();
}

absl::Status ReadAnomaly(const Fields& fields, AnomalyOptions& anomaly) {
  FIELDLOOP_RETURN_IF_ERROR(
      fields.Choice("method", {"k_means", "gaussian_mixture"}, anomaly.method));
  FIELDLOOP_RETURN_IF_ERROR(fields.PositiveInteger("components", 1, 32, anomaly.components));
  FIELDLOOP_RETURN_IF_ERROR(fields.PositiveInteger("features", 1, 32, anomaly.features));
  return fields.PositiveNumber("quantile", 0.5, 0.9999, anomaly.quantile);
}

absl::Status ReadBudget(const Fields& fields, BudgetOptions& budget) {
  constexpr double kMost = 1e9;
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("flash_kb", 0, kMost, budget.flash_kb));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("ram_kb", 0, kMost, budget.ram_kb));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("mega_instructions", 0, kMost, budget.mega_instructions));
  if (budget.flash_kb == 0 && budget.ram_kb == 0 && budget.mega_instructions == 0) {
    return Refuse("learning.budget", "no limit", "flash_kb, ram_kb or mega_instructions");
  }
  return fields.PositiveInteger("trials", 1, 50, budget.trials);
}

absl::Status ReadLearning(const Fields& fields, LearningOptions& learning) {
  FIELDLOOP_RETURN_IF_ERROR(ReadNetwork(fields, learning.network));
  FIELDLOOP_RETURN_IF_ERROR(fields.PositiveInteger("epochs", 1, 1000, learning.epochs));
  FIELDLOOP_RETURN_IF_ERROR(fields.PositiveNumber("learning_rate", 0, 1, learning.learning_rate));
  FIELDLOOP_RETURN_IF_ERROR(fields.PositiveInteger("batch_size", 1, 65536, learning.batch_size));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("dropout", 0, 0.9, learning.dropout));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("weight_decay", 0, 100, learning.weight_decay));
  FIELDLOOP_RETURN_IF_ERROR(fields.Boolean("balance_classes", learning.balance_classes));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("device_weight", 0, 1e6, learning.device_weight));
  FIELDLOOP_RETURN_IF_ERROR(
      fields.Integer("early_stopping_patience", 0, 1000, learning.early_stopping_patience));
  FIELDLOOP_RETURN_IF_ERROR(
      fields.PositiveNumber("validation_share", 0.05, 0.5, learning.validation_share));
  FIELDLOOP_RETURN_IF_ERROR(fields.Object("anomaly", [&](const Fields& anomaly) {
    return ReadAnomaly(anomaly, learning.anomaly.emplace());
  }));
  FIELDLOOP_RETURN_IF_ERROR(fields.Object("budget", [&](const Fields& budget) {
    return ReadBudget(budget, learning.budget.emplace());
  }));
  return fields.Object("augmentation", [&](const Fields& augmentation) {
    return ReadAugmentation(augmentation, learning.augmentation);
  });
}

absl::Status CheckClasses(const std::vector<std::string>& classes) {
  if (classes.size() < 2 || classes.size() > kMaxClasses) {
    return Refuse("classes", absl::StrCat(classes.size(), " names"),
                  absl::StrCat("2 to ", kMaxClasses));
  }
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].empty() || classes[i].size() > kMaxClassBytes) {
      return Refuse(absl::StrCat("classes[", i, "]"), absl::StrCat(classes[i].size(), " bytes"),
                    absl::StrCat("1 to ", kMaxClassBytes));
    }
    if (std::count(classes.begin(), classes.end(), classes[i]) != 1) {
      return Refuse(absl::StrCat("classes[", i, "]"), absl::StrCat("\"", classes[i], "\" again"),
                    "each name once");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadImpulse(const Json* field, TrainInput& input) {
  std::string bytes;
  if (field == nullptr || !field->is_string() ||
      !absl::Base64Unescape(field->get_ref<const std::string&>(), &bytes) ||
      !input.impulse.ParseFromString(bytes)) {
    return Refuse("impulse", field == nullptr ? "nothing" : Shown(*field),
                  "a fieldloop.agent.v1.Impulse in base64");
  }
  if (input.impulse.format() != kFormat) {
    return Refuse("impulse.format", absl::StrCat(input.impulse.format()), absl::StrCat(kFormat));
  }
  const std::vector<std::string> classes(input.impulse.classes().begin(),
                                         input.impulse.classes().end());
  if (classes != input.classes) {
    return Refuse("impulse.classes", absl::StrCat(classes.size(), " names"),
                  "the names of classes in the same order");
  }
  input.impulse.clear_standardisation();
  input.impulse.clear_reference();
  input.impulse.clear_calibration();
  input.impulse.clear_self_test();
  input.impulse.clear_uncertain_below();
  input.impulse.clear_anomaly();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainInput> ParseTrainInput(absl::string_view json) {
  const Json root = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return absl::InvalidArgumentError("train_input.json: want a JSON object");
  }
  const Fields fields(root, "");
  TrainInput input;
  int format = 0;
  FIELDLOOP_RETURN_IF_ERROR(fields.Integer("format", 0, INT32_MAX, format));
  if (format != kFormat) {
    return Refuse("format", absl::StrCat(format), absl::StrCat(kFormat));
  }
  double seed = 1;
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("seed", 0, UINT32_MAX, seed));
  input.seed = static_cast<std::uint64_t>(seed);
  FIELDLOOP_RETURN_IF_ERROR(fields.Strings("classes", input.classes));
  FIELDLOOP_RETURN_IF_ERROR(CheckClasses(input.classes));
  FIELDLOOP_RETURN_IF_ERROR(ReadImpulse(fields.Find("impulse"), input));
  FIELDLOOP_RETURN_IF_ERROR(fields.Object(
      "learning", [&](const Fields& learning) { return ReadLearning(learning, input.learning); }));
  FIELDLOOP_RETURN_IF_ERROR(fields.Strings("reference_channels", input.reference_channels));
  const std::size_t most = kMaxFeatureChannels - (input.learning.anomaly.has_value() ? 1 : 0);
  if (input.reference_channels.size() > most) {
    return Refuse("reference_channels", absl::StrCat(input.reference_channels.size(), " names"),
                  absl::StrCat("at most ", most));
  }
  FIELDLOOP_RETURN_IF_ERROR(fields.String("parent_model", input.parent_model));
  if (input.parent_model.find('/') != std::string::npos) {
    return Refuse("parent_model", absl::StrCat("\"", input.parent_model, "\""),
                  "the name of a file in the data directory");
  }
  return input;
}

}  // namespace fieldloop::build::trainer
