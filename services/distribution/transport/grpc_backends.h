// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_GRPC_BACKENDS_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_GRPC_BACKENDS_H_

#include <memory>

#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <fieldloop/evaluation/v1/evaluation_service.grpc.pb.h>
#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>

#include "services/distribution/domain/backends.h"

// The other services, reached over gRPC. Stubs must outlive what is made from them.
namespace fieldloop::distribution {

std::unique_ptr<DeviceIdentity> MakeGrpcDeviceIdentity(
    provisioning::v1::ProvisioningService::StubInterface& stub);
std::unique_ptr<ReleaseRegistry> MakeGrpcReleaseRegistry(
    build::v1::BuildService::StubInterface& stub);
std::unique_ptr<SketchArchive> MakeGrpcSketchArchive(
    evaluation::v1::EvaluationService::StubInterface& stub);
std::unique_ptr<SampleArchive> MakeGrpcSampleArchive(
    ingestion::v1::IngestionService::StubInterface& stub);

Device FromProto(const provisioning::v1::Device& proto);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_GRPC_BACKENDS_H_
