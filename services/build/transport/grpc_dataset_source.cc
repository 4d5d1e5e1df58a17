// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/grpc_dataset_source.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <grpcpp/client_context.h>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::chrono::seconds kCallDeadline{30};
// Ends an export whose other side no longer answers.
constexpr std::chrono::hours kExportDeadline{2};
constexpr std::int64_t kMaxSampleBytes = 256 << 20;

// Puts samples together from the pieces of the stream.
class SampleAssembler {
 public:
  explicit SampleAssembler(absl::FunctionRef<absl::Status(const SourceSample&)> sink)
      : sink_(sink) {}

  absl::Status Take(const ingestion::v1::ExportDatasetVersionResponse& message) {
    if (message.has_sample()) {
      FIELDLOOP_RETURN_IF_ERROR(Finish());
      FIELDLOOP_RETURN_IF_ERROR(Begin(message.sample()));
    }
    if (message.data().empty()) {
      return absl::OkStatus();
    }
    if (!sample_.has_value()) {
      return absl::DataLossError("the export sent data before a sample");
    }
    if (data_.size() + message.data().size() > expected_bytes_) {
      return absl::DataLossError(
          absl::StrCat(sample_->name, ": more data than its ", expected_bytes_, " bytes"));
    }
    data_ += message.data();
    return absl::OkStatus();
  }

  // Hands over the last sample.
  absl::Status Finish() {
    if (!sample_.has_value()) {
      return absl::OkStatus();
    }
    if (data_.size() != expected_bytes_) {
      return absl::DataLossError(
          absl::StrCat(sample_->name, ": got ", data_.size(), " bytes, want ", expected_bytes_));
    }
    sample_->values.resize(data_.size() / sizeof(float));
    // float32, little endian, as is this machine's.
    std::memcpy(sample_->values.data(), data_.data(), data_.size());
    FIELDLOOP_RETURN_IF_ERROR(sink_(*sample_));
    sample_.reset();
    data_.clear();
    return absl::OkStatus();
  }

 private:
  absl::Status Begin(const ingestion::v1::Sample& proto) {
    const std::int64_t readings = proto.readings();
    const std::int64_t axes = proto.axes_size();
    constexpr auto kValueBytes = static_cast<std::int64_t>(sizeof(float));
    if (readings < 0 || axes < 1 || readings > kMaxSampleBytes / kValueBytes / axes) {
      return absl::InvalidArgumentError(absl::StrCat(proto.name(), ": got ", readings,
                                                     " readings of ", axes, " axes, want at most ",
                                                     kMaxSampleBytes, " bytes"));
    }
    expected_bytes_ = static_cast<std::size_t>(readings * axes * kValueBytes);
    SourceSample sample;
    sample.name = proto.name();
    sample.digest = proto.digest();
    sample.axes.assign(proto.axes().begin(), proto.axes().end());
    sample.frequency_hz = proto.frequency_hz();
    switch (proto.split()) {
      case ingestion::v1::SPLIT_TRAINING:
        break;
      case ingestion::v1::SPLIT_TESTING:
        sample.testing = true;
        break;
      default:
        return absl::DataLossError(absl::StrCat(proto.name(), ": on no side"));
    }
    sample.from_device = proto.source() == ingestion::v1::SAMPLE_SOURCE_DEVICE;
    sample.device = proto.device().device();
    sample.metadata.insert(proto.metadata().begin(), proto.metadata().end());
    for (const ingestion::v1::LabelRange& range : proto.labels()) {
      sample.labels.push_back(
          {.start = range.start_reading(), .end = range.end_reading(), .label = range.label()});
    }
    sample_ = std::move(sample);
    return absl::OkStatus();
  }

  absl::FunctionRef<absl::Status(const SourceSample&)> sink_;
  std::optional<SourceSample> sample_;
  std::string data_;
  std::size_t expected_bytes_ = 0;
};

}  // namespace

GrpcDatasetSource::GrpcDatasetSource(const std::shared_ptr<grpc::Channel>& ingestion)
    : stub_(ingestion::v1::IngestionService::NewStub(ingestion)) {}

absl::StatusOr<DatasetVersionInfo> GrpcDatasetSource::GetVersion(absl::string_view name) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
  ingestion::v1::GetDatasetVersionRequest request;
  request.set_name(std::string(name));
  ingestion::v1::GetDatasetVersionResponse response;
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(stub_->GetDatasetVersion(&context, request, &response)));
  return DatasetVersionInfo{.digest = response.dataset_version().digest(),
                            .sample_count = response.dataset_version().sample_count()};
}

absl::Status GrpcDatasetSource::Export(absl::string_view name, std::stop_token stop,
                                       absl::FunctionRef<absl::Status(const SourceSample&)> sink) {
  ingestion::v1::ExportDatasetVersionRequest request;
  request.set_name(std::string(name));
  return Stream(request, std::move(stop), sink);
}

absl::Status GrpcDatasetSource::ExportTesting(
    absl::string_view name, std::stop_token stop,
    absl::FunctionRef<absl::Status(const SourceSample&)> sink) {
  ingestion::v1::ExportDatasetVersionRequest request;
  request.set_name(std::string(name));
  request.set_split(ingestion::v1::SPLIT_TESTING);
  return Stream(request, std::move(stop), sink);
}

absl::Status GrpcDatasetSource::Stream(const ingestion::v1::ExportDatasetVersionRequest& request,
                                       std::stop_token stop,
                                       absl::FunctionRef<absl::Status(const SourceSample&)> sink) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kExportDeadline);
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  const auto reader = stub_->ExportDatasetVersion(&context, request);
  SampleAssembler assembler(sink);
  ingestion::v1::ExportDatasetVersionResponse message;
  while (reader->Read(&message)) {
    if (const absl::Status status = assembler.Take(message); !status.ok()) {
      context.TryCancel();
      while (reader->Read(&message)) {  // What is on its way is read before a stream can end.
      }
      reader->Finish();
      return status;
    }
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  return assembler.Finish();
}

}  // namespace fieldloop::build
