// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_WATCH_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_WATCH_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/change_signal.h"

namespace fieldloop {

// What a watcher is told of a thing as it is now.
template <typename Response>
struct Sight {
  Response response = {};
  bool last = false;  // The thing changes no more.
};

// Serves a call that watches one thing: writes what `look` returns, an absl::StatusOr<Sight>, when
// it differs from what was written before it, until the last. Looks when `changes` says so, and
// every second, because the changes of another replica do not reach it. Passes on an error of
// `look`; CANCELLED when the client has gone, UNAVAILABLE when the service stops.
template <typename Response, typename Look>
absl::Status WatchOne(grpc::ServerContext& context, grpc::ServerWriter<Response>& writer,
                      const ChangeSignal& changes, const std::function<bool()>& stopping,
                      const Look& look) {
  constexpr absl::Duration kLookAtLeastEvery = absl::Seconds(1);
  std::string written;
  while (!context.IsCancelled()) {
    const std::uint64_t seen = changes.Current();
    FIELDLOOP_ASSIGN_OR_RETURN(const Sight<Response> sight, look());
    std::string bytes = sight.response.SerializeAsString();
    if (bytes != written && !writer.Write(sight.response)) {
      break;
    }
    if (sight.last) {
      return absl::OkStatus();
    }
    if (stopping()) {
      return absl::UnavailableError("the service stops; watch again");
    }
    written = std::move(bytes);
    changes.Wait(seen, kLookAtLeastEvery);
  }
  return absl::CancelledError("the client has gone");
}

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_WATCH_H_
