// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_SERVER_H_
#define FIELDLOOP_TESTS_FAULTS_SERVER_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/agent.pb.h>

#include "tests/agent/core/signing.h"
#include "tests/faults/shared.h"

namespace fieldloop::faults {

namespace v1 = ::fieldloop::agent::v1;

constexpr uint64_t kNowMs = 1'700'000'000'000;
constexpr uint64_t kDayMs = 86'400'000;
constexpr char kDeviceId[] = "device-1";
constexpr char kProject[] = "motor";
constexpr char kHardware[] = "sim";
constexpr char kToken[] = "token";

// Signatures are slow and these documents are few: each is made, and verified, once.
class Authority {
 public:
  static Authority& Instance();

  const agent::TrustFixture& trust() const { return trust_; }
  const agent::SigningKey& stranger() const { return stranger_; }
  const std::string& root() const { return root_; }
  // The next version of the root document, which both versions signed.
  const v1::SignedDocument& next_root() const { return next_root_; }
  bool Verify(const uint8_t* key, const uint8_t* digest, const uint8_t* signature);
  // The directive that gives a manifest to the device in a session.
  const v1::SignedDocument& Directive(const std::string& manifest_payload, const std::string& nonce,
                                      const std::string& rollout);

 private:
  Authority();

  agent::TrustFixture trust_;
  agent::SigningKey stranger_;
  std::string root_;
  v1::SignedDocument next_root_;
  std::map<std::string, bool> verified_;
  std::map<std::string, v1::SignedDocument> directives_;
};

// What the server offers: a model, or a set with a configuration and a firmware, too.
struct Offer {
  enum Flaw { kNone, kSignedByAStranger, kOtherBytes };

  Offer(std::string artifact_bytes, uint64_t release, Flaw what_is_wrong = kNone,
        std::string configuration_bytes = "", std::string firmware_bytes = "");
  // Of its component of a kind; empty for none.
  const std::string& DigestOf(v1::ComponentKind kind) const;

  std::string artifact;
  std::string digest;
  uint64_t sequence;
  Flaw flaw;
  std::string configuration;  // Empty for none, as are the next three.
  std::string firmware;
  std::string configuration_digest;
  std::string firmware_digest;
  std::string rollout;
  v1::SignedDocument manifest;
  v1::SignedDocument manifest_of_larger;  // The same with another size.
  v1::SignedDocument manifest_of_smaller;
};

// What a server does; shared by all copies of it.
struct Script {
  // What it does wrong, the first few times that there is occasion to.
  enum class Lie {
    kNone,
    kOldDirective,  // Of another session.
    kSizeTooLarge,  // In the manifest.
    kSizeTooSmall,
    kChunkBeyondEnd,
    kChunkOfAnother,  // Of another artifact.
    kChunkElsewhere,  // Another part than was asked for.
    kChunkTooLarge,
    kChunkEmpty,
    kOtherBytes,
    kUnaskedChunk,
    kNotFound,
    kUnavailable,
    kOverloaded,
  };
  static const std::vector<Lie>& Lies();

  Lie lie = Lie::kNone;
  std::vector<Offer> offers;  // The next one when the device has told how the one before ended.
  std::optional<v1::Settings> settings;
  bool next_root = false;
  bool storage_failure_ends = false;  // What ended like that is not offered again.
  uint32_t next_check_in_ms = 5000;
};

// A distribution service as a value: a copy is a snapshot. It answers within the call that wrote.
class Server {
 public:
  struct Report {
    uint64_t sequence;
    v1::UpdatePhase phase;
    v1::UpdateCause cause;
    uint64_t release;
    std::string digest;
  };

  // What arrived. Copies of a server share it until something arrives.
  struct History {
    std::map<uint64_t, uint64_t> uplinks;   // By sequence: hash of the content.
    std::map<uint64_t, uint64_t> sketches;  // By start: sequence.
    std::map<uint64_t, uint64_t> samples;   // By start: sequence.
    std::vector<Report> reports;            // Each sequence once.
    v1::StateReport state;                  // The newest.
    uint32_t dropped = 0;                   // As the device says.
    std::string token_key;                  // That the token was spent on.
    uint64_t certificates = 0;              // Issued.
    std::string complaint;                  // The first thing that no device may do.
    int lies_told = 0;
    uint64_t Hash() const;
  };

  const Script* script = nullptr;
  uint64_t now_ms = kNowMs;
  bool reachable = true;
  Shared<History> history;

  // Of all that its answers depend on, but for the script and the time.
  uint64_t Hash() const;
  // How the release ended, if it has.
  std::optional<v1::UpdatePhase> Ended(uint64_t release) const;

  // --- The connection ---
  void Connect(const std::string& certificate, const std::string& key);
  void Disconnect();
  bool connected() const { return connected_; }
  void Write(const uint8_t* data, size_t size);
  size_t Read(uint8_t* data, size_t capacity);

 private:
  void Complain(const std::string& what);
  void Send(const v1::ServerMessage& message);
  // content: hash of it.
  void Ack(uint64_t sequence, uint64_t content);
  // Something with a start must come under one sequence.
  void NoteOnce(std::map<uint64_t, uint64_t> History::*map, uint64_t start, uint64_t sequence,
                const char* complaint);
  void Handle(const v1::DeviceMessage& message);
  void HandleReport(const v1::UpdateReport& report);
  void HandleSample(const v1::SampleChunk& chunk);
  void HandleCheckIn(const v1::CheckIn& check_in);
  void HandleArtifact(const v1::ArtifactRequest& request);
  void HandleRequest(const std::string& csr);
  bool Lies(Script::Lie lie);
  void SendError(v1::ErrorCode code);

  bool connected_ = false;
  bool known_ = false;
  uint32_t root_version_ = 0;
  std::string nonce_;
  std::string in_;
  std::string out_;
  uint64_t sample_bytes_ = 0;  // Of the recording that is coming, that came.
  Hasher sample_;
  uint64_t sample_start_ = 0;
};

// Certificates of this world: the public key, which is the digest of the private one, and times.
std::string MakeCertificate(const std::string& public_key, uint64_t not_before, uint64_t not_after);
bool ParseCertificate(const std::string& certificate, std::string* public_key, uint64_t* not_before,
                      uint64_t* not_after);

// Bytes of a model; equal names and sizes give equal models.
std::string ModelBytes(const std::string& name, size_t size);

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_SERVER_H_
