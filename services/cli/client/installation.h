// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_CLIENT_INSTALLATION_H_
#define FIELDLOOP_SERVICES_CLI_CLIENT_INSTALLATION_H_

#include <map>
#include <memory>
#include <string>

#include <grpcpp/channel.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::cli {

// Where an installation answers and how to be let in: the content of HOME/client.json, which
// `fieldloop up` writes. On a cluster, a person writes the same file.
struct Installation {
  std::map<std::string, std::string> addresses;  // "ingestion" -> "127.0.0.1:7402".
  std::string ca_file;                           // PEM of the services' CA.
  std::string token_file;                        // File with an API token.
};

// Reads and writes HOME/client.json. FAILED_PRECONDITION, with what to do, if there is none.
absl::StatusOr<Installation> LoadInstallation(const std::string& home);
absl::Status SaveInstallation(const std::string& home, const Installation& installation);

// What every command needs: flags of the whole program, and channels to the services.
class Client {
 public:
  std::string home;     // --home
  std::string token;    // --token, or the installation's.
  std::string project;  // --project, the id.
  std::string output = "table";

  bool json() const { return output == "json"; }

  // Channel to a service; read from the installation at the first call.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel(const std::string& service);

  // A stub over that channel: `Stub<ProvisioningService>("provisioning")`.
  template <typename Service>
  absl::StatusOr<std::unique_ptr<typename Service::Stub>> Stub(const std::string& service) {
    auto channel = Channel(service);
    if (!channel.ok()) {
      return channel.status();
    }
    return Service::NewStub(*channel);
  }

  // "projects/{--project}"; INVALID_ARGUMENT when the flag is missing.
  absl::StatusOr<std::string> Project() const;

  // Completes a short name: Name("models", "7") is "projects/motor/models/7"; whole names pass.
  absl::StatusOr<std::string> Name(absl::string_view collection, absl::string_view name) const;

 private:
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_CLIENT_INSTALLATION_H_
