// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/settings_service.h"

#include <string>

namespace fieldloop::ingestion {

absl::StatusOr<Settings> SettingsService::Update(const Settings& settings,
                                                 bool clear_signature_key) {
  if (clear_signature_key && !settings.signature_key.empty()) {
    return absl::InvalidArgumentError(
        "clear_signature_key: got true and settings.signature_key, want one of the two");
  }
  return store_.Update(settings.project, [&](Settings& stored) -> absl::Status {
    const std::string key = settings.signature_key.empty() && !clear_signature_key
                                ? stored.signature_key
                                : settings.signature_key;
    stored = settings;
    stored.signature_key = key;
    return ValidateSettings(stored);
  });
}

}  // namespace fieldloop::ingestion
