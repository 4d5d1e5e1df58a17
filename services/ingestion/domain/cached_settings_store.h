// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_CACHED_SETTINGS_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_CACHED_SETTINGS_STORE_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/mutex.h"
#include "services/ingestion/domain/settings_store.h"

namespace fieldloop::ingestion {

// Remembers settings, which every upload needs, for kStayFresh. A change that goes through this
// object is seen at once; one of another replica after that time. Thread-safe.
class CachedSettingsStore final : public SettingsStore {
 public:
  static constexpr absl::Duration kStayFresh = absl::Seconds(1);

  // Both must outlive this object.
  CachedSettingsStore(SettingsStore& store, const Clock& clock) : store_(store), clock_(clock) {}

  absl::StatusOr<Settings> Get(absl::string_view project) override;
  absl::StatusOr<Settings> Update(
      absl::string_view project,
      absl::FunctionRef<absl::Status(Settings& settings)> change) override;

 private:
  struct Entry {
    Settings settings;
    absl::Time read;
  };

  SettingsStore& store_;
  const Clock& clock_;
  Mutex mutex_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::int64_t updates_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_CACHED_SETTINGS_STORE_H_
