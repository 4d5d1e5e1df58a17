// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/ingestion_handler.h"

#include <memory>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "services/common/grpc/grpc_status.h"
#include "services/common/status/error_reason.h"
#include "services/ingestion/formats/recording_formats.h"
#include "services/ingestion/storage/folder_upload_spool.h"
#include "services/ingestion/storage/sql_dataset_store.h"
#include "services/ingestion/storage/sql_labelling_store.h"
#include "services/ingestion/storage/sql_retention_store.h"
#include "services/ingestion/storage/sql_sample_store.h"
#include "services/ingestion/storage/sql_settings_store.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/fake_clock.h"

namespace fieldloop::ingestion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A real server, reached without a socket.
class IngestionHandlerTest : public ::testing::Test {
 protected:
  IngestionHandlerTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&handler_);
    server_ = builder.BuildAndStart();
    stub_ = v1::IngestionService::NewStub(server_->InProcessChannel({}));
  }

  static void As(grpc::ClientContext& context, const std::string& token) {
    context.AddMetadata("authorization", "Bearer " + token);
  }

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::IngestionService::Stub::*method)(grpc::ClientContext*,
                                                                       const Request&, Response*),
                    const Request& request, Response& response,
                    const std::string& token = "admin:motor") {
    grpc::ClientContext context;
    As(context, token);
    return FromGrpcStatus((stub_.get()->*method)(&context, request, &response));
  }

  static v1::UploadSpec SpecOf(const std::string& file_name, const std::string& label = "") {
    v1::UploadSpec spec;
    spec.set_parent("projects/motor");
    spec.set_file_name(file_name);
    if (!label.empty()) {
      auto& range = *spec.add_labels();
      range.set_end_reading(-1);
      range.set_label(label);
    }
    return spec;
  }

  absl::Status Upload(const v1::UploadSpec& spec, const std::string& bytes,
                      v1::UploadSampleResponse& response, const std::string& token = "ingest:motor",
                      std::size_t piece = 7) {
    grpc::ClientContext context;
    As(context, token);
    const auto writer = stub_->UploadSample(&context, &response);
    v1::UploadSampleRequest request;
    *request.mutable_upload() = spec;
    bool open = writer->Write(request);
    for (std::size_t at = 0; open && at < bytes.size(); at += piece) {
      request.set_data(bytes.substr(at, piece));
      open = writer->Write(request);
    }
    writer->WritesDone();
    return FromGrpcStatus(writer->Finish());
  }

  v1::Sample MustUpload(const v1::UploadSpec& spec, const std::string& bytes) {
    constexpr std::size_t kPieceBytes = 64 << 10;
    v1::UploadSampleResponse response;
    const absl::Status status = Upload(spec, bytes, response, "ingest:motor",
                                       bytes.size() > kPieceBytes ? kPieceBytes : std::size_t{7});
    EXPECT_TRUE(status.ok()) << status;
    return response.sample();
  }

  absl::Status Record(const v1::RecordDeviceSampleRequest& request,
                      v1::RecordDeviceSampleResponse& response,
                      const std::string& token = "admin:") {
    return Call(&v1::IngestionService::Stub::RecordDeviceSample, request, response, token);
  }

  SqliteDatabase database_;
  SqlSampleStore store_{database_.get()};
  SqlDatasetStore dataset_store_{database_.get()};
  MemoryBlobStore blobs_;
  RecordingFormats formats_;
  ::fieldloop::testing::FakeClock clock_;
  TempFolder spool_folder_;
  std::unique_ptr<UploadSpool> spool_ = *OpenFolderUploadSpool(spool_folder_.path(), clock_);
  CountingObserver observer_;
  FakeAccess access_;
  SqlSettingsStore settings_store_{database_.get()};
  SampleService samples_{store_, settings_store_, blobs_, *spool_, formats_, clock_, observer_};
  SettingsService settings_{settings_store_};
  DatasetService datasets_{dataset_store_, blobs_, formats_, clock_};
  SqlLabellingStore labelling_store_{database_.get()};
  LabellingService labelling_{labelling_store_, clock_, [] { return std::uint64_t{0}; }};
  SqlRetentionStore retention_store_{database_.get()};
  RetentionService retention_{retention_store_, settings_store_, blobs_, clock_};
  IngestionHandler handler_{access_, samples_, datasets_, settings_, labelling_, retention_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::IngestionService::Stub> stub_;
};

TEST_F(IngestionHandlerTest, AnUploadInPiecesComesBackAsItWas) {
  const std::string csv = CsvFile(100);
  v1::UploadSpec spec = SpecOf("idle.01.csv", "idle");
  spec.set_split(v1::SPLIT_TESTING);
  (*spec.mutable_metadata())["site"] = "hall 3";
  const v1::Sample sample = MustUpload(spec, csv);
  EXPECT_EQ(sample.name(), "projects/motor/samples/" + ToHex(Sha256Of(csv)).substr(0, 32));
  EXPECT_EQ(sample.format(), v1::SAMPLE_FORMAT_CSV);
  EXPECT_EQ(sample.split(), v1::SPLIT_TESTING);
  EXPECT_EQ(sample.source(), v1::SAMPLE_SOURCE_UPLOAD);
  EXPECT_EQ(sample.readings(), 100);
  EXPECT_EQ(sample.metadata().at("site"), "hall 3");
  ASSERT_EQ(sample.labels_size(), 1);
  EXPECT_EQ(sample.labels(0).end_reading(), 99);

  v1::GetSampleRequest request;
  request.set_name(sample.name());
  v1::GetSampleResponse response;
  ASSERT_TRUE(Call(&v1::IngestionService::Stub::GetSample, request, response).ok());
  EXPECT_EQ(response.sample().SerializeAsString(), sample.SerializeAsString());

  grpc::ClientContext context;
  As(context, "viewer:motor");
  v1::DownloadSampleRequest download;
  download.set_name(sample.name());
  const auto reader = stub_->DownloadSample(&context, download);
  v1::DownloadSampleResponse piece;
  std::string bytes;
  while (reader->Read(&piece)) {
    bytes += piece.data();
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(bytes, csv);
}

TEST_F(IngestionHandlerTest, ARepeatIsSaidToBeADuplicate) {
  MustUpload(SpecOf("a.csv"), CsvFile(3));
  v1::UploadSampleResponse response;
  ASSERT_TRUE(Upload(SpecOf("b.csv"), CsvFile(3), response).ok());
  EXPECT_TRUE(response.duplicate());
  EXPECT_EQ(response.sample().file_name(), "a.csv");
  v1::UploadSpec spec = SpecOf("b.csv");
  spec.set_disallow_duplicates(true);
  EXPECT_TRUE(absl::IsAlreadyExists(Upload(spec, CsvFile(3), response)));
}

TEST_F(IngestionHandlerTest, AMalformedFileNamesTheLineToTheClient) {
  v1::UploadSampleResponse response;
  const absl::Status status = Upload(SpecOf("a.csv"), "timestamp,x\n0,oops\n", response);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("line 2, column \"x\": got \"oops\", want a number"));
}

TEST_F(IngestionHandlerTest, AnUploadThatBreaksTheOrderOfItsPartsIsRefused) {
  v1::UploadSampleResponse response;
  {
    grpc::ClientContext context;
    As(context, "ingest:motor");
    const auto writer = stub_->UploadSample(&context, &response);
    v1::UploadSampleRequest request;
    request.set_data("timestamp,x\n");
    writer->Write(request);
    writer->WritesDone();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  {
    grpc::ClientContext context;
    As(context, "ingest:motor");
    const auto writer = stub_->UploadSample(&context, &response);
    v1::UploadSampleRequest request;
    *request.mutable_upload() = SpecOf("a.csv");
    writer->Write(request);
    writer->Write(request);
    writer->WritesDone();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      Upload(SpecOf("a.csv"), std::string((1 << 20) + 1, '0'), response, "ingest:motor", 2 << 20)));
}

TEST_F(IngestionHandlerTest, AnUploadGoesOnAfterItsCallBroke) {
  const std::string csv = CsvFile(100);
  v1::UploadSpec spec = SpecOf("a.csv");
  spec.set_upload_id("tape-1");
  spec.set_size_bytes(static_cast<std::int64_t>(csv.size()));
  v1::UploadSampleResponse response;
  EXPECT_TRUE(absl::IsFailedPrecondition(Upload(spec, csv.substr(0, 500), response)));
  v1::GetUploadRequest request;
  request.set_name("projects/motor/uploads/tape-1");
  v1::GetUploadResponse upload;
  const auto find = [&](const std::string& token) {
    return Call(&v1::IngestionService::Stub::GetUpload, request, upload, token);
  };
  EXPECT_TRUE(absl::IsUnauthenticated(find("bad")));
  EXPECT_TRUE(absl::IsPermissionDenied(find("ingest:pump")));
  ASSERT_TRUE(find("ingest:motor").ok());
  EXPECT_EQ(upload.committed_bytes(), 500);
  EXPECT_EQ(upload.size_bytes(), spec.size_bytes());
  EXPECT_EQ(upload.expire_time().seconds(), absl::ToUnixSeconds(clock_.Now() + absl::Hours(24)));
  spec.set_offset(upload.committed_bytes());
  ASSERT_TRUE(Upload(spec, csv.substr(500), response).ok());
  EXPECT_EQ(response.sample().digest(), ToHex(Sha256Of(csv)));
  EXPECT_TRUE(absl::IsNotFound(find("ingest:motor")));
}

TEST_F(IngestionHandlerTest, AFullDiskReachesTheClientAndTheServiceLives) {
  blobs_.set_full(true);
  v1::UploadSampleResponse response;
  EXPECT_TRUE(absl::IsResourceExhausted(Upload(SpecOf("a.csv"), CsvFile(3), response)));
  blobs_.set_full(false);
  EXPECT_TRUE(Upload(SpecOf("a.csv"), CsvFile(3), response).ok());
}

TEST_F(IngestionHandlerTest, EachCallNeedsItsRole) {
  v1::UploadSampleResponse uploaded;
  EXPECT_TRUE(absl::IsUnauthenticated(Upload(SpecOf("a.csv"), CsvFile(3), uploaded, "bad")));
  EXPECT_TRUE(
      absl::IsPermissionDenied(Upload(SpecOf("a.csv"), CsvFile(3), uploaded, "ingest:pump")));
  const v1::Sample sample = MustUpload(SpecOf("a.csv", "idle"), CsvFile(3));

  v1::GetSampleRequest get;
  get.set_name(sample.name());
  v1::GetSampleResponse got;
  using Stub = v1::IngestionService::Stub;
  EXPECT_TRUE(absl::IsPermissionDenied(Call(&Stub::GetSample, get, got, "ingest:motor")));
  EXPECT_TRUE(Call(&Stub::GetSample, get, got, "viewer:motor").ok());

  v1::CreateLabelsRequest label;
  label.set_parent("projects/motor");
  label.add_labels()->set_sample(sample.name());
  v1::CreateLabelsResponse labelled;
  EXPECT_TRUE(absl::IsPermissionDenied(Call(&Stub::CreateLabels, label, labelled, "viewer:motor")));

  v1::CreateDatasetRequest dataset;
  dataset.mutable_dataset()->set_name("projects/motor/datasets/all");
  v1::CreateDatasetResponse created;
  EXPECT_TRUE(
      absl::IsPermissionDenied(Call(&Stub::CreateDataset, dataset, created, "viewer:motor")));
  EXPECT_TRUE(Call(&Stub::CreateDataset, dataset, created, "operator:motor").ok());

  v1::RecordDeviceSampleRequest record;
  record.set_parent("projects/motor");
  v1::RecordDeviceSampleResponse recorded;
  EXPECT_TRUE(absl::IsPermissionDenied(Record(record, recorded, "operator:motor")));
}

TEST_F(IngestionHandlerTest, ADevicesSampleIsStoredOnce) {
  v1::RecordDeviceSampleRequest request;
  request.set_parent("projects/motor");
  auto& device = *request.mutable_device();
  device.set_device("projects/motor/devices/d1");
  device.set_model_digest(std::string(64, 'c'));
  device.set_reason("uncertain");
  device.set_probability(0.25);
  device.set_predicted_label("idle");
  device.set_confidence(0.75);
  device.mutable_start_time()->set_seconds(1'600'000'000);
  request.set_payload(FloatBytes({1, 2, 3, 4}));
  request.add_axes("x");
  request.add_axes("y");
  request.set_frequency_hz(50);
  request.set_sequence(17);
  (*request.mutable_metadata())["site"] = "hall 3";
  v1::RecordDeviceSampleResponse first;
  ASSERT_TRUE(Record(request, first).ok());
  EXPECT_EQ(first.sample().device().SerializeAsString(), device.SerializeAsString());
  EXPECT_EQ(first.sample().split(), v1::SPLIT_TRAINING);
  v1::RecordDeviceSampleResponse second;
  ASSERT_TRUE(Record(request, second).ok());
  EXPECT_EQ(second.sample().SerializeAsString(), first.sample().SerializeAsString());

  v1::CountSamplesRequest count;
  count.set_parent("projects/motor");
  count.mutable_filter()->add_devices("projects/motor/devices/d1");
  v1::CountSamplesResponse counted;
  ASSERT_TRUE(Call(&v1::IngestionService::Stub::CountSamples, count, counted).ok());
  EXPECT_EQ(counted.total(), 1);
}

TEST_F(IngestionHandlerTest, ListsPageAndFilter) {
  for (int i = 0; i < 3; ++i) {
    MustUpload(SpecOf("s" + std::to_string(i) + ".csv", i == 0 ? "idle" : ""), CsvFile(3, i));
    clock_.Advance(absl::Seconds(1));
  }
  v1::ListSamplesRequest request;
  request.set_parent("projects/motor");
  request.set_page_size(2);
  v1::ListSamplesResponse page;
  ASSERT_TRUE(Call(&v1::IngestionService::Stub::ListSamples, request, page).ok());
  ASSERT_EQ(page.samples_size(), 2);
  EXPECT_EQ(page.samples(0).file_name(), "s2.csv");
  request.set_page_token(page.next_page_token());
  v1::ListSamplesResponse last;
  ASSERT_TRUE(Call(&v1::IngestionService::Stub::ListSamples, request, last).ok());
  ASSERT_EQ(last.samples_size(), 1);
  EXPECT_EQ(last.samples(0).file_name(), "s0.csv");
  EXPECT_EQ(last.next_page_token(), "");
  request.Clear();
  request.set_parent("projects/motor");
  request.mutable_filter()->set_label_state(v1::LABEL_STATE_LABELLED);
  v1::ListSamplesResponse labelled;
  ASSERT_TRUE(Call(&v1::IngestionService::Stub::ListSamples, request, labelled).ok());
  EXPECT_EQ(labelled.samples_size(), 1);
  request.set_page_size(-1);
  EXPECT_TRUE(
      absl::IsInvalidArgument(Call(&v1::IngestionService::Stub::ListSamples, request, labelled)));
}

TEST_F(IngestionHandlerTest, LabelsAreRefusedByTheirIndexAndTheOthersStand) {
  const v1::Sample sample = MustUpload(SpecOf("a.csv"), CsvFile(10));
  v1::CreateLabelsRequest request;
  request.set_parent("projects/motor");
  request.add_labels()->set_sample("nonsense");
  auto& good = *request.add_labels();
  good.set_sample(sample.name());
  auto& range = *good.add_ranges();
  range.set_end_reading(-1);
  range.set_label("idle");
  request.add_labels()->set_sample("projects/pump/samples/" + std::string(32, '0'));
  auto& outside = *request.add_labels();
  outside = good;
  outside.mutable_ranges(0)->set_end_reading(10);
  v1::CreateLabelsResponse response;
  ASSERT_TRUE(Call(&v1::IngestionService::Stub::CreateLabels, request, response).ok());
  ASSERT_EQ(response.labels_size(), 1);
  EXPECT_EQ(response.labels(0).name(), sample.name() + "/labels/1");
  EXPECT_EQ(response.labels(0).source(), "person");
  EXPECT_EQ(response.labels(0).author(), "apiTokens/admin");
  ASSERT_EQ(response.refusals_size(), 3);
  EXPECT_EQ(response.refusals(0).index(), 0);
  EXPECT_EQ(response.refusals(1).index(), 2);
  EXPECT_EQ(response.refusals(2).index(), 3);

  v1::ListLabelsRequest list;
  list.set_parent(sample.name());
  v1::ListLabelsResponse labels;
  ASSERT_TRUE(Call(&v1::IngestionService::Stub::ListLabels, list, labels).ok());
  EXPECT_EQ(labels.labels_size(), 1);
  v1::CreateLabelsRequest none;
  none.set_parent("projects/motor");
  EXPECT_TRUE(
      absl::IsInvalidArgument(Call(&v1::IngestionService::Stub::CreateLabels, none, response)));
}

TEST_F(IngestionHandlerTest, RetentionIsCountedByViewersAndAppliedByOperators) {
  using Stub = v1::IngestionService::Stub;
  const v1::Sample sample = MustUpload(SpecOf("a.csv"), CsvFile(10));
  v1::UpdateSettingsRequest settings;
  settings.mutable_settings()->set_name("projects/motor/settings");
  settings.mutable_settings()->mutable_retention()->mutable_unlabelled()->set_seconds(3600);
  v1::UpdateSettingsResponse updated;
  ASSERT_TRUE(Call(&Stub::UpdateSettings, settings, updated).ok());
  clock_.Advance(absl::Hours(2));
  v1::ApplyRetentionRequest request;
  request.set_parent("projects/motor");
  v1::ApplyRetentionResponse response;
  EXPECT_TRUE(
      absl::IsPermissionDenied(Call(&Stub::ApplyRetention, request, response, "viewer:motor")));
  request.set_dry_run(true);
  ASSERT_TRUE(Call(&Stub::ApplyRetention, request, response, "viewer:motor").ok());
  EXPECT_EQ(response.samples(), 1);
  EXPECT_EQ(response.bytes(), sample.size_bytes());
  request.set_dry_run(false);
  ASSERT_TRUE(Call(&Stub::ApplyRetention, request, response, "operator:motor").ok());
  EXPECT_EQ(response.samples(), 1);
  v1::DeleteSampleRequest remove;
  remove.set_name(sample.name());
  v1::DeleteSampleResponse removed;
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::DeleteSample, remove, removed)));
  EXPECT_TRUE(absl::IsPermissionDenied(Call(&Stub::DeleteSample, remove, removed, "ingest:motor")));
}

TEST_F(IngestionHandlerTest, TasksAreLeasedToWhoAsksAndALabelCompletesThem) {
  using Stub = v1::IngestionService::Stub;
  const v1::Sample sample = MustUpload(SpecOf("a.csv"), CsvFile(10));
  v1::CreateSuggestionsRequest suggest;
  suggest.set_parent("projects/motor");
  v1::Suggestion& suggestion = *suggest.add_suggestions();
  suggestion.set_sample(sample.name());
  suggestion.set_model_digest(std::string(64, 'a'));
  suggestion.set_label("idle");
  suggestion.set_confidence(0.5);
  v1::CreateSuggestionsResponse suggested;
  EXPECT_TRUE(
      absl::IsPermissionDenied(Call(&Stub::CreateSuggestions, suggest, suggested, "viewer:motor")));
  ASSERT_TRUE(Call(&Stub::CreateSuggestions, suggest, suggested).ok());
  EXPECT_EQ(suggested.stored(), 1);

  v1::LeaseLabellingTasksRequest lease;
  lease.set_parent("projects/motor");
  lease.set_count(1);
  lease.set_random_share(0);
  lease.mutable_lease()->set_seconds(600);
  v1::LeaseLabellingTasksResponse leased;
  ASSERT_TRUE(Call(&Stub::LeaseLabellingTasks, lease, leased, "operator:motor").ok());
  ASSERT_EQ(leased.tasks_size(), 1);
  EXPECT_EQ(leased.waiting(), 1);
  const v1::LabellingTask& task = leased.tasks(0);
  EXPECT_EQ(task.sample().name(), sample.name());
  EXPECT_EQ(task.reason(), v1::LABELLING_REASON_UNCERTAIN);
  EXPECT_EQ(task.suggestion().label(), "idle");
  EXPECT_EQ(task.suggestion().model_digest(), std::string(64, 'a'));
  EXPECT_EQ(task.lease_expire_time().seconds(), absl::ToUnixSeconds(clock_.Now()) + 600);
  // Another principal gets nothing, and gives nothing of it back.
  v1::LeaseLabellingTasksResponse others;
  ASSERT_TRUE(Call(&Stub::LeaseLabellingTasks, lease, others, "admin:motor").ok());
  EXPECT_EQ(others.tasks_size(), 0);
  v1::ReleaseLabellingTasksRequest release;
  release.set_parent("projects/motor");
  release.add_samples(sample.name());
  v1::ReleaseLabellingTasksResponse released;
  ASSERT_TRUE(Call(&Stub::ReleaseLabellingTasks, release, released, "admin:motor").ok());
  EXPECT_EQ(released.released(), 0);

  v1::CreateLabelsRequest label;
  label.set_parent("projects/motor");
  v1::Label& said = *label.add_labels();
  said.set_sample(sample.name());
  said.set_suggested_by(std::string(64, 'a'));
  said.add_ranges()->set_label("wave");
  said.mutable_ranges(0)->set_end_reading(-1);
  v1::CreateLabelsResponse labels;
  ASSERT_TRUE(Call(&Stub::CreateLabels, label, labels, "operator:motor").ok());
  ASSERT_EQ(labels.labels_size(), 1);
  EXPECT_EQ(labels.labels(0).reason(), v1::LABELLING_REASON_UNCERTAIN);
  EXPECT_EQ(labels.labels(0).suggested_by(), std::string(64, 'a'));
  ASSERT_TRUE(Call(&Stub::LeaseLabellingTasks, lease, leased, "operator:motor").ok());
  EXPECT_EQ(leased.waiting(), 0);

  v1::UndoLabelRequest undo;
  undo.set_name(labels.labels(0).name());
  v1::UndoLabelResponse undone;
  ASSERT_TRUE(Call(&Stub::UndoLabel, undo, undone, "operator:motor").ok());
  EXPECT_EQ(undone.label().undoes(), labels.labels(0).name());
  EXPECT_EQ(undone.label().ranges_size(), 0);
  const absl::Status late = Call(&Stub::UndoLabel, undo, undone, "operator:motor");
  EXPECT_TRUE(absl::IsFailedPrecondition(late));
  EXPECT_EQ(ReasonOf(late), "LABEL_SUPERSEDED");
}

TEST_F(IngestionHandlerTest, AWishThatMakesNoSenseNamesItsField) {
  using Stub = v1::IngestionService::Stub;
  const auto refused = [this](auto change, const std::string& field) {
    v1::LeaseLabellingTasksRequest request;
    request.set_parent("projects/motor");
    change(request);
    v1::LeaseLabellingTasksResponse response;
    const absl::Status status = Call(&Stub::LeaseLabellingTasks, request, response);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::StartsWith(field));
  };
  refused([](auto& request) { request.set_count(101); }, "count");
  refused([](auto& request) { request.mutable_lease(); }, "lease");
  refused([](auto& request) { request.mutable_lease()->set_seconds(59); }, "lease");
  refused([](auto& request) { request.set_random_share(1.5); }, "random_share");
  refused([](auto& request) { request.set_second_opinion_share(-1); }, "second_opinion_share");
  refused(
      [](auto& request) {
        request.set_random_share(0.6);
        request.set_second_opinion_share(0.6);
      },
      "second_opinion_share");
  v1::ReleaseLabellingTasksRequest release;
  release.set_parent("projects/motor");
  release.add_samples("projects/pump/samples/" + std::string(32, '0'));
  v1::ReleaseLabellingTasksResponse released;
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&Stub::ReleaseLabellingTasks, release, released)));
}

TEST_F(IngestionHandlerTest, AgreementIsThatOfTheLabellers) {
  using Stub = v1::IngestionService::Stub;
  std::string last;
  for (int i = 0; i < 4; ++i) {
    last = MustUpload(SpecOf("a.csv"), CsvFile(10, i)).name();
    for (const char* who : {"operator:motor", "admin:motor"}) {
      v1::CreateLabelsRequest request;
      request.set_parent("projects/motor");
      v1::Label& label = *request.add_labels();
      label.set_sample(last);
      label.add_ranges()->set_label(i % 2 == 0 || (i == 3 && who[0] == 'a') ? "idle" : "wave");
      label.mutable_ranges(0)->set_end_reading(-1);
      v1::CreateLabelsResponse response;
      ASSERT_TRUE(Call(&Stub::CreateLabels, request, response, who).ok());
    }
  }
  v1::GetLabelAgreementRequest request;
  request.set_parent("projects/motor");
  v1::GetLabelAgreementResponse response;
  ASSERT_TRUE(Call(&Stub::GetLabelAgreement, request, response, "viewer:motor").ok());
  EXPECT_EQ(response.samples(), 4);
  ASSERT_EQ(response.pairs_size(), 1);
  EXPECT_EQ(response.pairs(0).first(), "apiTokens/admin");
  EXPECT_EQ(response.pairs(0).second(), "apiTokens/operator");
  EXPECT_EQ(response.pairs(0).agreement(), 0.75);
  EXPECT_NEAR(response.pairs(0).kappa(), 0.5, 1e-12);
  EXPECT_TRUE(response.has_alpha());
  EXPECT_THAT(response.disagreeing(), ElementsAre(last));
}

TEST_F(IngestionHandlerTest, TwoVersionsAreComparedAndTheirSamplesKnowThem) {
  using Stub = v1::IngestionService::Stub;
  v1::CreateDatasetRequest create;
  create.mutable_dataset()->set_name("projects/motor/datasets/all");
  v1::CreateDatasetResponse created;
  ASSERT_TRUE(Call(&Stub::CreateDataset, create, created).ok());
  v1::CreateDatasetVersionRequest freeze;
  freeze.set_parent("projects/motor/datasets/all");
  v1::CreateDatasetVersionResponse frozen;
  v1::UploadSpec spec = SpecOf("a.csv", "idle");
  (*spec.mutable_metadata())["person"] = "s01";
  const v1::Sample first = MustUpload(spec, CsvFile(10, 1));
  ASSERT_TRUE(Call(&Stub::CreateDatasetVersion, freeze, frozen).ok());
  const v1::Sample second = MustUpload(spec, CsvFile(10, 2));
  ASSERT_TRUE(Call(&Stub::CreateDatasetVersion, freeze, frozen).ok());

  v1::DiffDatasetVersionsRequest diff;
  diff.set_first("projects/motor/datasets/all/versions/1");
  diff.set_second("projects/motor/datasets/all/versions/2");
  diff.add_keys("person");
  v1::DiffDatasetVersionsResponse difference;
  ASSERT_TRUE(Call(&Stub::DiffDatasetVersions, diff, difference, "viewer:motor").ok());
  EXPECT_EQ(difference.total().added(), 1);
  ASSERT_EQ(difference.labels_size(), 1);
  EXPECT_EQ(difference.labels(0).group(), "idle");
  ASSERT_EQ(difference.keys_size(), 1);
  EXPECT_EQ(difference.keys(0).group(), "person=s01");

  v1::ListDatasetVersionChangesRequest list;
  list.set_first(diff.first());
  list.set_second(diff.second());
  v1::ListDatasetVersionChangesResponse changes;
  ASSERT_TRUE(Call(&Stub::ListDatasetVersionChanges, list, changes, "viewer:motor").ok());
  ASSERT_EQ(changes.changes_size(), 1);
  EXPECT_EQ(changes.changes(0).sample(), second.name());
  EXPECT_EQ(changes.changes(0).kind(), v1::DatasetVersionChange::KIND_ADDED);
  EXPECT_EQ(changes.changes(0).second_labels_size(), 1);

  v1::ListSampleDatasetVersionsRequest versions;
  versions.set_parent(first.name());
  v1::ListSampleDatasetVersionsResponse names;
  ASSERT_TRUE(Call(&Stub::ListSampleDatasetVersions, versions, names, "viewer:motor").ok());
  EXPECT_THAT(names.dataset_versions(), ElementsAre(diff.first(), diff.second()));

  diff.set_second("projects/pump/datasets/all/versions/1");
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&Stub::DiffDatasetVersions, diff, difference)));
  diff.set_second("projects/motor/datasets/all/versions/3");
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::DiffDatasetVersions, diff, difference)));
}

TEST_F(IngestionHandlerTest, ADatasetVersionIsFrozenAndExported) {
  using Stub = v1::IngestionService::Stub;
  v1::CreateDatasetRequest create;
  create.mutable_dataset()->set_name("projects/motor/datasets/all");
  v1::CreateDatasetResponse created;
  ASSERT_TRUE(Call(&Stub::CreateDataset, create, created).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Call(&Stub::CreateDataset, create, created)));

  v1::CreateDatasetVersionRequest freeze;
  freeze.set_parent("projects/motor/datasets/all");
  v1::CreateDatasetVersionResponse frozen;
  const absl::Status empty = Call(&Stub::CreateDatasetVersion, freeze, frozen);
  EXPECT_TRUE(absl::IsFailedPrecondition(empty));
  EXPECT_EQ(ReasonOf(empty), "DATASET_EMPTY");

  // More than a piece of 256 KiB each.
  const v1::Sample a = MustUpload(SpecOf("a.csv", "idle"), CsvFile(50'000, 1));
  const v1::Sample b = MustUpload(SpecOf("b.csv", "wave"), CsvFile(50'000, 2));
  ASSERT_TRUE(Call(&Stub::CreateDatasetVersion, freeze, frozen).ok());
  EXPECT_EQ(frozen.dataset_version().name(), "projects/motor/datasets/all/versions/1");
  EXPECT_EQ(frozen.dataset_version().sample_count(), 2);

  v1::GetDatasetVersionRequest get;
  get.set_name(frozen.dataset_version().name());
  v1::GetDatasetVersionResponse got;
  ASSERT_TRUE(Call(&Stub::GetDatasetVersion, get, got).ok());
  EXPECT_EQ(got.dataset_version().digest(), frozen.dataset_version().digest());
  v1::ListDatasetVersionsRequest list;
  list.set_parent("projects/motor/datasets/all");
  v1::ListDatasetVersionsResponse versions;
  ASSERT_TRUE(Call(&Stub::ListDatasetVersions, list, versions).ok());
  EXPECT_EQ(versions.dataset_versions_size(), 1);
  v1::ListDatasetsRequest list_datasets;
  list_datasets.set_parent("projects/motor");
  v1::ListDatasetsResponse datasets;
  ASSERT_TRUE(Call(&Stub::ListDatasets, list_datasets, datasets).ok());
  EXPECT_EQ(datasets.datasets_size(), 1);
  v1::GetDatasetRequest get_dataset;
  get_dataset.set_name("projects/motor/datasets/all");
  v1::GetDatasetResponse dataset;
  ASSERT_TRUE(Call(&Stub::GetDataset, get_dataset, dataset).ok());

  grpc::ClientContext context;
  As(context, "viewer:motor");
  v1::ExportDatasetVersionRequest request;
  request.set_name(frozen.dataset_version().name());
  const auto reader = stub_->ExportDatasetVersion(&context, request);
  v1::ExportDatasetVersionResponse piece;
  std::vector<std::string> digests;
  std::vector<std::size_t> sizes;
  int pieces = 0;
  while (reader->Read(&piece)) {
    if (piece.has_sample()) {
      digests.push_back(piece.sample().digest());
      sizes.push_back(0);
    }
    EXPECT_LE(piece.data().size(), 256U << 10);
    sizes.back() += piece.data().size();
    ++pieces;
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_THAT(digests,
              ElementsAre(std::min(a.digest(), b.digest()), std::max(a.digest(), b.digest())));
  EXPECT_THAT(sizes, ElementsAre(400'000U, 400'000U));
  EXPECT_EQ(pieces, 4);

  grpc::ClientContext again;
  As(again, "viewer:motor");
  request.set_without_data(true);
  const auto headers = stub_->ExportDatasetVersion(&again, request);
  std::size_t samples = 0;
  while (headers->Read(&piece)) {
    EXPECT_TRUE(piece.has_sample());
    EXPECT_EQ(piece.data(), "");
    ++samples;
  }
  ASSERT_TRUE(headers->Finish().ok());
  EXPECT_EQ(samples, digests.size());
}

TEST_F(IngestionHandlerTest, SettingsAreReadByViewersAndChangedByAdmins) {
  v1::UpdateSettingsRequest update;
  v1::Settings& wanted = *update.mutable_settings();
  wanted.set_name("projects/motor/settings");
  wanted.set_frequency_hz(100);
  wanted.set_strict_signatures(true);
  wanted.set_signature_key("secret");
  (*wanted.mutable_units())["*"] = "m/s2";
  wanted.set_min_seconds(0.5);
  wanted.set_max_seconds(60);
  wanted.mutable_retention()->mutable_unlabelled()->set_seconds(3600);
  wanted.mutable_retention()->set_max_bytes(1 << 30);
  wanted.set_split_key("person");
  v1::UpdateSettingsResponse updated;
  using Stub = v1::IngestionService::Stub;
  EXPECT_TRUE(
      absl::IsPermissionDenied(Call(&Stub::UpdateSettings, update, updated, "operator:motor")));
  ASSERT_TRUE(Call(&Stub::UpdateSettings, update, updated, "admin:motor").ok());

  wanted.clear_signature_key();
  wanted.set_has_signature_key(true);
  v1::GetSettingsRequest get;
  get.set_name("projects/motor/settings");
  v1::GetSettingsResponse got;
  ASSERT_TRUE(Call(&Stub::GetSettings, get, got, "viewer:motor").ok());
  EXPECT_EQ(got.settings().SerializeAsString().size(), wanted.SerializeAsString().size());
  EXPECT_EQ(got.settings().DebugString(), wanted.DebugString());
  EXPECT_EQ(updated.settings().DebugString(), wanted.DebugString());
  EXPECT_TRUE(absl::IsPermissionDenied(Call(&Stub::GetSettings, get, got, "viewer:pump")));
  get.set_name("projects/motor/setting");
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&Stub::GetSettings, get, got, "viewer:motor")));
}

TEST_F(IngestionHandlerTest, SamplesAreFilteredByFlagAndTime) {
  MustUpload(SpecOf("flat.csv"), "timestamp,x,y\n0,1,2\n10,1,3\n");
  MustUpload(SpecOf("good.csv"), CsvFile(3));
  v1::ListSamplesRequest list;
  list.set_parent("projects/motor");
  list.mutable_filter()->add_flags("flat:x");
  list.mutable_filter()->mutable_created_before()->set_seconds(253402300799);
  v1::ListSamplesResponse listed;
  using Stub = v1::IngestionService::Stub;
  ASSERT_TRUE(Call(&Stub::ListSamples, list, listed, "viewer:motor").ok());
  ASSERT_EQ(listed.samples_size(), 1);
  EXPECT_EQ(listed.samples(0).file_name(), "flat.csv");
  EXPECT_THAT(listed.samples(0).flags(), ::testing::ElementsAre("flat", "flat:x"));
  list.mutable_filter()->clear_flags();
  list.mutable_filter()->add_without_flags("flat");
  ASSERT_TRUE(Call(&Stub::ListSamples, list, listed, "viewer:motor").ok());
  ASSERT_EQ(listed.samples_size(), 1);
  EXPECT_EQ(listed.samples(0).file_name(), "good.csv");
}

TEST_F(IngestionHandlerTest, ANameOfAnotherKindIsInvalid) {
  v1::GetSampleRequest request;
  request.set_name("projects/motor/devices/d1");
  v1::GetSampleResponse response;
  EXPECT_TRUE(
      absl::IsInvalidArgument(Call(&v1::IngestionService::Stub::GetSample, request, response)));
  v1::GetDatasetVersionRequest version;
  version.set_name("projects/motor/datasets/all/versions/one");
  v1::GetDatasetVersionResponse got;
  EXPECT_TRUE(
      absl::IsInvalidArgument(Call(&v1::IngestionService::Stub::GetDatasetVersion, version, got)));
}

}  // namespace
}  // namespace fieldloop::ingestion
