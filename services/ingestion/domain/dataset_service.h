// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_SERVICE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_SERVICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/ingestion/domain/dataset.h"
#include "services/ingestion/domain/dataset_store.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// What people and services can do with datasets, free of gRPC and SQL. Thread-safe.
class DatasetService {
 public:
  // Everything given must outlive this object.
  DatasetService(DatasetStore& store, BlobStore& blobs, const RecordingParser& parser,
                 const Clock& clock);

  absl::StatusOr<Dataset> Create(Dataset dataset);
  absl::StatusOr<Dataset> Get(absl::string_view project, absl::string_view id);
  absl::StatusOr<DatasetPage> List(absl::string_view project, int page_size,
                                   absl::string_view page_token);
  absl::StatusOr<DatasetVersion> CreateVersion(absl::string_view project,
                                               absl::string_view dataset_id);
  absl::StatusOr<DatasetVersion> GetVersion(absl::string_view project, absl::string_view dataset_id,
                                            std::int64_t number);
  absl::StatusOr<DatasetVersionPage> ListVersions(absl::string_view project,
                                                  absl::string_view dataset_id, int page_size,
                                                  absl::string_view page_token);

  // INVALID_ARGUMENT if there are more than 8 keys; NOT_FOUND.
  absl::StatusOr<VersionDiff> Diff(absl::string_view project, const VersionKey& first,
                                   const VersionKey& second, std::vector<std::string> keys);
  absl::StatusOr<VersionChangePage> ListChanges(absl::string_view project, const VersionKey& first,
                                                const VersionKey& second, int page_size,
                                                absl::string_view page_token);
  absl::StatusOr<VersionKeyPage> VersionsOfSample(absl::string_view project,
                                                  absl::string_view sample_id, int page_size,
                                                  absl::string_view page_token);

  struct ExportOptions {
    Split split = Split::kUnspecified;  // Only samples of this side; kUnspecified: of both.
    bool with_data = true;
    std::int64_t piece_bytes = 0;
  };
  // Calls `sink` with each sample of a version, in the order of its digest, and with the pieces of
  // its canonical form: (sample, piece) for the first piece, (nullptr, piece) for the others.
  // Without data, the piece is empty.
  // NOT_FOUND; DATA_LOSS if stored bytes changed; the error of `sink` ends it.
  absl::Status Export(absl::string_view project, absl::string_view dataset_id, std::int64_t number,
                      const ExportOptions& options,
                      absl::FunctionRef<absl::Status(const Sample*, absl::string_view)> sink);

 private:
  DatasetStore& store_;
  BlobStore& blobs_;
  const RecordingParser& parser_;
  const Clock& clock_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_SERVICE_H_
