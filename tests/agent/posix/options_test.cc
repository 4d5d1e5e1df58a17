// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/ports/posix/options.h"

#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::agent {
namespace {

class OptionsTest : public ::testing::Test {
 protected:
  ~OptionsTest() override { fl_options_free(&options_); }

  static std::vector<std::string> Required() {
    return {"--state", "/s",     "--server", "localhost:8443", "--ca",
            "ca.pem",  "--root", "root",     "--project",      "motor"};
  }
  // Parses; returns the complaint, empty if there is none.
  std::string Parse(std::vector<std::string> words) {
    words.insert(words.begin(), "fieldloop-agent");
    arguments_ = std::move(words);
    std::vector<char*> argv;
    for (std::string& word : arguments_) argv.push_back(word.data());
    argv.push_back(nullptr);
    char error[512] = "";
    fl_options_free(&options_);
    const bool parsed = fl_options_parse(&options_, static_cast<int>(arguments_.size()),
                                         argv.data(), error, sizeof error);
    EXPECT_EQ(parsed, std::string(error).empty());
    return error;
  }
  std::string ParseWith(const std::vector<std::string>& extra) {
    std::vector<std::string> words = Required();
    words.insert(words.end(), extra.begin(), extra.end());
    return Parse(words);
  }

  std::vector<std::string> arguments_;
  fl_options_t options_ = {};
};

TEST_F(OptionsTest, TakesWhatIsRequiredAndFillsInTheRest) {
  ASSERT_EQ(Parse(Required()), "");
  ASSERT_EQ(options_.server_count, 1u);
  EXPECT_STREQ(options_.servers[0].host, "localhost");
  EXPECT_STREQ(options_.servers[0].port, "8443");
  EXPECT_EQ(options_.server_name, nullptr);
  EXPECT_EQ(std::string(options_.hardware_id).rfind("posix-", 0), 0u);
  EXPECT_EQ(options_.speed, 1.0);
  EXPECT_STREQ(options_.truth_column, "label");
}

TEST_F(OptionsTest, TakesSeveralServersWithCommasBetween) {
  ASSERT_EQ(ParseWith({"--server", "10.0.0.1:7410,[::1]:7411,b:1"}), "");
  ASSERT_EQ(options_.server_count, 3u);
  EXPECT_STREQ(options_.servers[0].host, "10.0.0.1");
  EXPECT_STREQ(options_.servers[0].port, "7410");
  EXPECT_STREQ(options_.servers[1].host, "::1");
  EXPECT_STREQ(options_.servers[2].host, "b");
  for (const char* bad :
       {"a:1,", ",a:1", "a:1,b", "a:1,:2", "a:1,b:2x", "a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9"}) {
    EXPECT_NE(ParseWith({"--server", bad}), "") << bad;
  }
}

TEST_F(OptionsTest, TakesRepeatedRecordingsAndAnAddressInBrackets) {
  ASSERT_EQ(ParseWith({"--replay", "a.csv", "--replay=b.csv", "--server", "[::1]:99"}), "");
  ASSERT_EQ(options_.replay_count, 2u);
  EXPECT_STREQ(options_.replay[1], "b.csv");
  EXPECT_STREQ(options_.servers[0].host, "::1");
}

TEST_F(OptionsTest, TakesTheFilesOfComponents) {
  ASSERT_EQ(Parse(Required()), "");
  EXPECT_EQ(options_.configuration_file, nullptr);
  EXPECT_EQ(options_.firmware, nullptr);
  ASSERT_EQ(ParseWith({"--configuration-file", "app.conf", "--firmware", "app.bin"}), "");
  EXPECT_STREQ(options_.configuration_file, "app.conf");
  EXPECT_STREQ(options_.firmware, "app.bin");
}

TEST_F(OptionsTest, NamesTheFlagThatIsMissing) {
  for (size_t i = 0; i < Required().size(); i += 2) {
    std::vector<std::string> words = Required();
    const std::string flag = words[i];
    words.erase(words.begin() + static_cast<long>(i), words.begin() + static_cast<long>(i) + 2);
    EXPECT_THAT(Parse(words), ::testing::StartsWith(flag + ": missing, want "));
  }
}

struct BadFlag {
  const char* name;
  std::vector<std::string> words;
  const char* complaint;

  friend void PrintTo(const BadFlag& bad, std::ostream* os) { *os << bad.name; }
};
class OptionsBadFlagTest : public OptionsTest, public ::testing::WithParamInterface<BadFlag> {};

TEST_P(OptionsBadFlagTest, IsNamedWithItsValueAndWhatWasExpected) {
  EXPECT_EQ(ParseWith(GetParam().words), GetParam().complaint);
}

INSTANTIATE_TEST_SUITE_P(
    Flags, OptionsBadFlagTest,
    ::testing::Values(
        BadFlag{"Speed", {"--speed", "0"}, "--speed: got '0', want a number above 0"},
        BadFlag{"Server",
                {"--server", "host:70000"},
                "--server: got 'host:70000', want HOST:PORT with a port of 1 to 65535, up "
                "to 8 with commas between"},
        BadFlag{"Seed", {"--seed", "-1"}, "--seed: got '-1', want a whole number of at least 0"},
        BadFlag{"Project", {"--project", ""}, "--project: got '', want a name of 1 to 39 bytes"},
        BadFlag{"LogFormat", {"--log-format", "xml"}, "--log-format: got 'xml', want text or json"},
        BadFlag{"Unknown", {"--what"}, "--what: got '--what', want a flag that --help lists"},
        BadFlag{"NoValue", {"--seed"}, "--seed: got '', want a value"},
        BadFlag{"Argument", {"extra"}, "arguments: got 'extra', want flags only"},
        BadFlag{"TwoTokens",
                {"--token", "a", "--token-file", "b"},
                "--token-file: got 'b', want either this or --token, not both"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

}  // namespace
}  // namespace fieldloop::agent
