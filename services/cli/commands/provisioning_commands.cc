// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// projects, tokens, devices

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/distribution/v1/distribution_service.grpc.pb.h>
#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace pv = provisioning::v1;
using Service = pv::ProvisioningService;

absl::StatusOr<std::unique_ptr<Service::Stub>> StubOf(Client& client) {
  return client.Stub<Service>("provisioning");
}

template <typename Map>
std::string PairsText(const Map& map) {
  std::vector<std::string> pairs;
  for (const auto& [key, value] : map) {
    pairs.push_back(absl::StrCat(key, "=", value));
  }
  std::sort(pairs.begin(), pairs.end());
  return absl::StrJoin(pairs, " ");
}

absl::Status CreateProject(Client& client, const std::string& id, const std::string& title) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::CreateProjectRequest request;
  request.mutable_project()->set_name("projects/" + id);
  request.mutable_project()->set_display_name(title);
  FIELDLOOP_ASSIGN_OR_RETURN(const pv::CreateProjectResponse response,
                             CallUnary(*stub, &Service::Stub::CreateProject, request));
  PrintRecord(client, response.project(), {{"created", response.project().name()}});
  return absl::OkStatus();
}

absl::Status ListProjects(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  Table table({"PROJECT", "TITLE", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(
      *stub, &Service::Stub::ListProjects, pv::ListProjectsRequest(), [&](const auto& page) {
        for (const pv::Project& project : page.projects()) {
          if (client.json()) {
            PrintJson(project);
          }
          table.Row(
              {ShortName(project.name()), project.display_name(), TimeText(project.create_time())});
        }
      }));
  if (!client.json()) {
    table.Print("no projects; make one with `fieldloop projects create ID`");
  }
  return absl::OkStatus();
}

struct TokenFlags {
  std::string device_id;
  std::string hardware_id;
  std::vector<std::string> attributes;
  std::string expires = "24h";
  std::string out;
  std::string name;
};

absl::Status CreateToken(Client& client, const TokenFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::CreateEnrollmentTokenRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  pv::EnrollmentToken& token = *request.mutable_enrollment_token();
  token.set_device_id(flags.device_id);
  token.set_hardware_id(flags.hardware_id);
  FIELDLOOP_ASSIGN_OR_RETURN(const auto attributes, KeyValues("--attribute", flags.attributes));
  Assign(*token.mutable_attributes(), attributes);
  FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration expires, DurationOf("--expires", flags.expires));
  *token.mutable_expire_time() = FromNow(expires);
  FIELDLOOP_ASSIGN_OR_RETURN(const pv::CreateEnrollmentTokenResponse response,
                             CallUnary(*stub, &Service::Stub::CreateEnrollmentToken, request));
  if (!flags.out.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(WriteFile(flags.out, response.secret() + "\n", 0600));
  }
  PrintRecord(client, response,
              {{"token", response.enrollment_token().name()},
               {"expires", TimeText(response.enrollment_token().expire_time())},
               {flags.out.empty() ? "secret" : "secret in",
                flags.out.empty() ? response.secret() : flags.out}});
  if (flags.out.empty() && !client.json()) {
    std::cout << "The secret is shown once. The device enrols with it, once, before it expires.\n";
  }
  return absl::OkStatus();
}

absl::Status ListTokens(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::ListEnrollmentTokensRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"TOKEN", "STATE", "DEVICE", "HARDWARE", "ATTRIBUTES", "EXPIRES"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Service::Stub::ListEnrollmentTokens, request, [&](const auto& page) {
        for (const pv::EnrollmentToken& token : page.enrollment_tokens()) {
          if (client.json()) {
            PrintJson(token);
          }
          table.Row(
              {ShortName(token.name()), StateText(pv::EnrollmentToken::State_Name(token.state())),
               token.device().empty() ? token.device_id() : ShortName(token.device()),
               token.hardware_id(), PairsText(token.attributes()), TimeText(token.expire_time())});
        }
      }));
  if (!client.json()) {
    table.Print("no tokens; make one with `fieldloop tokens create`");
  }
  return absl::OkStatus();
}

absl::Status RevokeToken(Client& client, const std::string& name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::RevokeEnrollmentTokenRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("enrollmentTokens", name));
  FIELDLOOP_ASSIGN_OR_RETURN(const pv::RevokeEnrollmentTokenResponse response,
                             CallUnary(*stub, &Service::Stub::RevokeEnrollmentToken, request));
  PrintRecord(client, response.enrollment_token(),
              {{"revoked", response.enrollment_token().name()}});
  return absl::OkStatus();
}

struct ApiTokenFlags {
  std::string role = "viewer";
  std::string title;
  std::string expires;
};

absl::Status CreateApiToken(Client& client, const ApiTokenFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::CreateApiTokenRequest request;
  pv::ApiToken& token = *request.mutable_api_token();
  pv::Role role = pv::ROLE_UNSPECIFIED;
  pv::Role_Parse("ROLE_" + absl::AsciiStrToUpper(flags.role), &role);
  token.set_role(role);
  token.set_display_name(flags.title);
  if (!client.project.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*token.mutable_project(), client.Project());
  }
  if (!flags.expires.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration expires,
                               DurationOf("--expires", flags.expires));
    *token.mutable_expire_time() = FromNow(expires);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const pv::CreateApiTokenResponse response,
                             CallUnary(*stub, &Service::Stub::CreateApiToken, request));
  PrintRecord(client, response,
              {{"token", response.api_token().name()},
               {"role", flags.role},
               {"project", client.project.empty() ? "all" : client.project},
               {"secret", response.secret()}});
  return absl::OkStatus();
}

std::string KindText(agent::v1::ComponentKind kind) {
  return StateText(agent::v1::ComponentKind_Name(kind), "COMPONENT_KIND_");
}

// Twelve digits of what the device runs of a kind.
std::string ShortDigest(const distribution::v1::DeviceState& state, agent::v1::ComponentKind kind) {
  for (const auto& component : state.components()) {
    if (component.kind() == kind) {
      return component.digest().substr(0, 12);
    }
  }
  return "";
}

// "yes" when all that the device runs is confirmed.
std::string ConfirmedText(const distribution::v1::DeviceState& state) {
  bool runs_something = false;
  for (const auto& component : state.components()) {
    if (!component.digest().empty()) {
      runs_something = true;
      if (!component.confirmed()) {
        return "no";
      }
    }
  }
  return runs_something ? "yes" : "";
}

absl::Status ShowState(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub,
                             client.Stub<distribution::v1::DistributionService>("distribution"));
  distribution::v1::GetDeviceStateRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_device(), client.Name("devices", id));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const distribution::v1::GetDeviceStateResponse response,
      CallUnary(*stub, &distribution::v1::DistributionService::Stub::GetDeviceState, request));
  const distribution::v1::DeviceState& state = response.device_state();
  std::vector<std::pair<std::string, std::string>> lines = {
      {"device", state.device()},
      {"online", state.connected() ? "yes" : "no"},
      {"last seen", TimeText(state.last_seen_time())},
      {"hardware", state.hardware_id()},
      {"agent", state.agent_version()},
      {"boots", absl::StrCat(state.boot_count())},
      {"dropped uplinks", absl::StrCat(state.dropped_uplinks())}};
  for (const auto& component : state.components()) {
    const std::string from = component.release_sequence() == 0
                                 ? "from no release"
                                 : absl::StrCat("of release ", component.release_sequence());
    lines.emplace_back(KindText(component.kind()),
                       component.digest().empty()
                           ? "none"
                           : absl::StrCat(component.digest(), ", ", from, ", ",
                                          component.confirmed() ? "confirmed" : "on trial"));
  }
  PrintRecord(client, state, lines);
  return absl::OkStatus();
}

absl::Status ListDevices(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto states,
                             client.Stub<distribution::v1::DistributionService>("distribution"));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string parent, client.Project());
  std::map<std::string, distribution::v1::DeviceState> reported;
  distribution::v1::ListDeviceStatesRequest states_request;
  states_request.set_parent(parent);
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*states, &distribution::v1::DistributionService::Stub::ListDeviceStates,
                  states_request, [&](const auto& page) {
                    for (const auto& state : page.device_states()) {
                      reported[state.device()] = state;
                    }
                  }));
  pv::ListDevicesRequest request;
  request.set_parent(parent);
  Table table({"DEVICE", "STATE", "ONLINE", "MODEL", "FIRMWARE", "CONFIGURATION", "CONFIRMED",
               "LAST SEEN", "ATTRIBUTES"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Service::Stub::ListDevices, request, [&](const auto& page) {
        for (const pv::Device& device : page.devices()) {
          if (client.json()) {
            PrintJson(device);
          }
          const auto& state = reported[device.name()];
          table.Row({ShortName(device.name()), StateText(pv::Device::State_Name(device.state())),
                     state.connected() ? "yes" : "no", state.model_digest().substr(0, 12),
                     ShortDigest(state, agent::v1::COMPONENT_KIND_FIRMWARE),
                     ShortDigest(state, agent::v1::COMPONENT_KIND_CONFIGURATION),
                     ConfirmedText(state), TimeText(state.last_seen_time()),
                     PairsText(device.attributes())});
        }
      }));
  if (!client.json()) {
    table.Print("no devices; see `fieldloop tokens create`");
  }
  return absl::OkStatus();
}

absl::Status GetDevice(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::GetDeviceRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("devices", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const pv::GetDeviceResponse response,
                             CallUnary(*stub, &Service::Stub::GetDevice, request));
  const pv::Device& device = response.device();
  PrintRecord(client, device,
              {{"device", device.name()},
               {"state", StateText(pv::Device::State_Name(device.state()))},
               {"revoked for", device.revoke_reason()},
               {"hardware", device.hardware_id()},
               {"attributes", PairsText(device.attributes())},
               {"enrolled", TimeText(device.create_time())},
               {"certificate until", TimeText(device.certificate_expire_time())}});
  return absl::OkStatus();
}

absl::Status UpdateDevice(Client& client, const std::string& id,
                          const std::vector<std::string>& attributes) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::UpdateDeviceRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_device()->mutable_name(), client.Name("devices", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto pairs, KeyValues("--attribute", attributes));
  Assign(*request.mutable_device()->mutable_attributes(), pairs);
  FIELDLOOP_ASSIGN_OR_RETURN(const pv::UpdateDeviceResponse response,
                             CallUnary(*stub, &Service::Stub::UpdateDevice, request));
  PrintRecord(client, response.device(),
              {{"device", response.device().name()},
               {"attributes", PairsText(response.device().attributes())}});
  return absl::OkStatus();
}

absl::Status RevokeDevice(Client& client, const std::string& id, const std::string& reason) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  pv::RevokeDeviceRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("devices", id));
  request.set_reason(reason);
  FIELDLOOP_ASSIGN_OR_RETURN(const pv::RevokeDeviceResponse response,
                             CallUnary(*stub, &Service::Stub::RevokeDevice, request));
  PrintRecord(client, response.device(), {{"revoked", response.device().name()}});
  return absl::OkStatus();
}

}  // namespace

void AddProjects(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("projects", "Tenants of the installation");
  noun->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto title = std::make_shared<std::string>();
  CLI::App* create = program.Verb(noun, "create", "Creates a project", [&client, id, title] {
    return CreateProject(client, *id, *title);
  });
  create->add_option("id", *id, "2 to 39 characters of [a-z0-9-]")->required();
  create->add_option("--title", *title, "for people");
  program.Verb(noun, "list", "Lists projects", [&client] { return ListProjects(client); });
}

void AddTokens(Program& program) {
  Client& client = program.client;
  CLI::App* noun =
      program.app.add_subcommand("tokens", "Enrolment tokens of devices, and API tokens");
  noun->require_subcommand(1);
  auto flags = std::make_shared<TokenFlags>();
  CLI::App* create = program.Verb(noun, "create", "Creates a token that enrols one device",
                                  [&client, flags] { return CreateToken(client, *flags); });
  create->add_option("--device", flags->device_id, "id that the device gets; default: made up");
  create->add_option("--hardware", flags->hardware_id, "hardware id that the device must name");
  create->add_option("--attribute", flags->attributes, "key=value of the device; repeatable");
  create->add_option("--expires", flags->expires, "time it is valid")->capture_default_str();
  create->add_option("--out", flags->out, "file for the secret, readable by you only");
  program.Verb(noun, "list", "Lists enrolment tokens", [&client] { return ListTokens(client); });
  CLI::App* revoke = program.Verb(noun, "revoke", "Makes an unused token void",
                                  [&client, flags] { return RevokeToken(client, flags->name); });
  revoke->add_option("token", flags->name)->required();
  auto api = std::make_shared<ApiTokenFlags>();
  CLI::App* make = program.Verb(
      noun, "api", "Creates an API token for people and programs (of --project, or of all)",
      [&client, api] { return CreateApiToken(client, *api); });
  make->add_option("--role", api->role)
      ->check(CLI::IsMember({"ingest", "viewer", "operator", "admin"}))
      ->capture_default_str();
  make->add_option("--title", api->title, "for people");
  make->add_option("--expires", api->expires, "time it is valid; default: for ever");
}

void AddDevices(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("devices", "Devices of the fleet");
  noun->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  auto attributes = std::make_shared<std::vector<std::string>>();
  program.Verb(noun, "list", "Lists devices and what they run",
               [&client] { return ListDevices(client); });
  CLI::App* get =
      program.Verb(noun, "get", "Shows a device", [&client, id] { return GetDevice(client, *id); });
  get->add_option("device", *id)->required();
  program
      .Verb(noun, "state", "Shows what a device runs, as it reported last",
            [&client, id] { return ShowState(client, *id); })
      ->add_option("device", *id)
      ->required();
  CLI::App* update =
      program.Verb(noun, "update", "Replaces the attributes of a device",
                   [&client, id, attributes] { return UpdateDevice(client, *id, *attributes); });
  update->add_option("device", *id)->required();
  update->add_option("--attribute", *attributes, "key=value; repeatable");
  CLI::App* revoke =
      program.Verb(noun, "revoke", "Ends the trust in a device for good",
                   [&client, id, reason] { return RevokeDevice(client, *id, *reason); });
  revoke->add_option("device", *id)->required();
  revoke->add_option("--reason", *reason, "for the record")->required();
}

}  // namespace fieldloop::cli
