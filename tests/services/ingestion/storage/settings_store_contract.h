// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_SETTINGS_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_SETTINGS_STORE_CONTRACT_H_

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/ingestion/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {

// What every SettingsStore must do.
class SettingsStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static Settings All() {
    return {.project = "motor",
            .frequency_hz = 100,
            .strict_signatures = true,
            .signature_key = "secret",
            .units = {{"*", "m/s2"}, {"gyrX", "rad/s"}},
            .min_seconds = 0.5,
            .max_seconds = 60,
            .retention = {.unlabelled = absl::Hours(24),
                          .labelled = absl::Hours(1000),
                          .max_bytes = std::int64_t{1} << 40},
            .split_key = "person"};
  }
  absl::StatusOr<Settings> Put(const Settings& settings) {
    return store_.Update(settings.project, [&](Settings& stored) {
      stored = settings;
      return absl::OkStatus();
    });
  }

  const std::unique_ptr<Backend> backend_ = GetParam().make();
  SettingsStore& store_ = backend_->settings();
};

TEST_P(SettingsStoreContract, AProjectThatSetNoneHasTheDefaults) {
  EXPECT_EQ(*store_.Get("motor"), Settings{.project = "motor"});
}

TEST_P(SettingsStoreContract, GetReturnsWhatUpdateStored) {
  const absl::StatusOr<Settings> updated = Put(All());
  ASSERT_THAT(updated, ::fieldloop::testing::IsOk());
  EXPECT_EQ(*updated, All());
  EXPECT_EQ(*store_.Get("motor"), All());
  EXPECT_EQ(*store_.Get("pump"), Settings{.project = "pump"});
}

TEST_P(SettingsStoreContract, AnUpdateReplacesEverything) {
  ASSERT_THAT(Put(All()), ::fieldloop::testing::IsOk());
  const Settings other{.project = "motor", .units = {{"z", "g"}}};
  ASSERT_THAT(Put(other), ::fieldloop::testing::IsOk());
  EXPECT_EQ(*store_.Get("motor"), other);
}

TEST_P(SettingsStoreContract, AChangeGetsWhatIsStoredAndItsErrorChangesNothing) {
  ASSERT_THAT(Put(All()), ::fieldloop::testing::IsOk());
  const absl::StatusOr<Settings> refused = store_.Update("motor", [](Settings& stored) {
    EXPECT_EQ(stored, All());
    stored.frequency_hz = 1;
    return absl::InvalidArgumentError("no");
  });
  EXPECT_THAT(refused, ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(*store_.Get("motor"), All());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SettingsStoreContract);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_SETTINGS_STORE_CONTRACT_H_
