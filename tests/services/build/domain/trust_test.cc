// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/trust.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/signing.h"
#include "services/common/status/error_reason.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

class TrustTest : public ::testing::Test {
 protected:
  // A root whose root and directive key is keys_[0] and whose release keys are 1 and 2.
  Root Make(std::uint32_t version, const std::vector<std::size_t>& signers,
            std::uint32_t release_threshold = 1) {
    Root root;
    root.version = version;
    for (const SigningKey& key : keys_) {
      root.keys.push_back(key.PublicKey());
    }
    root.root = {.key_indices = {0}, .threshold = 1};
    root.release = {.key_indices = {1, 2}, .threshold = release_threshold};
    root.directive = {.key_indices = {0}, .threshold = 1};
    root.payload = absl::StrCat("root ", version);
    for (const std::size_t signer : signers) {
      root.signatures.push_back(Sign(signer, kRootContext, root.payload));
    }
    return root;
  }

  Signature Sign(std::size_t key, absl::string_view context, absl::string_view payload) const {
    return {.key_id = KeyIdOf(keys_[key].PublicKey()), .value = keys_[key].Sign(context, payload)};
  }

  std::vector<SigningKey> keys_ = [] {
    std::vector<SigningKey> keys;
    for (int i = 0; i < 4; ++i) {
      keys.push_back(SigningKey::Generate());
    }
    return keys;
  }();
};

TEST_F(TrustTest, AChainInAnyOrderIsSortedOldestFirst) {
  const absl::StatusOr<RootChain> chain = RootChain::Make({Make(2, {0}), Make(1, {0})});
  ASSERT_THAT(chain, IsOk());
  EXPECT_EQ(chain->roots()[0].version, 1U);
  EXPECT_EQ(chain->roots()[1].version, 2U);
}

TEST_F(TrustTest, AGapOrARepeatedVersionIsRefused) {
  EXPECT_THAT(RootChain::Make({Make(1, {0}), Make(3, {0})}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(RootChain::Make({Make(1, {0}), Make(1, {0})}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TrustTest, ARootThatItsOwnKeysDidNotSignIsRefused) {
  EXPECT_THAT(RootChain::Make({Make(1, {3})}), StatusIs(absl::StatusCode::kInvalidArgument));
  Root forged = Make(1, {0});
  forged.payload += "!";
  EXPECT_THAT(RootChain::Make({forged}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TrustTest, ANewRootNeedsTheSignatureOfTheOneBefore) {
  Root next = Make(2, {});
  next.root.key_indices = {3};
  next.signatures = {Sign(3, kRootContext, next.payload)};
  EXPECT_THAT(RootChain::Make({Make(1, {0}), next}), StatusIs(absl::StatusCode::kInvalidArgument));
  next.signatures.push_back(Sign(0, kRootContext, next.payload));
  EXPECT_THAT(RootChain::Make({Make(1, {0}), next}), IsOk());
}

TEST_F(TrustTest, ARoleThatNamesNoKeyOrAsksForMoreThanItHasIsRefused) {
  Root root = Make(1, {0});
  root.release.key_indices = {9};
  EXPECT_THAT(RootChain::Make({root}), StatusIs(absl::StatusCode::kInvalidArgument));
  root = Make(1, {0});
  root.release = {.key_indices = {1, 1}, .threshold = 2};
  EXPECT_THAT(RootChain::Make({root}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TrustTest, TwoSignaturesByOneKeyCountOnce) {
  const RootChain chain = *RootChain::Make({Make(1, {0}, /*release_threshold=*/2)});
  const Signature first = Sign(1, kManifestContext, "manifest");
  const Signature again = Sign(1, kManifestContext, "manifest");
  EXPECT_FALSE(chain.IsReleaseSigned("manifest", {first, again}, kNow));
  EXPECT_TRUE(
      chain.IsReleaseSigned("manifest", {first, Sign(2, kManifestContext, "manifest")}, kNow));
}

TEST_F(TrustTest, OnlyReleaseKeysOverTheManifestCount) {
  const RootChain chain = *RootChain::Make({Make(1, {0})});
  EXPECT_FALSE(chain.IsReleaseSigned("manifest", {Sign(0, kManifestContext, "manifest")}, kNow));
  EXPECT_FALSE(chain.IsReleaseSigned("manifest", {Sign(1, kRootContext, "manifest")}, kNow));
  EXPECT_FALSE(chain.IsReleaseSigned("manifest", {Sign(1, kManifestContext, "other")}, kNow));
  EXPECT_TRUE(chain.IsReleaseSigned("manifest", {Sign(1, kManifestContext, "manifest")}, kNow));
}

TEST_F(TrustTest, NothingIsSignedByAnExpiredRootOrByNone) {
  Root root = Make(1, {0});
  root.expires_s = static_cast<std::uint64_t>(absl::ToUnixSeconds(kNow)) - 1;
  const RootChain chain = *RootChain::Make({root});
  const Signature signature = Sign(1, kManifestContext, "manifest");
  EXPECT_FALSE(chain.IsReleaseSigned("manifest", {signature}, kNow));
  EXPECT_EQ(ReasonOf(chain.CheckCurrent(kNow)), "ROOT_EXPIRED");
  EXPECT_FALSE(RootChain().IsReleaseSigned("manifest", {signature}, kNow));
  EXPECT_EQ(ReasonOf(RootChain().CheckCurrent(kNow)), "ROOT_NOT_CONFIGURED");
}

}  // namespace
}  // namespace fieldloop::build
