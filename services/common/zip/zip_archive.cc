// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/zip/zip_archive.h"

#include <cstdint>
#include <memory>
#include <zip.h>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

// 1980-01-01, the first day that the format knows: year 0, month 1, day 1.
constexpr std::uint16_t kDosDate = (1U << 5U) | 1U;
constexpr std::uint16_t kDosTime = 0;

// Throws changes away unless it was closed before.
using Archive = std::unique_ptr<zip_t, decltype(&zip_discard)>;
using Source = std::unique_ptr<zip_source_t, decltype(&zip_source_free)>;
using OpenFile = std::unique_ptr<zip_file_t, decltype(&zip_fclose)>;

absl::Status PackError(zip_t* archive) {
  return absl::InternalError(absl::StrCat("zip: ", zip_strerror(archive)));
}

absl::Status Unreadable(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("archive: got ", why, ", want a whole ZIP file"));
}

absl::Status Add(zip_t* archive, const ZipEntry& entry) {
  // Freed by the archive once it is added.
  zip_source_t* content =
      zip_source_buffer(archive, entry.content.data(), entry.content.size(), /*freep=*/0);
  if (content == nullptr) {
    return PackError(archive);
  }
  const zip_int64_t added = zip_file_add(archive, entry.name.c_str(), content, ZIP_FL_ENC_UTF_8);
  if (added < 0) {
    zip_source_free(content);
    return zip_error_code_zip(zip_get_error(archive)) == ZIP_ER_EXISTS
               ? absl::InvalidArgumentError(absl::StrCat("two files are named ", entry.name))
               : PackError(archive);
  }
  const auto index = static_cast<zip_uint64_t>(added);
  if (zip_set_file_compression(archive, index, ZIP_CM_STORE, 0) != 0 ||
      zip_file_set_dostime(archive, index, kDosTime, kDosDate, 0) != 0) {
    return PackError(archive);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAll(zip_source_t* source) {
  zip_stat_t stat;
  if (zip_source_stat(source, &stat) != 0 || zip_source_open(source) != 0) {
    return absl::InternalError("zip: the archive cannot be read back");
  }
  std::string bytes(stat.size, '\0');
  const zip_int64_t got = zip_source_read(source, bytes.data(), bytes.size());
  zip_source_close(source);
  if (got < 0 || static_cast<std::size_t>(got) != bytes.size()) {
    return absl::InternalError("zip: the archive cannot be read back");
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> PackZip(const std::vector<ZipEntry>& entries) {
  zip_error_t error;
  zip_error_init(&error);
  const Source bytes(zip_source_buffer_create(nullptr, 0, /*freep=*/0, &error), zip_source_free);
  if (bytes == nullptr) {
    return absl::InternalError("zip: no memory");
  }
  zip_source_keep(bytes.get());  // One reference for the archive, one for ReadAll.
  Archive archive(zip_open_from_source(bytes.get(), ZIP_TRUNCATE, &error), zip_discard);
  if (archive == nullptr) {
    zip_source_free(bytes.get());
    return absl::InternalError(absl::StrCat("zip: ", zip_error_strerror(&error)));
  }
  for (const ZipEntry& entry : entries) {
    FIELDLOOP_RETURN_IF_ERROR(Add(archive.get(), entry));
  }
  if (zip_close(archive.get()) != 0) {
    return PackError(archive.get());
  }
  static_cast<void>(archive.release());
  return ReadAll(bytes.get());
}

absl::StatusOr<std::vector<ZipEntry>> UnpackZip(absl::string_view archive) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* bytes =
      zip_source_buffer_create(archive.data(), archive.size(), /*freep=*/0, &error);
  if (bytes == nullptr) {
    return absl::InternalError("zip: no memory");
  }
  const Archive opened(zip_open_from_source(bytes, ZIP_RDONLY | ZIP_CHECKCONS, &error),
                       zip_discard);
  if (opened == nullptr) {
    zip_source_free(bytes);
    return Unreadable(zip_error_strerror(&error));
  }
  std::vector<ZipEntry> entries;
  std::size_t left = kMaxZipBytes;
  const zip_int64_t count = zip_get_num_entries(opened.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t stat;
    if (zip_stat_index(opened.get(), index, 0, &stat) != 0) {
      return Unreadable(zip_strerror(opened.get()));
    }
    if (stat.size > left) {
      return Unreadable(absl::StrCat("more than ", kMaxZipBytes, " bytes in it"));
    }
    left -= stat.size;
    const OpenFile file(zip_fopen_index(opened.get(), index, 0), zip_fclose);
    if (file == nullptr) {
      return Unreadable(zip_strerror(opened.get()));
    }
    ZipEntry& entry = entries.emplace_back();
    entry.name = stat.name;
    entry.content.resize(stat.size);
    const zip_int64_t got = zip_fread(file.get(), entry.content.data(), entry.content.size());
    // Reading on at the end checks the sum.
    char beyond = 0;
    if (got < 0 || static_cast<zip_uint64_t>(got) != stat.size ||
        zip_fread(file.get(), &beyond, 1) != 0) {
      return Unreadable(absl::StrCat("a damaged ", entry.name));
    }
  }
  return entries;
}

}  // namespace fieldloop
