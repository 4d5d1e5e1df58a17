// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/grpc_dataset_source.h"

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using Message = ingestion::v1::ExportDatasetVersionResponse;

// Streams what a test gave it.
class FakeIngestion final : public ingestion::v1::IngestionService::Service {
 public:
  grpc::Status GetDatasetVersion(grpc::ServerContext* /*context*/,
                                 const ingestion::v1::GetDatasetVersionRequest* request,
                                 ingestion::v1::GetDatasetVersionResponse* response) override {
    if (request->name() != "projects/motor/datasets/d/versions/1") {
      return {grpc::StatusCode::NOT_FOUND, "no such version"};
    }
    response->mutable_dataset_version()->set_digest("abc");
    response->mutable_dataset_version()->set_sample_count(2);
    return grpc::Status::OK;
  }

  grpc::Status ExportDatasetVersion(grpc::ServerContext* context,
                                    const ingestion::v1::ExportDatasetVersionRequest* request,
                                    grpc::ServerWriter<Message>* writer) override {
    asked = *request;
    for (const Message& message : messages) {
      writer->Write(message);
    }
    while (endless && !context->IsCancelled()) {
      writer->Write(messages.back());
    }
    return end;
  }

  ingestion::v1::ExportDatasetVersionRequest asked;
  std::vector<Message> messages;
  grpc::Status end;
  bool endless = false;
};

class GrpcDatasetSourceTest : public ::testing::Test {
 protected:
  GrpcDatasetSourceTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&ingestion_);
    server_ = builder.BuildAndStart();
    source_ = std::make_unique<GrpcDatasetSource>(server_->InProcessChannel({}));
    Message& first = Add();
    ingestion::v1::Sample& sample = *first.mutable_sample();
    sample.set_name("projects/motor/samples/a");
    sample.set_digest("da");
    sample.add_axes("x");
    sample.add_axes("y");
    sample.set_readings(2);
    sample.set_frequency_hz(50);
    sample.set_split(ingestion::v1::SPLIT_TESTING);
    sample.set_source(ingestion::v1::SAMPLE_SOURCE_DEVICE);
    sample.mutable_device()->set_device("projects/motor/devices/d");
    (*sample.mutable_metadata())["wearer"] = "ann";
    ingestion::v1::LabelRange& range = *sample.add_labels();
    range.set_end_reading(-1);
    range.set_label("walk");
  }

  Message& Add() { return ingestion_.messages.emplace_back(); }

  absl::Status Export() {
    samples_.clear();
    return source_->Export("projects/motor/datasets/d/versions/1", stop_.get_token(),
                           [this](const SourceSample& sample) {
                             samples_.push_back(sample);
                             return absl::OkStatus();
                           });
  }

  static std::string Floats(const std::vector<float>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  }

  FakeIngestion ingestion_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GrpcDatasetSource> source_;
  std::stop_source stop_;
  std::vector<SourceSample> samples_;
};

TEST_F(GrpcDatasetSourceTest, TheTestingSideIsAskedForByItself) {
  ingestion_.messages[0].set_data(Floats({1, 2, 3, 4}));
  ASSERT_THAT(Export(), IsOk());
  EXPECT_EQ(ingestion_.asked.split(), ingestion::v1::SPLIT_UNSPECIFIED);
  int samples = 0;
  ASSERT_THAT(source_->ExportTesting("projects/motor/datasets/d/versions/1", stop_.get_token(),
                                     [&](const SourceSample& /*sample*/) {
                                       ++samples;
                                       return absl::OkStatus();
                                     }),
              IsOk());
  EXPECT_EQ(samples, 1);
  EXPECT_EQ(ingestion_.asked.name(), "projects/motor/datasets/d/versions/1");
  EXPECT_EQ(ingestion_.asked.split(), ingestion::v1::SPLIT_TESTING);
}

TEST_F(GrpcDatasetSourceTest, SamplesArePutTogetherFromPieces) {
  const std::string data = Floats({1, 2, 3, 4});
  ingestion_.messages[0].set_data(data.substr(0, 3));
  Add().set_data(data.substr(3, 6));
  Add().set_data(data.substr(9));
  ingestion::v1::Sample& second = *Add().mutable_sample();
  second.set_name("projects/motor/samples/b");
  second.add_axes("x");
  second.set_split(ingestion::v1::SPLIT_TRAINING);
  ASSERT_THAT(Export(), IsOk());
  ASSERT_EQ(samples_.size(), 2U);
  EXPECT_THAT(samples_[0].values, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(samples_[0].axes, ElementsAre("x", "y"));
  EXPECT_TRUE(samples_[0].testing);
  EXPECT_TRUE(samples_[0].from_device);
  EXPECT_EQ(samples_[0].device, "projects/motor/devices/d");
  EXPECT_EQ(samples_[0].metadata.at("wearer"), "ann");
  EXPECT_EQ(samples_[0].labels[0].end, -1);
  EXPECT_EQ(samples_[0].labels[0].label, "walk");
  EXPECT_FALSE(samples_[1].testing);
  EXPECT_TRUE(samples_[1].values.empty());
}

TEST_F(GrpcDatasetSourceTest, ASampleWithMissingOrExtraDataIsDataLoss) {
  ingestion_.messages[0].set_data(Floats({1, 2, 3}));
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kDataLoss));
  ingestion_.messages[0].set_data(Floats({1, 2, 3, 4, 5}));
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_TRUE(samples_.empty());
}

TEST_F(GrpcDatasetSourceTest, ASampleLargerThanMemoryAllowsIsRefusedBeforeItsData) {
  ingestion_.messages[0].mutable_sample()->set_readings(std::int64_t{1} << 40);
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(GrpcDatasetSourceTest, AStreamThatBreaksGivesItsErrorNotAShorterDataset) {
  ingestion_.messages[0].set_data(Floats({1, 2, 3, 4}));
  ingestion_.end = {grpc::StatusCode::UNAVAILABLE, "restarts"};
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GrpcDatasetSourceTest, TheErrorOfTheSinkEndsTheStream) {
  ingestion_.messages[0].set_data(Floats({1, 2, 3, 4}));
  ingestion_.endless = true;
  const Message again = ingestion_.messages[0];
  Add() = again;
  EXPECT_THAT(source_->Export("projects/motor/datasets/d/versions/1", stop_.get_token(),
                              [](const SourceSample&) { return absl::AbortedError("enough"); }),
              StatusIs(absl::StatusCode::kAborted));
}

TEST_F(GrpcDatasetSourceTest, AStopEndsTheStream) {
  ingestion_.messages[0].set_data(Floats({1, 2, 3, 4}));
  ingestion_.endless = true;
  EXPECT_THAT(source_->Export("projects/motor/datasets/d/versions/1", stop_.get_token(),
                              [this](const SourceSample&) {
                                stop_.request_stop();
                                return absl::OkStatus();
                              }),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(GrpcDatasetSourceTest, AVersionIsKnownByItsName) {
  const auto version = source_->GetVersion("projects/motor/datasets/d/versions/1");
  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->digest, "abc");
  EXPECT_EQ(version->sample_count, 2);
  EXPECT_THAT(source_->GetVersion("projects/motor/datasets/d/versions/2"),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace fieldloop::build
