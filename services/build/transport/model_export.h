// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_MODEL_EXPORT_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_MODEL_EXPORT_H_

#include <string>
#include <vector>

#include <fieldloop/build/v1/build_service.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/model.h"
#include "services/common/zip/zip_archive.h"

namespace fieldloop::build {

// A model as files for other tools, which follow from its bytes and its name alone. `file` is the
// model's .tflite file.

// fieldloop_model.h and fieldloop_model.c.
std::vector<ZipEntry> CArrayFiles(const Model& model, absl::string_view file);

// deployment-metadata.json, version 1 of the field's contract for custom deployment blocks, and
// model.tflite. INTERNAL if a registered model cannot be read.
absl::StatusOr<std::vector<ZipEntry>> DeploymentFiles(const Model& model, absl::string_view file);

// The files of a format as a ZIP archive. INVALID_ARGUMENT for an unknown format.
absl::StatusOr<std::string> ExportArchive(const Model& model, absl::string_view file,
                                          v1::ExportModelRequest::Format format);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_MODEL_EXPORT_H_
