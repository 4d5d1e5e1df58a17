// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/row_text.h"

#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

std::vector<absl::string_view> Lines(absl::string_view text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

absl::Status Unreadable(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("cannot read stored ", what));
}

// A number that reads back as the same, or "-".
std::string OptionalText(const std::optional<double>& value) {
  return value.has_value() ? absl::StrFormat("%.17g", *value) : "-";
}

bool ParseOptional(absl::string_view text, std::optional<double>& value) {
  double number = 0;
  if (text == "-") {
    return true;
  }
  if (!absl::SimpleAtod(text, &number)) {
    return false;
  }
  value = number;
  return true;
}

}  // namespace

std::string TextOfStrings(const std::vector<std::string>& strings) {
  std::string text;
  for (const std::string& entry : strings) {
    absl::StrAppend(&text, ":", absl::Utf8SafeCEscape(entry), "\n");  // ":" keeps empty ones.
  }
  return text;
}

absl::StatusOr<std::vector<std::string>> StringsOfText(absl::string_view text) {
  std::vector<std::string> strings;
  for (const absl::string_view line : Lines(text)) {
    std::string entry;
    if (line.front() != ':' || !absl::CUnescape(line.substr(1), &entry)) {
      return Unreadable("strings");
    }
    strings.push_back(std::move(entry));
  }
  return strings;
}

std::string TextOfMetrics(const std::vector<Metric>& metrics) {
  std::string text;
  for (const Metric& metric : metrics) {
    absl::StrAppend(&text, absl::StrFormat("%.17g ", metric.value),
                    absl::Utf8SafeCEscape(metric.name), "\n");
  }
  return text;
}

absl::StatusOr<std::vector<Metric>> MetricsOfText(absl::string_view text) {
  std::vector<Metric> metrics;
  for (const absl::string_view line : Lines(text)) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    Metric metric;
    if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &metric.value) ||
        !absl::CUnescape(parts[1], &metric.name)) {
      return Unreadable("metrics");
    }
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

std::string TextOfHistory(const std::vector<Epoch>& history) {
  std::string text;
  for (const Epoch& epoch : history) {
    absl::StrAppend(&text, epoch.epoch, " ", OptionalText(epoch.loss), " ",
                    OptionalText(epoch.accuracy), " ", OptionalText(epoch.validation_loss), " ",
                    OptionalText(epoch.validation_accuracy), "\n");
  }
  return text;
}

absl::StatusOr<std::vector<Epoch>> HistoryOfText(absl::string_view text) {
  std::vector<Epoch> history;
  for (const absl::string_view line : Lines(text)) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
    Epoch epoch;
    if (parts.size() != 5 || !absl::SimpleAtoi(parts[0], &epoch.epoch) ||
        !ParseOptional(parts[1], epoch.loss) || !ParseOptional(parts[2], epoch.accuracy) ||
        !ParseOptional(parts[3], epoch.validation_loss) ||
        !ParseOptional(parts[4], epoch.validation_accuracy)) {
      return Unreadable("history");
    }
    history.push_back(epoch);
  }
  return history;
}

std::string TextOfCandidates(const std::vector<Candidate>& candidates) {
  std::string text;
  for (const Candidate& candidate : candidates) {
    absl::StrAppend(&text, candidate.size_bytes, " ", candidate.arena_bytes, " ",
                    candidate.cortex_m4_instructions, " ",
                    OptionalText(candidate.validation_balanced_accuracy), " ",
                    candidate.fits ? 1 : 0, " ", candidate.chosen ? 1 : 0, " ",
                    absl::Utf8SafeCEscape(candidate.network), "\n");
  }
  return text;
}

absl::StatusOr<std::vector<Candidate>> CandidatesOfText(absl::string_view text) {
  std::vector<Candidate> candidates;
  for (const absl::string_view line : Lines(text)) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 6));
    Candidate candidate;
    if (parts.size() != 7 || !absl::SimpleAtoi(parts[0], &candidate.size_bytes) ||
        !absl::SimpleAtoi(parts[1], &candidate.arena_bytes) ||
        !absl::SimpleAtoi(parts[2], &candidate.cortex_m4_instructions) ||
        !ParseOptional(parts[3], candidate.validation_balanced_accuracy) ||
        !absl::CUnescape(parts[6], &candidate.network)) {
      return Unreadable("candidates");
    }
    candidate.fits = parts[4] == "1";
    candidate.chosen = parts[5] == "1";
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

std::string TextOfSignatures(const std::vector<Signature>& signatures) {
  std::string text;
  for (const Signature& signature : signatures) {
    absl::StrAppend(&text, absl::Base64Escape(signature.key_id), " ",
                    absl::Base64Escape(signature.value), "\n");
  }
  return text;
}

absl::StatusOr<std::vector<Signature>> SignaturesOfText(absl::string_view text) {
  std::vector<Signature> signatures;
  for (const absl::string_view line : Lines(text)) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
    Signature signature;
    if (parts.size() != 2 || !absl::Base64Unescape(parts[0], &signature.key_id) ||
        !absl::Base64Unescape(parts[1], &signature.value)) {
      return Unreadable("signatures");
    }
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

std::string TextOfBytes(absl::string_view bytes) { return absl::Base64Escape(bytes); }

absl::StatusOr<std::string> BytesOfText(absl::string_view text) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) {
    return Unreadable("bytes");
  }
  return bytes;
}

}  // namespace fieldloop::build
