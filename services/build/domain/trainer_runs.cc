// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/trainer_runs.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/build/domain/names.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/common/tar/tar.h"

namespace fieldloop::build {
namespace {

constexpr char kTokenPrefix[] = "flr_";
constexpr int kIdBytes = 8;
constexpr std::int64_t kPieceBytes = std::int64_t{256} << 10;
constexpr std::size_t kMaxSentence = 2000;

absl::StatusOr<std::map<std::string, std::string>> FilesOf(absl::string_view archive) {
  std::map<std::string, std::string> files;
  std::string* file = nullptr;
  TarReader reader({.begin = [&](absl::string_view name, std::int64_t /*size*/) -> absl::Status {
                      const auto [at, is_new] = files.emplace(std::string(name), "");
                      file = &at->second;
                      return is_new ? absl::OkStatus()
                                    : absl::InvalidArgumentError(
                                          absl::StrCat("the archive has ", name, " twice"));
                    },
                    .data =
                        [&](absl::string_view data) {
                          file->append(data.data(), data.size());
                          return absl::OkStatus();
                        }});
  FIELDLOOP_RETURN_IF_ERROR(reader.Take(archive));
  FIELDLOOP_RETURN_IF_ERROR(reader.Finish());
  return files;
}

}  // namespace

absl::StatusOr<std::string> TrainerRuns::DigestOfInputs(absl::string_view id,
                                                        WriteInputs write) const {
  Sha256 digest;
  FIELDLOOP_RETURN_IF_ERROR(write(id, [&digest](absl::string_view data) {
    digest.Update(data);
    return absl::OkStatus();
  }));
  return ToHex(digest.Finish());
}

absl::Status TrainerRuns::Store(const TrainerRun& run, WriteInputs write) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> blob, blobs_.Create());
  FIELDLOOP_RETURN_IF_ERROR(
      write(run.id, [&blob](absl::string_view data) { return blob->Append(data); }));
  FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo stored, blob->Commit());
  return stored.digest == run.inputs
             ? absl::OkStatus()
             : absl::InternalError("the files of a run changed while they were stored");
}

absl::StatusOr<TrainerRun> TrainerRuns::Begin(const BuildKey& build, absl::Duration lifetime,
                                              WriteInputs write) {
  const absl::StatusOr<TrainerRun> known = store_.Get(build.project, build.number);
  if (known.ok()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string digest, DigestOfInputs(known->id, write));
    // A run that is half way through its time may still end within it.
    if (digest == known->inputs && (known->finished || clock_.Now() < known->expire_time)) {
      FIELDLOOP_ASSIGN_OR_RETURN(const bool is_stored, blobs_.Exists(known->inputs));
      if (!is_stored && !known->finished) {
        FIELDLOOP_RETURN_IF_ERROR(Store(*known, write));
      }
      return known;
    }
    FIELDLOOP_RETURN_IF_ERROR(Forget(*known));
  } else if (!absl::IsNotFound(known.status())) {
    return known.status();
  }
  TrainerRun run;
  run.project = build.project;
  run.number = build.number;
  run.id = ToHex(RandomBytes(kIdBytes));
  run.token = RandomSecret(absl::StrCat(kTokenPrefix, run.id, "_"));
  run.expire_time = clock_.Now() + lifetime;
  FIELDLOOP_ASSIGN_OR_RETURN(run.inputs, DigestOfInputs(run.id, write));
  // The row first: it says which blob is to be deleted, whatever happens from here on.
  FIELDLOOP_ASSIGN_OR_RETURN(const TrainerRun stored, store_.Insert(run));
  if (stored.id != run.id) {
    return absl::AbortedError(absl::StrCat("another process has begun to train ",
                                           BuildName(build.project, build.number)));
  }
  FIELDLOOP_RETURN_IF_ERROR(Store(run, write));
  return run;
}

absl::StatusOr<TrainerRun> TrainerRuns::Authenticate(absl::string_view token) {
  const absl::Status refused = absl::UnauthenticatedError(
      "the token of this run is not known: its build is over, was cancelled or began anew");
  const std::vector<absl::string_view> parts = absl::StrSplit(token, absl::MaxSplits('_', 2));
  if (parts.size() != 3 || parts[0] != "flr") {
    return refused;
  }
  absl::StatusOr<TrainerRun> run = store_.GetById(parts[1]);
  if (absl::IsNotFound(run.status())) {
    return refused;
  }
  FIELDLOOP_RETURN_IF_ERROR(run.status());
  if (!ConstantTimeEquals(run->token, token) || clock_.Now() >= run->expire_time) {
    return refused;
  }
  return run;
}

absl::Status TrainerRuns::ReadInputs(const TrainerRun& run, Sink sink) {
  return blobs_.Read(run.inputs, kPieceBytes, sink);
}

absl::Status TrainerRuns::Finish(const TrainerRun& run, const absl::Status& end,
                                 absl::string_view outputs) {
  TrainerRun ended = run;
  ended.finished = true;
  ended.code = end.code();
  ended.message = std::string(end.message().substr(0, kMaxSentence));
  if (end.ok()) {
    if (static_cast<std::int64_t>(outputs.size()) > kMaxRunOutputBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "got outputs of more than ", kMaxRunOutputBytes, " bytes in all, want at most that"));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(auto files, FilesOf(outputs));
    files.erase(kRunFile);
    std::string archive;
    const auto sink = [&archive](absl::string_view data) {
      archive.append(data.data(), data.size());
      return absl::OkStatus();
    };
    TarWriter writer(sink);
    FIELDLOOP_RETURN_IF_ERROR(writer.Add(kRunFile, run.id));
    for (const auto& [name, content] : files) {
      FIELDLOOP_RETURN_IF_ERROR(writer.Add(name, content));
    }
    FIELDLOOP_RETURN_IF_ERROR(writer.Finish());
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo blob, blobs_.Put(archive));
    ended.outputs = blob.digest;
  }
  const absl::StatusOr<TrainerRun> stored = store_.Finish(ended);
  if (!ended.outputs.empty() && (!stored.ok() || stored->outputs != ended.outputs) &&
      !absl::IsUnavailable(stored.status())) {
    FIELDLOOP_RETURN_IF_ERROR(blobs_.Delete(ended.outputs));
  }
  return stored.status();
}

absl::StatusOr<TrainerRun> TrainerRuns::Get(const BuildKey& build) {
  return store_.Get(build.project, build.number);
}

absl::StatusOr<std::map<std::string, std::string>> TrainerRuns::Outputs(const TrainerRun& run) {
  if (run.outputs.empty()) {
    return std::map<std::string, std::string>();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string archive, blobs_.Get(run.outputs));
  FIELDLOOP_ASSIGN_OR_RETURN(auto files, FilesOf(archive));
  files.erase(kRunFile);
  return files;
}

absl::Status TrainerRuns::Forget(const TrainerRun& run) {
  FIELDLOOP_RETURN_IF_ERROR(blobs_.Delete(run.inputs));
  if (!run.outputs.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(blobs_.Delete(run.outputs));
  }
  return store_.Delete(run.id);
}

absl::StatusOr<std::vector<BuildKey>> TrainerRuns::Builds() {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<TrainerRun> runs, store_.List());
  std::vector<BuildKey> builds;
  for (const TrainerRun& run : runs) {
    builds.push_back({.project = run.project, .number = run.number});
  }
  return builds;
}

}  // namespace fieldloop::build
