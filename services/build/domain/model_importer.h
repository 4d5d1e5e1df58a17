// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_IMPORTER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_IMPORTER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/dataset_source.h"
#include "services/build/domain/impulse_store.h"
#include "services/build/domain/model.h"
#include "services/build/domain/model_checker.h"
#include "services/build/domain/model_judge.h"
#include "services/build/domain/model_packager.h"
#include "services/build/domain/model_store.h"
#include "services/build/domain/training_set.h"
#include "services/build/domain/work_area.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// What comes with a file.
struct ImportRequest {
  std::string impulse;               // Empty: the one that the file carries.
  std::vector<std::string> classes;  // Empty: those that the file carries.
  std::string dataset_version;       // Empty: none.
  std::string author;
};

// Registers model files that were made elsewhere. Arguments are as they came from the caller.
// Thread-safe.
class ModelImporter {
 public:
  // All must outlive this object.
  struct Parts {
    ImpulseStore& impulses;
    ModelStore& models;
    DatasetSource& datasets;
    ModelPackager& packager;
    ModelChecker& checker;
    ModelJudge& judge;
    WorkArea& work;
    BlobStore& blobs;
    const Clock& clock;
  };
  explicit ModelImporter(const Parts& parts);

  // Packages, checks, runs over the testing windows of the dataset version, if there is one, and
  // registers. The same file with the same request is registered once: a repeat returns the first.
  // INVALID_ARGUMENT says what does not fit; NOT_FOUND; FAILED_PRECONDITION if the dataset version
  // has no training window of the classes.
  absl::StatusOr<Model> Import(absl::string_view parent, const ImportRequest& request,
                               const std::string& file);

 private:
  struct Windows {
    std::unique_ptr<WorkDirectory> work;
    std::unique_ptr<TrainingSetWriter> set;
  };
  absl::StatusOr<Windows> Prepare(const ImportRequest& request, const ImpulseRecipe& recipe,
                                  const std::vector<std::string>& classes,
                                  absl::string_view digest);

  const Parts parts_;
  std::atomic<std::int64_t> next_work_{1};
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_IMPORTER_H_
