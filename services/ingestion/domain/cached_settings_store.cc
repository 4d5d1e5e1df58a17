// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/cached_settings_store.h"

#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {

namespace {

constexpr std::size_t kMaxEntries = 1000;

}  // namespace

absl::StatusOr<Settings> CachedSettingsStore::Get(absl::string_view project) {
  const absl::Time now = clock_.Now();
  std::int64_t updates = 0;
  {
    const MutexLock lock(mutex_);
    const auto entry = entries_.find(project);
    if (entry != entries_.end() && now - entry->second.read < kStayFresh) {
      return entry->second.settings;
    }
    updates = updates_;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(Settings settings, store_.Get(project));
  const MutexLock lock(mutex_);
  if (updates == updates_) {  // Otherwise what was read may be older than what was written.
    if (entries_.size() >= kMaxEntries) {
      entries_.clear();
    }
    entries_[project] = {.settings = settings, .read = now};
  }
  return settings;
}

absl::StatusOr<Settings> CachedSettingsStore::Update(
    absl::string_view project, absl::FunctionRef<absl::Status(Settings& settings)> change) {
  absl::StatusOr<Settings> settings = store_.Update(project, change);
  const MutexLock lock(mutex_);  // After an error too: what is stored is not known.
  entries_.erase(project);
  ++updates_;
  return settings;
}

}  // namespace fieldloop::ingestion
