// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_CLIENT_REPEAT_H_
#define FIELDLOOP_SERVICES_CLI_CLIENT_REPEAT_H_

#include <string>

#include <grpcpp/client_context.h>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/cli/client/output.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::cli {

// What commands repeat by themselves, beyond the calls that every channel repeats
// (client_policy.h).

// A new request_id: what is sent again after a broken connection is done once.
inline std::string NewRequestId() { return ToHex(RandomBytes(16)); }

// Waits that double, for what is tried again while a replica is away. Not thread-safe.
class Patience {
 public:
  // Gives up after a wait of `longest`: after about twice that time in all.
  explicit Patience(absl::Duration longest) : longest_(longest) {}

  // Forgets what went before, as there was progress.
  void Reset() { wait_ = kFirstWait; }

  // Waits; false, at once, when it has been tried for long enough.
  bool Wait() {
    if (wait_ > longest_) {
      return false;
    }
    absl::SleepFor(wait_);
    wait_ *= 2;
    return true;
  }

 private:
  static constexpr absl::Duration kFirstWait = absl::Milliseconds(250);
  const absl::Duration longest_;
  absl::Duration wait_ = kFirstWait;
};

// The StatusOr that `call` returns, tried again while it is UNAVAILABLE: for what may be done twice
// although its method is not marked so.
template <typename Call>
auto Patiently(Call call) -> decltype(call()) {
  Patience patience(absl::Seconds(2));
  for (;;) {
    auto result = call();
    if (!absl::IsUnavailable(result.status()) || !patience.Wait()) {
      return result;
    }
  }
}

// Follow for a stream that is opened again, by `open` within the given context, when the replica
// that sends it goes: for half a minute without news. It then says again what it said last.
template <typename Response, typename Open>
absl::Status FollowOn(const Client& client, Open open,
                      const std::function<std::string(const Response&)>& line, Response& last) {
  Patience patience(absl::Seconds(16));
  for (;;) {
    grpc::ClientContext context;
    const auto reader = open(context);
    const std::string before = last.SerializeAsString();
    const absl::Status status = Follow<Response>(client, *reader, line, last);
    if (last.SerializeAsString() != before) {
      patience.Reset();
    }
    if (!absl::IsUnavailable(status) || !patience.Wait()) {
      return status;
    }
  }
}

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_CLIENT_REPEAT_H_
