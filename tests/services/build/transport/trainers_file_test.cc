// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/trainers_file.h"

#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::StartsWith;

class TrainersFileTest : public ::testing::Test {
 protected:
  TrainersFileTest() { Write("train.py", "print()\n"); }

  void Write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(folder_ / name).parent_path());
    std::ofstream(folder_ / name) << content;
  }
  absl::StatusOr<std::vector<TrainerProgram>> Parse(const std::string& json) {
    return ParseTrainers(json, folder_.path(), limits_);
  }
  // Of the only trainer.
  std::string Digest(const std::string& json) {
    const auto programs = Parse(json);
    EXPECT_THAT(programs, IsOk());
    const absl::StatusOr<std::string> digest = DigestOf(programs->front());
    EXPECT_THAT(digest, IsOk());
    return *digest;
  }

  TemporaryFolder folder_;
  const TrainerLimits limits_{.time = absl::Minutes(7)};
};

TEST_F(TrainersFileTest, EveryFieldIsTaken) {
  Write("parts/a.py", "a");
  const auto programs = Parse(R"({"trainers": [
      {"id": "mine", "command": ["sh", "train.py", "--fast"], "files": ["parts"],
       "features": "standardised", "environment": {"OMP_NUM_THREADS": "1"},
       "limits": {"minutes": 5, "cpu_minutes": 9, "memory_mb": 512, "file_mb": 64,
                  "processes": 3, "network": true}},
      {"id": "other", "command": ["./train.py"], "contract": "fieldloop"}]})");
  ASSERT_THAT(programs, IsOk());
  ASSERT_EQ(programs->size(), 2U);
  const TrainerProgram& mine = (*programs)[0];
  EXPECT_EQ(mine.id, "mine");
  EXPECT_EQ(mine.contract, TrainerContract::kLearningBlock);
  EXPECT_TRUE(mine.standardised);
  EXPECT_THAT(mine.command, ElementsAre(EndsWith("/sh"), folder_ / "train.py", "--fast"));
  EXPECT_THAT(mine.words, ElementsAre("sh", "train.py", "--fast"));
  EXPECT_EQ(mine.files.size(), 3U);
  EXPECT_EQ(mine.environment.at("OMP_NUM_THREADS"), "1");
  EXPECT_EQ(mine.limits.time, absl::Minutes(5));
  EXPECT_EQ(mine.limits.cpu_time, absl::Minutes(9));
  EXPECT_EQ(mine.limits.memory_bytes, 512 << 20);
  EXPECT_EQ(mine.limits.file_bytes, 64 << 20);
  EXPECT_EQ(mine.limits.processes, 3);
  EXPECT_TRUE(mine.limits.network);
  const TrainerProgram& other = (*programs)[1];
  EXPECT_EQ(other.contract, TrainerContract::kFieldloop);
  EXPECT_FALSE(other.limits.network);
  EXPECT_EQ(other.limits.time, absl::Minutes(7));
}

TEST_F(TrainersFileTest, TheDigestChangesWithWhatDecidesTheOutcome) {
  const std::string json =
      R"({"trainers": [{"id": "mine", "command": ["sh", "train.py"], "files": ["parts"]}]})";
  Write("parts/a.py", "a");
  const std::string digest = Digest(json);
  EXPECT_EQ(Digest(json), digest);
  EXPECT_NE(Digest(R"({"trainers": [{"id": "mine", "command": ["sh", "train.py", "-x"],
                                     "files": ["parts"]}]})"),
            digest);
  EXPECT_NE(Digest(R"({"trainers": [{"id": "mine", "command": ["sh", "train.py"],
                                     "files": ["parts"], "features": "standardised"}]})"),
            digest);
  EXPECT_EQ(Digest(R"({"trainers": [{"id": "mine", "command": ["sh", "train.py"],
                                     "files": ["parts"], "limits": {"minutes": 1}}]})"),
            digest);
  Write("parts/b.py", "b");
  const std::string with_b = Digest(json);
  EXPECT_NE(with_b, digest);
  Write("parts/b.py", "c");
  EXPECT_NE(Digest(json), with_b);
  Write("train.py", "print(1)\n");
  EXPECT_NE(Digest(json), with_b);
}

TEST_F(TrainersFileTest, ATrainerInAnImageIsKnownByItsDigest) {
  const std::string json = R"({"trainers": [{"id": "torch", "image": "r/torch@sha256:ab",
      "command": ["no-such-program", "/opt/train.py"],
      "pod": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}}]})";
  const auto programs = Parse(json);
  ASSERT_THAT(programs, IsOk());
  EXPECT_EQ(programs->front().image, "r/torch@sha256:ab");
  EXPECT_THAT(programs->front().command, ElementsAre("no-such-program", "/opt/train.py"));
  EXPECT_EQ(programs->front().pod, R"({"resources":{"limits":{"nvidia.com/gpu":"1"}}})");
  EXPECT_NE(Digest(json), Digest(R"({"trainers": [{"id": "torch", "image": "r/torch@sha256:cd",
                                     "command": ["no-such-program", "/opt/train.py"]}]})"));
  EXPECT_EQ(Digest(json), Digest(R"({"trainers": [{"id": "torch", "image": "r/torch@sha256:ab",
                                     "command": ["no-such-program", "/opt/train.py"]}]})"));
}

TEST_F(TrainersFileTest, AnImageByItsTagOrWithFilesBesideItIsRefused) {
  for (
      const char* json :
      {R"({"trainers": [{"id": "a", "image": "r/torch:1", "command": ["x"]}]})",
       R"({"trainers": [{"id": "a", "image": "r@sha256:1", "command": ["x"], "files": ["parts"]}]})",
       R"({"trainers": [{"id": "a", "image": "r@sha256:1", "command": ["x"],
                          "pod": {"hostNetwork": true}}]})"}) {
    EXPECT_THAT(Parse(json), StatusIs(absl::StatusCode::kInvalidArgument)) << json;
  }
}

TEST_F(TrainersFileTest, TheDigestIsTheSameInAnotherFolder) {
  const std::string json = R"({"trainers": [{"id": "mine", "command": ["sh", "train.py"]}]})";
  const TemporaryFolder other;
  std::ofstream(other / "train.py") << "print()\n";
  const auto programs = ParseTrainers(json, other.path(), limits_);
  ASSERT_THAT(programs, IsOk());
  EXPECT_EQ(*DigestOf(programs->front()), Digest(json));
}

TEST_F(TrainersFileTest, AFileThatIsGoneIsSaid) {
  const auto programs = Parse(R"({"trainers": [{"id": "mine", "command": ["sh", "train.py"]}]})");
  ASSERT_THAT(programs, IsOk());
  std::filesystem::remove(folder_ / "train.py");
  EXPECT_THAT(DigestOf(programs->front()), StatusIs(absl::StatusCode::kAborted));
}

struct Bad {
  std::string name;
  std::string trainer;
  std::string message;
  friend void PrintTo(const Bad& bad, std::ostream* os) { *os << bad.name; }
};
class BadTrainer : public TrainersFileTest, public ::testing::WithParamInterface<Bad> {};

TEST_P(BadTrainer, IsRefusedByItsField) {
  const auto programs = Parse("{\"trainers\": [" + GetParam().trainer + "]}");
  ASSERT_THAT(programs, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(programs.status().message()), StartsWith(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    TrainersFile, BadTrainer,
    ::testing::Values(
        Bad{"NoObject", "7", "trainers[0]: got 7, want an object"},
        Bad{"NoId", R"({"command": ["sh"]})", "trainers[0].id: got \"\""},
        Bad{"UpperCase", R"({"id": "Mine", "command": ["sh"]})", "trainers[0].id: got \"Mine\""},
        Bad{"BuiltIn", R"({"id": "fieldloop-trainer", "command": ["sh"]})", "trainers[0].id: got"},
        Bad{"Twice", R"({"id": "a", "command": ["sh"]}, {"id": "a", "command": ["sh"]})",
            "trainers[1].id: got \"a\" again"},
        Bad{"NoCommand", R"({"id": "a"})", "trainers[0].command: got nothing"},
        Bad{"CommandIsText", R"({"id": "a", "command": "sh"})", "trainers[0].command: got \"sh\""},
        Bad{"NoSuchProgram", R"({"id": "a", "command": ["no-such-program"]})",
            "trainers[0].command: got \"no-such-program\", want a program in PATH"},
        Bad{"NoSuchFile", R"({"id": "a", "command": ["./no"]})",
            "trainers[0].command: got \"./no\", want a program"},
        Bad{"Contract", R"({"id": "a", "command": ["sh"], "contract": "x"})",
            "trainers[0].contract: got \"x\""},
        Bad{"Features", R"({"id": "a", "command": ["sh"], "features": "x"})",
            "trainers[0].features: got \"x\""},
        Bad{"FeaturesOfWindows",
            R"({"id": "a", "command": ["sh"], "contract": "fieldloop", "features": "standardised"})",
            "trainers[0].features: got"},
        Bad{"Environment", R"({"id": "a", "command": ["sh"], "environment": {"A": 1}})",
            "trainers[0].environment: got"},
        Bad{"Limit", R"({"id": "a", "command": ["sh"], "limits": {"minutes": 0}})",
            "trainers[0].limits.minutes: got 0, want a whole number from 1"},
        Bad{"UnknownLimit", R"({"id": "a", "command": ["sh"], "limits": {"gpu": 1}})",
            "trainers[0].limits.gpu: got a field that is not known"},
        Bad{"Unknown", R"({"id": "a", "command": ["sh"], "picture": "x"})",
            "trainers[0].picture: got a field that is not known"}),
    [](const auto& param_info) { return param_info.param.name; });

TEST_F(TrainersFileTest, WhatIsNoListOfTrainersIsRefused) {
  for (const char* json : {"", "[]", "{}", R"({"trainers": {}})", R"({"trainers": [], "x": 1})"}) {
    EXPECT_THAT(Parse(json), StatusIs(absl::StatusCode::kInvalidArgument)) << json;
  }
}

}  // namespace
}  // namespace fieldloop::build
