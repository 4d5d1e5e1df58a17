// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_LISTENER_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_LISTENER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/distribution/transport/device_conversation.h"

namespace fieldloop::distribution {

struct DeviceListenerOptions {
  std::string address = "127.0.0.1:0";
  std::string certificate_file;  // Own chain, PEM.
  std::string key_file;          // PEM.
  std::string device_ca_file;    // Who signs devices, PEM.
  int max_connections = 10'000;  // Beyond it devices are told to come back.
  int io_threads = 2;
  int local_workers = 16;   // For what needs the database only.
  int remote_workers = 32;  // For what needs another service.
  int max_waiting = 4'000;  // Messages that wait for a worker; beyond it new sessions are refused.
  absl::Duration handshake_timeout = absl::Seconds(10);  // Also until the Hello.
  absl::Duration write_timeout = absl::Seconds(30);      // Until the device has taken an answer.
  // How long after its end a certificate still renews itself, which is all that it does then.
  absl::Duration renewal_grace = absl::Hours(24 * 365);
};

// Speaks the device protocol over TLS. Sockets are served by a few threads that never block;
// messages are worked on by two pools of workers, those of one session in their order, one at a
// time: a session holds one frame and one answer in memory, and a slow device waits for itself
// alone.
class DeviceListener {
 public:
  // Listens and serves; sessions of devices that become revoked end, by DeviceTable::OnRevoked,
  // which is the listener's own. What `services` refers to must outlive it, and DeviceTable::Apply
  // must not be called from elsewhere while it starts or ends. INVALID_ARGUMENT if a file cannot be
  // used; UNAVAILABLE naming the address if it is taken.
  static absl::StatusOr<std::unique_ptr<DeviceListener>> Start(const DeviceListenerOptions& options,
                                                               DeviceServices services);
  // Ends all sessions; messages that are worked on are finished first.
  ~DeviceListener();
  DeviceListener(const DeviceListener&) = delete;
  DeviceListener& operator=(const DeviceListener&) = delete;

  // The bound address, "127.0.0.1:43211".
  const std::string& address() const;

 private:
  struct State;
  explicit DeviceListener(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_LISTENER_H_
