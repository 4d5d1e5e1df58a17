// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/file.h"

#include <cstdio>
#include <fstream>
#include <ios>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fieldloop::build::trainer {

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  }
  std::ostringstream content;
  // Inserting nothing sets the fail bit, so an empty file is told by peeking first.
  if (file.peek() != std::ifstream::traits_type::eof()) {
    content << file.rdbuf();
  }
  if (file.bad() || content.fail()) {
    return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  }
  return std::move(content).str();
}

absl::Status WriteFile(const std::string& path, absl::string_view content) {
  const std::string temporary = path + ".part";
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file || std::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::build::trainer
