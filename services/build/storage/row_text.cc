// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/row_text.h"

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
