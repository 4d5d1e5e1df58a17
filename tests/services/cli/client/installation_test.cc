// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/client/installation.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "services/cli/client/output.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;

class InstallationTest : public ::testing::Test {
 protected:
  const TemporaryFolder folder_;
  const std::string& home_ = folder_.path();
};

TEST_F(InstallationTest, WhatIsSavedIsLoaded) {
  ASSERT_THAT(SaveInstallation(home_, {.addresses = {{"build", "127.0.0.1:1"}},
                                       .ca_file = "ca.crt",
                                       .token_file = "token"}),
              IsOk());
  const auto loaded = LoadInstallation(home_);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->addresses.at("build"), "127.0.0.1:1");
  EXPECT_EQ(loaded->ca_file, "ca.crt");
  EXPECT_EQ(loaded->token_file, "token");
}

TEST_F(InstallationTest, AFolderWithoutInstallationSaysHowToStartOne) {
  const auto loaded = LoadInstallation(home_);
  EXPECT_THAT(loaded, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("fieldloop up"));
}

TEST_F(InstallationTest, AFileThatIsNoJsonIsNamed) {
  std::ofstream(home_ + "/client.json") << "{addresses";
  const auto loaded = LoadInstallation(home_);
  EXPECT_THAT(loaded, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("client.json"));
}

TEST_F(InstallationTest, AMissingTokenFileIsNamedBeforeAnyCall) {
  ASSERT_THAT(SaveInstallation(home_, {.addresses = {{"build", "127.0.0.1:1"}},
                                       .ca_file = "",
                                       .token_file = home_ + "/no.token"}),
              IsOk());
  Client client;
  client.home = home_;
  const auto channel = client.Channel("build");
  EXPECT_THAT(channel, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(channel.status().message()), HasSubstr("no.token"));
}

TEST(ClientTest, AShortNameIsCompletedAndAWholeNamePasses) {
  Client client;
  EXPECT_THAT(client.Name("models", "7"), StatusIs(absl::StatusCode::kInvalidArgument));
  client.project = "motor";
  EXPECT_EQ(*client.Name("models", "7"), "projects/motor/models/7");
  EXPECT_EQ(*client.Name("models", "projects/other/models/1"), "projects/other/models/1");
}

TEST(OutputTest, StatesAndSizesAreForPeople) {
  EXPECT_EQ(StateText("STATE_ROLLING_OUT"), "rolling out");
  EXPECT_EQ(SizeText(999), "999 B");
  EXPECT_EQ(SizeText(12'340), "12.3 KB");
  EXPECT_EQ(ShortName("projects/motor/models/7"), "7");
}

}  // namespace
}  // namespace fieldloop::cli
