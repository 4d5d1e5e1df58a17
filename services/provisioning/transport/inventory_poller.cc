// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/transport/inventory_poller.h"

#include <spdlog/spdlog.h>

namespace fieldloop::provisioning {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(30);

}  // namespace

InventoryPoller::InventoryPoller(ProvisioningStore& store, ProvisioningMetrics& metrics,
                                 const Clock& clock)
    : store_(store), metrics_(metrics), clock_(clock) {
  Poll();
  thread_ = std::thread([this] {
    for (stop_.Wait(0, kInterval); !stop_.stopped(); stop_.Wait(0, kInterval)) {
      Poll();
    }
  });
}

InventoryPoller::~InventoryPoller() {
  stop_.Stop();
  thread_.join();
}

void InventoryPoller::Poll() {
  const absl::StatusOr<Inventory> inventory = store_.Count(clock_.Now());
  if (inventory.ok()) {
    metrics_.SetInventory(*inventory);
  } else {
    spdlog::warn("cannot count devices and tokens: {}", inventory.status().ToString());
  }
}

}  // namespace fieldloop::provisioning
