// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// health

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/commands.h"
#include "services/common/grpc/client_call.h"
#include "services/common/grpc/health.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr char kCheckMethod[] = "/grpc.health.v1.Health/Check";
// A HealthCheckResponse whose status, field 1, is SERVING.
constexpr char kServing[] = "\x08\x01";

struct HealthFlags {
  std::vector<std::string> services;
  std::string address;
  std::string ca_file;
  double timeout_s = 4;
  bool ready = false;
};

// Asks grpc.health.v1 for the server as a whole, or for `service`. UNAVAILABLE unless it serves.
absl::Status Check(const std::shared_ptr<grpc::Channel>& channel, absl::string_view service,
                   absl::Duration timeout) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  grpc::CompletionQueue queue;
  // A HealthCheckRequest: field 1 is the service's name. The empty one has no bytes.
  const grpc::Slice request(
      service.empty()
          ? std::string()
          : absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service));
  grpc::ByteBuffer response;
  grpc::Status status;
  const auto call =
      stub.PrepareUnaryCall(&context, kCheckMethod, grpc::ByteBuffer(&request, 1), &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) {
    return FromGrpcStatus(status);
  }
  std::vector<grpc::Slice> slices;
  if (!response.Dump(&slices).ok()) {
    return absl::InternalError("the answer cannot be read");
  }
  std::string answer;
  for (const grpc::Slice& slice : slices) {
    answer.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  if (answer == kServing) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(service.empty() ? "it does not serve"
                                                : "it is not ready: its log says why");
}

absl::Status Health(Client& client, const HealthFlags& flags) {
  if (!flags.address.empty() && (flags.services.size() != 1 || flags.ca_file.empty())) {
    return absl::InvalidArgumentError("--address: want one service and --ca with it");
  }
  absl::Status result;
  Table table({"SERVICE", "HEALTH"});
  for (const std::string& service : flags.services) {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
        flags.address.empty()
            ? client.Channel(service)
            : OpenChannel(flags.address, {.ca = flags.ca_file, .cert = "", .key = ""}, service);
    const absl::Status health = channel.ok() ? Check(*channel, flags.ready ? kReadiness : "",
                                                     absl::Seconds(flags.timeout_s))
                                             : channel.status();
    const std::string fine = flags.ready ? "ready" : "serving";
    table.Row({service, health.ok() ? fine : std::string(health.message())});
    if (!health.ok()) {
      result.Update(absl::Status(health.code(), absl::StrCat(service, ": ", health.message())));
    }
  }
  if (client.json()) {
    return result;
  }
  table.Print("");
  return result;
}

}  // namespace

void AddHealth(Program& program) {
  Client& client = program.client;
  auto flags = std::make_shared<HealthFlags>();
  flags->services = {"provisioning", "ingestion", "build", "evaluation", "distribution"};
  CLI::App* health =
      program.app.add_subcommand("health", "Whether services answer; fails unless all do");
  health->callback([&program, &client, flags] {
    program.chosen = [&client, flags] { return Health(client, *flags); };
  });
  health->add_option("service", flags->services, "of the installation; default: all five");
  health->add_option("--address", flags->address,
                     "of one service, instead of the installation's; for probes");
  health->add_option("--ca", flags->ca_file, "PEM of the services' CA, with --address");
  health->add_flag("--ready", flags->ready,
                   "whether they can work now, which they cannot while their database is away");
  health->add_option("--timeout", flags->timeout_s, "seconds for each")->capture_default_str();
}

}  // namespace fieldloop::cli
