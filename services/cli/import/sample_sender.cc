// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/import/sample_sender.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <grpcpp/client_context.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/crypto/digest.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;

constexpr std::size_t kPieceBytes = 256 << 10;
constexpr std::int64_t kResumableBytes = 8'000'000;
constexpr std::size_t kDigestHexOfId = 32;
constexpr absl::Duration kFirstWait = absl::Milliseconds(200);
constexpr absl::Duration kUploadTime = absl::Minutes(10);
constexpr absl::Duration kCallTime = absl::Seconds(30);
constexpr char kUploadsBusy[] = "UPLOADS_BUSY";
constexpr char kOffsetMismatch[] = "OFFSET_MISMATCH";

absl::Status CannotRead(const std::string& path) {
  return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
}

// Calls `sink` with pieces of the file from `offset` on, until it says no.
absl::Status ReadPieces(const std::string& path, std::int64_t offset,
                        const std::function<bool(std::string)>& sink) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(offset);
  while (file) {
    std::string piece(kPieceBytes, '\0');
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    piece.resize(static_cast<std::size_t>(file.gcount()));
    if (file.bad()) {
      break;
    }
    if (!piece.empty() && !sink(std::move(piece))) {
      return absl::OkStatus();
    }
  }
  return file.eof() ? absl::OkStatus() : CannotRead(path);
}

absl::StatusOr<std::int64_t> SizeOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::int64_t size = file ? static_cast<std::int64_t>(file.tellg()) : -1;
  if (size < 0) {
    return CannotRead(path);
  }
  return size;
}

absl::StatusOr<std::string> DigestOf(const std::string& path) {
  Sha256 hash;
  FIELDLOOP_RETURN_IF_ERROR(ReadPieces(path, 0, [&hash](const std::string& piece) {
    hash.Update(piece);
    return true;
  }));
  return ToHex(hash.Finish());
}

bool MayBeRepeated(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return absl::IsUnavailable(status) || absl::IsAborted(status) || reason == kUploadsBusy ||
         reason == kOffsetMismatch;
}

void SetDeadline(grpc::ClientContext& context, absl::Duration time) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + time));
}

}  // namespace

SampleSender::SampleSender(iv::IngestionService::StubInterface& stub, Options options)
    : stub_(stub), options_(std::move(options)) {}

absl::StatusOr<iv::UploadSampleResponse> SampleSender::Send(const std::string& path,
                                                            iv::UploadSpec spec,
                                                            std::atomic<std::int64_t>& sent_bytes) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::int64_t size, SizeOf(path));
  if (size > kResumableBytes) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string digest, DigestOf(path));
    spec.set_upload_id(digest.substr(0, kDigestHexOfId));
    spec.set_size_bytes(size);
  }
  absl::Duration wait = kFirstWait;
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<iv::UploadSampleResponse> response = SendOnce(path, spec, sent_bytes);
    if (response.ok() || attempt >= options_.attempts || !MayBeRepeated(response.status())) {
      return response;
    }
    if (ReasonOf(response.status()) == kOffsetMismatch) {
      // The bytes so far are with another replica: it begins anew, under another name.
      spec.set_upload_id(ToHex(RandomBytes(kDigestHexOfId / 2)));
    }
    options_.wait(wait);
    wait *= 2;
  }
}

absl::StatusOr<iv::UploadSampleResponse> SampleSender::SendOnce(
    const std::string& path, const iv::UploadSpec& spec, std::atomic<std::int64_t>& sent_bytes) {
  iv::UploadSampleRequest first;
  *first.mutable_upload() = spec;
  if (!spec.upload_id().empty()) {
    grpc::ClientContext context;
    SetDeadline(context, kCallTime);
    iv::GetUploadRequest request;
    request.set_name(absl::StrCat(spec.parent(), "/uploads/", spec.upload_id()));
    iv::GetUploadResponse response;
    const absl::Status status = FromGrpcStatus(stub_.GetUpload(&context, request, &response));
    if (status.ok()) {
      first.mutable_upload()->set_offset(response.committed_bytes());
    } else if (!absl::IsNotFound(status)) {
      return status;
    }
  }
  grpc::ClientContext context;
  SetDeadline(context, kUploadTime);
  iv::UploadSampleResponse response;
  const auto writer = stub_.UploadSample(&context, &response);
  std::int64_t sent = 0;
  if (writer->Write(first)) {
    const absl::Status read = ReadPieces(path, first.upload().offset(), [&](std::string piece) {
      iv::UploadSampleRequest request;
      const auto size = static_cast<std::int64_t>(piece.size());
      request.set_data(std::move(piece));
      sent += size;
      sent_bytes += size;
      return writer->Write(request);
    });
    if (!read.ok()) {
      context.TryCancel();
      writer->Finish();
      return read;
    }
  }
  writer->WritesDone();
  const absl::Status status = FromGrpcStatus(writer->Finish());
  if (!status.ok()) {
    sent_bytes -= sent;
    return status;
  }
  return response;
}

absl::StatusOr<bool> SampleSender::IsThere(const std::string& path, const std::string& project) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string digest, DigestOf(path));
  grpc::ClientContext context;
  SetDeadline(context, kCallTime);
  iv::GetSampleRequest request;
  request.set_name(absl::StrCat(project, "/samples/", digest.substr(0, kDigestHexOfId)));
  iv::GetSampleResponse response;
  const absl::Status status = FromGrpcStatus(stub_.GetSample(&context, request, &response));
  if (absl::IsNotFound(status) || absl::IsPermissionDenied(status)) {  // Role ingest may not look.
    return false;
  }
  if (!status.ok()) {
    return status;
  }
  return true;
}

}  // namespace fieldloop::cli
