// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/remote_run.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <sstream>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <fieldloop/build/v1/trainer_run_service.grpc.pb.h>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/build/domain/trainer_runs.h"
#include "services/build/transport/run_spec.h"
#include "services/build/transport/trainer_program.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"
#include "services/common/tar/tar.h"

namespace fieldloop::build {
namespace {

namespace fs = std::filesystem;
using Stub = v1::TrainerRunService::Stub;

constexpr std::size_t kPieceBytes = std::size_t{256} << 10;
constexpr absl::Duration kFirstWait = absl::Milliseconds(500);
constexpr absl::Duration kLongestWait = absl::Seconds(10);
constexpr absl::Duration kTransferTimeout = absl::Minutes(20);

// Prints everything as it came: the service reads the log, and finds the events in it.
class Printer final : public TrainerListener {
 public:
  explicit Printer(std::ostream& out) : out_(out) {}
  void OnActivity(absl::string_view text) override {
    Event({{"event", "activity"}, {"text", std::string(text)}});
  }
  void OnEpoch(const Epoch& epoch, std::int32_t epochs) override {
    nlohmann::json event = {{"event", "epoch"}, {"epoch", epoch.epoch}, {"epochs", epochs}};
    const auto add = [&event](const char* name, const std::optional<double>& value) {
      if (value.has_value()) {
        event[name] = *value;
      }
    };
    add("loss", epoch.loss);
    add("accuracy", epoch.accuracy);
    add("validation_loss", epoch.validation_loss);
    add("validation_accuracy", epoch.validation_accuracy);
    Event(event);
  }
  void OnCandidate(const Candidate& candidate) override {
    nlohmann::json event = {{"event", "candidate"},
                            {"network", candidate.network},
                            {"size_bytes", candidate.size_bytes},
                            {"arena_bytes", candidate.arena_bytes},
                            {"cortex_m4_instructions", candidate.cortex_m4_instructions},
                            {"fits", candidate.fits},
                            {"chosen", candidate.chosen}};
    if (candidate.validation_balanced_accuracy.has_value()) {
      event["validation_balanced_accuracy"] = *candidate.validation_balanced_accuracy;
    }
    Event(event);
  }
  void OnLog(absl::string_view text) override {
    if (text.empty()) {
      return;
    }
    out_ << std::string(text) << std::flush;
    in_line_ = text.back() != '\n';
  }

 private:
  void Event(const nlohmann::json& event) {
    // Standard error may have stopped in the middle of a line.
    out_ << (in_line_ ? "\n" : "")
         << event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n"
         << std::flush;
    in_line_ = false;
  }

  std::ostream& out_;
  bool in_line_ = false;
};

// Repeats `call` while the service does not answer, or does not know the token yet.
absl::Status Patiently(const RemoteRun& run, const Clock& clock, std::stop_token stop,
                       const std::function<void(absl::Duration)>& sleep,
                       const std::function<absl::Status()>& call) {
  const absl::Time deadline = clock.Now() + run.patience;
  absl::Duration wait = kFirstWait;
  while (true) {
    const absl::Status status = call();
    if (stop.stop_requested()) {
      return absl::CancelledError("stopped");
    }
    const bool again =
        absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsInternal(status);
    if (!again || clock.Now() + wait >= deadline) {
      return status;
    }
    sleep(wait);
    wait = std::min(kLongestWait, wait * 2);
  }
}

// What is fetched: the data as files, and what is to be run.
struct Inputs {
  std::string id;
  std::string spec;
};

absl::StatusOr<Inputs> FetchOnce(Stub& stub, const std::string& folder) {
  Inputs inputs;
  std::ofstream file;
  std::string* text = nullptr;
  std::string path;
  TarReader reader(
      {.begin = [&](absl::string_view name, std::int64_t /*size*/) -> absl::Status {
         text = name == kRunFile ? &inputs.id : name == kSpecFile ? &inputs.spec : nullptr;
         file.close();
         if (text == nullptr) {
           path = absl::StrCat(folder, "/", name);
           file.open(path, std::ios::binary | std::ios::trunc);
         }
         return absl::OkStatus();
       },
       .data = [&](absl::string_view data) -> absl::Status {
         if (text != nullptr) {
           text->append(data.data(), data.size());
           return absl::OkStatus();
         }
         file.write(data.data(), static_cast<std::streamsize>(data.size()));
         return file ? absl::OkStatus()
                     : absl::ResourceExhaustedError(
                           absl::StrCat("cannot write ", path, ": is the disk full?"));
       }});
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kTransferTimeout));
  const auto stream = stub.FetchInputs(&context, v1::FetchInputsRequest());
  v1::FetchInputsResponse piece;
  absl::Status taken;
  while (taken.ok() && stream->Read(&piece)) {
    taken = reader.Take(piece.data());
  }
  if (!taken.ok()) {
    context.TryCancel();
    static_cast<void>(stream->Finish());
    return taken;
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(stream->Finish()));
  FIELDLOOP_RETURN_IF_ERROR(reader.Finish());
  file.close();
  return file.fail() && !path.empty()
             ? absl::StatusOr<Inputs>(absl::ResourceExhaustedError(
                   absl::StrCat("cannot write ", path, ": is the disk full?")))
             : inputs;
}

absl::Status FinishOnce(Stub& stub, const absl::Status& end, absl::string_view archive) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kTransferTimeout));
  v1::FinishRunResponse response;
  const auto stream = stub.FinishRun(&context, &response);
  v1::FinishRunRequest message;
  message.mutable_end()->set_code(static_cast<int>(end.code()));
  message.mutable_end()->set_message(std::string(end.message()));
  bool open = stream->Write(message);
  while (open && !archive.empty()) {
    const absl::string_view piece = archive.substr(0, kPieceBytes);
    message.set_data(piece.data(), piece.size());
    archive.remove_prefix(piece.size());
    open = stream->Write(message);
  }
  stream->WritesDone();
  return FromGrpcStatus(stream->Finish());
}

// Where a program named without a slash is.
std::string FindProgram(const std::string& name, const std::string& first) {
  if (absl::StrContains(name, '/')) {
    return name;
  }
  const char* path = std::getenv("PATH");
  const std::string folders = absl::StrCat(first, ":", path == nullptr ? "" : path);
  for (const absl::string_view folder : absl::StrSplit(folders, ':', absl::SkipEmpty())) {
    const std::string candidate = absl::StrCat(folder, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return name;
}

absl::StatusOr<std::string> ArchiveOfOutputs(const TrainerTask& task, const std::string& id) {
  FIELDLOOP_RETURN_IF_ERROR(CheckOutputs(task));
  std::string archive;
  const auto sink = [&archive](absl::string_view data) {
    archive.append(data.data(), data.size());
    return absl::OkStatus();
  };
  TarWriter writer(sink);
  FIELDLOOP_RETURN_IF_ERROR(writer.Add(kRunFile, id));
  for (const TrainerOutput& output : task.outputs) {
    const std::string path = absl::StrCat(task.out_directory, "/", output.name);
    std::error_code error;
    if (fs::is_regular_file(path, error)) {
      FIELDLOOP_RETURN_IF_ERROR(writer.AddFile(output.name, path));
    }
  }
  FIELDLOOP_RETURN_IF_ERROR(writer.Finish());
  return archive;
}

// Runs what `spec` says; the archive of what it made.
absl::StatusOr<std::string> RunSpecOf(RunSpec spec, const std::string& id, const RemoteRun& run,
                                      const Clock& clock, std::stop_token stop, std::ostream& out) {
  TrainerTask& task = spec.task;
  TrainerProgram& program = task.program;
  program.command[0] = FindProgram(program.command[0], run.program_folder);
  if (!spec.digest.empty()) {
    program.files = {{.name = program.words[0], .path = program.command[0]}};
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string own, DigestOf(program));
    if (own != spec.digest) {
      return absl::AbortedError(absl::StrCat("the image of the trainer's pod holds another ",
                                             program.id, " (", own, ") than the service (",
                                             spec.digest, "): want both of one version"));
    }
  }
  Printer printer(out);
  FIELDLOOP_RETURN_IF_ERROR(RunTrainer(task, stop, clock, printer));
  return ArchiveOfOutputs(task, id);
}

}  // namespace

absl::Status RunForService(const RemoteRun& run, const Clock& clock, std::stop_token stop,
                           const std::function<void(absl::Duration)>& sleep, std::ostream& out) {
  Stub stub(run.service);
  const std::string data = run.folder + "/data";
  const std::string made = run.folder + "/out";
  const std::string scratch = run.folder + "/scratch";
  for (const std::string& folder : {data, made, scratch}) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot make ", folder, ": ", error.message()));
    }
  }
  Inputs inputs;
  absl::Status end = Patiently(run, clock, stop, sleep, [&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(inputs, FetchOnce(stub, data));
    return absl::OkStatus();
  });
  if (!end.ok() && !absl::IsResourceExhausted(end) && !absl::IsInvalidArgument(end)) {
    return absl::IsCancelled(end) ? end
                                  : absl::UnavailableError(absl::StrCat(
                                        "the build service gives no inputs: ", end.message()));
  }
  std::string archive;
  if (end.ok()) {
    absl::StatusOr<RunSpec> spec = ParseTask(inputs.spec);
    end = spec.status();
    if (end.ok()) {
      spec->task.data_directory = data;
      spec->task.out_directory = made;
      spec->task.scratch_directory = scratch;
      absl::StatusOr<std::string> outputs =
          RunSpecOf(*std::move(spec), inputs.id, run, clock, stop, out);
      end = outputs.status();
      archive = end.ok() ? *std::move(outputs) : "";
    }
  }
  if (absl::IsCancelled(end)) {
    return end;
  }
  const bool is_sayable =
      end.ok() || absl::IsAborted(end) || absl::IsDeadlineExceeded(end) || absl::IsUnavailable(end);
  const absl::Status said = is_sayable ? end : absl::AbortedError(end.message());
  const absl::Status told =
      Patiently(run, clock, stop, sleep, [&] { return FinishOnce(stub, said, archive); });
  if (told.ok() || absl::IsCancelled(told)) {
    return told;
  }
  return absl::UnavailableError(
      absl::StrCat("the build service does not take the outcome: ", told.message()));
}

}  // namespace fieldloop::build
