// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_WATCH_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_WATCH_H_

#include <condition_variable>
#include <mutex>
#include <thread>

#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>

#include "services/distribution/domain/device_table.h"

namespace fieldloop::distribution {

// Keeps a DeviceTable as provisioning has it: a thread that follows WatchDevices, and follows it
// again after every break.
class DeviceWatch {
 public:
  // Starts. Both must outlive this object.
  DeviceWatch(provisioning::v1::ProvisioningService::StubInterface& stub, DeviceTable& devices);
  ~DeviceWatch();
  DeviceWatch(const DeviceWatch&) = delete;
  DeviceWatch& operator=(const DeviceWatch&) = delete;

 private:
  void Run();
  void Follow();

  provisioning::v1::ProvisioningService::StubInterface& stub_;
  DeviceTable& devices_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  grpc::ClientContext* context_ = nullptr;  // Of the stream that is open; guarded by mutex_.
  std::thread thread_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_WATCH_H_
