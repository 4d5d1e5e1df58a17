// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_NETWORK_ISOLATION_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_NETWORK_ISOLATION_H_

namespace fieldloop::build {

// Moves the calling process, which has one thread, to a network of its own that holds nothing but a
// loopback, in a user namespace of its own if the system allows one. Returns 0, or the errno that
// kept the process where it was. Safe between fork and exec.
int LeaveNetwork();

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_NETWORK_ISOLATION_H_
