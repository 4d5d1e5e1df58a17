// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_AUDIT_HANDLER_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_AUDIT_HANDLER_H_

#include <fieldloop/common/v1/audit_service.grpc.pb.h>

#include "services/common/access/access.h"
#include "services/common/audit/audit_log.h"

namespace fieldloop {

// AuditService over the log of one service.
class AuditHandler final : public common::v1::AuditService::Service {
 public:
  // Both must outlive this object.
  AuditHandler(AuditLog& log, Access& access);

  grpc::Status ListAuditEntries(grpc::ServerContext* context,
                                const common::v1::ListAuditEntriesRequest* request,
                                common::v1::ListAuditEntriesResponse* response) override;

 private:
  AuditLog& log_;
  Access& access_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_AUDIT_HANDLER_H_
