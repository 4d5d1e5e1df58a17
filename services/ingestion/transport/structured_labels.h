// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_TRANSPORT_STRUCTURED_LABELS_H_
#define FIELDLOOP_SERVICES_INGESTION_TRANSPORT_STRUCTURED_LABELS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/label.h"

namespace fieldloop::ingestion {

// File name of the side file.
inline constexpr char kStructuredLabelsName[] = "structured_labels.labels";

// Reads a side file of labels:
//   {"version":1,"type":"structured-labels",
//    "structuredLabels":{"file":[{"startIndex":0,"endIndex":1,"label":"up"}]}}
// Returns the ranges of each file by its name. INVALID_ARGUMENT naming the field.
absl::StatusOr<std::map<std::string, std::vector<LabelRange>>> ParseStructuredLabels(
    absl::string_view text);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_TRANSPORT_STRUCTURED_LABELS_H_
