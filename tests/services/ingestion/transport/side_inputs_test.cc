// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include "services/ingestion/transport/structured_labels.h"
#include "services/ingestion/transport/upload_metrics.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(StructuredLabelsTest, RangesAreReadByFile) {
  const auto labels = ParseStructuredLabels(
      R"({"version":1,"type":"structured-labels","structuredLabels":{"a.wav":[)"
      R"({"startIndex":0,"endIndex":9,"label":"up"}],"b.wav":[]}})");
  ASSERT_THAT(labels, IsOk());
  EXPECT_THAT(labels->at("a.wav"), ElementsAre(LabelRange{0, 9, "up"}));
  EXPECT_TRUE(labels->at("b.wav").empty());
}

TEST(StructuredLabelsTest, WhatIsWrongIsNamed) {
  const auto error = [](const char* text) {
    const auto labels = ParseStructuredLabels(text);
    EXPECT_THAT(labels, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
    return std::string(labels.status().message());
  };
  EXPECT_THAT(error("nonsense"), HasSubstr("document"));
  EXPECT_THAT(error("[]"), HasSubstr("document"));
  EXPECT_THAT(error(R"({"version":2})"), HasSubstr("version: want 1"));
  EXPECT_THAT(error(R"({"version":1,"type":"x"})"), HasSubstr("type"));
  EXPECT_THAT(error(R"({"version":1,"type":"structured-labels"})"), HasSubstr("structuredLabels"));
  const auto with = [&](const std::string& range) {
    return error(
        (R"({"version":1,"type":"structured-labels","structuredLabels":{"a":)" + range + "}}")
            .c_str());
  };
  EXPECT_THAT(with("{}"), HasSubstr("structuredLabels[\"a\"]: want an array"));
  EXPECT_THAT(with("[1]"), HasSubstr("[0]: want an object"));
  EXPECT_THAT(with(R"([{"startIndex":0.5}])"), HasSubstr("[0].startIndex"));
  EXPECT_THAT(with(R"([{"startIndex":0,"endIndex":"1"}])"), HasSubstr("[0].endIndex"));
  EXPECT_THAT(with(R"([{"startIndex":0,"endIndex":1,"label":3}])"), HasSubstr("[0].label"));
}

TEST(UploadMetricsTest, EverySeriesExistsFromTheStartAndCounts) {
  prometheus::Registry registry;
  UploadMetrics metrics(registry);
  const auto value = [&registry](const std::string& name, const std::string& label_value) {
    double sum = -1;
    for (const auto& family : registry.Collect()) {
      for (const auto& metric : family.metric) {
        for (const auto& label : metric.label) {
          if (family.name == name && label.value == label_value) {
            sum = std::max(sum, 0.0) + metric.counter.value;
          }
        }
      }
    }
    return sum;
  };
  for (const char* reason :
       {"malformed", "too_large", "duplicate", "busy", "storage_full", "unavailable"}) {
    EXPECT_EQ(value("fieldloop_ingestion_refused_uploads_total", reason), 0) << reason;
  }
  metrics.SampleStored(SampleSource::kUpload, SampleFormat::kWav, 100);
  metrics.SampleStored(SampleSource::kUpload, SampleFormat::kCbor, 0);
  metrics.SampleStored(SampleSource::kDevice, SampleFormat::kF32, 7);
  metrics.SampleStored(SampleSource::kUpload, SampleFormat::kF32, 0);
  metrics.UploadRefused(RefusalReason::kBusy);
  EXPECT_EQ(value("fieldloop_ingestion_samples_total", "wav"), 1);
  EXPECT_EQ(value("fieldloop_ingestion_samples_total", "cbor"), 1);
  EXPECT_EQ(value("fieldloop_ingestion_samples_total", "f32"), 2);
  EXPECT_EQ(value("fieldloop_ingestion_samples_total", "csv"), 0);
  EXPECT_EQ(value("fieldloop_ingestion_sample_bytes_total", "upload"), 100);
  EXPECT_EQ(value("fieldloop_ingestion_sample_bytes_total", "device"), 7);
  EXPECT_EQ(value("fieldloop_ingestion_refused_uploads_total", "busy"), 1);
}

}  // namespace
}  // namespace fieldloop::ingestion
