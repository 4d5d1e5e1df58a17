// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/sql_settings_store.h"

#include <optional>
#include <string>

#include <soci/soci.h>

#include "absl/time/time.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

namespace {

std::optional<absl::Duration> AgeOf(long long micros) {
  return micros == 0 ? std::nullopt : std::make_optional(absl::Microseconds(micros));
}

long long MicrosOf(const std::optional<absl::Duration>& age) {
  return age.has_value() ? absl::ToInt64Microseconds(*age) : 0;
}

Settings Select(soci::session& session, const std::string& project) {
  Settings settings;
  settings.project = project;
  int strict = 0;
  long long unlabelled = 0;
  long long labelled = 0;
  long long max_bytes = 0;
  session << "SELECT frequency_hz, strict_signatures, signature_key, min_seconds, max_seconds,"
             " retain_unlabelled_micros, retain_labelled_micros, retain_bytes, split_key"
             " FROM settings WHERE project = :project",
      soci::use(project, "project"), soci::into(settings.frequency_hz), soci::into(strict),
      soci::into(settings.signature_key), soci::into(settings.min_seconds),
      soci::into(settings.max_seconds), soci::into(unlabelled), soci::into(labelled),
      soci::into(max_bytes), soci::into(settings.split_key);
  if (!session.got_data()) {
    return settings;
  }
  settings.strict_signatures = strict != 0;
  settings.retention = {
      .unlabelled = AgeOf(unlabelled), .labelled = AgeOf(labelled), .max_bytes = max_bytes};
  std::string axis;
  std::string units;
  soci::statement select =
      (session.prepare << "SELECT axis, units FROM settings_units WHERE project = :project",
       soci::use(project, "project"), soci::into(axis), soci::into(units));
  select.execute();
  while (select.fetch()) {
    settings.units[axis] = units;
  }
  return settings;
}

void Replace(soci::session& session, const std::string& project, const Settings& settings) {
  const int strict = settings.strict_signatures ? 1 : 0;
  const long long unlabelled = MicrosOf(settings.retention.unlabelled);
  const long long labelled = MicrosOf(settings.retention.labelled);
  const long long max_bytes = settings.retention.max_bytes;
  session << "DELETE FROM settings WHERE project = :project", soci::use(project, "project");
  session << "DELETE FROM settings_units WHERE project = :project", soci::use(project, "project");
  session << "INSERT INTO settings (project, frequency_hz, strict_signatures, signature_key,"
             " min_seconds, max_seconds, retain_unlabelled_micros, retain_labelled_micros,"
             " retain_bytes, split_key)"
             " VALUES (:project, :frequency, :strict, :key, :min, :max, :unlabelled, :labelled,"
             " :bytes, :split_key)",
      soci::use(project, "project"), soci::use(settings.frequency_hz, "frequency"),
      soci::use(strict, "strict"), soci::use(settings.signature_key, "key"),
      soci::use(settings.min_seconds, "min"), soci::use(settings.max_seconds, "max"),
      soci::use(unlabelled, "unlabelled"), soci::use(labelled, "labelled"),
      soci::use(max_bytes, "bytes"), soci::use(settings.split_key, "split_key");
  for (const auto& [axis, units] : settings.units) {
    session << "INSERT INTO settings_units (project, axis, units) VALUES (:project, :axis, :units)",
        soci::use(project, "project"), soci::use(axis, "axis"), soci::use(units, "units");
  }
}

}  // namespace

absl::StatusOr<Settings> SqlSettingsStore::Get(absl::string_view project) {
  Settings settings;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    settings = Select(session, std::string(project));
    return absl::OkStatus();
  }));
  return settings;
}

absl::StatusOr<Settings> SqlSettingsStore::Update(
    absl::string_view project, absl::FunctionRef<absl::Status(Settings& settings)> change) {
  Settings settings;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    const std::string of_project(project);
    settings = Select(session, of_project);
    if (absl::Status changed = change(settings); !changed.ok()) {
      return changed;
    }
    settings.project = of_project;
    Replace(session, of_project, settings);
    return absl::OkStatus();
  }));
  return settings;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion
