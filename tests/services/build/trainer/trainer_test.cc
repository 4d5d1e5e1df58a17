// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/build/packaging/int8_model.h"
#include "services/build/trainer/file.h"
#include "services/build/trainer/random.h"
#include "tests/services/common/npy/npy_bytes.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::Contains;
using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr std::size_t kLength = 20;
constexpr std::size_t kAxes = 3;
constexpr int kClasses = 3;

struct Split {
  std::vector<float> windows;
  std::vector<std::int32_t> labels;  // Rows of four.
  std::vector<std::int32_t> groups;
  std::vector<std::int32_t> sources;

  std::size_t size() const { return groups.size(); }
};

// Vibrations of three strengths, with another offset in every one of six groups.
Split MakeSplit(std::size_t count, std::uint64_t stream) {
  Random random(7, stream);
  Split split;
  for (std::size_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int32_t>(i % kClasses);
    const auto group = static_cast<std::int32_t>(i / kClasses % 6);
    const double strength = 0.2 * std::pow(3.0, label);
    for (std::size_t value = 0; value < kLength * kAxes; ++value) {
      split.windows.push_back(static_cast<float>(0.1 * group + strength * random.Normal()));
    }
    const auto start = static_cast<std::int32_t>(i) * 100;
    split.labels.insert(split.labels.end(), {label + 1, group + 1, start, start + 400});
    split.groups.push_back(group);
    split.sources.push_back(group == 5 ? 1 : 0);
  }
  return split;
}

Json MakeInput() {
  fieldloop::agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(kLength);
  impulse.mutable_window()->set_stride(kLength / 2);
  impulse.mutable_window()->set_frequency_hz(50);
  for (const char* axis : {"x", "y", "z"}) {
    impulse.mutable_window()->add_axes(axis);
  }
  impulse.add_blocks()->mutable_flatten();
  const std::vector<std::string> classes = {"quiet", "running", "loose"};
  for (const std::string& name : classes) {
    impulse.add_classes(name);
  }
  return {{"format", 1},
          {"seed", 5},
          {"classes", classes},
          {"impulse", absl::Base64Escape(impulse.SerializeAsString())},
          {"learning",
           {{"dense_units", {12, 8}},
            {"epochs", 20},
            {"learning_rate", 0.01},
            {"batch_size", 32},
            {"dropout", 0.05},
            {"augmentation",
             {{"copies", 1},
              {"rotation_degrees", 20},
              {"gain", 0.02},
              {"noise", 0.01},
              {"half_turns", true}}},
            {"balance_classes", true},
            {"device_weight", 0.5}}}};
}

// The same for a convolution over the readings.
Json MakeConvolutionInput(const std::string& network) {
  Json input = MakeInput();
  std::string bytes;
  fieldloop::agent::v1::Impulse impulse;
  EXPECT_TRUE(absl::Base64Unescape(input["impulse"].get<std::string>(), &bytes));
  EXPECT_TRUE(impulse.ParseFromString(bytes));
  impulse.mutable_blocks(0)->mutable_raw();
  input["impulse"] = absl::Base64Escape(impulse.SerializeAsString());
  Json& learning = input["learning"];
  learning["network"] = network;
  learning["dense_units"] = Json::array();
  learning["conv_blocks"] = {{{"filters", 8}, {"kernel", 3}},
                             {{"filters", 12}, {"kernel", 3}, {"stride", 2}}};
  learning["epochs"] = 6;
  return input;
}

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    std::filesystem::create_directories(directory_ + "/out");
    WriteInput(MakeInput());
    WriteTrain(MakeSplit(360, 1));
    WriteTest(MakeSplit(90, 2));
  }

  void Write(const std::string& name, const std::string& content) {
    ASSERT_THAT(WriteFile(absl::StrCat(directory_, "/", name), content), IsOk());
  }
  void WriteInput(const Json& input) { Write("train_input.json", input.dump()); }
  void WriteTrain(const Split& split) {
    Write("windows_train.npy", NpyBytes(split.size(), kLength * kAxes, split.windows));
    Write("labels_train.npy", NpyBytes(split.size(), 4, split.labels));
    Write("groups_train.npy", NpyBytes(split.size(), 0, split.groups));
    Write("source_train.npy", NpyBytes(split.size(), 0, split.sources));
  }
  void WriteTest(const Split& split) {
    Write("windows_test.npy", NpyBytes(split.size(), kLength * kAxes, split.windows));
    Write("labels_test.npy", NpyBytes(split.size(), 4, split.labels));
  }

  TrainerOptions Options() const {
    return {.info_file = directory_ + "/train_input.json",
            .data_directory = directory_,
            .out_directory = directory_ + "/out",
            .epochs = {},
            .learning_rate = {}};
  }
  absl::Status Run() {
    events_.str("");
    Progress progress(events_, log_);
    return Train(Options(), clock_, progress);
  }
  std::string ModelFile() const { return *ReadFile(directory_ + "/out/model.tflite"); }
  Json Metrics() const { return Json::parse(*ReadFile(directory_ + "/out/metrics.json")); }
  fieldloop::agent::v1::Impulse Metadata() const {
    const std::string file = ModelFile();
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
    fieldloop::agent::v1::Impulse impulse;
    EXPECT_EQ(fl_tflite_metadata(reinterpret_cast<const std::uint8_t*>(file.data()), file.size(),
                                 "fieldloop.impulse", &data, &size),
              FL_OK);
    EXPECT_TRUE(impulse.ParseFromArray(data, static_cast<int>(size)));
    return impulse;
  }
  std::vector<Json> Events() const {
    std::vector<Json> events;
    for (const absl::string_view line : absl::StrSplit(events_.str(), '\n', absl::SkipEmpty())) {
      events.push_back(Json::parse(line.begin(), line.end()));
    }
    return events;
  }

  const TemporaryFolder folder_;
  const std::string directory_ = folder_ / "trainer";
  std::ostringstream events_;
  std::ostringstream log_;
  FakeClock clock_;
};

TEST_F(TrainerTest, LearnsASeparableProblemInInt8) {
  ASSERT_THAT(Run(), IsOk());
  const Json metrics = Metrics();
  EXPECT_GT(metrics["float"]["balanced_accuracy"], 0.95);
  EXPECT_GT(metrics["int8"]["balanced_accuracy"], 0.95);
  EXPECT_GT(metrics["held_out"]["accuracy"], 0.95);
  EXPECT_GT(metrics["int8"]["recall/loose"], 0.9);
  EXPECT_EQ(metrics["feature_count"], 21);
  EXPECT_EQ(metrics["parameters"], 21 * 12 + 12 + 12 * 8 + 8 + 8 * 3 + 3);
  EXPECT_GT(metrics["arena_bytes"], 0);
  EXPECT_EQ(metrics["seconds"], 0);
}

TEST_F(TrainerTest, TheSameInputGivesTheSameBytesAndAnotherSeedOthers) {
  ASSERT_THAT(Run(), IsOk());
  const std::string first = ModelFile();
  ASSERT_THAT(Run(), IsOk());
  EXPECT_EQ(ModelFile(), first);
  Json input = MakeInput();
  input["seed"] = 6;
  WriteInput(input);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_NE(ModelFile(), first);
}

TEST_F(TrainerTest, TheModelPassesItsSelfTestOnADevice) {
  ASSERT_THAT(Run(), IsOk());
  const auto model = Int8Model::Open(ModelFile());
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT((*model)->SelfTest(), IsOk());
  const auto self_test = Metadata().self_test();
  EXPECT_EQ(self_test.window().size(), kLength * kAxes * sizeof(float));
  EXPECT_EQ(self_test.output().size(), kClasses);
}

TEST_F(TrainerTest, TheSelfTestIsAWindowWhoseOutputIsNotAtItsLimits) {
  ASSERT_THAT(Run(), IsOk());
  std::string output = Metadata().self_test().output();
  std::vector<int> values;
  for (const char value : output) {
    values.push_back(static_cast<signed char>(value));
  }
  std::sort(values.begin(), values.end());
  EXPECT_GT(values[2] - values[1], 40);
  EXPECT_LT(values[2], 127);
  EXPECT_GT(values[1], -128);
}

TEST_F(TrainerTest, DescribesTheReferenceOfHeldOutData) {
  ASSERT_THAT(Run(), IsOk());
  const auto impulse = Metadata();
  EXPECT_EQ(impulse.window().length(), kLength);
  EXPECT_EQ(impulse.standardisation().mean_size(), 21);
  EXPECT_EQ(impulse.standardisation().clip(), 6);
  const auto& reference = impulse.reference();
  EXPECT_NE(reference.id(), 0);
  ASSERT_GE(reference.channels_size(), 3);
  ASSERT_LE(reference.channels_size(), 6);
  for (const auto& channel : reference.channels()) {
    EXPECT_EQ(channel.shares_size(), channel.edges_size() + 1);
    double sum = 0;
    for (const float share : channel.shares()) {
      sum += static_cast<double>(share);
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  EXPECT_EQ(reference.class_shares_size(), kClasses);
  EXPECT_EQ(impulse.calibration().bin_accuracy_size(), reference.channels(0).shares_size());
  EXPECT_GT(impulse.uncertain_below(), 0);
}

TEST_F(TrainerTest, FeatureChannelsCanBeNamed) {
  Json input = MakeInput();
  input["reference_channels"] = {"z rms", "x kurtosis"};
  WriteInput(input);
  ASSERT_THAT(Run(), IsOk());
  const auto impulse = Metadata();
  ASSERT_EQ(impulse.reference().channels_size(), 4);
  EXPECT_EQ(impulse.reference().channels(2).feature_index(), 17);
  EXPECT_EQ(impulse.reference().channels(3).name(), "x kurtosis");
}

TEST_F(TrainerTest, SaysHowItGoesInJsonLines) {
  ASSERT_THAT(Run(), IsOk());
  const std::vector<Json> events = Events();
  int epochs = 0;
  int activities = 0;
  for (const Json& event : events) {
    if (event["event"] == "epoch") {
      EXPECT_EQ(event["epoch"], ++epochs);
      EXPECT_EQ(event["epochs"], 20);
      EXPECT_TRUE(event["loss"].is_number());
      EXPECT_TRUE(event["accuracy"].is_number());
    } else {
      EXPECT_EQ(event["event"], "activity");
      EXPECT_FALSE(event["text"].get<std::string>().empty());
      ++activities;
    }
  }
  EXPECT_EQ(epochs, 20);
  EXPECT_GE(activities, 4);
  EXPECT_THAT(log_.str(), HasSubstr("epoch 20 of 20"));
}

TEST_F(TrainerTest, TheCommandLineStandsBeforeTheInfoFile) {
  Progress progress(events_, log_);
  TrainerOptions options = Options();
  options.epochs = 2;
  ASSERT_THAT(Train(options, clock_, progress), IsOk());
  EXPECT_THAT(log_.str(), HasSubstr("epoch 2 of 2:"));
  options.epochs = 0;
  EXPECT_THAT(Train(options, clock_, progress), StatusIs(absl::StatusCode::kInvalidArgument));
  options.epochs = 2;
  options.learning_rate = -1;
  EXPECT_THAT(Train(options, clock_, progress), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TrainerTest, WithoutTestWindowsThereAreNoScoresOfThem) {
  WriteTest({});
  ASSERT_THAT(Run(), IsOk());
  const Json metrics = Metrics();
  EXPECT_FALSE(metrics.contains("int8"));
  EXPECT_FALSE(metrics.contains("float"));
  EXPECT_TRUE(metrics.contains("held_out"));
}

TEST_F(TrainerTest, AHeldOutGroupIsNotTrainedOn) {
  // What tells the classes apart is the group's offset: easy to learn by heart, of no use for
  // another group, whose neighbours on either side are of other classes.
  Split split = MakeSplit(360, 1);
  for (std::size_t i = 0; i < split.size(); ++i) {
    split.labels[4 * i] = 1 + split.groups[i] % kClasses;
    for (std::size_t value = 0; value < kLength * kAxes; ++value) {
      split.windows[i * kLength * kAxes + value] += static_cast<float>(20 * split.groups[i]);
    }
  }
  WriteTrain(split);
  WriteTest(split);
  Json input = MakeInput();
  input["learning"]["augmentation"]["copies"] = 0;
  input["learning"]["epochs"] = 60;
  WriteInput(input);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_GT(Metrics()["int8"]["accuracy"], 0.95);
  EXPECT_LT(Metrics()["held_out"]["accuracy"], 0.5);
}

TEST_F(TrainerTest, WithOneGroupTheSamplesAreHeldOut) {
  Split split = MakeSplit(360, 1);
  split.groups.assign(split.groups.size(), 3);
  WriteTrain(split);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(log_.str(), HasSubstr("held-out part 4 of 4"));
}

TEST_F(TrainerTest, WindowsThatAreAllEqualTrainToo) {
  Split split = MakeSplit(60, 1);
  split.windows.assign(split.windows.size(), 1.0F);
  WriteTrain(split);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_NEAR(Metrics()["held_out"]["accuracy"], 1.0 / 3, 1e-6);
}

class ConvolutionTrainerTest : public TrainerTest,
                               public ::testing::WithParamInterface<const char*> {};

TEST_P(ConvolutionTrainerTest, LearnsAndPassesItsSelfTestWithTheSameBytesOnAnyNumberOfThreads) {
  WriteInput(MakeConvolutionInput(GetParam()));
  ASSERT_THAT(Run(), IsOk());
  EXPECT_GT(Metrics()["float"]["balanced_accuracy"], 0.9);
  EXPECT_NEAR(Metrics()["int8"]["balanced_accuracy"].get<double>(),
              Metrics()["float"]["balanced_accuracy"].get<double>(), 0.03);
  EXPECT_GT(Metrics()["cortex_m4_instructions"], 0);
  const auto model = Int8Model::Open(ModelFile());
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT((*model)->SelfTest(), IsOk());
  const std::string first = ModelFile();
  Progress progress(events_, log_);
  TrainerOptions options = Options();
  options.threads = 3;
  ASSERT_THAT(Train(options, clock_, progress), IsOk());
  EXPECT_EQ(ModelFile(), first);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ConvolutionTrainerTest, ::testing::Values("conv_1d", "conv_2d"));

TEST_F(TrainerTest, EarlyStoppingJudgesByGroupsThatAreLeftOut) {
  Json input = MakeInput();
  input["learning"]["early_stopping_patience"] = 4;
  input["learning"]["epochs"] = 300;
  WriteInput(input);
  ASSERT_THAT(Run(), IsOk());
  int epochs = 0;
  for (const Json& event : Events()) {
    if (event["event"] == "epoch") {
      ++epochs;
      EXPECT_TRUE(event["validation_loss"].is_number());
      EXPECT_TRUE(event["validation_accuracy"].is_number());
    }
  }
  EXPECT_GT(epochs, 4);
  EXPECT_LT(epochs, 300);
  EXPECT_GT(Metrics()["int8"]["balanced_accuracy"], 0.9);
}

TEST_F(TrainerTest, ASearchTakesTheBestNetworkThatKeepsTheBudgetAndListsTheOthers) {
  Json input = MakeInput();
  input["learning"]["epochs"] = 5;
  input["learning"]["budget"] = {{"flash_kb", 7}, {"trials", 3}};
  WriteInput(input);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_LE(ModelFile().size(), 7 * 1024);
  std::vector<Json> candidates;
  for (Json event : Events()) {
    if (event["event"] == "candidate") {
      event.erase("event");
      candidates.push_back(event);
    }
  }
  EXPECT_EQ(Json::parse(*ReadFile(directory_ + "/out/candidates.json")), Json(candidates));
  int trained = 0;
  int chosen = 0;
  double best = 0;
  double score_of_chosen = 0;
  for (const Json& candidate : candidates) {
    const bool fits = candidate["size_bytes"] <= 7 * 1024;
    EXPECT_EQ(candidate["fits"], fits);
    EXPECT_EQ(candidate.contains("validation_balanced_accuracy"), fits);
    if (fits) {
      ++trained;
      best = std::max(best, candidate["validation_balanced_accuracy"].get<double>());
    }
    if (candidate["chosen"]) {
      ++chosen;
      score_of_chosen = candidate["validation_balanced_accuracy"];
    }
  }
  EXPECT_LE(trained, 3);
  EXPECT_GT(candidates.size(), 3);
  EXPECT_EQ(chosen, 1);
  EXPECT_EQ(score_of_chosen, best);
}

TEST_F(TrainerTest, ABudgetThatNothingKeepsSaysWhatTheLeastIs) {
  Json input = MakeInput();
  input["learning"]["budget"] = {{"ram_kb", 0.1}};
  WriteInput(input);
  const absl::Status status = Run();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no network fits: the smallest has"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("KiB of RAM (limit 0.1)"));
}

TEST_F(TrainerTest, AnAnomalyBlockComesWithItsThresholdAndChannel) {
  for (const char* method : {"k_means", "gaussian_mixture"}) {
    Json input = MakeInput();
    input["learning"]["anomaly"] = {{"method", method}, {"components", 4}, {"features", 3}};
    WriteInput(input);
    ASSERT_THAT(Run(), IsOk());
    const auto impulse = Metadata();
    EXPECT_LE(impulse.anomaly().features_size(), 3);
    EXPECT_GE(impulse.anomaly().features_size(), 1);
    ASSERT_LE(impulse.reference().channels_size(), 6);
    EXPECT_EQ(impulse.reference().channels(2).kind(), fieldloop::agent::v1::CHANNEL_KIND_ANOMALY);
    EXPECT_NE(impulse.anomaly().threshold(), 0);
  }
}

TEST_F(TrainerTest, AWarmStartKeepsScalesAndMostBytesOfItsParent) {
  for (const Json& input : {MakeInput(), MakeConvolutionInput("conv_2d")}) {
    WriteInput(input);
    ASSERT_THAT(Run(), IsOk());
    const double before = Metrics()["int8"]["balanced_accuracy"];
    const std::string parent = ModelFile();
    const auto standardisation = Metadata().standardisation();
    Write("parent.tflite", parent);
    Json with_parent = input;
    with_parent["parent_model"] = "parent.tflite";
    WriteInput(with_parent);
    WriteTrain(MakeSplit(360, 3));
    ASSERT_THAT(Run(), IsOk());
    EXPECT_EQ(Metadata().standardisation().SerializeAsString(),
              standardisation.SerializeAsString());
    EXPECT_GT(Metrics()["int8"]["balanced_accuracy"].get<double>(), before - 0.03);
    const double warm = Metrics()["parent"]["weights_changed"];
    EXPECT_GT(warm, 0);
    EXPECT_LT(warm, 0.8);
  }
}

TEST_F(TrainerTest, AParentOfAnotherNetworkIsRefused) {
  ASSERT_THAT(Run(), IsOk());
  Write("parent.tflite", ModelFile());
  Json input = MakeInput();
  input["parent_model"] = "parent.tflite";
  input["learning"]["dense_units"] = {12, 9};
  WriteInput(input);
  const absl::Status status = Run();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("the parent model: got"));
}

struct BadData {
  const char* name;
  void (*spoil)(Split&);
  const char* expected;

  friend void PrintTo(const BadData& bad, std::ostream* os) { *os << bad.name; }
};
class BadTrainingDataTest : public TrainerTest, public ::testing::WithParamInterface<BadData> {};

TEST_P(BadTrainingDataTest, IsRefusedInOneSentenceThatNamesTheFile) {
  Split split = MakeSplit(60, 1);
  GetParam().spoil(split);
  Write("windows_train.npy",
        NpyBytes(split.windows.size() / (kLength * kAxes), kLength * kAxes, split.windows));
  Write("labels_train.npy", NpyBytes(split.labels.size() / 4, 4, split.labels));
  Write("groups_train.npy", NpyBytes(split.groups.size(), 0, split.groups));
  Write("source_train.npy", NpyBytes(split.sources.size(), 0, split.sources));
  const absl::Status status = Run();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().expected));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/out/model.tflite"));
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadTrainingDataTest,
    ::testing::Values(
        BadData{"NotANumber",
                [](Split& s) { s.windows[130] = std::numeric_limits<float>::quiet_NaN(); },
                "windows_train.npy: row 2: got a value that is not finite"},
        BadData{"TooLarge", [](Split& s) { s.windows[130] = 3e38F; }, "windows_train.npy: row 2"},
        BadData{"LabelZero", [](Split& s) { s.labels[4] = 0; },
                "labels_train.npy: row 1: label: got 0, want 1 to 3"},
        BadData{"LabelTooLarge", [](Split& s) { s.labels[4] = 4; }, "label: got 4, want 1 to 3"},
        BadData{"ClassMissing",
                [](Split& s) {
                  for (std::size_t i = 0; i < s.labels.size(); i += 4) {
                    s.labels[i] = 1 + s.labels[i] % 2;
                  }
                },
                "no window of \"loose\""},
        BadData{"FewerLabels", [](Split& s) { s.labels.resize(s.labels.size() - 4); },
                "labels_train.npy: got 59 rows, want 60"},
        BadData{"FewerGroups", [](Split& s) { s.groups.pop_back(); },
                "groups_train.npy: got 59 rows, want 60"},
        BadData{"FewerSources", [](Split& s) { s.sources.pop_back(); },
                "source_train.npy: got 59 rows, want 60"},
        BadData{"UnknownSource", [](Split& s) { s.sources[3] = 2; },
                "source_train.npy: row 3: got 2"},
        BadData{"OneSample",
                [](Split& s) {
                  s.groups.assign(s.groups.size(), 1);
                  for (std::size_t i = 1; i < s.labels.size(); i += 4) {
                    s.labels[i] = 1;
                  }
                },
                "windows of one sample"},
        BadData{"NoWindows", [](Split& s) { s = {}; }, "no window of \"quiet\""}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_F(TrainerTest, AMissingFileIsNamed) {
  std::filesystem::remove(directory_ + "/groups_train.npy");
  const absl::Status status = Run();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(std::string(status.message()), HasSubstr("groups_train.npy"));
}

TEST_F(TrainerTest, AWindowOfAnotherLengthIsRefused) {
  const Split split = MakeSplit(60, 1);
  Write("windows_train.npy", NpyBytes(120, kLength * kAxes / 2, split.windows));
  const absl::Status status = Run();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("windows_train.npy: got 30 columns, want 60"));
}

TEST_F(TrainerTest, AnOutDirectoryThatIsMissingIsNamed) {
  std::filesystem::remove_all(directory_ + "/out");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kUnavailable));
}

// Runs the program; returns its exit code and puts what it prints into `directory`/stdout.
int RunProgram(const std::string& directory, const std::string& arguments) {
  const int status = std::system(absl::StrCat(FIELDLOOP_TRAINER, " ", arguments, " >", directory,
                                              "/stdout 2>", directory, "/stderr")
                                     .c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(TrainerTest, TheProgramExitsWithZeroAndTheModel) {
  EXPECT_EQ(
      RunProgram(directory_,
                 absl::StrCat("--info-file ", directory_, "/train_input.json --data-directory ",
                              directory_, " --out-directory ", directory_, "/out --epochs 2")),
      0);
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/out/model.tflite"));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/out/metrics.json"));
  EXPECT_THAT(*ReadFile(directory_ + "/stdout"), HasSubstr(R"("epoch":2,"epochs":2)"));
}

TEST_F(TrainerTest, TheSameInputInAnotherFolderAndProcessGivesTheSameBytes) {
  WriteInput(MakeConvolutionInput("conv_2d"));
  const std::string other = directory_ + "_with_another_name";
  std::filesystem::copy(directory_, other, std::filesystem::copy_options::recursive);
  std::vector<std::string> models;
  for (const std::string& folder : {directory_, other}) {
    EXPECT_EQ(RunProgram(folder,
                         absl::StrCat("--info-file ", folder, "/train_input.json --data-directory ",
                                      folder, " --out-directory ", folder, "/out --threads ",
                                      models.size() + 1)),
              0);
    models.push_back(*ReadFile(folder + "/out/model.tflite"));
  }
  EXPECT_EQ(models[0], models[1]);
  EXPECT_EQ(models[0].find(folder_.path()), std::string::npos);
}

TEST_F(TrainerTest, TheProgramSaysItsErrorAsAnEventAndExitsWithOne) {
  std::filesystem::remove(directory_ + "/labels_test.npy");
  EXPECT_EQ(RunProgram(directory_, absl::StrCat("--info-file ", directory_,
                                                "/train_input.json --data-directory ", directory_,
                                                " --out-directory ", directory_, "/out")),
            1);
  const Json event = Json::parse(*ReadFile(directory_ + "/stdout"));
  EXPECT_EQ(event["event"], "error");
  EXPECT_THAT(event["message"].get<std::string>(), HasSubstr("labels_test.npy"));
  EXPECT_EQ(RunProgram(directory_, "--epochs"), 1);
  EXPECT_THAT(*ReadFile(directory_ + "/stdout"), HasSubstr(R"("event":"error")"));
}

}  // namespace
}  // namespace fieldloop::build::trainer
