// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// artifacts

#include <cstddef>
#include <memory>
#include <string>

#include <fieldloop/build/v1/build_service.grpc.pb.h>

#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace bv = build::v1;
using Service = bv::BuildService;
using Stub = Service::Stub;

constexpr std::size_t kPieceBytes = std::size_t{256} << 10;
constexpr char kKindPrefix[] = "COMPONENT_KIND_";

absl::StatusOr<std::unique_ptr<Stub>> StubOf(Client& client) {
  return client.Stub<Service>("build");
}

// The command line takes no other text.
agent::v1::ComponentKind KindOf(const std::string& text) {
  return text == "firmware" ? agent::v1::COMPONENT_KIND_FIRMWARE
                            : agent::v1::COMPONENT_KIND_CONFIGURATION;
}

struct UploadFlags {
  std::string file;
  std::string kind;
  std::string version;
};

absl::Status Upload(Client& client, const UploadFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string file, ReadFile(flags.file));
  bv::UploadArtifactRequest message;
  FIELDLOOP_ASSIGN_OR_RETURN(*message.mutable_spec()->mutable_parent(), client.Project());
  message.mutable_spec()->set_kind(KindOf(flags.kind));
  message.mutable_spec()->set_version(flags.version);
  grpc::ClientContext context;
  bv::UploadArtifactResponse response;
  const auto writer = stub->UploadArtifact(&context, &response);
  // A failed write ends the stream; Finish says why.
  bool open = writer->Write(message);
  for (std::size_t at = 0; open && at < file.size(); at += kPieceBytes) {
    message.set_data(file.substr(at, kPieceBytes));
    open = writer->Write(message);
  }
  if (open) {
    writer->WritesDone();
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(writer->Finish()));
  const bv::Artifact& artifact = response.artifact();
  PrintRecord(client, artifact,
              {{"artifact", artifact.name()},
               {"kind", StateText(agent::v1::ComponentKind_Name(artifact.kind()), kKindPrefix)},
               {"version", artifact.version()},
               {"digest", artifact.digest()},
               {"size", SizeText(artifact.size_bytes())}});
  return absl::OkStatus();
}

absl::Status List(Client& client, const std::string& kind) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::ListArtifactsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  if (!kind.empty()) {
    request.set_kind(KindOf(kind));
  }
  Table table({"ARTIFACT", "KIND", "VERSION", "SIZE", "DIGEST", "CREATED", "AUTHOR"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListArtifacts, request, [&](const auto& page) {
        for (const bv::Artifact& artifact : page.artifacts()) {
          if (client.json()) {
            PrintJson(artifact);
          }
          table.Row({ShortName(artifact.name()),
                     StateText(agent::v1::ComponentKind_Name(artifact.kind()), kKindPrefix),
                     artifact.version(), SizeText(artifact.size_bytes()),
                     artifact.digest().substr(0, 12), TimeText(artifact.create_time()),
                     artifact.author()});
        }
      }));
  if (!client.json()) {
    table.Print("no artifacts; store one with `fieldloop artifacts upload FILE`");
  }
  return absl::OkStatus();
}

}  // namespace

void AddArtifacts(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand(
      "artifacts", "Firmware images and configurations, which releases name beside models");
  noun->require_subcommand(1);
  const auto kinds = CLI::IsMember({"firmware", "configuration"});
  auto flags = std::make_shared<UploadFlags>();
  CLI::App* upload = program.Verb(noun, "upload", "Stores a file; it never changes",
                                  [&client, flags] { return Upload(client, *flags); });
  upload->add_option("file", flags->file, "1 byte to 16 MiB")->required();
  upload->add_option("--kind", flags->kind, "firmware or configuration")->required()->check(kinds);
  upload->add_option("--version", flags->version, "for people, such as 1.4.0; once for each kind")
      ->required();
  auto kind = std::make_shared<std::string>();
  CLI::App* list = program.Verb(noun, "list", "Lists artifacts, newest first",
                                [&client, kind] { return List(client, *kind); });
  list->add_option("--kind", *kind, "only firmware or configuration")->check(kinds);
}

}  // namespace fieldloop::cli
