// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_PROTO_TIME_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_PROTO_TIME_H_

#include <google/protobuf/timestamp.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop {

// Cut to microseconds, as the services store times. `time` is in the years 1 to 9999.
google::protobuf::Timestamp ToTimestamp(absl::Time time);

// INVALID_ARGUMENT, which names `field`, outside what google/protobuf/timestamp.proto allows: the
// years 1 to 9999 and 0 to 999,999,999 ns.
absl::StatusOr<absl::Time> FromTimestamp(absl::string_view field,
                                         const google::protobuf::Timestamp& timestamp);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_PROTO_TIME_H_
