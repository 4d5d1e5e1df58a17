// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/trainers_file.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/build/transport/job_config.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kMaxId = 39;
constexpr std::int64_t kMebi = std::int64_t{1} << 20;
constexpr std::int64_t kMostMinutes = 60 * 24 * 30;
constexpr std::int64_t kMostMebibytes = std::int64_t{1} << 30;
constexpr std::int64_t kMostProcesses = 1 << 20;

absl::Status Wrong(absl::string_view field, absl::string_view got, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": got ", got, ", want ", want));
}

std::string Shown(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80);
}

// One object; what it has beyond the fields that were asked for is refused.
class Section {
 public:
  Section(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  std::string PathOf(absl::string_view name) const {
    return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
  }
  const Json* Find(const char* name) {
    known_.insert(name);
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  absl::Status Text(const char* name, std::string& value) {
    const Json* field = Find(name);
    if (field != nullptr && !field->is_string()) {
      return Wrong(PathOf(name), Shown(*field), "a string");
    }
    value = field != nullptr ? field->get<std::string>() : value;
    return absl::OkStatus();
  }
  absl::Status Flag(const char* name, bool& value) {
    const Json* field = Find(name);
    if (field != nullptr && !field->is_boolean()) {
      return Wrong(PathOf(name), Shown(*field), "true or false");
    }
    value = field != nullptr ? field->get<bool>() : value;
    return absl::OkStatus();
  }
  // A count of `units`, from 1 to `most`.
  absl::Status Count(const char* name, std::int64_t most, std::int64_t unit, std::int64_t& value) {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    const std::int64_t count = field->is_number_integer() ? field->get<std::int64_t>() : 0;
    if (count < 1 || count > most) {
      return Wrong(PathOf(name), Shown(*field), absl::StrCat("a whole number from 1 to ", most));
    }
    value = count * unit;
    return absl::OkStatus();
  }
  absl::Status Minutes(const char* name, absl::Duration& value) {
    std::int64_t seconds = 0;
    FIELDLOOP_RETURN_IF_ERROR(Count(name, kMostMinutes, 60, seconds));
    value = seconds > 0 ? absl::Seconds(seconds) : value;
    return absl::OkStatus();
  }
  absl::Status Strings(const char* name, std::vector<std::string>& values) {
    const Json* field = Find(name);
    if (field == nullptr) {
      return absl::OkStatus();
    }
    if (!field->is_array() || !std::all_of(field->begin(), field->end(), [](const Json& item) {
          return item.is_string() && !item.get_ref<const std::string&>().empty();
        })) {
      return Wrong(PathOf(name), Shown(*field), "a list of strings");
    }
    values = field->get<std::vector<std::string>>();
    return absl::OkStatus();
  }
  absl::Status RefuseOthers() const {
    for (const auto& [name, value] : json_.items()) {
      if (known_.count(name) == 0) {
        return Wrong(PathOf(name), "a field that is not known",
                     absl::StrCat("one of ", absl::StrJoin(known_, ", ")));
      }
    }
    return absl::OkStatus();
  }

 private:
  const Json& json_;
  const std::string path_;
  std::set<std::string> known_;
};

bool IsId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxId && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

// Where the shell would find `name`; empty if nowhere.
std::string FindInPath(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    const std::string candidate = absl::StrCat(folder, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return "";
}

// Resolves the words of a command, and takes the files among them.
absl::Status ResolveCommand(const std::string& path, const fs::path& folder,
                            TrainerProgram& program) {
  for (std::size_t i = 0; i < program.words.size(); ++i) {
    const std::string& word = program.words[i];
    const bool in_path = i == 0 && !absl::StrContains(word, '/');
    const std::string file = in_path ? FindInPath(word) : (folder / word).string();
    std::error_code error;
    if (!file.empty() && fs::is_regular_file(file, error)) {
      program.command.push_back(file);
      program.files.push_back({.name = word, .path = file});
    } else if (i == 0) {
      return Wrong(path, absl::StrCat("\"", word, "\""),
                   in_path ? "a program in PATH" : "a program");
    } else {
      program.command.push_back(word);
    }
  }
  return absl::OkStatus();
}

absl::Status ReadEnvironment(Section& section, std::map<std::string, std::string>& environment) {
  const Json* field = section.Find("environment");
  if (field == nullptr) {
    return absl::OkStatus();
  }
  const bool is_map =
      field->is_object() && std::all_of(field->begin(), field->end(),
                                        [](const Json& value) { return value.is_string(); });
  if (!is_map) {
    return Wrong(section.PathOf("environment"), Shown(*field), "an object of strings");
  }
  environment = field->get<std::map<std::string, std::string>>();
  return absl::OkStatus();
}

absl::Status ReadLimits(Section& section, TrainerLimits& limits) {
  const Json* field = section.Find("limits");
  if (field == nullptr) {
    return absl::OkStatus();
  }
  if (!field->is_object()) {
    return Wrong(section.PathOf("limits"), Shown(*field), "an object");
  }
  Section inner(*field, section.PathOf("limits"));
  FIELDLOOP_RETURN_IF_ERROR(inner.Minutes("minutes", limits.time));
  FIELDLOOP_RETURN_IF_ERROR(inner.Minutes("cpu_minutes", limits.cpu_time));
  FIELDLOOP_RETURN_IF_ERROR(inner.Count("memory_mb", kMostMebibytes, kMebi, limits.memory_bytes));
  FIELDLOOP_RETURN_IF_ERROR(inner.Count("file_mb", kMostMebibytes, kMebi, limits.file_bytes));
  FIELDLOOP_RETURN_IF_ERROR(inner.Count("processes", kMostProcesses, 1, limits.processes));
  FIELDLOOP_RETURN_IF_ERROR(inner.Flag("network", limits.network));
  return inner.RefuseOthers();
}

absl::Status ReadImage(Section& section, TrainerProgram& program) {
  FIELDLOOP_RETURN_IF_ERROR(section.Text("image", program.image));
  // A tag may stand for something else tomorrow; the same build would then make another model.
  if (!program.image.empty() && !absl::StrContains(program.image, "@sha256:")) {
    return Wrong(section.PathOf("image"), absl::StrCat("\"", program.image, "\""),
                 "an image by its digest, REPOSITORY@sha256:...");
  }
  if (const Json* pod = section.Find("pod"); pod != nullptr) {
    FIELDLOOP_RETURN_IF_ERROR(CheckPod(section.PathOf("pod"), *pod));
    program.pod = pod->dump();
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainerProgram> ReadTrainer(const Json& json, const std::string& path,
                                           const fs::path& folder, const TrainerLimits& limits) {
  if (!json.is_object()) {
    return Wrong(path, Shown(json), "an object");
  }
  Section section(json, path);
  TrainerProgram program;
  program.limits = limits;
  FIELDLOOP_RETURN_IF_ERROR(section.Text("id", program.id));
  if (!IsId(program.id) || program.id == kBuiltInTrainer) {
    return Wrong(section.PathOf("id"), absl::StrCat("\"", program.id, "\""),
                 absl::StrCat("1 to ", kMaxId, " of [a-z0-9-], other than ", kBuiltInTrainer));
  }
  std::string contract = "learning-block";
  FIELDLOOP_RETURN_IF_ERROR(section.Text("contract", contract));
  if (contract != "learning-block" && contract != "fieldloop") {
    return Wrong(section.PathOf("contract"), absl::StrCat("\"", contract, "\""),
                 "learning-block or fieldloop");
  }
  program.contract =
      contract == "fieldloop" ? TrainerContract::kFieldloop : TrainerContract::kLearningBlock;
  std::string features = "raw";
  FIELDLOOP_RETURN_IF_ERROR(section.Text("features", features));
  program.standardised = features == "standardised";
  if ((features != "raw" && !program.standardised) ||
      (program.standardised && program.contract != TrainerContract::kLearningBlock)) {
    return Wrong(section.PathOf("features"), absl::StrCat("\"", features, "\""),
                 "raw, or with learning-block standardised");
  }
  std::string labels = "structured";
  FIELDLOOP_RETURN_IF_ERROR(section.Text("labels", labels));
  program.one_hot = labels == "one-hot";
  if ((labels != "structured" && !program.one_hot) ||
      (program.one_hot && program.contract != TrainerContract::kLearningBlock)) {
    return Wrong(section.PathOf("labels"), absl::StrCat("\"", labels, "\""),
                 "structured, or with learning-block one-hot");
  }
  FIELDLOOP_RETURN_IF_ERROR(section.Strings("command", program.words));
  if (program.words.empty()) {
    return Wrong(section.PathOf("command"), "nothing", "a list of the program and its arguments");
  }
  FIELDLOOP_RETURN_IF_ERROR(ReadImage(section, program));
  std::vector<std::string> files;
  FIELDLOOP_RETURN_IF_ERROR(section.Strings("files", files));
  if (!program.image.empty()) {
    // What the image holds is known by its digest.
    program.command = program.words;
    if (!files.empty()) {
      return Wrong(section.PathOf("files"), "files beside an image", "those of the image alone");
    }
  } else {
    FIELDLOOP_RETURN_IF_ERROR(ResolveCommand(section.PathOf("command"), folder, program));
  }
  for (const std::string& file : files) {
    program.files.push_back({.name = file, .path = (folder / file).string()});
  }
  FIELDLOOP_RETURN_IF_ERROR(ReadEnvironment(section, program.environment));
  FIELDLOOP_RETURN_IF_ERROR(ReadLimits(section, program.limits));
  FIELDLOOP_RETURN_IF_ERROR(section.RefuseOthers());
  return program;
}

}  // namespace

absl::StatusOr<std::vector<TrainerProgram>> ParseTrainers(absl::string_view json,
                                                          const std::string& folder,
                                                          const TrainerLimits& limits) {
  const Json root = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return absl::InvalidArgumentError("want a JSON object with the list \"trainers\"");
  }
  Section section(root, "");
  const Json* list = section.Find("trainers");
  if (list == nullptr || !list->is_array()) {
    return Wrong("trainers", list == nullptr ? "nothing" : Shown(*list), "a list");
  }
  FIELDLOOP_RETURN_IF_ERROR(section.RefuseOthers());
  std::error_code error;
  const fs::path absolute = fs::absolute(folder, error);
  std::vector<TrainerProgram> programs;
  std::set<std::string> ids;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string path = absl::StrCat("trainers[", i, "]");
    FIELDLOOP_ASSIGN_OR_RETURN(TrainerProgram program,
                               ReadTrainer((*list)[i], path, absolute, limits));
    if (!ids.insert(program.id).second) {
      return Wrong(absl::StrCat(path, ".id"), absl::StrCat("\"", program.id, "\" again"),
                   "each id once");
    }
    programs.push_back(std::move(program));
  }
  return programs;
}

}  // namespace fieldloop::build
