// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_TRANSPORT_INGESTION_HANDLER_H_
#define FIELDLOOP_SERVICES_INGESTION_TRANSPORT_INGESTION_HANDLER_H_

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "services/common/access/access.h"
#include "services/ingestion/domain/dataset_service.h"
#include "services/ingestion/domain/labelling_service.h"
#include "services/ingestion/domain/retention_service.h"
#include "services/ingestion/domain/sample_service.h"
#include "services/ingestion/domain/settings_service.h"

namespace fieldloop::ingestion {

// Checks who calls, translates RPCs into calls of the domain, and back. Holds no rule of its own.
class IngestionHandler final : public v1::IngestionService::Service {
 public:
  // Everything given must outlive this object.
  IngestionHandler(Access& access, SampleService& samples, DatasetService& datasets,
                   SettingsService& settings, LabellingService& labelling,
                   RetentionService& retention);

  grpc::Status UploadSample(grpc::ServerContext* context,
                            grpc::ServerReader<v1::UploadSampleRequest>* reader,
                            v1::UploadSampleResponse* response) override;
  grpc::Status GetUpload(grpc::ServerContext* context, const v1::GetUploadRequest* request,
                         v1::GetUploadResponse* response) override;
  grpc::Status RecordDeviceSample(grpc::ServerContext* context,
                                  const v1::RecordDeviceSampleRequest* request,
                                  v1::RecordDeviceSampleResponse* response) override;
  grpc::Status GetSample(grpc::ServerContext* context, const v1::GetSampleRequest* request,
                         v1::GetSampleResponse* response) override;
  grpc::Status ListSamples(grpc::ServerContext* context, const v1::ListSamplesRequest* request,
                           v1::ListSamplesResponse* response) override;
  grpc::Status CountSamples(grpc::ServerContext* context, const v1::CountSamplesRequest* request,
                            v1::CountSamplesResponse* response) override;
  grpc::Status DownloadSample(grpc::ServerContext* context,
                              const v1::DownloadSampleRequest* request,
                              grpc::ServerWriter<v1::DownloadSampleResponse>* writer) override;
  grpc::Status CreateLabels(grpc::ServerContext* context, const v1::CreateLabelsRequest* request,
                            v1::CreateLabelsResponse* response) override;
  grpc::Status ListLabels(grpc::ServerContext* context, const v1::ListLabelsRequest* request,
                          v1::ListLabelsResponse* response) override;
  grpc::Status DeleteSample(grpc::ServerContext* context, const v1::DeleteSampleRequest* request,
                            v1::DeleteSampleResponse* response) override;
  grpc::Status ApplyRetention(grpc::ServerContext* context,
                              const v1::ApplyRetentionRequest* request,
                              v1::ApplyRetentionResponse* response) override;
  grpc::Status UndoLabel(grpc::ServerContext* context, const v1::UndoLabelRequest* request,
                         v1::UndoLabelResponse* response) override;
  grpc::Status CreateSuggestions(grpc::ServerContext* context,
                                 const v1::CreateSuggestionsRequest* request,
                                 v1::CreateSuggestionsResponse* response) override;
  grpc::Status LeaseLabellingTasks(grpc::ServerContext* context,
                                   const v1::LeaseLabellingTasksRequest* request,
                                   v1::LeaseLabellingTasksResponse* response) override;
  grpc::Status ReleaseLabellingTasks(grpc::ServerContext* context,
                                     const v1::ReleaseLabellingTasksRequest* request,
                                     v1::ReleaseLabellingTasksResponse* response) override;
  grpc::Status GetLabelAgreement(grpc::ServerContext* context,
                                 const v1::GetLabelAgreementRequest* request,
                                 v1::GetLabelAgreementResponse* response) override;
  grpc::Status CreateDataset(grpc::ServerContext* context, const v1::CreateDatasetRequest* request,
                             v1::CreateDatasetResponse* response) override;
  grpc::Status GetDataset(grpc::ServerContext* context, const v1::GetDatasetRequest* request,
                          v1::GetDatasetResponse* response) override;
  grpc::Status ListDatasets(grpc::ServerContext* context, const v1::ListDatasetsRequest* request,
                            v1::ListDatasetsResponse* response) override;
  grpc::Status CreateDatasetVersion(grpc::ServerContext* context,
                                    const v1::CreateDatasetVersionRequest* request,
                                    v1::CreateDatasetVersionResponse* response) override;
  grpc::Status GetDatasetVersion(grpc::ServerContext* context,
                                 const v1::GetDatasetVersionRequest* request,
                                 v1::GetDatasetVersionResponse* response) override;
  grpc::Status ListDatasetVersions(grpc::ServerContext* context,
                                   const v1::ListDatasetVersionsRequest* request,
                                   v1::ListDatasetVersionsResponse* response) override;
  grpc::Status GetSettings(grpc::ServerContext* context, const v1::GetSettingsRequest* request,
                           v1::GetSettingsResponse* response) override;
  grpc::Status UpdateSettings(grpc::ServerContext* context,
                              const v1::UpdateSettingsRequest* request,
                              v1::UpdateSettingsResponse* response) override;
  grpc::Status ExportDatasetVersion(
      grpc::ServerContext* context, const v1::ExportDatasetVersionRequest* request,
      grpc::ServerWriter<v1::ExportDatasetVersionResponse>* writer) override;
  grpc::Status DiffDatasetVersions(grpc::ServerContext* context,
                                   const v1::DiffDatasetVersionsRequest* request,
                                   v1::DiffDatasetVersionsResponse* response) override;
  grpc::Status ListDatasetVersionChanges(grpc::ServerContext* context,
                                         const v1::ListDatasetVersionChangesRequest* request,
                                         v1::ListDatasetVersionChangesResponse* response) override;
  grpc::Status ListSampleDatasetVersions(grpc::ServerContext* context,
                                         const v1::ListSampleDatasetVersionsRequest* request,
                                         v1::ListSampleDatasetVersionsResponse* response) override;

 private:
  Access& access_;
  SampleService& samples_;
  DatasetService& datasets_;
  SettingsService& settings_;
  LabellingService& labelling_;
  RetentionService& retention_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_TRANSPORT_INGESTION_HANDLER_H_
