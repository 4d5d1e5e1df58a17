// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/transport/clients.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fieldloop/build/v1/build_service_mock.grpc.pb.h>
#include <fieldloop/distribution/v1/distribution_service_mock.grpc.pb.h>
#include <fieldloop/ingestion/v1/ingestion_service_mock.grpc.pb.h>
#include <gmock/gmock.h>
#include <grpcpp/test/mock_stream.h>
#include <gtest/gtest.h>

#include "services/common/grpc/grpc_status.h"
#include "services/common/status/error_reason.h"
#include "services/evaluation/transport/suggestion_client.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::_;
using ::testing::DoAll;
using ::testing::ElementsAre;
using ::testing::Return;
using ::testing::SetArgPointee;

TEST(RemoteFleetTest, ACollectionLeavesAllOtherSettingsAsTheyAre) {
  distribution::v1::GetFleetSettingsResponse now;
  now.mutable_fleet_settings()->set_name("projects/x/fleetSettings");
  now.mutable_fleet_settings()->set_check_in_seconds(17);
  now.mutable_fleet_settings()->set_trial_windows(5);
  auto stub = std::make_unique<distribution::v1::MockDistributionServiceStub>();
  EXPECT_CALL(*stub, GetFleetSettings(_, _, _))
      .WillRepeatedly(DoAll(SetArgPointee<2>(now), Return(grpc::Status::OK)));
  distribution::v1::UpdateFleetSettingsRequest sent;
  EXPECT_CALL(*stub, UpdateFleetSettings(_, _, _)).WillOnce([&](auto*, const auto& request, auto*) {
    sent = request;
    return grpc::Status::OK;
  });
  RemoteFleet fleet(std::move(stub));
  ASSERT_THAT(fleet.OpenCollection("projects/x", {.attributes = {{"site", "north"}},
                                                  .samples_per_period = 6,
                                                  .random_share = 0.5,
                                                  .samples_total = 60}),
              IsOk());
  EXPECT_EQ(sent.fleet_settings().check_in_seconds(), 17);
  EXPECT_EQ(sent.fleet_settings().trial_windows(), 5);
  EXPECT_EQ(sent.fleet_settings().collection().samples_total(), 60);
  EXPECT_EQ(sent.fleet_settings().collection().target().attributes().at("site"), "north");
  // Nothing is set that could be taken away.
  EXPECT_THAT(fleet.CloseCollection("projects/x", Collection()), IsOk());
}

TEST(RemoteFleetTest, ACollectionThatIsSetIsNotSetAgain) {
  Collection collection;
  collection.samples_per_period = 6;
  collection.samples_total = 60;
  distribution::v1::GetFleetSettingsResponse now;
  now.mutable_fleet_settings()->mutable_collection()->set_samples_per_period(6);
  now.mutable_fleet_settings()->mutable_collection()->set_random_share(0.5);
  now.mutable_fleet_settings()->mutable_collection()->set_samples_total(60);
  auto stub = std::make_unique<distribution::v1::MockDistributionServiceStub>();
  EXPECT_CALL(*stub, GetFleetSettings(_, _, _))
      .WillRepeatedly(DoAll(SetArgPointee<2>(now), Return(grpc::Status::OK)));
  EXPECT_CALL(*stub, UpdateFleetSettings(_, _, _)).Times(0);
  RemoteFleet fleet(std::move(stub));
  EXPECT_THAT(fleet.OpenCollection("projects/x", collection), IsOk());
}

TEST(RemoteFleetTest, EndingWhatIsDoneIsFine) {
  auto stub = std::make_unique<distribution::v1::MockDistributionServiceStub>();
  EXPECT_CALL(*stub, CancelRollout(_, _, _))
      .WillOnce(Return(ToGrpcStatus(
          ErrorWithReason(absl::StatusCode::kFailedPrecondition, "ROLLOUT_DONE", "it is done"))));
  RemoteFleet fleet(std::move(stub));
  EXPECT_THAT(fleet.CancelRollout("projects/x/rollouts/1", "why"), IsOk());
}

TEST(RemoteModelRegistryTest, AModelIsAskedForOnceByItsDigest) {
  build::v1::ListModelsResponse response;
  build::v1::Model& model = *response.add_models();
  model.set_name("projects/x/models/3");
  model.set_digest("abc");
  agent::v1::Impulse& impulse = *model.mutable_metadata();
  impulse.add_classes("SITTING");
  impulse.mutable_window()->set_length(50);
  impulse.mutable_window()->set_frequency_hz(50);
  impulse.mutable_window()->set_pad_short(true);
  impulse.mutable_reference()->set_id(9);
  agent::v1::ReferenceChannel& novelty = *impulse.mutable_reference()->add_channels();
  novelty.set_kind(agent::v1::CHANNEL_KIND_NOVELTY);
  novelty.add_edges(1);
  agent::v1::ReferenceChannel& confidence = *impulse.mutable_reference()->add_channels();
  confidence.set_kind(agent::v1::CHANNEL_KIND_CONFIDENCE);
  confidence.add_edges(0.5f);
  confidence.add_edges(0.9f);
  auto stub = std::make_unique<build::v1::MockBuildServiceStub>();
  EXPECT_CALL(*stub, ListModels(_, _, _))
      .WillOnce(DoAll(SetArgPointee<2>(response), Return(grpc::Status::OK)))
      .WillOnce(DoAll(SetArgPointee<2>(build::v1::ListModelsResponse()), Return(grpc::Status::OK)));
  RemoteModelRegistry registry(std::move(stub));
  const absl::StatusOr<Model> found = registry.FindModel("projects/x", "abc");
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->confidence_channel, 1);
  EXPECT_EQ(found->channels[1].bins, 3);
  EXPECT_EQ(found->reference_id, 9U);
  EXPECT_TRUE(found->pad_short);
  EXPECT_EQ(registry.FindModel("projects/x", "abc")->name, "projects/x/models/3");
  EXPECT_THAT(registry.FindModel("projects/x", "none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(RemoteModelRegistryTest, AnAliasThatPointsThereIsLeftAlone) {
  build::v1::GetModelResponse response;
  response.mutable_model()->set_name("projects/x/models/3");
  auto stub = std::make_unique<build::v1::MockBuildServiceStub>();
  EXPECT_CALL(*stub, GetModel(_, _, _))
      .WillOnce(DoAll(SetArgPointee<2>(response), Return(grpc::Status::OK)));
  EXPECT_CALL(*stub, SetModelAlias(_, _, _)).Times(0);
  RemoteModelRegistry registry(std::move(stub));
  EXPECT_THAT(registry.SetAlias("projects/x", "champion", "projects/x/models/3", "why"), IsOk());
}

ingestion::v1::ExportDatasetVersionResponse Piece(const std::string& name,
                                                  ingestion::v1::Split split,
                                                  const std::vector<float>& values) {
  ingestion::v1::ExportDatasetVersionResponse piece;
  if (!name.empty()) {
    piece.mutable_sample()->set_name(name);
    piece.mutable_sample()->set_split(split);
    piece.mutable_sample()->add_axes("x");
    piece.mutable_sample()->set_frequency_hz(50);
  }
  std::string data(values.size() * 4, '\0');
  std::memcpy(data.data(), values.data(), data.size());
  piece.set_data(data);
  return piece;
}

TEST(RemoteSampleArchiveTest, TheTestingSideComesSampleBySampleInWhole) {
  ingestion::v1::GetDatasetVersionResponse version;
  version.mutable_dataset_version()->set_sample_count(4);
  const std::vector<ingestion::v1::ExportDatasetVersionResponse> pieces = {
      Piece("a", ingestion::v1::SPLIT_TESTING, {1, 2}),
      Piece("", ingestion::v1::SPLIT_UNSPECIFIED, {3}),
      Piece("b", ingestion::v1::SPLIT_TRAINING, {9}),
      Piece("c", ingestion::v1::SPLIT_TRAINING, {9}),
      Piece("d", ingestion::v1::SPLIT_TESTING, {4})};
  auto stub = std::make_unique<ingestion::v1::MockIngestionServiceStub>();
  EXPECT_CALL(*stub, GetDatasetVersion(_, _, _))
      .WillOnce(DoAll(SetArgPointee<2>(version), Return(grpc::Status::OK)));
  auto* reader = new grpc::testing::MockClientReader<ingestion::v1::ExportDatasetVersionResponse>();
  std::size_t next = 0;
  EXPECT_CALL(*reader, Read(_)).WillRepeatedly([&](auto* piece) {
    if (next == pieces.size()) {
      return false;
    }
    *piece = pieces[next++];
    return true;
  });
  EXPECT_CALL(*reader, Finish()).WillOnce(Return(grpc::Status::OK));
  EXPECT_CALL(*stub, ExportDatasetVersionRaw(_, _)).WillOnce(Return(reader));
  RemoteSampleArchive archive(std::move(stub));
  std::vector<std::string> names;
  std::vector<double> shares;
  std::vector<std::vector<float>> values;
  ASSERT_THAT(archive.ForEachTestingSample("projects/x/datasets/all/versions/1",
                                           [&](const TestingSample& sample, double share) {
                                             names.push_back(sample.name);
                                             shares.push_back(share);
                                             values.push_back(sample.values);
                                             return absl::OkStatus();
                                           }),
              IsOk());
  EXPECT_THAT(names, ElementsAre("a", "d"));
  EXPECT_THAT(shares, ElementsAre(0.25, 1));
  EXPECT_THAT(values, ElementsAre(ElementsAre(1, 2, 3), ElementsAre(4)));
}

TEST(RemoteSuggestionDeskTest, UnlabelledSamplesComeFirstThenThoseThatNoPersonLabelled) {
  const auto sample = [](const std::string& name, bool labelled) {
    ingestion::v1::Sample made;
    made.set_name(name);
    made.add_axes("x");
    made.set_frequency_hz(10);
    if (labelled) {
      made.add_labels()->set_label("idle");
    }
    return made;
  };
  auto stub = std::make_unique<ingestion::v1::MockIngestionServiceStub>();
  EXPECT_CALL(*stub, ListSamples(_, _, _))
      .WillRepeatedly([&](grpc::ClientContext*, const ingestion::v1::ListSamplesRequest& request,
                          ingestion::v1::ListSamplesResponse* response) {
        EXPECT_EQ(request.parent(), "projects/x");
        EXPECT_EQ(request.filter().without_suggestion_of(), "aa");
        if (request.filter().label_state() == ingestion::v1::LABEL_STATE_UNLABELLED) {
          // Two pages.
          const bool first = request.page_token().empty();
          *response->add_samples() = sample(first ? "a" : "b", false);
          response->set_next_page_token(first ? "more" : "");
        } else {
          EXPECT_EQ(request.filter().label_state(), ingestion::v1::LABEL_STATE_NO_PERSON);
          *response->add_samples() = sample("b", false);
          *response->add_samples() = sample("c", true);
          *response->add_samples() = sample("unwanted", true);
          *response->add_samples() = sample("gone", true);
        }
        return grpc::Status::OK;
      });
  EXPECT_CALL(*stub, DownloadSampleRaw(_, _))
      .WillRepeatedly([](grpc::ClientContext*,
                         const ingestion::v1::DownloadSampleRequest& request) {
        EXPECT_TRUE(request.canonical());
        auto* reader = new grpc::testing::MockClientReader<ingestion::v1::DownloadSampleResponse>();
        EXPECT_CALL(*reader, Read(_))
            .WillOnce([](ingestion::v1::DownloadSampleResponse* piece) {
              piece->set_data(std::string(8, '\0'));
              return true;
            })
            .WillRepeatedly(Return(false));
        EXPECT_CALL(*reader, Finish())
            .WillOnce(Return(request.name() == "gone"
                                 ? grpc::Status(grpc::StatusCode::NOT_FOUND, "deleted")
                                 : grpc::Status::OK));
        return reader;
      });
  RemoteSuggestionDesk desk(std::move(stub));
  std::vector<std::string> names;
  ASSERT_THAT(
      desk.ForEachUnlabelled(
          "projects/x", "aa", [](const TestingSample& seen) { return seen.name != "unwanted"; },
          [&](const TestingSample& seen) -> absl::StatusOr<bool> {
            EXPECT_EQ(seen.values.size(), 2U);
            names.push_back(seen.name);
            return true;
          }),
      IsOk());
  EXPECT_THAT(names, ElementsAre("a", "b", "c"));
  names.clear();
  ASSERT_THAT(desk.ForEachUnlabelled(
                  "projects/x", "aa", [](const TestingSample&) { return true; },
                  [&](const TestingSample& seen) -> absl::StatusOr<bool> {
                    names.push_back(seen.name);
                    return false;
                  }),
              IsOk());
  EXPECT_THAT(names, ElementsAre("a"));
}

TEST(RemoteSampleArchiveTest, AMissingDatasetIsMadeOnce) {
  auto stub = std::make_unique<ingestion::v1::MockIngestionServiceStub>();
  EXPECT_CALL(*stub, GetDataset(_, _, _))
      .WillOnce(Return(grpc::Status(grpc::StatusCode::NOT_FOUND, "no")))
      .WillOnce(Return(grpc::Status::OK));
  ingestion::v1::CreateDatasetRequest sent;
  EXPECT_CALL(*stub, CreateDataset(_, _, _)).WillOnce([&](auto*, const auto& request, auto*) {
    sent = request;
    // Another process was faster.
    return grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "it is there");
  });
  RemoteSampleArchive archive(std::move(stub));
  EXPECT_THAT(archive.EnsureDataset("projects/x/datasets/all"), IsOk());
  EXPECT_EQ(sent.dataset().name(), "projects/x/datasets/all");
  EXPECT_FALSE(sent.dataset().has_filter());
  EXPECT_THAT(archive.EnsureDataset("projects/x/datasets/all"), IsOk());
}

}  // namespace
}  // namespace fieldloop::evaluation
