// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// impulses, builds, models, releases

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <google/protobuf/util/json_util.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "services/cli/client/output.h"
#include "services/cli/client/repeat.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/crypto/digest.h"
#include "services/common/crypto/signing.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace bv = build::v1;
using Service = bv::BuildService;
using Stub = Service::Stub;

absl::StatusOr<std::unique_ptr<Stub>> StubOf(Client& client) {
  return client.Stub<Service>("build");
}

// "motion" or "motion/versions/2".
absl::Status CreateImpulse(Client& client, const std::string& id, const std::string& path) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  bv::CreateImpulseRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  request.set_impulse_id(id);
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, request.mutable_recipe());
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", std::string(parsed.message().data(), parsed.message().size()),
                     "; want the JSON of an ImpulseRecipe, see docs/models.md"));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::CreateImpulseResponse response,
                             CallUnary(*stub, &Stub::CreateImpulse, request));
  PrintRecord(client, response.impulse(),
              {{"impulse", response.impulse().name()}, {"digest", response.impulse().digest()}});
  return absl::OkStatus();
}

absl::Status GetImpulse(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::GetImpulseRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("impulses", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::GetImpulseResponse response,
                             CallUnary(*stub, &Stub::GetImpulse, request));
  PrintJson(response.impulse());
  return absl::OkStatus();
}

absl::Status ListImpulses(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::ListImpulsesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"IMPULSE", "WINDOW", "AXES", "DIGEST", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListImpulses, request, [&](const auto& page) {
    for (const bv::Impulse& impulse : page.impulses()) {
      if (client.json()) {
        PrintJson(impulse);
      }
      const auto& window = impulse.recipe().window();
      table.Row({impulse.name().substr(impulse.name().find("/impulses/") + 10),
                 absl::StrFormat("%d at %.1f Hz", window.length(), window.frequency_hz()),
                 absl::StrJoin(window.axes(), " "), impulse.digest().substr(0, 16),
                 TimeText(impulse.create_time())});
    }
  }));
  if (!client.json()) {
    table.Print("no impulses; make one with `fieldloop impulses create ID --recipe FILE`");
  }
  return absl::OkStatus();
}

// "epoch 3 of 60: loss 0.41, accuracy 0.87, validation loss 0.52, accuracy 0.81".
std::string EpochText(const bv::Build& build, const bv::Epoch& epoch) {
  std::string text =
      absl::StrFormat("epoch %d of %d: loss %s, accuracy %s", epoch.epoch(), build.epochs(),
                      NumberText(epoch.loss()), NumberText(epoch.accuracy()));
  if (epoch.has_validation_loss()) {
    absl::StrAppend(&text, ", validation loss ", NumberText(epoch.validation_loss()), ", accuracy ",
                    NumberText(epoch.validation_accuracy()));
  }
  return text;
}

// The networks that a search tried.
void PrintCandidates(const bv::Build& build) {
  if (build.candidates_size() == 0) {
    return;
  }
  Table table({"", "NETWORK", "FLASH", "RAM", "CORTEX-M4", "FITS", "VALIDATION"});
  for (const bv::Candidate& candidate : build.candidates()) {
    table.Row(
        {candidate.chosen() ? "*" : "", candidate.network(), SizeText(candidate.size_bytes()),
         SizeText(candidate.arena_bytes()),
         absl::StrFormat("%.2f M", static_cast<double>(candidate.cortex_m4_instructions()) / 1e6),
         candidate.fits() ? "yes" : "no",
         candidate.has_validation_balanced_accuracy()
             ? NumberText(candidate.validation_balanced_accuracy())
             : "not trained"});
  }
  table.Print("");
}

std::string BuildLine(const bv::Build& build) {
  std::string line =
      absl::StrFormat("build %s %s %3.0f %%", ShortName(build.name()),
                      StateText(bv::Build::State_Name(build.state())), build.progress() * 100);
  if (build.state() == bv::Build::STATE_QUEUED && build.queue_position() > 0) {
    absl::StrAppendFormat(&line, "  %d before it", build.queue_position());
  }
  if (build.state() == bv::Build::STATE_TRAINING && build.history_size() > 0) {
    absl::StrAppend(&line, "  ", EpochText(build, build.history(build.history_size() - 1)));
  }
  if (!build.activity().empty()) {
    absl::StrAppend(&line, "  ", build.activity());
  }
  return line;
}

void PrintBuild(const Client& client, const bv::Build& build) {
  std::vector<std::pair<std::string, std::string>> pairs = {
      {"build", build.name()},
      {"state", StateText(bv::Build::State_Name(build.state()))},
      {"activity", build.activity()},
      {"error", build.error()},
      {"model", build.model()},
      {"dataset", build.dataset_version()},
      {"impulse", build.impulse()},
      {"seed", absl::StrCat(build.seed())},
      {"trainer", build.trainer()},
      {"created", TimeText(build.create_time())},
      {"ended", TimeText(build.end_time())}};
  for (const bv::Metric& metric : build.metrics()) {
    pairs.emplace_back(metric.name(), NumberText(metric.value()));
  }
  PrintRecord(client, build, pairs);
  if (!client.json()) {
    PrintCandidates(build);
  }
}

absl::Status WatchBuild(Client& client, Stub& stub, const std::string& name) {
  bv::WatchBuildRequest request;
  request.set_name(name);
  const auto open = [&](grpc::ClientContext& context) {
    return stub.WatchBuild(&context, request);
  };
  bv::WatchBuildResponse last;
  FIELDLOOP_RETURN_IF_ERROR(FollowOn<bv::WatchBuildResponse>(
      client, open, [](const auto& response) { return BuildLine(response.build()); }, last));
  const bv::Build& build = last.build();
  if (!client.json()) {
    PrintCandidates(build);
  }
  if (build.state() != bv::Build::STATE_SUCCEEDED) {
    return absl::FailedPreconditionError(absl::StrCat(
        "build ", ShortName(name), " ", StateText(bv::Build::State_Name(build.state())),
        build.error().empty() ? "" : ": ", build.error()));
  }
  if (!client.json()) {
    std::cout << "model " << build.model() << "\n";
  }
  return absl::OkStatus();
}

struct BuildFlags {
  std::string dataset;
  std::string impulse;
  std::uint32_t seed = 1;
  std::string parent;
  std::string trainer;
  std::string name;
  bool watch = false;
};

absl::Status CreateBuild(Client& client, const BuildFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::CreateBuildRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  bv::Build& build = *request.mutable_build();
  FIELDLOOP_ASSIGN_OR_RETURN(*build.mutable_dataset_version(),
                             client.Name("datasets", flags.dataset));
  FIELDLOOP_ASSIGN_OR_RETURN(*build.mutable_impulse(), client.Name("impulses", flags.impulse));
  build.set_seed(flags.seed);
  build.set_trainer(flags.trainer);
  if (!flags.parent.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*build.mutable_parent_model(), client.Name("models", flags.parent));
  }
  request.set_request_id(NewRequestId());
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::CreateBuildResponse response,
                             CallUnary(*stub, &Stub::CreateBuild, request));
  if (flags.watch) {
    return WatchBuild(client, *stub, response.build().name());
  }
  PrintBuild(client, response.build());
  return absl::OkStatus();
}

absl::Status GetBuild(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::GetBuildRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("builds", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::GetBuildResponse response,
                             CallUnary(*stub, &Stub::GetBuild, request));
  PrintBuild(client, response.build());
  return absl::OkStatus();
}

absl::Status ListBuilds(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::ListBuildsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"BUILD", "STATE", "MODEL", "DATASET", "CREATED", "ERROR"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListBuilds, request, [&](const auto& page) {
    for (const bv::Build& build : page.builds()) {
      if (client.json()) {
        PrintJson(build);
      }
      table.Row({ShortName(build.name()), StateText(bv::Build::State_Name(build.state())),
                 ShortName(build.model()), build.dataset_version(), TimeText(build.create_time()),
                 build.error()});
    }
  }));
  if (!client.json()) {
    table.Print("no builds");
  }
  return absl::OkStatus();
}

absl::Status CancelBuild(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::CancelBuildRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("builds", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::CancelBuildResponse response,
                             CallUnary(*stub, &Stub::CancelBuild, request));
  PrintBuild(client, response.build());
  return absl::OkStatus();
}

absl::Status LogOfBuild(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::GetBuildLogRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("builds", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::GetBuildLogResponse response,
                             CallUnary(*stub, &Stub::GetBuildLog, request));
  std::cout << response.log();
  return absl::OkStatus();
}

absl::Status GetModel(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::GetModelRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("models", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::GetModelResponse response,
                             CallUnary(*stub, &Stub::GetModel, request));
  const bv::Model& model = response.model();
  std::vector<std::pair<std::string, std::string>> pairs = {
      {"model", model.name()},
      {"digest", model.digest()},
      {"size", SizeText(model.size_bytes())},
      {"arena", SizeText(model.arena_bytes())},
      {"classes", absl::StrJoin(model.classes(), " ")},
      {"aliases", absl::StrJoin(model.aliases(), " ")},
      {"build", model.build()},
      {"dataset", model.dataset_version()},
      {"impulse", model.impulse()},
      {"parent", model.parent_model()},
      {"trainer", model.trainer()},
      {"seed", absl::StrCat(model.seed())},
      {"imported by", model.import_author()},
      {"created", TimeText(model.create_time())},
      {"Cortex-M4", absl::StrFormat("%d instructions", model.cortex_m4_instructions())},
      {"this host",
       absl::StrFormat("%.1f us", static_cast<double>(model.host_inference_nanos()) / 1000)}};
  for (const bv::Metric& metric : model.metrics()) {
    const bool count = absl::StartsWith(metric.name(), "windows/");
    pairs.emplace_back(metric.name(), NumberText(metric.value(), count ? 0 : 3));
  }
  for (const bv::Metric& metric : model.trainer_metrics()) {
    pairs.emplace_back("trainer says " + metric.name(), NumberText(metric.value()));
  }
  PrintRecord(client, model, pairs);
  return absl::OkStatus();
}

absl::Status ListModels(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::ListModelsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"MODEL", "ALIASES", "SIZE", "DIGEST", "DATASET", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListModels, request, [&](const auto& page) {
    for (const bv::Model& model : page.models()) {
      if (client.json()) {
        PrintJson(model);
      }
      table.Row({ShortName(model.name()), absl::StrJoin(model.aliases(), " "),
                 SizeText(model.size_bytes()), model.digest().substr(0, 16),
                 model.dataset_version(), TimeText(model.create_time())});
    }
  }));
  if (!client.json()) {
    table.Print("no models; make one with `fieldloop builds create`");
  }
  return absl::OkStatus();
}

absl::Status DownloadModel(Client& client, const std::string& id, const std::string& out) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::DownloadModelRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("models", id));
  grpc::ClientContext context;
  const auto reader = stub->DownloadModel(&context, request);
  std::string data;
  bv::DownloadModelResponse piece;
  while (reader->Read(&piece)) {
    data += piece.data();
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  FIELDLOOP_RETURN_IF_ERROR(WriteFile(out, data));
  std::cout << out << ": " << SizeText(static_cast<std::int64_t>(data.size())) << ", SHA-256 "
            << ToHex(Sha256Of(data)) << "\n";
  return absl::OkStatus();
}

absl::Status SetAlias(Client& client, const std::string& alias, const std::string& model,
                      const std::string& reason) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::SetModelAliasRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  request.set_alias(alias);
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_model(), client.Name("models", model));
  request.set_reason(reason);
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::SetModelAliasResponse response,
                             CallUnary(*stub, &Stub::SetModelAlias, request));
  PrintRecord(client, response.change(), {{alias, response.change().model()}});
  return absl::OkStatus();
}

// The version of a component for people; empty if the release has none.
std::string VersionOf(const bv::Release& release, agent::v1::ComponentKind kind) {
  for (const agent::v1::ReleaseComponent& component : release.content().components()) {
    if (component.kind() == kind) {
      return component.version();
    }
  }
  return "";
}

void PrintRelease(const Client& client, const bv::Release& release) {
  PrintRecord(
      client, release,
      {{"release", release.name()},
       {"model", release.model()},
       {"firmware", release.firmware()},
       {"configuration", release.configuration()},
       {"signed", release.signed_() ? "yes" : "no: add a signature with `fieldloop releases sign`"},
       {"hardware", release.content().hardware_ids_size() == 0
                        ? "all of the project"
                        : absl::StrJoin(release.content().hardware_ids(), " ")}});
}

struct ReleaseFlags {
  std::string model;
  std::string firmware;
  std::string configuration;
  std::vector<std::string> hardware;
  std::string expires = "90d";
};

absl::Status CreateRelease(Client& client, const ReleaseFlags& flags) {
  if (flags.model.empty() && flags.firmware.empty() && flags.configuration.empty()) {
    return absl::InvalidArgumentError(
        "a release of nothing: name a model, --firmware or --configuration");
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::CreateReleaseRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  if (!flags.model.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_model(), client.Name("models", flags.model));
  }
  if (!flags.firmware.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_firmware(),
                               client.Name("artifacts", flags.firmware));
  }
  if (!flags.configuration.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_configuration(),
                               client.Name("artifacts", flags.configuration));
  }
  for (const std::string& id : flags.hardware) {
    request.add_hardware_ids(id);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration time, DurationOf("--expires", flags.expires));
  *request.mutable_expire_time() = FromNow(time);
  request.set_request_id(NewRequestId());
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::CreateReleaseResponse response,
                             CallUnary(*stub, &Stub::CreateRelease, request));
  PrintRelease(client, response.release());
  return absl::OkStatus();
}

// Signs a manifest with a key that the services never see.
absl::Status SignRelease(Client& client, const std::string& id, const std::string& key_path) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string pem, ReadFile(key_path));
  absl::StatusOr<SigningKey> key = SigningKey::FromPem(pem);
  if (!key.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--key: ", key_path, ": ", key.status().message()));
  }
  bv::GetReleaseRequest get;
  FIELDLOOP_ASSIGN_OR_RETURN(*get.mutable_name(), client.Name("releases", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::GetReleaseResponse found,
                             CallUnary(*stub, &Stub::GetRelease, get));
  bv::AddReleaseSignatureRequest request;
  request.set_name(get.name());
  request.mutable_signature()->set_key_id(KeyIdOf(key->PublicKey()));
  request.mutable_signature()->set_value(
      key->Sign(kManifestContext, found.release().manifest().payload()));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::AddReleaseSignatureResponse response,
                             CallUnary(*stub, &Stub::AddReleaseSignature, request));
  PrintRelease(client, response.release());
  return absl::OkStatus();
}

absl::Status ListReleases(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::ListReleasesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"RELEASE", "MODEL", "FIRMWARE", "CONFIGURATION", "SIGNED", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListReleases, request, [&](const auto& page) {
    for (const bv::Release& release : page.releases()) {
      if (client.json()) {
        PrintJson(release);
      }
      table.Row({ShortName(release.name()), ShortName(release.model()),
                 VersionOf(release, agent::v1::COMPONENT_KIND_FIRMWARE),
                 VersionOf(release, agent::v1::COMPONENT_KIND_CONFIGURATION),
                 release.signed_() ? "yes" : "no", TimeText(release.create_time())});
    }
  }));
  if (!client.json()) {
    table.Print("no releases; make one with `fieldloop releases create MODEL`");
  }
  return absl::OkStatus();
}

}  // namespace

void AddImpulses(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("impulses", "Recipes: window, features, learning");
  noun->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto path = std::make_shared<std::string>();
  CLI::App* create =
      program.Verb(noun, "create", "Creates an impulse or its next version",
                   [&client, id, path] { return CreateImpulse(client, *id, *path); });
  create->add_option("impulse", *id)->required();
  create->add_option("--recipe", *path, "JSON file, see docs/models.md")->required();
  program.Verb(noun, "list", "Lists impulses", [&client] { return ListImpulses(client); });
  CLI::App* get = program.Verb(noun, "get", "Shows a recipe as JSON",
                               [&client, id] { return GetImpulse(client, *id); });
  get->add_option("impulse", *id, "ID or ID/versions/N")->required();
}

void AddBuilds(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("builds", "Makings of models");
  noun->require_subcommand(1);
  auto flags = std::make_shared<BuildFlags>();
  CLI::App* create = program.Verb(noun, "create", "Queues a build",
                                  [&client, flags] { return CreateBuild(client, *flags); });
  create->add_option("--dataset", flags->dataset, "DATASET/versions/N")->required();
  create->add_option("--impulse", flags->impulse, "ID or ID/versions/N")->required();
  create->add_option("--seed", flags->seed)->capture_default_str();
  create->add_option("--parent", flags->parent, "model to start from");
  create->add_option("--trainer", flags->trainer, "one of `fieldloop trainers list`");
  create->add_flag("--watch", flags->watch, "follow it to its end");
  program.Verb(noun, "list", "Lists builds, newest first",
               [&client] { return ListBuilds(client); });
  const auto with_name = [&](const char* verb, const char* help,
                             absl::Status (*action)(Client&, const std::string&)) {
    program
        .Verb(noun, verb, help, [&client, flags, action] { return action(client, flags->name); })
        ->add_option("build", flags->name)
        ->required();
  };
  with_name("get", "Shows a build", GetBuild);
  with_name("cancel", "Stops a build", CancelBuild);
  with_name("log", "Prints what the trainer said", LogOfBuild);
  with_name("watch", "Follows a build to its end",
            [](Client& of, const std::string& id) -> absl::Status {
              FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(of));
              FIELDLOOP_ASSIGN_OR_RETURN(const std::string name, of.Name("builds", id));
              return WatchBuild(of, *stub, name);
            });
}

void AddModels(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("models", "The registry");
  noun->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  auto alias = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  program.Verb(noun, "list", "Lists models, newest first",
               [&client] { return ListModels(client); });
  CLI::App* get =
      program.Verb(noun, "get", "Shows a model", [&client, id] { return GetModel(client, *id); });
  get->add_option("model", *id, "number or alias")->required();
  CLI::App* download =
      program.Verb(noun, "download", "Writes the .tflite file",
                   [&client, id, out] { return DownloadModel(client, *id, *out); });
  download->add_option("model", *id, "number or alias")->required();
  download->add_option("--out", *out, "file")->required();
  CLI::App* set =
      program.Verb(noun, "alias", "Points an alias such as champion to a model",
                   [&client, alias, id, reason] { return SetAlias(client, *alias, *id, *reason); });
  set->add_option("alias", *alias)->required();
  set->add_option("model", *id)->required();
  set->add_option("--reason", *reason, "for the record")->required();
  AddRegistryVerbs(program, noun);
  AddImportVerb(program, noun);
}

void AddReleases(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand(
      "releases", "Signed permissions to run a set: a model, a firmware, a configuration");
  noun->require_subcommand(1);
  auto flags = std::make_shared<ReleaseFlags>();
  auto id = std::make_shared<std::string>();
  auto key = std::make_shared<std::string>();
  CLI::App* create = program.Verb(
      noun, "create",
      "Makes a release, signed when the release key is online; devices keep what it does not name",
      [&client, flags] { return CreateRelease(client, *flags); });
  create->add_option("model", flags->model, "number or alias");
  create->add_option("--firmware", flags->firmware,
                     "artifact, a number of `fieldloop artifacts list`; needs --hardware");
  create->add_option("--configuration", flags->configuration,
                     "artifact, a number of `fieldloop artifacts list`");
  create->add_option("--hardware", flags->hardware, "hardware id that may run it; repeatable");
  create->add_option("--expires", flags->expires)->capture_default_str();
  program.Verb(noun, "list", "Lists releases, newest first",
               [&client] { return ListReleases(client); });
  CLI::App* sign = program.Verb(noun, "sign", "Signs a release with a key that is kept elsewhere",
                                [&client, id, key] { return SignRelease(client, *id, *key); });
  sign->add_option("release", *id)->required();
  sign->add_option("--key", *key, "PEM of a release key")->required();
}

}  // namespace fieldloop::cli
