// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/settings_service.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/ingestion/storage/sql_settings_store.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

class SettingsServiceTest : public ::testing::Test {
 protected:
  std::string Refusal(const Settings& settings, bool clear = false) {
    const auto updated = service_.Update(settings, clear);
    EXPECT_THAT(updated, StatusIs(absl::StatusCode::kInvalidArgument));
    return std::string(updated.status().message());
  }

  SqliteDatabase database_;
  SqlSettingsStore store_{database_.get()};
  SettingsService service_{store_};
};

TEST_F(SettingsServiceTest, AnUpdateWithoutAKeyKeepsTheStoredOneUntilItIsCleared) {
  ASSERT_THAT(service_.Update({.project = "motor", .signature_key = "secret"}, false), IsOk());
  ASSERT_THAT(service_.Update({.project = "motor", .frequency_hz = 100}, false), IsOk());
  EXPECT_EQ(service_.Get("motor")->signature_key, "secret");
  EXPECT_EQ(service_.Get("motor")->frequency_hz, 100);
  ASSERT_THAT(service_.Update({.project = "motor"}, true), IsOk());
  EXPECT_EQ(service_.Get("motor")->signature_key, "");
}

TEST_F(SettingsServiceTest, StrictSignaturesNeedAKey) {
  EXPECT_THAT(Refusal({.project = "motor", .strict_signatures = true}),
              HasSubstr("settings.strict_signatures: got true without a key"));
  ASSERT_THAT(
      service_.Update({.project = "motor", .strict_signatures = true, .signature_key = "k"}, false),
      IsOk());
  EXPECT_THAT(Refusal({.project = "motor", .strict_signatures = true}, true),
              HasSubstr("settings.strict_signatures"));
  EXPECT_THAT(service_.Update({.project = "motor", .strict_signatures = true}, false), IsOk());
}

TEST_F(SettingsServiceTest, WhatIsWrongIsNamedAndTheKeyIsNotShown) {
  EXPECT_THAT(Refusal({.project = "motor", .frequency_hz = -1}),
              HasSubstr("settings.frequency_hz"));
  EXPECT_THAT(Refusal({.project = "motor", .frequency_hz = std::nan("")}),
              HasSubstr("settings.frequency_hz"));
  EXPECT_THAT(Refusal({.project = "motor", .frequency_hz = 2e6}), HasSubstr("want 0 to 1e+06"));
  const std::string key = Refusal({.project = "motor", .signature_key = "with blank"});
  EXPECT_THAT(key, HasSubstr("settings.signature_key: got 10 bytes"));
  EXPECT_THAT(key, ::testing::Not(HasSubstr("with")));
  EXPECT_THAT(Refusal({.project = "motor", .signature_key = std::string(129, 'k')}),
              HasSubstr("settings.signature_key: got 129 bytes"));
  EXPECT_THAT(Refusal({.project = "motor", .signature_key = "k"}, true),
              HasSubstr("clear_signature_key"));
  EXPECT_THAT(Refusal({.project = "motor", .units = {{"x", ""}}}),
              HasSubstr("settings.units[\"x\"]"));
  EXPECT_THAT(Refusal({.project = "motor", .units = {{"", "g"}}}), HasSubstr("settings.units key"));
  EXPECT_THAT(Refusal({.project = "motor", .min_seconds = -1}), HasSubstr("settings.min_seconds"));
  EXPECT_THAT(Refusal({.project = "motor", .min_seconds = 2, .max_seconds = 1}),
              HasSubstr("settings.max_seconds: got 1, want 0 or at least 2"));
  EXPECT_THAT(Refusal({.project = "motor", .retention = {.max_bytes = -1}}),
              HasSubstr("settings.retention.max_bytes"));
  EXPECT_THAT(Refusal({.project = "motor", .retention = {.labelled = -absl::Seconds(1)}}),
              HasSubstr("settings.retention.labelled"));
  EXPECT_THAT(Refusal({.project = "motor", .split_key = "a\nb"}), HasSubstr("settings.split_key"));
}

}  // namespace
}  // namespace fieldloop::ingestion
