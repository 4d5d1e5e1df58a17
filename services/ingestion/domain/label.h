// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABEL_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::ingestion {

// A label of the readings `start` to `end`, both inclusive.
struct LabelRange {
  std::int64_t start = 0;
  std::int64_t end = 0;  // Given by a caller, -1 is the last reading; stored, never.
  std::string label;

  friend bool operator==(const LabelRange&, const LabelRange&) = default;
};

// Why a labeller was given a sample. The numbers are stored: they never change.
enum class LabellingReason : std::uint8_t {
  kUnspecified = 0,
  kDisagreeing = 1,
  kUncertain = 2,
  kNovel = 3,
  kRandom = 4,
  kSecondOpinion = 5
};

// Source of a label that a person gave, and of one that a model gave.
inline constexpr char kPersonSource[] = "person";
inline constexpr char kModelSource[] = "model";

// FAILED_PRECONDITION of an undo that comes too late.
inline constexpr char kLabelSuperseded[] = "LABEL_SUPERSEDED";

// A statement about what a sample is. Never changes once stored.
struct Label {
  std::string project;
  std::string sample_id;
  std::int64_t number = 0;  // Counts from 1 in each sample; the highest stands.
  std::vector<LabelRange> ranges;
  std::string author;
  std::string source;
  absl::Time create_time{};
  std::int64_t undoes = 0;     // Number of the label that it takes back; 0 for one of its own.
  std::string suggested_by{};  // Digest of the model whose suggestion the labeller saw, or empty.
  // How the labeller came by the sample, if by the queue; the probability is of a random one.
  LabellingReason reason = LabellingReason::kUnspecified;
  double probability = 0;

  friend bool operator==(const Label&, const Label&) = default;
};

// OK for a label's text: 1 to 31 bytes of UTF-8 without control characters and without a comma,
// which parts the ranges in the text that a dataset version's digest covers.
absl::Status ValidateLabelText(absl::string_view field, absl::string_view label);

// Checks what can be checked without knowing the sample: texts, starts before ends, order, overlap.
absl::Status ValidateRanges(absl::string_view field, const std::vector<LabelRange>& ranges);

// Returns `ranges` with -1 replaced by the last of `readings` readings. INVALID_ARGUMENT naming
// `field` and the range if one is outside the sample or as in ValidateRanges.
absl::StatusOr<std::vector<LabelRange>> ResolveRanges(absl::string_view field,
                                                      std::vector<LabelRange> ranges,
                                                      std::int64_t readings);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABEL_H_
