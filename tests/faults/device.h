// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_DEVICE_H_
#define FIELDLOOP_TESTS_FAULTS_DEVICE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/identity_store.h"
#include "fieldloop_agent/agent.h"
#include "tests/faults/flash_model.h"
#include "tests/faults/mutation.h"
#include "tests/faults/server.h"
#include "tests/faults/visited.h"

namespace fieldloop::faults {

// What a device must have come to.
struct Goal {
  std::string running;   // Digest of the confirmed model; empty for any or none.
  uint64_t release = 0;  // That has ended ...
  v1::UpdatePhase ended = v1::UPDATE_PHASE_UNSPECIFIED;  // ... like this.
  uint32_t settings_version = 0;
  uint32_t root_version = 0;
  uint64_t certificate_from = 0;  // The certificate is at least this new.
  bool whole_set = false;         // The configuration and the firmware of the release run, too.
  bool all_windows = false;       // Every window of the scenario was seen and told.
};

// The image that a device comes with.
const std::string& FactoryFirmware();

// One story of a device and a server.
struct Scenario {
  std::string name;
  Script script;
  Goal goal;
  // A device that has been made, or one that runs and has confirmed a model.
  enum Start { kNew, kRunning } start = kRunning;
  bool certificate_ends = false;  // Two thirds of its life are over at the start.
  uint32_t window_values = 8;     // Floats in a window.
  int windows = 0;                // Of the scenario; 0 for as many as it takes.
  bool offline_windows = false;   // The server is away until all of them were seen.
  bool may_drop = false;          // More is kept than there is room for.
  bool twice = false;             // Power is cut a second time in every recovery.
};

// What was seen to be so, and has to stay.
struct Seen {
  bool enrolled = false;
  bool had_model = false;
  uint64_t confirmed_release = 0;
  std::set<std::string> refused;
  std::set<uint64_t> durable_sketches;  // By start.
  std::set<uint64_t> durable_samples;
  std::map<std::string, int> starts_of_bad;  // Failed self-tests, by digest.
  uint64_t Hash() const;
};

// What must outlive a power cut, and all that the next start depends on. A copy is a snapshot.
struct World {
  explicit World(const Geometry& geometry) : flash(geometry) {}

  FlashModel flash;
  Server server;
  uint64_t now = 0;
  uint64_t signal_ms = kNowMs;
  int boots = 0;
  int windows_seen = 0;  // Where the scenario has a number of them.
  Shared<Seen> seen;

  uint64_t Hash() const;
};

// What the checks allow because of the fault that is tried.
struct Tolerance {
  bool lost_uplinks = false;  // Flash that does not write, or changes, loses what it holds.
  bool no_model = false;      // Until the server has given it anew.
  bool repeated_phases = false;
  bool older_state = false;  // The newest record was lost: the one before it counts.
  bool mixed_sets = false;   // The bootloader cannot read the firmware to go back to.
  bool own_end = false;      // The goal need not be reached; if it is not, the run takes an hour.
};

// Where a run notes the states that it went through, if it reaches its goal, and ends early when it
// comes to one from which it was reached before.
struct Memory {
  Visited* states = nullptr;
  // States from which more than this run tries was tried; may be null.
  const Visited* also = nullptr;
  uint64_t* faults = nullptr;  // Counter of those that are tried on the way; may be null.
};

// A power that is given to a world: the agent, its port and its application.
class Device {
 public:
  // Both must outlive the device.
  Device(World& world, const Scenario& scenario, Mutation mutation = Mutation::kNone);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Runs, with restarts, until the goal of the scenario is reached. Returns what went wrong; empty
  // for nothing.
  std::string Run(const Tolerance& tolerance = {}, uint64_t operations_allowed = UINT64_MAX / 2,
                  const Memory& memory = {});

  fl_port_t& port() { return port_; }
  int restarts() const { return restarts_; }
  int connections() const { return connections_; }
  uint32_t dropped() const { return agent_.outbox.dropped; }
  // A server that knows the device answered since the start; was also told what runs.
  bool was_heard() const { return agent_.session.contacted; }
  bool told_what_runs() const {
    return was_heard() && !agent_.session.state_needed && agent_.sent.state_sequence == 0;
  }
  bool runs_model() const { return agent_.running.on; }
  bool runs_confirmed_model() const { return agent_.running.on && !agent_.running.on_trial; }
  // According to the record that could be read.
  bool has_confirmed_model() const {
    return agent_.kept.active[FL_KIND_MODEL].slot != FL_SLOT_NONE;
  }
  // Whether another run had begun with what this one begins with.
  bool was_known() const { return was_known_; }
  // What the connection goes through, if not straight to the server.
  struct Link {
    virtual ~Link() = default;
    virtual bool Connects(Server& server) = 0;
    // As those of fl_port_t.
    virtual fl_status_t Send(Server& server, const uint8_t* src, size_t size, size_t* sent) = 0;
    virtual fl_status_t Receive(Server& server, uint8_t* dst, size_t capacity, size_t* size) = 0;
    // When there is something to poll for.
    virtual uint64_t NextEvent() const = 0;
  };
  void SetLink(Link* link) { link_ = link; }
  static bool trace;

 private:
  static Device* Self(void* context) { return static_cast<Device*>(context); }
  void FillPort();
  void FillApp();
  bool Boot();
  void Observe();
  void Note();
  void Check();
  void CheckSet(const std::string& model);
  void CheckEnd(const Tolerance& tolerance);
  // Of the world and of all that the power keeps alive.
  uint64_t Hash() const;
  const Offer* OfferOf(const std::string& digest) const;
  std::string Missing() const;
  std::string CheckReports() const;
  void Wrong(const std::string& what);
  std::string RunningDigest() const;
  std::string NameOfRunning() const;
  fl_status_t StartModel(uint32_t slot, uint32_t size, const uint8_t* digest,
                         fl_model_info_t* info);
  fl_status_t StartConfiguration(uint32_t slot, uint32_t size, const uint8_t* digest);
  std::string ReadSlot(const fl_flash_t& flash, uint32_t size);

  World& world_;
  const Scenario& scenario_;
  const Mutation mutation_;
  BrokenPort broken_port_;
  Tolerance tolerance_;
  fl_agent_t agent_ = {};
  fl_agent_config_t config_ = {};
  fl_port_t port_ = {};
  fl_app_t app_ = {};
  fl_flash_t identity_area_ = {};
  fl_identity_store_t identity_ = {};
  std::vector<std::string> images_;  // That the bootloader knows.
  std::string configuration_;        // Digest of what the application was given; empty for none.
  Random random_;
  Link* link_ = nullptr;
  std::string wrong_;
  bool was_known_ = false;
  bool off_ = true;
  bool rebooting_ = false;
  int restarts_ = 0;
  int connections_ = 0;
  int polls_on_trial_ = 0;
  uint64_t next_window_ = 0;
  std::set<uint64_t> fresh_sketches_;  // Not yet known to be durable.
  std::set<uint64_t> fresh_samples_;
};

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_DEVICE_H_
