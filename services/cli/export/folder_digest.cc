// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/export/folder_digest.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/cli/commands/arguments.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

using json = nlohmann::json;

absl::StatusOr<json> ReadJson(const std::string& path) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": want a JSON object"));
  }
  return json(std::move(document));
}

std::string TextOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// The part of a digest's line that says what the readings of a file are; empty if it is not said.
std::string RangesOf(const json& file) {
  const json label = file.value("label", json::object());
  if (!label.is_object()) {
    return "";
  }
  if (TextOf(label, "type") == "label" && file.value("readings", json()).is_number_integer()) {
    return absl::StrCat("0:", file["readings"].get<std::int64_t>() - 1, ":",
                        TextOf(label, "label"));
  }
  std::string text;
  for (const json& range : label.value("labels", json::array())) {
    if (!range.is_object() || !range.value("startIndex", json()).is_number_integer() ||
        !range.value("endIndex", json()).is_number_integer()) {
      return "";
    }
    absl::StrAppend(&text, text.empty() ? "" : ",", range["startIndex"].get<std::int64_t>(), ":",
                    range["endIndex"].get<std::int64_t>(), ":", TextOf(range, "label"));
  }
  return text;
}

}  // namespace

absl::StatusOr<FolderDigest> DigestOfFolder(const std::string& folder) {
  const std::string index_path = absl::StrCat(folder, "/", kIndexFile);
  FIELDLOOP_ASSIGN_OR_RETURN(const json index, ReadJson(index_path));
  FIELDLOOP_ASSIGN_OR_RETURN(const json version, ReadJson(absl::StrCat(folder, "/", kVersionFile)));
  if (!index.value("files", json()).is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": want a list \"files\""));
  }
  FolderDigest digest;
  digest.version = TextOf(version, "name");
  digest.stated = TextOf(version, "digest");
  std::vector<std::string> lines;
  for (const json& file : index["files"]) {
    const std::string path = file.is_object() ? TextOf(file, "path") : "";
    const std::string ranges = file.is_object() ? RangesOf(file) : "";
    const absl::StatusOr<std::string> content = ReadFile(absl::StrCat(folder, "/", path));
    if (path.empty() || ranges.empty() || !content.ok()) {
      digest.wrong.push_back(
          absl::StrCat(path.empty() ? "an entry without a path" : path, ": ",
                       content.ok() ? "want a label and the readings" : "cannot be read"));
      continue;
    }
    const std::string sum = ToHex(Sha256Of(*content));
    if (const std::string wanted = TextOf(file, "digest"); !wanted.empty() && wanted != sum) {
      digest.wrong.push_back(absl::StrCat(path, ": its bytes have changed"));
    }
    lines.push_back(absl::StrCat(sum, "\t", TextOf(file, "category"), "\t", ranges, "\n"));
    ++digest.samples;
  }
  std::sort(lines.begin(), lines.end());
  Sha256 hash;
  for (const std::string& line : lines) {
    hash.Update(line);
  }
  digest.computed = ToHex(hash.Finish());
  return digest;
}

}  // namespace fieldloop::cli
