// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/dataset_service.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/canonical_form.h"

namespace fieldloop::ingestion {
namespace {

constexpr int kExportPage = 100;
constexpr int kDiffPage = 1000;
constexpr std::size_t kMostDiffKeys = 8;

}  // namespace

DatasetService::DatasetService(DatasetStore& store, BlobStore& blobs, const RecordingParser& parser,
                               const Clock& clock)
    : store_(store), blobs_(blobs), parser_(parser), clock_(clock) {}

absl::StatusOr<Dataset> DatasetService::Create(Dataset dataset) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateNewDataset(dataset));
  dataset.create_time = clock_.Now();
  FIELDLOOP_RETURN_IF_ERROR(store_.Insert(dataset));
  return store_.Get(dataset.project, dataset.id);
}

absl::StatusOr<Dataset> DatasetService::Get(absl::string_view project, absl::string_view id) {
  return store_.Get(project, id);
}

absl::StatusOr<DatasetPage> DatasetService::List(absl::string_view project, int page_size,
                                                 absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  return store_.List(project, size, page_token);
}

absl::StatusOr<DatasetVersion> DatasetService::CreateVersion(absl::string_view project,
                                                             absl::string_view dataset_id) {
  return store_.CreateVersion(project, dataset_id, clock_.Now());
}

absl::StatusOr<DatasetVersion> DatasetService::GetVersion(absl::string_view project,
                                                          absl::string_view dataset_id,
                                                          std::int64_t number) {
  return store_.GetVersion(project, dataset_id, number);
}

absl::StatusOr<DatasetVersionPage> DatasetService::ListVersions(absl::string_view project,
                                                                absl::string_view dataset_id,
                                                                int page_size,
                                                                absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  return store_.ListVersions(project, dataset_id, size, page_token);
}

absl::StatusOr<VersionDiff> DatasetService::Diff(absl::string_view project, const VersionKey& first,
                                                 const VersionKey& second,
                                                 std::vector<std::string> keys) {
  if (keys.size() > kMostDiffKeys) {
    return absl::InvalidArgumentError(
        absl::StrCat("keys: got ", keys.size(), " keys, want at most ", kMostDiffKeys));
  }
  DiffCounter counter(std::move(keys));
  std::string token;
  do {  // Versions never change, so pages of different transactions fit together.
    FIELDLOOP_ASSIGN_OR_RETURN(const VersionChangePage page,
                               store_.ListChanges(project, first, second, kDiffPage, token));
    for (std::size_t i = 0; i < page.changes.size(); ++i) {
      counter.Add(page.changes[i], page.metadata[i]);
    }
    token = page.next_page_token;
  } while (!token.empty());
  return counter.Result();
}

absl::StatusOr<VersionChangePage> DatasetService::ListChanges(absl::string_view project,
                                                              const VersionKey& first,
                                                              const VersionKey& second,
                                                              int page_size,
                                                              absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  return store_.ListChanges(project, first, second, size, page_token);
}

absl::StatusOr<VersionKeyPage> DatasetService::VersionsOfSample(absl::string_view project,
                                                                absl::string_view sample_id,
                                                                int page_size,
                                                                absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  return store_.VersionsOfSample(project, sample_id, size, page_token);
}

absl::Status DatasetService::Export(
    absl::string_view project, absl::string_view dataset_id, std::int64_t number,
    const ExportOptions& options,
    absl::FunctionRef<absl::Status(const Sample*, absl::string_view)> sink) {
  FIELDLOOP_RETURN_IF_ERROR(store_.GetVersion(project, dataset_id, number).status());
  std::string after;
  for (;;) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        const std::vector<Sample> samples,
        store_.VersionSamples(project, dataset_id, number, after, kExportPage));
    for (const Sample& sample : samples) {
      if (options.split != Split::kUnspecified && options.split != sample.split) {
        continue;
      }
      if (!options.with_data) {
        FIELDLOOP_RETURN_IF_ERROR(sink(&sample, ""));
        continue;
      }
      const Sample* announce = &sample;
      FIELDLOOP_RETURN_IF_ERROR(ReadCanonicalForm(
          sample, blobs_, parser_, options.piece_bytes,
          [&](absl::string_view piece) { return sink(std::exchange(announce, nullptr), piece); }));
    }
    if (samples.size() < static_cast<std::size_t>(kExportPage)) {
      return absl::OkStatus();
    }
    after = samples.back().digest;
  }
}

}  // namespace fieldloop::ingestion
