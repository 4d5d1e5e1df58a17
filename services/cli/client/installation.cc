// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/client/installation.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

std::string PathIn(const std::string& home) { return absl::StrCat(home, "/client.json"); }

}  // namespace

absl::StatusOr<Installation> LoadInstallation(const std::string& home) {
  std::ifstream file(PathIn(home));
  if (!file) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no installation at ", home, ": there is no ", PathIn(home),
        "; start one with `fieldloop up --home ", home, "`, or name another with --home"));
  }
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object() || !json.contains("addresses") || !json["addresses"].is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(PathIn(home), ": want a JSON object with addresses, ca_file and token_file"));
  }
  Installation installation;
  for (const auto& [service, address] : json["addresses"].items()) {
    if (address.is_string()) {
      installation.addresses[service] = address.get<std::string>();
    }
  }
  installation.ca_file = json.value("ca_file", "");
  installation.token_file = json.value("token_file", "");
  return installation;
}

absl::Status SaveInstallation(const std::string& home, const Installation& installation) {
  const nlohmann::json json = {{"addresses", installation.addresses},
                               {"ca_file", installation.ca_file},
                               {"token_file", installation.token_file}};
  const std::string temporary = PathIn(home) + ".tmp";
  std::ofstream file(temporary);
  file << json.dump(2) << "\n";
  file.close();
  if (!file || std::rename(temporary.c_str(), PathIn(home).c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", PathIn(home)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Client::Channel(const std::string& service) {
  if (const auto found = channels_.find(service); found != channels_.end()) {
    return found->second;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const Installation installation, LoadInstallation(home));
  const auto address = installation.addresses.find(service);
  if (address == installation.addresses.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat(PathIn(home), ": addresses has no ", service));
  }
  if (token.empty() && !installation.token_file.empty()) {
    std::ifstream file(installation.token_file);
    std::getline(file, token);
    if (!file) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot read the API token in ", installation.token_file,
                       "; give one with --token or FIELDLOOP_TOKEN"));
    }
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      std::shared_ptr<grpc::Channel> channel,
      OpenChannel(address->second, {.ca = installation.ca_file, .cert = "", .key = ""}, service,
                  token));
  channels_[service] = channel;
  return channel;
}

absl::StatusOr<std::string> Client::Project() const {
  if (project.empty()) {
    return absl::InvalidArgumentError(
        "--project: missing; name one, or set FIELDLOOP_PROJECT (`fieldloop projects list` shows "
        "them)");
  }
  return absl::StrCat("projects/", absl::StripPrefix(project, "projects/"));
}

absl::StatusOr<std::string> Client::Name(absl::string_view collection,
                                         absl::string_view name) const {
  if (absl::StartsWith(name, "projects/")) {
    return std::string(name);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string parent, Project());
  return absl::StrCat(parent, "/", collection, "/", name);
}

}  // namespace fieldloop::cli
