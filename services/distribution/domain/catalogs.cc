// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/catalogs.h"

#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {

RootCatalog::RootCatalog(ReleaseRegistry& registry) : registry_(registry) {}

absl::Status RootCatalog::Refresh() {
  std::uint32_t newest = 0;
  {
    const MutexLock lock(mutex_);
    newest = roots_.empty() ? 0 : roots_.back().version;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<RootDocument> newer, registry_.ListRoots(newest));
  const MutexLock lock(mutex_);
  for (const RootDocument& root : newer) {
    // Another refresh may have been faster.
    if (roots_.empty() || root.version > roots_.back().version) {
      roots_.push_back(root);
    }
  }
  return absl::OkStatus();
}

std::vector<RootDocument> RootCatalog::Above(std::uint32_t version) const {
  const MutexLock lock(mutex_);
  std::vector<RootDocument> above;
  for (const RootDocument& root : roots_) {
    if (root.version > version) {
      above.push_back(root);
    }
  }
  return above;
}

ModelCatalog::ModelCatalog(ReleaseRegistry& registry) : registry_(registry) {}

absl::StatusOr<std::shared_ptr<const ModelFacts>> ModelCatalog::Get(const std::string& project,
                                                                    const std::string& digest) {
  const std::pair<std::string, std::string> key(project, digest);
  {
    const MutexLock lock(mutex_);
    if (const auto found = models_.find(key); found != models_.end()) {
      return found->second;
    }
  }
  FIELDLOOP_ASSIGN_OR_RETURN(ModelFacts facts, registry_.GetModel(project, digest));
  auto model = std::make_shared<const ModelFacts>(std::move(facts));
  const MutexLock lock(mutex_);
  if (models_.size() >= kMaxModels) {
    models_.erase(models_.begin());
  }
  models_.emplace(key, model);
  return model;
}

}  // namespace fieldloop::distribution
