// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_SERVICE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_SERVICE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/digest.h"
#include "services/ingestion/domain/memory_budget.h"
#include "services/ingestion/domain/recording_parser.h"
#include "services/ingestion/domain/sample.h"
#include "services/ingestion/domain/sample_store.h"
#include "services/ingestion/domain/settings_store.h"
#include "services/ingestion/domain/upload_observer.h"
#include "services/ingestion/domain/upload_spool.h"

namespace fieldloop::ingestion {

// What accompanies an upload.
struct UploadSpec {
  std::string project;
  std::string file_name;
  SampleFormat format = SampleFormat::kUnspecified;  // Unspecified: by the file's name.
  Split split = Split::kUnspecified;                 // Unspecified: the server chooses.
  std::vector<LabelRange> labels;                    // Empty: those of the file, if it has some.
  std::string fallback_label;  // Of the whole, when there are none in either place.
  std::map<std::string, std::string> metadata;
  std::string split_key;  // Empty: that of the project's settings, where the metadata has it.
  bool disallow_duplicates = false;
  std::string author;
  std::string upload_id;            // Of a resumable upload; then
  std::int64_t size_bytes = 0;      // of the whole file, and
  std::int64_t offset = 0;          // bytes that earlier calls brought.
  std::vector<std::string> axes{};  // Of kF32, which does not say them itself.
  double frequency_hz = 0;          // The same.
};

// A recording of a device.
struct DeviceRecording {
  std::string project;
  DeviceProvenance device;
  std::string payload;  // float32, little endian, axes within a reading.
  std::vector<std::string> axes;
  double frequency_hz = 0;
  std::map<std::string, std::string> metadata;
  std::uint64_t sequence = 0;
};

struct SampleLimits {
  std::int64_t max_file_bytes = kMaxFileBytes;
  // A file goes from memory to the spool when it grows beyond this.
  std::int64_t buffer_bytes = 1 << 20;
  // Memory of all files that come at one time; what does not fit is refused.
  std::int64_t memory_bytes = std::int64_t{256} << 20;
  // Memory of all files that are read at one time, each at five times its size (the numbers in a
  // vector that doubles as it grows); what does not fit waits.
  std::int64_t parse_bytes = std::int64_t{1} << 30;
};

// Reasons of errors that uploads return, beside those of UploadSpool.
inline constexpr char kFileTooLarge[] = "FILE_TOO_LARGE";         // INVALID_ARGUMENT
inline constexpr char kUploadsBusy[] = "UPLOADS_BUSY";            // RESOURCE_EXHAUSTED
inline constexpr char kUploadIncomplete[] = "UPLOAD_INCOMPLETE";  // FAILED_PRECONDITION

struct LabelRefusal {
  int index = 0;  // In the request.
  std::string message;
};

struct LabelsResult {
  std::vector<Label> labels;
  std::vector<LabelRefusal> refusals;
};

// What people, programs and devices can do with samples and labels, free of gRPC and SQL.
// Thread-safe.
class SampleService {
 public:
  // Everything given must outlive this object.
  SampleService(SampleStore& store, SettingsStore& settings, BlobStore& blobs, UploadSpool& spool,
                const RecordingParser& parser, const Clock& clock, UploadObserver& observer,
                SampleLimits limits = {});

  // One upload. Used by one thread; destroyed before Finish, it leaves the bytes of a resumable one
  // in the spool, and nothing of another.
  class Upload {
   public:
    // INVALID_ARGUMENT, reason FILE_TOO_LARGE; RESOURCE_EXHAUSTED, reason UPLOADS_BUSY or a full
    // disk; ABORTED, reason UPLOAD_TAKEN_OVER.
    absl::Status Append(absl::string_view data);
    // Replaces the labels of the spec; Finish checks them.
    void SetLabels(std::vector<LabelRange> labels) { spec_.labels = std::move(labels); }
    // Reads and stores the file. Call once. INVALID_ARGUMENT, ALREADY_EXISTS (when the spec
    // disallows duplicates), RESOURCE_EXHAUSTED (disk full), UNAVAILABLE; FAILED_PRECONDITION,
    // reason UPLOAD_INCOMPLETE, before the last byte of a resumable one.
    absl::StatusOr<StoredSample> Finish();

   private:
    friend class SampleService;
    Upload(SampleService& service, UploadSpec spec, std::unique_ptr<SpooledFile> file);
    std::int64_t received_bytes() const;
    absl::Status Receive(absl::string_view data);
    absl::StatusOr<StoredSample> StoreReceived();
    absl::StatusOr<StoredSample> Store();
    // What the file says, and with labels of the spec.
    absl::StatusOr<ParsedRecording> ParseFile(const Settings& settings) const;
    absl::StatusOr<ParsedRecording> Parse(const Settings& settings) const;

    SampleService& service_;
    UploadSpec spec_;
    MemoryBudget::Share memory_;
    std::string buffer_;                 // The file, while it is small,
    std::unique_ptr<SpooledFile> file_;  // or where it is.
    Sha256 hash_;                        // Of what this call brought.
    absl::string_view bytes_;            // The whole file, in Finish.
  };

  // Begins an upload, which must not outlive this object. INVALID_ARGUMENT naming what is wrong in
  // `spec`, before any byte of the file is taken; for a resumable one also as UploadSpool::Open.
  absl::StatusOr<std::unique_ptr<Upload>> BeginUpload(UploadSpec spec);
  // How far a resumable upload has come. INVALID_ARGUMENT, NOT_FOUND.
  absl::StatusOr<PartialUpload> FindUpload(const UploadKey& key);

  // Stores a recording of a device, or returns the sample that (device, sequence) or the same
  // payload brought before.
  absl::StatusOr<Sample> RecordDeviceSample(const DeviceRecording& recording);

  absl::StatusOr<Sample> Get(absl::string_view project, absl::string_view id);
  absl::StatusOr<SamplePage> List(absl::string_view project, const SampleFilter& filter,
                                  int page_size, absl::string_view page_token);
  absl::StatusOr<SampleCounts> Count(absl::string_view project, const SampleFilter& filter);

  // Streams the file as it came, or its canonical form, in pieces of at most `piece_bytes`.
  // DATA_LOSS if the bytes changed; the error of `sink` ends it.
  absl::Status Download(absl::string_view project, absl::string_view id, bool canonical,
                        std::int64_t piece_bytes,
                        absl::FunctionRef<absl::Status(absl::string_view)> sink);

  // Adds labels of samples of `project`, one by one: a refused one does not keep the others out.
  // `labels` carry project, sample_id, ranges and source ("" is "person"). INVALID_ARGUMENT only if
  // there are none or more than 1000.
  absl::StatusOr<LabelsResult> AddLabels(std::vector<Label> labels, absl::string_view author);
  absl::StatusOr<LabelPage> ListLabels(absl::string_view project, absl::string_view sample_id,
                                       int page_size, absl::string_view page_token);

 private:
  absl::Status ValidateSpec(UploadSpec& spec) const;
  absl::Status ValidateResumable(const UploadSpec& spec) const;
  // `blobs_begun` is when the sample's blobs began to be written.
  absl::StatusOr<StoredSample> Insert(const NewSample& sample, absl::Time blobs_begun);
  absl::StatusOr<Sample> StoreDeviceSample(const DeviceRecording& recording);
  // Tells the observer about a refusal and passes the error on.
  absl::Status Refused(absl::Status status);

  SampleStore& store_;
  SettingsStore& settings_;
  BlobStore& blobs_;
  UploadSpool& spool_;
  const RecordingParser& parser_;
  const Clock& clock_;
  UploadObserver& observer_;
  const SampleLimits limits_;
  MemoryBudget memory_;
  MemoryBudget parse_memory_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_SERVICE_H_
