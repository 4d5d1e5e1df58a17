// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/proto_conversion.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <google/protobuf/util/time_util.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {

namespace {

google::protobuf::Duration ToProto(absl::Duration duration) {
  return google::protobuf::util::TimeUtil::MicrosecondsToDuration(
      absl::ToInt64Microseconds(duration));
}

// An age; 0 is the same as none.
absl::StatusOr<std::optional<absl::Duration>> AgeFromProto(
    absl::string_view field, const google::protobuf::Duration& proto) {
  // As google.protobuf.Duration says.
  constexpr std::int64_t kMaxSeconds = 315576000000;
  if (proto.seconds() < 0 || proto.seconds() > kMaxSeconds || proto.nanos() < 0 ||
      proto.nanos() > 999'999'999) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got ", proto.seconds(), " s and ",
                                                   proto.nanos(), " ns, want 0 to ", kMaxSeconds,
                                                   " s"));
  }
  const absl::Duration age = absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
  return age == absl::ZeroDuration() ? std::nullopt : std::make_optional(age);
}

template <typename Enum>
absl::StatusOr<Enum> FromProtoEnum(absl::string_view field, int number, int last) {
  if (number < 0 || number > last) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got ", number, ", want 0 to ", last));
  }
  return static_cast<Enum>(number);
}

std::vector<LabelRange> FromProto(const google::protobuf::RepeatedPtrField<v1::LabelRange>& proto) {
  std::vector<LabelRange> ranges;
  ranges.reserve(static_cast<std::size_t>(proto.size()));
  for (const v1::LabelRange& range : proto) {
    ranges.push_back(
        {.start = range.start_reading(), .end = range.end_reading(), .label = range.label()});
  }
  return ranges;
}

void AddRanges(const std::vector<LabelRange>& ranges,
               google::protobuf::RepeatedPtrField<v1::LabelRange>& proto) {
  for (const LabelRange& range : ranges) {
    v1::LabelRange& added = *proto.Add();
    added.set_start_reading(range.start);
    added.set_end_reading(range.end);
    added.set_label(range.label);
  }
}

std::string ProjectName(absl::string_view id) { return absl::StrCat("projects/", id); }

}  // namespace

absl::StatusOr<std::string> ProjectIdOf(absl::string_view field, absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::string> ids,
                             ParseResourceName(field, "projects/*", name));
  return std::move(ids[0]);
}

absl::StatusOr<std::string> ProjectOfSettings(absl::string_view field, absl::string_view name) {
  const std::size_t end = name.rfind("/settings");
  if (end == absl::string_view::npos || name.substr(end) != "/settings") {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got \"", name, "\", want projects/*/settings"));
  }
  return ProjectIdOf(field, name.substr(0, end));
}

absl::StatusOr<SampleName> ParseSampleName(absl::string_view field, absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::string> ids,
                             ParseResourceName(field, "projects/*/samples/*", name));
  return SampleName{.project = std::move(ids[0]), .id = std::move(ids[1])};
}

absl::StatusOr<DatasetName> ParseDatasetName(absl::string_view field, absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::string> ids,
                             ParseResourceName(field, "projects/*/datasets/*", name));
  return DatasetName{.project = std::move(ids[0]), .id = std::move(ids[1])};
}

absl::StatusOr<DatasetVersionName> ParseDatasetVersionName(absl::string_view field,
                                                           absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::string> ids,
                             ParseResourceName(field, "projects/*/datasets/*/versions/*", name));
  DatasetVersionName parsed{.project = std::move(ids[0]), .dataset_id = std::move(ids[1])};
  if (!absl::SimpleAtoi(ids[2], &parsed.number) || parsed.number < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got version \"", ids[2], "\", want a number from 1"));
  }
  return parsed;
}

absl::StatusOr<SampleFilter> FromProto(absl::string_view field, const v1::SampleFilter& proto) {
  SampleFilter filter;
  FIELDLOOP_ASSIGN_OR_RETURN(
      filter.label_state,
      FromProtoEnum<LabelState>(absl::StrCat(field, ".label_state"), proto.label_state(),
                                v1::LABEL_STATE_NO_PERSON));
  FIELDLOOP_ASSIGN_OR_RETURN(filter.split, FromProtoEnum<Split>(absl::StrCat(field, ".split"),
                                                                proto.split(), v1::SPLIT_TESTING));
  FIELDLOOP_ASSIGN_OR_RETURN(
      filter.source, FromProtoEnum<SampleSource>(absl::StrCat(field, ".source"), proto.source(),
                                                 v1::SAMPLE_SOURCE_DEVICE));
  filter.without_suggestion_of = proto.without_suggestion_of();
  filter.labels.assign(proto.labels().begin(), proto.labels().end());
  filter.devices.assign(proto.devices().begin(), proto.devices().end());
  filter.metadata.insert(proto.metadata().begin(), proto.metadata().end());
  if (proto.has_created_after()) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        filter.created_after,
        FromTimestamp(absl::StrCat(field, ".created_after"), proto.created_after()));
  }
  if (proto.has_created_before()) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        filter.created_before,
        FromTimestamp(absl::StrCat(field, ".created_before"), proto.created_before()));
  }
  filter.flags.assign(proto.flags().begin(), proto.flags().end());
  filter.without_flags.assign(proto.without_flags().begin(), proto.without_flags().end());
  return filter;
}

absl::StatusOr<Split> FromProto(absl::string_view field, v1::Split proto) {
  return FromProtoEnum<Split>(field, proto, v1::SPLIT_TESTING);
}

absl::StatusOr<UploadSpec> FromProto(const v1::UploadSpec& proto) {
  UploadSpec spec;
  FIELDLOOP_ASSIGN_OR_RETURN(spec.project, ProjectIdOf("upload.parent", proto.parent()));
  FIELDLOOP_ASSIGN_OR_RETURN(
      spec.format,
      FromProtoEnum<SampleFormat>("upload.format", proto.format(), v1::SAMPLE_FORMAT_CBOR));
  FIELDLOOP_ASSIGN_OR_RETURN(
      spec.split, FromProtoEnum<Split>("upload.split", proto.split(), v1::SPLIT_TESTING));
  spec.file_name = proto.file_name();
  spec.labels = FromProto(proto.labels());
  spec.metadata.insert(proto.metadata().begin(), proto.metadata().end());
  spec.split_key = proto.split_key();
  spec.disallow_duplicates = proto.disallow_duplicates();
  spec.upload_id = proto.upload_id();
  spec.size_bytes = proto.size_bytes();
  spec.offset = proto.offset();
  spec.axes.assign(proto.axes().begin(), proto.axes().end());
  spec.frequency_hz = proto.frequency_hz();
  return spec;
}

absl::StatusOr<DeviceRecording> FromProto(const v1::RecordDeviceSampleRequest& proto) {
  DeviceRecording recording;
  FIELDLOOP_ASSIGN_OR_RETURN(recording.project, ProjectIdOf("parent", proto.parent()));
  const v1::DeviceProvenance& device = proto.device();
  recording.device = {.device = device.device(),
                      .model_digest = device.model_digest(),
                      .reason = device.reason(),
                      .probability = device.probability(),
                      .predicted_label = device.predicted_label(),
                      .confidence = device.confidence()};
  FIELDLOOP_ASSIGN_OR_RETURN(recording.device.start_time,
                             FromTimestamp("device.start_time", device.start_time()));
  recording.payload = proto.payload();
  recording.axes.assign(proto.axes().begin(), proto.axes().end());
  recording.frequency_hz = proto.frequency_hz();
  recording.metadata.insert(proto.metadata().begin(), proto.metadata().end());
  recording.sequence = proto.sequence();
  return recording;
}

absl::StatusOr<Dataset> FromProto(const v1::Dataset& proto) {
  FIELDLOOP_ASSIGN_OR_RETURN(DatasetName name, ParseDatasetName("dataset.name", proto.name()));
  FIELDLOOP_ASSIGN_OR_RETURN(SampleFilter filter, FromProto("dataset.filter", proto.filter()));
  return Dataset{.project = std::move(name.project),
                 .id = std::move(name.id),
                 .filter = std::move(filter),
                 .create_time = {}};
}

absl::StatusOr<Settings> FromProto(const v1::Settings& proto) {
  Settings settings;
  FIELDLOOP_ASSIGN_OR_RETURN(settings.project, ProjectOfSettings("settings.name", proto.name()));
  settings.frequency_hz = proto.frequency_hz();
  settings.strict_signatures = proto.strict_signatures();
  settings.signature_key = proto.signature_key();
  settings.units.insert(proto.units().begin(), proto.units().end());
  settings.min_seconds = proto.min_seconds();
  settings.max_seconds = proto.max_seconds();
  FIELDLOOP_ASSIGN_OR_RETURN(
      settings.retention.unlabelled,
      AgeFromProto("settings.retention.unlabelled", proto.retention().unlabelled()));
  FIELDLOOP_ASSIGN_OR_RETURN(
      settings.retention.labelled,
      AgeFromProto("settings.retention.labelled", proto.retention().labelled()));
  settings.retention.max_bytes = proto.retention().max_bytes();
  settings.split_key = proto.split_key();
  return settings;
}

absl::StatusOr<Label> FromProto(const v1::Label& proto) {
  FIELDLOOP_ASSIGN_OR_RETURN(SampleName sample, ParseSampleName("sample", proto.sample()));
  Label label;
  label.project = std::move(sample.project);
  label.sample_id = std::move(sample.id);
  label.ranges = FromProto(proto.ranges());
  label.source = proto.source();
  label.suggested_by = proto.suggested_by();
  return label;
}

absl::StatusOr<Suggestion> FromProto(absl::string_view field, const v1::Suggestion& proto) {
  FIELDLOOP_ASSIGN_OR_RETURN(SampleName sample,
                             ParseSampleName(absl::StrCat(field, ".sample"), proto.sample()));
  return Suggestion{.project = std::move(sample.project),
                    .sample_id = std::move(sample.id),
                    .model_digest = proto.model_digest(),
                    .label = proto.label(),
                    .confidence = proto.confidence(),
                    .novelty = proto.novelty(),
                    .create_time = {}};
}

absl::StatusOr<LabellingWish> FromProto(const v1::LeaseLabellingTasksRequest& proto) {
  LabellingWish wish;
  FIELDLOOP_ASSIGN_OR_RETURN(wish.project, ProjectIdOf("parent", proto.parent()));
  FIELDLOOP_ASSIGN_OR_RETURN(wish.filter, FromProto("filter", proto.filter()));
  wish.count = proto.count();
  if (proto.has_lease()) {
    // Zero would be the default; a lease of no time is refused.
    wish.lease = absl::Seconds(proto.lease().seconds()) + absl::Nanoseconds(proto.lease().nanos());
    if (wish.lease <= absl::ZeroDuration()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "lease: got ", absl::FormatDuration(wish.lease), ", want 1 minute to 1 day"));
    }
  }
  if (proto.has_random_share()) {
    wish.random_share = proto.random_share();
  }
  wish.second_opinion_share = proto.second_opinion_share();
  return wish;
}

v1::Sample ToProto(const Sample& sample) {
  v1::Sample proto;
  proto.set_name(absl::StrCat(ProjectName(sample.project), "/samples/", sample.id));
  proto.set_file_name(sample.file_name);
  proto.set_format(static_cast<v1::SampleFormat>(sample.format));
  proto.set_digest(sample.digest);
  proto.set_size_bytes(sample.size_bytes);
  proto.mutable_axes()->Assign(sample.axes.begin(), sample.axes.end());
  proto.mutable_units()->Assign(sample.units.begin(), sample.units.end());
  proto.set_readings(sample.readings);
  proto.set_frequency_hz(sample.frequency_hz);
  proto.set_resampling(sample.resampling);
  proto.set_split(static_cast<v1::Split>(sample.split));
  proto.set_split_group(sample.split_group);
  proto.set_source(static_cast<v1::SampleSource>(sample.source));
  if (sample.device.has_value()) {
    v1::DeviceProvenance& device = *proto.mutable_device();
    device.set_device(sample.device->device);
    device.set_model_digest(sample.device->model_digest);
    device.set_reason(sample.device->reason);
    device.set_probability(sample.device->probability);
    device.set_predicted_label(sample.device->predicted_label);
    device.set_confidence(sample.device->confidence);
    *device.mutable_start_time() = ToTimestamp(sample.device->start_time);
  }
  proto.mutable_metadata()->insert(sample.metadata.begin(), sample.metadata.end());
  AddRanges(sample.labels, *proto.mutable_labels());
  *proto.mutable_create_time() = ToTimestamp(sample.create_time);
  proto.mutable_flags()->Assign(sample.flags.begin(), sample.flags.end());
  return proto;
}

v1::Settings ToProto(const Settings& settings) {
  v1::Settings proto;
  proto.set_name(absl::StrCat(ProjectName(settings.project), "/settings"));
  proto.set_frequency_hz(settings.frequency_hz);
  proto.set_strict_signatures(settings.strict_signatures);
  proto.set_has_signature_key(!settings.signature_key.empty());
  proto.mutable_units()->insert(settings.units.begin(), settings.units.end());
  proto.set_min_seconds(settings.min_seconds);
  proto.set_max_seconds(settings.max_seconds);
  v1::Retention& retention = *proto.mutable_retention();
  if (settings.retention.unlabelled.has_value()) {
    *retention.mutable_unlabelled() = ToProto(*settings.retention.unlabelled);
  }
  if (settings.retention.labelled.has_value()) {
    *retention.mutable_labelled() = ToProto(*settings.retention.labelled);
  }
  retention.set_max_bytes(settings.retention.max_bytes);
  proto.set_split_key(settings.split_key);
  return proto;
}

v1::Label ToProto(const Label& label) {
  v1::Label proto;
  const std::string sample = absl::StrCat(ProjectName(label.project), "/samples/", label.sample_id);
  proto.set_name(absl::StrCat(sample, "/labels/", label.number));
  proto.set_sample(sample);
  AddRanges(label.ranges, *proto.mutable_ranges());
  proto.set_author(label.author);
  proto.set_source(label.source);
  *proto.mutable_create_time() = ToTimestamp(label.create_time);
  if (label.undoes != 0) {
    proto.set_undoes(absl::StrCat(sample, "/labels/", label.undoes));
  }
  proto.set_suggested_by(label.suggested_by);
  proto.set_reason(static_cast<v1::LabellingReason>(label.reason));
  proto.set_probability(label.probability);
  return proto;
}

v1::Dataset ToProto(const Dataset& dataset) {
  v1::Dataset proto;
  proto.set_name(absl::StrCat(ProjectName(dataset.project), "/datasets/", dataset.id));
  const SampleFilter& filter = dataset.filter;
  v1::SampleFilter& filter_proto = *proto.mutable_filter();
  filter_proto.set_label_state(static_cast<v1::LabelState>(filter.label_state));
  filter_proto.mutable_labels()->Assign(filter.labels.begin(), filter.labels.end());
  filter_proto.set_split(static_cast<v1::Split>(filter.split));
  filter_proto.set_source(static_cast<v1::SampleSource>(filter.source));
  filter_proto.mutable_devices()->Assign(filter.devices.begin(), filter.devices.end());
  filter_proto.mutable_metadata()->insert(filter.metadata.begin(), filter.metadata.end());
  if (filter.created_after.has_value()) {
    *filter_proto.mutable_created_after() = ToTimestamp(*filter.created_after);
  }
  if (filter.created_before.has_value()) {
    *filter_proto.mutable_created_before() = ToTimestamp(*filter.created_before);
  }
  filter_proto.mutable_flags()->Assign(filter.flags.begin(), filter.flags.end());
  filter_proto.mutable_without_flags()->Assign(filter.without_flags.begin(),
                                               filter.without_flags.end());
  *proto.mutable_create_time() = ToTimestamp(dataset.create_time);
  return proto;
}

v1::DatasetVersion ToProto(const DatasetVersion& version) {
  v1::DatasetVersion proto;
  proto.set_name(absl::StrCat(ProjectName(version.project), "/datasets/", version.dataset_id,
                              "/versions/", version.number));
  proto.set_digest(version.digest);
  proto.set_sample_count(version.sample_count);
  proto.mutable_training_readings()->insert(version.training_readings.begin(),
                                            version.training_readings.end());
  proto.mutable_testing_readings()->insert(version.testing_readings.begin(),
                                           version.testing_readings.end());
  *proto.mutable_create_time() = ToTimestamp(version.create_time);
  return proto;
}

v1::LabellingTask ToProto(const LabellingTask& task) {
  v1::LabellingTask proto;
  *proto.mutable_sample() = ToProto(task.sample);
  proto.set_reason(static_cast<v1::LabellingReason>(task.reason));
  if (task.suggestion.has_value()) {
    v1::Suggestion& suggestion = *proto.mutable_suggestion();
    suggestion.set_sample(proto.sample().name());
    suggestion.set_model_digest(task.suggestion->model_digest);
    suggestion.set_label(task.suggestion->label);
    suggestion.set_confidence(task.suggestion->confidence);
    suggestion.set_novelty(task.suggestion->novelty);
    *suggestion.mutable_create_time() = ToTimestamp(task.suggestion->create_time);
  }
  *proto.mutable_lease_expire_time() = ToTimestamp(task.lease_expire_time);
  proto.set_probability(task.probability);
  return proto;
}

v1::GetLabelAgreementResponse ToProto(absl::string_view project, const Agreement& agreement) {
  v1::GetLabelAgreementResponse proto;
  proto.set_samples(agreement.samples);
  if (agreement.alpha.has_value()) {
    proto.set_alpha(*agreement.alpha);
  }
  for (const PairAgreement& pair : agreement.pairs) {
    auto& added = *proto.add_pairs();
    added.set_first(pair.first);
    added.set_second(pair.second);
    added.set_samples(pair.samples);
    added.set_agreement(pair.agreement);
    if (pair.kappa.has_value()) {
      added.set_kappa(*pair.kappa);
    }
  }
  for (const std::string& id : agreement.disagreeing) {
    proto.add_disagreeing(absl::StrCat(ProjectName(project), "/samples/", id));
  }
  return proto;
}

v1::DatasetDifference ToProto(const DatasetDifference& difference) {
  v1::DatasetDifference proto;
  proto.set_group(difference.group);
  proto.set_added(difference.added);
  proto.set_removed(difference.removed);
  proto.set_relabelled(difference.relabelled);
  proto.set_moved(difference.moved);
  return proto;
}

v1::DatasetVersionChange ToProto(absl::string_view project, const VersionChange& change) {
  v1::DatasetVersionChange proto;
  proto.set_sample(absl::StrCat(ProjectName(project), "/samples/", change.sample_id));
  switch (KindOf(change)) {
    case ChangeKind::kNone:
      break;
    case ChangeKind::kAdded:
      proto.set_kind(v1::DatasetVersionChange::KIND_ADDED);
      break;
    case ChangeKind::kRemoved:
      proto.set_kind(v1::DatasetVersionChange::KIND_REMOVED);
      break;
    case ChangeKind::kRelabelled:
      proto.set_kind(v1::DatasetVersionChange::KIND_RELABELLED);
      break;
    case ChangeKind::kMoved:
      proto.set_kind(v1::DatasetVersionChange::KIND_MOVED);
      break;
    case ChangeKind::kRelabelledAndMoved:
      proto.set_kind(v1::DatasetVersionChange::KIND_RELABELLED_AND_MOVED);
      break;
  }
  AddRanges(change.first_labels, *proto.mutable_first_labels());
  AddRanges(change.second_labels, *proto.mutable_second_labels());
  return proto;
}

}  // namespace fieldloop::ingestion
