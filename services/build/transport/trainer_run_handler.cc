// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/trainer_run_handler.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxPieceBytes = std::size_t{1} << 20;
// What a run may say of its end; the rest is not for it to say.
constexpr absl::StatusCode kEnds[] = {absl::StatusCode::kOk, absl::StatusCode::kAborted,
                                      absl::StatusCode::kDeadlineExceeded,
                                      absl::StatusCode::kUnavailable};

// How a run ended, into `ended`. INVALID_ARGUMENT if it cannot have ended so.
absl::Status ReadEnd(const v1::RunEnd& end, absl::Status& ended) {
  for (const absl::StatusCode code : kEnds) {
    if (static_cast<int>(code) == end.code()) {
      ended = absl::Status(code, end.message());
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "end.code: got ", end.code(), ", want OK, ABORTED, DEADLINE_EXCEEDED or UNAVAILABLE"));
}

}  // namespace

grpc::Status TrainerRunHandler::FetchInputs(grpc::ServerContext* context,
                                            const v1::FetchInputsRequest* /*request*/,
                                            grpc::ServerWriter<v1::FetchInputsResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const TrainerRun run, runs_.Authenticate(CallerOf(*context).token));
    return runs_.ReadInputs(run, [writer](absl::string_view piece) {
      v1::FetchInputsResponse response;
      response.set_data(piece.data(), piece.size());
      return writer->Write(response) ? absl::OkStatus()
                                     : absl::CancelledError("the client closed the stream");
    });
  }());
}

grpc::Status TrainerRunHandler::FinishRun(grpc::ServerContext* context,
                                          grpc::ServerReader<v1::FinishRunRequest>* reader,
                                          v1::FinishRunResponse* /*response*/) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const TrainerRun run, runs_.Authenticate(CallerOf(*context).token));
    v1::FinishRunRequest message;
    if (!reader->Read(&message) || !message.has_end()) {
      return absl::InvalidArgumentError("end: got nothing, want it in the first message");
    }
    absl::Status end;
    FIELDLOOP_RETURN_IF_ERROR(ReadEnd(message.end(), end));
    std::string archive;
    while (reader->Read(&message)) {
      if (message.has_end()) {
        return absl::InvalidArgumentError("end: got it again, want it in the first message only");
      }
      if (message.data().size() > kMaxPieceBytes) {
        return absl::InvalidArgumentError(absl::StrCat("data: got ", message.data().size(),
                                                       " bytes, want at most ", kMaxPieceBytes));
      }
      if (archive.size() + message.data().size() > static_cast<std::size_t>(kMaxRunOutputBytes)) {
        return absl::InvalidArgumentError(absl::StrCat("data: got more than ", kMaxRunOutputBytes,
                                                       " bytes in all, want at most that"));
      }
      archive += message.data();
    }
    return runs_.Finish(run, end, archive);
  }());
}

}  // namespace fieldloop::build
