// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// trainers, models import

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/build/v1/build_service.grpc.pb.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace bv = build::v1;
using Service = bv::BuildService;
using Stub = Service::Stub;

constexpr std::size_t kPieceBytes = std::size_t{512} << 10;

absl::Status ListTrainers(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<Service>("build"));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::ListTrainersResponse response,
                             CallUnary(*stub, &Stub::ListTrainers, bv::ListTrainersRequest()));
  Table table({"TRAINER", "CONTRACT", "DIGEST"});
  for (const bv::Trainer& trainer : response.trainers()) {
    if (client.json()) {
      PrintJson(trainer);
    }
    table.Row({trainer.id(), StateText(bv::Trainer::Contract_Name(trainer.contract()), "CONTRACT_"),
               trainer.digest().empty() ? "cannot be read" : trainer.digest().substr(0, 16)});
  }
  if (!client.json()) {
    table.Print("no trainers");
  }
  return absl::OkStatus();
}

struct ImportFlags {
  std::string file;
  std::string impulse;
  std::vector<std::string> classes;
  std::string dataset;
};

// "motion@3" means "motion/versions/3".
std::string WithVersion(std::string id) {
  const std::size_t at = id.find('@');
  return at == std::string::npos ? id
                                 : absl::StrCat(id.substr(0, at), "/versions/", id.substr(at + 1));
}

absl::Status ImportModel(Client& client, const ImportFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<Service>("build"));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string file, ReadFile(flags.file));
  bv::ImportModelRequest message;
  bv::ImportSpec& spec = *message.mutable_spec();
  FIELDLOOP_ASSIGN_OR_RETURN(*spec.mutable_parent(), client.Project());
  if (!flags.impulse.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*spec.mutable_impulse(),
                               client.Name("impulses", WithVersion(flags.impulse)));
  }
  for (const std::string& name : flags.classes) {
    spec.add_classes(name);
  }
  if (!flags.dataset.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*spec.mutable_dataset_version(),
                               client.Name("datasets", flags.dataset));
  }
  grpc::ClientContext context;
  bv::ImportModelResponse response;
  const auto writer = stub->ImportModel(&context, &response);
  bool open = writer->Write(message);
  for (std::size_t from = 0; open && from < file.size(); from += kPieceBytes) {
    message.set_data(file.substr(from, std::min(kPieceBytes, file.size() - from)));
    open = writer->Write(message);
  }
  writer->WritesDone();
  const absl::Status done = FromGrpcStatus(writer->Finish());
  if (!done.ok()) {
    return absl::Status(done.code(), absl::StrCat(flags.file, ": ", std::string(done.message())));
  }
  const bv::Model& model = response.model();
  std::vector<std::pair<std::string, std::string>> pairs = {
      {"model", model.name()},
      {"digest", model.digest()},
      {"size", SizeText(model.size_bytes())},
      {"arena", SizeText(model.arena_bytes())},
      {"classes", absl::StrJoin(model.classes(), " ")}};
  for (const bv::Metric& metric : model.metrics()) {
    pairs.emplace_back(metric.name(), NumberText(metric.value()));
  }
  PrintRecord(client, model, pairs);
  return absl::OkStatus();
}

}  // namespace

void AddTrainers(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("trainers", "Programs that builds are made with");
  noun->require_subcommand(1);
  program.Verb(noun, "list", "Lists trainers, the built-in one first",
               [&client] { return ListTrainers(client); });
}

void AddImportVerb(Program& program, CLI::App* models) {
  Client& client = program.client;
  auto flags = std::make_shared<ImportFlags>();
  CLI::App* verb =
      program.Verb(models, "import", "Registers a .tflite file of your own with its impulse",
                   [&client, flags] { return ImportModel(client, *flags); });
  verb->add_option("file", flags->file, ".tflite file, int8 in and out")->required();
  verb->add_option("--impulse", flags->impulse,
                   "ID, ID@N or ID/versions/N; not needed if the file carries one");
  verb->add_option("--classes", flags->classes, "a,b,c in the order of the outputs")
      ->delimiter(',');
  verb->add_option("--dataset", flags->dataset,
                   "DATASET/versions/N to calibrate and measure the model on");
}

}  // namespace fieldloop::cli
