// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/model_export.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agent/impulse/tflite.h"
#include "services/build/domain/names.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kBytesOfALine = 20;
constexpr char kModelFile[] = "model.tflite";
// A reading rate from which one axis is taken for sound.
constexpr double kAudioHz = 4000;

// Fields of the file format's tables.
constexpr std::uint32_t kSubgraphInputs = 1;
constexpr std::uint32_t kSubgraphOutputs = 2;
constexpr std::uint32_t kTensorName = 3;

// A C string of any bytes: what is not ASCII in octal, and no trigraph.
std::string CString(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(absl::CEscape(text), {{"?", "\\?"}}), "\"");
}

// Numbers of the file, a line of them at a time.
std::string ArrayBody(absl::string_view file) {
  std::string body;
  body.reserve(file.size() * 4);
  for (std::size_t i = 0; i < file.size(); ++i) {
    absl::StrAppend(&body, i % kBytesOfALine == 0 ? "\n    " : " ",
                    static_cast<int>(static_cast<unsigned char>(file[i])), ",");
  }
  return body;
}

struct Tensor {
  std::string name;
  Json description;
  std::int64_t elements = 0;
};

absl::Status Unreadable(absl::string_view what) {
  return absl::InternalError(absl::StrCat("a registered model cannot be read: ", what));
}

std::string TypeName(std::uint8_t type) {
  switch (type) {
    case FL_TFLITE_FLOAT32:
      return "float32";
    case FL_TFLITE_INT8:
      return "int8";
    default:
      return "int32";
  }
}

// The only tensor in a list of the subgraph: its inputs or its outputs.
absl::StatusOr<Tensor> OnlyTensor(fl_tflite_t& file, std::uint32_t list) {
  std::uint32_t count = 0;
  const std::uint32_t first = fl_tflite_vector(&file, file.subgraph, list, 4, &count);
  if (file.corrupt || count != 1) {
    return Unreadable("its inputs and outputs");
  }
  const std::uint32_t index = fl_read_u32(file.data + first);
  fl_tensor_t tensor;
  if (fl_tflite_tensor(&file, static_cast<std::int32_t>(index), &tensor) != FL_OK) {
    return Unreadable("a tensor");
  }
  std::uint32_t name_size = 0;
  const std::uint32_t name = fl_tflite_vector(&file, fl_tflite_element(&file, file.tensors, index),
                                              kTensorName, 1, &name_size);
  if (file.corrupt) {
    return Unreadable("the name of a tensor");
  }
  Tensor found;
  found.name.assign(reinterpret_cast<const char*>(file.data + name), name_size);
  found.elements = tensor.elements;
  found.description = {
      {"dataType", TypeName(tensor.type)},
      {"name", found.name},
      {"shape", std::vector<std::uint32_t>(tensor.dims, tensor.dims + tensor.rank)}};
  if (tensor.scale_count > 0) {
    found.description["quantizationScale"] = tensor.scale;
    found.description["quantizationZeroPoint"] = tensor.zero_point;
  }
  return found;
}

struct BlockNames {
  const char* type;
  const char* title;
};

BlockNames NamesOf(const agent::v1::DspBlock& block) {
  switch (block.block_case()) {  // No default: the compiler reports a block that has no case.
    case agent::v1::DspBlock::kRaw:
    case agent::v1::DspBlock::BLOCK_NOT_SET:
      return {.type = "raw", .title = "Raw data"};
    case agent::v1::DspBlock::kFlatten:
      return {.type = "flatten", .title = "Flatten"};
    case agent::v1::DspBlock::kSpectral:
      return {.type = "spectral-analysis", .title = "Spectral features"};
    case agent::v1::DspBlock::kMfe:
      return {.type = "mfe", .title = "Audio (MFE)"};
    case agent::v1::DspBlock::kMfcc:
      return {.type = "mfcc", .title = "Audio (MFCC)"};
  }
  return {.type = "raw", .title = "Raw data"};
}

Json ImpulseJson(const agent::v1::Impulse& impulse) {
  const agent::v1::Window& window = impulse.window();
  const std::vector<std::string> axes(window.axes().begin(), window.axes().end());
  const auto ms = [&](std::uint32_t readings) {
    return std::llround(static_cast<double>(readings) * 1000 /
                        static_cast<double>(window.frequency_hz()));
  };
  int id = 1;
  Json input = {{"id", id},
                {"type", "time-series"},
                {"name", "Time series"},
                {"title", "Time series data"},
                {"windowSizeMs", ms(window.length())},
                {"windowIncreaseMs", ms(window.stride())},
                {"frequencyHz", window.frequency_hz()}};
  Json dsp = Json::array();
  Json dsp_ids = Json::array();
  for (const agent::v1::DspBlock& block : impulse.blocks()) {
    const BlockNames names = NamesOf(block);
    dsp.push_back({{"id", ++id},
                   {"type", names.type},
                   {"name", names.title},
                   {"axes", axes},
                   {"title", names.title}});
    dsp_ids.push_back(id);
  }
  Json learn = Json::array();
  learn.push_back({{"id", ++id},
                   {"type", "keras"},
                   {"name", "Classifier"},
                   {"dsp", dsp_ids},
                   {"title", "Classification"}});
  if (impulse.has_anomaly()) {
    learn.push_back({{"id", ++id},
                     {"type", impulse.anomaly().has_gaussian_mixture() ? "anomaly-gmm" : "anomaly"},
                     {"name", "Anomaly detection"},
                     {"dsp", dsp_ids},
                     {"title", "Anomaly detection"}});
  }
  return {{"inputBlocks", Json::array({std::move(input)})},
          {"dspBlocks", std::move(dsp)},
          {"learnBlocks", std::move(learn)}};
}

// What the contract has names for; "" for another sensor.
std::string SensorOf(const agent::v1::Window& window) {
  if (window.axes_size() == 1 && static_cast<double>(window.frequency_hz()) >= kAudioHz) {
    return "microphone";
  }
  const bool accelerometer =
      std::any_of(window.axes().begin(), window.axes().end(),
                  [](const std::string& axis) { return absl::StrContains(axis, "acc"); });
  return accelerometer ? "accelerometer" : "";
}

}  // namespace

std::vector<ZipEntry> CArrayFiles(const Model& model, absl::string_view file) {
  const std::string name = ModelName(model.project, model.number);
  std::string header = absl::StrCat(
      "// ", name,
      ", for `fl_impulse_open` of agent/impulse or any TensorFlow Lite interpreter.\n\n"
      "#ifndef FIELDLOOP_MODEL_H\n#define FIELDLOOP_MODEL_H\n\n#include <stdint.h>\n\n"
      "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
      "#define FIELDLOOP_MODEL_NAME ",
      CString(name),
      "\n"
      "// SHA-256 of the array.\n#define FIELDLOOP_MODEL_DIGEST \\\n    ",
      CString(model.digest),
      "\n"
      "#define FIELDLOOP_MODEL_SIZE ",
      file.size(),
      "\n"
      "// Bytes of the arena that fl_impulse_open needs, aligned to 8.\n"
      "#define FIELDLOOP_MODEL_ARENA_SIZE ",
      model.arena_bytes,
      "\n"
      "#define FIELDLOOP_MODEL_CLASS_COUNT ",
      model.classes.size(),
      "\n\n"
      "// The .tflite file, aligned to 16.\n"
      "extern const uint8_t fieldloop_model[FIELDLOOP_MODEL_SIZE];\n"
      "// Class names in the order of the outputs, UTF-8.\n"
      "extern const char *const fieldloop_model_classes[FIELDLOOP_MODEL_CLASS_COUNT];\n\n"
      "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
  std::string source =
      absl::StrCat("// ", name,
                   "\n\n#include \"fieldloop_model.h\"\n\n#include <stdalign.h>\n\n"
                   "alignas(16) const uint8_t fieldloop_model[FIELDLOOP_MODEL_SIZE] = {",
                   ArrayBody(file),
                   "\n};\n\n"
                   "const char *const fieldloop_model_classes[FIELDLOOP_MODEL_CLASS_COUNT] = {\n");
  for (const std::string& of : model.classes) {
    absl::StrAppend(&source, "    ", CString(of), ",\n");
  }
  source += "};\n";
  return {{.name = "fieldloop_model.c", .content = std::move(source)},
          {.name = "fieldloop_model.h", .content = std::move(header)}};
}

absl::StatusOr<std::vector<ZipEntry>> DeploymentFiles(const Model& model, absl::string_view file) {
  agent::v1::Impulse impulse;
  if (!impulse.ParseFromString(model.metadata)) {
    return Unreadable("its impulse");
  }
  fl_tflite_t opened;
  if (fl_tflite_open(&opened, reinterpret_cast<const std::uint8_t*>(file.data()), file.size()) !=
      FL_OK) {
    return Unreadable("its file");
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const Tensor input, OnlyTensor(opened, kSubgraphInputs));
  FIELDLOOP_ASSIGN_OR_RETURN(const Tensor output, OnlyTensor(opened, kSubgraphOutputs));
  const agent::v1::Window& window = impulse.window();
  Json json = {{"version", 1},
               {"deployCounter", model.number},
               {"classes", model.classes},
               {"samplesPerInference", window.length()},
               {"axesCount", window.axes_size()},
               {"frequency", window.frequency_hz()},
               {"tfliteModels", Json::array({{{"details",
                                               {{"modelType", input.description["dataType"]},
                                                {"inputs", Json::array({input.description})},
                                                {"outputs", Json::array({output.description})}}},
                                              {"inputTensor", input.name},
                                              {"outputTensor", output.name},
                                              {"modelPath", kModelFile},
                                              {"arenaSize", model.arena_bytes},
                                              {"inputFrameSize", input.elements}}})},
               {"project", {{"name", model.project}}},
               {"impulse", ImpulseJson(impulse)}};
  if (const std::string sensor = SensorOf(window); !sensor.empty()) {
    json["sensor"] = sensor;
  }
  json["folders"] = {{"input", "."}, {"output", "."}};
  // Class names are UTF-8 as they came over the wire; a tensor's name may be anything.
  return std::vector<ZipEntry>{
      {.name = "deployment-metadata.json",
       .content = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"},
      {.name = kModelFile, .content = std::string(file)}};
}

absl::StatusOr<std::string> ExportArchive(const Model& model, absl::string_view file,
                                          v1::ExportModelRequest::Format format) {
  switch (format) {
    case v1::ExportModelRequest::FORMAT_C_ARRAY:
      return PackZip(CArrayFiles(model, file));
    case v1::ExportModelRequest::FORMAT_DEPLOYMENT_METADATA: {
      FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<ZipEntry> files, DeploymentFiles(model, file));
      return PackZip(files);
    }
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("format: got ", static_cast<int>(format),
                       ", want FORMAT_C_ARRAY or FORMAT_DEPLOYMENT_METADATA"));
  }
}

}  // namespace fieldloop::build
