// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/transport/clients.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/grpc/client_call.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/evaluation/transport/sample_conversion.h"

namespace fieldloop::evaluation {
namespace {

namespace agent = fieldloop::agent::v1;
namespace build = fieldloop::build::v1;
namespace distribution = fieldloop::distribution::v1;
namespace ingestion = fieldloop::ingestion::v1;

constexpr absl::Duration kStreamTimeout = absl::Minutes(30);
constexpr std::size_t kMostModelBytes = 64U << 20;

void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

Model FromProto(const build::Model& proto) {
  Model model;
  model.name = proto.name();
  model.digest = proto.digest();
  const agent::Impulse& impulse = proto.metadata();
  model.classes.assign(impulse.classes().begin(), impulse.classes().end());
  model.reference_id = impulse.reference().id();
  for (const agent::ReferenceChannel& channel : impulse.reference().channels()) {
    if (channel.kind() == agent::CHANNEL_KIND_CONFIDENCE && model.confidence_channel < 0) {
      model.confidence_channel = static_cast<int>(model.channels.size());
    }
    model.channels.push_back({.name = channel.name(), .bins = channel.edges_size() + 1});
  }
  model.bin_accuracy.assign(impulse.calibration().bin_accuracy().begin(),
                            impulse.calibration().bin_accuracy().end());
  model.window_length = static_cast<int>(impulse.window().length());
  model.window_stride = static_cast<int>(impulse.window().stride());
  model.frequency_hz = static_cast<double>(impulse.window().frequency_hz());
  model.axes.assign(impulse.window().axes().begin(), impulse.window().axes().end());
  model.pad_short = impulse.window().pad_short();
  return model;
}

BuildStatus FromProto(const build::Build& proto) {
  BuildStatus status;
  switch (proto.state()) {
    case build::Build::STATE_SUCCEEDED:
      status.state = BuildStatus::State::kSucceeded;
      break;
    case build::Build::STATE_FAILED:
      status.state = BuildStatus::State::kFailed;
      break;
    case build::Build::STATE_CANCELLED:
      status.state = BuildStatus::State::kCancelled;
      break;
    default:
      status.state = BuildStatus::State::kRunning;
  }
  status.activity = proto.activity();
  status.progress = proto.progress();
  status.error = proto.error();
  status.model = proto.model();
  return status;
}

RolloutStatus FromProto(const distribution::Rollout& proto) {
  RolloutStatus status;
  switch (proto.state()) {
    case distribution::Rollout::STATE_PAUSED:
      status.state = RolloutStatus::State::kPaused;
      break;
    case distribution::Rollout::STATE_COMPLETED:
      status.state = RolloutStatus::State::kCompleted;
      break;
    case distribution::Rollout::STATE_FAILED:
      status.state = RolloutStatus::State::kFailed;
      break;
    case distribution::Rollout::STATE_CANCELLED:
      status.state = RolloutStatus::State::kCancelled;
      break;
    default:
      status.state = RolloutStatus::State::kRunning;
  }
  status.reason = proto.state_reason();
  status.stage = proto.stage();
  status.target_count = proto.target_count();
  status.offered_count = proto.offered_count();
  status.confirmed_count = proto.confirmed_count();
  status.failed_count = proto.failed_count();
  return status;
}

distribution::Collection ToProto(const Collection& collection) {
  distribution::Collection proto;
  for (const auto& [key, value] : collection.attributes) {
    (*proto.mutable_target()->mutable_attributes())[key] = value;
  }
  proto.set_samples_per_period(collection.samples_per_period);
  proto.set_random_share(collection.random_share);
  proto.set_samples_total(collection.samples_total);
  return proto;
}

Collection FromProto(const distribution::Collection& proto) {
  return {.attributes = {proto.target().attributes().begin(), proto.target().attributes().end()},
          .samples_per_period = proto.samples_per_period(),
          .random_share = proto.random_share(),
          .samples_total = proto.samples_total()};
}

// Whether `settings` ask for exactly `collection`.
bool Asks(const distribution::FleetSettings& settings, const Collection& collection) {
  return settings.has_collection() && FromProto(settings.collection()) == collection &&
         settings.collection().target().hardware_ids().empty();
}

bool HasReason(const absl::Status& status, const char* reason) {
  return status.code() == absl::StatusCode::kFailedPrecondition && ReasonOf(status) == reason;
}

absl::StatusOr<distribution::FleetSettings> GetSettings(
    distribution::DistributionService::StubInterface& stub, const std::string& project) {
  distribution::GetFleetSettingsRequest request;
  request.set_name(absl::StrCat(project, "/fleetSettings"));
  FIELDLOOP_ASSIGN_OR_RETURN(
      distribution::GetFleetSettingsResponse response,
      CallUnary(stub, &distribution::DistributionService::StubInterface::GetFleetSettings,
                request));
  return std::move(*response.mutable_fleet_settings());
}

absl::Status UpdateSettings(distribution::DistributionService::StubInterface& stub,
                            const distribution::FleetSettings& settings) {
  distribution::UpdateFleetSettingsRequest request;
  *request.mutable_fleet_settings() = settings;
  return CallUnary(stub, &distribution::DistributionService::StubInterface::UpdateFleetSettings,
                   request)
      .status();
}

}  // namespace

RemoteModelRegistry::RemoteModelRegistry(std::unique_ptr<build::BuildService::StubInterface> stub)
    : stub_(std::move(stub)) {}

absl::StatusOr<Model> RemoteModelRegistry::GetModel(const std::string& name) {
  build::GetModelRequest request;
  request.set_name(name);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const build::GetModelResponse response,
      CallUnary(*stub_, &build::BuildService::StubInterface::GetModel, request));
  return FromProto(response.model());
}

absl::StatusOr<Model> RemoteModelRegistry::FindModel(const std::string& project,
                                                     const std::string& digest) {
  const std::pair<std::string, std::string> key(project, digest);
  {
    const MutexLock lock(mutex_);
    const auto found = by_digest_.find(key);
    if (found != by_digest_.end()) {
      return found->second;
    }
  }
  build::ListModelsRequest request;
  request.set_parent(project);
  request.set_digest(digest);
  request.set_page_size(1);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const build::ListModelsResponse response,
      CallUnary(*stub_, &build::BuildService::StubInterface::ListModels, request));
  if (digest.empty() || response.models().empty() || response.models(0).digest() != digest) {
    return absl::NotFoundError(absl::StrCat("no model of ", project, " has digest ", digest));
  }
  Model model = FromProto(response.models(0));
  const MutexLock lock(mutex_);
  by_digest_[key] = model;
  return model;
}

absl::StatusOr<std::string> RemoteModelRegistry::DownloadModel(const std::string& name) {
  build::DownloadModelRequest request;
  request.set_name(name);
  grpc::ClientContext context;
  SetDeadline(context, kStreamTimeout);
  const auto reader = stub_->DownloadModel(&context, request);
  std::string data;
  build::DownloadModelResponse piece;
  while (reader->Read(&piece)) {
    data += piece.data();
    if (data.size() > kMostModelBytes) {
      context.TryCancel();
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": got more than ", kMostModelBytes, " bytes"));
    }
  }
  if (const grpc::Status status = reader->Finish(); !status.ok()) {
    return FromGrpcStatus(status);
  }
  return data;
}

absl::StatusOr<std::string> RemoteModelRegistry::CreateBuild(const std::string& project,
                                                             const std::string& dataset_version,
                                                             const std::string& impulse,
                                                             std::uint32_t seed,
                                                             const std::string& request_id) {
  build::CreateBuildRequest request;
  request.set_parent(project);
  request.mutable_build()->set_dataset_version(dataset_version);
  request.mutable_build()->set_impulse(impulse);
  request.mutable_build()->set_seed(seed);
  request.set_request_id(request_id);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const build::CreateBuildResponse response,
      CallUnary(*stub_, &build::BuildService::StubInterface::CreateBuild, request));
  return response.build().name();
}

absl::StatusOr<BuildStatus> RemoteModelRegistry::GetBuild(const std::string& name) {
  build::GetBuildRequest request;
  request.set_name(name);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const build::GetBuildResponse response,
      CallUnary(*stub_, &build::BuildService::StubInterface::GetBuild, request));
  return FromProto(response.build());
}

absl::Status RemoteModelRegistry::CancelBuild(const std::string& name) {
  build::CancelBuildRequest request;
  request.set_name(name);
  const absl::Status status =
      CallUnary(*stub_, &build::BuildService::StubInterface::CancelBuild, request).status();
  return HasReason(status, "BUILD_DONE") ? absl::OkStatus() : status;
}

absl::StatusOr<ReleaseStatus> RemoteModelRegistry::CreateRelease(
    const std::string& project, const std::string& model,
    const std::vector<std::string>& hardware_ids, const std::string& request_id) {
  build::CreateReleaseRequest request;
  request.set_parent(project);
  request.set_model(model);
  request.mutable_hardware_ids()->Add(hardware_ids.begin(), hardware_ids.end());
  request.set_request_id(request_id);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const build::CreateReleaseResponse response,
      CallUnary(*stub_, &build::BuildService::StubInterface::CreateRelease, request));
  return ReleaseStatus{.name = response.release().name(),
                       .is_signed = response.release().signed_()};
}

absl::StatusOr<ReleaseStatus> RemoteModelRegistry::GetRelease(const std::string& name) {
  build::GetReleaseRequest request;
  request.set_name(name);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const build::GetReleaseResponse response,
      CallUnary(*stub_, &build::BuildService::StubInterface::GetRelease, request));
  return ReleaseStatus{.name = response.release().name(),
                       .is_signed = response.release().signed_()};
}

absl::Status RemoteModelRegistry::SetAlias(const std::string& project, const std::string& alias,
                                           const std::string& model, const std::string& reason) {
  // A repeat must not add to the alias' history.
  const absl::StatusOr<Model> now = GetModel(absl::StrCat(project, "/models/", alias));
  if (now.ok() && now->name == model) {
    return absl::OkStatus();
  }
  if (!now.ok() && now.status().code() != absl::StatusCode::kNotFound) {
    return now.status();
  }
  build::SetModelAliasRequest request;
  request.set_parent(project);
  request.set_alias(alias);
  request.set_model(model);
  request.set_reason(reason);
  return CallUnary(*stub_, &build::BuildService::StubInterface::SetModelAlias, request).status();
}

RemoteSampleArchive::RemoteSampleArchive(
    std::unique_ptr<ingestion::IngestionService::StubInterface> stub)
    : stub_(std::move(stub)) {}

absl::StatusOr<SampleCounts> RemoteSampleArchive::CountLabelled(const std::string& project,
                                                                bool devices_only,
                                                                bool testing_only,
                                                                absl::Time created_after) {
  ingestion::CountSamplesRequest request;
  request.set_parent(project);
  ingestion::SampleFilter& filter = *request.mutable_filter();
  filter.set_label_state(ingestion::LABEL_STATE_LABELLED);
  if (devices_only) {
    filter.set_source(ingestion::SAMPLE_SOURCE_DEVICE);
  }
  if (testing_only) {
    filter.set_split(ingestion::SPLIT_TESTING);
  }
  *filter.mutable_created_after() = ToTimestamp(created_after);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const ingestion::CountSamplesResponse response,
      CallUnary(*stub_, &ingestion::IngestionService::StubInterface::CountSamples, request));
  SampleCounts counts;
  counts.labelled = response.labelled();
  for (const auto& [label, count] : response.training()) {
    counts.by_label[label] += count;
  }
  for (const auto& [label, count] : response.testing()) {
    counts.by_label[label] += count;
  }
  return counts;
}

absl::Status RemoteSampleArchive::EnsureDataset(const std::string& dataset) {
  ingestion::GetDatasetRequest get;
  get.set_name(dataset);
  const absl::Status found =
      CallUnary(*stub_, &ingestion::IngestionService::StubInterface::GetDataset, get).status();
  if (found.code() != absl::StatusCode::kNotFound) {
    return found;
  }
  ingestion::CreateDatasetRequest create;
  create.mutable_dataset()->set_name(dataset);
  const absl::Status made =
      CallUnary(*stub_, &ingestion::IngestionService::StubInterface::CreateDataset, create)
          .status();
  return made.code() == absl::StatusCode::kAlreadyExists ? absl::OkStatus() : made;
}

absl::StatusOr<std::string> RemoteSampleArchive::CreateDatasetVersion(const std::string& dataset) {
  ingestion::CreateDatasetVersionRequest request;
  request.set_parent(dataset);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const ingestion::CreateDatasetVersionResponse response,
      CallUnary(*stub_, &ingestion::IngestionService::StubInterface::CreateDatasetVersion, request,
                absl::Minutes(5)));
  return response.dataset_version().name();
}

absl::Status RemoteSampleArchive::ForEachTestingSample(
    const std::string& dataset_version,
    absl::FunctionRef<absl::Status(const TestingSample& sample, double share)> sink) {
  ingestion::GetDatasetVersionRequest get;
  get.set_name(dataset_version);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const ingestion::GetDatasetVersionResponse version,
      CallUnary(*stub_, &ingestion::IngestionService::StubInterface::GetDatasetVersion, get));
  const double total =
      static_cast<double>(std::max<std::int64_t>(1, version.dataset_version().sample_count()));

  ingestion::ExportDatasetVersionRequest request;
  request.set_name(dataset_version);
  grpc::ClientContext context;
  SetDeadline(context, kStreamTimeout);
  const auto reader = stub_->ExportDatasetVersion(&context, request);
  std::optional<TestingSample> current;
  std::string data;
  double done = 0;
  const auto finish = [&]() -> absl::Status {
    if (current.has_value()) {
      FIELDLOOP_RETURN_IF_ERROR(DecodeReadings(data, *current));
      FIELDLOOP_RETURN_IF_ERROR(sink(*current, std::min(1.0, done / total)));
    }
    current.reset();
    data.clear();
    return absl::OkStatus();
  };
  ingestion::ExportDatasetVersionResponse piece;
  absl::Status failure;
  while (failure.ok() && reader->Read(&piece)) {
    if (piece.has_sample()) {
      failure = finish();
      done += 1;
      if (piece.sample().split() == ingestion::SPLIT_TESTING) {
        current = SampleWithoutReadings(piece.sample());
      }
    }
    if (current.has_value()) {
      data += piece.data();
    }
  }
  if (!failure.ok()) {
    context.TryCancel();
    reader->Finish();
    return failure;
  }
  if (const grpc::Status status = reader->Finish(); !status.ok()) {
    return FromGrpcStatus(status);
  }
  return finish();
}

RemoteFleet::RemoteFleet(std::unique_ptr<distribution::DistributionService::StubInterface> stub)
    : stub_(std::move(stub)) {}

absl::Status RemoteFleet::OpenCollection(const std::string& project, const Collection& collection) {
  FIELDLOOP_ASSIGN_OR_RETURN(distribution::FleetSettings settings, GetSettings(*stub_, project));
  if (Asks(settings, collection)) {
    return absl::OkStatus();
  }
  *settings.mutable_collection() = ToProto(collection);
  return UpdateSettings(*stub_, settings);
}

absl::Status RemoteFleet::CloseCollection(const std::string& project,
                                          const Collection& collection) {
  FIELDLOOP_ASSIGN_OR_RETURN(distribution::FleetSettings settings, GetSettings(*stub_, project));
  if (!Asks(settings, collection)) {
    return absl::OkStatus();
  }
  settings.clear_collection();
  return UpdateSettings(*stub_, settings);
}

absl::StatusOr<std::string> RemoteFleet::CreateRollout(const std::string& project,
                                                       const std::string& release,
                                                       const RolloutPolicy& plan,
                                                       const std::string& request_id) {
  distribution::CreateRolloutRequest request;
  request.set_parent(project);
  request.set_request_id(request_id);
  distribution::Rollout& rollout = *request.mutable_rollout();
  rollout.set_release(release);
  rollout.mutable_target()->mutable_hardware_ids()->Add(plan.hardware_ids.begin(),
                                                        plan.hardware_ids.end());
  for (const StagePolicy& policy : plan.stages) {
    distribution::RolloutStage& stage = *rollout.mutable_plan()->add_stages();
    stage.set_percent(policy.percent);
    stage.set_confirm_percent(policy.confirm_percent);
    stage.set_soak_seconds(absl::ToInt64Seconds(policy.soak));
  }
  rollout.mutable_plan()->set_failure_percent(plan.failure_percent);
  rollout.mutable_plan()->set_failure_count(plan.failure_count);
  rollout.mutable_plan()->set_device_timeout_seconds(absl::ToInt64Seconds(plan.device_timeout));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const distribution::CreateRolloutResponse response,
      CallUnary(*stub_, &distribution::DistributionService::StubInterface::CreateRollout, request));
  return response.rollout().name();
}

absl::StatusOr<RolloutStatus> RemoteFleet::GetRollout(const std::string& name) {
  distribution::GetRolloutRequest request;
  request.set_name(name);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const distribution::GetRolloutResponse response,
      CallUnary(*stub_, &distribution::DistributionService::StubInterface::GetRollout, request));
  return FromProto(response.rollout());
}

absl::Status RemoteFleet::CancelRollout(const std::string& name, const std::string& reason) {
  distribution::CancelRolloutRequest request;
  request.set_name(name);
  request.set_reason(reason);
  const absl::Status status =
      CallUnary(*stub_, &distribution::DistributionService::StubInterface::CancelRollout, request)
          .status();
  return HasReason(status, "ROLLOUT_DONE") ? absl::OkStatus() : status;
}

}  // namespace fieldloop::evaluation
