// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FUZZ_AGENT_SCRIPTS_H_
#define FIELDLOOP_TESTS_FUZZ_AGENT_SCRIPTS_H_

#include <map>
#include <string>
#include <vector>

#include "tests/fuzz/agent_device.h"

namespace fieldloop::fuzz {

// What servers say, by what it makes a device do. Each begins after the HelloReply.
inline std::map<std::string, std::vector<v1::ServerMessage>> Scripts() {
  const auto message = [](auto fill) {
    v1::ServerMessage made;
    fill(made);
    return made;
  };
  const auto chunk = [&](const std::string& model, std::uint32_t offset, std::uint32_t size) {
    return message([&](v1::ServerMessage& made) {
      v1::ArtifactChunk& part = *made.mutable_artifact_chunk();
      std::uint32_t artifact = 0;
      std::memcpy(&artifact, Digest(model).data(), sizeof artifact);
      part.set_artifact(artifact);
      part.set_offset(offset);
      part.set_data(model.substr(offset, size));
    });
  };
  const auto offer = [&](const v1::ReleaseManifest& manifest) {
    return message(
        [&](v1::ServerMessage& made) { *made.mutable_update_offer() = Offer(manifest); });
  };
  const auto ack = [&](std::uint64_t sequence) {
    return message([&](v1::ServerMessage& made) { made.mutable_ack()->set_sequence(sequence); });
  };
  const auto error = [&](v1::ErrorCode code) {
    return message([&](v1::ServerMessage& made) {
      made.mutable_error()->set_code(code);
      made.mutable_error()->set_retry_after_ms(1000);
      made.mutable_error()->set_detail("no");
      made.mutable_error()->set_sequence(2);
    });
  };
  const v1::ServerMessage check_in_reply = message(
      [](v1::ServerMessage& made) { made.mutable_check_in_reply()->set_next_check_in_ms(60'000); });
  const v1::ServerMessage settings = message([](v1::ServerMessage& made) {
    v1::Settings& given = *made.mutable_settings();
    given.set_version(2);
    given.set_sketch_period_ms(5000);
    given.set_trial_windows(2);
    given.set_trial_timeout_ms(30'000);
    given.mutable_collection()->set_samples_per_period(2);
    given.mutable_collection()->set_samples_total(10);
    given.mutable_collection()->set_plan_id(3);
    given.mutable_collection()->set_random_share(0.5F);
  });
  const v1::ServerMessage certificate = message([](v1::ServerMessage& made) {
    made.mutable_certificate_reply()->set_certificate("certificate");
    made.mutable_certificate_reply()->set_issuer("issuer");
  });
  const v1::ServerMessage root =
      message([](v1::ServerMessage& made) { *made.mutable_root() = SignedRoot(2); });

  v1::ReleaseManifest set = Manifest(3, AgentDevice::Model("NEXT"));
  const std::string configuration = "configuration";
  v1::ReleaseComponent& component = *set.add_components();
  component.set_kind(v1::COMPONENT_KIND_CONFIGURATION);
  component.set_digest(Digest(configuration));
  component.set_size_bytes(static_cast<std::uint32_t>(configuration.size()));
  const std::string firmware = AgentDevice::Model("FIRM");
  v1::ReleaseManifest firm;
  firm.set_project(kProject);
  firm.set_sequence(4);
  firm.add_hardware_ids(kHardwareId);
  firm.add_components()->set_kind(v1::COMPONENT_KIND_FIRMWARE);
  firm.mutable_components(0)->set_digest(Digest(firmware));
  firm.mutable_components(0)->set_size_bytes(static_cast<std::uint32_t>(firmware.size()));

  const std::string next = AgentDevice::Model("NEXT");
  const std::string bad = AgentDevice::Model("BAD ");
  return {
      {"idle", {ack(1), check_in_reply, ack(2)}},
      {"settings", {ack(1), settings, check_in_reply, ack(2), ack(3)}},
      {"update",
       {ack(1), offer(Manifest(2, next)), check_in_reply, chunk(next, 0, 512),
        chunk(next, 512, 188), ack(2), ack(3)}},
      {"resumed", {ack(1), offer(Manifest(2, next)), check_in_reply, chunk(next, 512, 188)}},
      {"bad model",
       {ack(1), offer(Manifest(2, bad)), check_in_reply, chunk(bad, 0, 600), chunk(bad, 600, 100)}},
      {"wrong bytes", {ack(1), offer(Manifest(2, next)), chunk(bad, 0, 700)}},
      {"set",
       {ack(1), offer(set), check_in_reply, chunk(next, 0, 700), chunk(configuration, 0, 13),
        ack(2)}},
      {"firmware", {ack(1), offer(firm), check_in_reply, chunk(firmware, 0, 700), ack(2)}},
      {"rollback", {ack(1), offer(Manifest(0, next)), check_in_reply}},
      {"what runs", {ack(1), offer(Manifest(5, AgentDevice::Model("GOOD"))), check_in_reply}},
      {"certificate", {certificate, ack(1)}},
      {"root", {ack(1), root, check_in_reply}},
      {"overloaded", {error(v1::ERROR_CODE_OVERLOADED)}},
      {"not found", {ack(1), error(v1::ERROR_CODE_NOT_FOUND)}},
      {"unavailable", {ack(1), error(v1::ERROR_CODE_UNAVAILABLE)}},
      {"rejected", {ack(1), error(v1::ERROR_CODE_REJECTED), check_in_reply}},
  };
}

inline v1::ServerMessage HelloReply() {
  v1::ServerMessage reply;
  reply.mutable_hello_reply()->set_protocol(1);
  reply.mutable_hello_reply()->set_max_frame_bytes(4096);
  reply.mutable_hello_reply()->set_now_ms(kNowMs);
  return reply;
}

// A frame of the protocol.
inline std::string Frame(const std::string& body) {
  return std::string{static_cast<char>(body.size() >> 8), static_cast<char>(body.size())} + body;
}

}  // namespace fieldloop::fuzz

#endif  // FIELDLOOP_TESTS_FUZZ_AGENT_SCRIPTS_H_
