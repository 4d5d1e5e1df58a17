// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/network.h"

#include <algorithm>

#include "tests/faults/scenarios.h"

namespace fieldloop::faults {
namespace {

constexpr char kPortalText[] =
    "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Type: text/html\r\n\r\n"
    "<html><body>Please accept the terms of use.</body></html>";
constexpr int kBadConnections = 3;
constexpr uint64_t kEndlessMs = 600'000;

enum class Trouble {
  kNone,
  kToServerEnds,     // The connection ends at a byte from the device.
  kToDeviceEnds,     // ... or from the server: what was answered is lost, and asked anew.
  kToServerSilence,  // From a byte on nothing arrives, and nobody says so.
  kToDeviceSilence,
  kFewBytes,  // Each of the first connections ends after so many bytes.
  kPortal,
  kTooLargeFrame,
  kEndless,  // Frames that say nothing, for ten minutes.
  kSlow,     // One byte a second, each way.
};

// A connection in trouble.
class Wire : public Device::Link {
 public:
  Wire(const World& world, Trouble trouble, uint64_t at)
      : world_(world), trouble_(trouble), at_(at) {}

  uint64_t to_server() const { return to_server_; }
  uint64_t to_device() const { return to_device_; }

  bool Connects(Server&) override {
    ++connections_;
    here_ = 0;
    sent_ = 0;
    silent_ = false;
    since_ms_ = world_.now;
    return true;
  }

  fl_status_t Send(Server& server, const uint8_t* src, size_t size, size_t* sent) override {
    *sent = size;
    if (!server.connected()) return FL_ERR_CLOSED;
    if (Elsewhere() || silent_) return FL_OK;
    if (IsSlow()) {
      if (world_.now < next_to_server_ms_) return FL_ERR_AGAIN;
      next_to_server_ms_ = world_.now + 1000;
      *sent = size = 1;
    }
    if (trouble_ == Trouble::kToServerEnds || trouble_ == Trouble::kToServerSilence) {
      const size_t passes = Until(to_server_, size);
      to_server_ += passes;
      server.Write(src, passes);
      if (passes == size) return FL_OK;
      ++to_server_;
      if (trouble_ == Trouble::kToServerEnds) server.Disconnect();
      silent_ = true;
      return FL_OK;
    }
    to_server_ += size;
    server.Write(src, size);
    return FL_OK;
  }

  fl_status_t Receive(Server& server, uint8_t* dst, size_t capacity, size_t* size) override {
    *size = 0;
    if (!server.connected()) return FL_ERR_CLOSED;
    if (Elsewhere()) return ReceiveElsewhere(server, dst, capacity, size);
    if (silent_) return FL_ERR_AGAIN;
    if (IsSlow()) {
      if (world_.now < next_to_device_ms_) return FL_ERR_AGAIN;
      next_to_device_ms_ = world_.now + 1000;
      capacity = 1;
    }
    if (trouble_ == Trouble::kToDeviceEnds || trouble_ == Trouble::kToDeviceSilence) {
      capacity = Until(to_device_, capacity);
    }
    if (trouble_ == Trouble::kFewBytes && connections_ <= 2 * kBadConnections) {
      capacity = std::min<size_t>(capacity, at_ - here_);
      if (capacity == 0) {
        server.Disconnect();
        return FL_ERR_CLOSED;
      }
    }
    if (capacity == 0) {  // The byte at which it happens.
      ++to_device_;
      silent_ = true;
      if (trouble_ == Trouble::kToDeviceEnds) server.Disconnect();
      return trouble_ == Trouble::kToDeviceEnds ? FL_ERR_CLOSED : FL_ERR_AGAIN;
    }
    *size = server.Read(dst, capacity);
    to_device_ += *size;
    here_ += *size;
    return *size > 0 ? FL_OK : FL_ERR_AGAIN;
  }

  uint64_t NextEvent() const override {
    const bool ticks = IsSlow() || (trouble_ == Trouble::kEndless && Elsewhere());
    return ticks ? world_.now + 1000 : UINT64_MAX;
  }

 private:
  bool IsSlow() const { return trouble_ == Trouble::kSlow && connections_ <= kBadConnections; }

  // Something other than the server answers.
  bool Elsewhere() const {
    const bool other = trouble_ == Trouble::kPortal || trouble_ == Trouble::kTooLargeFrame;
    return (other && connections_ <= kBadConnections) ||
           (trouble_ == Trouble::kEndless && connections_ == 1 && to_device_ > 0 &&
            at_ <= to_device_);
  }

  fl_status_t ReceiveElsewhere(Server& server, uint8_t* dst, size_t capacity, size_t* size) {
    if (trouble_ == Trouble::kPortal) {
      if (sent_ == sizeof kPortalText - 1) {
        server.Disconnect();
        return FL_ERR_CLOSED;
      }
      *size = std::min(capacity, sizeof kPortalText - 1 - sent_);
      std::copy_n(kPortalText + sent_, *size, dst);
      sent_ += *size;
      return FL_OK;
    }
    if (trouble_ == Trouble::kTooLargeFrame) {
      *size = capacity;
      std::fill_n(dst, capacity, uint8_t{0xff});
      return FL_OK;
    }
    // An Ack of nothing: a frame of two bytes, a hundred a second.
    static constexpr uint8_t kNothing[] = {0x00, 0x02, 0x2a, 0x00};
    if (world_.now >= since_ms_ + kEndlessMs && sent_ % sizeof kNothing == 0) {
      server.Disconnect();
      return FL_ERR_CLOSED;
    }
    if (sent_ >= (world_.now - since_ms_) / 1000 * 100 * sizeof kNothing &&
        sent_ % sizeof kNothing == 0) {
      return FL_ERR_AGAIN;
    }
    *size = std::min(capacity, sizeof kNothing - sent_ % sizeof kNothing);
    std::copy_n(kNothing + sent_ % sizeof kNothing, *size, dst);
    sent_ += *size;
    return FL_OK;
  }

  // Of so many bytes, those before the one at which it happens, which happens once.
  size_t Until(uint64_t passed, size_t size) const {
    return passed <= at_ ? static_cast<size_t>(std::min<uint64_t>(size, at_ - passed)) : size;
  }

  const World& world_;
  const Trouble trouble_;
  const uint64_t at_;
  int connections_ = 0;
  uint64_t to_server_ = 0;
  uint64_t to_device_ = 0;
  uint64_t here_ = 0;  // To the device, in this connection.
  size_t sent_ = 0;
  bool silent_ = false;
  uint64_t since_ms_ = 0;
  uint64_t next_to_server_ms_ = 0;
  uint64_t next_to_device_ms_ = 0;
};

constexpr Tolerance kNetwork = {};
// A server that lies is told that what it offers is no good, and offers it again.
constexpr Tolerance kLies = {.repeated_phases = true};

class Trial {
 public:
  Trial(const Geometry& geometry, std::vector<std::string>* findings)
      : geometry_(geometry), findings_(findings) {}

  void Prepare(const Scenario& scenario) {
    std::string wrong;
    scenario_ = &scenario;
    start_ = std::make_unique<World>(StartOf(scenario, geometry_, &wrong));
    World world = *start_;
    Wire wire(world, Trouble::kNone, 0);
    Device device(world, scenario);
    device.SetLink(&wire);
    if (wrong.empty()) wrong = device.Run();
    if (!wrong.empty()) findings_->push_back(scenario.name + ", undisturbed: " + wrong);
    operations_ = world.flash.operations() - start_->flash.operations();
    to_server_ = wire.to_server();
    to_device_ = wire.to_device();
  }

  // The same start, with a server that lies.
  void Lie(const Scenario& scenario) {
    scenario_ = &scenario;
    start_->server.script = &scenario.script;
  }

  void Try(NetworkCounts& counts, Trouble trouble, uint64_t at,
           const Tolerance& tolerance = kNetwork) {
    World world = *start_;
    Wire wire(world, trouble, at);
    Device device(world, *scenario_);
    device.SetLink(&wire);
    ++counts.tried;
    const std::string wrong = device.Run(tolerance, 3 * operations_ + 200);
    if (wrong.empty()) return;
    ++counts.wrong;
    if (counts.wrong <= 3) {
      findings_->push_back(scenario_->name + ", " + counts.name + ", at " + std::to_string(at) +
                           ": " + wrong);
    }
  }

  uint64_t to_server() const { return to_server_; }
  uint64_t to_device() const { return to_device_; }

 private:
  const Geometry& geometry_;
  std::vector<std::string>* findings_;
  const Scenario* scenario_ = nullptr;
  std::unique_ptr<World> start_;
  uint64_t operations_ = 0;
  uint64_t to_server_ = 0;
  uint64_t to_device_ = 0;
};

}  // namespace

std::vector<NetworkCounts> TryNetwork(const Geometry& geometry, uint64_t stride,
                                      std::vector<std::string>* findings) {
  NetworkCounts ends = {"connection ends at a byte"};
  NetworkCounts silence = {"silence from a byte on"};
  NetworkCounts few = {"connections end early"};
  NetworkCounts portal = {"portal's HTML"};
  NetworkCounts large = {"frames too large"};
  NetworkCounts endless = {"endless data"};
  NetworkCounts slow = {"one byte a second"};
  NetworkCounts lies = {"server lies"};
  Trial trial(geometry, findings);
  for (const Scenario& scenario : Scenarios(geometry)) {
    trial.Prepare(scenario);
    for (uint64_t at = stride / 2; at < trial.to_server(); at += stride) {
      trial.Try(ends, Trouble::kToServerEnds, at);
      if (at % 4 == 0) trial.Try(silence, Trouble::kToServerSilence, at);
    }
    for (uint64_t at = stride / 2; at < trial.to_device(); at += stride) {
      trial.Try(ends, Trouble::kToDeviceEnds, at);
      if (at % 4 == 0) trial.Try(silence, Trouble::kToDeviceSilence, at);
    }
    for (uint64_t bytes = 1; bytes < 1500; bytes += 13 * stride)
      trial.Try(few, Trouble::kFewBytes, bytes);
    trial.Try(portal, Trouble::kPortal, 0);
    trial.Try(large, Trouble::kTooLargeFrame, 0);
    for (uint64_t at = 1; at < trial.to_device(); at += 97 * stride) {
      trial.Try(endless, Trouble::kEndless, at);
    }
    trial.Try(slow, Trouble::kSlow, 0);
  }
  for (const Script::Lie lie : Script::Lies()) {
    for (const Scenario& scenario : Scenarios(geometry)) {
      if (scenario.script.offers.size() != 2) continue;
      Scenario lying = scenario;
      lying.script.lie = lie;
      trial.Prepare(scenario);
      trial.Lie(lying);
      trial.Try(lies, Trouble::kNone, static_cast<uint64_t>(lie), kLies);
    }
  }
  return {ends, silence, few, portal, large, endless, slow, lies};
}

}  // namespace fieldloop::faults
