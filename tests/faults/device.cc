// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/device.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <openssl/sha.h>

namespace fieldloop::faults {
namespace {

constexpr uint32_t kRestartsAllowed = 16;
constexpr uint32_t kPollsAllowed = 200'000;
constexpr uint64_t kTimeAllowedMs = 12 * 3600 * 1000;
// More than the hour after which what failed is tried again.
constexpr uint64_t kOwnTimeMs = 4000 * 1000;
constexpr uint64_t kWindowMs = 1000;

// Without the look-up of an algorithm that SHA256() makes for each digest.
std::string Sha256(const std::string& bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes.data(), bytes.size());
  SHA256_Final(reinterpret_cast<uint8_t*>(digest.data()), &context);
  return digest;
}

std::string AsString(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

bool BeginsWith(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

// Adds what an object consists of, with pointers into another one taken relative to that.
void AddObject(Hasher& hasher, const void* object, size_t size, const void* base,
               size_t base_size) {
  const auto* bytes = static_cast<const uint8_t*>(object);
  const auto from = reinterpret_cast<uintptr_t>(base);
  uint64_t words[64];
  while (size > 0) {
    const size_t part = std::min(size, sizeof words);
    std::memcpy(words, bytes, part);
    for (size_t i = 0; i < part / sizeof words[0]; ++i) {
      if (words[i] - from < base_size) words[i] -= from;
    }
    hasher.Add(words, part);
    bytes += part;
    size -= part;
  }
}

}  // namespace

bool Device::trace = false;

const std::string& FactoryFirmware() {
  static const std::string kImage = ModelBytes("firmware of the factory", 600);
  return kImage;
}

uint64_t Seen::Hash() const {
  Hasher hasher;
  hasher.Add(enrolled ? 1 : 0).Add(had_model ? 1 : 0).Add(confirmed_release);
  for (const std::string& digest : refused) hasher.Add(digest);
  for (const auto* set : {&durable_sketches, &durable_samples}) {
    for (const uint64_t start : *set) hasher.Add(start);
    hasher.Add(set->size());
  }
  for (const auto& [digest, starts] : starts_of_bad) {
    hasher.Add(digest).Add(static_cast<uint64_t>(starts));
  }
  return hasher.Get();
}

uint64_t World::Hash() const {
  return Hasher()
      .Add(flash.Hash())
      .Add(server.Hash())
      .Add(now)
      .Add(signal_ms)
      .Add(static_cast<uint64_t>(boots))
      .Add(static_cast<uint64_t>(windows_seen))
      .Add(seen.Hash())
      .Get();
}

uint64_t Device::Hash() const {
  Hasher hasher;
  hasher.Add(world_.Hash());
  // A start takes nothing along.
  if (off_ || rebooting_) return hasher.Get();
  AddObject(hasher, &agent_, sizeof agent_, this, sizeof *this);
  AddObject(hasher, &identity_, sizeof identity_, this, sizeof *this);
  if (mutation_ != Mutation::kNone) hasher.Add(broken_port_.Hash());
  hasher.Add(configuration_)
      .Add(random_.state())
      .Add(static_cast<uint64_t>(polls_on_trial_))
      .Add(next_window_);
  for (const auto* set : {&fresh_sketches_, &fresh_samples_}) {
    for (const uint64_t start : *set) hasher.Add(start);
    hasher.Add(set->size());
  }
  return hasher.Get();
}

const Offer* Device::OfferOf(const std::string& digest) const {
  for (const Offer& offer : scenario_.script.offers) {
    if (offer.digest == digest) return &offer;
  }
  return nullptr;
}

Device::Device(World& world, const Scenario& scenario, Mutation mutation)
    : world_(world),
      scenario_(scenario),
      mutation_(mutation),
      broken_port_(mutation),
      images_{FactoryFirmware()} {
  for (const Offer& offer : scenario.script.offers) images_.push_back(offer.firmware);
  const std::string& root = Authority::Instance().root();
  config_.project = kProject;
  config_.hardware_id = kHardware;
  config_.token = kToken;
  config_.root = reinterpret_cast<const uint8_t*>(root.data());
  config_.root_size = root.size();
  config_.first_contact_ms = 1000;
  FillPort();
  FillApp();
}

Device::~Device() { world_.server.Disconnect(); }

void Device::Wrong(const std::string& what) {
  if (wrong_.empty()) wrong_ = what;
}

std::string Device::RunningDigest() const {
  return agent_.running.on ? AsString(agent_.model.digest, 32) : "";
}

// The first letters of the model that runs say how it behaves.
std::string Device::NameOfRunning() const {
  const Offer* offer = OfferOf(RunningDigest());
  return offer == nullptr ? "" : offer->artifact.substr(0, 4);
}

// Empty if it cannot be read.
std::string Device::ReadSlot(const fl_flash_t& flash, uint32_t size) {
  std::string bytes(size, '\0');
  fl_status_t read = FL_ERR_IO;
  for (int i = 0; i < 3 && read != FL_OK; ++i) {
    read = flash.read(flash.context, 0, bytes.data(), size);
  }
  return read == FL_OK ? bytes : "";
}

fl_status_t Device::StartConfiguration(uint32_t slot, uint32_t size, const uint8_t* digest) {
  configuration_.clear();
  if (slot == FL_SLOT_NONE) return FL_OK;
  const std::string bytes = ReadSlot(port_.configuration[slot], size);
  if (bytes.empty()) return FL_ERR_IO;
  configuration_ = AsString(digest, 32);
  if (Sha256(bytes) != configuration_)
    Wrong("a configuration was given whose bytes are not those of its digest");
  return BeginsWith(bytes, "BAD ") ? FL_ERR_ARG : FL_OK;
}

fl_status_t Device::StartModel(uint32_t slot, uint32_t size, const uint8_t* digest,
                               fl_model_info_t* info) {
  const std::string bytes = ReadSlot(port_.slot[slot], size);
  if (bytes.empty()) return FL_ERR_IO;
  const std::string name = AsString(digest, 32);
  if (Sha256(bytes) != name) {
    Wrong("a model was started whose bytes are not those of its digest");
    return FL_ERR_CORRUPT;
  }
  const Offer* offer = OfferOf(name);
  if (offer != nullptr && offer->flaw != Offer::kNone) {
    Wrong("a model that must never be installed was started");
  }
  CheckSet(name);
  if (world_.seen->refused.count(name) != 0 && !tolerance_.older_state)
    Wrong("a refused model was started");
  if (BeginsWith(bytes, "BAD ")) {
    if (++world_.seen.Change().starts_of_bad[name] > FIELDLOOP_AGENT_TRIAL_BOOTS) {
      Wrong("a model that fails its self-test was started too often");
    }
    return FL_ERR_SELF_TEST;
  }
  *info = {};
  info->reference_id = 77;
  info->class_count = 3;
  info->channel_count = 1;
  info->bin_count[0] = 3;
  info->uncertain_below = 0.6F;
  info->frequency_hz = 4;
  info->axes = 2;
  return FL_OK;
}

bool Device::Boot() {
  world_.server.Disconnect();
  rebooting_ = false;
  off_ = false;
  polls_on_trial_ = 0;
  ++world_.boots;
  ++restarts_;
  fresh_sketches_.clear();
  fresh_samples_.clear();
  configuration_.clear();
  world_.flash.StartBootloader(images_);
  random_ = Random(static_cast<uint64_t>(world_.boots) * 7919);
  if (trace)
    std::printf("-- start %d at %llu\n", world_.boots, static_cast<unsigned long long>(world_.now));
  for (uint32_t area = 0; area < kAreas; ++area) {
    const fl_flash_t flash = broken_port_.Wrap(area, world_.flash.AreaOf(area));
    switch (area) {
      case kState:
        port_.state = flash;
        break;
      case kOutbox:
        port_.outbox = flash;
        break;
      case kSlot0:
        port_.slot[0] = flash;
        break;
      case kSlot1:
        port_.slot[1] = flash;
        break;
      case kConfiguration0:
        port_.configuration[0] = flash;
        break;
      case kConfiguration1:
        port_.configuration[1] = flash;
        break;
      case kFirmware:
        port_.firmware.slot = flash;
        break;
      default:
        identity_area_ = flash;
        break;
    }
  }
  const fl_status_t opened = fl_identity_store_open(&identity_, &identity_area_);
  if (opened != FL_OK) {
    Wrong(std::string("the identity: ") + fl_status_text(opened));
    off_ = true;
    return false;
  }
  const fl_status_t status = fl_agent_init(&agent_, &port_, &app_, &config_);
  if (status != FL_OK) {
    Wrong(std::string("fl_agent_init: ") + fl_status_text(status));
    off_ = true;
    return false;
  }
  next_window_ = world_.now;
  return true;
}

void Device::Observe() {
  static const std::vector<float> kValues(20'000, 1.5F);
  const float confidence = world_.signal_ms / kWindowMs % 3 == 0 ? 0.3F : 0.9F;
  const uint8_t bin = confidence < 0.5F ? 0 : 2;
  fl_observation_t observation = {};
  observation.start_ms = world_.signal_ms;
  observation.stride_ms = kWindowMs;
  observation.first_reading = (world_.signal_ms - kNowMs) / 250;
  observation.classified = NameOfRunning() != "ILL ";
  observation.confidence = confidence;
  observation.channel_bin = &bin;
  observation.channel_value = &confidence;
  observation.values = kValues.data();
  observation.value_count = scenario_.window_values;
  world_.signal_ms += kWindowMs;
  if (scenario_.windows != 0) ++world_.windows_seen;
  fl_agent_observe(&agent_, &observation);
}

// Takes down what has become durable, outside of any operation.
void Device::Note() {
  const fl_kept_t& kept = agent_.kept;
  const Seen& seen = *world_.seen;
  if (!seen.enrolled && identity_.key != nullptr) world_.seen.Change().enrolled = true;
  if (!seen.had_model && kept.active[FL_KIND_MODEL].slot != FL_SLOT_NONE && agent_.running.on) {
    world_.seen.Change().had_model = true;
  }
  if (kept.confirmed_sequence > seen.confirmed_release) {
    world_.seen.Change().confirmed_release = kept.confirmed_sequence;
  }
  if (agent_.state.phase == FL_PHASE_IDLE && kept.report.phase == v1::UPDATE_PHASE_REVERTED) {
    for (const Offer& offer : scenario_.script.offers) {
      if (offer.sequence == kept.report.rollout.release_sequence &&
          seen.refused.count(offer.digest) == 0)
        world_.seen.Change().refused.insert(offer.digest);
    }
  }
  if (fresh_sketches_.empty() && fresh_samples_.empty()) return;
  if (!agent_.outbox.unsynced || !world_.flash.geometry().write_back) {
    Seen& changed = world_.seen.Change();
    changed.durable_sketches.insert(fresh_sketches_.begin(), fresh_sketches_.end());
    changed.durable_samples.insert(fresh_samples_.begin(), fresh_samples_.end());
    fresh_sketches_.clear();
    fresh_samples_.clear();
  }
}

// A model never runs with the configuration or the firmware of another set.
void Device::CheckSet(const std::string& model) {
  if (world_.flash.SizeOf(kConfiguration0) == 0 || tolerance_.mixed_sets) return;
  const auto matches = [](const std::string& runs, const std::string& bytes) {
    return runs.empty() || bytes.empty() || runs == bytes;
  };
  const bool whole = std::any_of(scenario_.script.offers.begin(), scenario_.script.offers.end(),
                                 [&](const Offer& offer) {
                                   return matches(model, offer.digest) &&
                                          matches(configuration_, offer.configuration_digest) &&
                                          matches(world_.flash.firmware(), offer.firmware);
                                 });
  if (!whole) Wrong("parts of two sets run together");
}

void Device::Check() {
  if (!world_.flash.breach().empty()) Wrong("flash: " + world_.flash.breach());
  const Seen& seen = *world_.seen;
  if (!world_.server.history->complaint.empty())
    Wrong("server: " + world_.server.history->complaint);
  if (seen.enrolled && identity_.key == nullptr) Wrong("the identity is gone");
  if (agent_.halted) return;
  if (seen.had_model && !agent_.running.on && !tolerance_.no_model) Wrong("no model runs");
  if (agent_.kept.confirmed_sequence < seen.confirmed_release && !tolerance_.older_state) {
    Wrong("the highest confirmed release went back");
  }
  if (agent_.running.on) {
    const std::string digest = RunningDigest();
    if (!agent_.running.on_trial && agent_.model.release_sequence < seen.confirmed_release &&
        !tolerance_.older_state) {
      Wrong("an older release than the confirmed one runs");
    }
    const std::string name = agent_.running.on_trial ? "" : NameOfRunning();
    if (name == "BAD " || name == "ILL " || name == "LOOP" || name == "MUTE") {
      Wrong("a model that must be reverted was confirmed");
    }
    CheckSet(digest);
  }
}

// What is missing of the goal; empty when it is reached.
std::string Device::Missing() const {
  const Goal& goal = scenario_.goal;
  const Server& server = world_.server;
  if (agent_.halted || agent_.outbox.live != 0) return "uplinks wait";
  if (!goal.running.empty()) {
    if (RunningDigest() != goal.running || agent_.running.on_trial) return "another model runs";
    // What the server was told of last is so.
    const v1::StateReport& state = server.history->state;
    if (state.components_size() < 1 || state.components(0).active_digest() != goal.running ||
        !state.components(0).confirmed()) {
      return "the server does not know what runs";
    }
    const Offer* offer = OfferOf(goal.running);
    for (const v1::ComponentState& component : state.components()) {
      if (goal.whole_set && (component.active_digest() != offer->DigestOf(component.kind()) ||
                             !component.confirmed())) {
        return "the server does not know that the whole set runs";
      }
    }
    if (goal.whole_set &&
        (!agent_.running.configuration || configuration_ != offer->configuration_digest ||
         (!offer->firmware.empty() && world_.flash.firmware() != offer->firmware))) {
      return "another set runs";
    }
  }
  // Without an end of its own a run takes the hour when the report was lost.
  const bool may_not_be_told = tolerance_.lost_uplinks && !tolerance_.own_end;
  if (goal.release != 0 && server.Ended(goal.release) != goal.ended && !may_not_be_told) {
    return "the server does not know how the update ended";
  }
  if (agent_.state.settings.version < goal.settings_version) return "the settings are old";
  if (agent_.root_version < goal.root_version) return "the root document is old";
  fl_identity_t identity = {};
  if (goal.certificate_from != 0 && (port_.identity(port_.context, &identity) != FL_OK ||
                                     identity.not_before_ms < goal.certificate_from)) {
    return "the certificate is old";
  }
  return !goal.all_windows || world_.windows_seen >= scenario_.windows ? "" : "windows are to come";
}

// The reports of each release, in the order in which the device decided them, are one story.
std::string Device::CheckReports() const {
  std::map<uint64_t, std::vector<Server::Report>> stories;
  for (const Server::Report& report : world_.server.history->reports)
    stories[report.release].push_back(report);
  for (auto& [release, story] : stories) {
    std::sort(story.begin(), story.end(),
              [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    std::string phases;
    for (const Server::Report& report : story)
      phases += v1::UpdatePhase_Name(report.phase).substr(13) + " ";
    for (size_t i = 0; i < story.size(); ++i) {
      const bool goes_on = i == 0 || story[i].phase > story[i - 1].phase;
      if (!goes_on && !tolerance_.repeated_phases) {
        return "the reports of release " + std::to_string(release) + " tell no story: " + phases;
      }
      const bool ends =
          story[i].phase >= v1::UPDATE_PHASE_CONFIRMED && story[i].phase <= v1::UPDATE_PHASE_FAILED;
      if (ends && i + 1 < story.size() && !tolerance_.repeated_phases) {
        return "release " + std::to_string(release) + " ended before its end: " + phases;
      }
    }
    for (const Offer& offer : scenario_.script.offers) {
      if (offer.sequence != release) continue;
      for (const Server::Report& report : story) {
        const bool is_it = report.digest == offer.digest;
        if ((report.phase == v1::UPDATE_PHASE_CONFIRMED && !is_it) ||
            (report.phase == v1::UPDATE_PHASE_TRIAL && !is_it) ||
            (report.phase == v1::UPDATE_PHASE_REVERTED && is_it)) {
          return "a report of release " + std::to_string(release) + " names another model";
        }
      }
    }
  }
  return "";
}

void Device::CheckEnd(const Tolerance& tolerance) {
  const Server::History& history = *world_.server.history;
  uint32_t lost = 0;
  for (const uint64_t start : world_.seen->durable_sketches) {
    lost += history.sketches.count(start) == 0 ? 1u : 0u;
  }
  for (const uint64_t start : world_.seen->durable_samples) {
    lost += history.samples.count(start) == 0 ? 1u : 0u;
  }
  if (lost > agent_.outbox.dropped && !tolerance.lost_uplinks && !scenario_.may_drop) {
    Wrong("uplinks that were durable were lost");
  }
  Wrong(CheckReports());
}

std::string Device::Run(const Tolerance& tolerance, uint64_t operations_allowed,
                        const Memory& memory) {
  struct Mark {
    uint64_t hash;
    Future before;  // From the start of the run to this state.
  };
  tolerance_ = tolerance;
  const uint64_t operations_before = world_.flash.operations();
  const uint64_t started = world_.now;
  const uint64_t end = started + (tolerance.own_end ? kOwnTimeMs : kTimeAllowedMs);
  const uint64_t faults_before = memory.faults == nullptr ? 0 : *memory.faults;
  std::vector<Mark> marks;
  uint64_t marked_at = UINT64_MAX;  // Operations that were done then.
  Future rest;                      // Behind the end of this run.
  uint32_t polls = 0;
  const auto so_far = [&] {
    return Future{
        .ms = world_.now - started,
        .faults = memory.faults == nullptr ? 0 : *memory.faults - faults_before,
        .operations = static_cast<uint32_t>(world_.flash.operations() - operations_before),
        .polls = polls,
        .restarts = static_cast<uint32_t>(restarts_)};
  };
  // Whether a run came to this state before and reached its goal from it, within what is left of
  // the bounds of this one. Notes the state otherwise.
  const auto is_known = [&] {
    if (memory.states == nullptr || marked_at == world_.flash.operations() ||
        world_.flash.awaits_fault()) {
      return false;
    }
    marked_at = world_.flash.operations();
    const uint64_t hash = Hash();
    const Future before = so_far();
    const Future* known = memory.states->Find(hash);
    if (known == nullptr && memory.also != nullptr) known = memory.also->Find(hash);
    if (known == nullptr) {
      marks.push_back({hash, before});
      return false;
    }
    rest = *known;
    return before.operations + rest.operations <= operations_allowed + before.ms / 1000 &&
           before.restarts + rest.restarts <= kRestartsAllowed &&
           before.polls + rest.polls <= kPollsAllowed && before.ms + rest.ms <= kTimeAllowedMs;
  };
  for (; wrong_.empty(); ++polls) {
    if (off_ || rebooting_) {
      if (restarts_ >= static_cast<int>(kRestartsAllowed)) {
        Wrong("too many restarts");
        break;
      }
      if (rebooting_) broken_port_.Settle();
      if (is_known()) {
        was_known_ = restarts_ == 0;
        break;
      }
      marked_at = UINT64_MAX;
      if (!Boot()) continue;
      Note();
      Check();
      if (rebooting_ || !wrong_.empty()) continue;
    }
    if (is_known()) break;
    rest = {};
    world_.server.now_ms = kNowMs + world_.now;
    const uint64_t next = fl_agent_poll(&agent_);
    Note();
    Check();
    if (rebooting_ || !wrong_.empty()) continue;
    const std::string missing = Missing();
    if (missing.empty() && (!tolerance.own_end || told_what_runs())) {
      CheckEnd(tolerance);
      break;
    }
    if (agent_.running.on_trial && NameOfRunning() == "LOOP" && ++polls_on_trial_ > 3) {
      off_ = true;  // A watchdog.
      continue;
    }
    // Counts of windows go on, at less than one operation a second.
    if (world_.flash.operations() - operations_before >
        operations_allowed + (world_.now - started) / 1000) {
      Wrong("does not come to an end: more than " + std::to_string(operations_allowed) +
            " flash operations; " + missing);
      break;
    }
    if (tolerance.own_end && world_.now >= end) break;
    if (world_.now >= end || polls > kPollsAllowed) {
      Wrong("does not come to an end in time: " + missing);
      break;
    }
    uint64_t until = link_ == nullptr ? next : std::min(next, link_->NextEvent());
    if (agent_.running.on && (agent_.running.on_trial || scenario_.windows == 0 ||
                              world_.windows_seen < scenario_.windows)) {
      if (world_.now >= next_window_) {
        Observe();
        next_window_ = world_.now + kWindowMs;
        Note();
        continue;
      }
      until = std::min(until, next_window_);
    }
    if (until > world_.now) world_.now = std::min(until, end);
  }
  if (!wrong_.empty()) return wrong_;
  const Future all = so_far();
  for (const Mark& mark : marks) {
    memory.states->Insert(mark.hash,
                          {.ms = all.ms - mark.before.ms + rest.ms,
                           .faults = all.faults - mark.before.faults + rest.faults,
                           .operations = all.operations - mark.before.operations + rest.operations,
                           .polls = all.polls - mark.before.polls + rest.polls,
                           .restarts = all.restarts - mark.before.restarts + rest.restarts});
  }
  if (memory.faults != nullptr) *memory.faults += rest.faults;
  return wrong_;
}

void Device::FillPort() {
  port_.context = this;
  port_.now_ms = [](void* context) { return Self(context)->world_.now; };
  port_.random = [](void* context, void* dst, size_t size) {
    for (size_t i = 0; i < size; ++i) static_cast<uint8_t*>(dst)[i] = Self(context)->random_.Byte();
    return FL_OK;
  };
  port_.connect = [](void* context, bool use_identity) {
    Device* self = Self(context);
    Server& server = self->world_.server;
    // Without a model there are no windows to wait for.
    const bool away = self->scenario_.offline_windows && self->agent_.running.on &&
                      self->world_.windows_seen < self->scenario_.windows;
    ++self->connections_;
    if (!server.reachable || away || self->NameOfRunning() == "MUTE") return FL_ERR_CLOSED;
    if (self->link_ != nullptr && !self->link_->Connects(server)) return FL_ERR_CLOSED;
    const fl_identity_store_t& identity = self->identity_;
    if (use_identity && identity.key != nullptr) {
      server.Connect(AsString(identity.certificate, identity.certificate_size),
                     AsString(identity.key, FL_IDENTITY_KEY_SIZE));
    } else {
      server.Connect("", "");
    }
    return FL_OK;
  };
  port_.receive = [](void* context, uint8_t* dst, size_t capacity, size_t* size) {
    Device* self = Self(context);
    Server& server = self->world_.server;
    if (self->link_ != nullptr) return self->link_->Receive(server, dst, capacity, size);
    *size = server.Read(dst, capacity);
    if (*size > 0) return FL_OK;
    return server.connected() ? FL_ERR_AGAIN : FL_ERR_CLOSED;
  };
  port_.send = [](void* context, const uint8_t* src, size_t size, size_t* sent) {
    Device* self = Self(context);
    Server& server = self->world_.server;
    if (self->link_ != nullptr) return self->link_->Send(server, src, size, sent);
    if (!server.connected()) return FL_ERR_CLOSED;
    server.Write(src, size);
    *sent = size;
    return FL_OK;
  };
  port_.close = [](void* context) { Self(context)->world_.server.Disconnect(); };
  static_assert(sizeof(SHA256_CTX) <= sizeof(fl_sha256_t));
  port_.sha256_start = [](void*, fl_sha256_t* hash) {
    SHA256_Init(reinterpret_cast<SHA256_CTX*>(hash));
  };
  port_.sha256_update = [](void*, fl_sha256_t* hash, const void* data, size_t size) {
    SHA256_Update(reinterpret_cast<SHA256_CTX*>(hash), data, size);
  };
  port_.sha256_finish = [](void*, fl_sha256_t* hash, uint8_t* digest) {
    SHA256_Final(digest, reinterpret_cast<SHA256_CTX*>(hash));
  };
  port_.verify = [](void* context, const uint8_t* key, const uint8_t* digest,
                    const uint8_t* signature) {
    if (Self(context)->mutation_ == Mutation::kAnySignature) return FL_OK;
    return Authority::Instance().Verify(key, digest, signature) ? FL_OK : FL_ERR_TRUST;
  };
  port_.identity = [](void* context, fl_identity_t* identity) {
    const fl_identity_store_t& store = Self(context)->identity_;
    std::string public_key;
    *identity = {};
    if (store.key == nullptr) return FL_ERR_NOT_FOUND;
    if (!ParseCertificate(AsString(store.certificate, store.certificate_size), &public_key,
                          &identity->not_before_ms, &identity->not_after_ms)) {
      return FL_ERR_CORRUPT;
    }
    std::memcpy(identity->device_id, kDeviceId, sizeof kDeviceId);
    return FL_OK;
  };
  port_.identity_request = [](void* context, uint8_t* csr, size_t capacity, size_t* size) {
    Device* self = Self(context);
    uint8_t key[FL_IDENTITY_KEY_SIZE];
    fl_status_t status = fl_identity_store_pending(&self->identity_, key);
    if (status == FL_ERR_NOT_FOUND) {
      for (uint8_t& byte : key) byte = self->random_.Byte();
      status = fl_identity_store_set_pending(&self->identity_, key);
    }
    if (status != FL_OK) return status;
    const std::string request = Sha256(AsString(key, sizeof key));
    if (request.size() > capacity) return FL_ERR_NO_SPACE;
    std::copy(request.begin(), request.end(), csr);
    *size = request.size();
    return FL_OK;
  };
  port_.identity_store = [](void* context, const uint8_t* certificate, size_t certificate_size,
                            const uint8_t* issuer, size_t issuer_size) {
    Device* self = Self(context);
    uint8_t key[FL_IDENTITY_KEY_SIZE];
    std::string public_key;
    uint64_t from = 0;
    uint64_t to = 0;
    FL_RETURN_IF_ERROR(fl_identity_store_pending(&self->identity_, key));
    if (!ParseCertificate(AsString(certificate, certificate_size), &public_key, &from, &to)) {
      return FL_ERR_CORRUPT;
    }
    if (public_key != Sha256(AsString(key, sizeof key))) return FL_ERR_TRUST;
    return fl_identity_store_commit(&self->identity_, certificate, certificate_size, issuer,
                                    issuer_size);
  };
  if (world_.flash.SizeOf(kFirmware) > 0) {
    port_.firmware.running = [](void* context, uint8_t* digest) {
      const std::string running = Sha256(Self(context)->world_.flash.firmware());
      std::copy(running.begin(), running.end(), digest);
      return FL_OK;
    };
    port_.firmware.request_swap = [](void* context) {
      return Self(context)->world_.flash.RequestSwap();
    };
    port_.firmware.confirm = [](void* context) {
      return Self(context)->world_.flash.ConfirmFirmware();
    };
  }
  port_.reboot = [](void* context) { Self(context)->rebooting_ = true; };
  port_.log = [](void*, fl_log_level_t, const char* text) {
    if (trace) std::printf("   %s\n", text);
  };
}

void Device::FillApp() {
  app_.context = this;
  app_.model_start = [](void* context, uint32_t slot, uint32_t size, const uint8_t* digest,
                        fl_model_info_t* info) {
    return Self(context)->StartModel(slot, size, digest, info);
  };
  app_.configuration_start = [](void* context, uint32_t slot, uint32_t size,
                                const uint8_t* digest) {
    return Self(context)->StartConfiguration(slot, size, digest);
  };
  app_.period_closed = [](void* context, uint64_t start_ms, uint32_t) {
    Self(context)->fresh_sketches_.insert(start_ms);
  };
  app_.sample_chosen = [](void* context, uint64_t start_ms, fl_reason_t) {
    Self(context)->fresh_samples_.insert(start_ms);
  };
}

}  // namespace fieldloop::faults
