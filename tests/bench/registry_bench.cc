// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// bench_registry seed DATABASE PROJECT COUNT: registers COUNT models in the database of a build
// service that does not run, through its own store.
// bench_registry measure ADDRESS CA_FILE TOKEN_FILE PROJECT: calls the service over TLS, one call
// after the other, and prints the times of each kind of call as JSON.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "migrations/build_storage.h"
#include "services/build/storage/sql_build_store.h"
#include "services/build/storage/sql_model_store.h"
#include "services/common/crypto/digest.h"
#include "services/common/grpc/client_call.h"
#include "services/common/sql/database.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

using Stub = v1::BuildService::Stub;

constexpr int kVersions = 100;
// Every model starts from the one this much before it: lines of kVersions models.
constexpr int kParentDistance = kVersions;
constexpr int kCalls = 200;

// About as much metadata as a real model has: 3 KB.
std::string Metadata() {
  agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(50);
  for (int i = 0; i < 350; ++i) {
    impulse.mutable_standardisation()->add_mean(static_cast<float>(i));
    impulse.mutable_standardisation()->add_inverse_deviation(1);
  }
  return impulse.SerializeAsString();
}

std::string DatasetVersion(const std::string& project, std::int64_t number) {
  return absl::StrCat("projects/", project, "/datasets/all/versions/", number % kVersions + 1);
}

absl::Status Seed(const std::string& path, const std::string& project, std::int64_t count) {
  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto database,
      Database::Open({.connection = "sqlite3://" + path, .pool_size = 1}, Migrations()));
  SqlBuildStore builds(*database);
  SqlModelStore models(*database);
  Build build;
  build.project = project;
  FIELDLOOP_ASSIGN_OR_RETURN(build, builds.Insert(build, std::numeric_limits<std::int64_t>::max()));
  Model model;
  model.project = project;
  model.size_bytes = 20000;
  model.arena_bytes = 8000;
  model.build = build.number;
  model.impulse = absl::StrCat("projects/", project, "/impulses/motion/versions/1");
  model.classes = {"SIT", "STAND", "WALK", "RUN", "LIE"};
  model.metadata = Metadata();
  model.trainer = "fieldloop-trainer";
  for (const std::string& name : model.classes) {
    for (const char* metric : {"recall/", "precision/", "f1/", "windows/"}) {
      model.metrics.push_back({.name = metric + name, .value = 0.75});
    }
  }
  for (std::int64_t number = 1; number <= count; ++number) {
    model.digest = ToHex(Sha256Of(absl::StrCat(number)));
    model.dataset_version = DatasetVersion(project, number);
    model.parent_model = std::max<std::int64_t>(0, number - kParentDistance);
    model.create_time = absl::Now();
    FIELDLOOP_RETURN_IF_ERROR(
        builds
            .FinishWithModel(project, build.number, model, [](Build&) { return absl::OkStatus(); })
            .status());
  }
  AliasChange change;
  change.project = project;
  change.alias = "champion";
  change.model = count / 2;
  change.author = "bench";
  change.reason = "bench";
  return models.PutAlias(change).status();
}

// Times of one kind of call, in seconds, sorted.
absl::StatusOr<std::vector<double>> Times(const std::function<absl::Status()>& call) {
  FIELDLOOP_RETURN_IF_ERROR(call());  // Connects, and fills caches.
  std::vector<double> times;
  for (int i = 0; i < kCalls; ++i) {
    const absl::Time begin = absl::Now();
    FIELDLOOP_RETURN_IF_ERROR(call());
    times.push_back(absl::ToDoubleSeconds(absl::Now() - begin));
  }
  std::sort(times.begin(), times.end());
  return times;
}

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  if (!std::getline(file, text)) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path));
  }
  return text;
}

absl::Status Measure(const std::string& address, const std::string& ca,
                     const std::string& token_file, const std::string& project) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string token, ReadAll(token_file));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto channel, OpenChannel(address, {.ca = ca, .cert = "", .key = ""}, "build", token));
  const std::unique_ptr<Stub> stub = v1::BuildService::NewStub(channel);
  const std::string parent = absl::StrCat("projects/", project);
  v1::ListModelsRequest newest;
  newest.set_parent(parent);
  FIELDLOOP_ASSIGN_OR_RETURN(const auto first, CallUnary(*stub, &Stub::ListModels, newest));
  v1::ListModelsRequest middle = newest;
  middle.set_page_token(first.next_page_token());
  v1::ListModelsRequest by_digest = newest;
  by_digest.set_digest(first.models(0).digest());
  v1::ListModelsRequest by_dataset = newest;
  by_dataset.add_dataset_versions(DatasetVersion(project, 7));
  v1::GetModelRequest alias;
  alias.set_name(absl::StrCat(parent, "/models/champion"));
  v1::GetModelLineageRequest lineage;
  lineage.set_name(alias.name());

  const auto list = [&stub](const v1::ListModelsRequest& request) {
    return [&stub, &request] { return CallUnary(*stub, &Stub::ListModels, request).status(); };
  };
  const std::vector<std::pair<std::string, std::function<absl::Status()>>> calls = {
      {"list", list(newest)},
      {"list_next", list(middle)},
      {"list_digest", list(by_digest)},
      {"list_dataset", list(by_dataset)},
      {"alias", [&] { return CallUnary(*stub, &Stub::GetModel, alias).status(); }},
      {"lineage", [&] { return CallUnary(*stub, &Stub::GetModelLineage, lineage).status(); }}};
  nlohmann::json result;
  for (const auto& [name, call] : calls) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<double> times, Times(call));
    result[name] = {{"median", times[times.size() / 2]}, {"p99", times[times.size() * 99 / 100]}};
  }
  std::cout << result.dump() << "\n";
  return absl::OkStatus();
}

}  // namespace
}  // namespace fieldloop::build

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  absl::Status status = absl::InvalidArgumentError("want seed or measure; see the source");
  if (words.size() == 4 && words[0] == "seed") {
    status = fieldloop::build::Seed(words[1], words[2], std::stoll(words[3]));
  } else if (words.size() == 5 && words[0] == "measure") {
    status = fieldloop::build::Measure(words[1], words[2], words[3], words[4]);
  }
  if (!status.ok()) {
    std::cerr << "bench_registry: " << status << "\n";
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
