// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/up/trust.h"

#include <filesystem>
#include <string>

#include <fieldloop/agent/v1/trust.pb.h>
#include <gtest/gtest.h>

#include "services/cli/commands/arguments.h"
#include "services/common/crypto/signing.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::TemporaryFolder;

class TrustTest : public ::testing::Test {
 protected:
  agent::v1::SignedDocument Document() const {
    agent::v1::SignedDocument document;
    document.ParseFromString(*ReadFile(folder_ + "/root.bin"));
    return document;
  }
  const TemporaryFolder scratch_;
  const std::string folder_ = scratch_ / "trust";
};

TEST_F(TrustTest, TheFirstRootIsSignedByItsOwnRootKeyAndNamesAKeyForEachRole) {
  ASSERT_THAT(MakeTrust(folder_), IsOk());
  const agent::v1::SignedDocument document = Document();
  agent::v1::RootDocument root;
  ASSERT_TRUE(root.ParseFromString(document.payload()));
  EXPECT_EQ(root.version(), 1U);
  ASSERT_EQ(root.keys_size(), 3);
  ASSERT_EQ(document.signatures_size(), 1);
  const auto index = static_cast<int>(root.root().key_indices(0));
  EXPECT_TRUE(VerifySignature(root.keys(index).public_key(), kRootContext, document.payload(),
                              document.signatures(0).value()));
  EXPECT_FALSE(VerifySignature(root.keys(index).public_key(), kManifestContext, document.payload(),
                               document.signatures(0).value()));
  EXPECT_NE(root.release().key_indices(0), root.directive().key_indices(0));
}

TEST_F(TrustTest, ASecondCallChangesNothing) {
  ASSERT_THAT(MakeTrust(folder_), IsOk());
  const std::string before = *ReadFile(folder_ + "/root.bin");
  ASSERT_THAT(MakeTrust(folder_), IsOk());
  EXPECT_EQ(*ReadFile(folder_ + "/root.bin"), before);
}

TEST_F(TrustTest, KeysAreReadableByTheirOwnerOnly) {
  ASSERT_THAT(MakeTrust(folder_), IsOk());
  for (const char* key : {"root.key", "release.key", "directive.key"}) {
    EXPECT_EQ(std::filesystem::status(folder_ + "/" + key).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << key;
  }
}

}  // namespace
}  // namespace fieldloop::cli
