// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/audit_handler.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

void ToProto(AuditEntry entry, common::v1::AuditEntry& proto) {
  AuditRecord& record = entry.record;
  proto.set_sequence(entry.sequence);
  proto.set_time_ms(record.time_ms);
  proto.set_subject(std::move(record.subject));
  proto.set_role(std::move(record.role));
  proto.set_method(std::move(record.method));
  proto.set_target(std::move(record.target));
  proto.set_outcome(std::move(record.outcome));
  proto.set_request_id(std::move(record.request_id));
  proto.set_trace_id(std::move(record.trace_id));
  proto.set_previous_hash(std::move(entry.previous_hash));
  proto.set_hash(std::move(entry.hash));
}

}  // namespace

AuditHandler::AuditHandler(AuditLog& log, Access& access) : log_(log), access_(access) {}

grpc::Status AuditHandler::ListAuditEntries(grpc::ServerContext* context,
                                            const common::v1::ListAuditEntriesRequest* request,
                                            common::v1::ListAuditEntriesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(access_, *context, "", Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(request->page_size()));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string token, DecodePageToken(request->page_token()));
    std::int64_t after = 0;
    if (!token.empty() && !absl::SimpleAtoi(token, &after)) {
      return absl::InvalidArgumentError("page_token: not one of ours");
    }
    FIELDLOOP_ASSIGN_OR_RETURN(AuditLog::Page page,
                               log_.List(after, request->since_ms(), size + 1));
    if (page.entries.size() > static_cast<std::size_t>(size)) {
      page.entries.resize(static_cast<std::size_t>(size));
      response->set_next_page_token(EncodePageToken(absl::StrCat(page.entries.back().sequence)));
    }
    for (AuditEntry& entry : page.entries) {
      ToProto(std::move(entry), *response->add_entries());
    }
    response->set_head_sequence(page.head.sequence);
    response->set_head_hash(page.head.hash);
    return absl::OkStatus();
  }());
}

}  // namespace fieldloop
