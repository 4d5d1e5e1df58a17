// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/retention_service.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/ingestion/domain/sample_service.h"
#include "services/ingestion/domain/settings_service.h"
#include "services/ingestion/formats/recording_formats.h"
#include "services/ingestion/storage/sql_retention_store.h"
#include "services/ingestion/storage/sql_sample_store.h"
#include "services/ingestion/storage/sql_settings_store.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

class RetentionServiceTest : public ::testing::Test {
 protected:
  absl::StatusOr<StoredSample> Upload(int seed, const std::string& project = "motor") {
    UploadSpec spec;
    spec.project = project;
    spec.file_name = "a.csv";
    auto upload = samples_.BeginUpload(spec);
    EXPECT_THAT((*upload)->Append(CsvFile(20, seed)), IsOk());
    return (*upload)->Finish();
  }
  void Keep(const std::string& project, absl::Duration unlabelled) {
    Settings settings;
    settings.project = project;
    settings.retention.unlabelled = unlabelled;
    ASSERT_THAT(SettingsService(settings_).Update(settings, false), IsOk());
  }

  SqliteDatabase database_;
  SqlSampleStore sample_store_{database_.get()};
  SqlSettingsStore settings_{database_.get()};
  SqlRetentionStore store_{database_.get()};
  MemoryBlobStore blobs_;
  RecordingFormats formats_;
  ::fieldloop::testing::FakeClock clock_;
  CountingObserver observer_;
  MemoryUploadSpool spool_;
  SampleService samples_{sample_store_, settings_, blobs_, spool_, formats_, clock_, observer_};
  RetentionService retention_{store_, settings_, blobs_, clock_};
  const std::function<bool()> go_on_ = [] { return true; };
};

TEST_F(RetentionServiceTest, NothingIsDeletedUnlessTheSettingsSaySo) {
  ASSERT_THAT(Upload(1), IsOk());
  clock_.Advance(absl::Hours(100'000));
  EXPECT_EQ(retention_.Apply("motor", false)->samples, 0);
  EXPECT_THAT(retention_.ApplyAll(go_on_), IsOk());
  EXPECT_EQ(samples_.Count("motor", {})->total, 1);
}

TEST_F(RetentionServiceTest, ADryRunCountsWhatTheRunDeletes) {
  for (int i = 0; i < 450; ++i) {  // More than two batches.
    ASSERT_THAT(Upload(i), IsOk());
  }
  Keep("motor", absl::Hours(24));
  clock_.Advance(absl::Hours(25));
  ASSERT_THAT(Upload(1000), IsOk());
  const absl::StatusOr<RetentionResult> counted = retention_.Apply("motor", true);
  ASSERT_THAT(counted, IsOk());
  EXPECT_EQ(counted->samples, 450);
  EXPECT_EQ(samples_.Count("motor", {})->total, 451);
  const absl::StatusOr<RetentionResult> deleted = retention_.Apply("motor", false);
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->samples, counted->samples);
  EXPECT_EQ(deleted->bytes, counted->bytes);
  EXPECT_EQ(samples_.Count("motor", {})->total, 1);
}

TEST_F(RetentionServiceTest, TheBackgroundTreatsEachProjectByItsOwnSettings) {
  ASSERT_THAT(Upload(1, "motor"), IsOk());
  ASSERT_THAT(Upload(1, "pump"), IsOk());
  Keep("pump", absl::Hours(1));
  clock_.Advance(absl::Hours(2));
  ASSERT_THAT(retention_.ApplyAll(go_on_), IsOk());
  EXPECT_EQ(samples_.Count("motor", {})->total, 1);
  EXPECT_EQ(samples_.Count("pump", {})->total, 0);
  EXPECT_THAT(retention_.ApplyAll([] { return false; }), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(RetentionServiceTest, BytesGoAnHourAfterTheirLastSample) {
  const std::string id = Upload(1)->sample.id;
  ASSERT_THAT(Upload(1, "pump"), IsOk());
  ASSERT_THAT(retention_.DeleteSample("motor", id), IsOk());
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(*retention_.CollectBlobs(go_on_), 0);  // "pump" has them.
  ASSERT_THAT(retention_.DeleteSample("pump", id), IsOk());
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(*retention_.CollectBlobs(go_on_), 0);
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(*retention_.CollectBlobs(go_on_), 2);
  EXPECT_EQ(blobs_.size(), 0U);
}

TEST_F(RetentionServiceTest, AnUploadOfTheSameBytesIsWholeWheneverItComes) {
  const std::string id = Upload(1)->sample.id;
  ASSERT_THAT(retention_.DeleteSample("motor", id), IsOk());
  clock_.Advance(absl::Hours(2));
  // It comes when the bytes are claimed and not yet deleted.
  absl::StatusOr<StoredSample> meanwhile = absl::UnknownError("not run");
  EXPECT_THAT(retention_.CollectBlobs([&] {
    if (absl::IsUnknown(meanwhile.status())) {
      meanwhile = Upload(1);
    }
    return true;
  }),
              IsOk());
  EXPECT_THAT(meanwhile, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Upload(1), StatusIs(absl::StatusCode::kUnavailable));
  clock_.Advance(kBlobNoteStays);
  EXPECT_EQ(*retention_.CollectBlobs(go_on_), 0);
  const absl::StatusOr<StoredSample> later = Upload(1);
  ASSERT_THAT(later, IsOk());
  std::string bytes;
  EXPECT_THAT(samples_.Download("motor", id, false, 1000,
                                [&](absl::string_view piece) {
                                  bytes.append(piece.data(), piece.size());
                                  return absl::OkStatus();
                                }),
              IsOk());
  EXPECT_EQ(bytes, CsvFile(20, 1));
}

TEST_F(RetentionServiceTest, ACollectorThatStallsAfterItsClaimDeletesNothing) {
  ASSERT_THAT(retention_.DeleteSample("motor", Upload(1)->sample.id), IsOk());
  clock_.Advance(absl::Hours(2));
  EXPECT_THAT(retention_.CollectBlobs([&] {
    clock_.Advance(kLongestDeleting + absl::Seconds(1));
    return true;
  }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(blobs_.size(), 2U);
  clock_.Advance(kBlobNoteStays);
  EXPECT_EQ(*retention_.CollectBlobs(go_on_), 2);
}

TEST_F(RetentionServiceTest, BytesThatABrokenUploadLeftAreFound) {
  ASSERT_THAT(Upload(1), IsOk());
  ASSERT_THAT(blobs_.Put("left behind"), IsOk());
  ASSERT_THAT(retention_.FindUnusedBlobs(go_on_), IsOk());
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(*retention_.CollectBlobs(go_on_), 1);
  EXPECT_EQ(blobs_.size(), 2U);
}

}  // namespace
}  // namespace fieldloop::ingestion
