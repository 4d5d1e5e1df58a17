// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_FOLDER_WORK_AREA_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_FOLDER_WORK_AREA_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/work_area.h"

namespace fieldloop::build {

// Keeps work directories in one folder.
class FolderWorkArea final : public WorkArea {
 public:
  // Makes `root` and removes what a previous process left in it: no other process may use it.
  // UNAVAILABLE if it cannot.
  static absl::StatusOr<std::unique_ptr<FolderWorkArea>> Open(const std::string& root);

  absl::StatusOr<std::unique_ptr<WorkDirectory>> Create(absl::string_view name) override;

 private:
  explicit FolderWorkArea(std::string root);
  const std::string root_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_FOLDER_WORK_AREA_H_
