// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_STORAGE_SQL_PROVISIONING_STORE_H_
#define FIELDLOOP_SERVICES_PROVISIONING_STORAGE_SQL_PROVISIONING_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "services/common/sql/database.h"
#include "services/provisioning/domain/provisioning_store.h"

namespace fieldloop::provisioning {

// Keeps everything in a database that was opened with Migrations() of "migrations/
// provisioning_storage.h".
class SqlProvisioningStore final : public ProvisioningStore {
 public:
  // `database` must outlive this object.
  explicit SqlProvisioningStore(Database& database);

  absl::Status InsertProject(const Project& project) override;
  absl::StatusOr<Project> GetProject(absl::string_view id) override;
  absl::StatusOr<std::vector<Project>> ListProjects(absl::string_view after, int limit) override;

  absl::Status InsertEnrollmentToken(const EnrollmentToken& token) override;
  absl::StatusOr<std::vector<EnrollmentToken>> ListEnrollmentTokens(absl::string_view project,
                                                                    const TokenCursor& after,
                                                                    int limit) override;
  absl::StatusOr<EnrollmentToken> UpdateEnrollmentToken(
      absl::string_view project, absl::string_view id,
      absl::FunctionRef<absl::Status(EnrollmentToken&)> change) override;
  absl::StatusOr<Device> Enroll(
      absl::string_view token_id,
      absl::FunctionRef<absl::StatusOr<Device>(EnrollmentToken&, const Device*)> decide) override;

  absl::StatusOr<Device> GetDevice(absl::string_view project, absl::string_view id) override;
  absl::StatusOr<std::vector<Device>> ListDevices(absl::string_view project,
                                                  absl::string_view after, int limit) override;
  absl::StatusOr<Device> UpdateDevice(absl::string_view project, absl::string_view id,
                                      absl::FunctionRef<absl::Status(Device&)> change) override;
  absl::StatusOr<std::vector<Device>> DevicesAfter(std::int64_t revision, int limit) override;

  absl::Status InsertApiToken(const ApiToken& token) override;
  absl::StatusOr<ApiToken> GetApiToken(absl::string_view id) override;
  absl::StatusOr<std::vector<ApiToken>> ListApiTokens(absl::string_view after, int limit) override;
  absl::StatusOr<ApiToken> UpdateApiToken(
      absl::string_view id, absl::FunctionRef<absl::Status(ApiToken&)> change) override;

  absl::StatusOr<Inventory> Count(absl::Time now) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_STORAGE_SQL_PROVISIONING_STORE_H_
