// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/model_export.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/build/transport/tflite_model_checker.h"
#include "services/common/crypto/digest.h"
#include "tests/services/build/support/small_model.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;

Model Registered(const std::string& file) {
  TfliteModelChecker checker;
  const auto checked = checker.Check(file, SmallRecipe(), SmallClasses());
  EXPECT_THAT(checked, IsOk());
  Model model;
  model.project = "motor";
  model.number = 7;
  model.digest = ToHex(Sha256Of(file));
  model.arena_bytes = checked->arena_bytes;
  model.classes = SmallClasses();
  model.metadata = checked->metadata;
  return model;
}

// The C array of a model, compiled and loaded.
class CompiledArray {
 public:
  CompiledArray(const Model& model, const std::string& file) {
    for (const ZipEntry& entry : CArrayFiles(model, file)) {
      std::ofstream(folder_ / entry.name, std::ios::binary) << entry.content;
    }
    const std::string library = folder_ / "model.so";
    const std::string command = absl::StrCat(
        FIELDLOOP_C_COMPILER, " -std=c11 -Wall -Wextra -Wpedantic -Werror -shared -fPIC -o ",
        library, " ", folder_ / "fieldloop_model.c");
    if (std::system(command.c_str()) == 0) {  // NOLINT(cert-env33-c)
      library_ = dlopen(library.c_str(), RTLD_NOW);
    }
  }
  ~CompiledArray() {
    if (library_ != nullptr) {
      dlclose(library_);
    }
  }
  CompiledArray(const CompiledArray&) = delete;
  CompiledArray& operator=(const CompiledArray&) = delete;

  bool ok() const { return library_ != nullptr; }
  template <typename T>
  const T* Symbol(const char* name) const {
    return static_cast<const T*>(dlsym(library_, name));
  }

 private:
  TemporaryFolder folder_;
  void* library_ = nullptr;
};

TEST(ModelExport, TheCArrayCompilesAndRunsAsTheModel) {
  const std::string file = SmallModel();
  const Model model = Registered(file);
  const CompiledArray array(model, file);
  ASSERT_TRUE(array.ok());
  const auto* bytes = array.Symbol<std::uint8_t>("fieldloop_model");
  ASSERT_NE(bytes, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes) % 16, 0U);
  ASSERT_EQ(std::memcmp(bytes, file.data(), file.size()), 0);
  std::vector<std::uint64_t> arena(static_cast<std::size_t>(model.arena_bytes) / 8 + 1);
  fl_impulse_t impulse{};
  ASSERT_EQ(fl_impulse_open(&impulse, bytes, file.size(), arena.data(), arena.size() * 8), FL_OK);
  EXPECT_EQ(fl_impulse_self_test(&impulse), FL_OK);
}

TEST(ModelExport, TheHeaderSaysWhatTheArrayIs) {
  const std::string file = SmallModel();
  const Model model = Registered(file);
  const std::string header = CArrayFiles(model, file)[1].content;
  EXPECT_THAT(header, HasSubstr("FIELDLOOP_MODEL_NAME \"projects/motor/models/7\"\n"));
  EXPECT_THAT(header, HasSubstr(absl::StrCat("\"", model.digest, "\"\n")));
  EXPECT_THAT(header, HasSubstr(absl::StrCat("FIELDLOOP_MODEL_SIZE ", file.size(), "\n")));
  EXPECT_THAT(header,
              HasSubstr(absl::StrCat("FIELDLOOP_MODEL_ARENA_SIZE ", model.arena_bytes, "\n")));
  EXPECT_THAT(header, HasSubstr("FIELDLOOP_MODEL_CLASS_COUNT 2\n"));
}

TEST(ModelExport, ClassNamesOfAnyLettersReachTheCompiler) {
  Model model = Registered(SmallModel());
  const std::vector<std::string> names = {"gehört \"auf\"\n",
                                          "what?"
                                          "?/",
                                          "\\1"};
  model.classes = names;
  const CompiledArray array(model, "x");
  ASSERT_TRUE(array.ok());
  const auto* classes = array.Symbol<const char*>("fieldloop_model_classes");
  ASSERT_NE(classes, nullptr);
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(classes[i], names[i]);
  }
}

TEST(ModelExport, DeploymentMetadataFollowsFromTheModel) {
  const std::string file = SmallModel();
  const auto files = DeploymentFiles(Registered(file), file);
  ASSERT_THAT(files, IsOk());
  ASSERT_EQ(files->size(), 2U);
  EXPECT_EQ((*files)[1], (ZipEntry{.name = "model.tflite", .content = file}));
  EXPECT_EQ((*files)[0].name, "deployment-metadata.json");
  const nlohmann::json json = nlohmann::json::parse((*files)[0].content);
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["deployCounter"], 7);
  EXPECT_EQ(json["classes"], nlohmann::json({"run", "walk"}));
  EXPECT_EQ(json["samplesPerInference"], 2);
  EXPECT_EQ(json["axesCount"], 2);
  EXPECT_EQ(json["frequency"], 100);
  EXPECT_EQ(json["project"]["name"], "motor");
  const nlohmann::json& model = json["tfliteModels"][0];
  EXPECT_EQ(model["modelPath"], "model.tflite");
  EXPECT_EQ(model["inputFrameSize"], 4);
  EXPECT_GT(model["arenaSize"], 0);
  EXPECT_EQ(model["details"]["modelType"], "int8");
  const nlohmann::json& input = model["details"]["inputs"][0];
  EXPECT_EQ(input["dataType"], "int8");
  EXPECT_EQ(input["shape"], nlohmann::json({1, 4}));
  EXPECT_EQ(input["quantizationScale"], 0.0625);
  EXPECT_EQ(input["quantizationZeroPoint"], 0);
  EXPECT_EQ(model["details"]["outputs"][0]["quantizationZeroPoint"], -128);
  EXPECT_EQ(json["impulse"]["inputBlocks"][0]["windowSizeMs"], 20);
  EXPECT_EQ(json["impulse"]["dspBlocks"][0]["type"], "raw");
  EXPECT_EQ(json["impulse"]["dspBlocks"][0]["axes"], nlohmann::json({"x", "y"}));
  EXPECT_EQ(json["impulse"]["learnBlocks"][0]["dsp"], nlohmann::json({2}));
  EXPECT_FALSE(json.contains("sensor"));
}

}  // namespace
}  // namespace fieldloop::build
