// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_STORE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/ingestion/domain/dataset.h"
#include "services/ingestion/domain/dataset_changes.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

struct DatasetPage {
  std::vector<Dataset> datasets;
  std::string next_page_token;  // Empty on the last page, and only there.
};

struct DatasetVersionPage {
  std::vector<DatasetVersion> versions;
  std::string next_page_token;
};

struct VersionChangePage {
  std::vector<VersionChange> changes;
  // Metadata of the changed samples, in the same order.
  std::vector<std::map<std::string, std::string>> metadata;
  std::string next_page_token;
};

struct VersionKeyPage {
  std::vector<VersionKey> versions;
  std::string next_page_token;
};

// Keeps datasets and their versions. Owned by the domain, implemented in storage/.
//
// Thread-safe. Errors as in SampleStore. What an implementation must do is written down, and
// checked, in tests/services/ingestion/storage/dataset_store_contract.h.
class DatasetStore {
 public:
  DatasetStore() = default;
  DatasetStore(const DatasetStore&) = delete;
  DatasetStore& operator=(const DatasetStore&) = delete;
  virtual ~DatasetStore() = default;

  // ALREADY_EXISTS if the id is taken in the project.
  virtual absl::Status Insert(const Dataset& dataset) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<Dataset> Get(absl::string_view project, absl::string_view id) = 0;
  // By id. INVALID_ARGUMENT if `page_token` is not one of ours.
  virtual absl::StatusOr<DatasetPage> List(absl::string_view project, int page_size,
                                           absl::string_view page_token) = 0;

  // Fixes what the dataset's filter selects now, of one snapshot, as the next version; returns the
  // newest version instead if that has the same digest. NOT_FOUND; FAILED_PRECONDITION, reason
  // DATASET_EMPTY.
  virtual absl::StatusOr<DatasetVersion> CreateVersion(absl::string_view project,
                                                       absl::string_view dataset_id,
                                                       absl::Time create_time) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<DatasetVersion> GetVersion(absl::string_view project,
                                                    absl::string_view dataset_id,
                                                    std::int64_t number) = 0;
  // Newest first. NOT_FOUND if there is no such dataset.
  virtual absl::StatusOr<DatasetVersionPage> ListVersions(absl::string_view project,
                                                          absl::string_view dataset_id,
                                                          int page_size,
                                                          absl::string_view page_token) = 0;
  // At most `limit` samples of a version whose digest is above `after_digest` ("" for the first),
  // by digest, with the labels and the split that the version fixed.
  virtual absl::StatusOr<std::vector<Sample>> VersionSamples(absl::string_view project,
                                                             absl::string_view dataset_id,
                                                             std::int64_t number,
                                                             absl::string_view after_digest,
                                                             int limit) = 0;
  // The samples that two versions do not share or do not label alike, by digest. NOT_FOUND.
  virtual absl::StatusOr<VersionChangePage> ListChanges(absl::string_view project,
                                                        const VersionKey& first,
                                                        const VersionKey& second, int page_size,
                                                        absl::string_view page_token) = 0;
  // The versions that hold a sample, by dataset and number. NOT_FOUND if there is no such sample.
  virtual absl::StatusOr<VersionKeyPage> VersionsOfSample(absl::string_view project,
                                                          absl::string_view sample_id,
                                                          int page_size,
                                                          absl::string_view page_token) = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_STORE_H_
