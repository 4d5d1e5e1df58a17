// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/train_input.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;
constexpr std::size_t kMaxClasses = 32;
constexpr std::size_t kMaxClassBytes = 31;
constexpr std::size_t kMaxLayers = 4;
constexpr int kMaxUnits = 512;
constexpr std::size_t kMaxFeatureChannels = 4;
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

absl::Status ReadAugmentation(const Json& object, AugmentationOptions& augmentation) {
  const Fields fields(object, "learning.augmentation.");
  FIELDLOOP_RETURN_IF_ERROR(fields.Integer("copies", 0, 20, augmentation.copies));
  FIELDLOOP_RETURN_IF_ERROR(
      fields.Number("rotation_degrees", 0, 180, augmentation.rotation_degrees));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("gain", 0, 1, augmentation.gain));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("noise", 0, 1, augmentation.noise));
  return fields.Boolean("half_turns", augmentation.half_turns);
}

absl::Status ReadDenseUnits(const Json& list, std::vector<int>& units) {
  std::vector<int> read;
  bool valid = list.is_array() && list.size() <= kMaxLayers;
  for (std::size_t i = 0; valid && i < list.size(); ++i) {
    const double count = list[i].is_number() ? list[i].get<double>() : 0;
    valid = count >= 1 && count <= kMaxUnits && count == std::floor(count);
    read.push_back(valid ? static_cast<int>(count) : 0);
  }
  if (!valid) {
    return Refuse("learning.dense_units", Shown(list),
                  absl::StrCat("1 to ", kMaxLayers, " numbers of 1 to ", kMaxUnits));
  }
  if (!read.empty()) {
    units = std::move(read);
  }
  return absl::OkStatus();
}

absl::Status ReadLearning(const Json& object, LearningOptions& learning) {
  const LearningOptions defaults;
  const Fields fields(object, "learning.");
  if (const Json* units = fields.Find("dense_units"); units != nullptr) {
    FIELDLOOP_RETURN_IF_ERROR(ReadDenseUnits(*units, learning.dense_units));
  }
  FIELDLOOP_RETURN_IF_ERROR(fields.Integer("epochs", 0, 1000, learning.epochs));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("learning_rate", 0, 1, learning.learning_rate));
  FIELDLOOP_RETURN_IF_ERROR(fields.Integer("batch_size", 0, 65536, learning.batch_size));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("dropout", 0, 0.9, learning.dropout));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("weight_decay", 0, 100, learning.weight_decay));
  FIELDLOOP_RETURN_IF_ERROR(fields.Boolean("balance_classes", learning.balance_classes));
  FIELDLOOP_RETURN_IF_ERROR(fields.Number("device_weight", 0, 1e6, learning.device_weight));
  learning.epochs = learning.epochs == 0 ? defaults.epochs : learning.epochs;
  learning.batch_size = learning.batch_size == 0 ? defaults.batch_size : learning.batch_size;
  if (learning.learning_rate == 0) {
    learning.learning_rate = defaults.learning_rate;
  }
  if (const Json* augmentation = fields.Find("augmentation"); augmentation != nullptr) {
    if (!augmentation->is_object()) {
      return Refuse("learning.augmentation", Shown(*augmentation), "an object");
    }
    return ReadAugmentation(*augmentation, learning.augmentation);
  }
  return absl::OkStatus();
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
  if (const Json* learning = fields.Find("learning"); learning != nullptr) {
    if (!learning->is_object()) {
      return Refuse("learning", Shown(*learning), "an object");
    }
    FIELDLOOP_RETURN_IF_ERROR(ReadLearning(*learning, input.learning));
  }
  FIELDLOOP_RETURN_IF_ERROR(fields.Strings("reference_channels", input.reference_channels));
  if (input.reference_channels.size() > kMaxFeatureChannels) {
    return Refuse("reference_channels", absl::StrCat(input.reference_channels.size(), " names"),
                  absl::StrCat("at most ", kMaxFeatureChannels));
  }
  return input;
}

}  // namespace fieldloop::build::trainer
