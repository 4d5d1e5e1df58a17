// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/sample_service.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/crypto/digest.h"
#include "services/common/status/error_reason.h"
#include "services/ingestion/domain/canonical_form.h"
#include "services/ingestion/domain/dataset_service.h"
#include "services/ingestion/domain/settings_service.h"
#include "services/ingestion/formats/recording_formats.h"
#include "services/ingestion/storage/folder_upload_spool.h"
#include "services/ingestion/storage/sql_dataset_store.h"
#include "services/ingestion/storage/sql_sample_store.h"
#include "services/ingestion/storage/sql_settings_store.h"
#include "tests/services/ingestion/formats/wav_file.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class SampleServiceTest : public ::testing::Test {
 protected:
  static UploadSpec Spec(const std::string& file_name = "idle.01.csv") {
    UploadSpec spec;
    spec.project = "motor";
    spec.file_name = file_name;
    spec.author = "apiTokens/a";
    return spec;
  }
  static DeviceRecording FromDevice(const std::vector<float>& values, std::uint64_t sequence,
                                    const std::string& device = "d1") {
    DeviceRecording recording;
    recording.project = "motor";
    recording.device.device = "projects/motor/devices/" + device;
    recording.device.reason = "random";
    recording.payload = FloatBytes(values);
    recording.axes = {"x", "y"};
    recording.frequency_hz = 50;
    recording.metadata = {{"site", "hall 3"}};
    recording.sequence = sequence;
    return recording;
  }

  void Set(const Settings& settings) {
    EXPECT_THAT(SettingsService(settings_).Update(settings, false), IsOk());
  }

  absl::StatusOr<StoredSample> Upload(UploadSpec spec, const std::string& bytes) {
    auto upload = samples_.BeginUpload(std::move(spec));
    if (!upload.ok()) {
      return upload.status();
    }
    const absl::Status appended = (*upload)->Append(bytes);
    return appended.ok() ? (*upload)->Finish() : appended;
  }

  std::string Download(const std::string& id, bool canonical) {
    std::string bytes;
    EXPECT_THAT(samples_.Download("motor", id, canonical, 16,
                                  [&](absl::string_view piece) {
                                    EXPECT_LE(piece.size(), 16U);
                                    bytes.append(piece.data(), piece.size());
                                    return absl::OkStatus();
                                  }),
                IsOk());
    return bytes;
  }

  SqliteDatabase database_;
  SqlSampleStore store_{database_.get()};
  SqlDatasetStore dataset_store_{database_.get()};
  MemoryBlobStore blobs_;
  TempFolder spool_folder_;
  RecordingFormats formats_;
  ::fieldloop::testing::FakeClock clock_;
  std::unique_ptr<UploadSpool> spool_ = *OpenFolderUploadSpool(spool_folder_.path(), clock_);
  CountingObserver observer_;
  SqlSettingsStore settings_{database_.get()};
  SampleService samples_{
      store_,    settings_,
      blobs_,    *spool_,
      formats_,  clock_,
      observer_, {.max_file_bytes = 10'000, .buffer_bytes = 5'000, .memory_bytes = 10'000}};
  DatasetService datasets_{dataset_store_, blobs_, formats_, clock_};
};

TEST_F(SampleServiceTest, AnUploadKeepsItsBytesAndItsCanonicalForm) {
  const std::string csv = CsvFile(3);
  UploadSpec spec = Spec();
  spec.split = Split::kTesting;
  spec.labels = {{0, -1, "idle"}};
  spec.metadata = {{"site", "hall 3"}};
  const auto stored = Upload(spec, csv);
  ASSERT_THAT(stored, IsOk());
  const Sample& sample = stored->sample;
  EXPECT_FALSE(stored->existed);
  EXPECT_EQ(sample.digest, ToHex(Sha256Of(csv)));
  EXPECT_EQ(sample.id, sample.digest.substr(0, 32));
  EXPECT_EQ(sample.readings, 3);
  EXPECT_EQ(sample.frequency_hz, 100);
  EXPECT_EQ(sample.split, Split::kTesting);
  EXPECT_THAT(sample.labels, ElementsAre(LabelRange{0, 2, "idle"}));
  EXPECT_EQ(Download(sample.id, false), csv);
  EXPECT_THAT(FloatsOf(Download(sample.id, true)), ElementsAre(0, 0, 1, -1, 2, -2));
  EXPECT_EQ(observer_.stored(), 1);
  EXPECT_EQ(observer_.bytes(), static_cast<std::int64_t>(csv.size()));
}

TEST_F(SampleServiceTest, TheCanonicalFormOfAWavFileIsMadeFromItAndNotStored) {
  const std::string wav = WavFile(1, 16000, {1, -2, 3});
  const auto stored = Upload(Spec("a.wav"), wav);
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->sample.canonical_digest, "");
  EXPECT_THAT(FloatsOf(Download(stored->sample.id, true)), ElementsAre(1, -2, 3));
  EXPECT_EQ(Download(stored->sample.id, false), wav);
  blobs_.Damage(stored->sample.digest);
  EXPECT_THAT(samples_.Download("motor", stored->sample.id, true, 1024,
                                [](absl::string_view) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SampleServiceTest, AFileThatIsItsCanonicalFormIsStoredOnce) {
  UploadSpec spec = Spec("a.f32");
  spec.format = SampleFormat::kF32;
  spec.axes = {"x"};
  spec.frequency_hz = 100;
  const std::vector<float> values = {1, 2, 4};
  const auto stored = Upload(spec, std::string(CanonicalBytes(values)));
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->sample.canonical_digest, stored->sample.digest);
  EXPECT_THAT(FloatsOf(Download(stored->sample.id, true)), ElementsAre(1, 2, 4));
}

TEST_F(SampleServiceTest, ARepeatReturnsTheSampleThatIsThere) {
  const auto first = Upload(Spec(), CsvFile(3));
  const auto second = Upload(Spec("other.csv"), CsvFile(3));
  ASSERT_THAT(second, IsOk());
  EXPECT_TRUE(second->existed);
  EXPECT_EQ(second->sample, first->sample);
  EXPECT_EQ(observer_.stored(), 1);
}

TEST_F(SampleServiceTest, ARepeatIsRefusedWhenTheCallerWantsIt) {
  const auto first = Upload(Spec(), CsvFile(3));
  UploadSpec spec = Spec("other.csv");
  spec.disallow_duplicates = true;
  const auto second = Upload(spec, CsvFile(3));
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(first->sample.id));
  EXPECT_THAT(observer_.refused(), ElementsAre(Pair(RefusalReason::kDuplicate, 1)));
}

TEST_F(SampleServiceTest, AMalformedFileLeavesNothingBehind) {
  const auto stored = Upload(Spec(), "timestamp,x\n0,1\n10,oops\n");
  EXPECT_THAT(stored, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(blobs_.size(), 0U);
  EXPECT_EQ(samples_.Count("motor", {})->total, 0);
  EXPECT_THAT(observer_.refused(), ElementsAre(Pair(RefusalReason::kMalformed, 1)));
}

TEST_F(SampleServiceTest, AnUploadThatIsNotFinishedLeavesNothingBehind) {
  {
    auto upload = samples_.BeginUpload(Spec());
    ASSERT_THAT((*upload)->Append(CsvFile(3)), IsOk());
  }
  EXPECT_EQ(blobs_.size(), 0U);
  EXPECT_EQ(samples_.Count("motor", {})->total, 0);
}

TEST_F(SampleServiceTest, AFullDiskRefusesAndTheSameUploadWorksLater) {
  blobs_.set_full(true);
  EXPECT_THAT(Upload(Spec(), CsvFile(3)), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(samples_.RecordDeviceSample(FromDevice({1, 2, 3, 4}, 1)),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(observer_.refused(), ElementsAre(Pair(RefusalReason::kStorageFull, 2)));
  EXPECT_EQ(samples_.Count("motor", {})->total, 0);
  blobs_.set_full(false);
  EXPECT_THAT(Upload(Spec(), CsvFile(3)), IsOk());
  EXPECT_THAT(samples_.RecordDeviceSample(FromDevice({1, 2, 3, 4}, 1)), IsOk());
}

TEST_F(SampleServiceTest, ALargeFileIsRefusedBeforeItIsWhole) {
  auto upload = samples_.BeginUpload(Spec());
  ASSERT_THAT((*upload)->Append(std::string(10'000, '0')), IsOk());
  const absl::Status status = (*upload)->Append("0");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(status), "FILE_TOO_LARGE");
  EXPECT_THAT(observer_.refused(), ElementsAre(Pair(RefusalReason::kTooLarge, 1)));
}

TEST_F(SampleServiceTest, UploadsTogetherKeepWithinTheirMemory) {
  auto first = samples_.BeginUpload(Spec());
  auto second = samples_.BeginUpload(Spec());
  auto third = samples_.BeginUpload(Spec());
  ASSERT_THAT((*first)->Append(std::string(5'000, '0')), IsOk());
  ASSERT_THAT((*second)->Append(std::string(5'000, '0')), IsOk());
  const absl::Status busy = (*third)->Append("0");
  EXPECT_THAT(busy, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(busy), "UPLOADS_BUSY");
  first->reset();
  EXPECT_THAT((*third)->Append("0"), IsOk());
}

TEST_F(SampleServiceTest, ALargeFileGoesThroughTheSpoolAndItsBytesComeBack) {
  const std::string csv = CsvFile(500);
  ASSERT_GT(csv.size(), 5'000U);
  auto upload = samples_.BeginUpload(Spec());
  ASSERT_THAT(upload, IsOk());
  for (std::size_t at = 0; at < csv.size(); at += 700) {
    ASSERT_THAT((*upload)->Append(absl::string_view(csv).substr(at, 700)), IsOk());
  }
  const auto stored = (*upload)->Finish();
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->sample.digest, ToHex(Sha256Of(csv)));
  EXPECT_EQ(Download(stored->sample.id, false), csv);
}

TEST_F(SampleServiceTest, ABrokenUploadGoesOnWhereItsBytesEnd) {
  const std::string csv = CsvFile(500);
  const UploadKey key{.project = "motor", .upload_id = "tape-1"};
  UploadSpec spec = Spec();
  spec.upload_id = key.upload_id;
  spec.size_bytes = static_cast<std::int64_t>(csv.size());
  EXPECT_THAT(samples_.FindUpload(key), StatusIs(absl::StatusCode::kNotFound));
  {
    auto upload = samples_.BeginUpload(spec);
    ASSERT_THAT(upload, IsOk());
    ASSERT_THAT((*upload)->Append(csv.substr(0, 1000)), IsOk());
    const auto early = (*upload)->Finish();
    EXPECT_EQ(ReasonOf(early.status()), "UPLOAD_INCOMPLETE");
  }
  EXPECT_EQ(samples_.FindUpload(key)->safe_bytes, 1000);
  EXPECT_EQ(ReasonOf(samples_.BeginUpload(spec).status()), "OFFSET_MISMATCH");
  spec.offset = 1000;
  auto upload = samples_.BeginUpload(spec);
  ASSERT_THAT(upload, IsOk());
  ASSERT_THAT((*upload)->Append(csv.substr(1000)), IsOk());
  EXPECT_THAT((*upload)->Append("0"), StatusIs(absl::StatusCode::kInvalidArgument));
  // A full disk keeps the bytes: a repeat needs to send none.
  blobs_.set_full(true);
  EXPECT_THAT((*upload)->Finish(), StatusIs(absl::StatusCode::kResourceExhausted));
  blobs_.set_full(false);
  upload->reset();
  spec.offset = spec.size_bytes;
  upload = samples_.BeginUpload(spec);
  ASSERT_THAT(upload, IsOk());
  const auto stored = (*upload)->Finish();
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(Download(stored->sample.id, false), csv);
  EXPECT_THAT(samples_.FindUpload(key), StatusIs(absl::StatusCode::kNotFound));
  // Repeated after its end, it brings no double.
  spec.offset = 0;
  upload = samples_.BeginUpload(spec);
  ASSERT_THAT((*upload)->Append(csv), IsOk());
  EXPECT_TRUE((*upload)->Finish()->existed);
  EXPECT_EQ(samples_.Count("motor", {})->total, 1);
}

TEST_F(SampleServiceTest, WhatIsWrongWithAResumableUploadIsSaidBeforeAnyByte) {
  UploadSpec spec = Spec();
  spec.upload_id = "a/b";
  spec.size_bytes = 10;
  EXPECT_THAT(samples_.BeginUpload(spec), StatusIs(absl::StatusCode::kInvalidArgument));
  spec.upload_id = "a";
  for (const auto& [size, offset] : {std::pair{0, 0}, std::pair{10, -1}, std::pair{10, 11}}) {
    spec.size_bytes = size;
    spec.offset = offset;
    EXPECT_THAT(samples_.BeginUpload(spec), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  spec.offset = 0;
  spec.size_bytes = 10'001;
  EXPECT_EQ(ReasonOf(samples_.BeginUpload(spec).status()), "FILE_TOO_LARGE");
}

TEST_F(SampleServiceTest, WhatIsWrongWithASpecIsSaidBeforeAnyByte) {
  const auto refusal = [this](UploadSpec spec) {
    const auto upload = samples_.BeginUpload(std::move(spec));
    EXPECT_THAT(upload, StatusIs(absl::StatusCode::kInvalidArgument));
    return std::string(upload.status().message());
  };
  EXPECT_THAT(refusal(Spec("")), HasSubstr("file_name: got 0 bytes"));
  EXPECT_THAT(refusal(Spec(std::string(197, 'a') + ".csv")), HasSubstr("file_name: got 201"));
  EXPECT_THAT(refusal(Spec("a.png")), HasSubstr("file_name: got \"a.png\""));
  UploadSpec spec = Spec();
  spec.format = SampleFormat::kF32;
  EXPECT_THAT(refusal(spec), HasSubstr("axes"));
  spec.axes = {"x"};
  EXPECT_THAT(refusal(spec), HasSubstr("frequency_hz: got 0"));
  spec = Spec();
  spec.axes = {"x"};
  EXPECT_THAT(refusal(spec), HasSubstr("axes and frequency_hz: want nothing"));
  spec = Spec();
  spec.labels = {{5, 4, "idle"}};
  EXPECT_THAT(refusal(spec), HasSubstr("labels[0].end_reading"));
  spec = Spec();
  spec.metadata = {{std::string(40, 'k'), ""}};
  EXPECT_THAT(refusal(spec), HasSubstr("metadata"));
}

TEST_F(SampleServiceTest, BareNumbersAreUploadedWithTheirAxesAndRate) {
  UploadSpec spec = Spec("d1.7.f32");
  spec.format = SampleFormat::kF32;
  spec.axes = {"x", "y"};
  spec.frequency_hz = 50;
  const std::string bytes = FloatBytes({1, 2, 3, 4, 5, 6});
  const auto stored = Upload(spec, bytes);
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->sample.readings, 3);
  EXPECT_EQ(stored->sample.frequency_hz, 50);
  EXPECT_THAT(stored->sample.axes, ElementsAre("x", "y"));
  EXPECT_EQ(Download(stored->sample.id, true), bytes);
  EXPECT_THAT(Upload(spec, bytes.substr(1)), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SampleServiceTest, ALabelOutsideTheFileRefusesTheUpload) {
  UploadSpec spec = Spec();
  spec.labels = {{0, 3, "idle"}};
  const auto stored = Upload(spec, CsvFile(3));
  EXPECT_THAT(stored, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(stored.status().message()), HasSubstr("labels[0].end_reading: got 3"));
  EXPECT_EQ(blobs_.size(), 0U);
}

TEST_F(SampleServiceTest, SamplesWithTheSameValueOfTheSplitKeyStayTogether) {
  const auto side = [this](const std::string& person, int seed) {
    UploadSpec spec = Spec();
    spec.split_key = "person";
    spec.metadata = {{"person", person}};
    const auto stored = Upload(spec, CsvFile(3, seed));
    EXPECT_THAT(stored, IsOk());
    return stored->sample.split;
  };
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(side("p" + std::to_string(i), i), Split::kTraining);
  }
  EXPECT_EQ(side("p4", 4), Split::kTesting);
  EXPECT_EQ(side("p4", 5), Split::kTesting);
  EXPECT_EQ(side("p0", 6), Split::kTraining);
}

TEST_F(SampleServiceTest, ASplitKeyThatTheMetadataLacksIsRefused) {
  UploadSpec spec = Spec();
  spec.split_key = "person";
  EXPECT_THAT(Upload(spec, CsvFile(3)), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SampleServiceTest, ASignedFileIsCheckedWithTheKeyOfItsProject) {
  const std::string json = R"({"protected":{"ver":"v1","alg":"HS256"},"signature":")" +
                           std::string(64, 'a') +
                           R"(","payload":{"device_name":"n1","device_type":"T","interval_ms":10,)"
                           R"("sensors":[{"name":"x"}],"values":[1,2]}})";
  UploadSpec spec = Spec("a.json");
  spec.split_key = "device_name";
  Set({.project = "motor", .signature_key = "secret"});
  EXPECT_THAT(Upload(spec, json)->sample.flags, ElementsAre("signature-invalid"));
  spec.project = "pump";
  const auto other = Upload(spec, json);
  ASSERT_THAT(other, IsOk());
  EXPECT_THAT(other->sample.flags, ElementsAre("signature-unchecked"));
  EXPECT_THAT(other->sample.metadata,
              ElementsAre(Pair("device_name", "n1"), Pair("device_type", "T")));
}

TEST_F(SampleServiceTest, AStrictProjectRefusesWhatIsNotSignedWithItsKey) {
  Set({.project = "motor", .strict_signatures = true, .signature_key = "secret"});
  const auto document = [](absl::string_view algorithm) {
    return absl::StrCat(R"({"protected":{"ver":"v1","alg":")", algorithm, R"("},"signature":")",
                        std::string(64, '0'),
                        R"(","payload":{"device_type":"T","interval_ms":10,)"
                        R"("sensors":[{"name":"x"}],"values":[1,2]}})");
  };
  const auto invalid = Upload(Spec("a.json"), document("HS256"));
  EXPECT_THAT(invalid, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(invalid.status().message()), HasSubstr("signature: got one that"));
  const auto missing = Upload(Spec("a.json"), document("none"));
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("protected.alg: got \"none\""));
  std::string good = document("HS256");
  good.replace(good.find(std::string(64, '0')), 64, ToHex(HmacSha256("secret", good)));
  EXPECT_THAT(Upload(Spec("a.json"), good), IsOk());
  EXPECT_THAT(Upload(Spec("a.csv"), CsvFile(3)), IsOk());  // Only that format has signatures.
  EXPECT_EQ(observer_.refused()[RefusalReason::kMalformed], 2);
}

TEST_F(SampleServiceTest, TheProjectsSettingsDecideUnitsLengthAndRate) {
  Set({.project = "motor",
       .frequency_hz = 50,
       .units = {{"*", "m/s2"}, {"y", "rad/s"}},
       .min_seconds = 0.1,
       .max_seconds = 0.2});
  const auto document = [](int readings) {
    std::string values;
    for (int i = 0; i < readings; ++i) {
      absl::StrAppend(&values, i == 0 ? "" : ",", "[", i, ",", i, ",", i, "]");
    }
    return absl::StrCat(
        R"({"protected":{"ver":"v1","alg":"none"},"signature":"00","payload":{)",
        R"("device_type":"T","interval_ms":10,"sensors":[{"name":"x","units":"g"},)",
        R"({"name":"y","units":"rad/s"},{"name":"z"}],"values":[)", values, "]}}");
  };
  const auto small = Upload(Spec("a.json"), document(9));
  ASSERT_THAT(small, IsOk());
  EXPECT_THAT(small->sample.flags, ElementsAre("short", "units", "units:x"));
  EXPECT_THAT(small->sample.units, ElementsAre("g", "rad/s", ""));
  EXPECT_EQ(small->sample.frequency_hz, 100);
  EXPECT_THAT(Upload(Spec("a.json"), document(20))->sample.flags, ElementsAre("units", "units:x"));
  EXPECT_THAT(Upload(Spec("a.json"), document(21))->sample.flags,
              ElementsAre("long", "units", "units:x"));
  const auto uneven = Upload(Spec("a.csv"), "timestamp,x\n0,0\n10,1\n20,2\n30,3\n60,6\n100,10\n");
  ASSERT_THAT(uneven, IsOk());
  EXPECT_EQ(uneven->sample.frequency_hz, 50);
  EXPECT_EQ(uneven->sample.resampling, "linear from irregular timestamps, median 10 ms, to 50 Hz");
}

TEST_F(SampleServiceTest, TheProjectsSplitKeyHoldsWhereTheMetadataHasIt) {
  Set({.project = "motor", .split_key = "person"});
  UploadSpec spec = Spec();
  spec.metadata = {{"person", "s01"}};
  EXPECT_EQ(Upload(spec, CsvFile(3))->sample.split_group, "person=s01");
  EXPECT_EQ(Upload(Spec(), CsvFile(4))->sample.split_group, "");
  spec.split = Split::kTesting;
  EXPECT_EQ(Upload(spec, CsvFile(5))->sample.split_group, "");
}

TEST_F(SampleServiceTest, LabelsOfTheCallerWinOverThoseOfTheFileAndThoseOverTheFallback) {
  const std::string labelled = "timestamp,x,label\n0,1,up\n10,2,up\n20,3,\n";
  UploadSpec spec = Spec();
  spec.fallback_label = "name";
  EXPECT_THAT(Upload(spec, labelled)->sample.labels, ElementsAre(LabelRange{0, 1, "up"}));
  EXPECT_THAT(Upload(spec, CsvFile(3))->sample.labels, ElementsAre(LabelRange{0, 2, "name"}));
  spec.labels = {{0, -1, "mine"}};
  EXPECT_THAT(Upload(spec, labelled + "30,4,\n")->sample.labels,
              ElementsAre(LabelRange{0, 3, "mine"}));
}

TEST_F(SampleServiceTest, AStuckSensorIsFlagged) {
  EXPECT_THAT(Upload(Spec(), "timestamp,x\n0,5\n10,5\n20,5\n")->sample.flags,
              ElementsAre("flat", "flat:x"));
}

TEST_F(SampleServiceTest, MissingValuesOfADeviceAreFlaggedAndFilledInTheCanonicalForm) {
  const DeviceRecording recording = FromDevice({1, 2, std::nanf(""), 4, 5, 6}, 1);
  const auto sample = samples_.RecordDeviceSample(recording);
  ASSERT_THAT(sample, IsOk());
  EXPECT_THAT(sample->flags, ElementsAre("nan", "nan:x"));
  EXPECT_EQ(Download(sample->id, false), recording.payload);
  EXPECT_THAT(FloatsOf(Download(sample->id, true)), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(SampleServiceTest, ADevicesRecordingIsItsOwnCanonicalForm) {
  const auto sample = samples_.RecordDeviceSample(FromDevice({1, 2, 3, 4}, 9));
  ASSERT_THAT(sample, IsOk());
  EXPECT_EQ(sample->format, SampleFormat::kF32);
  EXPECT_EQ(sample->source, SampleSource::kDevice);
  EXPECT_EQ(sample->readings, 2);
  EXPECT_EQ(sample->file_name, "d1.9.f32");
  EXPECT_EQ(sample->canonical_digest, sample->digest);
  EXPECT_THAT(sample->metadata, ElementsAre(Pair("site", "hall 3")));
  EXPECT_EQ(Download(sample->id, true), FloatBytes({1, 2, 3, 4}));
  EXPECT_EQ(blobs_.size(), 1U);
}

TEST_F(SampleServiceTest, ADevicesRepeatIsStoredOnceByNumberAndByContent) {
  const auto first = samples_.RecordDeviceSample(FromDevice({1, 2, 3, 4}, 1));
  EXPECT_EQ(samples_.RecordDeviceSample(FromDevice({1, 2, 3, 4}, 1))->id, first->id);
  EXPECT_EQ(samples_.RecordDeviceSample(FromDevice({1, 2, 3, 4}, 2))->id, first->id);
  EXPECT_EQ(samples_.RecordDeviceSample(FromDevice({9, 9, 9, 9}, 1))->id, first->id);
  EXPECT_NE(samples_.RecordDeviceSample(FromDevice({9, 9, 9, 9}, 3))->id, first->id);
  EXPECT_EQ(samples_.Count("motor", {})->total, 2);
  EXPECT_EQ(observer_.stored(), 2);
}

TEST_F(SampleServiceTest, EveryFifthDeviceIsForTesting) {
  std::string sides;
  for (int i = 0; i < 10; ++i) {
    const auto sample = samples_.RecordDeviceSample(
        FromDevice({static_cast<float>(i), 0}, 1, "d" + std::to_string(i)));
    sides += sample->split == Split::kTesting ? 'T' : '.';
  }
  EXPECT_EQ(sides, "....T....T");
}

TEST_F(SampleServiceTest, WhatIsWrongWithADevicesRecordingIsNamed) {
  const auto refusal = [this](const DeviceRecording& recording) {
    const auto sample = samples_.RecordDeviceSample(recording);
    EXPECT_THAT(sample, StatusIs(absl::StatusCode::kInvalidArgument));
    return std::string(sample.status().message());
  };
  const DeviceRecording good = FromDevice({1, 2, 3, 4}, 1);
  DeviceRecording bad = good;
  bad.payload.pop_back();
  EXPECT_THAT(refusal(bad), HasSubstr("payload: got 15 bytes, want a multiple of 8"));
  bad = good;
  bad.payload.clear();
  EXPECT_THAT(refusal(bad), HasSubstr("payload: got 0 bytes"));
  bad = good;
  bad.frequency_hz = 0;
  EXPECT_THAT(refusal(bad), HasSubstr("frequency_hz: got 0"));
  bad = good;
  bad.axes = {"x", "x"};
  EXPECT_THAT(refusal(bad), HasSubstr("axes[1]"));
  bad = good;
  bad.device.device = "projects/pump/devices/d1";
  EXPECT_THAT(refusal(bad), HasSubstr("device.device"));
  bad = good;
  bad.device.probability = 1.5;
  EXPECT_THAT(refusal(bad), HasSubstr("device.probability: got 1.5"));
  bad = good;
  bad.device.model_digest = "abc";
  EXPECT_THAT(refusal(bad), HasSubstr("device.model_digest"));
  bad = good;
  bad.payload = std::string((1 << 20) + 8, '\0');
  EXPECT_THAT(refusal(bad), HasSubstr("at most 1048576"));
}

TEST_F(SampleServiceTest, LabelsAreAddedOneByOneAndRefusalsSayWhy) {
  const Sample sample = Upload(Spec(), CsvFile(10))->sample;
  const auto label = [&](std::vector<LabelRange> ranges, const std::string& id) {
    Label made;
    made.project = "motor";
    made.sample_id = id;
    made.ranges = std::move(ranges);
    return made;
  };
  const auto result = samples_.AddLabels(
      {label({{0, 5, "a"}, {5, 9, "b"}}, sample.id), label({{0, -1, "wave"}}, sample.id),
       label({{0, -1, "wave"}}, std::string(32, '0')), label({{0, 10, "wave"}}, sample.id)},
      "apiTokens/b");
  ASSERT_THAT(result, IsOk());
  ASSERT_EQ(result->labels.size(), 1U);
  EXPECT_EQ(result->labels[0].source, "person");
  EXPECT_EQ(result->labels[0].author, "apiTokens/b");
  EXPECT_EQ(result->labels[0].create_time, clock_.Now());
  ASSERT_EQ(result->refusals.size(), 3U);
  EXPECT_EQ(result->refusals[0].index, 0);
  EXPECT_THAT(result->refusals[0].message, HasSubstr("ranges[1].start_reading"));
  EXPECT_EQ(result->refusals[1].index, 2);
  EXPECT_THAT(result->refusals[1].message, HasSubstr("no sample"));
  EXPECT_EQ(result->refusals[2].index, 3);
  EXPECT_THAT(result->refusals[2].message, HasSubstr("ranges[0].end_reading: got 10"));
  EXPECT_THAT(samples_.AddLabels({}, "x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SampleServiceTest, AVersionIsExportedInTheOrderOfItsDigest) {
  for (int i = 0; i < 3; ++i) {
    UploadSpec spec = Spec();
    spec.labels = {{0, -1, "idle"}};
    ASSERT_THAT(Upload(spec, CsvFile(5, i)), IsOk());
  }
  ASSERT_THAT(datasets_.Create({.project = "motor", .id = "all", .filter = {}, .create_time = {}}),
              IsOk());
  ASSERT_THAT(datasets_.CreateVersion("motor", "all"), IsOk());
  std::vector<Sample> samples;
  std::vector<std::string> contents;
  ASSERT_THAT(datasets_.Export("motor", "all", 1, {.piece_bytes = 16},
                               [&](const Sample* sample, absl::string_view piece) {
                                 if (sample != nullptr) {
                                   samples.push_back(*sample);
                                   contents.emplace_back();
                                 }
                                 contents.back().append(piece.data(), piece.size());
                                 return absl::OkStatus();
                               }),
              IsOk());
  ASSERT_EQ(samples.size(), 3U);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(ToHex(Sha256Of(contents[i])), samples[i].canonical_digest);
    EXPECT_TRUE(i == 0 || samples[i - 1].digest < samples[i].digest);
  }
}

TEST_F(SampleServiceTest, OneSideOfAVersionIsExportedAndWithoutItsData) {
  for (int i = 0; i < 3; ++i) {
    UploadSpec spec = Spec();
    spec.labels = {{0, -1, "idle"}};
    spec.split = i == 0 ? Split::kTesting : Split::kTraining;
    ASSERT_THAT(Upload(spec, CsvFile(5, i)), IsOk());
  }
  ASSERT_THAT(datasets_.Create({.project = "motor", .id = "all", .filter = {}, .create_time = {}}),
              IsOk());
  ASSERT_THAT(datasets_.CreateVersion("motor", "all"), IsOk());
  for (const auto& [split, want] : {std::pair(Split::kTesting, 1), std::pair(Split::kTraining, 2),
                                    std::pair(Split::kUnspecified, 3)}) {
    int samples = 0;
    EXPECT_THAT(
        datasets_.Export("motor", "all", 1, {.split = split, .with_data = false},
                         [&, only = split](const Sample* sample, absl::string_view piece) {
                           EXPECT_NE(sample, nullptr);
                           EXPECT_TRUE(only == Split::kUnspecified || sample->split == only);
                           EXPECT_EQ(piece, "");
                           ++samples;
                           return absl::OkStatus();
                         }),
        IsOk());
    EXPECT_EQ(samples, want);
  }
}

TEST_F(SampleServiceTest, ChangedBytesAreDataLossInDownloadAndExport) {
  UploadSpec spec = Spec();
  spec.labels = {{0, -1, "idle"}};
  const Sample sample = Upload(spec, CsvFile(5))->sample;
  ASSERT_THAT(datasets_.Create({.project = "motor", .id = "all", .filter = {}, .create_time = {}}),
              IsOk());
  ASSERT_THAT(datasets_.CreateVersion("motor", "all"), IsOk());
  blobs_.Damage(sample.canonical_digest);
  EXPECT_THAT(samples_.Download("motor", sample.id, true, 16,
                                [](absl::string_view) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(datasets_.Export("motor", "all", 1, {.piece_bytes = 16},
                               [](const Sample*, absl::string_view) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace fieldloop::ingestion
