// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/storage/sql_provisioning_store.h"

#include <limits>
#include <optional>
#include <utility>

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

constexpr char kTokenColumns[] =
    "id, project, secret_digest, hardware_id, device_id, attributes, expire_micros, create_micros, "
    "revoked, used_by, key_digest";
constexpr char kDeviceColumns[] =
    "project, id, hardware_id, attributes, revoked, revoke_reason, create_micros, "
    "certificate_expire_micros, revision";
constexpr char kApiTokenColumns[] =
    "id, secret_digest, display_name, role, project, expire_micros, revoked, create_micros";

std::string ToText(const Attributes& attributes) {
  return absl::StrJoin(attributes, "\n", absl::PairFormatter("="));
}

Attributes AttributesOf(absl::string_view text) {
  Attributes attributes;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::pair<std::string, std::string> entry = absl::StrSplit(line, absl::MaxSplits('=', 1));
    attributes.insert(std::move(entry));
  }
  return attributes;
}

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct ProjectRow {
  std::string id;
  std::string display_name;
  long long create_micros = 0;

  Project ToProject() const {
    return {
        .id = id, .display_name = display_name, .create_time = absl::FromUnixMicros(create_micros)};
  }
};

struct TokenRow {
  std::string id;
  std::string project;
  std::string secret_digest;
  std::string hardware_id;
  std::string device_id;
  std::string attributes;
  long long expire_micros = 0;
  long long create_micros = 0;
  int revoked = 0;
  std::string used_by;
  std::string key_digest;

  EnrollmentToken ToToken() const {
    return {.project = project,
            .id = id,
            .secret_digest = secret_digest,
            .hardware_id = hardware_id,
            .device_id = device_id,
            .attributes = AttributesOf(attributes),
            .expire_time = absl::FromUnixMicros(expire_micros),
            .create_time = absl::FromUnixMicros(create_micros),
            .revoked = revoked != 0,
            .used_by = used_by,
            .key_digest = key_digest};
  }
};

struct DeviceRow {
  std::string project;
  std::string id;
  std::string hardware_id;
  std::string attributes;
  int revoked = 0;
  std::string revoke_reason;
  long long create_micros = 0;
  long long certificate_expire_micros = 0;
  long long revision = 0;

  static DeviceRow From(const Device& device) {
    return {.project = device.project,
            .id = device.id,
            .hardware_id = device.hardware_id,
            .attributes = ToText(device.attributes),
            .revoked = device.revoked ? 1 : 0,
            .revoke_reason = device.revoke_reason,
            .create_micros = absl::ToUnixMicros(device.create_time),
            .certificate_expire_micros = absl::ToUnixMicros(device.certificate_expire_time),
            .revision = device.revision};
  }

  Device ToDevice() const {
    return {.project = project,
            .id = id,
            .hardware_id = hardware_id,
            .attributes = AttributesOf(attributes),
            .revoked = revoked != 0,
            .revoke_reason = revoke_reason,
            .create_time = absl::FromUnixMicros(create_micros),
            .certificate_expire_time = absl::FromUnixMicros(certificate_expire_micros),
            .revision = revision};
  }
};

struct ApiTokenRow {
  std::string id;
  std::string secret_digest;
  std::string display_name;
  int role = 0;
  std::string project;
  long long expire_micros = 0;  // 0: never.
  int revoked = 0;
  long long create_micros = 0;

  ApiToken ToToken() const {
    return {.id = id,
            .secret_digest = secret_digest,
            .display_name = display_name,
            .role = static_cast<Role>(role),
            .project = project,
            .expire_time =
                expire_micros == 0 ? absl::InfiniteFuture() : absl::FromUnixMicros(expire_micros),
            .revoked = revoked != 0,
            .create_time = absl::FromUnixMicros(create_micros)};
  }
};

// Runs a prepared SELECT whose columns go into `row`, and gives each row to `take`.
template <typename Take>
void FetchAll(soci::statement select, Take take) {
  select.execute();
  while (select.fetch()) {
    take();
  }
}

std::optional<Project> SelectProject(soci::session& session, const std::string& id) {
  ProjectRow row;
  session << "SELECT id, display_name, create_micros FROM projects WHERE id = :id", soci::use(id),
      soci::into(row.id), soci::into(row.display_name), soci::into(row.create_micros);
  return session.got_data() ? std::optional(row.ToProject()) : std::nullopt;
}

absl::Status CheckProject(soci::session& session, const std::string& id) {
  return SelectProject(session, id).has_value()
             ? absl::OkStatus()
             : absl::NotFoundError(absl::StrCat("no project projects/", id));
}

std::optional<EnrollmentToken> SelectToken(soci::session& session, const std::string& id) {
  TokenRow row;
  session << "SELECT " << kTokenColumns << " FROM enrollment_tokens WHERE id = :id", soci::use(id),
      soci::into(row.id), soci::into(row.project), soci::into(row.secret_digest),
      soci::into(row.hardware_id), soci::into(row.device_id), soci::into(row.attributes),
      soci::into(row.expire_micros), soci::into(row.create_micros), soci::into(row.revoked),
      soci::into(row.used_by), soci::into(row.key_digest);
  return session.got_data() ? std::optional(row.ToToken()) : std::nullopt;
}

// What of a token ever changes.
void WriteTokenState(soci::session& session, const EnrollmentToken& token) {
  const int revoked = token.revoked ? 1 : 0;
  session << "UPDATE enrollment_tokens SET revoked = :revoked, used_by = :used_by, "
             "key_digest = :key_digest WHERE id = :id",
      soci::use(revoked), soci::use(token.used_by), soci::use(token.key_digest),
      soci::use(token.id);
}

std::optional<Device> SelectDevice(soci::session& session, const std::string& project,
                                   const std::string& id) {
  DeviceRow row;
  session << "SELECT " << kDeviceColumns << " FROM devices WHERE project = :project AND id = :id",
      soci::use(project), soci::use(id), soci::into(row.project), soci::into(row.id),
      soci::into(row.hardware_id), soci::into(row.attributes), soci::into(row.revoked),
      soci::into(row.revoke_reason), soci::into(row.create_micros),
      soci::into(row.certificate_expire_micros), soci::into(row.revision);
  return session.got_data() ? std::optional(row.ToDevice()) : std::nullopt;
}

absl::Status NoSuchDevice(absl::string_view project, absl::string_view id) {
  return absl::NotFoundError(absl::StrCat("no device projects/", project, "/devices/", id));
}

absl::Status DeviceExists(const Device& device) {
  return ErrorWithReason(
      absl::StatusCode::kAlreadyExists, kDeviceExists,
      absl::StrCat("device projects/", device.project, "/devices/", device.id, " exists"));
}

std::int64_t NextRevision(soci::session& session) {
  long long revision = 0;
  session << "UPDATE device_revision SET value = value + 1";
  session << "SELECT value FROM device_revision", soci::into(revision);
  return revision;
}

void InsertDevice(soci::session& session, const Device& device) {
  const DeviceRow row = DeviceRow::From(device);
  session << "INSERT INTO devices (" << kDeviceColumns
          << ") VALUES (:project, :id, :hardware_id, :attributes, :revoked, :revoke_reason, "
             ":create_micros, :certificate_expire_micros, :revision)",
      soci::use(row.project), soci::use(row.id), soci::use(row.hardware_id),
      soci::use(row.attributes), soci::use(row.revoked), soci::use(row.revoke_reason),
      soci::use(row.create_micros), soci::use(row.certificate_expire_micros),
      soci::use(row.revision);
}

// What of a device ever changes.
void WriteDevice(soci::session& session, const Device& device) {
  const DeviceRow row = DeviceRow::From(device);
  session << "UPDATE devices SET attributes = :attributes, revoked = :revoked, "
             "revoke_reason = :revoke_reason, certificate_expire_micros = :expire, "
             "revision = :revision WHERE project = :project AND id = :id",
      soci::use(row.attributes), soci::use(row.revoked), soci::use(row.revoke_reason),
      soci::use(row.certificate_expire_micros), soci::use(row.revision), soci::use(row.project),
      soci::use(row.id);
}

std::optional<ApiToken> SelectApiToken(soci::session& session, const std::string& id) {
  ApiTokenRow row;
  session << "SELECT " << kApiTokenColumns << " FROM api_tokens WHERE id = :id", soci::use(id),
      soci::into(row.id), soci::into(row.secret_digest), soci::into(row.display_name),
      soci::into(row.role), soci::into(row.project), soci::into(row.expire_micros),
      soci::into(row.revoked), soci::into(row.create_micros);
  return session.got_data() ? std::optional(row.ToToken()) : std::nullopt;
}

std::int64_t CountWhere(soci::session& session, const std::string& from_where) {
  long long count = 0;
  session << "SELECT COUNT(*) FROM " << from_where, soci::into(count);
  return count;
}

}  // namespace

SqlProvisioningStore::SqlProvisioningStore(Database& database) : database_(database) {}

absl::Status SqlProvisioningStore::InsertProject(const Project& project) {
  const long long create_micros = absl::ToUnixMicros(project.create_time);
  return database_.Write([&](soci::session& session) -> absl::Status {
    if (SelectProject(session, project.id).has_value()) {
      return absl::AlreadyExistsError(absl::StrCat("project projects/", project.id, " exists"));
    }
    session << "INSERT INTO projects (id, display_name, create_micros) "
               "VALUES (:id, :display_name, :create_micros)",
        soci::use(project.id), soci::use(project.display_name), soci::use(create_micros);
    return absl::OkStatus();
  });
}

absl::StatusOr<Project> SqlProvisioningStore::GetProject(absl::string_view id) {
  const std::string key(id);
  std::optional<Project> project;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    project = SelectProject(session, key);
    return absl::OkStatus();
  }));
  if (!project.has_value()) {
    return absl::NotFoundError(absl::StrCat("no project projects/", id));
  }
  return *std::move(project);
}

absl::StatusOr<std::vector<Project>> SqlProvisioningStore::ListProjects(absl::string_view after,
                                                                        int limit) {
  const std::string last(after);
  std::vector<Project> projects;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    projects.clear();
    ProjectRow row;
    FetchAll((session.prepare << "SELECT id, display_name, create_micros FROM projects "
                                 "WHERE id > :after ORDER BY id LIMIT :count",
              soci::use(last, "after"), soci::use(limit, "count"), soci::into(row.id),
              soci::into(row.display_name), soci::into(row.create_micros)),
             [&] { projects.push_back(row.ToProject()); });
    return absl::OkStatus();
  }));
  return projects;
}

absl::Status SqlProvisioningStore::InsertEnrollmentToken(const EnrollmentToken& token) {
  const std::string attributes = ToText(token.attributes);
  const long long expire_micros = absl::ToUnixMicros(token.expire_time);
  const long long create_micros = absl::ToUnixMicros(token.create_time);
  const int revoked = token.revoked ? 1 : 0;
  return database_.Write([&](soci::session& session) -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(session, token.project));
    if (!token.device_id.empty()) {
      const std::optional<Device> device = SelectDevice(session, token.project, token.device_id);
      if (device.has_value()) {
        return DeviceExists(*device);
      }
    }
    if (SelectToken(session, token.id).has_value()) {
      return absl::AlreadyExistsError(absl::StrCat("enrolment token ", token.id, " exists"));
    }
    session << "INSERT INTO enrollment_tokens (" << kTokenColumns
            << ") VALUES (:id, :project, :secret_digest, :hardware_id, :device_id, :attributes, "
               ":expire, :created, :revoked, :used_by, :key_digest)",
        soci::use(token.id), soci::use(token.project), soci::use(token.secret_digest),
        soci::use(token.hardware_id), soci::use(token.device_id), soci::use(attributes),
        soci::use(expire_micros), soci::use(create_micros), soci::use(revoked),
        soci::use(token.used_by), soci::use(token.key_digest);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<EnrollmentToken>> SqlProvisioningStore::ListEnrollmentTokens(
    absl::string_view project, const TokenCursor& after, int limit) {
  const std::string wanted(project);
  const long long micros = after.create_time == absl::InfiniteFuture()
                               ? std::numeric_limits<long long>::max()
                               : absl::ToUnixMicros(after.create_time);
  std::vector<EnrollmentToken> tokens;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    tokens.clear();
    TokenRow row;
    FetchAll((session.prepare << "SELECT " << kTokenColumns
                              << " FROM enrollment_tokens WHERE project = :project AND "
                                 "(create_micros < :micros OR (create_micros = :same AND id > :id))"
                                 " ORDER BY create_micros DESC, id LIMIT :count",
              soci::use(wanted, "project"), soci::use(micros, "micros"), soci::use(micros, "same"),
              soci::use(after.id, "id"), soci::use(limit, "count"), soci::into(row.id),
              soci::into(row.project), soci::into(row.secret_digest), soci::into(row.hardware_id),
              soci::into(row.device_id), soci::into(row.attributes), soci::into(row.expire_micros),
              soci::into(row.create_micros), soci::into(row.revoked), soci::into(row.used_by),
              soci::into(row.key_digest)),
             [&] { tokens.push_back(row.ToToken()); });
    return absl::OkStatus();
  }));
  return tokens;
}

absl::StatusOr<EnrollmentToken> SqlProvisioningStore::UpdateEnrollmentToken(
    absl::string_view project, absl::string_view id,
    absl::FunctionRef<absl::Status(EnrollmentToken&)> change) {
  const std::string key(id);
  std::optional<EnrollmentToken> token;
  const absl::Status written = database_.Write([&](soci::session& session) -> absl::Status {
    token = SelectToken(session, key);
    if (!token.has_value() || token->project != project) {
      return absl::NotFoundError(
          absl::StrCat("no token projects/", project, "/enrollmentTokens/", id));
    }
    FIELDLOOP_RETURN_IF_ERROR(change(*token));
    WriteTokenState(session, *token);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(written);
  return *std::move(token);
}

absl::StatusOr<Device> SqlProvisioningStore::Enroll(
    absl::string_view token_id,
    absl::FunctionRef<absl::StatusOr<Device>(EnrollmentToken&, const Device*)> decide) {
  const std::string key(token_id);
  Device device;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    std::optional<EnrollmentToken> token = SelectToken(session, key);
    if (!token.has_value()) {
      return absl::NotFoundError(absl::StrCat("no enrolment token ", token_id));
    }
    std::optional<Device> enrolled;
    if (!token->used_by.empty()) {
      enrolled = SelectDevice(session, token->project, token->used_by);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(device, decide(*token, enrolled ? &*enrolled : nullptr));
    if (!enrolled && SelectDevice(session, device.project, device.id).has_value()) {
      return DeviceExists(device);
    }
    device.revision = NextRevision(session);
    if (enrolled) {
      WriteDevice(session, device);
    } else {
      InsertDevice(session, device);
    }
    WriteTokenState(session, *token);
    return absl::OkStatus();
  }));
  return device;
}

absl::StatusOr<Device> SqlProvisioningStore::GetDevice(absl::string_view project,
                                                       absl::string_view id) {
  const std::string project_key(project);
  const std::string key(id);
  std::optional<Device> device;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    device = SelectDevice(session, project_key, key);
    return absl::OkStatus();
  }));
  if (!device.has_value()) {
    return NoSuchDevice(project, id);
  }
  return *std::move(device);
}

absl::StatusOr<std::vector<Device>> SqlProvisioningStore::ListDevices(absl::string_view project,
                                                                      absl::string_view after,
                                                                      int limit) {
  const std::string wanted(project);
  const std::string last(after);
  std::vector<Device> devices;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    devices.clear();
    DeviceRow row;
    FetchAll((session.prepare << "SELECT " << kDeviceColumns
                              << " FROM devices WHERE project = :project AND id > :after "
                                 "ORDER BY id LIMIT :count",
              soci::use(wanted, "project"), soci::use(last, "after"), soci::use(limit, "count"),
              soci::into(row.project), soci::into(row.id), soci::into(row.hardware_id),
              soci::into(row.attributes), soci::into(row.revoked), soci::into(row.revoke_reason),
              soci::into(row.create_micros), soci::into(row.certificate_expire_micros),
              soci::into(row.revision)),
             [&] { devices.push_back(row.ToDevice()); });
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<Device> SqlProvisioningStore::UpdateDevice(
    absl::string_view project, absl::string_view id,
    absl::FunctionRef<absl::Status(Device&)> change) {
  const std::string project_key(project);
  const std::string key(id);
  Device device;
  const absl::Status written = database_.Write([&](soci::session& session) -> absl::Status {
    const std::optional<Device> before = SelectDevice(session, project_key, key);
    if (!before.has_value()) {
      return NoSuchDevice(project, id);
    }
    device = *before;
    FIELDLOOP_RETURN_IF_ERROR(change(device));
    if (device == *before) {
      return absl::OkStatus();
    }
    device.revision = NextRevision(session);
    WriteDevice(session, device);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(written);
  return device;
}

absl::StatusOr<std::vector<Device>> SqlProvisioningStore::DevicesAfter(std::int64_t revision,
                                                                       int limit) {
  const long long after = revision;
  std::vector<Device> devices;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    devices.clear();
    DeviceRow row;
    FetchAll(
        (session.prepare << "SELECT " << kDeviceColumns
                         << " FROM devices WHERE revision > :after ORDER BY revision LIMIT :count",
         soci::use(after, "after"), soci::use(limit, "count"), soci::into(row.project),
         soci::into(row.id), soci::into(row.hardware_id), soci::into(row.attributes),
         soci::into(row.revoked), soci::into(row.revoke_reason), soci::into(row.create_micros),
         soci::into(row.certificate_expire_micros), soci::into(row.revision)),
        [&] { devices.push_back(row.ToDevice()); });
    return absl::OkStatus();
  }));
  return devices;
}

absl::Status SqlProvisioningStore::InsertApiToken(const ApiToken& token) {
  const int role = static_cast<int>(token.role);
  const long long expire_micros =
      token.expire_time == absl::InfiniteFuture() ? 0 : absl::ToUnixMicros(token.expire_time);
  const long long create_micros = absl::ToUnixMicros(token.create_time);
  const int revoked = token.revoked ? 1 : 0;
  return database_.Write([&](soci::session& session) -> absl::Status {
    if (!token.project.empty()) {
      FIELDLOOP_RETURN_IF_ERROR(CheckProject(session, token.project));
    }
    if (SelectApiToken(session, token.id).has_value()) {
      return absl::AlreadyExistsError(absl::StrCat("API token ", token.id, " exists"));
    }
    session << "INSERT INTO api_tokens (" << kApiTokenColumns
            << ") VALUES (:id, :secret_digest, :display_name, :role, :project, :expire, :revoked, "
               ":created)",
        soci::use(token.id), soci::use(token.secret_digest), soci::use(token.display_name),
        soci::use(role), soci::use(token.project), soci::use(expire_micros), soci::use(revoked),
        soci::use(create_micros);
    return absl::OkStatus();
  });
}

absl::StatusOr<ApiToken> SqlProvisioningStore::GetApiToken(absl::string_view id) {
  const std::string key(id);
  std::optional<ApiToken> token;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    token = SelectApiToken(session, key);
    return absl::OkStatus();
  }));
  if (!token.has_value()) {
    return absl::NotFoundError(absl::StrCat("no token apiTokens/", id));
  }
  return *std::move(token);
}

absl::StatusOr<std::vector<ApiToken>> SqlProvisioningStore::ListApiTokens(absl::string_view after,
                                                                          int limit) {
  const std::string last(after);
  std::vector<ApiToken> tokens;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    tokens.clear();
    ApiTokenRow row;
    FetchAll((session.prepare << "SELECT " << kApiTokenColumns
                              << " FROM api_tokens WHERE id > :after ORDER BY id LIMIT :count",
              soci::use(last, "after"), soci::use(limit, "count"), soci::into(row.id),
              soci::into(row.secret_digest), soci::into(row.display_name), soci::into(row.role),
              soci::into(row.project), soci::into(row.expire_micros), soci::into(row.revoked),
              soci::into(row.create_micros)),
             [&] { tokens.push_back(row.ToToken()); });
    return absl::OkStatus();
  }));
  return tokens;
}

absl::StatusOr<ApiToken> SqlProvisioningStore::UpdateApiToken(
    absl::string_view id, absl::FunctionRef<absl::Status(ApiToken&)> change) {
  const std::string key(id);
  std::optional<ApiToken> token;
  const absl::Status written = database_.Write([&](soci::session& session) -> absl::Status {
    token = SelectApiToken(session, key);
    if (!token.has_value()) {
      return absl::NotFoundError(absl::StrCat("no token apiTokens/", id));
    }
    FIELDLOOP_RETURN_IF_ERROR(change(*token));
    const int revoked = token->revoked ? 1 : 0;  // What of an API token ever changes.
    session << "UPDATE api_tokens SET revoked = :revoked WHERE id = :id", soci::use(revoked),
        soci::use(key);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(written);
  return *std::move(token);
}

absl::StatusOr<Inventory> SqlProvisioningStore::Count(absl::Time now) {
  const std::string micros = absl::StrCat(absl::ToUnixMicros(now));
  Inventory inventory;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    inventory.active_devices = CountWhere(session, "devices WHERE revoked = 0");
    inventory.revoked_devices = CountWhere(session, "devices WHERE revoked <> 0");
    inventory.used_tokens = CountWhere(session, "enrollment_tokens WHERE used_by <> ''");
    inventory.revoked_tokens =
        CountWhere(session, "enrollment_tokens WHERE used_by = '' AND revoked <> 0");
    inventory.active_tokens = CountWhere(session,
                                         "enrollment_tokens WHERE used_by = '' AND revoked = 0 "
                                         "AND expire_micros > " +
                                             micros);
    inventory.expired_tokens = CountWhere(session,
                                          "enrollment_tokens WHERE used_by = '' AND revoked = 0 "
                                          "AND expire_micros <= " +
                                              micros);
    return absl::OkStatus();
  }));
  return inventory;
}
// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::provisioning
