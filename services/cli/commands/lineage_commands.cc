// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// lineage device, lineage sample, lineage model: from a device to the samples that trained what it
// runs, and from a sample to the devices that run on it. The services each know a part; here the
// parts are put together.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <fieldloop/distribution/v1/distribution_service.grpc.pb.h>
#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace bv = build::v1;
namespace dv = distribution::v1;
namespace iv = ingestion::v1;
using BuildStub = bv::BuildService::Stub;
using DistributionStub = dv::DistributionService::Stub;
using IngestionStub = iv::IngestionService::Stub;

// Names that one ListModels call takes.
constexpr std::size_t kVersionsPerCall = 1000;
constexpr char kDigestPrefix[] = "sha256:";
// Digits of a digest in a table.
constexpr std::size_t kShortDigest = 16;

// The part of a resource name behind its project: "datasets/all/versions/3".
std::string Within(const std::string& name) {
  const std::size_t project = name.find('/');
  const std::size_t rest = name.find('/', project + 1);
  return project == std::string::npos || rest == std::string::npos ? name : name.substr(rest + 1);
}

// "fieldloop-trainer sha256:adae66cad34605f4": the digest as short as the others of a table.
std::string TrainerText(const std::string& trainer) {
  const std::size_t digest = trainer.find(kDigestPrefix);
  return digest == std::string::npos
             ? trainer
             : trainer.substr(0, digest + sizeof(kDigestPrefix) - 1 + kShortDigest);
}

absl::StatusOr<bv::ModelLineage> LineageOf(Client& client, const std::string& model) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto build, client.Stub<bv::BuildService>("build"));
  bv::GetModelLineageRequest request;
  request.set_name(model);
  FIELDLOOP_ASSIGN_OR_RETURN(bv::GetModelLineageResponse response,
                             CallUnary(*build, &BuildStub::GetModelLineage, request));
  return std::move(*response.mutable_lineage());
}

// The dataset versions of a line by their names, each once.
absl::StatusOr<std::map<std::string, iv::DatasetVersion>> VersionsOf(
    IngestionStub& ingestion, const bv::ModelLineage& lineage) {
  std::map<std::string, iv::DatasetVersion> versions;
  for (const bv::ModelLineage::Step& step : lineage.steps()) {
    if (step.dataset_version().empty() || versions.count(step.dataset_version()) > 0) {
      continue;
    }
    iv::GetDatasetVersionRequest request;
    request.set_name(step.dataset_version());
    FIELDLOOP_ASSIGN_OR_RETURN(iv::GetDatasetVersionResponse response,
                               CallUnary(ingestion, &IngestionStub::GetDatasetVersion, request));
    versions.emplace(step.dataset_version(), std::move(*response.mutable_dataset_version()));
  }
  return versions;
}

// Every sample of the versions, each once.
absl::Status PrintSamples(Client& client, IngestionStub& ingestion,
                          const std::map<std::string, iv::DatasetVersion>& versions) {
  std::set<std::string> shown;
  Table table({"SAMPLE", "SIDE", "SOURCE", "LABELS", "FIRST IN"});
  for (const auto& [name, unused] : versions) {
    iv::ExportDatasetVersionRequest request;
    request.set_name(name);
    request.set_without_data(true);
    grpc::ClientContext context;
    const auto reader = ingestion.ExportDatasetVersion(&context, request);
    iv::ExportDatasetVersionResponse response;
    while (reader->Read(&response)) {
      const iv::Sample& sample = response.sample();
      if (!shown.insert(sample.name()).second) {
        continue;
      }
      if (client.json()) {
        PrintJson(sample);
      }
      std::set<std::string> labels;
      for (const iv::LabelRange& range : sample.labels()) {
        labels.insert(range.label());
      }
      table.Row({ShortName(sample.name()), StateText(iv::Split_Name(sample.split()), "SPLIT_"),
                 sample.device().device().empty() ? "upload" : Within(sample.device().device()),
                 absl::StrJoin(labels, " "), Within(name)});
    }
    FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  }
  if (!client.json()) {
    std::cout << "\n";
    table.Print("no samples");
  }
  return absl::OkStatus();
}

// The line of a model down to its samples.
absl::Status PrintLine(Client& client, const std::string& model, bool with_samples) {
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::ModelLineage lineage, LineageOf(client, model));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto ingestion, client.Stub<iv::IngestionService>("ingestion"));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto versions, VersionsOf(*ingestion, lineage));
  if (client.json()) {
    PrintJson(lineage);
    for (const auto& [name, version] : versions) {
      PrintJson(version);
    }
  } else {
    Table table(
        {"MODEL", "DIGEST", "BUILD", "DATASET VERSION", "SAMPLES", "IMPULSE", "SEED", "TRAINER"});
    for (const bv::ModelLineage::Step& step : lineage.steps()) {
      const auto version = versions.find(step.dataset_version());
      table.Row({ShortName(step.model()), step.digest().substr(0, kShortDigest),
                 step.build().empty() ? "imported" : ShortName(step.build()),
                 Within(step.dataset_version()),
                 version == versions.end() ? "-" : absl::StrCat(version->second.sample_count()),
                 Within(step.impulse()), absl::StrCat(step.seed()), TrainerText(step.trainer())});
    }
    std::cout << "\n";
    table.Print("");
  }
  return with_samples ? PrintSamples(client, *ingestion, versions) : absl::OkStatus();
}

// The states of the devices that run a model.
absl::StatusOr<std::vector<dv::DeviceState>> DevicesOf(Client& client, const std::string& digest) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto distribution,
                             client.Stub<dv::DistributionService>("distribution"));
  dv::ListDeviceStatesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  request.set_model_digest(digest);
  std::vector<dv::DeviceState> devices;
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(
      *distribution, &DistributionStub::ListDeviceStates, request, [&](const auto& page) {
        devices.insert(devices.end(), page.device_states().begin(), page.device_states().end());
      }));
  return devices;
}

// The devices that run one of `models`, each with the number of its model.
absl::Status PrintDevices(Client& client, const std::vector<bv::Model>& models) {
  std::map<std::string, std::vector<std::string>> numbers;  // Of one digest there may be several.
  for (const bv::Model& model : models) {
    numbers[model.digest()].push_back(ShortName(model.name()));
  }
  Table table({"DEVICE", "RUNS MODEL", "DIGEST", "CONFIRMED", "LAST SEEN"});
  for (const auto& [digest, of] : numbers) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<dv::DeviceState> devices,
                               DevicesOf(client, digest));
    for (const dv::DeviceState& device : devices) {
      if (client.json()) {
        PrintJson(device);
      }
      table.Row({ShortName(device.device()), absl::StrJoin(of, " or "),
                 digest.substr(0, kShortDigest), device.confirmed() ? "yes" : "on trial",
                 TimeText(device.last_seen_time())});
    }
  }
  if (!client.json()) {
    std::cout << "\n";
    table.Print("no device runs it");
  }
  return absl::OkStatus();
}

absl::Status OfDevice(Client& client, const std::string& id, bool with_samples) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto distribution,
                             client.Stub<dv::DistributionService>("distribution"));
  dv::GetDeviceStateRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_device(), client.Name("devices", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const dv::GetDeviceStateResponse response,
                             CallUnary(*distribution, &DistributionStub::GetDeviceState, request));
  const dv::DeviceState& state = response.device_state();
  FIELDLOOP_ASSIGN_OR_RETURN(const auto build, client.Stub<bv::BuildService>("build"));
  bv::ListModelsRequest list;
  FIELDLOOP_ASSIGN_OR_RETURN(*list.mutable_parent(), client.Project());
  list.set_digest(state.model_digest());
  std::vector<std::string> models;
  if (!state.model_digest().empty()) {
    FIELDLOOP_RETURN_IF_ERROR(
        ForEachPage(*build, &BuildStub::ListModels, list, [&](const auto& page) {
          for (const bv::Model& model : page.models()) {
            models.push_back(model.name());
          }
        }));
  }
  PrintRecord(client, state,
              {{"device", state.device()},
               {"runs", state.model_digest().empty() ? "no model" : state.model_digest()},
               {"confirmed", state.confirmed() ? "yes" : "on trial"},
               {"model", absl::StrJoin(models, " or ")}});
  if (state.model_digest().empty()) {
    return absl::OkStatus();
  }
  if (models.empty()) {
    return absl::NotFoundError(
        absl::StrCat("the registry has no model with the digest that ", state.device(), " runs"));
  }
  // Models of the same bytes, newest first: the oldest is the one that was made, the others repeat
  // it.
  return PrintLine(client, models.back(), with_samples);
}

absl::Status OfModel(Client& client, const std::string& id, bool with_samples) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto build, client.Stub<bv::BuildService>("build"));
  bv::GetModelRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("models", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::GetModelResponse response,
                             CallUnary(*build, &BuildStub::GetModel, request));
  PrintRecord(client, response.model(),
              {{"model", response.model().name()},
               {"digest", response.model().digest()},
               {"aliases", absl::StrJoin(response.model().aliases(), " ")}});
  FIELDLOOP_RETURN_IF_ERROR(PrintLine(client, response.model().name(), with_samples));
  return PrintDevices(client, {response.model()});
}

absl::Status OfSample(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto ingestion, client.Stub<iv::IngestionService>("ingestion"));
  iv::ListSampleDatasetVersionsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Name("samples", id));
  std::vector<std::string> versions;
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(
      *ingestion, &IngestionStub::ListSampleDatasetVersions, request, [&](const auto& page) {
        versions.insert(versions.end(), page.dataset_versions().begin(),
                        page.dataset_versions().end());
      }));
  if (!client.json()) {
    Table table({"DATASET VERSION"});
    for (const std::string& version : versions) {
      table.Row({Within(version)});
    }
    table.Print("the sample is in no dataset version");
  }

  FIELDLOOP_ASSIGN_OR_RETURN(const auto build, client.Stub<bv::BuildService>("build"));
  std::map<std::int64_t, bv::Model> found;  // By number.
  for (std::size_t at = 0; at < versions.size(); at += kVersionsPerCall) {
    bv::ListModelsRequest list;
    FIELDLOOP_ASSIGN_OR_RETURN(*list.mutable_parent(), client.Project());
    const std::size_t end = std::min(versions.size(), at + kVersionsPerCall);
    for (std::size_t i = at; i < end; ++i) {
      list.add_dataset_versions(versions[i]);
    }
    FIELDLOOP_RETURN_IF_ERROR(
        ForEachPage(*build, &BuildStub::ListModels, list, [&](const auto& page) {
          for (const bv::Model& model : page.models()) {
            found.emplace(std::stoll(ShortName(model.name())), model);
          }
        }));
  }
  const std::set<std::string> direct(versions.begin(), versions.end());
  std::vector<bv::Model> models;
  Table table({"MODEL", "DIGEST", "ALIASES", "DATASET VERSION", "HOW"});
  for (const auto& [number, model] : found) {
    models.push_back(model);
    if (client.json()) {
      PrintJson(model);
    }
    table.Row({absl::StrCat(number), model.digest().substr(0, kShortDigest),
               absl::StrJoin(model.aliases(), " "), Within(model.dataset_version()),
               direct.count(model.dataset_version()) > 0
                   ? "made from it"
                   : absl::StrCat("descends by model ", ShortName(model.parent_model()))});
  }
  if (!client.json()) {
    std::cout << "\n";
    table.Print("no model was made from it");
  }
  return PrintDevices(client, models);
}

}  // namespace

void AddLineage(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand(
      "lineage", "From a device to the samples behind it, and from a sample to the devices");
  noun->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto samples = std::make_shared<bool>(false);
  CLI::App* device =
      program.Verb(noun, "device", "What a device runs, and all that it was made from",
                   [&client, id, samples] { return OfDevice(client, *id, *samples); });
  device->add_option("device", *id)->required();
  device->add_flag("--samples", *samples, "also list the samples");
  CLI::App* model = program.Verb(noun, "model", "What a model was made from, and who runs it",
                                 [&client, id, samples] { return OfModel(client, *id, *samples); });
  model->add_option("model", *id, "number or alias")->required();
  model->add_flag("--samples", *samples, "also list the samples");
  CLI::App* sample = program.Verb(noun, "sample", "What was made from a sample, and who runs it",
                                  [&client, id] { return OfSample(client, *id); });
  sample->add_option("sample", *id)->required();
}

}  // namespace fieldloop::cli
