// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_FLEET_CENSUS_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_FLEET_CENSUS_H_

#include "services/common/sql/database.h"
#include "services/distribution/domain/fleet_census.h"

namespace fieldloop::distribution {

class SqlFleetCensus final : public FleetCensus {
 public:
  // `database` must outlive this object.
  explicit SqlFleetCensus(Database& database) : database_(database) {}

  // Reads one index from its begin to its end.
  absl::StatusOr<std::vector<ModelCount>> CountByModel() override;

 private:
  Database& database_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_FLEET_CENSUS_H_
