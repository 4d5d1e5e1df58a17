// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_CORE_DEVICE_HARNESS_H_
#define FIELDLOOP_TESTS_AGENT_CORE_DEVICE_HARNESS_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/agent.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fieldloop_agent/agent.h"
#include "tests/agent/core/signing.h"
#include "tests/agent/core/sim_flash.h"

namespace fieldloop::agent {

constexpr uint64_t kNowMs = 1'700'000'000'000;
constexpr char kDeviceId[] = "device-1";
constexpr char kProject[] = "motor";

// See ArtifactChunk.artifact.
inline uint32_t ArtifactWord(const std::string& digest) {
  uint32_t word = 0;
  for (size_t i = 4; i-- > 0;) word = word << 8 | static_cast<uint8_t>(digest[i]);
  return word;
}

// Components of a release, by kind.
using ComponentSet = std::map<v1::ComponentKind, std::string>;

// A distribution service that does what the test says. It parses with protobuf what the agent wrote
// with nanopb. All of it happens within one call.
class ScriptedServer {
 public:
  explicit ScriptedServer(const TrustFixture& trust) : trust_(trust) {}

  // What is offered at a check-in. Called with the nonce of the session.
  std::function<std::optional<v1::UpdateOffer>(const std::string&)> offer;
  std::map<std::string, std::string> artifacts;
  std::optional<v1::Settings> settings;
  std::vector<v1::SignedDocument> roots;
  std::optional<v1::Error> hello_error;
  // Answers instead of the usual ones; an empty list sends nothing.
  std::function<std::optional<std::vector<v1::ServerMessage>>(const v1::DeviceMessage&)> intercept;
  uint32_t next_check_in_ms = 60'000;
  uint32_t chunk_bytes = 1024;
  uint32_t max_frame_bytes = 4096;
  uint64_t now_ms = kNowMs;
  std::string trace_id;  // Of each session, for a device that asks.
  bool acks = true;
  bool reachable = true;
  // Connection ends after this many frames from the device.
  int frames_until_cut = -1;
  bool knows_certificates = true;

  // --- What arrived ---
  std::vector<v1::DeviceMessage> received;
  std::map<uint64_t, std::string> uplinks;  // By sequence, as first seen.
  std::vector<v1::UpdateReport> reports;    // Each sequence once, in order of arrival.
  std::vector<v1::SketchReport> sketches;
  std::map<uint64_t, std::string> sample_payloads;  // Complete ones.
  std::vector<v1::SampleHeader> sample_headers;
  int connections = 0;

  v1::SignedDocument Manifest(const std::string& artifact, uint64_t sequence) const {
    return ManifestOfSet({{v1::COMPONENT_KIND_MODEL, artifact}}, sequence);
  }
  v1::SignedDocument ManifestOfSet(const ComponentSet& set, uint64_t sequence) const {
    v1::ReleaseManifest manifest;
    manifest.set_project(kProject);
    manifest.set_sequence(sequence);
    for (const auto& [kind, artifact] : set) {
      v1::ReleaseComponent* component = manifest.add_components();
      component->set_kind(kind);
      component->set_digest(Sha256(artifact));
      component->set_size_bytes(static_cast<uint32_t>(artifact.size()));
      component->set_version("1");
    }
    return SignManifest(manifest);
  }
  v1::SignedDocument SignManifest(const v1::ReleaseManifest& manifest) const {
    return SignDocument("fieldloop.manifest.v1", manifest.SerializeAsString(),
                        {&trust_.release_key});
  }
  v1::Directive DirectiveFor(const v1::SignedDocument& manifest, const std::string& nonce) const {
    v1::Directive directive;
    directive.set_device_id(kDeviceId);
    directive.set_manifest_digest(Sha256(manifest.payload()));
    directive.set_nonce(nonce);
    directive.set_expires_s(now_ms / 1000 + 3600);
    directive.set_rollout_id("rollout-1");
    return directive;
  }
  v1::SignedDocument SignDirective(const v1::Directive& directive) const {
    return SignDocument("fieldloop.directive.v1", directive.SerializeAsString(),
                        {&trust_.directive_key});
  }
  v1::UpdateOffer OfferOf(const v1::SignedDocument& manifest, const std::string& nonce) const {
    v1::UpdateOffer result;
    *result.mutable_manifest() = manifest;
    *result.mutable_directive() = SignDirective(DirectiveFor(manifest, nonce));
    return result;
  }
  // Offers a model until the device reports that it runs it, or that it will not.
  void OfferModel(const std::string& artifact, uint64_t sequence) {
    OfferSet({{v1::COMPONENT_KIND_MODEL, artifact}}, sequence);
  }
  void OfferSet(const ComponentSet& set, uint64_t sequence) {
    for (const auto& [kind, artifact] : set) artifacts[Sha256(artifact)] = artifact;
    const v1::SignedDocument manifest = ManifestOfSet(set, sequence);
    offer = [this, manifest, sequence](const std::string& nonce) -> std::optional<v1::UpdateOffer> {
      for (const v1::UpdateReport& report : reports) {
        if (report.release_sequence() == sequence && report.phase() >= v1::UPDATE_PHASE_CONFIRMED &&
            report.phase() <= v1::UPDATE_PHASE_FAILED) {
          return std::nullopt;
        }
      }
      return OfferOf(manifest, nonce);
    };
  }

  std::vector<v1::UpdatePhase> Phases() const {
    std::vector<v1::UpdatePhase> phases;
    for (const v1::UpdateReport& report : reports) phases.push_back(report.phase());
    return phases;
  }
  template <typename Predicate>
  int Count(Predicate predicate) const {
    return static_cast<int>(std::count_if(received.begin(), received.end(), predicate));
  }

  // --- The connection ---
  bool connected = false;
  void Connect() {
    connected = true;
    ++connections;
    in_.clear();
    out_.clear();
    nonce_.clear();
    sample_.clear();
  }
  void Disconnect() { connected = false; }

  void Write(const uint8_t* data, size_t size) {
    in_.append(reinterpret_cast<const char*>(data), size);
    while (connected && in_.size() >= 2) {
      const size_t frame =
          static_cast<size_t>(static_cast<uint8_t>(in_[0])) << 8 | static_cast<uint8_t>(in_[1]);
      if (in_.size() < frame + 2) return;
      v1::DeviceMessage message;
      ASSERT_TRUE(message.ParseFromArray(in_.data() + 2, static_cast<int>(frame)));
      ASSERT_LE(frame, max_frame_bytes);
      in_.erase(0, frame + 2);
      Handle(message);
      if (frames_until_cut > 0 && --frames_until_cut == 0) {
        frames_until_cut = -1;
        connected = false;
      }
    }
  }
  size_t Read(uint8_t* data, size_t capacity) {
    const size_t size = std::min(capacity, out_.size());
    std::copy_n(out_.begin(), size, data);
    out_.erase(0, size);
    return size;
  }
  void SendRaw(const std::string& bytes) { out_ += bytes; }
  void Send(const v1::ServerMessage& message) {
    const std::string frame = message.SerializeAsString();
    out_.push_back(static_cast<char>(frame.size() >> 8));
    out_.push_back(static_cast<char>(frame.size()));
    out_ += frame;
  }

 private:
  void Ack(uint64_t sequence, const std::string& bytes) {
    const auto [at, inserted] = uplinks.emplace(sequence, bytes);
    EXPECT_EQ(at->second, bytes) << "sequence " << sequence << " was used twice";
    if (!acks) return;
    v1::ServerMessage answer;
    answer.mutable_ack()->set_sequence(sequence);
    Send(answer);
  }

  void Handle(const v1::DeviceMessage& message) {
    received.push_back(message);
    if (intercept) {
      const auto answers = intercept(message);
      if (answers.has_value()) {
        for (const v1::ServerMessage& answer : *answers) Send(answer);
        return;
      }
    }
    v1::ServerMessage answer;
    switch (message.message_case()) {
      case v1::DeviceMessage::kHello: {
        nonce_ = message.hello().nonce();
        if (hello_error.has_value()) {
          *answer.mutable_error() = *hello_error;
          Send(answer);
          return;
        }
        answer.mutable_hello_reply()->set_protocol(1);
        answer.mutable_hello_reply()->set_max_frame_bytes(max_frame_bytes);
        answer.mutable_hello_reply()->set_now_ms(now_ms);
        if (message.hello().want_trace_id()) {
          answer.mutable_hello_reply()->set_trace_id(trace_id);
        }
        Send(answer);
        return;
      }
      case v1::DeviceMessage::kStateReport:
        Ack(message.state_report().sequence(), message.SerializeAsString());
        return;
      case v1::DeviceMessage::kUpdateReport:
        if (uplinks.count(message.update_report().sequence()) == 0) {
          reports.push_back(message.update_report());
        }
        Ack(message.update_report().sequence(), message.SerializeAsString());
        return;
      case v1::DeviceMessage::kSketchReport:
        if (uplinks.count(message.sketch_report().sequence()) == 0) {
          sketches.push_back(message.sketch_report());
        }
        Ack(message.sketch_report().sequence(), message.SerializeAsString());
        return;
      case v1::DeviceMessage::kSampleChunk:
        HandleSample(message.sample_chunk());
        return;
      case v1::DeviceMessage::kCheckIn:
        HandleCheckIn(message.check_in());
        return;
      case v1::DeviceMessage::kArtifactRequest:
        HandleArtifact(message.artifact_request());
        return;
      default:
        return;
    }
  }

  void HandleCheckIn(const v1::CheckIn& check_in) {
    for (const v1::SignedDocument& root : roots) {
      v1::ServerMessage answer;
      *answer.mutable_root() = root;
      Send(answer);
    }
    if (settings.has_value() && settings->version() > check_in.settings_version()) {
      v1::ServerMessage answer;
      *answer.mutable_settings() = *settings;
      Send(answer);
    }
    const std::optional<v1::UpdateOffer> offered =
        offer && !check_in.no_update() ? offer(nonce_) : std::nullopt;
    if (offered.has_value()) {
      v1::ServerMessage answer;
      *answer.mutable_update_offer() = *offered;
      Send(answer);
    }
    v1::ServerMessage answer;
    answer.mutable_check_in_reply()->set_next_check_in_ms(next_check_in_ms);
    Send(answer);
  }

  void HandleArtifact(const v1::ArtifactRequest& request) {
    const auto found = artifacts.find(request.digest());
    if (found == artifacts.end()) {
      v1::ServerMessage answer;
      answer.mutable_error()->set_code(v1::ERROR_CODE_NOT_FOUND);
      Send(answer);
      return;
    }
    const std::string& bytes = found->second;
    ASSERT_LE(request.offset() + request.length(), bytes.size());
    for (uint32_t done = 0; done < request.length();) {
      const uint32_t part = std::min(chunk_bytes, request.length() - done);
      v1::ServerMessage answer;
      answer.mutable_artifact_chunk()->set_artifact(ArtifactWord(request.digest()));
      answer.mutable_artifact_chunk()->set_offset(request.offset() + done);
      answer.mutable_artifact_chunk()->set_data(bytes.substr(request.offset() + done, part));
      Send(answer);
      done += part;
    }
  }

  void HandleSample(const v1::SampleChunk& chunk) {
    ASSERT_EQ(chunk.offset(), sample_.size());
    ASSERT_LE(chunk.data().size(), 1024u);
    if (chunk.offset() == 0) {
      ASSERT_TRUE(chunk.has_header());
      sample_header_ = chunk.header();
    } else {
      EXPECT_FALSE(chunk.has_header());
    }
    sample_ += chunk.data();
    if (sample_.size() < chunk.total_bytes()) return;
    EXPECT_EQ(Sha256(sample_), sample_header_.payload_digest());
    if (sample_payloads.emplace(chunk.sequence(), sample_).second) {
      sample_headers.push_back(sample_header_);
    }
    Ack(chunk.sequence(), sample_header_.SerializeAsString() + sample_);
    sample_.clear();
  }

  const TrustFixture& trust_;
  std::string in_;
  std::string out_;
  std::string nonce_;
  std::string sample_;
  v1::SampleHeader sample_header_;
};

// A bootloader of MCUboot's kind: it swaps the two slots when asked to, and swaps back at the next
// reset unless the firmware that runs was confirmed.
class Bootloader {
 public:
  Bootloader(Power& power, const Geometry& geometry) : power_(power), slot_(power, geometry) {}

  std::string running = "firmware of the factory";
  bool pending = false;  // A swap was asked for.
  bool on_trial = false;
  bool swaps = true;  // False: it does not take what is in the slot, such as for its signature.
  fl_status_t swap_status = FL_OK;
  fl_status_t confirm_status = FL_OK;
  int swap_count = 0;
  int request_count = 0;

  SimFlash& slot() { return slot_; }

  // At a reset.
  void Start() {
    const bool swap = pending ? swaps : on_trial;
    on_trial = pending && swaps;
    pending = false;
    if (swap) {
      std::string next(slot_.bytes().begin(), slot_.bytes().end());
      next.resize(size_);
      size_ = running.size();
      std::vector<uint8_t>& bytes = slot_.bytes();
      std::fill(bytes.begin(), bytes.end(), 0xff);
      std::copy(running.begin(), running.end(), bytes.begin());
      running = next;
      ++swap_count;
    }
  }
  fl_status_t RequestSwap() {
    ++request_count;
    if (swap_status != FL_OK) return swap_status;
    if (!power_.Step()) return FL_ERR_IO;
    pending = true;
    return FL_OK;
  }
  fl_status_t Confirm() {
    if (confirm_status != FL_OK) return confirm_status;
    if (!power_.Step()) return FL_ERR_IO;
    on_trial = false;
    return FL_OK;
  }
  // Firmware images of the tests have one size, as a header would tell.
  void set_download_size(size_t size) { size_ = size; }

 private:
  Power& power_;
  SimFlash slot_;
  size_t size_ = 0;
};

// A device on simulated flash and time, connected to a ScriptedServer. A model whose bytes begin
// with "BAD" fails its self-test.
class Device {
 public:
  Device(const TrustFixture& trust, ScriptedServer& server, uint64_t seed = 1)
      : server_(server),
        root_(trust.SignedRoot(trust.Root()).SerializeAsString()),
        random_state_(seed) {
    config_.project = kProject;
    config_.hardware_id = "sim";
    config_.token = nullptr;
    config_.root = reinterpret_cast<const uint8_t*>(root_.data());
    config_.root_size = root_.size();
    config_.first_contact_ms = 1000;
    FillPort();
    FillApp();
  }

  static Geometry StateGeometry() { return {"State", 4 * 1280, 1280, 8, 0xff}; }
  static Geometry OutboxGeometry() { return {"Outbox", 4 * 16384, 16384, 8, 0xff}; }
  static Geometry SlotGeometry() { return {"Slot", 8 * 1024, 1024, 8, 0xff}; }

  Power power;
  SimFlash state_flash{power, StateGeometry()};
  SimFlash outbox_flash{power, OutboxGeometry()};
  SimFlash slot_flash[2] = {{power, SlotGeometry()}, {power, SlotGeometry()}};
  SimFlash configuration_flash[2] = {{power, SlotGeometry()}, {power, SlotGeometry()}};
  Bootloader bootloader{power, SlotGeometry()};
  std::string configuration;  // That the application took last; empty for its defaults.
  uint64_t now = 0;
  std::unique_ptr<fl_agent_t> agent;
  bool rebooting = false;
  int boots = 0;
  bool enrolled = true;
  uint64_t not_before_ms = kNowMs - 1000;
  uint64_t not_after_ms = kNowMs + 1000ull * 86'400'000;
  uint32_t consent[3] = {0, 0, 0};  // By step.
  std::vector<fl_step_t> asked;     // For consent, in order.
  fl_status_t store_status = FL_OK;
  fl_status_t request_status = FL_OK;
  fl_status_t random_status = FL_OK;
  fl_status_t send_status = FL_OK;
  size_t receive_max = 1'000'000;  // Bytes that one call of receive gives.
  fl_status_t connect_status = FL_OK;
  std::vector<std::string> started;  // Models that model_start opened, in order.
  std::vector<uint64_t> attempts;    // Times at which a connection was begun.
  std::vector<bool> attempts_with_identity;
  std::vector<std::string> stored_certificates;
  std::vector<std::pair<uint64_t, uint32_t>> periods;
  std::vector<uint64_t> chosen;
  bool classifies = true;
  bool has_anomaly = false;  // Of the models that are started from now on.
  float anomaly = 0;         // Score of the windows, with or without the block; anomalous above 0.
  uint64_t signal_ms = kNowMs;

  fl_agent_config_t& config() { return config_; }
  fl_port_t& port() { return port_; }
  fl_app_t& app() { return app_; }

  fl_status_t Boot() {
    server_.Disconnect();
    if (port_.firmware.running != nullptr) bootloader.Start();
    rebooting = false;
    ++boots;
    agent = std::make_unique<fl_agent_t>();
    return fl_agent_init(agent.get(), &port_, &app_, &config_);
  }

  // Polls, lets time pass and restarts until the condition holds or the time is over.
  bool RunUntil(const std::function<bool()>& condition, uint64_t limit_ms = 600'000) {
    const uint64_t end = now + limit_ms;
    while (now < end) {
      if (rebooting && Boot() != FL_OK) return false;
      const uint64_t next = fl_agent_poll(agent.get());
      if (rebooting) continue;
      if (condition()) return true;
      if (!power.on) return false;
      if (next > now) now = std::min(next, end);
    }
    return false;
  }
  void Run(uint64_t ms) {
    RunUntil([] { return false; }, ms);
  }

  // Feeds a window of two axes and four readings.
  void Observe(uint32_t predicted_class = 0, float confidence = 0.9F, uint32_t stride_ms = 1000) {
    if (rebooting || !agent->running.on) return;
    const float values[8] = {0, 1, 2, 3, 4, 5, 6, static_cast<float>(signal_ms % 1000)};
    const uint8_t bin = confidence < 0.5F ? 0 : confidence < 0.8F ? 1 : 2;
    fl_observation_t observation = {};
    observation.start_ms = signal_ms;
    observation.stride_ms = stride_ms;
    observation.first_reading = (signal_ms - kNowMs) / 250;
    observation.classified = classifies;
    observation.predicted_class = predicted_class;
    observation.confidence = confidence;
    observation.anomalous = anomaly > 0;
    observation.anomaly = anomaly;
    observation.channel_bin = &bin;
    observation.channel_value = &confidence;
    observation.values = values;
    observation.value_count = 8;
    fl_agent_observe(agent.get(), &observation);
    signal_ms += stride_ms;
  }

  // Windows and polls until the condition holds, a second at a time.
  bool Live(const std::function<bool()>& condition, int seconds = 600) {
    for (int i = 0; i < seconds && power.on; ++i) {
      if (condition()) return true;
      Observe();
      if (RunUntil(condition, 1000)) return true;
    }
    return condition();
  }

  std::string RunningDigest() const {
    return agent->running.on ? std::string(reinterpret_cast<const char*>(agent->model.digest), 32)
                             : "";
  }

  static constexpr uint32_t kReferenceId = 77;

 private:
  static Device* Self(void* context) { return static_cast<Device*>(context); }

  void FillPort() {
    port_ = {};
    port_.context = this;
    port_.state = state_flash.Area();
    port_.outbox = outbox_flash.Area();
    port_.slot[0] = slot_flash[0].Area();
    port_.slot[1] = slot_flash[1].Area();
    for (int i = 0; i < 2; ++i) port_.configuration[i] = configuration_flash[i].Area();
    port_.firmware.slot = bootloader.slot().Area();
    port_.firmware.running = [](void* context, uint8_t* digest) {
      const std::string sum = Sha256(Self(context)->bootloader.running);
      std::copy(sum.begin(), sum.end(), digest);
      return FL_OK;
    };
    port_.firmware.request_swap = [](void* context) {
      return Self(context)->bootloader.RequestSwap();
    };
    port_.firmware.confirm = [](void* context) { return Self(context)->bootloader.Confirm(); };
    port_.now_ms = [](void* context) { return Self(context)->now; };
    port_.random = [](void* context, void* dst, size_t size) {
      if (Self(context)->random_status != FL_OK) return Self(context)->random_status;
      auto* bytes = static_cast<uint8_t*>(dst);
      for (size_t i = 0; i < size; ++i) {
        uint64_t& state = Self(context)->random_state_;
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = static_cast<uint8_t>(state >> 56);
      }
      return FL_OK;
    };
    port_.connect = [](void* context, bool use_identity) {
      Device* self = Self(context);
      self->attempts.push_back(self->now);
      self->attempts_with_identity.push_back(use_identity);
      if (!self->server_.reachable) return FL_ERR_CLOSED;
      if (self->connect_status == FL_OK) self->server_.Connect();
      return self->connect_status;
    };
    port_.receive = [](void* context, uint8_t* dst, size_t capacity, size_t* size) {
      ScriptedServer& server = Self(context)->server_;
      *size = server.Read(dst, std::min(capacity, Self(context)->receive_max));
      if (*size > 0) return FL_OK;
      return server.connected ? FL_ERR_AGAIN : FL_ERR_CLOSED;
    };
    port_.send = [](void* context, const uint8_t* src, size_t size, size_t* sent) {
      ScriptedServer& server = Self(context)->server_;
      if (Self(context)->send_status != FL_OK) return Self(context)->send_status;
      if (!server.connected) return FL_ERR_CLOSED;
      // In pieces, as a real socket might.
      *sent = std::min<size_t>(size, 700);
      server.Write(src, *sent);
      return FL_OK;
    };
    port_.close = [](void* context) { Self(context)->server_.Disconnect(); };
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
    port_.verify = [](void*, const uint8_t* key, const uint8_t* digest, const uint8_t* signature) {
      return VerifyDigest(key, digest, signature) ? FL_OK : FL_ERR_TRUST;
    };
    port_.identity = [](void* context, fl_identity_t* identity) {
      const Device* self = Self(context);
      if (!self->enrolled) return FL_ERR_NOT_FOUND;
      *identity = {};
      std::copy_n(kDeviceId, sizeof kDeviceId, identity->device_id);
      identity->not_before_ms = self->not_before_ms;
      identity->not_after_ms = self->not_after_ms;
      return FL_OK;
    };
    port_.identity_request = [](void* context, uint8_t* csr, size_t capacity, size_t* size) {
      if (Self(context)->request_status != FL_OK) return Self(context)->request_status;
      const std::string text = "request";
      EXPECT_GE(capacity, text.size());
      std::copy(text.begin(), text.end(), csr);
      *size = text.size();
      return FL_OK;
    };
    port_.identity_store = [](void* context, const uint8_t* certificate, size_t size,
                              const uint8_t*, size_t) {
      Device* self = Self(context);
      if (self->store_status != FL_OK) return self->store_status;
      self->stored_certificates.emplace_back(reinterpret_cast<const char*>(certificate), size);
      self->enrolled = true;
      self->not_before_ms = self->server_.now_ms;
      self->not_after_ms = self->server_.now_ms + 86'400'000;
      return FL_OK;
    };
    port_.reboot = [](void* context) { Self(context)->rebooting = true; };
  }

  void FillApp() {
    app_ = {};
    app_.context = this;
    app_.model_start = [](void* context, uint32_t slot, uint32_t size, const uint8_t* digest,
                          fl_model_info_t* info) {
      Device* self = Self(context);
      const std::vector<uint8_t>& flash = self->slot_flash[slot].bytes();
      const std::string bytes(flash.begin(), flash.begin() + size);
      EXPECT_EQ(Sha256(bytes), std::string(reinterpret_cast<const char*>(digest), 32));
      self->started.push_back(bytes);
      if (bytes.rfind("BAD", 0) == 0) return FL_ERR_SELF_TEST;
      *info = {};
      info->reference_id = kReferenceId;
      info->class_count = 3;
      info->channel_count = 1;
      info->bin_count[0] = 3;
      info->uncertain_below = 0.6F;
      info->has_anomaly = Self(context)->has_anomaly;
      info->frequency_hz = 4;
      info->axes = 2;
      return FL_OK;
    };
    app_.consents = [](void* context, fl_step_t step) {
      Self(context)->asked.push_back(step);
      return Self(context)->consent[step];
    };
    app_.configuration_start = [](void* context, uint32_t slot, uint32_t size,
                                  const uint8_t* digest) {
      Device* self = Self(context);
      if (slot == FL_SLOT_NONE) {
        EXPECT_EQ(size, 0u);
        EXPECT_EQ(digest, nullptr);
        self->configuration.clear();
        return FL_OK;
      }
      const std::vector<uint8_t>& flash = self->configuration_flash[slot].bytes();
      self->configuration.assign(flash.begin(), flash.begin() + size);
      EXPECT_EQ(Sha256(self->configuration),
                std::string(reinterpret_cast<const char*>(digest), 32));
      return self->configuration.rfind("BAD", 0) == 0 ? FL_ERR_UNSUPPORTED : FL_OK;
    };
    app_.period_closed = [](void* context, uint64_t start_ms, uint32_t period_ms) {
      Self(context)->periods.emplace_back(start_ms, period_ms);
    };
    app_.sample_chosen = [](void* context, uint64_t start_ms, fl_reason_t) {
      Self(context)->chosen.push_back(start_ms);
    };
  }

  ScriptedServer& server_;
  const std::string root_;
  uint64_t random_state_;
  fl_agent_config_t config_ = {};
  fl_port_t port_;
  fl_app_t app_;
};

// Bytes of a model; equal texts give equal models.
inline std::string ModelBytes(const std::string& name, size_t size = 3000) {
  std::string bytes = name;
  while (bytes.size() < size) bytes += Sha256(bytes);
  bytes.resize(size);
  return bytes;
}

class AgentTest : public ::testing::Test {
 protected:
  AgentTest() {
    v1::Settings settings;
    settings.set_version(1);
    settings.set_sketch_period_ms(10'000);
    settings.set_trial_windows(5);
    settings.set_trial_timeout_ms(60'000);
    server_.settings = settings;
  }

  // Whether the device runs the set, confirmed, and has nothing left to say.
  bool RunsConfirmed(const ComponentSet& set) const {
    for (const auto& [kind, artifact] : set) {
      const std::string runs = kind == v1::COMPONENT_KIND_MODEL ? device_.RunningDigest()
                               : kind == v1::COMPONENT_KIND_FIRMWARE
                                   ? Sha256(device_.bootloader.running)
                                   : Sha256(device_.configuration);
      if (runs != Sha256(artifact)) return false;
    }
    return !device_.rebooting && !device_.agent->running.on_trial &&
           device_.agent->state.phase == FL_PHASE_IDLE && device_.agent->outbox.live == 0;
  }
  void Offer(const ComponentSet& set, uint64_t sequence) {
    const auto firmware = set.find(v1::COMPONENT_KIND_FIRMWARE);
    if (firmware != set.end()) device_.bootloader.set_download_size(firmware->second.size());
    server_.OfferSet(set, sequence);
  }
  void InstallSet(const ComponentSet& set, uint64_t sequence) {
    if (device_.agent == nullptr) {
      ASSERT_EQ(device_.Boot(), FL_OK);
    }
    Offer(set, sequence);
    ASSERT_TRUE(device_.Live([&] { return RunsConfirmed(set); }));
  }

  // A device that runs and has confirmed a model.
  void InstallModel(const std::string& bytes, uint64_t sequence) {
    if (device_.agent == nullptr) {
      ASSERT_EQ(device_.Boot(), FL_OK);
    }
    server_.OfferModel(bytes, sequence);
    ASSERT_TRUE(device_.Live([&] {
      return device_.agent->running.on && !device_.agent->running.on_trial &&
             device_.RunningDigest() == Sha256(bytes);
    }));
    ASSERT_TRUE(device_.RunUntil([&] { return device_.agent->outbox.live == 0; }));
  }

  TrustFixture trust_;
  ScriptedServer server_{trust_};
  Device device_{trust_, server_};
};

}  // namespace fieldloop::agent

#endif  // FIELDLOOP_TESTS_AGENT_CORE_DEVICE_HARNESS_H_
