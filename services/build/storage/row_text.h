// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_ROW_TEXT_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_ROW_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/build.h"
#include "services/build/domain/trust.h"

namespace fieldloop::build {

// Lists in one text column: a line an entry, escaped. The way back is DATA_LOSS if the text is not
// what the function beside it wrote.
std::string TextOfStrings(const std::vector<std::string>& strings);
absl::StatusOr<std::vector<std::string>> StringsOfText(absl::string_view text);

std::string TextOfMetrics(const std::vector<Metric>& metrics);
absl::StatusOr<std::vector<Metric>> MetricsOfText(absl::string_view text);

std::string TextOfHistory(const std::vector<Epoch>& history);
absl::StatusOr<std::vector<Epoch>> HistoryOfText(absl::string_view text);

std::string TextOfCandidates(const std::vector<Candidate>& candidates);
absl::StatusOr<std::vector<Candidate>> CandidatesOfText(absl::string_view text);

std::string TextOfSignatures(const std::vector<Signature>& signatures);
absl::StatusOr<std::vector<Signature>> SignaturesOfText(absl::string_view text);

// Base64.
std::string TextOfBytes(absl::string_view bytes);
absl::StatusOr<std::string> BytesOfText(absl::string_view text);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_ROW_TEXT_H_
