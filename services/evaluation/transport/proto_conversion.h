// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_PROTO_CONVERSION_H_
#define FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_PROTO_CONVERSION_H_

#include <fieldloop/evaluation/v1/evaluation_service.pb.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/cycle.h"
#include "services/evaluation/domain/drift.h"
#include "services/evaluation/domain/evaluation.h"
#include "services/evaluation/domain/policy.h"
#include "services/evaluation/domain/sketch.h"

namespace fieldloop::evaluation {

v1::Evaluation ToProto(const Evaluation& evaluation);
v1::FieldMetrics ToProto(const FieldMetrics& metrics);
v1::DriftReport ToProto(const DriftReport& report);
v1::Policy ToProto(const PolicyVersion& policy);
v1::Cycle ToProto(const Cycle& cycle);

// What a client may set.
Evaluation FromProto(const v1::Evaluation& proto);
// INVALID_ARGUMENT if the sequence is beyond 2^63 or the time is none.
absl::StatusOr<Sketch> FromProto(const v1::Sketch& proto);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_PROTO_CONVERSION_H_
