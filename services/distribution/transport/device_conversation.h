// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_CONVERSATION_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_CONVERSATION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/agent.pb.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/trace/span.h"
#include "services/distribution/domain/backends.h"
#include "services/distribution/domain/catalogs.h"
#include "services/distribution/domain/device_table.h"
#include "services/distribution/domain/fleet_service.h"
#include "services/distribution/domain/rollout_service.h"
#include "services/distribution/transport/device_metrics.h"
#include "services/distribution/transport/offer_signer.h"
#include "services/distribution/transport/sample_assembly.h"

namespace fieldloop::distribution {

// Largest frame that the server takes, without its length.
inline constexpr std::uint32_t kMaxDeviceFrameBytes = 4096;

// What conversations work with; every object must outlive them, and is thread-safe.
struct DeviceServices {
  DeviceTable& devices;
  DeviceIdentity& identity;
  FleetService& fleet;
  RolloutService& rollouts;
  RootCatalog& roots;
  ModelCatalog& models;
  ArtifactCache& artifacts;
  SketchArchive& sketches;
  SampleArchive& samples;
  OfferSigner& signer;
  SampleBudget& sample_budget;
  DeviceMetrics& metrics;
  const Clock& clock;
  std::function<double()> random;  // Uniform in [0, 1).
};

// What is sent for one message.
struct DeviceAnswer {
  std::vector<agent::v1::ServerMessage> messages;
  bool close = false;       // The session ends after them.
  absl::Duration patience;  // How long the device may be silent now.
};

// Where a message is worked on, so that a slow service behind us keeps no check-in waiting.
enum class DeviceLane { kLocal, kRemote };

agent::v1::ServerMessage MakeError(agent::v1::ErrorCode code, absl::string_view detail,
                                   std::uint32_t retry_after_ms = 0, std::uint64_t sequence = 0);

// The device's certificate, verified but for its end.
struct DeviceCertificate {
  std::string common_name;  // Empty without a certificate.
  bool expired = false;     // It may be renewed, and is good for nothing else.
};

// One session of the device protocol, free of sockets. Not thread-safe: messages are handed in one
// after the other; each call may block.
class DeviceConversation {
 public:
  // The session is a trace: a span from here to the end, and one for each message but check-ins
  // that change nothing.
  DeviceConversation(DeviceServices& services, DeviceCertificate certificate);

  DeviceLane LaneOf(const agent::v1::DeviceMessage& message) const;
  DeviceAnswer Handle(const agent::v1::DeviceMessage& message);

  // The device's name, "" without a certificate. Constant: may be read by any thread.
  const std::string& device() const { return device_; }

 private:
  using Sequence = std::uint64_t;

  void OnHello(const agent::v1::Hello& hello, DeviceAnswer& answer);
  void OnCheckIn(const agent::v1::CheckIn& check_in, DeviceAnswer& answer);
  absl::Status AddOffer(DeviceAnswer& answer);
  void OnStateReport(const agent::v1::StateReport& report, DeviceAnswer& answer);
  void OnArtifactRequest(const agent::v1::ArtifactRequest& request, DeviceAnswer& answer);
  void OnUpdateReport(const agent::v1::UpdateReport& report, DeviceAnswer& answer);
  void OnSketchReport(const agent::v1::SketchReport& report, DeviceAnswer& answer);
  void OnSampleChunk(const agent::v1::SampleChunk& chunk, DeviceAnswer& answer);
  absl::Status RecordSample(const AssembledSample& sample);
  void OnEnroll(const agent::v1::EnrollRequest& request, DeviceAnswer& answer);
  void OnRenew(const agent::v1::RenewRequest& request, DeviceAnswer& answer);
  void AddCertificate(const std::string& kind, const absl::StatusOr<IssuedCertificate>& issued,
                      DeviceAnswer& answer);

  // Looks whether the device may have a session. Adds the error that ends it otherwise.
  bool Authorize(DeviceAnswer& answer);
  void AddNewerRoots(DeviceAnswer& answer);
  // Answers an uplink: an Ack, or the error that `status` stands for.
  void Acknowledge(const std::string& kind, Sequence sequence, const absl::Status& status,
                   DeviceAnswer& answer);
  void Fail(agent::v1::ErrorCode code, absl::string_view detail, DeviceAnswer& answer);
  void AddUnavailable(const absl::Status& status, DeviceAnswer& answer);

  DeviceServices& services_;
  const std::string common_name_;
  const bool expired_;
  const std::string device_;
  Span span_;  // Of the session, whose trace is that of all its messages.
  std::string project_;
  std::optional<agent::v1::Hello> hello_;
  std::uint32_t root_version_ = 0;  // That the device has, with what was sent in this session.
  // What it runs, once it has said so in this session.
  std::optional<std::vector<ComponentState>> components_;
  std::int64_t offered_rollout_ = 0;  // In this session; 0: none.
  std::vector<std::string> artifact_digests_;
  absl::Time artifacts_checked_ = absl::InfinitePast();
  int refused_enrollments_ = 0;
  absl::Duration patience_;
  SampleAssembly sample_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_CONVERSATION_H_
