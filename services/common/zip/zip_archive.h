// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_ZIP_ZIP_ARCHIVE_H_
#define FIELDLOOP_SERVICES_COMMON_ZIP_ZIP_ARCHIVE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// A file of an archive.
struct ZipEntry {
  std::string name;
  std::string content;
  friend bool operator==(const ZipEntry&, const ZipEntry&) = default;
};

// Packs files into a ZIP archive, stored as they are, dated 1980-01-01: the same files in the same
// order give the same bytes. INVALID_ARGUMENT if two have one name.
absl::StatusOr<std::string> PackZip(const std::vector<ZipEntry>& entries);

// The files of an archive, in its order. INVALID_ARGUMENT if `archive` is none, is damaged, or
// holds more than kMaxZipBytes when unpacked.
absl::StatusOr<std::vector<ZipEntry>> UnpackZip(absl::string_view archive);

inline constexpr std::size_t kMaxZipBytes = std::size_t{1} << 30;

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_ZIP_ZIP_ARCHIVE_H_
