// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_STORE_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/settings.h"

namespace fieldloop::ingestion {

// Keeps the settings of projects. Owned by the domain, implemented in storage/.
//
// Thread-safe. Every method may return UNAVAILABLE (may be retried) and Update RESOURCE_EXHAUSTED
// (disk full). What an implementation must do is checked in
// tests/services/ingestion/storage/settings_store_contract.h.
class SettingsStore {
 public:
  SettingsStore() = default;
  SettingsStore(const SettingsStore&) = delete;
  SettingsStore& operator=(const SettingsStore&) = delete;
  virtual ~SettingsStore() = default;

  // Those of a project that never set any are the defaults.
  virtual absl::StatusOr<Settings> Get(absl::string_view project) = 0;

  // Changes what is stored as one step: `change` gets it and may be called twice. Its error ends
  // the step and is returned.
  virtual absl::StatusOr<Settings> Update(
      absl::string_view project, absl::FunctionRef<absl::Status(Settings& settings)> change) = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_STORE_H_
