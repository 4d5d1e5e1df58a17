// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FUZZ_AGENT_DEVICE_H_
#define FIELDLOOP_TESTS_FUZZ_AGENT_DEVICE_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>

#include <fieldloop/agent/v1/agent.pb.h>

#include "agent/src/state_record.h"
#include "fieldloop_agent/agent.h"

namespace fieldloop::fuzz {

namespace v1 = ::fieldloop::agent::v1;

constexpr char kProject[] = "motor";
constexpr char kDeviceId[] = "device-1";
constexpr char kHardwareId[] = "sim";
constexpr std::uint64_t kNowMs = 1'700'000'000'000;
constexpr std::size_t kNonceSize = 16;
constexpr std::uint8_t kNonceByte = 0x42;

// What must hold, or the input is a finding.
inline void Require(bool condition, int line = __builtin_LINE()) {
  if (condition) return;
  static_cast<void>(std::fprintf(stderr, "the requirement of line %d does not hold\n", line));
  std::abort();
}

// Work of the harness itself, of which the fuzzer is to learn nothing.
#define FIELDLOOP_UNOBSERVED __attribute__((no_sanitize("address", "undefined", "coverage")))

// Flash in memory, of a geometry that its type names. Programming what is not erased ends the run.
template <std::uint32_t kSectors, std::uint32_t kSectorSize, std::uint32_t kProgramSize = 8>
struct Flash {
  static constexpr std::uint32_t kSize = kSectors * kSectorSize;
  std::array<std::uint8_t, kSize> bytes;

  Flash() { bytes.fill(0xff); }

  FIELDLOOP_UNOBSERVED static bool IsErased(const std::uint8_t* bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      if (bytes[i] != 0xff) return false;
    }
    return true;
  }

  fl_flash_t Area() {
    fl_flash_t area = {};
    area.context = this;
    area.size = kSize;
    area.sector_size = kSectorSize;
    area.program_size = kProgramSize;
    area.erased_value = 0xff;
    area.read = [](void* context, std::uint32_t offset, void* dst, std::size_t size) {
      Require(offset <= kSize && size <= kSize - offset);
      std::memcpy(dst, static_cast<Flash*>(context)->bytes.data() + offset, size);
      return FL_OK;
    };
    area.program = [](void* context, std::uint32_t offset, const void* src, std::size_t size) {
      Require(offset <= kSize && size <= kSize - offset);
      Require(offset % kProgramSize == 0 && size % kProgramSize == 0);
      std::uint8_t* dst = static_cast<Flash*>(context)->bytes.data() + offset;
      Require(IsErased(dst, size));
      std::memcpy(dst, src, size);
      return FL_OK;
    };
    area.erase = [](void* context, std::uint32_t offset) {
      Require(offset < kSize && offset % kSectorSize == 0);
      std::memset(static_cast<Flash*>(context)->bytes.data() + offset, 0xff, kSectorSize);
      return FL_OK;
    };
    return area;
  }
};

// A hash that costs little and that seeds can compute: FNV-1a, spread over 32 bytes.
struct Hash {
  std::uint64_t state = 14695981039346656037U;

  FIELDLOOP_UNOBSERVED void Update(const void* data, std::size_t size) {
    const auto* byte = static_cast<const std::uint8_t*>(data);
    for (std::size_t i = 0; i < size; ++i) state = (state ^ byte[i]) * 1099511628211U;
  }
  void Finish(std::uint8_t* digest) const {
    std::uint64_t word = state;
    for (std::size_t i = 0; i < 32; i += 8) {
      std::memcpy(digest + i, &word, sizeof word);
      word = (word ^ (word >> 29)) * 0xbf58476d1ce4e5b9U;
    }
  }
};

inline std::array<std::uint8_t, 32> DigestBytes(const void* data, std::size_t size) {
  Hash hash;
  hash.Update(data, size);
  std::array<std::uint8_t, 32> digest;
  hash.Finish(digest.data());
  return digest;
}

inline std::string Digest(const std::string& bytes) {
  const auto digest = DigestBytes(bytes.data(), bytes.size());
  return {digest.begin(), digest.end()};
}

// Keys are 65 bytes of a number. Its signature of a digest is the digest, then the number.
inline std::string PublicKey(char number) { return '\x04' + std::string(64, number); }

inline v1::SignedDocument Sign(const std::string& context, const std::string& payload,
                               std::initializer_list<char> keys) {
  v1::SignedDocument document;
  document.set_payload(payload);
  for (const char key : keys) {
    v1::Signature& signature = *document.add_signatures();
    signature.set_key_id(Digest(PublicKey(key)).substr(0, 8));
    signature.set_value(Digest(context + '\0' + payload) + std::string(32, key));
  }
  return document;
}

// Keys 1, 2 and 3 are of the roles root, release and directive.
inline v1::RootDocument Root(std::uint32_t version) {
  v1::RootDocument root;
  root.set_version(version);
  for (const char key : {'\1', '\2', '\3'}) root.add_keys()->set_public_key(PublicKey(key));
  std::uint32_t index = 0;
  for (v1::TrustedRole* role :
       {root.mutable_root(), root.mutable_release(), root.mutable_directive()}) {
    role->add_key_indices(index++);
    role->set_threshold(1);
  }
  return root;
}

inline v1::SignedDocument SignedRoot(std::uint32_t version) {
  return Sign("fieldloop.root.v1", Root(version).SerializeAsString(), {'\1'});
}

inline v1::ReleaseManifest Manifest(std::uint64_t sequence, const std::string& model) {
  v1::ReleaseManifest manifest;
  manifest.set_project(kProject);
  manifest.set_sequence(sequence);
  v1::ReleaseComponent& component = *manifest.add_components();
  component.set_kind(v1::COMPONENT_KIND_MODEL);
  component.set_digest(Digest(model));
  component.set_size_bytes(static_cast<std::uint32_t>(model.size()));
  component.set_version("1");
  return manifest;
}

inline v1::Directive DirectiveFor(const std::string& manifest_payload) {
  v1::Directive directive;
  directive.set_device_id(kDeviceId);
  directive.set_manifest_digest(Digest(manifest_payload));
  directive.set_nonce(std::string(kNonceSize, static_cast<char>(kNonceByte)));
  directive.set_expires_s(kNowMs / 1000 + 3600);
  directive.set_rollout_id("rollout-1");
  return directive;
}

inline v1::UpdateOffer Offer(const v1::ReleaseManifest& manifest) {
  v1::UpdateOffer offer;
  const std::string payload = manifest.SerializeAsString();
  *offer.mutable_manifest() = Sign("fieldloop.manifest.v1", payload, {'\2'});
  *offer.mutable_directive() =
      Sign("fieldloop.directive.v1", DirectiveFor(payload).SerializeAsString(), {'\3'});
  return offer;
}

// Fills in hash and signatures of a port. With *trusts_all every signature is valid.
inline void FillCrypto(fl_port_t& port, bool* trusts_all) {
  static bool* trusts = nullptr;
  trusts = trusts_all;
  static_assert(sizeof(Hash) <= sizeof(fl_sha256_t));
  port.sha256_start = [](void*, fl_sha256_t* hash) { new (hash) Hash; };
  port.sha256_update = [](void*, fl_sha256_t* hash, const void* data, std::size_t size) {
    reinterpret_cast<Hash*>(hash)->Update(data, size);
  };
  port.sha256_finish = [](void*, fl_sha256_t* hash, std::uint8_t* digest) {
    reinterpret_cast<Hash*>(hash)->Finish(digest);
  };
  port.verify = [](void*, const std::uint8_t* key, const std::uint8_t* digest,
                   const std::uint8_t* signature) {
    const bool valid = std::memcmp(signature, digest, 32) == 0 && signature[32] == key[1];
    return *trusts || valid ? FL_OK : FL_ERR_TRUST;
  };
}

// A device whose server sends the bytes of a script, whatever the device says.
class AgentDevice {
 public:
  // What the device was doing when the script begins.
  enum Situation { kNew, kEnrolledOnly, kRunning, kDownloading, kOnTrial, kSituations };

  AgentDevice() {
    root_ = SignedRoot(1).SerializeAsString();
    config_.project = kProject;
    config_.hardware_id = kHardwareId;
    config_.token = "token";
    config_.root = reinterpret_cast<const std::uint8_t*>(root_.data());
    config_.root_size = root_.size();
    FillPort();
    app_.context = this;
    app_.model_start = [](void* context, std::uint32_t slot, std::uint32_t size,
                          const std::uint8_t* digest, fl_model_info_t* info) {
      return Self(context)->StartModel(slot, size, digest, info);
    };
    app_.configuration_start = [](void*, std::uint32_t, std::uint32_t, const std::uint8_t*) {
      return FL_OK;
    };
    app_.consents = [](void* context, fl_step_t) { return Self(context)->consent_; };
    for (int situation = 0; situation < kSituations; ++situation) {
      Prepare(static_cast<Situation>(situation));
      snapshots_[static_cast<std::size_t>(situation)] = {memory_, agent_};
    }
  }
  AgentDevice(const AgentDevice&) = delete;
  AgentDevice& operator=(const AgentDevice&) = delete;

  // Models whose digests the situations and the seeds name.
  static std::string Model(const std::string& name) {
    std::string model = name;
    while (model.size() < 700) model += name;
    return model;
  }

  // Runs a script. The first byte says what the device is doing and how bytes arrive.
  void Run(std::uint8_t flags, const std::uint8_t* script, std::size_t size) {
    situation_ = static_cast<Situation>(flags % 8 % kSituations);
    memory_ = snapshots_[situation_].memory;
    agent_ = snapshots_[situation_].agent;
    trusts_all_ = (flags & 0x10) != 0;
    consent_ = (flags & 0x08) == 0   ? FL_CONSENT_NOW
               : (flags & 0x80) != 0 ? FL_CONSENT_DECLINED
                                     : 1000;
    piece_ = (flags & 0x20) != 0 ? 5 : 1024;
    pauses_ = (flags & 0x40) != 0;
    script_ = script;
    left_ = size;
    now_ = 1000;
    connected_ = rebooting_ = paused_ = false;
    observations_ = 0;
    for (int i = 0; i < 100 && (left_ > 0 || i < 6); ++i) Step();
    // Whatever was said, the device starts again.
    Restart();
    Step();
  }

 private:
  struct Memory {
    Flash<4, 1280> state;
    Flash<3, 1024> outbox;
    Flash<2, 512> slot[2];
    Flash<1, 512> configuration[2];
    Flash<2, 512> firmware;
    std::array<std::uint8_t, 32> runs = {1};   // Digest of the firmware.
    std::array<std::uint8_t, 32> other = {2};  // What a swap brings.
    bool pending = false;
    bool confirmed = true;
  };
  struct Snapshot {
    Memory memory;
    fl_agent_t agent;
  };

  static AgentDevice* Self(void* context) { return static_cast<AgentDevice*>(context); }

  void Step() {
    if (rebooting_) Restart();
    const std::uint64_t next = fl_agent_poll(&agent_);
    paused_ = false;
    if (rebooting_) return;
    if (agent_.running.on && observations_ < 4) Observe();
    now_ = std::max(now_, std::min(next, now_ + 3'600'000));
  }

  void Restart() {
    connected_ = rebooting_ = false;
    if (memory_.pending || !memory_.confirmed) {
      std::swap(memory_.runs, memory_.other);
      memory_.confirmed = !memory_.pending;
      memory_.pending = false;
    }
    Require(fl_agent_init(&agent_, &port_, &app_, &config_) == FL_OK);
  }

  void Observe() {
    ++observations_;
    const std::array<float, 4> values = {1, 2, 3, 4};
    const std::uint8_t bin = 1;
    fl_observation_t seen = {};
    seen.start_ms = kNowMs + now_;
    seen.stride_ms = 1000;
    seen.classified = true;
    seen.predicted_class = 1;
    seen.confidence = 0.5F;
    seen.channel_bin = &bin;
    seen.channel_value = &seen.confidence;
    seen.values = values.data();
    seen.value_count = values.size();
    fl_agent_observe(&agent_, &seen);
  }

  // A model is started only from bytes that have its digest.
  fl_status_t StartModel(std::uint32_t slot, std::uint32_t size, const std::uint8_t* digest,
                         fl_model_info_t* info) {
    Require(slot < 2 && size <= memory_.slot[slot].bytes.size());
    const std::uint8_t* bytes = memory_.slot[slot].bytes.data();
    Require(std::memcmp(DigestBytes(bytes, size).data(), digest, 32) == 0);
    if (size >= 3 && std::memcmp(bytes, "BAD", 3) == 0) return FL_ERR_SELF_TEST;
    *info = {};
    info->reference_id = 7;
    info->class_count = 3;
    info->channel_count = 1;
    info->bin_count[0] = 3;
    info->uncertain_below = 0.6F;
    info->frequency_hz = 4;
    info->axes = 2;
    return FL_OK;
  }

  void Prepare(Situation situation) {
    memory_ = Memory();
    situation_ = situation;
    fl_agent_t agent = {};
    fl_state_t& state = agent.state;
    fl_kept_t& kept = agent.kept;
    for (fl_component_t& component : kept.active) component.slot = FL_SLOT_NONE;
    kept.sequence_limit = 1;
    if (situation >= kRunning) {
      Place(memory_.slot[0], Model("GOOD"));
      kept.active[FL_KIND_MODEL].slot = 0;
      kept.active[FL_KIND_MODEL].release_sequence = 1;
      kept.active[FL_KIND_MODEL].size = static_cast<std::uint32_t>(Model("GOOD").size());
      CopyDigest(Model("GOOD"), kept.active[FL_KIND_MODEL].digest);
      kept.confirmed_sequence = 1;
      state.settings.version = 1;
      state.settings.sketch_period_ms = 10'000;
      state.settings.samples_per_period = 4;
      state.settings.samples_total = 100;
      state.settings.random_share = 0.5F;
      state.settings.trial_windows = 3;
      state.settings.trial_timeout_ms = 60'000;
    }
    if (situation >= kDownloading) {
      Place(memory_.slot[1], Model("NEXT"));
      state.phase = situation == kOnTrial ? FL_PHASE_TRIAL : FL_PHASE_DOWNLOADING;
      kept.release.rollout.release_sequence = 2;
      std::copy_n("rollout-1", 10, kept.release.rollout.id);
      state.target.named = state.target.install = fl_kind_bit(FL_KIND_MODEL);
      state.target.done = situation == kOnTrial ? state.target.install : 0;
      state.target.written = situation == kOnTrial ? 0 : 512;
      kept.release.artifact[FL_KIND_MODEL].size = static_cast<std::uint32_t>(Model("NEXT").size());
      CopyDigest(Model("NEXT"), kept.release.artifact[FL_KIND_MODEL].digest);
    }
    Require(fl_state_save(&port_.state, &agent) == FL_OK);
    Restart();
  }
  static void Place(Flash<2, 512>& slot, const std::string& model) {
    std::copy(model.begin(), model.end(), slot.bytes.begin());
  }
  static void CopyDigest(const std::string& bytes, std::uint8_t* digest) {
    std::memcpy(digest, Digest(bytes).data(), 32);
  }

  void FillPort() {
    port_.context = this;
    port_.state = memory_.state.Area();
    port_.outbox = memory_.outbox.Area();
    for (std::size_t i = 0; i < 2; ++i) {
      port_.slot[i] = memory_.slot[i].Area();
      port_.configuration[i] = memory_.configuration[i].Area();
    }
    port_.firmware.slot = memory_.firmware.Area();
    port_.firmware.running = [](void* context, std::uint8_t* digest) {
      std::copy_n(Self(context)->memory_.runs.begin(), 32, digest);
      return FL_OK;
    };
    port_.firmware.request_swap = [](void* context) {
      AgentDevice* self = Self(context);
      if (self->memory_.confirmed && self->agent_.state.phase == FL_PHASE_TRIAL) {
        std::copy_n(self->agent_.kept.release.artifact[FL_KIND_FIRMWARE].digest, 32,
                    self->memory_.other.begin());
      }
      self->memory_.pending = true;
      return FL_OK;
    };
    port_.firmware.confirm = [](void* context) {
      Self(context)->memory_.confirmed = true;
      return FL_OK;
    };
    port_.now_ms = [](void* context) { return Self(context)->now_; };
    port_.random = [](void*, void* dst, std::size_t size) {
      std::memset(dst, kNonceByte, size);
      return FL_OK;
    };
    port_.connect = [](void* context, bool) {
      Self(context)->connected_ = true;
      return FL_OK;
    };
    port_.receive = [](void* context, std::uint8_t* dst, std::size_t capacity, std::size_t* size) {
      return Self(context)->Receive(dst, capacity, size);
    };
    port_.send = [](void* context, const std::uint8_t*, std::size_t size, std::size_t* sent) {
      *sent = size;
      return Self(context)->connected_ ? FL_OK : FL_ERR_CLOSED;
    };
    port_.close = [](void* context) { Self(context)->connected_ = false; };
    FillCrypto(port_, &trusts_all_);
    port_.identity = [](void* context, fl_identity_t* identity) {
      if (Self(context)->situation_ == kNew) return FL_ERR_NOT_FOUND;
      *identity = {};
      std::copy_n(kDeviceId, sizeof kDeviceId, identity->device_id);
      identity->not_after_ms = kNowMs;
      return FL_OK;
    };
    port_.identity_request = [](void*, std::uint8_t* csr, std::size_t, std::size_t* size) {
      csr[0] = 0x30;
      *size = 1;
      return FL_OK;
    };
    port_.identity_store = [](void* context, const std::uint8_t*, std::size_t size,
                              const std::uint8_t*, std::size_t) {
      if (size == 0) return FL_ERR_CORRUPT;
      if (Self(context)->situation_ == kNew) Self(context)->situation_ = kEnrolledOnly;
      return FL_OK;
    };
    port_.reboot = [](void* context) { Self(context)->rebooting_ = true; };
  }

  fl_status_t Receive(std::uint8_t* dst, std::size_t capacity, std::size_t* size) {
    if (!connected_ || left_ == 0) return FL_ERR_CLOSED;
    if (paused_) return FL_ERR_AGAIN;
    *size = std::min({capacity, left_, piece_});
    std::memcpy(dst, script_, *size);
    script_ += *size;
    left_ -= *size;
    paused_ = pauses_;
    return FL_OK;
  }

  std::string root_;
  fl_agent_config_t config_ = {};
  fl_port_t port_ = {};
  fl_app_t app_ = {};
  std::array<Snapshot, kSituations> snapshots_;
  Memory memory_;
  fl_agent_t agent_ = {};
  Situation situation_ = kNew;
  bool trusts_all_ = false;
  std::uint32_t consent_ = FL_CONSENT_NOW;
  std::size_t piece_ = 1024;
  bool pauses_ = false;  // Every other call finds nothing.
  bool paused_ = false;
  const std::uint8_t* script_ = nullptr;
  std::size_t left_ = 0;
  std::uint64_t now_ = 0;
  int observations_ = 0;
  bool connected_ = false;
  bool rebooting_ = false;
};

}  // namespace fieldloop::fuzz

#endif  // FIELDLOOP_TESTS_FUZZ_AGENT_DEVICE_H_
