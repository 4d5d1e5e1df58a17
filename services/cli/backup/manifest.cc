// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/manifest.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::cli {
namespace {

using nlohmann::json;

json ToJson(const BackupService& service) {
  json tables = json::array();
  for (const BackupTable& table : service.tables) {
    tables.push_back({{"name", table.name},
                      {"digest", table.digest},
                      {"rows", table.rows},
                      {"size_bytes", table.size_bytes}});
  }
  return {{"schema", service.schema},
          {"tables", tables},
          {"blob_columns", service.blob_columns},
          {"blobs", service.blobs},
          {"missing", service.missing}};
}

BackupService ServiceOf(const json& parsed) {
  BackupService service;
  service.schema = parsed.at("schema").get<int>();
  for (const json& table : parsed.at("tables")) {
    service.tables.push_back({.name = table.at("name").get<std::string>(),
                              .digest = table.at("digest").get<std::string>(),
                              .rows = table.at("rows").get<std::int64_t>(),
                              .size_bytes = table.at("size_bytes").get<std::int64_t>()});
  }
  service.blob_columns = parsed.at("blob_columns").get<std::vector<std::string>>();
  service.blobs = parsed.at("blobs").get<std::int64_t>();
  service.missing = parsed.at("missing").get<std::vector<std::string>>();
  return service;
}

std::string DigestOf(const json& manifest) { return ToHex(Sha256Of(manifest.dump())); }

}  // namespace

std::string ManifestText(const BackupManifest& manifest) {
  json services = json::object();
  for (const auto& [name, service] : manifest.services) {
    services[name] = ToJson(service);
  }
  json files = json::array();
  for (const BackupFile& file : manifest.files) {
    files.push_back({{"path", file.path}, {"digest", file.digest}});
  }
  json text = {{"format", kBackupFormat},
               {"id", manifest.id},
               {"create_micros", absl::ToUnixMicros(manifest.create_time)},
               {"program", manifest.program},
               {"services", services},
               {"files", files},
               {"secrets", manifest.secrets},
               {"secret_files", manifest.secret_files}};
  text["digest"] = DigestOf(text);
  return text.dump(2) + "\n";
}

absl::StatusOr<BackupManifest> ParseManifest(const std::string& text) {
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("digest")) {
    return absl::DataLossError("the manifest is damaged: it is not whole JSON");
  }
  const json digest = parsed["digest"];
  parsed.erase("digest");
  if (const int format = parsed.value("format", 0); format > kBackupFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat("the backup has format ", format, ", this program knows ", kBackupFormat,
                     ": use the program that made it, or a newer one"));
  }
  if (digest != DigestOf(parsed)) {
    return absl::DataLossError("the manifest is damaged: it does not have its digest");
  }
  try {
    BackupManifest manifest;
    manifest.id = parsed.at("id").get<std::string>();
    manifest.create_time = absl::FromUnixMicros(parsed.at("create_micros").get<std::int64_t>());
    manifest.program = parsed.at("program").get<std::string>();
    for (const auto& [name, service] : parsed.at("services").items()) {
      manifest.services[name] = ServiceOf(service);
    }
    for (const json& file : parsed.at("files")) {
      manifest.files.push_back({.path = file.at("path").get<std::string>(),
                                .digest = file.at("digest").get<std::string>()});
    }
    manifest.secrets = parsed.at("secrets").get<std::string>();
    manifest.secret_files = parsed.at("secret_files").get<std::vector<std::string>>();
    return manifest;
  } catch (const json::exception& error) {
    return absl::DataLossError(absl::StrCat("the manifest is damaged: ", error.what()));
  }
}

}  // namespace fieldloop::cli
