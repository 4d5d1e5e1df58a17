// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// Keeps samples on one side of a server-chosen split: all samples of a project with the same name
// and value share it.
struct SplitKey {
  std::string name;
  std::string value;
};

// A device's number for one uplink.
struct Uplink {
  std::string device;
  std::uint64_t sequence = 0;
};

struct NewSample {
  // With sample.split kUnspecified the store chooses: by `split_key` if set, by digest otherwise.
  // sample.labels, if any, become its first label.
  Sample sample;
  std::string label_author;
  std::string label_source;
  std::optional<SplitKey> split_key;
  std::optional<Uplink> uplink;
};

struct StoredSample {
  Sample sample;
  bool existed = false;
};

struct SamplePage {
  std::vector<Sample> samples;
  std::string next_page_token;  // Empty on the last page, and only there.
};

struct LabelPage {
  std::vector<Label> labels;
  std::string next_page_token;
};

struct SampleCounts {
  std::int64_t total = 0;
  std::int64_t labelled = 0;
  std::map<std::string, std::int64_t> training;  // By label.
  std::map<std::string, std::int64_t> testing;

  friend bool operator==(const SampleCounts&, const SampleCounts&) = default;
};

// Keeps samples and their labels. Owned by the domain, implemented in storage/.
//
// Thread-safe. Every method may return UNAVAILABLE (may be retried) and every writing one
// RESOURCE_EXHAUSTED (disk full). What an implementation must do is written down, and checked, in
// tests/services/ingestion/storage/sample_store_contract.h.
class SampleStore {
 public:
  SampleStore() = default;
  SampleStore(const SampleStore&) = delete;
  SampleStore& operator=(const SampleStore&) = delete;
  virtual ~SampleStore() = default;

  // Stores a sample, its first label, its side of the split and its uplink as one step. Returns the
  // sample that is there, changed in nothing, if its uplink or its id is known in the project.
  // UNAVAILABLE while a blob of the same bytes is being deleted, see RetentionStore.
  virtual absl::StatusOr<StoredSample> Insert(const NewSample& sample) = 0;

  // NOT_FOUND.
  virtual absl::StatusOr<Sample> Get(absl::string_view project, absl::string_view id) = 0;

  // The sample that an uplink brought, if it did.
  virtual absl::StatusOr<std::optional<Sample>> FindByUplink(absl::string_view project,
                                                             const Uplink& uplink) = 0;

  // Newest first, ids breaking ties. INVALID_ARGUMENT if `page_token` is not one of ours.
  virtual absl::StatusOr<SamplePage> List(absl::string_view project, const SampleFilter& filter,
                                          int page_size, absl::string_view page_token) = 0;

  virtual absl::StatusOr<SampleCounts> Count(absl::string_view project,
                                             const SampleFilter& filter) = 0;

  // Adds labels (their number is chosen here), all in one step; one result for each, in order.
  // NOT_FOUND for a label of an unknown sample, INVALID_ARGUMENT, "ranges...", for one that does
  // not fit its sample; these do not keep the others from being stored.
  virtual absl::StatusOr<std::vector<absl::StatusOr<Label>>> AddLabels(
      const std::vector<Label>& labels) = 0;

  // All labels of a sample, oldest first. NOT_FOUND if there is no such sample.
  virtual absl::StatusOr<LabelPage> ListLabels(absl::string_view project,
                                               absl::string_view sample_id, int page_size,
                                               absl::string_view page_token) = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_SAMPLE_STORE_H_
