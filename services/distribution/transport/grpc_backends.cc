// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/grpc_backends.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/grpc/client_call.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {
namespace {

// A device waits for the answer: longer than this it would rather come back.
constexpr absl::Duration kCallTimeout = absl::Seconds(10);
constexpr absl::Duration kDownloadTimeout = absl::Seconds(120);
constexpr int kListPageSize = 1000;

absl::StatusOr<Release> FromProto(const build::v1::Release& proto) {
  Release release;
  release.name = proto.name();
  release.model = proto.model();
  release.sequence = proto.content().sequence();
  if (proto.content().expires_s() != 0) {
    release.expire_time =
        absl::FromUnixSeconds(static_cast<std::int64_t>(proto.content().expires_s()));
  }
  release.hardware_ids = {proto.content().hardware_ids().begin(),
                          proto.content().hardware_ids().end()};
  for (const agent::v1::ReleaseComponent& component : proto.content().components()) {
    if (component.kind() < agent::v1::COMPONENT_KIND_MODEL ||
        component.kind() > agent::v1::COMPONENT_KIND_CONFIGURATION) {
      // Nobody could tell whether a device has confirmed it.
      return absl::FailedPreconditionError(absl::StrCat(
          proto.name(), " has a component of kind ", static_cast<int>(component.kind()),
          ", which this version of distribution does not know"));
    }
    release.components.push_back({.kind = static_cast<ComponentKind>(component.kind()),
                                  .digest = ToHex(component.digest()),
                                  .version = component.version()});
    release.artifact_digests.push_back(ToHex(component.digest()));
    for (const agent::v1::ArtifactForm& form : component.forms()) {
      release.artifact_digests.push_back(ToHex(form.digest()));
    }
  }
  if (release.components.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(proto.name(), " has no component"));
  }
  release.manifest = proto.manifest().SerializeAsString();
  release.is_signed = proto.signed_();
  return release;
}

class GrpcDeviceIdentity final : public DeviceIdentity {
 public:
  using Stub = provisioning::v1::ProvisioningService::StubInterface;
  explicit GrpcDeviceIdentity(Stub& stub) : stub_(stub) {}

  absl::StatusOr<IssuedCertificate> Enroll(const std::string& project, const std::string& token,
                                           const std::string& csr,
                                           const std::string& hardware_id) override {
    provisioning::v1::EnrollDeviceRequest request;
    request.set_parent(project);
    request.set_token(token);
    request.set_csr(csr);
    request.set_hardware_id(hardware_id);
    FIELDLOOP_ASSIGN_OR_RETURN(const provisioning::v1::EnrollDeviceResponse response,
                               CallUnary(stub_, &Stub::EnrollDevice, request, kCallTimeout));
    return IssuedCertificate{.device = distribution::FromProto(response.device()),
                             .certificate = response.certificate(),
                             .issuer = response.issuer()};
  }

  absl::StatusOr<IssuedCertificate> Renew(const std::string& device,
                                          const std::string& csr) override {
    provisioning::v1::RenewDeviceCertificateRequest request;
    request.set_name(device);
    request.set_csr(csr);
    FIELDLOOP_ASSIGN_OR_RETURN(
        const provisioning::v1::RenewDeviceCertificateResponse response,
        CallUnary(stub_, &Stub::RenewDeviceCertificate, request, kCallTimeout));
    return IssuedCertificate{.device = distribution::FromProto(response.device()),
                             .certificate = response.certificate(),
                             .issuer = response.issuer()};
  }

  absl::StatusOr<Device> GetDevice(const std::string& device) override {
    provisioning::v1::GetDeviceRequest request;
    request.set_name(device);
    FIELDLOOP_ASSIGN_OR_RETURN(const provisioning::v1::GetDeviceResponse response,
                               CallUnary(stub_, &Stub::GetDevice, request, kCallTimeout));
    return distribution::FromProto(response.device());
  }

  absl::StatusOr<std::vector<Device>> ListDevices(const std::string& project) override {
    std::vector<Device> devices;
    provisioning::v1::ListDevicesRequest request;
    request.set_parent(project);
    request.set_page_size(kListPageSize);
    do {
      FIELDLOOP_ASSIGN_OR_RETURN(const provisioning::v1::ListDevicesResponse response,
                                 CallUnary(stub_, &Stub::ListDevices, request, kCallTimeout));
      for (const provisioning::v1::Device& device : response.devices()) {
        devices.push_back(distribution::FromProto(device));
      }
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return devices;
  }

 private:
  Stub& stub_;
};

class GrpcReleaseRegistry final : public ReleaseRegistry {
 public:
  using Stub = build::v1::BuildService::StubInterface;
  explicit GrpcReleaseRegistry(Stub& stub) : stub_(stub) {}

  absl::StatusOr<Release> GetRelease(const std::string& name) override {
    build::v1::GetReleaseRequest request;
    request.set_name(name);
    FIELDLOOP_ASSIGN_OR_RETURN(const build::v1::GetReleaseResponse response,
                               CallUnary(stub_, &Stub::GetRelease, request, kCallTimeout));
    return FromProto(response.release());
  }

  absl::StatusOr<ModelFacts> GetModel(const std::string& project,
                                      const std::string& digest) override {
    build::v1::ListModelsRequest request;
    request.set_parent(project);
    request.set_page_size(1);
    request.set_digest(digest);
    FIELDLOOP_ASSIGN_OR_RETURN(const build::v1::ListModelsResponse response,
                               CallUnary(stub_, &Stub::ListModels, request, kCallTimeout));
    if (response.models().empty()) {
      return absl::NotFoundError(absl::StrCat("no model with digest ", digest));
    }
    const build::v1::Model& model = response.models(0);
    return ModelFacts{
        .axes = {model.metadata().window().axes().begin(), model.metadata().window().axes().end()},
        .classes = {model.classes().begin(), model.classes().end()}};
  }

  absl::StatusOr<std::vector<RootDocument>> ListRoots(std::uint32_t after_version) override {
    build::v1::ListRootsRequest request;
    request.set_after_version(after_version);
    FIELDLOOP_ASSIGN_OR_RETURN(const build::v1::ListRootsResponse response,
                               CallUnary(stub_, &Stub::ListRoots, request, kCallTimeout));
    std::vector<RootDocument> roots;
    for (const agent::v1::SignedDocument& root : response.roots()) {
      agent::v1::RootDocument content;
      if (!content.ParseFromString(root.payload())) {
        return absl::DataLossError("a root document cannot be read");
      }
      roots.push_back({.version = content.version(), .document = root.SerializeAsString()});
    }
    return roots;
  }

  absl::Status DownloadArtifact(const std::string& project, const std::string& digest,
                                absl::FunctionRef<absl::Status(absl::string_view)> sink) override {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kDownloadTimeout));
    build::v1::DownloadArtifactRequest request;
    request.set_parent(project);
    request.set_digest(digest);
    const auto reader = stub_.DownloadArtifact(&context, request);
    build::v1::DownloadArtifactResponse response;
    absl::Status status;
    while (status.ok() && reader->Read(&response)) {
      status = sink(response.data());
    }
    if (!status.ok()) {
      context.TryCancel();
    }
    const absl::Status finished = FromGrpcStatus(reader->Finish());
    return status.ok() ? finished : status;
  }

 private:
  Stub& stub_;
};

class GrpcSketchArchive final : public SketchArchive {
 public:
  using Stub = evaluation::v1::EvaluationService::StubInterface;
  explicit GrpcSketchArchive(Stub& stub) : stub_(stub) {}

  absl::Status Record(const Sketch& sketch) override {
    evaluation::v1::RecordSketchRequest request;
    evaluation::v1::Sketch& proto = *request.mutable_sketch();
    proto.set_device(sketch.device);
    proto.set_sequence(sketch.sequence);
    proto.set_model_digest(sketch.model_digest);
    proto.set_reference_id(sketch.reference_id);
    *proto.mutable_start_time() = ToTimestamp(sketch.start_time);
    proto.set_period_ms(sketch.period_ms);
    proto.set_windows(sketch.windows);
    proto.set_failures(sketch.failures);
    for (const std::int64_t count : sketch.class_counts) {
      proto.add_class_counts(count);
    }
    for (const ChannelSketch& channel : sketch.channels) {
      evaluation::v1::ChannelSketch& added = *proto.add_channels();
      for (const std::int64_t bin : channel.bins) {
        added.add_bins(bin);
      }
      added.set_mean(channel.mean);
      added.set_m2(channel.m2);
      added.set_min(channel.min);
      added.set_max(channel.max);
    }
    return CallUnary(stub_, &Stub::RecordSketch, request, kCallTimeout).status();
  }

 private:
  Stub& stub_;
};

class GrpcSampleArchive final : public SampleArchive {
 public:
  using Stub = ingestion::v1::IngestionService::StubInterface;
  explicit GrpcSampleArchive(Stub& stub) : stub_(stub) {}

  absl::Status Record(const DeviceSample& sample) override {
    ingestion::v1::RecordDeviceSampleRequest request;
    request.set_parent(ProjectOf(sample.device));
    ingestion::v1::DeviceProvenance& device = *request.mutable_device();
    device.set_device(sample.device);
    device.set_model_digest(sample.model_digest);
    device.set_reason(sample.reason);
    device.set_probability(sample.probability);
    device.set_predicted_label(sample.predicted_label);
    device.set_confidence(sample.confidence);
    *device.mutable_start_time() = ToTimestamp(sample.start_time);
    request.set_payload(sample.payload);
    for (const std::string& axis : sample.axes) {
      request.add_axes(axis);
    }
    request.set_frequency_hz(sample.frequency_hz);
    request.mutable_metadata()->insert(sample.metadata.begin(), sample.metadata.end());
    request.set_sequence(sample.sequence);
    return CallUnary(stub_, &Stub::RecordDeviceSample, request, kCallTimeout).status();
  }

 private:
  Stub& stub_;
};

}  // namespace

Device FromProto(const provisioning::v1::Device& proto) {
  return {.name = proto.name(),
          .hardware_id = proto.hardware_id(),
          .attributes = {proto.attributes().begin(), proto.attributes().end()},
          .revoked = proto.state() != provisioning::v1::Device::STATE_ACTIVE,
          .revision = proto.revision()};
}

std::unique_ptr<DeviceIdentity> MakeGrpcDeviceIdentity(
    provisioning::v1::ProvisioningService::StubInterface& stub) {
  return std::make_unique<GrpcDeviceIdentity>(stub);
}
std::unique_ptr<ReleaseRegistry> MakeGrpcReleaseRegistry(
    build::v1::BuildService::StubInterface& stub) {
  return std::make_unique<GrpcReleaseRegistry>(stub);
}
std::unique_ptr<SketchArchive> MakeGrpcSketchArchive(
    evaluation::v1::EvaluationService::StubInterface& stub) {
  return std::make_unique<GrpcSketchArchive>(stub);
}
std::unique_ptr<SampleArchive> MakeGrpcSampleArchive(
    ingestion::v1::IngestionService::StubInterface& stub) {
  return std::make_unique<GrpcSampleArchive>(stub);
}

}  // namespace fieldloop::distribution
