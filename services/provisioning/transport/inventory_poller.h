// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_INVENTORY_POLLER_H_
#define FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_INVENTORY_POLLER_H_

#include <thread>

#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/provisioning/domain/provisioning_store.h"
#include "services/provisioning/transport/provisioning_metrics.h"

namespace fieldloop::provisioning {

// Keeps the gauges at what the store holds: at once, and every half minute from then on, because
// tokens expire and other replicas work too. The destructor ends its thread.
class InventoryPoller {
 public:
  // All must outlive this object.
  InventoryPoller(ProvisioningStore& store, ProvisioningMetrics& metrics, const Clock& clock);
  ~InventoryPoller();
  InventoryPoller(const InventoryPoller&) = delete;
  InventoryPoller& operator=(const InventoryPoller&) = delete;

 private:
  void Poll();

  ProvisioningStore& store_;
  ProvisioningMetrics& metrics_;
  const Clock& clock_;
  ChangeSignal stop_;
  std::thread thread_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_INVENTORY_POLLER_H_
