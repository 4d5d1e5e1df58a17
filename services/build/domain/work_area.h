// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_WORK_AREA_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_WORK_AREA_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/training_set.h"

namespace fieldloop::build {

// A folder of one attempt of a build. Its destructor removes the folder with all that is in it.
class WorkDirectory {
 public:
  WorkDirectory() = default;
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;
  virtual ~WorkDirectory() = default;

  virtual std::string data_path() const = 0;
  virtual std::string out_path() const = 0;
  virtual std::string scratch_path() const = 0;
  // Writes a file into data_path().
  virtual absl::Status Put(absl::string_view name, absl::string_view content) = 0;
  // Begins the training set in data_path(), for windows of `window_values` values.
  virtual absl::StatusOr<std::unique_ptr<TrainingSetWriter>> OpenTrainingSet(
      std::size_t window_values) = 0;
};

// Where builds keep files while they run. Thread-safe.
class WorkArea {
 public:
  WorkArea() = default;
  WorkArea(const WorkArea&) = delete;
  WorkArea& operator=(const WorkArea&) = delete;
  virtual ~WorkArea() = default;

  // Makes an empty folder; `name` is unique among those that exist. RESOURCE_EXHAUSTED,
  // UNAVAILABLE.
  virtual absl::StatusOr<std::unique_ptr<WorkDirectory>> Create(absl::string_view name) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_WORK_AREA_H_
