// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop-provisioning: serves fieldloop.provisioning.v1. This file only wires objects together;
// it holds no rule that a test would have to reach.

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "migrations/provisioning_storage.h"
#include "services/common/clock/clock.h"
#include "services/common/log/log.h"
#include "services/common/server/service_options.h"
#include "services/common/server/service_server.h"
#include "services/common/sql/database.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/change_signal.h"
#include "services/provisioning/domain/access_control.h"
#include "services/provisioning/domain/device_registry.h"
#include "services/provisioning/domain/enrollment.h"
#include "services/provisioning/domain/project_registry.h"
#include "services/provisioning/storage/openssl_secret_source.h"
#include "services/provisioning/storage/pki_folder.h"
#include "services/provisioning/storage/sql_provisioning_store.h"
#include "services/provisioning/transport/inventory_poller.h"
#include "services/provisioning/transport/provisioning_handler.h"
#include "services/provisioning/transport/provisioning_metrics.h"

namespace {

using namespace fieldloop;                // NOLINT(google-build-using-namespace)
using namespace fieldloop::provisioning;  // NOLINT(google-build-using-namespace)

constexpr char kName[] = "provisioning";

struct Options {
  ServiceOptions service;
  std::string pki_dir;
  double device_certificate_days = 30;
  std::vector<std::string> service_name_alt;
};

// Makes the first API token be the one in the folder.
absl::Status OpenAdministrator(PkiFolder& pki, AccessControl& api_tokens) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string secret,
                             pki.AdminToken([&] { return api_tokens.NewSecret(); }));
  const absl::Status status = api_tokens.EnsureAdministrator(secret);
  if (absl::IsFailedPrecondition(status)) {
    spdlog::warn("{} is void: {}; to get another, remove the file and start again",
                 pki.admin_token(), status.message());
    return absl::OkStatus();
  }
  if (absl::IsInvalidArgument(status)) {
    return absl::InvalidArgumentError(absl::StrCat(pki.admin_token(), ": ", status.message()));
  }
  FIELDLOOP_RETURN_IF_ERROR(status);
  spdlog::info("the administrator's token is in {}", pki.admin_token());
  return absl::OkStatus();
}

absl::Status Run(Options options) {
  const SystemClock clock;
  FIELDLOOP_ASSIGN_OR_RETURN(
      PkiFolder pki, PkiFolder::Open(options.pki_dir, options.service_name_alt, clock.Now()));
  TlsFiles& tls = options.service.tls;
  if (tls.ca.empty() && tls.cert.empty() && tls.key.empty()) {
    tls = {.ca = pki.services_ca(),
           .cert = pki.service_certificate(kName),
           .key = pki.service_key(kName)};
  }

  std::error_code error;
  std::filesystem::create_directories(options.service.data_dir, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("--data-dir: cannot make ", options.service.data_dir, ": ", error.message()));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::unique_ptr<Database> database,
      Database::Open({.connection = DatabaseConnection(options.service, kName), .schema = kName},
                     Migrations()));
  SqlProvisioningStore store(*database);
  OpensslSecretSource secrets;
  AccessControl api_tokens(store, secrets, clock);
  FIELDLOOP_RETURN_IF_ERROR(OpenAdministrator(pki, api_tokens));

  ServiceServer server(kName, options.service);
  ProvisioningMetrics metrics(server.registry());
  CountedAccess access(api_tokens, metrics);
  ChangeSignal changes;
  ProjectRegistry projects(store, clock);
  DeviceRegistry devices(store, changes);
  Enrollment enrollment(store, secrets, pki.device_authority(), changes, clock,
                        absl::Hours(24) * options.device_certificate_days);
  ProvisioningHandler handler({.access = access,
                               .projects = projects,
                               .enrollment = enrollment,
                               .devices = devices,
                               .api_tokens = api_tokens,
                               .changes = changes,
                               .metrics = metrics,
                               .clock = clock});
  const InventoryPoller poller(store, metrics, clock);
  server.Register(handler);
  server.Audit(*database, access, clock);
  server.ReadyWhen([&database] { return database->Check(); });
  return server.Run({}, [&changes] { changes.Stop(); });
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app{"Answers who a device or a person is and whether it is still trusted."};
  AddServiceOptions(app, options.service, false);
  app.add_option(
         "--pki-dir", options.pki_dir,
         "folder of the CAs, the services' certificates and admin.token; what is missing is "
         "made")
      ->envname("FIELDLOOP_PKI_DIR")
      ->required();
  app.add_option("--device-certificate-days", options.device_certificate_days,
                 "how long a device's certificate is good; may be a fraction, from a minute on")
      ->envname("FIELDLOOP_DEVICE_CERTIFICATE_DAYS")
      ->check(CLI::Range(1.0 / (24 * 60), 3650.0))
      ->capture_default_str();
  app.add_option("--service-name-alt", options.service_name_alt,
                 "one more DNS name for the services' certificates; may be repeated")
      ->envname("FIELDLOOP_SERVICE_NAME_ALT");
  CLI11_PARSE(app, argc, argv);

  StartLog(kName, options.service.log_format);
  BlockStopSignals();
  if (const absl::Status status = Run(options); !status.ok()) {
    spdlog::critical("{}", status.ToString());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  spdlog::critical("{}", error.what());
  return EXIT_FAILURE;
}
