// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_COMPARISON_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_COMPARISON_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/build/domain/dataset_source.h"
#include "services/build/domain/model.h"
#include "services/build/domain/model_judge.h"
#include "services/build/domain/model_registry.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// A number of two models, as fieldloop.build.v1.ModelComparison.Row.
struct ComparisonRow {
  std::string name;
  std::string slice;
  std::optional<double> first;
  std::optional<double> second;
  friend bool operator==(const ComparisonRow&, const ComparisonRow&) = default;
};

// As fieldloop.build.v1.ModelComparison, but for the recipes.
struct ModelComparison {
  Model first;
  Model second;
  std::string dataset_version;  // Empty: the figures are those of the registry.
  std::vector<ComparisonRow> rows;
  std::int64_t both_right = 0;
  std::int64_t only_first_right = 0;
  std::int64_t only_second_right = 0;
  std::int64_t neither_right = 0;
  bool partial = false;  // The version has more testing windows than were run.
};

struct ComparisonRequest {
  std::string first;  // Names of models of one project, by number or by alias.
  std::string second;
  std::string dataset_version;  // Empty: none.
  std::vector<std::string> slice_keys;
};

// Puts two models side by side. Thread-safe.
//
// With a dataset version, both are run on its testing windows within the call, which therefore has
// bounds: at most kMaxWindows windows, of the recordings that come first in the version's order
// (their digests', so that they are a fair draw), and kTimeLimit of time. Windows start where the
// first model puts them; the second model sees the same stretch of time, on its own axes at its own
// rate.
class ModelComparer {
 public:
  // All must outlive this object.
  struct Parts {
    ModelRegistry& models;
    ModelJudge& judge;
    DatasetSource& datasets;
    BlobStore& blobs;
    const Clock& clock;
  };
  explicit ModelComparer(const Parts& parts);

  // Looks at `cancelled` between samples. INVALID_ARGUMENT; NOT_FOUND; FAILED_PRECONDITION, reason
  // CLASSES_DIFFER or WINDOWS_DIFFER; DEADLINE_EXCEEDED, with advice, when it takes too long;
  // CANCELLED.
  absl::StatusOr<ModelComparison> Compare(const ComparisonRequest& request,
                                          const std::function<bool()>& cancelled);

  static constexpr std::int64_t kMaxWindows = 20000;
  static constexpr absl::Duration kTimeLimit = absl::Seconds(60);
  static constexpr int kMaxSliceKeys = 8;
  // Values that a slice key can have.
  static constexpr int kMaxSlices = 200;

 private:
  const Parts parts_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_COMPARISON_H_
