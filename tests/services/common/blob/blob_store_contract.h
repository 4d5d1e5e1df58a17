// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_COMMON_BLOB_BLOB_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_COMMON_BLOB_BLOB_STORE_CONTRACT_H_

#include <functional>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {

// What every BlobStore must do.
struct BlobStoreUnderTest {
  std::string name;
  std::function<std::shared_ptr<BlobStore>()> make;  // Each call gives an empty store.

  friend void PrintTo(const BlobStoreUnderTest& store, std::ostream* os) { *os << store.name; }
};

class BlobStoreContract : public ::testing::TestWithParam<BlobStoreUnderTest> {
 protected:
  const std::shared_ptr<BlobStore> store_ = GetParam().make();
  const std::string absent_ = std::string(64, 'a');
};

TEST_P(BlobStoreContract, ABlobComesBackUnderItsDigest) {
  for (const std::string& data :
       {std::string(), std::string("x\0y", 3), std::string(3 << 20, 'z')}) {
    const absl::StatusOr<BlobInfo> info = store_->Put(data);
    ASSERT_THAT(info, ::fieldloop::testing::IsOk());
    EXPECT_EQ(info->digest, ToHex(Sha256Of(data)));
    EXPECT_EQ(info->size_bytes, static_cast<std::int64_t>(data.size()));
    EXPECT_EQ(*store_->Get(info->digest), data);
    EXPECT_TRUE(*store_->Exists(info->digest));
  }
}

TEST_P(BlobStoreContract, ManyBlobsArePutAtOnce) {
  const absl::StatusOr<std::vector<BlobInfo>> infos =
      store_->PutAll({{"one", ""}, {"two", ToHex(Sha256Of("two"))}, {"one", ""}, {"", ""}});
  ASSERT_THAT(infos, ::fieldloop::testing::IsOk());
  ASSERT_EQ(infos->size(), 4U);
  EXPECT_EQ(*store_->Get((*infos)[0].digest), "one");
  EXPECT_EQ(*store_->Get((*infos)[1].digest), "two");
  EXPECT_EQ((*infos)[2].digest, (*infos)[0].digest);
  EXPECT_EQ((*infos)[3].size_bytes, 0);
}

TEST_P(BlobStoreContract, TheSameBytesTwiceAreOneBlob) {
  EXPECT_EQ(store_->Put("same")->digest, store_->Put("same")->digest);
  EXPECT_EQ(*store_->Get(store_->Put("same")->digest), "same");
}

TEST_P(BlobStoreContract, AWriterThatIsNotCommittedLeavesNothing) {
  {
    const auto writer = store_->Create();
    ASSERT_THAT(writer, ::fieldloop::testing::IsOk());
    ASSERT_THAT((*writer)->Append("lost"), ::fieldloop::testing::IsOk());
  }
  EXPECT_FALSE(*store_->Exists(ToHex(Sha256Of("lost"))));
}

TEST_P(BlobStoreContract, WhatIsNotThereIsNotFound) {
  using ::fieldloop::testing::StatusIs;
  EXPECT_THAT(store_->Get(absent_), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->ReadRange(absent_, 0, 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(*store_->Exists(absent_));
}

TEST_P(BlobStoreContract, ADeletedBlobIsGoneAndMayComeAgain) {
  const std::string digest = store_->Put("gone")->digest;
  const std::string other = store_->Put("stays")->digest;
  ASSERT_THAT(store_->Delete(digest), ::fieldloop::testing::IsOk());
  EXPECT_FALSE(*store_->Exists(digest));
  EXPECT_TRUE(*store_->Exists(other));
  EXPECT_THAT(store_->Delete(digest), ::fieldloop::testing::IsOk());
  EXPECT_EQ(store_->Put("gone")->digest, digest);
  EXPECT_EQ(*store_->Get(digest), "gone");
}

TEST_P(BlobStoreContract, EveryBlobIsVisitedWithTheTimeOfItsWriting) {
  const absl::Time before = absl::Now() - absl::Seconds(5);  // File systems round.
  const std::set<std::string> stored = {store_->Put("a")->digest, store_->Put("b")->digest};
  std::set<std::string> visited;
  ASSERT_THAT(store_->ForEach([&](absl::string_view digest, absl::Time written) {
    EXPECT_GE(written, before);
    visited.emplace(digest);
    return absl::OkStatus();
  }),
              ::fieldloop::testing::IsOk());
  EXPECT_EQ(visited, stored);
  EXPECT_THAT(store_->ForEach([](absl::string_view /*digest*/, absl::Time /*written*/) {
    return absl::CancelledError("enough");
  }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kCancelled));
}

TEST_P(BlobStoreContract, ANameThatIsNoDigestIsRefused) {
  using ::fieldloop::testing::StatusIs;
  for (const std::string& bad :
       {std::string(), std::string("../../../etc/passwd"), std::string(64, 'A'),
        std::string(64, '/'), std::string(63, 'a')}) {
    EXPECT_THAT(store_->Get(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
    EXPECT_THAT(store_->Exists(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
    EXPECT_THAT(store_->ReadRange(bad, 0, 1), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST_P(BlobStoreContract, ARangeIsCutAtTheEnd) {
  const std::string digest = store_->Put("0123456789")->digest;
  EXPECT_EQ(*store_->ReadRange(digest, 2, 3), "234");
  EXPECT_EQ(*store_->ReadRange(digest, 8, 5), "89");
  EXPECT_EQ(*store_->ReadRange(digest, 10, 5), "");
  EXPECT_EQ(*store_->ReadRange(digest, 99, 5), "");
}

TEST_P(BlobStoreContract, AReadComesInPiecesAndEndsWhenItsReaderFails) {
  const std::string digest = store_->Put("0123456789")->digest;
  std::string seen;
  ASSERT_THAT(store_->Read(digest, 4,
                           [&](absl::string_view piece) {
                             EXPECT_LE(piece.size(), 4U);
                             seen.append(piece.data(), piece.size());
                             return absl::OkStatus();
                           }),
              ::fieldloop::testing::IsOk());
  EXPECT_EQ(seen, "0123456789");
  EXPECT_THAT(store_->Read(digest, 4, [](absl::string_view) { return absl::CancelledError(""); }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kCancelled));
}

TEST_P(BlobStoreContract, TwoWritersOfTheSameBytesBothSucceed) {
  const auto put = [this] {
    for (int i = 0; i < 20; ++i) {
      EXPECT_THAT(store_->Put(std::to_string(i)), ::fieldloop::testing::IsOk());
    }
  };
  std::thread other(put);
  put();
  other.join();
  EXPECT_EQ(*store_->Get(ToHex(Sha256Of("7"))), "7");
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BlobStoreContract);

}  // namespace fieldloop

#endif  // FIELDLOOP_TESTS_SERVICES_COMMON_BLOB_BLOB_STORE_CONTRACT_H_
