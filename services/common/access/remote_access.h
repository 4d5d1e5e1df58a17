// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_ACCESS_REMOTE_ACCESS_H_
#define FIELDLOOP_SERVICES_COMMON_ACCESS_REMOTE_ACCESS_H_

#include <memory>
#include <string>

#include <grpcpp/channel.h>

#include "services/common/access/access.h"
#include "services/common/clock/clock.h"

namespace fieldloop {

// Asks the provisioning service, and remembers a yes for ten seconds: a revoked token passes no
// longer than that.
std::unique_ptr<Access> MakeRemoteAccess(std::shared_ptr<grpc::Channel> provisioning,
                                         const Clock& clock);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_ACCESS_REMOTE_ACCESS_H_
