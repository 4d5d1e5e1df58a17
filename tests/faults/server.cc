// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/server.h"

#include <algorithm>
#include <cstring>

namespace fieldloop::faults {
namespace {

constexpr uint32_t kChunkBytes = 1024;
constexpr uint32_t kMaxFrame = 4096;
constexpr int kLiesTold = 3;
constexpr char kCertificateMark[] = "CERT";

uint64_t HashOf(const std::string& bytes) { return Hasher().Add(bytes).Get(); }

}  // namespace

Authority& Authority::Instance() {
  static Authority authority;
  return authority;
}

Authority::Authority() : root_(trust_.SignedRoot(trust_.Root()).SerializeAsString()) {
  // The same keys: what was signed before still counts.
  const v1::RootDocument next = trust_.Root(2);
  next_root_ = trust_.SignedRoot(next);
}

bool Authority::Verify(const uint8_t* key, const uint8_t* digest, const uint8_t* signature) {
  std::string what(reinterpret_cast<const char*>(key), 65);
  what.append(reinterpret_cast<const char*>(digest), 32);
  what.append(reinterpret_cast<const char*>(signature), 64);
  const auto [at, inserted] = verified_.emplace(std::move(what), false);
  if (inserted) at->second = agent::VerifyDigest(key, digest, signature);
  return at->second;
}

const v1::SignedDocument& Authority::Directive(const std::string& manifest_payload,
                                               const std::string& nonce,
                                               const std::string& rollout) {
  const std::string digest = agent::Sha256(manifest_payload);
  const auto [at, inserted] = directives_.emplace(digest + nonce + rollout, v1::SignedDocument());
  if (inserted) {
    v1::Directive directive;
    directive.set_device_id(kDeviceId);
    directive.set_manifest_digest(digest);
    directive.set_nonce(nonce);
    directive.set_expires_s(kNowMs / 1000 + 365 * 86400);
    directive.set_rollout_id(rollout);
    at->second = agent::SignDocument("fieldloop.directive.v1", directive.SerializeAsString(),
                                     {&trust_.directive_key});
  }
  return at->second;
}

Offer::Offer(std::string artifact_bytes, uint64_t release, Flaw what_is_wrong,
             std::string configuration_bytes, std::string firmware_bytes)
    : artifact(std::move(artifact_bytes)),
      digest(agent::Sha256(artifact)),
      sequence(release),
      flaw(what_is_wrong),
      configuration(std::move(configuration_bytes)),
      firmware(std::move(firmware_bytes)),
      configuration_digest(configuration.empty() ? "" : agent::Sha256(configuration)),
      firmware_digest(firmware.empty() ? "" : agent::Sha256(firmware)),
      rollout("rollout-" + std::to_string(release)) {
  const Authority& authority = Authority::Instance();
  const auto signed_manifest = [&](size_t size) {
    v1::ReleaseManifest document;
    document.set_project(kProject);
    document.set_sequence(sequence);
    const auto add = [&](v1::ComponentKind kind, const std::string& name, size_t bytes) {
      if (bytes == 0) return;
      v1::ReleaseComponent* component = document.add_components();
      component->set_kind(kind);
      component->set_digest(name);
      component->set_size_bytes(static_cast<uint32_t>(bytes));
      component->set_version("1");
    };
    add(v1::COMPONENT_KIND_MODEL, digest, size);
    add(v1::COMPONENT_KIND_CONFIGURATION, configuration_digest, configuration.size());
    add(v1::COMPONENT_KIND_FIRMWARE, firmware_digest, firmware.size());
    v1::SignedDocument result = agent::SignDocument(
        "fieldloop.manifest.v1", document.SerializeAsString(),
        {flaw == kSignedByAStranger ? &authority.stranger() : &authority.trust().release_key});
    // Whoever signs may say that it was someone else.
    result.mutable_signatures(0)->set_key_id(authority.trust().release_key.KeyId());
    return result;
  };
  manifest = signed_manifest(artifact.size());
  manifest_of_larger = signed_manifest(artifact.size() + 100);
  manifest_of_smaller = signed_manifest(artifact.size() - 100);
  if (flaw == kOtherBytes) artifact[artifact.size() / 2] ^= 1;
}

uint64_t Server::History::Hash() const {
  Hasher hasher;
  for (const auto* map : {&uplinks, &sketches, &samples}) {
    for (const auto& [key, value] : *map) hasher.Add(key).Add(value);
    hasher.Add(map->size());
  }
  for (const Report& report : reports) {
    hasher.Add(report.sequence).Add(report.phase).Add(report.cause).Add(report.release);
    hasher.Add(report.digest);
  }
  return hasher.Add(state.SerializeAsString())
      .Add(dropped)
      .Add(token_key)
      .Add(certificates)
      .Add(complaint)
      .Add(static_cast<uint64_t>(lies_told))
      .Get();
}

uint64_t Server::Hash() const {
  Hasher hasher;
  hasher.Add(history.Hash()).Add(connected_ ? 1 : 0).Add(reachable ? 1 : 0);
  // A connection begins with nothing of the one before.
  if (!connected_) return hasher.Get();
  return hasher.Add(known_ ? 1 : 0)
      .Add(root_version_)
      .Add(nonce_)
      .Add(in_)
      .Add(out_)
      .Add(sample_bytes_)
      .Add(sample_.Get())
      .Add(sample_start_)
      .Get();
}

std::string MakeCertificate(const std::string& public_key, uint64_t not_before,
                            uint64_t not_after) {
  std::string certificate = kCertificateMark + public_key;
  certificate.append(reinterpret_cast<const char*>(&not_before), sizeof not_before);
  certificate.append(reinterpret_cast<const char*>(&not_after), sizeof not_after);
  return certificate;
}

bool ParseCertificate(const std::string& certificate, std::string* public_key, uint64_t* not_before,
                      uint64_t* not_after) {
  if (certificate.size() != 4 + 32 + 16 || certificate.compare(0, 4, kCertificateMark) != 0) {
    return false;
  }
  *public_key = certificate.substr(4, 32);
  std::memcpy(not_before, certificate.data() + 36, 8);
  std::memcpy(not_after, certificate.data() + 44, 8);
  return true;
}

std::string ModelBytes(const std::string& name, size_t size) {
  std::string bytes = name;
  while (bytes.size() < size)
    bytes += agent::Sha256(bytes.substr(bytes.size() - std::min<size_t>(bytes.size(), 64)));
  bytes.resize(size);
  return bytes;
}

const std::string& Offer::DigestOf(v1::ComponentKind kind) const {
  return kind == v1::COMPONENT_KIND_CONFIGURATION ? configuration_digest
         : kind == v1::COMPONENT_KIND_FIRMWARE    ? firmware_digest
                                                  : digest;
}

std::optional<v1::UpdatePhase> Server::Ended(uint64_t release) const {
  std::optional<v1::UpdatePhase> ended;
  for (const Report& report : history->reports) {
    if (report.release != release) continue;
    if (report.phase == v1::UPDATE_PHASE_CONFIRMED || report.phase == v1::UPDATE_PHASE_REVERTED) {
      ended = report.phase;
    }
    // Flash that failed, and a server that lies, may do better another time.
    if (report.phase == v1::UPDATE_PHASE_FAILED && script->lie == Script::Lie::kNone &&
        (report.cause != v1::UPDATE_CAUSE_STORAGE || script->storage_failure_ends)) {
      ended = report.phase;
    }
  }
  return ended;
}

const std::vector<Script::Lie>& Script::Lies() {
  static const std::vector<Lie> kAll = {
      Lie::kOldDirective,   Lie::kSizeTooLarge,   Lie::kSizeTooSmall,  Lie::kChunkBeyondEnd,
      Lie::kChunkOfAnother, Lie::kChunkElsewhere, Lie::kChunkTooLarge, Lie::kChunkEmpty,
      Lie::kOtherBytes,     Lie::kUnaskedChunk,   Lie::kNotFound,      Lie::kUnavailable,
      Lie::kOverloaded};
  return kAll;
}

bool Server::Lies(Script::Lie lie) {
  return script->lie == lie && history->lies_told < kLiesTold && ++history.Change().lies_told > 0;
}

void Server::SendError(v1::ErrorCode code) {
  v1::ServerMessage answer;
  answer.mutable_error()->set_code(code);
  Send(answer);
}

void Server::Complain(const std::string& what) {
  if (history->complaint.empty()) history.Change().complaint = what;
}

void Server::Connect(const std::string& certificate, const std::string& key) {
  Disconnect();
  connected_ = true;
  std::string public_key;
  uint64_t not_before = 0;
  uint64_t not_after = 0;
  known_ = false;
  if (certificate.empty()) return;
  known_ = ParseCertificate(certificate, &public_key, &not_before, &not_after) &&
           public_key == agent::Sha256(key);
  if (!known_) Complain("a certificate that is not for the key was presented");
}

void Server::Disconnect() {
  connected_ = false;
  in_.clear();
  out_.clear();
  nonce_.clear();
  sample_bytes_ = 0;
}

void Server::Write(const uint8_t* data, size_t size) {
  in_.append(reinterpret_cast<const char*>(data), size);
  while (connected_ && in_.size() >= 2) {
    const size_t frame =
        static_cast<size_t>(static_cast<uint8_t>(in_[0])) << 8 | static_cast<uint8_t>(in_[1]);
    if (in_.size() < frame + 2) return;
    v1::DeviceMessage message;
    if (frame > kMaxFrame || !message.ParseFromArray(in_.data() + 2, static_cast<int>(frame))) {
      Complain("a frame that cannot be read");
      connected_ = false;
      return;
    }
    in_.erase(0, frame + 2);
    Handle(message);
  }
}

size_t Server::Read(uint8_t* data, size_t capacity) {
  const size_t size = std::min(capacity, out_.size());
  std::copy_n(out_.begin(), size, data);
  out_.erase(0, size);
  return size;
}

void Server::Send(const v1::ServerMessage& message) {
  const size_t size = message.ByteSizeLong();
  out_.push_back(static_cast<char>(size >> 8));
  out_.push_back(static_cast<char>(size));
  message.AppendToString(&out_);
}

void Server::Ack(uint64_t sequence, uint64_t content) {
  const auto known = history->uplinks.find(sequence);
  if (known == history->uplinks.end()) {
    history.Change().uplinks.emplace(sequence, content);
  } else if (known->second != content) {
    Complain("sequence " + std::to_string(sequence) + " came with two contents");
  }
  v1::ServerMessage answer;
  answer.mutable_ack()->set_sequence(sequence);
  Send(answer);
}

void Server::Handle(const v1::DeviceMessage& message) {
  if (!known_ && !message.has_hello() && !message.has_enroll_request()) {
    Complain("a device without a certificate asks for more than one");
    return;
  }
  switch (message.message_case()) {
    case v1::DeviceMessage::kHello: {
      nonce_ = message.hello().nonce();
      root_version_ = message.hello().root_version();
      v1::ServerMessage answer;
      answer.mutable_hello_reply()->set_protocol(1);
      answer.mutable_hello_reply()->set_max_frame_bytes(kMaxFrame);
      answer.mutable_hello_reply()->set_now_ms(now_ms);
      Send(answer);
      return;
    }
    case v1::DeviceMessage::kStateReport: {
      History& changed = history.Change();
      changed.state = message.state_report();
      changed.dropped = std::max(changed.dropped, changed.state.dropped_uplinks());
      Ack(message.state_report().sequence(), HashOf(message.SerializeAsString()));
      return;
    }
    case v1::DeviceMessage::kUpdateReport:
      HandleReport(message.update_report());
      Ack(message.update_report().sequence(), HashOf(message.SerializeAsString()));
      return;
    case v1::DeviceMessage::kSketchReport: {
      const v1::SketchReport& sketch = message.sketch_report();
      NoteOnce(&History::sketches, sketch.start_ms(), sketch.sequence(),
               "a sketch came under two sequences");
      Ack(sketch.sequence(), HashOf(message.SerializeAsString()));
      return;
    }
    case v1::DeviceMessage::kSampleChunk:
      HandleSample(message.sample_chunk());
      return;
    case v1::DeviceMessage::kCheckIn:
      HandleCheckIn(message.check_in());
      return;
    case v1::DeviceMessage::kArtifactRequest:
      HandleArtifact(message.artifact_request());
      return;
    case v1::DeviceMessage::kEnrollRequest:
      if (message.enroll_request().token() != kToken) Complain("another token");
      HandleRequest(message.enroll_request().csr());
      return;
    case v1::DeviceMessage::kRenewRequest:
      HandleRequest(message.renew_request().csr());
      return;
    default:
      return;
  }
}

void Server::NoteOnce(std::map<uint64_t, uint64_t> History::*map, uint64_t start, uint64_t sequence,
                      const char* complaint) {
  const auto known = ((*history).*map).find(start);
  if (known == ((*history).*map).end()) {
    (history.Change().*map).emplace(start, sequence);
  } else if (known->second != sequence) {
    Complain(complaint);
  }
}

void Server::HandleReport(const v1::UpdateReport& report) {
  if (history->uplinks.count(report.sequence()) != 0) return;
  history.Change().reports.push_back({report.sequence(), report.phase(), report.cause(),
                                      report.release_sequence(), report.active_digest()});
}

void Server::HandleSample(const v1::SampleChunk& chunk) {
  if (chunk.offset() == 0) sample_bytes_ = 0;  // The device gave the one before up.
  if (chunk.offset() != sample_bytes_ || (chunk.offset() == 0) != chunk.has_header()) {
    Complain("a recording does not come in order");
    return;
  }
  if (chunk.has_header()) {
    sample_ = Hasher();
    sample_start_ = chunk.header().start_ms();
  }
  sample_bytes_ += chunk.data().size();
  sample_.Add(chunk.data());
  if (sample_bytes_ < chunk.total_bytes()) return;
  NoteOnce(&History::samples, sample_start_, chunk.sequence(),
           "a recording came under two sequences");
  Ack(chunk.sequence(), sample_.Get());
  sample_bytes_ = 0;
}

void Server::HandleCheckIn(const v1::CheckIn& check_in) {
  if (script->next_root && root_version_ < 2) {
    v1::ServerMessage answer;
    *answer.mutable_root() = Authority::Instance().next_root();
    Send(answer);
  }
  if (script->settings.has_value() && script->settings->version() > check_in.settings_version()) {
    v1::ServerMessage answer;
    *answer.mutable_settings() = *script->settings;
    Send(answer);
  }
  const v1::StateReport& state = history->state;
  // What has not ended; else what was confirmed and runs no more.
  auto offer = std::find_if(script->offers.begin(), script->offers.end(),
                            [&](const Offer& o) { return !Ended(o.sequence).has_value(); });
  for (auto at = script->offers.begin(); offer == script->offers.end() && at != offer; ++at) {
    const bool runs =
        state.components_size() > 0 &&
        std::all_of(state.components().begin(), state.components().end(),
                    [&](const v1::ComponentState& component) {
                      return component.active_digest() == at->DigestOf(component.kind());
                    });
    const bool newest = state.confirmed_release_sequence() == at->sequence;
    if (newest && !runs && Ended(at->sequence) == v1::UPDATE_PHASE_CONFIRMED) offer = at;
  }
  if (offer != script->offers.end() && !check_in.no_update()) {
    const v1::SignedDocument& manifest =
        Lies(Script::Lie::kSizeTooLarge)   ? offer->manifest_of_larger
        : Lies(Script::Lie::kSizeTooSmall) ? offer->manifest_of_smaller
                                           : offer->manifest;
    const std::string nonce = Lies(Script::Lie::kOldDirective) ? "of another time." : nonce_;
    v1::ServerMessage answer;
    *answer.mutable_update_offer()->mutable_manifest() = manifest;
    *answer.mutable_update_offer()->mutable_directive() =
        Authority::Instance().Directive(manifest.payload(), nonce, offer->rollout);
    Send(answer);
  }
  if (Lies(Script::Lie::kUnavailable)) {
    SendError(v1::ERROR_CODE_UNAVAILABLE);
    return;
  }
  if (Lies(Script::Lie::kOverloaded)) {
    SendError(v1::ERROR_CODE_OVERLOADED);
    return;
  }
  if (Lies(Script::Lie::kUnaskedChunk)) {
    v1::ServerMessage unasked;
    unasked.mutable_artifact_chunk()->set_data(std::string(100, 'x'));
    Send(unasked);
  }
  v1::ServerMessage answer;
  answer.mutable_check_in_reply()->set_next_check_in_ms(script->next_check_in_ms);
  Send(answer);
}

void Server::HandleArtifact(const v1::ArtifactRequest& request) {
  const std::string* artifact = nullptr;
  for (const Offer& offer : script->offers) {
    artifact = offer.digest == request.digest()                 ? &offer.artifact
               : offer.configuration_digest == request.digest() ? &offer.configuration
               : offer.firmware_digest == request.digest()      ? &offer.firmware
                                                                : artifact;
  }
  if (artifact == nullptr || Lies(Script::Lie::kNotFound)) {
    SendError(v1::ERROR_CODE_NOT_FOUND);
    return;
  }
  const auto size = static_cast<uint32_t>(artifact->size());
  uint32_t length = request.length();
  if (length > size || request.offset() > size - length) {
    if (script->lie != Script::Lie::kSizeTooLarge) {
      Complain("a part beyond the end of an artifact was asked for");
      return;
    }
    if (request.offset() >= size) {
      SendError(v1::ERROR_CODE_NOT_FOUND);
      return;
    }
    length = size - request.offset();
  }
  for (uint32_t done = 0; done < length;) {
    const uint32_t part = std::min(kChunkBytes, length - done);
    v1::ServerMessage answer;
    v1::ArtifactChunk* chunk = answer.mutable_artifact_chunk();
    uint32_t name = 0;
    std::memcpy(&name, request.digest().data(), sizeof name);
    chunk->set_artifact(name);
    chunk->set_offset(request.offset() + done);
    chunk->set_data(artifact->substr(request.offset() + done, part));
    if (Lies(Script::Lie::kChunkOfAnother)) chunk->set_artifact(name + 1);
    if (Lies(Script::Lie::kChunkElsewhere)) chunk->set_offset(chunk->offset() + 1);
    if (Lies(Script::Lie::kChunkTooLarge)) chunk->set_data(std::string(1500, 'x'));
    if (Lies(Script::Lie::kChunkEmpty)) chunk->clear_data();
    if (Lies(Script::Lie::kOtherBytes)) chunk->mutable_data()->front() ^= 1;
    if (done + part == length && Lies(Script::Lie::kChunkBeyondEnd)) {
      chunk->set_data(std::string(kChunkBytes, 'x'));
    }
    Send(answer);
    done += part;
  }
}

void Server::HandleRequest(const std::string& csr) {
  v1::ServerMessage answer;
  if (!known_) {
    // A token is good for one key, however often that is asked for.
    if (!history->token_key.empty() && history->token_key != csr) {
      Complain("the token was used for two keys");
      SendError(v1::ERROR_CODE_REFUSED);
      return;
    }
    history.Change().token_key = csr;
  }
  ++history.Change().certificates;
  answer.mutable_certificate_reply()->set_certificate(
      MakeCertificate(csr, now_ms, now_ms + 90 * kDayMs));
  answer.mutable_certificate_reply()->set_issuer("issuer");
  Send(answer);
}

}  // namespace fieldloop::faults
