// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_AUDIT_INTERCEPTOR_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_AUDIT_INTERCEPTOR_H_

#include <memory>
#include <string>

#include <google/protobuf/message.h>
#include <grpcpp/support/server_interceptor.h>

#include "services/common/audit/audit_log.h"
#include "services/common/clock/clock.h"

namespace fieldloop {

// True if calls of the method, "/fieldloop.build.v1.BuildService/CreateBuild", are in the audit
// log: those of the contracts that may change something, but for the ones that carry data at the
// rate of devices and of labelling (docs/operations.md).
bool IsAudited(const std::string& method);

// The name of the one resource in a response, "projects/motor/builds/7"; "" if it has none.
std::string NameOfResource(const google::protobuf::Message& response);

// Around every audited call of a known caller: appends a record when the handler has ended, before
// the answer is sent. What cannot be recorded is not acknowledged: a call that was carried out then
// ends with UNAVAILABLE. To stand before the interceptor that counts.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeAuditInterceptorFactory(
    AuditLog& log, const Clock& clock);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_AUDIT_INTERCEPTOR_H_
