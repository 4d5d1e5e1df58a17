// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/trainer_program.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <memory>
#include <optional>
#include <system_error>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/build/transport/child_process.h"
#include "services/build/transport/process_tree.h"
#include "services/build/transport/trainer_events.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"

namespace fieldloop::build {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kLook = absl::Milliseconds(100);
constexpr std::chrono::milliseconds kLookForUse{50};
constexpr char kDigestFormat[] = "fieldloop.trainer.v1";
// Between two looks a program may take more than it should; the kernel stops it at this multiple.
constexpr std::int64_t kHardMemoryFactor = 4;
constexpr std::size_t kMaxLastWords = 300;
constexpr char kInfoFile[] = "train_input.json";

absl::StatusOr<std::string> DigestOfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Sha256 digest;
  std::array<char, std::size_t{64} << 10> buffer{};
  const bool opened = file.is_open();
  while (file.read(buffer.data(), buffer.size()) || file.gcount() > 0) {
    digest.Update(absl::string_view(buffer.data(), static_cast<std::size_t>(file.gcount())));
  }
  if (!opened || file.bad()) {
    return absl::AbortedError(absl::StrCat("the trainer's file ", path, " cannot be read"));
  }
  return ToHex(digest.Finish());
}

// The files of `entry`: itself, or all below it, sorted by name.
absl::StatusOr<std::vector<TrainerFile>> FilesOf(const TrainerFile& entry) {
  std::error_code error;
  if (!fs::is_directory(entry.path, error)) {
    return std::vector<TrainerFile>{entry};
  }
  std::vector<TrainerFile> files;
  for (fs::recursive_directory_iterator below(entry.path, error);
       !error && below != fs::recursive_directory_iterator(); below.increment(error)) {
    if (below->is_regular_file()) {
      const std::string path = below->path().string();
      files.push_back(
          {.name = absl::StrCat(entry.name, path.substr(entry.path.size())), .path = path});
    }
  }
  if (error) {
    return absl::AbortedError(
        absl::StrCat("the trainer's folder ", entry.path, " cannot be read: ", error.message()));
  }
  std::sort(files.begin(), files.end(),
            [](const TrainerFile& a, const TrainerFile& b) { return a.name < b.name; });
  return files;
}

// PATH, and what decides how text and time look. Anything else of the service's may be a secret.
bool IsPassedOn(absl::string_view variable) {
  for (const char* name : {"PATH=", "LANG=", "LC_", "TZ=", "LD_LIBRARY_PATH="}) {
    if (absl::StartsWith(variable, name)) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> EnvironmentOf(const TrainerProgram& program, const std::string& home) {
  std::vector<std::string> environment;
  const auto is_set = [&program](absl::string_view variable) {
    return program.environment.count(std::string(variable.substr(0, variable.find('=')))) > 0;
  };
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (IsPassedOn(*entry) && !is_set(*entry)) {
      environment.emplace_back(*entry);
    }
  }
  for (const char* name : {"HOME", "TMPDIR"}) {
    if (!is_set(name)) {
      environment.push_back(absl::StrCat(name, "=", home));
    }
  }
  if (const std::string trace = CurrentTraceparent();
      !trace.empty() && !is_set(kTraceparentVariable)) {
    environment.push_back(absl::StrCat(kTraceparentVariable, "=", trace));
  }
  for (const auto& [name, value] : program.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

std::int64_t WholeSeconds(absl::Duration duration) {
  return duration == absl::InfiniteDuration()
             ? 0
             : std::max<std::int64_t>(1,
                                      absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1))));
}

std::string SizeText(std::int64_t bytes) {
  return absl::StrFormat("%.0f MiB", static_cast<double>(bytes) / (1 << 20));
}

// The last line of what is printed that says something.
class LastWords {
 public:
  void Take(absl::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const absl::string_view part = text.substr(0, end);
      line_.append(part.data(), std::min(part.size(), kMaxLastWords - line_.size()));
      if (end == absl::string_view::npos) {
        return;
      }
      text.remove_prefix(end + 1);
      Keep();
    }
  }
  std::string Text() {
    Keep();
    return last_;
  }

 private:
  void Keep() {
    const std::string line = OneLine(absl::StripAsciiWhitespace(line_));
    if (!line.empty()) {
      last_ = line;
    }
    line_.clear();
  }

  std::string line_;
  std::string last_;
};

// A sentence about how a trainer ended.
absl::Status Failure(const ProcessEnd& end, const TrainerLimits& limits, absl::string_view words) {
  const std::string tail = words.empty() ? "" : absl::StrCat(": ", words);
  if (!end.by_signal) {
    return absl::AbortedError(absl::StrCat("the trainer ended with code ", end.number, tail));
  }
  if (end.number == SIGXCPU) {
    return absl::AbortedError(absl::StrCat("a process of the trainer used more than ",
                                           absl::FormatDuration(limits.cpu_time),
                                           " of processor time"));
  }
  if (end.number == SIGXFSZ) {
    return absl::AbortedError(
        absl::StrCat("the trainer wrote a file of more than ", SizeText(limits.file_bytes)));
  }
  const char* name = sigabbrev_np(end.number);
  return absl::AbortedError(
      absl::StrCat("the trainer was ended by signal ", end.number,
                   name == nullptr ? "" : absl::StrCat(" (SIG", name, ")"),
                   end.number == SIGKILL ? ", as when the machine runs out of memory" : "", tail));
}

// What is left of a trainer that must be ended; OK if it may go on.
absl::Status CheckUse(const TrainerLimits& limits, const TreeUse& use) {
  if (use.memory_bytes > limits.memory_bytes) {
    return absl::AbortedError(absl::StrCat("the trainer ran out of memory: it used ",
                                           SizeText(use.memory_bytes), " of the ",
                                           SizeText(limits.memory_bytes), " that it may use"));
  }
  if (use.processes > limits.processes) {
    return absl::AbortedError(absl::StrCat("the trainer ran ", use.processes,
                                           " processes, more than the ", limits.processes,
                                           " that it may run"));
  }
  return absl::OkStatus();
}

}  // namespace

TrainerProgram BuiltInTrainer(const std::string& path, const TrainerLimits& limits) {
  const std::string name = fs::path(path).filename().string();
  return {.id = kBuiltInTrainer,
          .contract = TrainerContract::kFieldloop,
          .command = {path},
          .words = {name},
          .files = {{.name = name, .path = path}},
          .environment = {},
          .limits = limits,
          .standardised = false,
          .one_hot = false};
}

absl::StatusOr<std::string> DigestOf(const TrainerProgram& program) {
  if (program.words.size() == 1 && program.files.size() == 1 && program.environment.empty() &&
      program.contract == TrainerContract::kFieldloop) {
    return DigestOfFile(program.files[0].path);
  }
  Sha256 digest;
  const auto add = [&digest](absl::string_view kind, absl::string_view text) {
    digest.Update(absl::StrCat(kind, "\t", text.size(), "\t", text, "\n"));
  };
  add(kDigestFormat, absl::StrCat(static_cast<int>(program.contract), " ",
                                  program.standardised ? "standardised " : "raw ",
                                  program.one_hot ? "one-hot" : "structured"));
  for (const std::string& word : program.words) {
    add("word", word);
  }
  for (const auto& [name, value] : program.environment) {
    add("environment", absl::StrCat(name, "=", value));
  }
  if (!program.image.empty()) {
    add("image", program.image);
  }
  for (const TrainerFile& entry : program.files) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<TrainerFile> files, FilesOf(entry));
    for (const TrainerFile& file : files) {
      FIELDLOOP_ASSIGN_OR_RETURN(const std::string content, DigestOfFile(file.path));
      add("file", absl::StrCat(file.name, " ", content));
    }
  }
  return ToHex(digest.Finish());
}

std::vector<std::string> ArgumentsOf(const TrainerTask& task) {
  std::vector<std::string> arguments = {
      "--info-file",      absl::StrCat(task.data_directory, "/", kInfoFile),
      "--data-directory", task.data_directory,
      "--out-directory",  task.out_directory};
  arguments.insert(arguments.end(), task.arguments.begin(), task.arguments.end());
  return arguments;
}

absl::Status CheckOutputs(const TrainerTask& task) {
  for (const TrainerOutput& output : task.outputs) {
    std::error_code error;
    const std::uintmax_t size =
        fs::file_size(absl::StrCat(task.out_directory, "/", output.name), error);
    if (!error && size > static_cast<std::uintmax_t>(output.max_bytes)) {
      return absl::AbortedError(absl::StrCat("the trainer wrote a ", output.name, " of ", size,
                                             " bytes, want at most ", output.max_bytes));
    }
  }
  return absl::OkStatus();
}

absl::Status RunTrainer(const TrainerTask& task, std::stop_token stop, const Clock& clock,
                        TrainerListener& listener) {
  const TrainerProgram& program = task.program;
  const TrainerLimits& limits = program.limits;
  Program child_program{.arguments = program.command,
                        .environment = EnvironmentOf(program, task.scratch_directory),
                        .working_directory = task.scratch_directory,
                        .limits = {.cpu_seconds = WholeSeconds(limits.cpu_time),
                                   .file_bytes = limits.file_bytes,
                                   .data_bytes = limits.memory_bytes * kHardMemoryFactor},
                        .with_network = limits.network};
  const std::vector<std::string> arguments = ArgumentsOf(task);
  child_program.arguments.insert(child_program.arguments.end(), arguments.begin(), arguments.end());
  const absl::Time deadline = clock.Now() + limits.time;
  const absl::StatusOr<std::unique_ptr<ChildProcess>> started = ChildProcess::Start(child_program);
  if (!started.ok()) {
    // Trying again would not help.
    return absl::AbortedError(started.status().message());
  }
  ChildProcess& child = **started;
  if (!child.isolation().ok()) {
    listener.OnLog(
        absl::StrCat("note: the trainer keeps the network of the service, for the system "
                     "does not allow to take it away: ",
                     child.isolation().message(), "\n"));
  }
  TrainerEvents events(listener);
  LastWords words;
  const auto on_stdout = [&events](absl::string_view text) { events.Take(text); };
  const auto on_stderr = [&](absl::string_view text) {
    words.Take(text);
    listener.OnLog(text);
  };
  absl::Status ended_early;
  // The clock of the machine: how often to look is nothing that a test would set.
  auto looked = std::chrono::steady_clock::now();
  while (child.Pump(kLook, on_stdout, on_stderr)) {
    if (!ended_early.ok()) {
      continue;
    }
    if (stop.stop_requested()) {
      ended_early = absl::CancelledError("stopped");
    } else if (clock.Now() >= deadline) {
      ended_early = absl::DeadlineExceededError(
          absl::StrCat("the trainer took longer than ", absl::FormatDuration(limits.time)));
    } else if (const auto now = std::chrono::steady_clock::now(); now - looked >= kLookForUse) {
      looked = now;
      ended_early = CheckUse(limits, UseBelow(child.keeper()));
    }
    if (!ended_early.ok()) {
      child.Kill();
    }
  }
  events.Finish();
  FIELDLOOP_RETURN_IF_ERROR(ended_early);
  if (!events.error().empty()) {
    return absl::AbortedError(events.error());
  }
  const ProcessEnd end = child.End();
  return !end.by_signal && end.number == 0 ? absl::OkStatus() : Failure(end, limits, words.Text());
}

}  // namespace fieldloop::build
