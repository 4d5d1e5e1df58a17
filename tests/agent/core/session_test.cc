// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "tests/agent/core/device_harness.h"

namespace fieldloop::agent {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

class SessionTest : public AgentTest {
 protected:
  static v1::ServerMessage ErrorMessage(v1::ErrorCode code, uint32_t retry_after_ms = 0,
                                        uint64_t sequence = 0) {
    v1::ServerMessage message;
    message.mutable_error()->set_code(code);
    message.mutable_error()->set_retry_after_ms(retry_after_ms);
    message.mutable_error()->set_sequence(sequence);
    return message;
  }

  std::vector<int> Cases() const {
    std::vector<int> cases;
    for (const v1::DeviceMessage& message : server_.received) {
      cases.push_back(static_cast<int>(message.message_case()));
    }
    return cases;
  }
};

TEST_F(SessionTest, TheFirstContactIsSpreadOverTheGivenTime) {
  device_.config().first_contact_ms = 10'000;
  double sum = 0;
  uint64_t latest = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    ScriptedServer server(trust_);
    Device device(trust_, server, seed);
    device.config().first_contact_ms = 10'000;
    ASSERT_EQ(device.Boot(), FL_OK);
    device.RunUntil([&] { return !device.attempts.empty(); });
    sum += static_cast<double>(device.attempts.at(0));
    latest = std::max(latest, device.attempts.at(0));
  }
  EXPECT_NEAR(sum / 200, 5000, 700);
  EXPECT_THAT(latest, ::testing::AllOf(Gt(9000u), Le(10'000u)));
}

TEST_F(SessionTest, AfterFailuresTheWaitGrowsWithFullJitterUpToTheCap) {
  server_.reachable = false;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(86'400'000);
  ASSERT_THAT(device_.attempts, SizeIs(Gt(50u)));
  double late_sum = 0;
  int late_count = 0;
  int short_late_waits = 0;
  for (size_t i = 1; i < device_.attempts.size(); ++i) {
    const uint64_t wait = device_.attempts[i] - device_.attempts[i - 1];
    const uint64_t limit = i > 9 ? FIELDLOOP_AGENT_BACKOFF_CAP_MS
                                 : std::min<uint64_t>(FIELDLOOP_AGENT_BACKOFF_BASE_MS << (i - 1),
                                                      FIELDLOOP_AGENT_BACKOFF_CAP_MS);
    EXPECT_LE(wait, limit + 100) << "attempt " << i;
    EXPECT_GE(wait, 100u);
    if (i > 12) {
      late_sum += static_cast<double>(wait);
      ++late_count;
      short_late_waits += wait < FIELDLOOP_AGENT_BACKOFF_CAP_MS / 4 ? 1 : 0;
    }
  }
  // Evenly distributed from 0 to the cap: that is what spreads a fleet.
  EXPECT_NEAR(late_sum / late_count, FIELDLOOP_AGENT_BACKOFF_CAP_MS / 2.0,
              FIELDLOOP_AGENT_BACKOFF_CAP_MS / 10.0);
  EXPECT_GT(short_late_waits, late_count / 8);
}

TEST_F(SessionTest, AnAnsweredCheckInEndsTheBackoff) {
  server_.reachable = false;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(3'600'000);
  ASSERT_GT(device_.agent->session.attempts, 5);
  server_.reachable = true;
  ASSERT_TRUE(device_.RunUntil(
      [&] { return server_.Count([](const auto& m) { return m.has_check_in(); }) > 0; }));
  EXPECT_EQ(device_.agent->session.attempts, 0);
}

TEST_F(SessionTest, SpeaksInOrderAndChecksInWhenTheServerSays) {
  server_.next_check_in_ms = 12'345;
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  const uint64_t first = device_.now;
  EXPECT_THAT(Cases(), ElementsAre(v1::DeviceMessage::kHello, v1::DeviceMessage::kStateReport,
                                   v1::DeviceMessage::kCheckIn));
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 4; }));
  EXPECT_EQ(device_.now - first, 12'345u);
  EXPECT_EQ(server_.connections, 1) << "the connection is kept";
  EXPECT_TRUE(server_.received[3].has_check_in());
  EXPECT_EQ(server_.received[3].check_in().settings_version(), 1u);
}

TEST_F(SessionTest, EachSessionHasANonceOfItsOwn) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(5000);
  server_.Disconnect();
  device_.Run(100'000);
  std::set<std::string> nonces;
  for (const auto& message : server_.received) {
    if (message.has_hello()) nonces.insert(message.hello().nonce());
  }
  EXPECT_EQ(nonces.size(), 2u);
}

TEST_F(SessionTest, TheTraceIdIsAskedForAndKeptAsLongAsTheSessionLasts) {
  const std::string trace_id = "0123456789abcdef";
  const std::string none(16, '\0');
  const auto kept = [&] {
    return std::string(device_.agent->trace_id, device_.agent->trace_id + 16);
  };
  for (const std::string& told : {trace_id.substr(1), std::string(), trace_id}) {
    server_.trace_id = told;
    ASSERT_EQ(device_.Boot(), FL_OK);
    server_.received.clear();
    ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() >= 2; }));
    EXPECT_EQ(kept(), told == trace_id ? trace_id : none);
    server_.Disconnect();
    device_.Run(10);
    EXPECT_EQ(kept(), none);
  }
}

TEST_F(SessionTest, SettingsArePersistentAndKeptInTheirLimits) {
  v1::Settings settings = *server_.settings;
  settings.set_version(9);
  settings.set_sketch_period_ms(5);
  settings.mutable_collection()->set_random_share(0.1F);
  settings.mutable_collection()->set_samples_per_period(4);
  server_.settings = settings;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(5000);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_EQ(device_.agent->state.settings.version, 9u);
  EXPECT_EQ(device_.agent->state.settings.sketch_period_ms, 1000u);
  EXPECT_EQ(device_.agent->state.settings.random_share, 0.5F);
  EXPECT_EQ(device_.agent->state.settings.samples_per_period, 4u);
}

TEST_F(SessionTest, AnOverloadedServerIsLeftAloneForTheTimeItAsked) {
  v1::Error error;
  error.set_code(v1::ERROR_CODE_OVERLOADED);
  error.set_retry_after_ms(50'000);
  server_.hello_error = error;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(200'000);
  ASSERT_THAT(device_.attempts, SizeIs(Gt(2u)));
  for (size_t i = 1; i < device_.attempts.size(); ++i) {
    const uint64_t wait = device_.attempts[i] - device_.attempts[i - 1];
    EXPECT_GE(wait, 50'000u);
    EXPECT_LE(wait, 57'000u);
  }
}

TEST_F(SessionTest, AnUnavailableAnswerPausesTheSessionAndTheRequestIsRepeated) {
  server_.intercept = [&, first = true](const v1::DeviceMessage& message) mutable
      -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_check_in() || !first) return std::nullopt;
    first = false;
    return std::vector<v1::ServerMessage>{ErrorMessage(v1::ERROR_CODE_UNAVAILABLE, 20'000)};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  const uint64_t refused = device_.now;
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 4; }));
  EXPECT_TRUE(server_.received[3].has_check_in());
  EXPECT_GE(device_.now - refused, 20'000u);
  EXPECT_EQ(server_.connections, 1);
}

TEST_F(SessionTest, AStateReportThatMetAnUnavailableServerIsSentAgainInTheSession) {
  server_.intercept = [&, first = true](const v1::DeviceMessage& message) mutable
      -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_state_report() || !first) return std::nullopt;
    first = false;
    return std::vector<v1::ServerMessage>{ErrorMessage(v1::ERROR_CODE_UNAVAILABLE, 5000)};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(20'000);
  EXPECT_THAT(Cases(), ElementsAre(v1::DeviceMessage::kHello, v1::DeviceMessage::kStateReport,
                                   v1::DeviceMessage::kStateReport, v1::DeviceMessage::kCheckIn));
}

TEST_F(SessionTest, ReportsGoBeforeTheCheckInAndTelemetryAfterIt) {
  InstallModel(ModelBytes("one"), 3);
  server_.reachable = false;
  server_.Disconnect();
  for (int i = 0; i < 35; ++i) device_.Observe();  // Three periods.
  device_.Run(1000);
  server_.OfferModel(ModelBytes("BAD"), 4);
  server_.reachable = true;
  server_.received.clear();
  ASSERT_TRUE(device_.RunUntil([&] { return device_.boots == 3; }));
  device_.Run(10'000);
  // The session after the model was reverted: what happened is said before anything new is asked.
  std::vector<int> cases = Cases();
  const auto hello = std::find(cases.rbegin(), cases.rend(), v1::DeviceMessage::kHello).base() - 1;
  ASSERT_GE(cases.end() - hello, 4);
  EXPECT_EQ(*(hello + 1), v1::DeviceMessage::kStateReport);
  EXPECT_EQ(*(hello + 2), v1::DeviceMessage::kUpdateReport);
  // The session before it: the periods waited until after the check-in.
  const auto check_in = std::find(cases.begin(), cases.end(), v1::DeviceMessage::kCheckIn);
  const auto sketch = std::find(cases.begin(), cases.end(), v1::DeviceMessage::kSketchReport);
  EXPECT_LT(check_in, sketch);
  EXPECT_NE(sketch, cases.end());
}

TEST_F(SessionTest, ASilentServerIsGivenUpAfterTheReplyTimeout) {
  server_.intercept = [](const v1::DeviceMessage&) { return std::vector<v1::ServerMessage>{}; };
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 1; }));
  const uint64_t hello = device_.now;
  ASSERT_TRUE(device_.RunUntil([&] { return !server_.connected; }));
  EXPECT_EQ(device_.now - hello, static_cast<uint64_t>(FIELDLOOP_AGENT_REPLY_TIMEOUT_MS));
}

TEST_F(SessionTest, AFrameLongerThanAnnouncedEndsTheSession) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  server_.SendRaw(std::string("\xff\xff", 2));
  device_.Run(1);
  EXPECT_FALSE(server_.connected);
}

TEST_F(SessionTest, APageOfHtmlEndsTheSession) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  server_.SendRaw("HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n<html></html>");
  device_.Run(1);
  EXPECT_FALSE(server_.connected);
}

TEST_F(SessionTest, AMessageOfALaterProtocolIsSkipped) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  server_.SendRaw(std::string("\0\6\xfa\x07\3abc", 8));  // Field 127.
  server_.SendRaw(std::string("\0\0", 2));
  device_.Run(1000);
  EXPECT_TRUE(server_.connected);
}

TEST_F(SessionTest, AServerThatIsNotVerifiedIsTriedAgainLater) {
  device_.connect_status = FL_ERR_TRUST;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(60'000);
  EXPECT_THAT(device_.attempts, SizeIs(Gt(2u)));
  EXPECT_THAT(server_.received, IsEmpty());
}

TEST_F(SessionTest, AnUplinkIsSentAgainUntilItIsAcknowledged) {
  InstallModel(ModelBytes("one"), 3);
  server_.acks = false;
  for (int i = 0; i < 12; ++i) device_.Observe();  // More than a period of 10 s.
  device_.Run(120'000);
  EXPECT_EQ(server_.sketches.size(), 1u);
  const auto sketches_sent = [&] {
    return server_.Count([](const auto& m) { return m.has_sketch_report(); });
  };
  server_.acks = true;
  device_.Run(400'000);
  EXPECT_EQ(device_.agent->outbox.live, 0u);
  const int sent = sketches_sent();
  EXPECT_GE(sent, 2);
  device_.Run(400'000);
  EXPECT_EQ(sketches_sent(), sent);
}

TEST_F(SessionTest, ARejectedUplinkIsDropped) {
  InstallModel(ModelBytes("one"), 3);
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_sketch_report()) return std::nullopt;
    return std::vector<v1::ServerMessage>{
        ErrorMessage(v1::ERROR_CODE_REJECTED, 0, message.sketch_report().sequence())};
  };
  for (int i = 0; i < 12; ++i) device_.Observe();
  device_.Run(5000);
  EXPECT_EQ(device_.agent->outbox.live, 0u);
  EXPECT_TRUE(server_.connected);
  EXPECT_EQ(server_.Count([](const auto& m) { return m.has_sketch_report(); }), 1);
}

TEST_F(SessionTest, SequencesAreNeverUsedTwiceAcrossRestarts) {
  InstallModel(ModelBytes("one"), 3);
  for (int boot = 0; boot < 5; ++boot) {
    ASSERT_EQ(device_.Boot(), FL_OK);
    for (int i = 0; i < 25; ++i) device_.Observe();
    device_.Run(5000);  // The server fails the test when it sees a sequence with other bytes.
  }
  EXPECT_GT(server_.uplinks.size(), 15u);
}

TEST_F(SessionTest, ADeviceWithoutCertificateEnrollsOnceAndComesBackWithIt) {
  device_.enrolled = false;
  device_.config().token = "secret-token";
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_enroll_request()) return std::nullopt;
    v1::ServerMessage reply;
    reply.mutable_certificate_reply()->set_certificate("certificate");
    reply.mutable_certificate_reply()->set_issuer("issuer");
    return std::vector<v1::ServerMessage>{reply};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(5000);
  ASSERT_THAT(Cases(), ElementsAre(v1::DeviceMessage::kHello, v1::DeviceMessage::kEnrollRequest,
                                   v1::DeviceMessage::kHello, v1::DeviceMessage::kStateReport,
                                   v1::DeviceMessage::kCheckIn));
  EXPECT_EQ(server_.received[0].hello().project(), kProject);
  EXPECT_EQ(server_.received[1].enroll_request().token(), "secret-token");
  EXPECT_EQ(server_.received[1].enroll_request().csr(), "request");
  EXPECT_EQ(server_.received[2].hello().project(), "");
  EXPECT_THAT(device_.attempts_with_identity, ElementsAre(false, true));
  EXPECT_THAT(device_.stored_certificates, ElementsAre("certificate"));
}

TEST_F(SessionTest, ARefusedEnrolmentIsTriedAgainWithBackoff) {
  device_.enrolled = false;
  device_.config().token = "used-token";
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_enroll_request()) return std::nullopt;
    return std::vector<v1::ServerMessage>{ErrorMessage(v1::ERROR_CODE_REFUSED)};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(3'600'000);
  EXPECT_THAT(device_.attempts.size(), ::testing::AllOf(Gt(10u), Le(80u)));
}

TEST_F(SessionTest, ADeviceWithoutCertificateAndTokenStaysQuiet) {
  device_.enrolled = false;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(3'600'000);
  EXPECT_THAT(device_.attempts, IsEmpty());
}

TEST_F(SessionTest, TheCertificateIsRenewedWhenTwoThirdsOfItsLifeAreOver) {
  device_.not_before_ms = kNowMs;
  device_.not_after_ms = kNowMs + 300'000;
  server_.next_check_in_ms = 10'000;
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    server_.now_ms = kNowMs + device_.now;
    if (!message.has_renew_request()) return std::nullopt;
    v1::ServerMessage reply;
    reply.mutable_certificate_reply()->set_certificate("renewed");
    return std::vector<v1::ServerMessage>{reply};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(195'000);
  EXPECT_THAT(device_.stored_certificates, IsEmpty());
  device_.Run(25'000);
  EXPECT_THAT(device_.stored_certificates, ElementsAre("renewed"));
  EXPECT_EQ(server_.connections, 2) << "the new certificate is used at once";
}

TEST_F(SessionTest, ACertificateThatCannotBeStoredLeavesTheOldOneInUse) {
  device_.not_before_ms = kNowMs - 300'000;
  device_.not_after_ms = kNowMs + 10'000;
  device_.store_status = FL_ERR_TRUST;
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_renew_request()) return std::nullopt;
    v1::ServerMessage reply;
    reply.mutable_certificate_reply()->set_certificate("for another key");
    return std::vector<v1::ServerMessage>{reply};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(60'000);
  EXPECT_EQ(server_.Count([](const auto& m) { return m.has_renew_request(); }), 1)
      << "not asked for again at once";
  EXPECT_GE(server_.Count([](const auto& m) { return m.has_check_in(); }), 1);
}

TEST_F(SessionTest, ACheckInWithNothingNewCostsAFewBytes) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(200'000);
  for (const auto& message : server_.received) {
    if (message.has_check_in()) {
      EXPECT_LE(message.SerializeAsString().size() + 2, 12u);
    }
  }
}

// --- One buffer for both directions ---

TEST_F(SessionTest, NothingIsSentWhilePartOfAFrameIsHeldAndAllOfItAfterwards) {
  server_.next_check_in_ms = 1000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  server_.SendRaw(std::string("\0\6\xfa\x07\3", 5));             // Field 127, not whole yet.
  for (int second = 0; second < 5; ++second) device_.Run(1000);  // Polled in between.
  EXPECT_EQ(server_.received.size(), 3u) << "the check-in waits";
  EXPECT_TRUE(server_.connected);
  server_.SendRaw("abc");
  device_.Run(100);
  EXPECT_EQ(server_.received.size(), 4u);
  EXPECT_TRUE(server_.received[3].has_check_in());
}

TEST_F(SessionTest, AFrameThatComesAByteAtATimeIsGivenUpInTheEnd) {
  server_.next_check_in_ms = 3'600'000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  server_.SendRaw(std::string("\x01\x00", 2));
  const uint64_t begun = device_.now;
  for (int second = 0; second < 200 && server_.connected; ++second) {
    server_.SendRaw("x");
    device_.Run(1000);
  }
  EXPECT_FALSE(server_.connected);
  EXPECT_LE(device_.now - begun, FIELDLOOP_AGENT_REPLY_TIMEOUT_MS + 1000u);
}

TEST_F(SessionTest, ASessionWhoseBytesComeOneByOneIsLikeAnyOther) {
  device_.receive_max = 1;
  InstallModel(ModelBytes("one"), 3);
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
}

TEST_F(SessionTest, AConnectionThatTakesNothingIsGivenUp) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  device_.send_status = FL_ERR_AGAIN;
  device_.Run(60'000 + FIELDLOOP_AGENT_REPLY_TIMEOUT_MS + 5000);
  EXPECT_GE(device_.attempts.size(), 2u);
  device_.send_status = FL_ERR_CLOSED;
  device_.Run(10'000);
  device_.send_status = FL_OK;
  EXPECT_TRUE(device_.RunUntil([&] { return server_.received.size() >= 6; }));
}

TEST_F(SessionTest, AServerThatTakesSmallFramesGetsSmallPartsOfARecording) {
  InstallModel(ModelBytes("one"), 3);
  v1::Settings settings = *server_.settings;
  settings.set_version(2);
  settings.mutable_collection()->set_samples_per_period(1);
  settings.mutable_collection()->set_random_share(7);
  server_.settings = settings;
  server_.max_frame_bytes = 640;
  server_.Disconnect();
  device_.Run(200'000);
  EXPECT_EQ(device_.agent->state.settings.random_share, 1.0F);
  fl_agent_flush(device_.agent.get());
  std::vector<float> values(500, 1.5F);
  const uint8_t bin = 0;
  const float value = 0.9F;
  fl_observation_t observation = {};
  observation.start_ms = device_.signal_ms;
  observation.stride_ms = 10'000;
  observation.classified = true;
  observation.confidence = value;
  observation.channel_bin = &bin;
  observation.channel_value = &value;
  observation.values = values.data();
  observation.value_count = values.size();
  fl_agent_observe(device_.agent.get(), &observation);
  ASSERT_TRUE(device_.RunUntil([&] { return !server_.sample_payloads.empty(); }));
  EXPECT_EQ(server_.sample_payloads.begin()->second.size(), 2000u);
}

TEST_F(SessionTest, AServerWhoseFramesHoldNoReportIsTriedAgainLater) {
  server_.max_frame_bytes = 60;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(100'000);
  EXPECT_GT(server_.connections, 2);
  EXPECT_EQ(server_.Count([](const auto& m) { return !m.has_hello(); }), 0);
}

// --- Servers that do not keep to the protocol ---

TEST_F(SessionTest, AnAnswerBeforeTheHelloReplyEndsTheSession) {
  v1::ServerMessage reply;
  reply.mutable_check_in_reply()->set_next_check_in_ms(1);
  server_.intercept = [&](const v1::DeviceMessage&) {
    return std::vector<v1::ServerMessage>{reply};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 1; }));
  device_.Run(1);
  EXPECT_FALSE(server_.connected);
}

TEST_F(SessionTest, AServerOfAnotherProtocolIsTriedAgainLater) {
  v1::ServerMessage reply;
  reply.mutable_hello_reply()->set_protocol(2);
  server_.intercept = [&](const v1::DeviceMessage&) {
    return std::vector<v1::ServerMessage>{reply};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(60'000);
  EXPECT_GT(server_.connections, 2);
  EXPECT_EQ(server_.Count([](const auto& m) { return !m.has_hello(); }), 0);
}

TEST_F(SessionTest, MessagesThatDoNotParseEndTheSession) {
  for (const std::string& message : {
           std::string("\x12\x02\x08\xff", 4),          // CheckInReply with half a varint.
           std::string("\x22\x02\x08\x01", 4),          // ArtifactChunk without data.
           std::string("\x3a\x04\x1a\x02\x08\xff", 6),  // Settings whose plan is torn.
           std::string("\x13", 1),                      // A group.
           std::string("\x12\x7f", 2),                  // Longer than the frame.
       }) {
    ASSERT_EQ(device_.Boot(), FL_OK);
    server_.received.clear();
    ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
    server_.SendRaw(std::string(1, '\0') + static_cast<char>(message.size()) + message);
    device_.Run(1);
    EXPECT_FALSE(server_.connected) << ::testing::PrintToString(message);
  }
}

TEST_F(SessionTest, SettingsThatCannotBeSavedAreNotUsed) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
  device_.Run(1000);
  v1::ServerMessage message;
  *message.mutable_settings() = *server_.settings;
  message.mutable_settings()->set_version(5);
  device_.state_flash.IgnorePrograms(true);
  server_.Send(message);
  device_.Run(100);
  EXPECT_EQ(device_.agent->state.settings.version, 1u) << "it is offered again";
  const int erases = device_.state_flash.erases();
  device_.state_flash.IgnorePrograms(false);
  for (int i = 0; i < 10; ++i) {
    server_.Send(message);
    device_.Run(60'000);
  }
  EXPECT_EQ(device_.state_flash.erases(), erases) << "flash that failed is left alone for an hour";
  device_.Run(3'600'000);
  server_.Send(message);
  device_.Run(100);
  EXPECT_EQ(device_.agent->state.settings.version, 5u);
}

// --- Certificates ---

TEST_F(SessionTest, ARenewalThatTheLinkCutsAtAnyFrameIsRepeatedWithTheSameKey) {
  for (int cut = 1; cut <= 6; ++cut) {
    ScriptedServer server(trust_);
    Device device(trust_, server, static_cast<uint64_t>(cut));
    device.not_before_ms = kNowMs - 300'000;
    device.not_after_ms = kNowMs + 10'000;
    server.intercept =
        [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
      if (!message.has_renew_request()) return std::nullopt;
      EXPECT_EQ(message.renew_request().csr(), "request");
      v1::ServerMessage reply;
      reply.mutable_certificate_reply()->set_certificate("renewed");
      return std::vector<v1::ServerMessage>{reply};
    };
    server.frames_until_cut = cut;
    ASSERT_EQ(device.Boot(), FL_OK);
    EXPECT_TRUE(device.RunUntil([&] { return !device.stored_certificates.empty(); })) << cut;
    device.Run(20'000);
    EXPECT_THAT(device.stored_certificates, ElementsAre("renewed")) << cut;
    EXPECT_GE(server.Count([](const auto& m) { return m.has_check_in(); }), 1);
  }
}

TEST_F(SessionTest, ADeviceThatCannotMakeARequestGoesOnWithItsCertificate) {
  device_.not_before_ms = kNowMs - 300'000;
  device_.not_after_ms = kNowMs + 10'000;
  device_.request_status = FL_ERR_IO;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  EXPECT_GE(server_.Count([](const auto& m) { return m.has_check_in(); }), 1);
  EXPECT_EQ(server_.connections, 1);
}

TEST_F(SessionTest, ADeviceThatCannotMakeItsFirstRequestTriesAgainWithBackoff) {
  device_.enrolled = false;
  device_.config().token = "token";
  device_.request_status = FL_ERR_IO;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(600'000);
  EXPECT_THAT(device_.attempts.size(), ::testing::AllOf(Gt(4u), Le(60u)));
}

TEST_F(SessionTest, ATokenThatIsTooLongIsRefusedAtTheStart) {
  const std::string longest(63, 't');
  const std::string longer(64, 't');
  device_.config().token = longer.c_str();
  EXPECT_EQ(device_.Boot(), FL_ERR_ARG);
  device_.config().token = longest.c_str();
  EXPECT_EQ(device_.Boot(), FL_OK);
}

TEST_F(SessionTest, ARenewalThatABusyServerPutsOffIsRepeatedInAMinuteAndAllElseGoesOn) {
  device_.not_before_ms = kNowMs - 300'000;
  device_.not_after_ms = kNowMs + 10'000;
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_renew_request()) return std::nullopt;
    return std::vector<v1::ServerMessage>{ErrorMessage(v1::ERROR_CODE_UNAVAILABLE, 2000)};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(600'000);
  EXPECT_THAT(server_.Count([](const auto& m) { return m.has_renew_request(); }),
              AllOf(Ge(8), Le(10)));
  EXPECT_GE(server_.Count([](const auto& m) { return m.has_check_in(); }), 5);
  EXPECT_EQ(server_.connections, 1);
}

TEST_F(SessionTest, ARenewalThatTheServerRefusesIsNotRepeatedForAnHour) {
  device_.not_before_ms = kNowMs - 300'000;
  device_.not_after_ms = kNowMs + 10'000;
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_renew_request()) return std::nullopt;
    return std::vector<v1::ServerMessage>{ErrorMessage(v1::ERROR_CODE_REFUSED, 2000)};
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(3'500'000);
  EXPECT_EQ(server_.Count([](const auto& m) { return m.has_renew_request(); }), 1);
  EXPECT_GE(server_.Count([](const auto& m) { return m.has_check_in(); }), 5);
}

TEST_F(SessionTest, WithoutRandomBytesNoSessionIsOpened) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.random_status = FL_ERR_IO;
  device_.Run(60'000);
  EXPECT_THAT(device_.attempts, IsEmpty());
  device_.random_status = FL_OK;
  EXPECT_TRUE(device_.RunUntil([&] { return server_.received.size() == 3; }));
}

TEST_F(SessionTest, TheTimeFloorIsKeptInFlashThoughTheConnectionLasts) {
  server_.next_check_in_ms = 3'600'000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(30ull * 86'400'000);
  EXPECT_EQ(server_.connections, 1);
  server_.reachable = false;
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_GE(device_.agent->kept.time_floor_ms, kNowMs + 28ull * 86'400'000);
}

}  // namespace
}  // namespace fieldloop::agent
