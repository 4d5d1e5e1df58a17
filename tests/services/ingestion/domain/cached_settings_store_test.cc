// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/cached_settings_store.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

// One project's settings, which other replicas change too.
class ReplicatedStore final : public SettingsStore {
 public:
  absl::StatusOr<Settings> Get(absl::string_view /*project*/) override {
    ++reads;
    const Settings read = settings;
    if (during_read) {
      during_read();
    }
    return read;
  }
  absl::StatusOr<Settings> Update(
      absl::string_view /*project*/,
      absl::FunctionRef<absl::Status(Settings& settings)> change) override {
    const absl::Status status = change(settings);
    return status.ok() ? absl::StatusOr<Settings>(settings) : status;
  }

  Settings settings;
  int reads = 0;
  std::function<void()> during_read;
};

class CachedSettingsStoreTest : public ::testing::Test {
 protected:
  double Rate() { return cached_.Get("motor")->frequency_hz; }
  absl::Status SetRate(double rate) {
    return cached_
        .Update("motor",
                [rate](Settings& settings) {
                  settings.frequency_hz = rate;
                  return absl::OkStatus();
                })
        .status();
  }

  ReplicatedStore stored_;
  ::fieldloop::testing::FakeClock clock_;
  CachedSettingsStore cached_{stored_, clock_};
};

TEST_F(CachedSettingsStoreTest, ASecondReadComesFromMemoryUntilItIsOld) {
  stored_.settings.frequency_hz = 100;
  EXPECT_EQ(Rate(), 100);
  stored_.settings.frequency_hz = 200;  // Another replica.
  EXPECT_EQ(Rate(), 100);
  EXPECT_EQ(stored_.reads, 1);
  clock_.Advance(CachedSettingsStore::kStayFresh);
  EXPECT_EQ(Rate(), 200);
}

TEST_F(CachedSettingsStoreTest, AChangeIsSeenAtOnce) {
  EXPECT_EQ(Rate(), 0);
  ASSERT_THAT(SetRate(50), IsOk());
  EXPECT_EQ(Rate(), 50);
  EXPECT_THAT(cached_.Update("motor", [](Settings&) { return absl::InvalidArgumentError("bad"); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Rate(), 50);
}

TEST_F(CachedSettingsStoreTest, WhatWasReadBeforeAChangeIsNotKeptAfterIt) {
  stored_.during_read = [this] {
    stored_.during_read = nullptr;
    ASSERT_THAT(SetRate(50), IsOk());
  };
  EXPECT_EQ(Rate(), 0);  // It began before the change.
  EXPECT_EQ(Rate(), 50);
}

}  // namespace
}  // namespace fieldloop::ingestion
