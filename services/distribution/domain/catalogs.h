// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_CATALOGS_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_CATALOGS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/sync/mutex.h"
#include "services/distribution/domain/backends.h"

namespace fieldloop::distribution {

// The chain of root documents, in memory. Thread-safe.
class RootCatalog {
 public:
  // `registry` must outlive this object.
  explicit RootCatalog(ReleaseRegistry& registry);

  // Asks build for newer documents. UNAVAILABLE leaves what is known.
  absl::Status Refresh();
  // Documents above `version`, oldest first.
  std::vector<RootDocument> Above(std::uint32_t version) const;

 private:
  ReleaseRegistry& registry_;
  mutable Mutex mutex_;
  std::vector<RootDocument> roots_ ABSL_GUARDED_BY(mutex_);
};

// Axes and classes of models by digest: they never change, so each is asked for once. Thread-safe.
class ModelCatalog {
 public:
  explicit ModelCatalog(ReleaseRegistry& registry);

  // As ReleaseRegistry::GetModel.
  absl::StatusOr<std::shared_ptr<const ModelFacts>> Get(const std::string& project,
                                                        const std::string& digest);

 private:
  static constexpr std::size_t kMaxModels = 1024;

  ReleaseRegistry& registry_;
  Mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const ModelFacts>> models_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_CATALOGS_H_
