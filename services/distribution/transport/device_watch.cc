// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/device_watch.h"

#include <chrono>

#include "services/common/grpc/grpc_status.h"
#include "services/common/log/log.h"
#include "services/distribution/transport/grpc_backends.h"

namespace fieldloop::distribution {
namespace {

constexpr std::chrono::seconds kPause{1};  // Before the next attempt.

}  // namespace

DeviceWatch::DeviceWatch(provisioning::v1::ProvisioningService::StubInterface& stub,
                         DeviceTable& devices)
    : stub_(stub), devices_(devices), thread_([this] { Run(); }) {}

DeviceWatch::~DeviceWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    if (context_ != nullptr) {
      context_->TryCancel();
    }
  }
  stopped_.notify_all();
  thread_.join();
}

void DeviceWatch::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    lock.unlock();
    Follow();
    lock.lock();
    stopped_.wait_for(lock, kPause, [&] { return stop_; });
  }
}

void DeviceWatch::Follow() {
  grpc::ClientContext context;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stop_) {
      return;
    }
    context_ = &context;
  }
  provisioning::v1::WatchDevicesRequest request;
  request.set_after_revision(devices_.revision());
  const auto reader = stub_.WatchDevices(&context, request);
  provisioning::v1::WatchDevicesResponse response;
  while (reader->Read(&response)) {
    devices_.Apply(FromProto(response.device()));
    devices_.Advance(response.device().revision());
  }
  const absl::Status status = FromGrpcStatus(reader->Finish());
  const std::lock_guard<std::mutex> lock(mutex_);
  context_ = nullptr;
  if (!stop_) {
    spdlog::warn("watching devices: {}", status.ToString());
  }
}

}  // namespace fieldloop::distribution
