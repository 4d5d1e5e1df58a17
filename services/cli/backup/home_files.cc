// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/home_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/cli/commands/arguments.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

using nlohmann::json;

bool IsReleaseKey(absl::string_view path) {
  return path == "trust/root.key" || path == "trust/release.key";
}
bool IsSecret(absl::string_view path) {
  return absl::EndsWith(path, ".key") || absl::EndsWith(path, ".token");
}
bool IsOpen(absl::string_view path) {
  return absl::EndsWith(path, ".crt") || absl::EndsWith(path, ".bin");
}

// "pki/..." or "trust/...", without a way out of them.
bool IsHomePath(const std::string& path) {
  return (absl::StartsWith(path, "pki/") || absl::StartsWith(path, "trust/")) &&
         !absl::StrContains(path, "..") && (IsSecret(path) || IsOpen(path));
}

}  // namespace

absl::StatusOr<HomeFiles> ReadHomeFiles(const std::string& home, bool with_release_keys) {
  std::vector<std::string> paths;
  for (const char* folder : {"pki", "trust"}) {
    std::error_code error;
    std::filesystem::recursive_directory_iterator entry(absl::StrCat(home, "/", folder), error);
    if (error == std::errc::no_such_file_or_directory) {
      continue;
    }
    for (; !error && entry != std::filesystem::recursive_directory_iterator();
         entry.increment(error)) {
      if (entry->is_regular_file(error)) {
        paths.push_back(entry->path().lexically_relative(home).string());
      }
    }
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot list ", home, "/", folder, ": ", error.message()));
    }
  }
  std::sort(paths.begin(), paths.end());
  HomeFiles files;
  for (const std::string& path : paths) {
    if (!IsHomePath(path) || (IsReleaseKey(path) && !with_release_keys)) {
      continue;
    }
    FIELDLOOP_ASSIGN_OR_RETURN(std::string content, ReadFile(absl::StrCat(home, "/", path)));
    (IsSecret(path) ? files.secrets : files.open)
        .push_back({.path = path, .content = std::move(content)});
  }
  return files;
}

absl::Status WriteHomeFiles(const std::string& home, const std::vector<HomeFile>& files,
                            bool secret) {
  for (const HomeFile& file : files) {
    if (!IsHomePath(file.path)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the backup has a file ", file.path, ", want one of pki or trust"));
    }
    const std::string path = absl::StrCat(home, "/", file.path);
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    FIELDLOOP_RETURN_IF_ERROR(WriteFile(path, file.content, secret ? 0600 : 0644));
  }
  return absl::OkStatus();
}

std::string BundleText(const std::vector<HomeFile>& files) {
  json bundle = json::object();
  for (const HomeFile& file : files) {
    bundle[file.path] = absl::Base64Escape(file.content);
  }
  return bundle.dump();
}

absl::StatusOr<std::vector<HomeFile>> ParseBundle(const std::string& text) {
  const json bundle = json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::vector<HomeFile> files;
  if (!bundle.is_object()) {
    return absl::DataLossError("the bundle of secrets is not JSON");
  }
  for (const auto& [path, content] : bundle.items()) {
    HomeFile file{.path = path, .content = ""};
    if (!content.is_string() || !absl::Base64Unescape(content.get<std::string>(), &file.content)) {
      return absl::DataLossError(absl::StrCat("the bundle of secrets: ", path, " is not base64"));
    }
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace fieldloop::cli
