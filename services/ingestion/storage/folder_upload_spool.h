// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_FOLDER_UPLOAD_SPOOL_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_FOLDER_UPLOAD_SPOOL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/ingestion/domain/upload_spool.h"

namespace fieldloop::ingestion {

struct SpoolLimits {
  absl::Duration keep = absl::Hours(24);    // Since the last call.
  std::int64_t max_bytes = 20'000'000'000;  // Of all resumable uploads, as announced.
};

// Keeps resumable uploads as files in `folder`, named by a digest of project and id, and temporary
// files there without a name. Makes `folder`; UNAVAILABLE if it cannot. `clock` must outlive the
// spool.
absl::StatusOr<std::unique_ptr<UploadSpool>> OpenFolderUploadSpool(const std::string& folder,
                                                                   const Clock& clock,
                                                                   SpoolLimits limits = {});

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_FOLDER_UPLOAD_SPOOL_H_
