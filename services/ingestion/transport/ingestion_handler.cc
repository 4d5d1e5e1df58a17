// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/ingestion_handler.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/transport/proto_conversion.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::int64_t kPieceBytes = 256 << 10;
constexpr std::size_t kMaxUploadPieceBytes = 1 << 20;

// Runs the body of a handler, which may return early with a status, and translates what it returns.
template <typename Body>
grpc::Status Respond(Body body) {
  return ToGrpcStatus(body());
}

absl::Status ClientGone() { return absl::CancelledError("the client is gone"); }

}  // namespace

IngestionHandler::IngestionHandler(Access& access, SampleService& samples, DatasetService& datasets,
                                   SettingsService& settings, LabellingService& labelling,
                                   RetentionService& retention)
    : access_(access),
      samples_(samples),
      datasets_(datasets),
      settings_(settings),
      labelling_(labelling),
      retention_(retention) {}

grpc::Status IngestionHandler::UploadSample(grpc::ServerContext* context,
                                            grpc::ServerReader<v1::UploadSampleRequest>* reader,
                                            v1::UploadSampleResponse* response) {
  return Respond([&]() -> absl::Status {
    v1::UploadSampleRequest message;
    if (!reader->Read(&message) || !message.has_upload()) {
      return absl::InvalidArgumentError("upload: got no spec, want it in the first message");
    }
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Grant grant, CheckCall(access_, *context, message.upload().parent(), Role::kIngest));
    FIELDLOOP_ASSIGN_OR_RETURN(UploadSpec spec, FromProto(message.upload()));
    spec.author = grant.principal;
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<SampleService::Upload> upload,
                               samples_.BeginUpload(std::move(spec)));
    while (reader->Read(&message)) {
      if (message.part_case() != v1::UploadSampleRequest::kData) {
        return absl::InvalidArgumentError("data: got another part, want data after the spec");
      }
      if (message.data().size() > kMaxUploadPieceBytes) {
        return absl::InvalidArgumentError(absl::StrCat(
            "data: got ", message.data().size(), " bytes, want at most ", kMaxUploadPieceBytes));
      }
      FIELDLOOP_RETURN_IF_ERROR(upload->Append(message.data()));
    }
    if (context->IsCancelled()) {  // What came may be a part of the file.
      return ClientGone();
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const StoredSample stored, upload->Finish());
    *response->mutable_sample() = ToProto(stored.sample);
    response->set_duplicate(stored.existed);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::GetUpload(grpc::ServerContext* context,
                                         const v1::GetUploadRequest* request,
                                         v1::GetUploadResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kIngest).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                               ParseResourceName("name", "projects/*/uploads/*", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const PartialUpload upload,
                               samples_.FindUpload({.project = names[0], .upload_id = names[1]}));
    response->set_committed_bytes(upload.safe_bytes);
    response->set_size_bytes(upload.size_bytes);
    *response->mutable_expire_time() = ToTimestamp(upload.expire_time);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::RecordDeviceSample(grpc::ServerContext* context,
                                                  const v1::RecordDeviceSampleRequest* request,
                                                  v1::RecordDeviceSampleResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DeviceRecording recording, FromProto(*request));
    FIELDLOOP_ASSIGN_OR_RETURN(const Sample sample, samples_.RecordDeviceSample(recording));
    *response->mutable_sample() = ToProto(sample);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::GetSample(grpc::ServerContext* context,
                                         const v1::GetSampleRequest* request,
                                         v1::GetSampleResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleName name, ParseSampleName("name", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Sample sample, samples_.Get(name.project, name.id));
    *response->mutable_sample() = ToProto(sample);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::ListSamples(grpc::ServerContext* context,
                                           const v1::ListSamplesRequest* request,
                                           v1::ListSamplesResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleFilter filter, FromProto("filter", request->filter()));
    FIELDLOOP_ASSIGN_OR_RETURN(SamplePage page, samples_.List(project, filter, request->page_size(),
                                                              request->page_token()));
    for (const Sample& sample : page.samples) {
      *response->add_samples() = ToProto(sample);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::CountSamples(grpc::ServerContext* context,
                                            const v1::CountSamplesRequest* request,
                                            v1::CountSamplesResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleFilter filter, FromProto("filter", request->filter()));
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleCounts counts, samples_.Count(project, filter));
    response->set_total(counts.total);
    response->set_labelled(counts.labelled);
    response->mutable_training()->insert(counts.training.begin(), counts.training.end());
    response->mutable_testing()->insert(counts.testing.begin(), counts.testing.end());
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::DownloadSample(
    grpc::ServerContext* context, const v1::DownloadSampleRequest* request,
    grpc::ServerWriter<v1::DownloadSampleResponse>* writer) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleName name, ParseSampleName("name", request->name()));
    return samples_.Download(name.project, name.id, request->canonical(), kPieceBytes,
                             [&](absl::string_view piece) {
                               v1::DownloadSampleResponse response;
                               response.set_data(piece.data(), piece.size());
                               return writer->Write(response) ? absl::OkStatus() : ClientGone();
                             });
  });
}

grpc::Status IngestionHandler::CreateLabels(grpc::ServerContext* context,
                                            const v1::CreateLabelsRequest* request,
                                            v1::CreateLabelsResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->parent(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    std::vector<Label> labels;
    std::vector<int> index_of_label;
    std::vector<LabelRefusal> refusals;
    for (int i = 0; i < request->labels_size(); ++i) {
      absl::StatusOr<Label> label = FromProto(request->labels(i));
      if (label.ok() && label->project != project) {
        label = absl::InvalidArgumentError(
            absl::StrCat("sample: got one of project ", label->project, ", want one of ", project));
      }
      if (!label.ok()) {
        refusals.push_back({.index = i, .message = std::string(label.status().message())});
        continue;
      }
      labels.push_back(*std::move(label));
      index_of_label.push_back(i);
    }
    LabelsResult result;
    if (!labels.empty() || request->labels_size() == 0) {
      FIELDLOOP_ASSIGN_OR_RETURN(result, samples_.AddLabels(std::move(labels), grant.principal));
    }
    for (const LabelRefusal& refusal : result.refusals) {
      refusals.push_back({.index = index_of_label[static_cast<std::size_t>(refusal.index)],
                          .message = refusal.message});
    }
    std::sort(refusals.begin(), refusals.end(),
              [](const LabelRefusal& a, const LabelRefusal& b) { return a.index < b.index; });
    for (const Label& label : result.labels) {
      *response->add_labels() = ToProto(label);
    }
    for (const LabelRefusal& refusal : refusals) {
      auto& added = *response->add_refusals();
      added.set_index(refusal.index);
      added.set_message(refusal.message);
    }
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::ListLabels(grpc::ServerContext* context,
                                          const v1::ListLabelsRequest* request,
                                          v1::ListLabelsResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleName name, ParseSampleName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(
        LabelPage page,
        samples_.ListLabels(name.project, name.id, request->page_size(), request->page_token()));
    for (const Label& label : page.labels) {
      *response->add_labels() = ToProto(label);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::CreateDataset(grpc::ServerContext* context,
                                             const v1::CreateDatasetRequest* request,
                                             v1::CreateDatasetResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->dataset().name(), Role::kOperator).status());
    FIELDLOOP_ASSIGN_OR_RETURN(Dataset dataset, FromProto(request->dataset()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Dataset created, datasets_.Create(std::move(dataset)));
    *response->mutable_dataset() = ToProto(created);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::GetDataset(grpc::ServerContext* context,
                                          const v1::GetDatasetRequest* request,
                                          v1::GetDatasetResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetName name, ParseDatasetName("name", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Dataset dataset, datasets_.Get(name.project, name.id));
    *response->mutable_dataset() = ToProto(dataset);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::ListDatasets(grpc::ServerContext* context,
                                            const v1::ListDatasetsRequest* request,
                                            v1::ListDatasetsResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(
        DatasetPage page, datasets_.List(project, request->page_size(), request->page_token()));
    for (const Dataset& dataset : page.datasets) {
      *response->add_datasets() = ToProto(dataset);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::CreateDatasetVersion(grpc::ServerContext* context,
                                                    const v1::CreateDatasetVersionRequest* request,
                                                    v1::CreateDatasetVersionResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kOperator).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetName name,
                               ParseDatasetName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetVersion version,
                               datasets_.CreateVersion(name.project, name.id));
    *response->mutable_dataset_version() = ToProto(version);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::GetDatasetVersion(grpc::ServerContext* context,
                                                 const v1::GetDatasetVersionRequest* request,
                                                 v1::GetDatasetVersionResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetVersionName name,
                               ParseDatasetVersionName("name", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetVersion version,
                               datasets_.GetVersion(name.project, name.dataset_id, name.number));
    *response->mutable_dataset_version() = ToProto(version);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::ListDatasetVersions(grpc::ServerContext* context,
                                                   const v1::ListDatasetVersionsRequest* request,
                                                   v1::ListDatasetVersionsResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetName name,
                               ParseDatasetName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(
        DatasetVersionPage page,
        datasets_.ListVersions(name.project, name.id, request->page_size(), request->page_token()));
    for (const DatasetVersion& version : page.versions) {
      *response->add_dataset_versions() = ToProto(version);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::GetSettings(grpc::ServerContext* context,
                                           const v1::GetSettingsRequest* request,
                                           v1::GetSettingsResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project,
                               ProjectOfSettings("name", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Settings settings, settings_.Get(project));
    *response->mutable_settings() = ToProto(settings);
    return absl::OkStatus();
  });
}

// Retention deletes and a key decides what is believed: for who administers the project.
grpc::Status IngestionHandler::UpdateSettings(grpc::ServerContext* context,
                                              const v1::UpdateSettingsRequest* request,
                                              v1::UpdateSettingsResponse* response) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->settings().name(), Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Settings wanted, FromProto(request->settings()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Settings settings,
                               settings_.Update(wanted, request->clear_signature_key()));
    *response->mutable_settings() = ToProto(settings);
    return absl::OkStatus();
  });
}

grpc::Status IngestionHandler::ExportDatasetVersion(
    grpc::ServerContext* context, const v1::ExportDatasetVersionRequest* request,
    grpc::ServerWriter<v1::ExportDatasetVersionResponse>* writer) {
  return Respond([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetVersionName name,
                               ParseDatasetVersionName("name", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Split only, FromProto("split", request->split()));
    return datasets_.Export(
        name.project, name.dataset_id, name.number,
        {.split = only, .with_data = !request->without_data(), .piece_bytes = kPieceBytes},
        [&](const Sample* sample, absl::string_view piece) {
          v1::ExportDatasetVersionResponse response;
          if (sample != nullptr) {
            *response.mutable_sample() = ToProto(*sample);
          }
          response.set_data(piece.data(), piece.size());
          return writer->Write(response) ? absl::OkStatus() : ClientGone();
        });
  });
}

}  // namespace fieldloop::ingestion
