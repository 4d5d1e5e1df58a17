// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/device_conversation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/log/log.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {
namespace {

using agent::v1::DeviceMessage;
using agent::v1::ServerMessage;

constexpr std::uint32_t kProtocol = 1;
constexpr std::uint32_t kMinFrameBytes = 2560;
constexpr std::uint32_t kMaxFrameBytes = 65535;
constexpr std::size_t kNonceBytes = 16;
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kMaxDetailBytes = 95;
constexpr int kMaxRefusedEnrollments = 3;
// Bytes of one answer to an ArtifactRequest: bounds the memory of a session whose device is slow.
constexpr std::int64_t kMaxAnswerBytes = 8192;
constexpr std::int64_t kMaxChunkBytes = 1024;
// Of an ArtifactChunk beyond its data: field tags, lengths, the offset and the artifact.
constexpr std::int64_t kChunkOverheadBytes = 32;
// A download is asked about again after this time, so that it ends with its rollout.
constexpr absl::Duration kOfferAge = absl::Seconds(2);
constexpr absl::Duration kSilence = absl::Minutes(5);  // Until the first check-in.
constexpr double kRetryMinMs = 1000;
constexpr double kRetryMaxMs = 5000;
constexpr double kJitter = 0.1;

// See ArtifactChunk.artifact.
std::uint32_t FirstWord(const std::string& digest) {
  std::uint32_t word = 0;
  for (std::size_t i = 4; i-- > 0;) {
    word = word << 8U | static_cast<unsigned char>(digest[i]);
  }
  return word;
}

// "check_in".
std::string NameOf(DeviceMessage::MessageCase kind) {
  const auto* field = DeviceMessage::descriptor()->FindFieldByNumber(kind);
  return field == nullptr ? "nothing" : field->name();
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsInvalidArgument(status) ||
         absl::IsNotFound(status) || absl::IsFailedPrecondition(status) ||
         absl::IsAlreadyExists(status);
}

// Errors of which a repeat of the same uplink can never be cured.
bool IsHopeless(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status);
}

std::string CauseName(agent::v1::UpdateCause cause) {
  if (cause == agent::v1::UPDATE_CAUSE_UNSPECIFIED) {
    return "";
  }
  const std::string& name = agent::v1::UpdateCause_Name(cause);
  constexpr absl::string_view kPrefix = "UPDATE_CAUSE_";
  // A cause of a newer agent has a number only.
  return name.empty() ? absl::StrCat(static_cast<int>(cause)) : name.substr(kPrefix.size());
}

std::optional<UpdatePhase> PhaseOf(agent::v1::UpdatePhase phase) {
  switch (phase) {
    case agent::v1::UPDATE_PHASE_ACCEPTED:
      return UpdatePhase::kAccepted;
    case agent::v1::UPDATE_PHASE_DOWNLOADED:
      return UpdatePhase::kDownloaded;
    case agent::v1::UPDATE_PHASE_TRIAL:
      return UpdatePhase::kTrial;
    case agent::v1::UPDATE_PHASE_CONFIRMED:
      return UpdatePhase::kConfirmed;
    case agent::v1::UPDATE_PHASE_REVERTED:
      return UpdatePhase::kReverted;
    case agent::v1::UPDATE_PHASE_FAILED:
      return UpdatePhase::kFailed;
    case agent::v1::UPDATE_PHASE_DEFERRED:
      return UpdatePhase::kDeferred;
    default:
      return std::nullopt;
  }
}

// By kind; kinds of a newer agent are left out, and so is all but the first of a kind.
std::vector<ComponentState> ComponentsOf(const agent::v1::StateReport& report) {
  std::vector<ComponentState> components;
  for (const ComponentKind kind :
       {ComponentKind::kModel, ComponentKind::kFirmware, ComponentKind::kConfiguration}) {
    const auto found =
        std::find_if(report.components().begin(), report.components().end(),
                     [kind](const auto& one) { return one.kind() == static_cast<int>(kind); });
    if (found != report.components().end()) {
      components.push_back({.kind = kind,
                            .digest = ToHex(found->active_digest()),
                            .confirmed = found->confirmed(),
                            .release_sequence = found->release_sequence()});
    }
  }
  return components;
}

std::string ReasonName(agent::v1::SampleReason reason) {
  switch (reason) {
    case agent::v1::SAMPLE_REASON_RANDOM:
      return "random";
    case agent::v1::SAMPLE_REASON_UNCERTAIN:
      return "uncertain";
    case agent::v1::SAMPLE_REASON_NOVEL:
      return "novel";
    default:
      return "";
  }
}

absl::Time FromUnixMillis(std::uint64_t millis) {
  // A sensor clock may be anything; a time that no timestamp holds is the last one that it does.
  constexpr std::uint64_t kMaxMillis = 253402300799999;  // 9999-12-31.
  return absl::FromUnixMillis(static_cast<std::int64_t>(std::min(millis, kMaxMillis)));
}

}  // namespace

ServerMessage MakeError(agent::v1::ErrorCode code, absl::string_view detail,
                        std::uint32_t retry_after_ms, std::uint64_t sequence) {
  ServerMessage message;
  agent::v1::Error& error = *message.mutable_error();
  error.set_code(code);
  std::string text(detail.substr(0, kMaxDetailBytes));
  // Cut anywhere, UTF-8 might end in the middle of a character, and the device refuses the frame.
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); }, '?');
  error.set_detail(text);
  error.set_retry_after_ms(retry_after_ms);
  error.set_sequence(sequence);
  return message;
}

DeviceConversation::DeviceConversation(DeviceServices& services, DeviceCertificate certificate)
    : services_(services),
      common_name_(std::move(certificate.common_name)),
      expired_(certificate.expired),
      device_(common_name_.empty() ? "" : DeviceOfCommonName(common_name_).value_or("")),
      span_("device session", SpanKind::kServer, {}),
      patience_(kSilence),
      sample_(services.sample_budget) {
  if (!device_.empty()) {
    project_ = ProjectOf(device_);
    span_.Set("fieldloop.device", device_);
  }
}

DeviceLane DeviceConversation::LaneOf(const DeviceMessage& message) const {
  switch (message.message_case()) {
    case DeviceMessage::kHello:
      return device_.empty() || services_.devices.Find(device_).has_value() ? DeviceLane::kLocal
                                                                            : DeviceLane::kRemote;
    case DeviceMessage::kArtifactRequest:
      return services_.artifacts.Has(ToHex(message.artifact_request().digest()))
                 ? DeviceLane::kLocal
                 : DeviceLane::kRemote;
    case DeviceMessage::kSketchReport:
    case DeviceMessage::kSampleChunk:
    case DeviceMessage::kEnrollRequest:
    case DeviceMessage::kRenewRequest:
      return DeviceLane::kRemote;
    default:
      return DeviceLane::kLocal;
  }
}

DeviceAnswer DeviceConversation::Handle(const DeviceMessage& message) {
  // The calls that this message causes are in the session's trace.
  const DeviceMessage::MessageCase kind = message.message_case();
  std::vector<std::pair<std::string, std::string>> fields;
  if (!device_.empty()) {
    fields.emplace_back("device", device_);
  }
  WorkSpan work(absl::StrCat("device ", NameOf(kind)), SpanKind::kServer, span_.context(),
                std::move(fields));
  DeviceAnswer answer;
  if (kind == DeviceMessage::MESSAGE_NOT_SET) {
    Fail(agent::v1::ERROR_CODE_PROTOCOL, "no message", answer);
  } else if ((kind == DeviceMessage::kHello) == hello_.has_value()) {
    Fail(agent::v1::ERROR_CODE_PROTOCOL, hello_.has_value() ? "second Hello" : "want Hello first",
         answer);
  } else if (common_name_.empty() && kind != DeviceMessage::kHello &&
             kind != DeviceMessage::kEnrollRequest) {
    Fail(agent::v1::ERROR_CODE_UNAUTHENTICATED, "a certificate is needed for this", answer);
  } else if (expired_ && kind != DeviceMessage::kHello && kind != DeviceMessage::kStateReport &&
             kind != DeviceMessage::kRenewRequest) {
    // A device says what it runs before anything else.
    Fail(agent::v1::ERROR_CODE_UNAUTHENTICATED, "the certificate has expired; renew it", answer);
  } else {
    switch (kind) {
      case DeviceMessage::kHello:
        OnHello(message.hello(), answer);
        break;
      case DeviceMessage::kCheckIn:
        OnCheckIn(message.check_in(), answer);
        break;
      case DeviceMessage::kStateReport:
        OnStateReport(message.state_report(), answer);
        break;
      case DeviceMessage::kArtifactRequest:
        OnArtifactRequest(message.artifact_request(), answer);
        break;
      case DeviceMessage::kUpdateReport:
        OnUpdateReport(message.update_report(), answer);
        break;
      case DeviceMessage::kSketchReport:
        OnSketchReport(message.sketch_report(), answer);
        break;
      case DeviceMessage::kSampleChunk:
        OnSampleChunk(message.sample_chunk(), answer);
        break;
      case DeviceMessage::kEnrollRequest:
        OnEnroll(message.enroll_request(), answer);
        break;
      case DeviceMessage::kRenewRequest:
        OnRenew(message.renew_request(), answer);
        break;
      case DeviceMessage::MESSAGE_NOT_SET:
        break;
    }
  }
  answer.patience = patience_;
  if (kind == DeviceMessage::kCheckIn && answer.messages.size() == 1 &&
      answer.messages.front().has_check_in_reply()) {
    work.span().Drop();
  }
  for (const ServerMessage& sent : answer.messages) {
    if (sent.has_error()) {
      work.span().Fail(sent.error().detail());
    }
  }
  if (!device_.empty() && hello_.has_value() && !answer.close) {
    services_.fleet.Seen(device_, services_.clock.Now() + patience_);
  }
  return answer;
}

void DeviceConversation::Fail(agent::v1::ErrorCode code, absl::string_view detail,
                              DeviceAnswer& answer) {
  answer.messages.push_back(MakeError(code, detail));
  answer.close = true;
}

void DeviceConversation::AddUnavailable(const absl::Status& status, DeviceAnswer& answer) {
  spdlog::warn("for a device: {}", status.ToString());
  const double retry_ms = kRetryMinMs + (kRetryMaxMs - kRetryMinMs) * services_.random();
  // The text may name a host or a table: it is for our log.
  answer.messages.push_back(MakeError(agent::v1::ERROR_CODE_UNAVAILABLE, "try again later",
                                      static_cast<std::uint32_t>(retry_ms)));
}

bool DeviceConversation::Authorize(DeviceAnswer& answer) {
  if (common_name_.empty()) {
    return true;
  }
  if (device_.empty()) {
    Fail(agent::v1::ERROR_CODE_UNAUTHENTICATED, "the certificate names no device", answer);
    return false;
  }
  std::optional<Device> device = services_.devices.Find(device_);
  if (!device.has_value()) {
    // Perhaps it has just been enrolled and the watch has not said so yet.
    const absl::StatusOr<Device> asked = services_.identity.GetDevice(device_);
    if (absl::IsNotFound(asked.status())) {
      Fail(agent::v1::ERROR_CODE_UNAUTHENTICATED, "no such device", answer);
      return false;
    }
    if (!asked.ok()) {
      AddUnavailable(asked.status(), answer);
      answer.close = true;
      return false;
    }
    services_.devices.Apply(*asked);
    device = *asked;
  }
  if (device->revoked) {
    Fail(agent::v1::ERROR_CODE_UNAUTHENTICATED, "the device is revoked", answer);
    return false;
  }
  return true;
}

void DeviceConversation::OnHello(const agent::v1::Hello& hello, DeviceAnswer& answer) {
  if (hello.protocol() < kProtocol) {
    return Fail(agent::v1::ERROR_CODE_PROTOCOL, "protocol: want at least 1", answer);
  }
  if (hello.max_frame_bytes() < kMinFrameBytes || hello.max_frame_bytes() > kMaxFrameBytes) {
    return Fail(agent::v1::ERROR_CODE_PROTOCOL, "max_frame_bytes: want 2560 to 65535", answer);
  }
  if (hello.nonce().size() != kNonceBytes) {
    return Fail(agent::v1::ERROR_CODE_PROTOCOL, "nonce: want 16 bytes", answer);
  }
  if (!Authorize(answer)) {
    return;
  }
  hello_ = hello;
  root_version_ = hello.root_version();
  ServerMessage message;
  agent::v1::HelloReply& reply = *message.mutable_hello_reply();
  reply.set_protocol(kProtocol);
  reply.set_max_frame_bytes(kMaxDeviceFrameBytes);
  reply.set_now_ms(static_cast<std::uint64_t>(absl::ToUnixMillis(services_.clock.Now())));
  if (hello.want_trace_id()) {
    reply.set_trace_id(absl::HexStringToBytes(span_.context().trace_id));
  }
  answer.messages.push_back(std::move(message));
  AddNewerRoots(answer);
}

void DeviceConversation::AddNewerRoots(DeviceAnswer& answer) {
  for (const RootDocument& root : services_.roots.Above(root_version_)) {
    ServerMessage message;
    if (message.mutable_root()->ParseFromString(root.document)) {
      answer.messages.push_back(std::move(message));
      root_version_ = root.version;
    }
  }
}

void DeviceConversation::OnCheckIn(const agent::v1::CheckIn& check_in, DeviceAnswer& answer) {
  services_.metrics.check_ins.Increment();
  const absl::StatusOr<FleetSettings> settings = services_.fleet.GetSettings(project_);
  if (!settings.ok()) {
    return AddUnavailable(settings.status(), answer);
  }
  if (check_in.settings_version() != static_cast<std::uint32_t>(settings->version)) {
    ServerMessage message;
    agent::v1::Settings& proto = *message.mutable_settings();
    proto.set_version(static_cast<std::uint32_t>(settings->version));
    proto.set_sketch_period_ms(static_cast<std::uint32_t>(settings->sketch_period_seconds) * 1000);
    proto.set_trial_windows(static_cast<std::uint32_t>(settings->trial_windows));
    proto.set_trial_timeout_ms(static_cast<std::uint32_t>(settings->trial_timeout_seconds) * 1000);
    const std::optional<Device> device = services_.devices.Find(device_);
    if (settings->collection.has_value() && device.has_value() &&
        Matches(settings->collection->target, *device)) {
      agent::v1::CollectionPlan& plan = *proto.mutable_collection();
      plan.set_samples_per_period(
          static_cast<std::uint32_t>(settings->collection->samples_per_period));
      plan.set_random_share(static_cast<float>(settings->collection->random_share));
      plan.set_samples_total(static_cast<std::uint32_t>(settings->collection->samples_total));
      plan.set_plan_id(static_cast<std::uint32_t>(settings->plan_id));
    }
    answer.messages.push_back(std::move(message));
  }
  if (!check_in.no_update()) {
    if (const absl::Status status = AddOffer(answer); !status.ok()) {
      return AddUnavailable(status, answer);
    }
  }
  const double seconds =
      settings->check_in_seconds * (1 - kJitter + 2 * kJitter * services_.random());
  ServerMessage message;
  message.mutable_check_in_reply()->set_next_check_in_ms(
      static_cast<std::uint32_t>(seconds * 1000));
  answer.messages.push_back(std::move(message));
  // Twice as long as a device may well take, and a minute for slow links.
  patience_ = absl::Seconds(2 * settings->check_in_seconds) + absl::Minutes(1);
}

absl::Status DeviceConversation::AddOffer(DeviceAnswer& answer) {
  if (!components_.has_value()) {
    const absl::StatusOr<DeviceState> known = services_.fleet.GetState(device_);
    if (!known.ok() && !absl::IsNotFound(known.status())) {
      return known.status();
    }
    components_ = known.ok() ? known->components : std::vector<ComponentState>();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<RolloutOffer> offer,
                             services_.rollouts.CheckIn(device_, *components_, offered_rollout_));
  if (!offer.has_value()) {
    return absl::OkStatus();
  }
  // The session has a trace of its own, for as long as the device stays.
  Span span("rollout offer", SpanKind::kInternal, CurrentCall().trace,
            {TraceOf(offer->traceparent)});
  span.Set("fieldloop.rollout", absl::StrCat(project_, "/rollouts/", offer->number));
  FIELDLOOP_ASSIGN_OR_RETURN(agent::v1::UpdateOffer signed_offer,
                             services_.signer.Sign(*offer, common_name_, hello_->nonce()));
  AddNewerRoots(answer);  // The root that names the keys of this offer may be newer than the Hello.
  ServerMessage message;
  *message.mutable_update_offer() = std::move(signed_offer);
  answer.messages.push_back(std::move(message));
  services_.metrics.offers.Increment();
  offered_rollout_ = offer->number;
  artifact_digests_ = offer->artifact_digests;
  artifacts_checked_ = services_.clock.Now();
  return absl::OkStatus();
}

void DeviceConversation::Acknowledge(const std::string& kind, Sequence sequence,
                                     const absl::Status& status, DeviceAnswer& answer) {
  if (status.ok()) {
    services_.metrics.CountUplink(kind, "acked");
    ServerMessage message;
    message.mutable_ack()->set_sequence(sequence);
    answer.messages.push_back(std::move(message));
  } else if (IsHopeless(status)) {
    services_.metrics.CountUplink(kind, "rejected");
    const std::string reason = ReasonOf(status);
    answer.messages.push_back(MakeError(agent::v1::ERROR_CODE_REJECTED,
                                        reason.empty() ? std::string(status.message()) : reason, 0,
                                        sequence));
  } else {
    services_.metrics.CountUplink(kind, "unavailable");
    AddUnavailable(status, answer);
  }
}

void DeviceConversation::OnStateReport(const agent::v1::StateReport& report, DeviceAnswer& answer) {
  DeviceState state;
  state.device = device_;
  state.hardware_id = hello_->hardware_id();
  state.agent_version = hello_->agent_version();
  state.boot_count = hello_->boot_count();
  state.dropped_uplinks = report.dropped_uplinks();
  state.connected_until = services_.clock.Now() + patience_;
  state.components = ComponentsOf(report);
  components_ = state.components;
  absl::Status status = services_.fleet.RecordState(state);
  if (status.ok()) {
    status = services_.rollouts.Running(device_, *components_);
  }
  Acknowledge("state", report.sequence(), status, answer);
}

void DeviceConversation::OnArtifactRequest(const agent::v1::ArtifactRequest& request,
                                           DeviceAnswer& answer) {
  if (request.digest().size() != kDigestBytes || request.length() == 0) {
    return Fail(agent::v1::ERROR_CODE_PROTOCOL, "digest, length: want 32 bytes and above 0",
                answer);
  }
  const absl::Time now = services_.clock.Now();
  if (now - artifacts_checked_ > kOfferAge) {
    const absl::StatusOr<std::optional<RolloutOffer>> offer =
        services_.rollouts.CurrentOffer(device_);
    if (!offer.ok()) {
      return AddUnavailable(offer.status(), answer);
    }
    artifact_digests_ =
        offer->has_value() ? (*offer)->artifact_digests : std::vector<std::string>();
    artifacts_checked_ = now;
  }
  const std::string digest = ToHex(request.digest());
  if (std::find(artifact_digests_.begin(), artifact_digests_.end(), digest) ==
      artifact_digests_.end()) {
    answer.messages.push_back(
        MakeError(agent::v1::ERROR_CODE_NOT_FOUND, "no offer to this device names the artifact"));
    return;
  }
  const std::int64_t length = std::min<std::int64_t>(request.length(), kMaxAnswerBytes);
  const absl::Status fetched = services_.artifacts.Fetch(project_, digest);
  const absl::StatusOr<std::string> data =
      fetched.ok() ? services_.artifacts.Read(digest, request.offset(), length)
                   : absl::StatusOr<std::string>(fetched);
  if (absl::IsNotFound(data.status()) || (data.ok() && data->empty())) {
    answer.messages.push_back(
        MakeError(agent::v1::ERROR_CODE_NOT_FOUND,
                  data.ok() ? "offset: beyond the artifact" : "no such artifact"));
    return;
  }
  if (!data.ok()) {
    return AddUnavailable(data.status(), answer);
  }
  const std::int64_t piece =
      std::min(kMaxChunkBytes, std::int64_t{hello_->max_frame_bytes()} - kChunkOverheadBytes);
  const auto size = static_cast<std::int64_t>(data->size());
  const std::uint32_t artifact = FirstWord(request.digest());
  for (std::int64_t at = 0; at < size; at += piece) {
    ServerMessage message;
    agent::v1::ArtifactChunk& chunk = *message.mutable_artifact_chunk();
    chunk.set_artifact(artifact);
    chunk.set_offset(request.offset() + static_cast<std::uint32_t>(at));
    chunk.set_data(data->substr(static_cast<std::size_t>(at), static_cast<std::size_t>(piece)));
    answer.messages.push_back(std::move(message));
  }
  services_.metrics.artifact_bytes.Increment(static_cast<double>(size));
}

void DeviceConversation::OnUpdateReport(const agent::v1::UpdateReport& report,
                                        DeviceAnswer& answer) {
  const std::optional<UpdatePhase> phase = PhaseOf(report.phase());
  if (!phase.has_value()) {
    return Acknowledge("update", report.sequence(), absl::InvalidArgumentError("phase: unknown"),
                       answer);
  }
  UpdateReport translated;
  translated.sequence = report.sequence();
  translated.phase = *phase;
  translated.cause = CauseName(report.cause());
  translated.active_digest = ToHex(report.active_digest());
  const absl::Status status = services_.rollouts.Report(device_, report.rollout_id(), translated);
  if (*phase == UpdatePhase::kDeferred) {
    offered_rollout_ = 0;  // It wants to be asked again.
  }
  Acknowledge("update", report.sequence(), status, answer);
}

void DeviceConversation::OnSketchReport(const agent::v1::SketchReport& report,
                                        DeviceAnswer& answer) {
  Sketch sketch;
  sketch.device = device_;
  sketch.sequence = report.sequence();
  sketch.model_digest = ToHex(report.model_digest());
  sketch.reference_id = report.reference_id();
  sketch.start_time = FromUnixMillis(report.start_ms());
  sketch.period_ms = report.period_ms();
  sketch.windows = report.windows();
  sketch.failures = report.failures();
  sketch.class_counts = {report.class_counts().begin(), report.class_counts().end()};
  for (const agent::v1::ChannelSketch& channel : report.channels()) {
    sketch.channels.push_back({.bins = {channel.bins().begin(), channel.bins().end()},
                               .mean = double{channel.mean()},
                               .m2 = double{channel.m2()},
                               .min = double{channel.min()},
                               .max = double{channel.max()}});
  }
  Acknowledge("sketch", report.sequence(), services_.sketches.Record(sketch), answer);
}

void DeviceConversation::OnSampleChunk(const agent::v1::SampleChunk& chunk, DeviceAnswer& answer) {
  switch (sample_.Add(chunk)) {
    case SampleAssembly::Result::kMore:
    case SampleAssembly::Result::kIgnored:
      return;
    case SampleAssembly::Result::kOutOfOrder:
      return Fail(agent::v1::ERROR_CODE_PROTOCOL, sample_.error(), answer);
    case SampleAssembly::Result::kRejected:
      return Acknowledge("sample", chunk.sequence(), absl::InvalidArgumentError(sample_.error()),
                         answer);
    case SampleAssembly::Result::kNoRoom:
      return Acknowledge("sample", chunk.sequence(), absl::ResourceExhaustedError(sample_.error()),
                         answer);
    case SampleAssembly::Result::kWhole:
      break;
  }
  const AssembledSample whole = sample_.Take();
  Acknowledge("sample", whole.sequence, RecordSample(whole), answer);
}

absl::Status DeviceConversation::RecordSample(const AssembledSample& sample) {
  const agent::v1::SampleHeader& header = sample.header;
  if (Sha256Of(sample.payload) != header.payload_digest()) {
    return absl::InvalidArgumentError("payload_digest: does not match the payload");
  }
  const std::string digest = ToHex(header.model_digest());
  const absl::StatusOr<std::shared_ptr<const ModelFacts>> model =
      services_.models.Get(project_, digest);
  if (absl::IsNotFound(model.status())) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "UNKNOWN_MODEL",
                           "model_digest: unknown");
  }
  FIELDLOOP_RETURN_IF_ERROR(model.status());
  if ((*model)->axes.size() != header.axes()) {
    return absl::InvalidArgumentError("axes: the model has another number of them");
  }
  if (header.predicted_class() >= (*model)->classes.size()) {
    return absl::InvalidArgumentError("predicted_class: the model has fewer classes");
  }
  DeviceSample record;
  record.device = device_;
  record.sequence = sample.sequence;
  record.model_digest = digest;
  record.reason = ReasonName(header.reason());
  record.probability = double{header.probability()};
  record.predicted_label = (*model)->classes[header.predicted_class()];
  record.confidence = double{header.confidence()};
  record.start_time = FromUnixMillis(header.start_ms());
  record.payload = ToFloats(header, sample.payload);
  record.axes = (*model)->axes;
  record.frequency_hz = double{header.frequency_hz()};
  if (const std::optional<Device> device = services_.devices.Find(device_); device.has_value()) {
    record.metadata = device->attributes;
  }
  return services_.samples.Record(record);
}

void DeviceConversation::OnEnroll(const agent::v1::EnrollRequest& request, DeviceAnswer& answer) {
  if (!common_name_.empty()) {
    return Fail(agent::v1::ERROR_CODE_UNAUTHENTICATED, "the device has a certificate; renew it",
                answer);
  }
  const std::string project = absl::StrCat("projects/", hello_->project());
  const absl::Status valid = ParseResourceName("project", "projects/*", project).status();
  AddCertificate("enroll",
                 valid.ok() ? services_.identity.Enroll(project, request.token(), request.csr(),
                                                        hello_->hardware_id())
                            : absl::StatusOr<IssuedCertificate>(valid),
                 answer);
}

void DeviceConversation::OnRenew(const agent::v1::RenewRequest& request, DeviceAnswer& answer) {
  AddCertificate("renew", services_.identity.Renew(device_, request.csr()), answer);
}

void DeviceConversation::AddCertificate(const std::string& kind,
                                        const absl::StatusOr<IssuedCertificate>& issued,
                                        DeviceAnswer& answer) {
  if (issued.ok()) {
    services_.metrics.CountCertificate(kind, "ok");
    services_.devices.Apply(issued->device);
    ServerMessage message;
    message.mutable_certificate_reply()->set_certificate(issued->certificate);
    message.mutable_certificate_reply()->set_issuer(issued->issuer);
    answer.messages.push_back(std::move(message));
    return;
  }
  if (!IsRefusal(issued.status())) {
    services_.metrics.CountCertificate(kind, "unavailable");
    return AddUnavailable(issued.status(), answer);
  }
  services_.metrics.CountCertificate(kind, "refused");
  const std::string reason = ReasonOf(issued.status());
  answer.messages.push_back(
      MakeError(agent::v1::ERROR_CODE_REFUSED,
                reason.empty() ? std::string(issued.status().message()) : reason));
  // Who guesses tokens pays for a handshake now and then.
  answer.close = ++refused_enrollments_ >= kMaxRefusedEnrollments;
}

}  // namespace fieldloop::distribution
