// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// rollouts, fleet

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/distribution/v1/distribution_service.grpc.pb.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/cli/client/output.h"
#include "services/cli/client/repeat.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace dv = distribution::v1;
using Service = dv::DistributionService;
using Stub = Service::Stub;

absl::StatusOr<std::unique_ptr<Stub>> StubOf(Client& client) {
  return client.Stub<Service>("distribution");
}

std::string RolloutLine(const dv::Rollout& rollout) {
  return absl::StrFormat(
      "rollout %s %s  stage %d of %d  offered %d of %d  confirmed %d  failed %d%s%s",
      ShortName(rollout.name()), StateText(dv::Rollout::State_Name(rollout.state())),
      rollout.stage() + 1, rollout.plan().stages_size(), rollout.offered_count(),
      rollout.target_count(), rollout.confirmed_count(), rollout.failed_count(),
      rollout.state_reason().empty() ? "" : "  ", rollout.state_reason());
}

// "model 7 1a2b3c4d5e6f, configuration c1 0f1e2d3c4b5a".
std::string SetText(const dv::Rollout& rollout) {
  std::vector<std::string> components;
  for (const dv::RolloutComponent& component : rollout.components()) {
    components.push_back(
        absl::StrCat(StateText(agent::v1::ComponentKind_Name(component.kind()), "COMPONENT_KIND_"),
                     " ", component.version(), " ", component.digest().substr(0, 12)));
  }
  return absl::StrJoin(components, ", ");
}

void PrintRollout(const Client& client, const dv::Rollout& rollout) {
  PrintRecord(client, rollout,
              {{"rollout", rollout.name()},
               {"state", StateText(dv::Rollout::State_Name(rollout.state()))},
               {"reason", rollout.state_reason()},
               {"release", rollout.release()},
               {"model", rollout.model()},
               {"set", SetText(rollout)},
               {"stage", absl::StrCat(rollout.stage() + 1, " of ", rollout.plan().stages_size())},
               {"offered", absl::StrCat(rollout.offered_count(), " of ", rollout.target_count(),
                                        ", at most ", rollout.quota(), " in this stage")},
               {"confirmed", absl::StrCat(rollout.confirmed_count())},
               {"failed", absl::StrCat(rollout.failed_count())},
               {"created", TimeText(rollout.create_time())},
               {"ended", TimeText(rollout.end_time())}});
}

absl::Status WatchRollout(Client& client, Stub& stub, const std::string& name) {
  dv::WatchRolloutRequest request;
  request.set_name(name);
  const auto open = [&](grpc::ClientContext& context) {
    return stub.WatchRollout(&context, request);
  };
  dv::WatchRolloutResponse last;
  FIELDLOOP_RETURN_IF_ERROR(FollowOn<dv::WatchRolloutResponse>(
      client, open, [](const auto& response) { return RolloutLine(response.rollout()); }, last));
  if (last.rollout().state() != dv::Rollout::STATE_COMPLETED) {
    return absl::FailedPreconditionError(
        absl::StrCat("rollout ", ShortName(name), " ",
                     StateText(dv::Rollout::State_Name(last.rollout().state())), ": ",
                     last.rollout().state_reason()));
  }
  return absl::OkStatus();
}

struct RolloutFlags {
  std::string name;
  std::string release;
  std::string stages = "10,50,100";
  double confirm_percent = 100;
  std::string soak;
  double failure_percent = 10;
  int failure_count = 1;
  std::string device_timeout = "1h";
  std::vector<std::string> attributes;
  std::vector<std::string> hardware;
  std::string reason;
  bool watch = false;
};

absl::Status CreateRollout(Client& client, const RolloutFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  dv::CreateRolloutRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  dv::Rollout& rollout = *request.mutable_rollout();
  FIELDLOOP_ASSIGN_OR_RETURN(*rollout.mutable_release(), client.Name("releases", flags.release));
  absl::Duration soak;
  if (!flags.soak.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(soak, DurationOf("--soak", flags.soak));
  }
  for (const absl::string_view text : absl::StrSplit(flags.stages, ',')) {
    double percent = 0;
    if (!absl::SimpleAtod(text, &percent)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--stages: got \"", flags.stages, "\", want percentages such as 10,50,100"));
    }
    dv::RolloutStage& stage = *rollout.mutable_plan()->add_stages();
    stage.set_percent(percent);
    stage.set_confirm_percent(flags.confirm_percent);
    stage.set_soak_seconds(absl::ToInt64Seconds(soak));
  }
  rollout.mutable_plan()->set_failure_percent(flags.failure_percent);
  rollout.mutable_plan()->set_failure_count(flags.failure_count);
  FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration timeout,
                             DurationOf("--device-timeout", flags.device_timeout));
  rollout.mutable_plan()->set_device_timeout_seconds(absl::ToInt64Seconds(timeout));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto attributes, KeyValues("--attribute", flags.attributes));
  Assign(*rollout.mutable_target()->mutable_attributes(), attributes);
  for (const std::string& id : flags.hardware) {
    rollout.mutable_target()->add_hardware_ids(id);
  }
  request.set_request_id(NewRequestId());
  FIELDLOOP_ASSIGN_OR_RETURN(const dv::CreateRolloutResponse response,
                             CallUnary(*stub, &Stub::CreateRollout, request));
  if (flags.watch) {
    return WatchRollout(client, *stub, response.rollout().name());
  }
  PrintRollout(client, response.rollout());
  return absl::OkStatus();
}

absl::Status ListRollouts(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  dv::ListRolloutsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"ROLLOUT", "STATE", "RELEASE", "MODEL", "STAGE", "OFFERED", "CONFIRMED", "FAILED",
               "CREATED", "REASON"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListRollouts, request, [&](const auto& page) {
    for (const dv::Rollout& rollout : page.rollouts()) {
      if (client.json()) {
        PrintJson(rollout);
      }
      table.Row({ShortName(rollout.name()), StateText(dv::Rollout::State_Name(rollout.state())),
                 ShortName(rollout.release()), ShortName(rollout.model()),
                 absl::StrCat(rollout.stage() + 1, "/", rollout.plan().stages_size()),
                 absl::StrCat(rollout.offered_count(), "/", rollout.target_count()),
                 absl::StrCat(rollout.confirmed_count()), absl::StrCat(rollout.failed_count()),
                 TimeText(rollout.create_time()), rollout.state_reason()});
    }
  }));
  if (!client.json()) {
    table.Print("no rollouts; start one with `fieldloop rollouts create RELEASE`");
  }
  return absl::OkStatus();
}

absl::Status ListRolloutDevices(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  dv::ListRolloutDevicesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Name("rollouts", id));
  Table table({"DEVICE", "STATE", "CAUSE", "STAGE", "OFFERED", "CHANGED"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListRolloutDevices, request, [&](const auto& page) {
        for (const dv::RolloutDevice& device : page.devices()) {
          if (client.json()) {
            PrintJson(device);
          }
          table.Row({ShortName(device.device()),
                     StateText(dv::RolloutDevice::State_Name(device.state())), device.cause(),
                     absl::StrCat(device.stage() + 1), TimeText(device.offer_time()),
                     TimeText(device.update_time())});
        }
      }));
  if (!client.json()) {
    table.Print("no devices");
  }
  return absl::OkStatus();
}

absl::Status ListRolloutEvents(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  dv::ListRolloutEventsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Name("rollouts", id));
  Table table({"TIME", "KIND", "DEVICE", "OFFERED", "QUOTA", "AUTHOR", "DETAIL"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListRolloutEvents, request, [&](const auto& page) {
        for (const dv::RolloutEvent& event : page.events()) {
          if (client.json()) {
            PrintJson(event);
          }
          table.Row({TimeText(event.create_time()), event.kind(), ShortName(event.device()),
                     absl::StrCat(event.offered_count()), absl::StrCat(event.quota()),
                     event.author(), event.detail()});
        }
      }));
  if (!client.json()) {
    table.Print("no events");
  }
  return absl::OkStatus();
}

// Gets, pauses, resumes and cancels differ in the method and in whether there is a reason.
template <typename Request, typename Response>
absl::Status OnRollout(Client& client, const std::string& id,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       Request request) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("rollouts", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const Response response, CallUnary(*stub, method, request));
  PrintRollout(client, response.rollout());
  return absl::OkStatus();
}

absl::Status FleetSummary(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  dv::GetFleetSummaryRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  FIELDLOOP_ASSIGN_OR_RETURN(const dv::GetFleetSummaryResponse response,
                             CallUnary(*stub, &Stub::GetFleetSummary, request));
  if (client.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  std::cout << response.device_count() << " devices, " << response.connected_count()
            << " connected\n";
  Table table({"MODEL", "CONFIRMED", "ON TRIAL"});
  for (const dv::ModelShare& share : response.models()) {
    table.Row({share.model_digest().empty() ? "none" : share.model_digest().substr(0, 16),
               absl::StrCat(share.confirmed_count()), absl::StrCat(share.trial_count())});
  }
  table.Print("no device has reported yet");
  return absl::OkStatus();
}

absl::StatusOr<dv::FleetSettings> Settings(Client& client, Stub& stub) {
  dv::GetFleetSettingsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string parent, client.Project());
  request.set_name(parent + "/fleetSettings");
  FIELDLOOP_ASSIGN_OR_RETURN(const dv::GetFleetSettingsResponse response,
                             CallUnary(stub, &Stub::GetFleetSettings, request));
  return response.fleet_settings();
}

void PrintSettings(const Client& client, const dv::FleetSettings& settings) {
  PrintRecord(
      client, settings,
      {{"version", absl::StrCat(settings.version())},
       {"check-in", absl::StrCat(settings.check_in_seconds(), " s")},
       {"sketch period", absl::StrCat(settings.sketch_period_seconds(), " s of signal")},
       {"trial", absl::StrCat(settings.trial_windows(), " windows within ",
                              settings.trial_timeout_seconds(), " s")},
       {"collection", settings.has_collection() && settings.collection().samples_per_period() > 0
                          ? absl::StrCat(settings.collection().samples_per_period(),
                                         " recordings a period and device, ",
                                         settings.collection().samples_total(), " in all")
                          : "off"}});
}

struct SettingsFlags {
  double check_in = 0;
  int sketch_period = 0;
  int trial_windows = 0;
  int trial_timeout = 0;
  int samples_per_period = -1;
  int samples_total = -1;
  double random_share = 0;
  std::vector<std::string> attributes;
};

absl::Status SetSettings(Client& client, const SettingsFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(dv::FleetSettings settings, Settings(client, *stub));
  if (flags.check_in > 0) settings.set_check_in_seconds(flags.check_in);
  if (flags.sketch_period > 0) settings.set_sketch_period_seconds(flags.sketch_period);
  if (flags.trial_windows > 0) settings.set_trial_windows(flags.trial_windows);
  if (flags.trial_timeout > 0) settings.set_trial_timeout_seconds(flags.trial_timeout);
  if (flags.samples_per_period == 0) {
    settings.clear_collection();
  } else if (flags.samples_per_period > 0) {
    dv::Collection& collection = *settings.mutable_collection();
    collection.set_samples_per_period(flags.samples_per_period);
    if (flags.samples_total >= 0) collection.set_samples_total(flags.samples_total);
    if (flags.random_share > 0) collection.set_random_share(flags.random_share);
    FIELDLOOP_ASSIGN_OR_RETURN(const auto attributes, KeyValues("--attribute", flags.attributes));
    Assign(*collection.mutable_target()->mutable_attributes(), attributes);
  }
  dv::UpdateFleetSettingsRequest request;
  *request.mutable_fleet_settings() = settings;
  FIELDLOOP_ASSIGN_OR_RETURN(const dv::UpdateFleetSettingsResponse response,
                             CallUnary(*stub, &Stub::UpdateFleetSettings, request));
  PrintSettings(client, response.fleet_settings());
  return absl::OkStatus();
}

absl::Status GetSettings(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const dv::FleetSettings settings, Settings(client, *stub));
  PrintSettings(client, settings);
  return absl::OkStatus();
}

}  // namespace

void AddRollouts(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("rollouts", "Releases on their way to devices");
  noun->require_subcommand(1);
  auto flags = std::make_shared<RolloutFlags>();
  CLI::App* create = program.Verb(noun, "create", "Starts a rollout",
                                  [&client, flags] { return CreateRollout(client, *flags); });
  create->add_option("release", flags->release)->required();
  create->add_option("--stages", flags->stages, "percentages of the target, ending in 100")
      ->capture_default_str();
  create
      ->add_option("--confirm-percent", flags->confirm_percent,
                   "share of the offered that must confirm before the next stage")
      ->capture_default_str();
  create->add_option("--soak", flags->soak, "time that a confirmed stage lasts, such as 1h");
  create
      ->add_option("--failure-percent", flags->failure_percent,
                   "share of the offered whose failure stops it")
      ->capture_default_str();
  create->add_option("--failure-count", flags->failure_count, "fewer failures never stop it")
      ->capture_default_str();
  create
      ->add_option("--device-timeout", flags->device_timeout,
                   "silence after an offer that counts as a failure")
      ->capture_default_str();
  create->add_option("--attribute", flags->attributes, "only devices with key=value; repeatable");
  create->add_option("--hardware", flags->hardware, "only this hardware id; repeatable");
  create->add_flag("--watch", flags->watch, "follow it to its end");
  program.Verb(noun, "list", "Lists rollouts, newest first",
               [&client] { return ListRollouts(client); });
  const auto with_name = [&](const char* verb, const char* help, Action action) {
    CLI::App* app = program.Verb(noun, verb, help, std::move(action));
    app->add_option("rollout", flags->name)->required();
    return app;
  };
  with_name("get", "Shows a rollout", [&client, flags] {
    return OnRollout(client, flags->name, &Stub::GetRollout, dv::GetRolloutRequest());
  });
  with_name("devices", "Lists the devices of a rollout",
            [&client, flags] { return ListRolloutDevices(client, flags->name); });
  with_name("events", "Lists what happened in a rollout",
            [&client, flags] { return ListRolloutEvents(client, flags->name); });
  with_name("watch", "Follows a rollout to its end", [&client, flags]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string name, client.Name("rollouts", flags->name));
    return WatchRollout(client, *stub, name);
  });
  with_name("pause", "Stops offers until resumed",
            [&client, flags] {
              dv::PauseRolloutRequest request;
              request.set_reason(flags->reason);
              return OnRollout(client, flags->name, &Stub::PauseRollout, request);
            })
      ->add_option("--reason", flags->reason, "for the record")
      ->required();
  with_name("resume", "Goes on after a pause", [&client, flags] {
    return OnRollout(client, flags->name, &Stub::ResumeRollout, dv::ResumeRolloutRequest());
  });
  with_name("cancel", "Ends a rollout",
            [&client, flags] {
              dv::CancelRolloutRequest request;
              request.set_reason(flags->reason);
              return OnRollout(client, flags->name, &Stub::CancelRollout, request);
            })
      ->add_option("--reason", flags->reason, "for the record")
      ->required();
}

void AddFleet(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("fleet", "All devices of a project");
  noun->require_subcommand(1);
  program.Verb(noun, "summary", "Counts devices by model",
               [&client] { return FleetSummary(client); });
  program.Verb(noun, "settings", "Shows the settings of the devices",
               [&client] { return GetSettings(client); });
  auto flags = std::make_shared<SettingsFlags>();
  CLI::App* set = program.Verb(noun, "set", "Changes settings; what is not named stays",
                               [&client, flags] { return SetSettings(client, *flags); });
  set->add_option("--check-in", flags->check_in, "seconds between check-ins");
  set->add_option("--sketch-period", flags->sketch_period, "seconds of signal in a sketch");
  set->add_option("--trial-windows", flags->trial_windows,
                  "windows without failure before a model is confirmed");
  set->add_option("--trial-timeout", flags->trial_timeout,
                  "seconds after which an unconfirmed model is reverted");
  set->add_option("--samples-per-period", flags->samples_per_period,
                  "recordings that a device sends in a period; 0 switches collection off");
  set->add_option("--samples-total", flags->samples_total, "recordings that a device sends in all");
  set->add_option("--random-share", flags->random_share, "share chosen at random, 0.5 to 1");
  set->add_option("--attribute", flags->attributes,
                  "collect only from devices with key=value; repeatable");
}

}  // namespace fieldloop::cli
