// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_COMMANDS_PAGING_H_
#define FIELDLOOP_SERVICES_CLI_COMMANDS_PAGING_H_

#include "absl/status/status.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {

// Fetches every page of a List method and passes each response to `use`.
template <typename Stub, typename Request, typename Response, typename Use>
absl::Status ForEachPage(Stub& stub,
                         grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                      Response*),
                         Request request, const Use& use) {
  request.set_page_size(1000);
  for (;;) {
    FIELDLOOP_ASSIGN_OR_RETURN(const Response response, CallUnary(stub, method, request));
    use(response);
    if (response.next_page_token().empty()) {
      return absl::OkStatus();
    }
    request.set_page_token(response.next_page_token());
  }
}

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_COMMANDS_PAGING_H_
