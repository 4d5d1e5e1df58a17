// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/build_handler.h"

#include <atomic>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "services/build/domain/build_worker.h"
#include "services/build/storage/folder_work_area.h"
#include "services/build/transport/impulse_model_judge.h"
#include "services/build/transport/impulse_model_packager.h"
#include "services/build/transport/proto_conversion.h"
#include "services/build/transport/tflite_model_checker.h"
#include "services/common/blob/blob_store.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/error_reason.h"
#include "services/common/zip/zip_archive.h"
#include "tests/services/build/support/fakes.h"
#include "tests/services/build/support/small_model.h"
#include "tests/services/build/support/test_database.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Stub = v1::BuildService::Stub;

// The whole service but for ingestion and the trainer, reached without a socket.
class BuildHandlerTest : public ::testing::Test {
 protected:
  BuildHandlerTest() {
    trainer_.body = [](const TrainingJob&, std::stop_token, TrainerListener& listener) {
      listener.OnLog("trained \xff\n");
      return TrainedModel{.file = SmallModel(), .metrics = {{.name = "accuracy", .value = 0.5}}};
    };
    keys_.push_back(SigningKey::Generate());
    agent::v1::RootDocument document;
    document.set_version(1);
    document.add_keys()->set_public_key(keys_[0].PublicKey());
    for (agent::v1::TrustedRole* role :
         {document.mutable_root(), document.mutable_release(), document.mutable_directive()}) {
      role->add_key_indices(0);
      role->set_threshold(1);
    }
    agent::v1::SignedDocument root;
    root.set_payload(document.SerializeAsString());
    agent::v1::Signature& signature = *root.add_signatures();
    signature.set_key_id(KeyIdOf(keys_[0].PublicKey()));
    signature.set_value(keys_[0].Sign(kRootContext, root.payload()));
    root_ = root.SerializeAsString();
    roots_ = *RootChain::Make({*ParseRoot(root_)});

    grpc::ServerBuilder builder;
    builder.RegisterService(&handler_);
    server_ = builder.BuildAndStart();
    stub_ = v1::BuildService::NewStub(server_->InProcessChannel({}));
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    grpc::ClientContext context;
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) {
      return FromGrpcStatus(status);
    }
    return response;
  }

  // Sends a file in two pieces.
  absl::StatusOr<v1::Model> Import(const v1::ImportSpec& spec, const std::string& file) {
    grpc::ClientContext context;
    v1::ImportModelResponse response;
    const auto writer = stub_->ImportModel(&context, &response);
    v1::ImportModelRequest message;
    *message.mutable_spec() = spec;
    writer->Write(message);
    for (const std::string& piece :
         {file.substr(0, file.size() / 2), file.substr(file.size() / 2)}) {
      message.set_data(piece);
      writer->Write(message);
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (!status.ok()) {
      return FromGrpcStatus(status);
    }
    return response.model();
  }

  // Sends a file in pieces of 1 MiB.
  absl::StatusOr<v1::Artifact> Upload(agent::v1::ComponentKind kind, const std::string& version,
                                      const std::string& file) {
    grpc::ClientContext context;
    v1::UploadArtifactResponse response;
    const auto writer = stub_->UploadArtifact(&context, &response);
    v1::UploadArtifactRequest message;
    message.mutable_spec()->set_parent("projects/motor");
    message.mutable_spec()->set_kind(kind);
    message.mutable_spec()->set_version(version);
    bool open = writer->Write(message);
    for (std::size_t at = 0; open && at < file.size(); at += std::size_t{1} << 20) {
      message.set_data(file.substr(at, std::size_t{1} << 20));
      open = writer->Write(message);
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (!status.ok()) {
      return FromGrpcStatus(status);
    }
    return response.artifact();
  }

  static v1::ImportSpec SmallSpec() {
    v1::ImportSpec spec;
    spec.set_parent("projects/motor");
    spec.set_impulse("projects/motor/impulses/gait");
    spec.add_classes("run");
    spec.add_classes("walk");
    return spec;
  }

  void CreateImpulse() {
    v1::CreateImpulseRequest request;
    request.set_parent("projects/motor");
    request.set_impulse_id("gait");
    *request.mutable_recipe() = ToProto(SmallRecipe());
    ASSERT_THAT(Call(&Stub::CreateImpulse, request), IsOk());
  }

  absl::StatusOr<v1::CreateBuildResponse> CreateBuild() {
    v1::CreateBuildRequest request;
    request.set_parent("projects/motor");
    request.mutable_build()->set_dataset_version(FakeDatasets::kVersion);
    request.mutable_build()->set_impulse("projects/motor/impulses/gait");
    return Call(&Stub::CreateBuild, request);
  }

  // Makes "projects/motor/models/1".
  void MakeModel() {
    CreateImpulse();
    ASSERT_THAT(CreateBuild(), IsOk());
    ASSERT_TRUE(*worker_.RunOne());
  }

  v1::Model GetModel(const std::string& name) {
    v1::GetModelRequest request;
    request.set_name(name);
    const auto response = Call(&Stub::GetModel, request);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? response->model() : v1::Model();
  }

  TestDatabase database_;
  ::fieldloop::testing::FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_ = *OpenFolderBlobStore(database_.folder() + "/blobs");
  std::unique_ptr<FolderWorkArea> work_ = *FolderWorkArea::Open(database_.folder() + "/work");
  FakeAccess access_;
  FakeDatasets datasets_;
  FakeTrainer trainer_;
  FakeTrainer block_{"block"};
  const TrainerSet trainers_{trainer_, {&block_}};
  TfliteModelChecker checker_;
  FakeRunner runner_;
  ImpulseModelJudge judge_{[] { return absl::ZeroDuration(); }};
  RecordingObserver observer_;
  RunningBuilds running_;
  ChangeSignal changes_;
  std::string root_;
  RootChain roots_;
  std::vector<SigningKey> keys_;
  std::atomic<bool> stopping_{false};
  BuildWorker worker_{{.builds = database_.builds(),
                       .impulses = database_.impulses(),
                       .models = database_.models(),
                       .datasets = datasets_,
                       .trainers = trainers_,
                       .runner = runner_,
                       .checker = checker_,
                       .judge = judge_,
                       .work = *work_,
                       .blobs = *blobs_,
                       .running = running_,
                       .changes = changes_,
                       .observer = observer_,
                       .clock = clock_},
                      "me"};
  ImpulseCatalog impulses_{database_.impulses(), clock_};
  BuildQueue builds_{{.builds = database_.builds(),
                      .impulses = database_.impulses(),
                      .models = database_.models(),
                      .datasets = datasets_,
                      .blobs = *blobs_,
                      .trainers = trainers_,
                      .running = running_,
                      .changes = changes_,
                      .observer = observer_,
                      .clock = clock_},
                     100};
  ImpulseModelPackager packager_;
  ModelImporter importer_{{.impulses = database_.impulses(),
                           .models = database_.models(),
                           .datasets = datasets_,
                           .packager = packager_,
                           .checker = checker_,
                           .judge = judge_,
                           .work = *work_,
                           .blobs = *blobs_,
                           .clock = clock_}};
  ModelRegistry models_{database_.models(), *blobs_, clock_};
  ModelComparer comparer_{{.models = models_,
                           .judge = judge_,
                           .datasets = datasets_,
                           .blobs = *blobs_,
                           .clock = clock_}};
  ArtifactRegistry artifacts_{database_.artifacts(), database_.models(), *blobs_, clock_};
  ReleaseDesk releases_{database_.releases(),
                        database_.models(),
                        database_.artifacts(),
                        roots_,
                        keys_,
                        EncodeManifest,
                        clock_};
  BuildHandler handler_{{.access = access_,
                         .impulses = impulses_,
                         .builds = builds_,
                         .models = models_,
                         .comparer = comparer_,
                         .importer = importer_,
                         .artifacts = artifacts_,
                         .releases = releases_,
                         .trainers = trainers_,
                         .roots = roots_,
                         .changes = changes_},
                        [this] { return stopping_.load(); }};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Stub> stub_;
};

TEST_F(BuildHandlerTest, AnImpulseComesBackAsItWasGiven) {
  v1::ImpulseRecipe recipe = ToProto(SmallRecipe());
  recipe.add_magnitudes()->set_count(2);
  recipe.add_blocks()->mutable_flatten()->set_without_shape(true);
  recipe.add_blocks()->mutable_spectral()->set_fft_length(16);
  recipe.mutable_blocks(1)->mutable_flatten()->set_scale(3);
  recipe.mutable_learning()->mutable_augmentation()->set_half_turns(true);
  recipe.mutable_learning()->set_group_key("device");
  v1::CreateImpulseRequest request;
  request.set_parent("projects/motor");
  request.set_impulse_id("gait");
  *request.mutable_recipe() = recipe;
  const auto created = Call(&Stub::CreateImpulse, request);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->impulse().name(), "projects/motor/impulses/gait/versions/1");
  EXPECT_EQ(created->impulse().recipe().DebugString(), recipe.DebugString());
  EXPECT_EQ(created->impulse().digest().size(), 64U);

  v1::GetImpulseRequest get;
  get.set_name("projects/motor/impulses/gait");
  EXPECT_EQ(Call(&Stub::GetImpulse, get)->impulse().DebugString(),
            created->impulse().DebugString());
}

TEST_F(BuildHandlerTest, AnAudioImpulseComesBackAsItWasGiven) {
  v1::ImpulseRecipe recipe = ToProto(SmallRecipe());
  recipe.mutable_window()->set_length(100);
  auto& filter = *recipe.mutable_blocks(0)->mutable_spectral()->mutable_filter();
  recipe.mutable_blocks(0)->mutable_spectral()->set_fft_length(16);
  filter.set_kind(agent::v1::Filter::KIND_LOW_PASS);
  filter.set_cutoff_hz(20);
  filter.set_order(4);
  agent::v1::MfeBlock& mfe = *recipe.add_blocks()->mutable_mfe();
  mfe.set_frame_length(20);
  mfe.set_frame_stride(10);
  mfe.set_fft_length(32);
  mfe.set_filter_count(8);
  mfe.set_low_hz(5);
  mfe.set_high_hz(45);
  mfe.set_noise_floor_db(-52);
  mfe.set_pre_emphasis(0.5F);
  mfe.set_scale(2);
  agent::v1::MfccBlock& mfcc = *recipe.add_blocks()->mutable_mfcc();
  mfcc.set_frame_length(20);
  mfcc.set_frame_stride(10);
  mfcc.set_fft_length(32);
  mfcc.set_filter_count(8);
  mfcc.set_high_hz(50);
  mfcc.set_scale(1);
  mfcc.set_coefficient_count(5);
  mfcc.set_normalisation_frames(3);
  v1::Learning& learning = *recipe.mutable_learning();
  learning.set_network(v1::NETWORK_CONV_1D);
  v1::ConvBlock& block = *learning.add_conv_blocks();
  block.set_filters(8);
  block.set_kernel(5);
  block.set_stride(2);
  block.set_pool(3);
  learning.mutable_augmentation()->set_time_shift(4);
  learning.mutable_augmentation()->set_time_mask(2);
  learning.mutable_augmentation()->set_frequency_mask(1);
  learning.set_early_stopping_patience(7);
  learning.set_validation_share(0.25);
  learning.mutable_anomaly()->set_method(v1::AnomalyLearning::METHOD_GAUSSIAN_MIXTURE);
  learning.mutable_anomaly()->set_components(4);
  learning.mutable_anomaly()->set_features(6);
  learning.mutable_anomaly()->set_quantile(0.95);
  learning.mutable_budget()->set_flash_kb(64);
  learning.mutable_budget()->set_ram_kb(32);
  learning.mutable_budget()->set_mega_instructions(5);
  learning.mutable_budget()->set_trials(3);
  (*learning.mutable_parameters())["activation"] = "relu";
  v1::CreateImpulseRequest request;
  request.set_parent("projects/motor");
  request.set_impulse_id("words");
  *request.mutable_recipe() = recipe;
  const auto created = Call(&Stub::CreateImpulse, request);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->impulse().recipe().DebugString(), recipe.DebugString());

  v1::GetImpulseRequest get;
  get.set_name("projects/motor/impulses/words");
  EXPECT_EQ(Call(&Stub::GetImpulse, get)->impulse().recipe().DebugString(), recipe.DebugString());
}

TEST_F(BuildHandlerTest, TheLineageOfAModelGoesBackToTheFirstOfItsLine) {
  MakeModel();
  v1::CreateBuildRequest create;
  create.set_parent("projects/motor");
  create.mutable_build()->set_dataset_version(FakeDatasets::kVersion);
  create.mutable_build()->set_impulse("projects/motor/impulses/gait");
  create.mutable_build()->set_seed(7);
  create.mutable_build()->set_parent_model("projects/motor/models/1");
  ASSERT_THAT(Call(&Stub::CreateBuild, create), IsOk());
  ASSERT_TRUE(*worker_.RunOne());

  v1::GetModelLineageRequest request;
  request.set_name("projects/motor/models/2");
  const auto response = Call(&Stub::GetModelLineage, request);
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->lineage().steps_size(), 2);
  const v1::ModelLineage::Step& step = response->lineage().steps(0);
  EXPECT_EQ(step.model(), "projects/motor/models/2");
  EXPECT_EQ(step.digest(), GetModel("projects/motor/models/2").digest());
  EXPECT_EQ(step.build(), "projects/motor/builds/2");
  EXPECT_EQ(step.dataset_version(), FakeDatasets::kVersion);
  EXPECT_EQ(step.dataset_digest(), VersionDigest(datasets_.samples));
  EXPECT_EQ(step.impulse(), "projects/motor/impulses/gait/versions/1");
  EXPECT_THAT(step.trainer(), HasSubstr("fieldloop-trainer sha256:ffff"));
  EXPECT_EQ(step.seed(), 7U);
  EXPECT_EQ(response->lineage().steps(1).model(), "projects/motor/models/1");
  EXPECT_EQ(response->lineage().steps(1).seed(), 1U);

  request.set_name("projects/motor/models/3");
  EXPECT_THAT(Call(&Stub::GetModelLineage, request), StatusIs(absl::StatusCode::kNotFound));

  v1::ListModelsRequest list;
  list.set_parent("projects/motor");
  list.add_dataset_versions(FakeDatasets::kVersion);
  EXPECT_EQ(Call(&Stub::ListModels, list)->models_size(), 2);
  list.add_dataset_versions("projects/other/datasets/gait/versions/1");
  EXPECT_THAT(Call(&Stub::ListModels, list), StatusIs(absl::StatusCode::kInvalidArgument));
  list.set_dataset_versions(1, "gait");
  EXPECT_THAT(Call(&Stub::ListModels, list), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BuildHandlerTest, TwoModelsAreComparedWithTheirRecipes) {
  MakeModel();
  v1::CreateImpulseRequest impulse;
  impulse.set_parent("projects/motor");
  impulse.set_impulse_id("gait");
  *impulse.mutable_recipe() = ToProto(SmallRecipe());
  impulse.mutable_recipe()->mutable_learning()->set_epochs(7);
  ASSERT_THAT(Call(&Stub::CreateImpulse, impulse), IsOk());
  ASSERT_THAT(CreateBuild(), IsOk());
  ASSERT_TRUE(*worker_.RunOne());

  v1::CompareModelsRequest request;
  request.set_first("projects/motor/models/1");
  request.set_second("projects/motor/models/2");
  request.set_dataset_version(FakeDatasets::kVersion);
  const auto response = Call(&Stub::CompareModels, request);
  ASSERT_THAT(response, IsOk());
  const v1::ModelComparison& comparison = response->comparison();
  EXPECT_EQ(comparison.first(), "projects/motor/models/1");
  EXPECT_EQ(comparison.second(), "projects/motor/models/2");
  EXPECT_EQ(comparison.both_right() + comparison.neither_right(), 2);
  EXPECT_EQ(comparison.rows(0).name(), "size_bytes");
  EXPECT_EQ(comparison.rows(0).first(), comparison.rows(0).second());
  EXPECT_THAT(comparison.recipe_differences(), ElementsAre("learning.epochs: 60 -> 7"));
}

TEST_F(BuildHandlerTest, AModelIsExportedAsAnArchiveThatIsTheSameEveryTime) {
  MakeModel();
  const auto fetch = [&](v1::ExportModelRequest::Format format) -> absl::StatusOr<std::string> {
    v1::ExportModelRequest request;
    request.set_name("projects/motor/models/1");
    request.set_format(format);
    grpc::ClientContext context;
    const auto reader = stub_->ExportModel(&context, request);
    v1::ExportModelResponse piece;
    std::string archive;
    while (reader->Read(&piece)) {
      archive += piece.data();
    }
    if (const grpc::Status status = reader->Finish(); !status.ok()) {
      return FromGrpcStatus(status);
    }
    return archive;
  };
  for (const auto format : {v1::ExportModelRequest::FORMAT_C_ARRAY,
                            v1::ExportModelRequest::FORMAT_DEPLOYMENT_METADATA}) {
    const auto archive = fetch(format);
    ASSERT_THAT(archive, IsOk());
    EXPECT_EQ(UnpackZip(*archive)->size(), 2U);
    EXPECT_EQ(*fetch(format), *archive);
  }
  EXPECT_THAT(fetch(v1::ExportModelRequest::FORMAT_UNSPECIFIED),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BuildHandlerTest, AModelCarriesTheFiguresOfTheService) {
  MakeModel();
  const v1::Model model = GetModel("projects/motor/models/1");
  ASSERT_GT(model.metrics_size(), 2);
  EXPECT_EQ(model.metrics(0).name(), "accuracy");
  EXPECT_GT(model.cortex_m4_instructions(), 100);
  EXPECT_EQ(model.seed(), 1U);
  EXPECT_EQ(model.import_author(), "");
}

TEST_F(BuildHandlerTest, ABadRecipeIsRefusedByItsField) {
  v1::CreateImpulseRequest request;
  request.set_parent("projects/motor");
  request.set_impulse_id("gait");
  const absl::Status status = Call(&Stub::CreateImpulse, request).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("recipe.window.length: got 0"));
}

TEST_F(BuildHandlerTest, ListsArePagedWithoutRepeatingARow) {
  for (const char* id : {"aa", "bb", "cc"}) {
    v1::CreateImpulseRequest request;
    request.set_parent("projects/motor");
    request.set_impulse_id(id);
    *request.mutable_recipe() = ToProto(SmallRecipe());
    ASSERT_THAT(Call(&Stub::CreateImpulse, request), IsOk());
  }
  v1::ListImpulsesRequest request;
  request.set_parent("projects/motor");
  request.set_page_size(2);
  const auto first = Call(&Stub::ListImpulses, request);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->impulses_size(), 2);
  request.set_page_token(first->next_page_token());
  const auto second = Call(&Stub::ListImpulses, request);
  ASSERT_EQ(second->impulses_size(), 1);
  EXPECT_EQ(second->impulses(0).name(), "projects/motor/impulses/cc/versions/1");
  EXPECT_EQ(second->next_page_token(), "");
  request.set_page_token("%%");
  EXPECT_THAT(Call(&Stub::ListImpulses, request), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BuildHandlerTest, AWatchSeesTheBuildFromQueueToModel) {
  CreateImpulse();
  ASSERT_THAT(CreateBuild(), IsOk());
  grpc::ClientContext context;
  v1::WatchBuildRequest request;
  request.set_name("projects/motor/builds/1");
  const auto reader = stub_->WatchBuild(&context, request);
  v1::WatchBuildResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.build().state(), v1::Build::STATE_QUEUED);
  std::thread work([this] { EXPECT_TRUE(*worker_.RunOne()); });
  while (reader->Read(&response)) {
  }
  work.join();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(response.build().state(), v1::Build::STATE_SUCCEEDED) << response.build().error();
  EXPECT_EQ(response.build().model(), "projects/motor/models/1");
  EXPECT_THAT(response.build().trainer(), HasSubstr("fieldloop-trainer sha256:"));
}

TEST_F(BuildHandlerTest, AWatchEndsWhenTheServiceStops) {
  CreateImpulse();
  ASSERT_THAT(CreateBuild(), IsOk());
  grpc::ClientContext context;
  v1::WatchBuildRequest request;
  request.set_name("projects/motor/builds/1");
  const auto reader = stub_->WatchBuild(&context, request);
  v1::WatchBuildResponse response;
  ASSERT_TRUE(reader->Read(&response));
  stopping_ = true;
  changes_.Notify();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(BuildHandlerTest, AModelSaysWhatItWasMadeFromAndWhatItIs) {
  MakeModel();
  const v1::Model model = GetModel("projects/motor/models/1");
  EXPECT_EQ(model.digest(), ToHex(Sha256Of(SmallModel())));
  EXPECT_EQ(model.build(), "projects/motor/builds/1");
  EXPECT_EQ(model.dataset_version(), FakeDatasets::kVersion);
  EXPECT_EQ(model.impulse(), "projects/motor/impulses/gait/versions/1");
  EXPECT_EQ(model.metadata().window().length(), 2U);
  EXPECT_EQ(model.metadata().classes_size(), 2);
  EXPECT_GT(model.arena_bytes(), 0);
  EXPECT_EQ(model.trainer_metrics(0).name(), "accuracy");
}

TEST_F(BuildHandlerTest, TrainersAreListedTheBuiltInOneFirst) {
  const auto response = Call(&Stub::ListTrainers, v1::ListTrainersRequest());
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->trainers_size(), 2);
  EXPECT_EQ(response->trainers(0).id(), "fieldloop-trainer");
  EXPECT_EQ(response->trainers(0).contract(), v1::Trainer::CONTRACT_FIELDLOOP);
  EXPECT_EQ(response->trainers(1).id(), "block");
}

TEST_F(BuildHandlerTest, AnImportedModelIsPackagedJudgedAndHasItsAuthor) {
  CreateImpulse();
  v1::ImportSpec spec = SmallSpec();
  spec.set_dataset_version(FakeDatasets::kVersion);
  const absl::StatusOr<v1::Model> model = Import(spec, SmallNetwork(""));
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->name(), "projects/motor/models/1");
  EXPECT_EQ(model->build(), "");
  EXPECT_EQ(model->trainer(), "import");
  EXPECT_EQ(model->import_author(), "apiTokens/test");
  EXPECT_EQ(model->impulse(), "projects/motor/impulses/gait/versions/1");
  EXPECT_EQ(model->dataset_version(), FakeDatasets::kVersion);
  EXPECT_GE(model->metadata().reference().channels_size(), 2);
  EXPECT_FALSE(model->metadata().self_test().output().empty());
  EXPECT_GT(model->metrics_size(), 0);
  EXPECT_EQ(Import(spec, SmallNetwork(""))->name(), "projects/motor/models/1");
}

TEST_F(BuildHandlerTest, AModelThatCarriesItsImpulseNeedsNoOther) {
  v1::ImportSpec spec;
  spec.set_parent("projects/motor");
  const absl::StatusOr<v1::Model> model = Import(spec, SmallModel());
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT(model->classes(), ElementsAre("run", "walk"));
  EXPECT_EQ(model->impulse(), "");
}

TEST_F(BuildHandlerTest, AnImportThatDoesNotFitIsRefused) {
  CreateImpulse();
  v1::ImportSpec spec = SmallSpec();
  spec.add_classes("sit");
  EXPECT_THAT(std::string(Import(spec, SmallNetwork("")).status().message()),
              HasSubstr("its output has 2 values, but there are 3 classes"));
  spec = SmallSpec();
  spec.clear_impulse();
  EXPECT_THAT(std::string(Import(spec, SmallNetwork("")).status().message()),
              HasSubstr("spec.impulse: got nothing"));
  spec = SmallSpec();
  spec.clear_classes();
  EXPECT_THAT(std::string(Import(spec, SmallNetwork("")).status().message()),
              HasSubstr("classes: got 0"));
  EXPECT_THAT(Import(SmallSpec(), "nonsense"), StatusIs(absl::StatusCode::kInvalidArgument));
  access_.role = Role::kViewer;
  EXPECT_THAT(Import(SmallSpec(), SmallNetwork("")), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(BuildHandlerTest, ALogWithBytesThatAreNoTextStillArrives) {
  MakeModel();
  v1::GetBuildLogRequest request;
  request.set_name("projects/motor/builds/1");
  const auto log = Call(&Stub::GetBuildLog, request);
  ASSERT_THAT(log, IsOk());
  EXPECT_THAT(log->log(), HasSubstr("trained ?\n"));
}

TEST_F(BuildHandlerTest, ModelsAndArtifactsAreStreamedWhole) {
  MakeModel();
  std::string model;
  {
    grpc::ClientContext context;
    v1::DownloadModelRequest request;
    request.set_name("projects/motor/models/1");
    const auto reader = stub_->DownloadModel(&context, request);
    v1::DownloadModelResponse response;
    while (reader->Read(&response)) {
      model += response.data();
    }
    EXPECT_TRUE(reader->Finish().ok());
  }
  EXPECT_EQ(model, SmallModel());
  std::string artifact;
  grpc::ClientContext context;
  v1::DownloadArtifactRequest request;
  request.set_parent("projects/motor");
  request.set_digest(ToHex(Sha256Of(SmallModel())));
  const auto reader = stub_->DownloadArtifact(&context, request);
  v1::DownloadArtifactResponse response;
  while (reader->Read(&response)) {
    artifact += response.data();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(artifact, SmallModel());
}

TEST_F(BuildHandlerTest, AnAliasNamesAModelAndItsAuthorIsTheCaller) {
  MakeModel();
  v1::SetModelAliasRequest request;
  request.set_parent("projects/motor");
  request.set_alias("champion");
  request.set_model("projects/motor/models/1");
  request.set_reason("first");
  const auto change = Call(&Stub::SetModelAlias, request);
  ASSERT_THAT(change, IsOk());
  EXPECT_EQ(change->change().author(), "apiTokens/test");
  EXPECT_THAT(GetModel("projects/motor/models/champion").aliases(), ElementsAre("champion"));
  v1::ListAliasChangesRequest list;
  list.set_parent("projects/motor");
  list.set_alias("champion");
  EXPECT_EQ(Call(&Stub::ListAliasChanges, list)->changes(0).model(), "projects/motor/models/1");
}

TEST_F(BuildHandlerTest, AReleaseIsAManifestThatADeviceCanCheck) {
  MakeModel();
  v1::CreateReleaseRequest request;
  request.set_parent("projects/motor");
  request.set_model("projects/motor/models/1");
  request.add_hardware_ids("nrf52");
  request.mutable_expire_time()->set_seconds(1'800'000'000);
  const auto created = Call(&Stub::CreateRelease, request);
  ASSERT_THAT(created, IsOk());
  const v1::Release& release = created->release();
  EXPECT_EQ(release.name(), "projects/motor/releases/1");
  EXPECT_TRUE(release.signed_());
  EXPECT_EQ(release.content().SerializeAsString(), release.manifest().payload());
  EXPECT_EQ(release.content().project(), "motor");
  EXPECT_EQ(release.content().sequence(), 1U);
  EXPECT_EQ(release.content().expires_s(), 1'800'000'000U);
  EXPECT_THAT(release.content().hardware_ids(), ElementsAre("nrf52"));
  ASSERT_EQ(release.content().components_size(), 1);
  const agent::v1::ReleaseComponent& component = release.content().components(0);
  EXPECT_EQ(component.kind(), agent::v1::COMPONENT_KIND_MODEL);
  EXPECT_EQ(component.digest(), Sha256Of(SmallModel()));
  EXPECT_EQ(component.size_bytes(), SmallModel().size());
  EXPECT_EQ(component.version(), "1");
  EXPECT_TRUE(VerifySignature(keys_[0].PublicKey(), kManifestContext, release.manifest().payload(),
                              release.manifest().signatures(0).value()));

  v1::ListReleasesRequest list;
  list.set_parent("projects/motor");
  EXPECT_EQ(Call(&Stub::ListReleases, list)->releases(0).DebugString(), release.DebugString());
}

TEST_F(BuildHandlerTest, AnUploadedConfigurationAndFirmwareAreReleasedWithAModel) {
  MakeModel();
  const auto configuration = Upload(agent::v1::COMPONENT_KIND_CONFIGURATION, "c1", "rate=5");
  ASSERT_THAT(configuration, IsOk());
  EXPECT_EQ(configuration->name(), "projects/motor/artifacts/1");
  EXPECT_EQ(configuration->kind(), agent::v1::COMPONENT_KIND_CONFIGURATION);
  EXPECT_EQ(configuration->author(), "apiTokens/test");
  // Of several pieces.
  const std::string image(std::size_t{3} << 20, 'i');
  ASSERT_THAT(Upload(agent::v1::COMPONENT_KIND_FIRMWARE, "f1", image), IsOk());

  v1::CreateReleaseRequest request;
  request.set_parent("projects/motor");
  request.set_model("projects/motor/models/1");
  request.set_configuration("projects/motor/artifacts/1");
  request.set_firmware("projects/motor/artifacts/2");
  request.add_hardware_ids("nrf52");
  const auto created = Call(&Stub::CreateRelease, request);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->release().configuration(), "projects/motor/artifacts/1");
  EXPECT_EQ(created->release().firmware(), "projects/motor/artifacts/2");
  std::vector<agent::v1::ComponentKind> kinds;
  for (const agent::v1::ReleaseComponent& component : created->release().content().components()) {
    kinds.push_back(component.kind());
  }
  EXPECT_THAT(kinds,
              ElementsAre(agent::v1::COMPONENT_KIND_MODEL, agent::v1::COMPONENT_KIND_FIRMWARE,
                          agent::v1::COMPONENT_KIND_CONFIGURATION));
  EXPECT_EQ(created->release().content().components(1).size_bytes(), image.size());
  EXPECT_EQ(created->release().content().components(2).version(), "c1");
  EXPECT_LE(created->release().manifest().payload().size(), 768U);

  v1::ListArtifactsRequest list;
  list.set_parent("projects/motor");
  list.set_kind(agent::v1::COMPONENT_KIND_FIRMWARE);
  const auto listed = Call(&Stub::ListArtifacts, list);
  ASSERT_THAT(listed, IsOk());
  ASSERT_EQ(listed->artifacts_size(), 1);
  v1::GetArtifactRequest get;
  get.set_name("projects/motor/artifacts/2");
  EXPECT_EQ(Call(&Stub::GetArtifact, get)->artifact().DebugString(),
            listed->artifacts(0).DebugString());
}

TEST_F(BuildHandlerTest, AnUploadSaysWhatItLacks) {
  EXPECT_EQ(Upload(agent::v1::COMPONENT_KIND_UNSPECIFIED, "1", "x").status().message(),
            "spec.kind: got 0, want firmware or configuration");
  EXPECT_THAT(Upload(agent::v1::COMPONENT_KIND_FIRMWARE, "1",
                     std::string((std::size_t{16} << 20) + 1, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  access_.role = Role::kViewer;
  EXPECT_THAT(Upload(agent::v1::COMPONENT_KIND_FIRMWARE, "1", "x"),
              StatusIs(absl::StatusCode::kPermissionDenied));
  access_.role = Role::kIngest;
  v1::ListArtifactsRequest list;
  list.set_parent("projects/motor");
  EXPECT_THAT(Call(&Stub::ListArtifacts, list), StatusIs(absl::StatusCode::kPermissionDenied));
  v1::GetArtifactRequest get;
  get.set_name("projects/motor/artifacts/1");
  EXPECT_THAT(Call(&Stub::GetArtifact, get), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(BuildHandlerTest, ReasonsReachTheClient) {
  MakeModel();
  roots_ = RootChain();
  v1::CreateReleaseRequest request;
  request.set_parent("projects/motor");
  request.set_model("projects/motor/models/1");
  EXPECT_EQ(ReasonOf(Call(&Stub::CreateRelease, request).status()), "ROOT_NOT_CONFIGURED");
  v1::CancelBuildRequest cancel;
  cancel.set_name("projects/motor/builds/1");
  EXPECT_EQ(ReasonOf(Call(&Stub::CancelBuild, cancel).status()), "BUILD_DONE");
}

TEST_F(BuildHandlerTest, RootsAreGivenAsTheyWereSigned) {
  const auto roots = Call(&Stub::ListRoots, v1::ListRootsRequest());
  ASSERT_THAT(roots, IsOk());
  ASSERT_EQ(roots->roots_size(), 1);
  EXPECT_EQ(roots->roots(0).SerializeAsString(), root_);
  v1::ListRootsRequest after;
  after.set_after_version(1);
  EXPECT_EQ(Call(&Stub::ListRoots, after)->roots_size(), 0);
}

TEST_F(BuildHandlerTest, EveryChangeNeedsAnOperatorAndEveryReadAViewer) {
  access_.role = Role::kViewer;
  v1::CreateImpulseRequest impulse;
  impulse.set_parent("projects/motor");
  v1::CancelBuildRequest cancel;
  cancel.set_name("projects/motor/builds/1");
  v1::SetModelAliasRequest alias;
  alias.set_parent("projects/motor");
  v1::CreateReleaseRequest release;
  release.set_parent("projects/motor");
  v1::AddReleaseSignatureRequest signature;
  signature.set_name("projects/motor/releases/1");
  const auto denied = StatusIs(absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(Call(&Stub::CreateImpulse, impulse), denied);
  EXPECT_THAT(CreateBuild(), denied);
  EXPECT_THAT(Call(&Stub::CancelBuild, cancel), denied);
  EXPECT_THAT(Call(&Stub::SetModelAlias, alias), denied);
  EXPECT_THAT(Call(&Stub::CreateRelease, release), denied);
  EXPECT_THAT(Call(&Stub::AddReleaseSignature, signature), denied);

  access_.role = Role::kIngest;
  v1::GetImpulseRequest get_impulse;
  get_impulse.set_name("projects/motor/impulses/gait");
  v1::GetBuildRequest get_build;
  get_build.set_name("projects/motor/builds/1");
  v1::ListBuildsRequest list_builds;
  list_builds.set_parent("projects/motor");
  v1::GetBuildLogRequest log;
  log.set_name("projects/motor/builds/1");
  v1::GetModelRequest get_model;
  get_model.set_name("projects/motor/models/1");
  v1::ListModelsRequest list_models;
  list_models.set_parent("projects/motor");
  v1::GetReleaseRequest get_release;
  get_release.set_name("projects/motor/releases/1");
  EXPECT_THAT(Call(&Stub::GetImpulse, get_impulse), denied);
  EXPECT_THAT(Call(&Stub::GetBuild, get_build), denied);
  EXPECT_THAT(Call(&Stub::ListBuilds, list_builds), denied);
  EXPECT_THAT(Call(&Stub::GetBuildLog, log), denied);
  EXPECT_THAT(Call(&Stub::GetModel, get_model), denied);
  EXPECT_THAT(Call(&Stub::ListModels, list_models), denied);
  v1::GetModelLineageRequest lineage;
  lineage.set_name("projects/motor/models/1");
  EXPECT_THAT(Call(&Stub::GetModelLineage, lineage), denied);
  v1::CompareModelsRequest compare;
  compare.set_first("projects/motor/models/1");
  EXPECT_THAT(Call(&Stub::CompareModels, compare), denied);
  v1::ExportModelRequest export_model;
  export_model.set_name("projects/motor/models/1");
  grpc::ClientContext context;
  EXPECT_THAT(FromGrpcStatus(stub_->ExportModel(&context, export_model)->Finish()), denied);
  EXPECT_THAT(Call(&Stub::GetRelease, get_release), denied);
  EXPECT_THAT(Call(&Stub::ListRoots, v1::ListRootsRequest()), denied);
}

TEST_F(BuildHandlerTest, AProjectThatIsNotTheCallersIsNotFound) {
  v1::GetModelRequest request;
  request.set_name("projects/other/models/1");
  EXPECT_THAT(Call(&Stub::GetModel, request), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace fieldloop::build
