// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/export/version_reader.h"

#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/client_call.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {

namespace iv = ingestion::v1;
using Stub = iv::IngestionService::StubInterface;

absl::StatusOr<iv::DatasetVersion> GetVersion(Stub& stub, const std::string& name) {
  iv::GetDatasetVersionRequest request;
  request.set_name(name);
  FIELDLOOP_ASSIGN_OR_RETURN(iv::GetDatasetVersionResponse response,
                             CallUnary(stub, &Stub::GetDatasetVersion, request));
  return std::move(*response.mutable_dataset_version());
}

absl::Status ForEachSample(Stub& stub, const std::string& version,
                           absl::FunctionRef<absl::Status(const ExportedSample&)> sink) {
  static_assert(std::endian::native == std::endian::little);
  iv::ExportDatasetVersionRequest request;
  request.set_name(version);
  grpc::ClientContext context;
  const auto reader = stub.ExportDatasetVersion(&context, request);
  std::optional<iv::Sample> current;
  std::string data;
  const auto finish = [&]() -> absl::Status {
    if (!current.has_value()) {
      return absl::OkStatus();
    }
    ExportedSample sample{.sample = *std::move(current), .values = {}};
    current.reset();
    sample.values.resize(data.size() / sizeof(float));
    std::memcpy(sample.values.data(), data.data(), sample.values.size() * sizeof(float));
    data.clear();
    return sink(sample);
  };
  iv::ExportDatasetVersionResponse piece;
  absl::Status failure;
  while (failure.ok() && reader->Read(&piece)) {
    if (piece.has_sample()) {
      failure = finish();
      current = piece.sample();
    }
    data += piece.data();
  }
  if (!failure.ok()) {
    context.TryCancel();
    reader->Finish();
    return failure;
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  return finish();
}

}  // namespace fieldloop::cli
