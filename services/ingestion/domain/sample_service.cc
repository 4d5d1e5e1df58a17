// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/sample_service.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/crypto/sha256_hex.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/canonical_form.h"
#include "services/ingestion/domain/quality.h"
#include "services/ingestion/domain/retention_store.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kMaxFileNameBytes = 200;
constexpr std::size_t kMaxSplitKeyBytes = 39;
constexpr std::size_t kMaxSourceBytes = 31;
constexpr std::size_t kMaxReasonBytes = 31;
constexpr std::size_t kMaxUploadIdBytes = 63;
constexpr int kMemoryPerFileByte = 5;
constexpr std::size_t kMaxLabelsInOneCall = 1000;
constexpr char kDeviceSplitKey[] = "device";

// Adds what a project's settings say of a sample to its flags, and sorts them.
void FinishFlags(const Settings& settings, Sample& sample) {
  for (std::size_t i = 0; i < sample.units.size(); ++i) {
    auto wanted = settings.units.find(sample.axes[i]);
    if (wanted == settings.units.end()) {
      wanted = settings.units.find("*");
    }
    if (wanted != settings.units.end() && !sample.units[i].empty() &&
        sample.units[i] != wanted->second) {
      AddAxisFlag(kUnits, sample.axes[i], sample.flags);
    }
  }
  if (sample.frequency_hz > 0) {
    const double seconds = static_cast<double>(sample.readings) / sample.frequency_hz;
    if (seconds < settings.min_seconds) {
      sample.flags.emplace_back(kShort);
    }
    if (settings.max_seconds > 0 && seconds > settings.max_seconds) {
      sample.flags.emplace_back(kLong);
    }
  }
  SortFlags(sample.flags);
}

// Refuses a file for its signature, where the project wants that.
absl::Status CheckSignature(const Settings& settings, const ParsedRecording& recording) {
  const auto has = [&](absl::string_view flag) {
    return std::find(recording.flags.begin(), recording.flags.end(), flag) != recording.flags.end();
  };
  if (settings.strict_signatures && has(kSignatureInvalid)) {
    return absl::InvalidArgumentError(
        "signature: got one that the project's key does not give, want a valid one: the project's "
        "settings are strict");
  }
  if (settings.strict_signatures && has(kSignatureMissing)) {
    return absl::InvalidArgumentError(
        "protected.alg: got \"none\", want \"HS256\" and a valid signature: the project's settings "
        "are strict");
  }
  return absl::OkStatus();
}

RefusalReason ReasonFor(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return reason == kFileTooLarge ? RefusalReason::kTooLarge : RefusalReason::kMalformed;
    case absl::StatusCode::kAlreadyExists:
      return RefusalReason::kDuplicate;
    case absl::StatusCode::kResourceExhausted:
      return reason == kUploadsBusy ? RefusalReason::kBusy : RefusalReason::kStorageFull;
    default:
      return RefusalReason::kUnavailable;
  }
}

absl::Status TooLarge(std::int64_t max_bytes) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, kFileTooLarge,
      absl::StrCat("file: got more than ", max_bytes, " bytes, want at most ", max_bytes));
}

absl::Status ValidateUploadId(absl::string_view field, absl::string_view id) {
  const bool good = std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
  if (!good || id.empty() || id.size() > kMaxUploadIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got upload id ", Quoted(id),
                                                   ", want 1 to ", kMaxUploadIdBytes,
                                                   " of [A-Za-z0-9._-]"));
  }
  return absl::OkStatus();
}

absl::Status ValidateShare(absl::string_view field, double value) {
  if (!(value >= 0 && value <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got ", value, ", want 0 to 1"));
  }
  return absl::OkStatus();
}

absl::Status ValidateProvenance(absl::string_view project, const DeviceProvenance& device) {
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::vector<std::string> names,
      ParseResourceName("device.device", "projects/*/devices/*", device.device));
  if (names[0] != project) {
    return absl::InvalidArgumentError(absl::StrCat("device.device: got a device of project ",
                                                   names[0], ", want one of ", project));
  }
  if (!device.model_digest.empty() && !IsSha256Hex(device.model_digest)) {
    return absl::InvalidArgumentError(absl::StrCat("device.model_digest: got ",
                                                   Quoted(device.model_digest),
                                                   ", want 64 lower-case hex digits or nothing"));
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateText("device.reason", device.reason, 0, kMaxReasonBytes));
  FIELDLOOP_RETURN_IF_ERROR(ValidateShare("device.probability", device.probability));
  FIELDLOOP_RETURN_IF_ERROR(ValidateShare("device.confidence", device.confidence));
  if (!device.predicted_label.empty()) {
    return ValidateLabelText("device.predicted_label", device.predicted_label);
  }
  return absl::OkStatus();
}

// What is said of bytes of kF32.
absl::Status ValidateLayout(const std::vector<std::string>& axes, double frequency_hz) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateAxes("axes", axes));
  if (!(frequency_hz > 0 && frequency_hz <= kMaxFrequencyHz)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "frequency_hz: got ", frequency_hz, ", want more than 0 and at most ", kMaxFrequencyHz));
  }
  return absl::OkStatus();
}

// Reads bytes of kF32. Their values need not be finite.
absl::StatusOr<std::vector<float>> ReadF32(absl::string_view field, absl::string_view bytes,
                                           std::size_t axes, std::int64_t max_bytes) {
  const std::size_t reading_bytes = axes * sizeof(float);
  if (bytes.empty() || bytes.size() > static_cast<std::size_t>(max_bytes) ||
      bytes.size() % reading_bytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", bytes.size(), " bytes, want a multiple of ", reading_bytes,
                     " (float32 of ", axes, " axes), at most ", max_bytes));
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

SampleService::SampleService(SampleStore& store, SettingsStore& settings, BlobStore& blobs,
                             UploadSpool& spool, const RecordingParser& parser, const Clock& clock,
                             UploadObserver& observer, SampleLimits limits)
    : store_(store),
      settings_(settings),
      blobs_(blobs),
      spool_(spool),
      parser_(parser),
      clock_(clock),
      observer_(observer),
      limits_(limits),
      memory_(limits.memory_bytes),
      parse_memory_(limits.parse_bytes) {}

absl::Status SampleService::Refused(absl::Status status) {
  if (!status.ok()) {
    observer_.UploadRefused(ReasonFor(status));
  }
  return status;
}

absl::Status SampleService::ValidateSpec(UploadSpec& spec) const {
  FIELDLOOP_RETURN_IF_ERROR(ValidateText("file_name", spec.file_name, 1, kMaxFileNameBytes));
  if (spec.format == SampleFormat::kUnspecified) {
    FIELDLOOP_ASSIGN_OR_RETURN(spec.format, FormatOfFileName(spec.file_name));
  }
  if (spec.format == SampleFormat::kF32) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateLayout(spec.axes, spec.frequency_hz));
  } else if (!spec.axes.empty() || spec.frequency_hz != 0) {
    return absl::InvalidArgumentError(
        "axes and frequency_hz: want nothing: files of other formats than SAMPLE_FORMAT_F32 say it "
        "themselves");
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateMetadata("metadata", spec.metadata));
  FIELDLOOP_RETURN_IF_ERROR(ValidateText("split_key", spec.split_key, 0, kMaxSplitKeyBytes));
  if (!spec.fallback_label.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateLabelText("labels", spec.fallback_label));
  }
  return ValidateRanges("labels", spec.labels);
}

absl::Status SampleService::ValidateResumable(const UploadSpec& spec) const {
  FIELDLOOP_RETURN_IF_ERROR(ValidateUploadId("upload_id", spec.upload_id));
  if (spec.size_bytes > limits_.max_file_bytes) {
    return TooLarge(limits_.max_file_bytes);
  }
  if (spec.size_bytes < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("size_bytes: got ", spec.size_bytes, ", want the size of the whole file"));
  }
  if (spec.offset < 0 || spec.offset > spec.size_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset: got ", spec.offset, ", want 0 to size_bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SampleService::Upload>> SampleService::BeginUpload(UploadSpec spec) {
  FIELDLOOP_RETURN_IF_ERROR(Refused(ValidateSpec(spec)));
  std::unique_ptr<SpooledFile> file;
  if (!spec.upload_id.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(Refused(ValidateResumable(spec)));
    absl::StatusOr<std::unique_ptr<SpooledFile>> opened = spool_.Open(
        {.project = spec.project, .upload_id = spec.upload_id}, spec.size_bytes, spec.offset);
    if (!opened.ok()) {
      return Refused(opened.status());
    }
    file = *std::move(opened);
  }
  return std::unique_ptr<Upload>(new Upload(*this, std::move(spec), std::move(file)));
}

absl::StatusOr<PartialUpload> SampleService::FindUpload(const UploadKey& key) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateUploadId("name", key.upload_id));
  return spool_.Find(key);
}

SampleService::Upload::Upload(SampleService& service, UploadSpec spec,
                              std::unique_ptr<SpooledFile> file)
    : service_(service), spec_(std::move(spec)), memory_(service.memory_), file_(std::move(file)) {}

std::int64_t SampleService::Upload::received_bytes() const {
  return file_ != nullptr ? file_->size_bytes() : static_cast<std::int64_t>(buffer_.size());
}

absl::Status SampleService::Upload::Append(absl::string_view data) {
  const absl::Status status = Receive(data);
  if (status.ok()) {
    hash_.Update(data);
  }
  return service_.Refused(status);
}

absl::Status SampleService::Upload::Receive(absl::string_view data) {
  const auto size = static_cast<std::int64_t>(data.size());
  const bool resumable = !spec_.upload_id.empty();
  const std::int64_t max = resumable ? spec_.size_bytes : service_.limits_.max_file_bytes;
  if (size > max - received_bytes()) {
    return resumable ? absl::InvalidArgumentError(
                           absl::StrCat("file: got more than size_bytes, ", max, ", says"))
                     : TooLarge(max);
  }
  if (file_ == nullptr && received_bytes() + size > service_.limits_.buffer_bytes) {
    FIELDLOOP_ASSIGN_OR_RETURN(file_, service_.spool_.CreateTemporary());
    FIELDLOOP_RETURN_IF_ERROR(file_->Append(buffer_));
    buffer_ = std::string();
  }
  if (file_ != nullptr) {
    return file_->Append(data);
  }
  if (!memory_.Grow(size)) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, kUploadsBusy,
                           "too many uploads at this time; repeat it in a moment");
  }
  buffer_.append(data.data(), data.size());
  return absl::OkStatus();
}

absl::StatusOr<StoredSample> SampleService::Upload::Finish() {
  absl::StatusOr<StoredSample> stored = StoreReceived();
  const absl::StatusCode code = stored.status().code();
  if (file_ != nullptr && (stored.ok() || code == absl::StatusCode::kInvalidArgument ||
                           code == absl::StatusCode::kAlreadyExists)) {
    file_->Remove();  // A repeat could bring nothing else.
  }
  if (!stored.ok()) {
    return service_.Refused(stored.status());
  }
  if (!stored->existed) {
    service_.observer_.SampleStored(stored->sample.source, stored->sample.format,
                                    stored->sample.size_bytes);
  }
  return stored;
}

absl::StatusOr<ParsedRecording> SampleService::Upload::ParseFile(const Settings& settings) const {
  if (spec_.format == SampleFormat::kF32) {
    ParsedRecording recording;
    FIELDLOOP_ASSIGN_OR_RETURN(recording.values, ReadF32("file", bytes_, spec_.axes.size(),
                                                         service_.limits_.max_file_bytes));
    recording.axes = spec_.axes;
    recording.frequency_hz = spec_.frequency_hz;
    recording.readings = static_cast<std::int64_t>(recording.values.size() / recording.axes.size());
    CheckReadings(recording.axes, std::nullopt, recording.values, recording.flags);
    return recording;
  }
  ParseOptions options{.signature_key = std::nullopt, .frequency_hz = settings.frequency_hz};
  if (!settings.signature_key.empty()) {
    options.signature_key = settings.signature_key;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(ParsedRecording recording,
                             service_.parser_.Parse(spec_.format, bytes_, options));
  FIELDLOOP_RETURN_IF_ERROR(CheckSignature(settings, recording));
  return recording;
}

absl::StatusOr<ParsedRecording> SampleService::Upload::Parse(const Settings& settings) const {
  FIELDLOOP_ASSIGN_OR_RETURN(ParsedRecording recording, ParseFile(settings));
  if (!spec_.labels.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(recording.labels,
                               ResolveRanges("labels", spec_.labels, recording.readings));
  } else if (recording.labels.empty() && !spec_.fallback_label.empty()) {
    recording.labels = {{.start = 0, .end = recording.readings - 1, .label = spec_.fallback_label}};
  }
  return recording;
}

absl::StatusOr<StoredSample> SampleService::Upload::StoreReceived() {
  bytes_ = buffer_;
  if (file_ != nullptr) {
    FIELDLOOP_ASSIGN_OR_RETURN(bytes_, file_->Bytes());
  }
  if (!spec_.upload_id.empty() && received_bytes() != spec_.size_bytes) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kUploadIncomplete,
                           absl::StrCat("file: got ", received_bytes(), " of ", spec_.size_bytes,
                                        " bytes; go on there"));
  }
  MemoryBudget::Share memory(service_.parse_memory_);
  memory.WaitFor(received_bytes() * kMemoryPerFileByte);
  return Store();
}

absl::StatusOr<StoredSample> SampleService::Upload::Store() {
  const std::string digest = ToHex(spec_.offset == 0 ? hash_.Finish() : Sha256Of(bytes_));
  const auto known = [this](const Sample& sample) -> absl::StatusOr<StoredSample> {
    if (spec_.disallow_duplicates) {
      return absl::AlreadyExistsError(absl::StrCat("file: the same bytes are stored as projects/",
                                                   sample.project, "/samples/", sample.id,
                                                   ", file name ", Quoted(sample.file_name)));
    }
    return StoredSample{.sample = sample, .existed = true};
  };
  // What is small costs less to read and store once more than to look up before.
  if (file_ != nullptr) {
    const absl::StatusOr<Sample> before = service_.store_.Get(spec_.project, SampleIdOf(digest));
    if (before.ok()) {
      return known(*before);
    }
    if (!absl::IsNotFound(before.status())) {
      return before.status();
    }
  }

  FIELDLOOP_ASSIGN_OR_RETURN(const Settings settings, service_.settings_.Get(spec_.project));
  FIELDLOOP_ASSIGN_OR_RETURN(ParsedRecording recording, Parse(settings));
  NewSample fresh;
  Sample& sample = fresh.sample;
  sample.labels = std::move(recording.labels);
  sample.metadata = std::move(recording.metadata);
  for (const auto& [name, value] : spec_.metadata) {  // What the caller says wins.
    sample.metadata[name] = value;
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateMetadata("metadata", sample.metadata));
  if (spec_.split == Split::kUnspecified) {
    const std::string& name = spec_.split_key.empty() ? settings.split_key : spec_.split_key;
    const auto value = sample.metadata.find(name);
    if (value != sample.metadata.end()) {
      fresh.split_key = SplitKey{.name = name, .value = value->second};
    } else if (!spec_.split_key.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("split_key: got ", Quoted(name), ", want a key of the metadata"));
    }
  }
  sample.project = spec_.project;
  sample.id = SampleIdOf(digest);
  sample.file_name = spec_.file_name;
  sample.format = spec_.format;
  sample.digest = digest;
  sample.size_bytes = static_cast<std::int64_t>(bytes_.size());
  sample.axes = std::move(recording.axes);
  sample.units = std::move(recording.units);
  sample.readings = recording.readings;
  sample.frequency_hz = recording.frequency_hz;
  sample.resampling = std::move(recording.resampling);
  sample.split = spec_.split;
  sample.source = SampleSource::kUpload;
  sample.flags = std::move(recording.flags);
  FinishFlags(settings, sample);
  fresh.label_author = spec_.author;
  fresh.label_source = "import";

  // Blobs first: a row never names bytes that are not there. Blobs without a row are found again by
  // their digest when the upload is repeated.
  const absl::Time begun = service_.clock_.Now();
  std::vector<BlobContent> contents = {{.data = bytes_, .digest = digest}};
  if (CanonicalBytes(recording.values) == bytes_) {
    sample.canonical_digest = digest;
  } else if (!IsCanonicalFormDerived(sample.format, sample.size_bytes)) {
    contents.push_back({.data = CanonicalBytes(recording.values), .digest = ""});
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<BlobInfo> blobs, service_.blobs_.PutAll(contents));
  if (blobs.size() > 1) {
    sample.canonical_digest = blobs[1].digest;
  }
  sample.create_time = service_.clock_.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(StoredSample stored, service_.Insert(fresh, begun));
  if (stored.existed) {
    return known(stored.sample);
  }
  return stored;
}

absl::StatusOr<StoredSample> SampleService::Insert(const NewSample& sample,
                                                   absl::Time blobs_begun) {
  if (clock_.Now() - blobs_begun > kLongestStoring) {  // See RetentionStore.
    return absl::UnavailableError("storing took too long; repeat it");
  }
  absl::StatusOr<StoredSample> stored = store_.Insert(sample);
  if (absl::IsAlreadyExists(stored.status())) {
    // Another replica stored the same sample or split key meanwhile; now it is visible.
    stored = store_.Insert(sample);
  }
  return stored;
}

absl::StatusOr<Sample> SampleService::RecordDeviceSample(const DeviceRecording& recording) {
  absl::StatusOr<Sample> sample = StoreDeviceSample(recording);
  if (!sample.ok()) {
    return Refused(sample.status());
  }
  return sample;
}

absl::StatusOr<Sample> SampleService::StoreDeviceSample(const DeviceRecording& recording) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateProvenance(recording.project, recording.device));
  const Uplink uplink{.device = recording.device.device, .sequence = recording.sequence};
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<Sample> before,
                             store_.FindByUplink(recording.project, uplink));
  if (before.has_value()) {
    return *before;
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateLayout(recording.axes, recording.frequency_hz));
  FIELDLOOP_ASSIGN_OR_RETURN(
      std::vector<float> values,
      ReadF32("payload", recording.payload, recording.axes.size(), kMaxDevicePayloadBytes));
  FIELDLOOP_RETURN_IF_ERROR(ValidateMetadata("metadata", recording.metadata));
  FIELDLOOP_ASSIGN_OR_RETURN(const Settings settings, settings_.Get(recording.project));

  NewSample fresh;
  Sample& sample = fresh.sample;
  CheckReadings(recording.axes, std::nullopt, values, sample.flags);
  const absl::Time begun = clock_.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo payload, blobs_.Put(recording.payload));
  std::string canonical_digest = payload.digest;
  if (CanonicalBytes(values) != recording.payload) {  // Values were missing.
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo canonical, blobs_.Put(CanonicalBytes(values)));
    canonical_digest = canonical.digest;
  }
  sample.project = recording.project;
  sample.id = SampleIdOf(payload.digest);
  sample.file_name =
      absl::StrCat(recording.device.device.substr(recording.device.device.rfind('/') + 1), ".",
                   recording.sequence, ".f32");
  sample.format = SampleFormat::kF32;
  sample.digest = payload.digest;
  sample.size_bytes = payload.size_bytes;
  sample.canonical_digest = std::move(canonical_digest);
  sample.axes = recording.axes;
  sample.readings = static_cast<std::int64_t>(values.size() / recording.axes.size());
  sample.frequency_hz = recording.frequency_hz;
  sample.source = SampleSource::kDevice;
  sample.device = recording.device;
  sample.metadata = recording.metadata;
  FinishFlags(settings, sample);
  sample.create_time = clock_.Now();
  fresh.split_key = SplitKey{.name = kDeviceSplitKey, .value = recording.device.device};
  fresh.uplink = uplink;
  FIELDLOOP_ASSIGN_OR_RETURN(StoredSample stored, Insert(fresh, begun));
  if (!stored.existed) {
    observer_.SampleStored(sample.source, sample.format, sample.size_bytes);
  }
  return std::move(stored.sample);
}

absl::StatusOr<Sample> SampleService::Get(absl::string_view project, absl::string_view id) {
  return store_.Get(project, id);
}

absl::StatusOr<SamplePage> SampleService::List(absl::string_view project,
                                               const SampleFilter& filter, int page_size,
                                               absl::string_view page_token) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateFilter("filter", filter));
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  return store_.List(project, filter, size, page_token);
}

absl::StatusOr<SampleCounts> SampleService::Count(absl::string_view project,
                                                  const SampleFilter& filter) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateFilter("filter", filter));
  return store_.Count(project, filter);
}

absl::Status SampleService::Download(absl::string_view project, absl::string_view id,
                                     bool canonical, std::int64_t piece_bytes,
                                     absl::FunctionRef<absl::Status(absl::string_view)> sink) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Sample sample, store_.Get(project, id));
  return canonical ? ReadCanonicalForm(sample, blobs_, parser_, piece_bytes, sink)
                   : blobs_.Read(sample.digest, piece_bytes, sink);
}

absl::StatusOr<LabelsResult> SampleService::AddLabels(std::vector<Label> labels,
                                                      absl::string_view author) {
  if (labels.empty() || labels.size() > kMaxLabelsInOneCall) {
    return absl::InvalidArgumentError(
        absl::StrCat("labels: got ", labels.size(), " labels, want 1 to ", kMaxLabelsInOneCall));
  }
  LabelsResult result;
  std::vector<Label> good;
  std::vector<int> index_of_good;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    Label& label = labels[i];
    label.author = std::string(author);
    label.create_time = clock_.Now();
    if (label.source.empty()) {
      label.source = "person";
    }
    absl::Status status = ValidateText("source", label.source, 1, kMaxSourceBytes);
    if (status.ok()) {
      status = ValidateRanges("ranges", label.ranges);
    }
    if (status.ok() && !label.suggested_by.empty() && !IsSha256Hex(label.suggested_by)) {
      status =
          absl::InvalidArgumentError(absl::StrCat("suggested_by: got ", Quoted(label.suggested_by),
                                                  ", want 64 lower-case hex digits or nothing"));
    }
    if (status.ok()) {
      good.push_back(std::move(label));
      index_of_good.push_back(static_cast<int>(i));
    } else {
      result.refusals.push_back(
          {.index = static_cast<int>(i), .message = std::string(status.message())});
    }
  }
  if (!good.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<absl::StatusOr<Label>> stored,
                               store_.AddLabels(good));
    for (std::size_t i = 0; i < stored.size(); ++i) {
      if (stored[i].ok()) {
        result.labels.push_back(*stored[i]);
      } else {
        result.refusals.push_back(
            {.index = index_of_good[i], .message = std::string(stored[i].status().message())});
      }
    }
  }
  std::sort(result.refusals.begin(), result.refusals.end(),
            [](const LabelRefusal& a, const LabelRefusal& b) { return a.index < b.index; });
  return result;
}

absl::StatusOr<LabelPage> SampleService::ListLabels(absl::string_view project,
                                                    absl::string_view sample_id, int page_size,
                                                    absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  return store_.ListLabels(project, sample_id, size, page_token);
}

}  // namespace fieldloop::ingestion
