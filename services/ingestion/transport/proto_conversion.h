// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_TRANSPORT_PROTO_CONVERSION_H_
#define FIELDLOOP_SERVICES_INGESTION_TRANSPORT_PROTO_CONVERSION_H_

#include <cstdint>
#include <string>

#include <fieldloop/ingestion/v1/ingestion_service.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/dataset.h"
#include "services/ingestion/domain/dataset_changes.h"
#include "services/ingestion/domain/labelling_service.h"
#include "services/ingestion/domain/sample.h"
#include "services/ingestion/domain/sample_service.h"
#include "services/ingestion/domain/sample_store.h"
#include "services/ingestion/domain/settings.h"

namespace fieldloop::ingestion {

// Names of the API and the ids in them. INVALID_ARGUMENT naming `field`.
absl::StatusOr<std::string> ProjectIdOf(absl::string_view field, absl::string_view name);

// The project of "projects/{p}/settings".
absl::StatusOr<std::string> ProjectOfSettings(absl::string_view field, absl::string_view name);

struct SampleName {
  std::string project;
  std::string id;
};
absl::StatusOr<SampleName> ParseSampleName(absl::string_view field, absl::string_view name);

struct DatasetName {
  std::string project;
  std::string id;
};
absl::StatusOr<DatasetName> ParseDatasetName(absl::string_view field, absl::string_view name);

struct DatasetVersionName {
  std::string project;
  std::string dataset_id;
  std::int64_t number = 0;
};
absl::StatusOr<DatasetVersionName> ParseDatasetVersionName(absl::string_view field,
                                                           absl::string_view name);

// From the API's messages; INVALID_ARGUMENT naming the field that has no meaning here.
absl::StatusOr<SampleFilter> FromProto(absl::string_view field, const v1::SampleFilter& proto);
absl::StatusOr<Split> FromProto(absl::string_view field, v1::Split proto);
absl::StatusOr<UploadSpec> FromProto(const v1::UploadSpec& proto);
absl::StatusOr<DeviceRecording> FromProto(const v1::RecordDeviceSampleRequest& proto);
absl::StatusOr<Dataset> FromProto(const v1::Dataset& proto);
absl::StatusOr<Settings> FromProto(const v1::Settings& proto);
// Without author and time.
absl::StatusOr<Label> FromProto(const v1::Label& proto);
// Without time; errors name what is below `field`.
absl::StatusOr<Suggestion> FromProto(absl::string_view field, const v1::Suggestion& proto);
// Without labeller.
absl::StatusOr<LabellingWish> FromProto(const v1::LeaseLabellingTasksRequest& proto);

v1::Sample ToProto(const Sample& sample);
v1::Label ToProto(const Label& label);
// Without the signature key.
v1::Settings ToProto(const Settings& settings);
v1::Dataset ToProto(const Dataset& dataset);
v1::DatasetVersion ToProto(const DatasetVersion& version);
v1::LabellingTask ToProto(const LabellingTask& task);
v1::GetLabelAgreementResponse ToProto(absl::string_view project, const Agreement& agreement);
v1::DatasetDifference ToProto(const DatasetDifference& difference);
v1::DatasetVersionChange ToProto(absl::string_view project, const VersionChange& change);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_TRANSPORT_PROTO_CONVERSION_H_
