// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/run_spec.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/trainer_runs.h"
#include "services/common/status/status_macros.h"
#include "services/common/tar/tar.h"

namespace fieldloop::build {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kFormat = 1;

}  // namespace

std::string TextOfTask(const TrainerTask& task, absl::string_view digest) {
  const TrainerProgram& program = task.program;
  const TrainerLimits& limits = program.limits;
  Json outputs = Json::array();
  for (const TrainerOutput& output : task.outputs) {
    outputs.push_back({{"name", output.name}, {"max_bytes", output.max_bytes}});
  }
  Json json = {{"format", kFormat},
               {"trainer", program.id},
               {"command", program.words},
               {"environment", program.environment},
               {"digest", std::string(digest)},
               {"arguments", task.arguments},
               {"outputs", outputs},
               {"limits",
                {{"milliseconds", absl::ToInt64Milliseconds(limits.time)},
                 {"memory_bytes", limits.memory_bytes},
                 {"file_bytes", limits.file_bytes},
                 {"processes", limits.processes},
                 {"network", limits.network}}}};
  if (limits.cpu_time != absl::InfiniteDuration()) {
    json["limits"]["cpu_milliseconds"] = absl::ToInt64Milliseconds(limits.cpu_time);
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<RunSpec> ParseTask(absl::string_view text) {
  try {
    const Json json = Json::parse(text.begin(), text.end());
    if (json.at("format").get<int>() != kFormat) {
      return absl::InvalidArgumentError(
          absl::StrCat(kSpecFile, ": got format ", json.at("format").dump(), ", want ", kFormat,
                       ": the images of the service and of its trainer are of different versions"));
    }
    RunSpec spec;
    TrainerProgram& program = spec.task.program;
    program.id = json.at("trainer").get<std::string>();
    program.command = json.at("command").get<std::vector<std::string>>();
    program.words = program.command;
    program.environment = json.at("environment").get<std::map<std::string, std::string>>();
    spec.digest = json.at("digest").get<std::string>();
    spec.task.arguments = json.at("arguments").get<std::vector<std::string>>();
    for (const Json& output : json.at("outputs")) {
      spec.task.outputs.push_back({.name = output.at("name").get<std::string>(),
                                   .max_bytes = output.at("max_bytes").get<std::int64_t>()});
    }
    const Json& limits = json.at("limits");
    program.limits.time = absl::Milliseconds(limits.at("milliseconds").get<std::int64_t>());
    program.limits.memory_bytes = limits.at("memory_bytes").get<std::int64_t>();
    program.limits.file_bytes = limits.at("file_bytes").get<std::int64_t>();
    program.limits.processes = limits.at("processes").get<std::int64_t>();
    program.limits.network = limits.at("network").get<bool>();
    if (limits.contains("cpu_milliseconds")) {
      program.limits.cpu_time =
          absl::Milliseconds(limits.at("cpu_milliseconds").get<std::int64_t>());
    }
    if (program.command.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(kSpecFile, ": the command is empty"));
    }
    return spec;
  } catch (const std::exception& error) {  // nlohmann::json throws.
    return absl::InvalidArgumentError(absl::StrCat(kSpecFile, ": ", error.what()));
  }
}

absl::Status WriteRunInputs(const TrainerTask& task, absl::string_view digest, absl::string_view id,
                            absl::FunctionRef<absl::Status(absl::string_view)> sink) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(task.data_directory, error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->is_regular_file(error)) {
      names.push_back(entry->path().filename().string());
    }
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot read ", task.data_directory, ": ", error.message()));
  }
  std::sort(names.begin(), names.end());
  TarWriter writer(sink);
  FIELDLOOP_RETURN_IF_ERROR(writer.Add(kRunFile, id));
  FIELDLOOP_RETURN_IF_ERROR(writer.Add(kSpecFile, TextOfTask(task, digest)));
  for (const std::string& name : names) {
    FIELDLOOP_RETURN_IF_ERROR(writer.AddFile(name, absl::StrCat(task.data_directory, "/", name)));
  }
  return writer.Finish();
}

}  // namespace fieldloop::build
