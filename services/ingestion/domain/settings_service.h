// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_SERVICE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_SERVICE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/settings.h"
#include "services/ingestion/domain/settings_store.h"

namespace fieldloop::ingestion {

// What people can do with a project's settings. Thread-safe.
class SettingsService {
 public:
  // `store` must outlive this object.
  explicit SettingsService(SettingsStore& store) : store_(store) {}

  absl::StatusOr<Settings> Get(absl::string_view project) { return store_.Get(project); }

  // Replaces a project's settings; an empty signature key leaves the stored one, unless
  // `clear_signature_key`. INVALID_ARGUMENT naming the field.
  absl::StatusOr<Settings> Update(const Settings& settings, bool clear_signature_key);

 private:
  SettingsStore& store_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_SERVICE_H_
