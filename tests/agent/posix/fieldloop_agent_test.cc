// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The program as a whole: a process that enrols, installs a model, restarts into it, classifies
// recordings and reports, against a server in this process.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <fcntl.h>
#include <functional>
#include <map>
#include <mutex>
#include <poll.h>
#include <set>
#include <signal.h>
#include <spawn.h>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/wait.h>

#include "agent/impulse/impulse.h"
#include "tests/agent/core/device_harness.h"
#include "tests/agent/impulse/proto_writer.h"
#include "tests/agent/impulse/tflite_builder.h"
#include "tests/agent/posix/temporary_directory.h"
#include "tests/agent/posix/tls_server.h"
#include "tests/services/ingestion/formats/wav_file.h"

extern char** environ;

namespace fieldloop::agent {
namespace {

using ::fieldloop::ingestion::WavFile;
using ::fieldloop::testing::ByteOption;
using ::fieldloop::testing::FloatBytes;
using ::fieldloop::testing::FloatOption;
using ::fieldloop::testing::TfliteBuilder;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<float> kSelfTestWindow = {2, 1, 1, 1};

// Two readings of two axes at 100 Hz; the largest of (a of the first reading, b of the first
// reading, the sum of the second) names the class.
v1::Impulse ImpulseOf(const std::string& name) {
  v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(2);
  impulse.mutable_window()->set_stride(2);
  impulse.mutable_window()->set_frequency_hz(100);
  impulse.mutable_window()->add_axes("a");
  impulse.mutable_window()->add_axes("b");
  impulse.add_blocks()->mutable_raw()->set_scale(1);
  for (int i = 0; i < 4; ++i) {
    impulse.mutable_standardisation()->add_mean(1);
    impulse.mutable_standardisation()->add_inverse_deviation(2);
  }
  impulse.mutable_standardisation()->set_clip(8);
  for (const char* label : {"idle", "walk"}) impulse.add_classes(label);
  impulse.add_classes(name);
  impulse.mutable_reference()->set_id(77);
  v1::ReferenceChannel* channel = impulse.mutable_reference()->add_channels();
  channel->set_kind(v1::CHANNEL_KIND_CONFIDENCE);
  for (const float edge : {0.25F, 0.5F, 0.75F}) channel->add_edges(edge);
  impulse.set_uncertain_below(0.5F);
  return impulse;
}

std::string TfliteOf(const v1::Impulse& impulse) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4}, 0.0625F, 0);
  const auto weights =
      builder.AddWeights({3, 4}, {100, 0, 0, 0, 0, 100, 0, 0, 0, 0, 100, 100}, {0.01F}, 0);
  const auto logits = builder.AddActivation({1, 3}, 0.125F, 0);
  const auto output = builder.AddActivation({1, 3}, 1.0F / 256, -128);
  builder.AddOperator({9, {input, weights, -1}, {logits}, 8, {ByteOption(0, 0)}});
  builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
  builder.AddMetadata("fieldloop.impulse", impulse.SerializeAsString());
  const std::vector<uint8_t> model = builder.Build(input, output);
  return {model.begin(), model.end()};
}

// The impulse with what the network that `tflite_of` makes says of a window as its self-test.
std::string WithSelfTest(v1::Impulse impulse, const std::vector<float>& window,
                         const std::function<std::string(const v1::Impulse&)>& tflite_of) {
  const std::string without = tflite_of(impulse);
  std::vector<uint64_t> model((without.size() + 7) / 8);
  std::memcpy(model.data(), without.data(), without.size());
  const auto* bytes = reinterpret_cast<const uint8_t*>(model.data());
  size_t arena_size = 0;
  EXPECT_EQ(fl_impulse_arena_size(bytes, without.size(), &arena_size), FL_OK);
  std::vector<uint64_t> arena(arena_size / 8 + 1);
  fl_impulse_t opened;
  fl_inference_t result;
  EXPECT_EQ(fl_impulse_open(&opened, bytes, without.size(), arena.data(), arena_size), FL_OK);
  EXPECT_EQ(fl_impulse_run(&opened, window.data(), &result), FL_OK);
  impulse.mutable_self_test()->set_window(FloatBytes(window));
  impulse.mutable_self_test()->set_output(
      std::string(result.output, result.output + impulse.classes_size()));
  return tflite_of(impulse);
}

// A model whose self-test passes; name is its third class, so that models differ.
std::string Model(const std::string& name) {
  return WithSelfTest(ImpulseOf(name), kSelfTestWindow, TfliteOf);
}

constexpr int kAudioHz = 16000;

// A second of sound at 16 kHz as 49 frames of 10 mel bands, and an anomaly block for which a
// window is anomalous whose loudest band is not the tone's. Low tones are "low", others "high".
std::string AudioModel() {
  v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(kAudioHz);
  impulse.mutable_window()->set_stride(kAudioHz / 2);
  impulse.mutable_window()->set_frequency_hz(kAudioHz);
  impulse.mutable_window()->add_axes("audio");
  v1::MfeBlock* mfe = impulse.add_blocks()->mutable_mfe();
  mfe->set_frame_length(480);
  mfe->set_frame_stride(320);
  mfe->set_fft_length(512);
  mfe->set_filter_count(10);
  mfe->set_noise_floor_db(-52);
  mfe->set_scale(1.0F / 32768);
  const int frames = 1 + (kAudioHz - 480) / 320;
  for (const char* label : {"low", "high"}) impulse.add_classes(label);
  impulse.mutable_reference()->set_id(78);
  v1::ReferenceChannel* channel = impulse.mutable_reference()->add_channels();
  channel->set_kind(v1::CHANNEL_KIND_ANOMALY);
  channel->add_edges(0);
  // The first frame's lowest band in a cluster of loud ones.
  impulse.mutable_anomaly()->add_features(0);
  impulse.mutable_anomaly()->mutable_k_means()->add_centres(1);
  impulse.mutable_anomaly()->mutable_k_means()->add_radii(0.3F);
  impulse.set_uncertain_below(0.5F);

  const auto tflite_of = [frames](const v1::Impulse& content) {
    TfliteBuilder builder;
    const auto input = builder.AddActivation({1, frames * 10}, 1.0F / 255, -128);
    std::vector<int8_t> weights;
    for (int output = 0; output < 2; ++output) {
      for (int i = 0; i < frames * 10; ++i) {
        weights.push_back((i % 10 < 3) == (output == 0) ? 10 : -10);
      }
    }
    const auto table = builder.AddWeights({2, frames * 10}, weights, {0.01F}, 0);
    const auto logits = builder.AddActivation({1, 2}, 0.125F, 0);
    const auto output = builder.AddActivation({1, 2}, 1.0F / 256, -128);
    builder.AddOperator({9, {input, table, -1}, {logits}, 8, {ByteOption(0, 0)}});
    builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
    builder.AddMetadata("fieldloop.impulse", content.SerializeAsString());
    const std::vector<uint8_t> model = builder.Build(input, output);
    return std::string(model.begin(), model.end());
  };
  std::vector<float> window(kAudioHz);
  for (size_t i = 0; i < window.size(); ++i) {
    window[i] = static_cast<float>(static_cast<int>(i * i % 2001) - 1000);
  }
  return WithSelfTest(impulse, window, tflite_of);
}

// Four seconds of a tone as a WAV file.
std::string Tone(double hertz) {
  std::vector<int16_t> samples(4 * kAudioHz);
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i] = static_cast<int16_t>(std::lround(
        9000 * std::sin(2 * 3.141592653589793 * hertz * static_cast<double>(i) / kAudioHz)));
  }
  return WavFile(1, kAudioHz, samples);
}

// Rows of 10 ms: half of them idle, half of them walk, as the model sees it.
std::string Recording(int rows) {
  std::string csv = "a,b,timestamp,label\n";
  for (int i = 0; i < rows; ++i) {
    const bool walk = i >= rows / 2;
    const bool first = i % 2 == 0;
    csv += std::string(first && !walk ? "2" : "1") + "," + (first && walk ? "2" : "1") + "," +
           std::to_string(1000 + 10 * i) + "," + (walk ? "walk" : "idle") + "\n";
  }
  return csv;
}

class FieldloopAgentTest : public ::testing::Test {
 protected:
  FieldloopAgentTest() {
    v1::Settings settings;
    settings.set_version(1);
    settings.set_sketch_period_ms(2000);
    settings.mutable_collection()->set_samples_per_period(2);
    settings.mutable_collection()->set_random_share(1);
    settings.mutable_collection()->set_plan_id(1);
    settings.set_trial_windows(5);
    settings.set_trial_timeout_ms(60'000);
    scripted_.settings = settings;
    scripted_.next_check_in_ms = 200;
    scripted_.now_ms = NowMs();
    scripted_.intercept = [this](const v1::DeviceMessage& message) { return Enroll(message); };
    server_ = std::make_unique<TlsServer>(
        authority_, devices_, "DNS:distribution,IP:127.0.0.1",
        [this](const TlsServer::Connection& connection, const std::string& received,
               std::string* answer) { return Serve(connection, received, answer); });
    directory_.Write("ca.pem", authority_.Pem());
    directory_.Write("root", trust_.SignedRoot(trust_.Root()).SerializeAsString());
    directory_.Write("token", "secret-token\n");
    directory_.Write("walk.csv", Recording(600));
  }
  ~FieldloopAgentTest() override {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    if (control_ >= 0) close(control_);
    server_.reset();
  }

  static uint64_t NowMs() {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  }

  std::optional<std::vector<v1::ServerMessage>> Enroll(const v1::DeviceMessage& message) {
    if (!message.has_enroll_request() && !message.has_renew_request()) return std::nullopt;
    v1::ServerMessage reply;
    const bool first = message.has_enroll_request();
    certificates_.push_back(devices_.IssueForRequest(
        first ? message.enroll_request().csr() : message.renew_request().csr(), kDeviceId,
        first ? first_certificate_s_ : 3600));
    reply.mutable_certificate_reply()->set_certificate(certificates_.back());
    reply.mutable_certificate_reply()->set_issuer(TestAuthority::Der(devices_.certificate()));
    return std::vector<v1::ServerMessage>{reply};
  }

  bool Serve(const TlsServer::Connection& connection, const std::string& received,
             std::string* answer) {
    const std::lock_guard lock(mutex_);
    if (received.empty()) {
      scripted_.Connect();
      names_.push_back(connection.common_name);
    }
    scripted_.Write(reinterpret_cast<const uint8_t*>(received.data()), received.size());
    std::vector<uint8_t> buffer(65536);
    size_t size;
    while ((size = scripted_.Read(buffer.data(), buffer.size())) > 0) {
      answer->append(reinterpret_cast<const char*>(buffer.data()), size);
    }
    changed_.notify_all();
    return true;
  }

  // Waits until what the server saw fulfils the condition.
  bool WaitUntil(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(2), condition);
  }

  void Start(const std::vector<std::string>& extra = {}) {
    std::vector<std::string> words = {FIELDLOOP_AGENT_BINARY,
                                      "--state",
                                      directory_.path() + "/state",
                                      "--server",
                                      "127.0.0.1:" + server_->port(),
                                      "--ca",
                                      directory_.path() + "/ca.pem",
                                      "--root",
                                      directory_.path() + "/root",
                                      "--project",
                                      kProject,
                                      "--token-file",
                                      directory_.path() + "/token",
                                      "--hardware-id",
                                      "posix-test",
                                      "--replay",
                                      directory_.path() + "/" + replay_,
                                      "--speed",
                                      "20",
                                      "--truth-log",
                                      directory_.path() + "/truth.jsonl",
                                      "--first-contact-ms",
                                      "10",
                                      "--control"};
    words.insert(words.end(), extra.begin(), extra.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int input[2];
    ASSERT_EQ(pipe2(input, O_CLOEXEC), 0);
    const std::string log = directory_.path() + "/log";
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    ASSERT_EQ(posix_spawn(&process_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    control_ = input[1];
  }
  void Control(const std::string& line) const {
    ASSERT_EQ(write(control_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  // Exit code of the process, -1 when a signal ended it.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(process_, &status, 0), process_);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  bool Confirmed(const std::string& model) const {
    return !scripted_.reports.empty() &&
           scripted_.reports.back().phase() == v1::UPDATE_PHASE_CONFIRMED &&
           scripted_.reports.back().active_digest() == Sha256(model);
  }

  v1::StateReport LastState() const {
    v1::StateReport state;
    for (const auto& message : scripted_.received) {
      if (message.has_state_report()) state = message.state_report();
    }
    return state;
  }
  // The Hello that came last.
  struct Greeting {
    int number = 0;  // From 1.
    uint32_t boot_count = 0;
    bool checked_in = false;  // After it.
  };
  Greeting LastGreeting() const {
    Greeting last;
    for (const auto& message : scripted_.received) {
      if (message.has_hello()) last = {last.number + 1, message.hello().boot_count(), false};
      if (message.has_check_in()) last.checked_in = true;
    }
    return last;
  }
  // The device said last that all it runs is confirmed.
  bool AllConfirmed() const {
    bool all = true;
    const v1::StateReport state = LastState();
    for (const v1::ComponentState& component : state.components()) {
      all = all && component.confirmed();
    }
    return state.components_size() > 0 && all;
  }

  // What lies between two texts, in the lines of the truth log of a type.
  std::vector<std::string> Truth(const std::string& type, const std::string& before,
                                 const std::string& after) const {
    std::vector<std::string> values;
    std::istringstream lines(directory_.Read("truth.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("{\"type\":\"" + type + "\"", 0) != 0) continue;
      const size_t start = line.find(before);
      const size_t end = line.find(after, start + before.size());
      if (start == std::string::npos || end == std::string::npos) {
        ADD_FAILURE() << "no " << before << " in " << line;
        continue;
      }
      values.push_back(line.substr(start + before.size(), end - start - before.size()));
    }
    return values;
  }

  TemporaryDirectory directory_;
  std::string replay_ = "walk.csv";
  const TestAuthority authority_{"service authority"};
  const TestAuthority devices_{"device authority"};
  TrustFixture trust_;
  std::mutex mutex_;
  std::condition_variable changed_;
  ScriptedServer scripted_{trust_};
  long first_certificate_s_ = 3600;        // For which the first one is good from now on.
  std::vector<std::string> certificates_;  // As they were issued.
  std::vector<std::string> names_;         // Of the client certificates, by connection.
  std::unique_ptr<TlsServer> server_;
  pid_t process_ = -1;
  int control_ = -1;
};

TEST_F(FieldloopAgentTest, EnrolsInstallsAModelRestartsIntoItAndReports) {
  const std::string model = Model("run");
  scripted_.OfferModel(model, 3);
  scripted_.trace_id = "0123456789abcdef";
  Start();
  const pid_t process = process_;
  ASSERT_TRUE(WaitUntil([&] { return Confirmed(model); })) << directory_.Read("log");
  ASSERT_TRUE(WaitUntil([&] {
    return scripted_.sketches.size() >= 4 && scripted_.sample_headers.size() >= 4;
  })) << directory_.Read("log");
  EXPECT_THAT(directory_.Read("log"),
              HasSubstr("an offer was accepted trace_id=30313233343536373839616263646566\n"));
  EXPECT_EQ(kill(process, SIGTERM), 0);
  EXPECT_EQ(Wait(), 0);

  const std::lock_guard lock(mutex_);
  EXPECT_THAT(scripted_.Phases(),
              ElementsAre(v1::UPDATE_PHASE_ACCEPTED, v1::UPDATE_PHASE_DOWNLOADED,
                          v1::UPDATE_PHASE_TRIAL, v1::UPDATE_PHASE_CONFIRMED));
  EXPECT_EQ(names_.at(0), "");
  EXPECT_EQ(names_.at(1), kDeviceId);
  std::set<uint32_t> boots;
  for (const auto& message : scripted_.received) {
    if (message.has_hello()) boots.insert(message.hello().boot_count());
  }
  EXPECT_THAT(boots, ElementsAre(1, 2)) << "the process restarted once, with the same id";

  // The sensor clock advances with the signal, period after period.
  uint64_t end = 0;
  uint32_t windows = 0;
  std::map<std::string, uint32_t> sketched;
  for (const v1::SketchReport& sketch : scripted_.sketches) {
    EXPECT_GE(sketch.start_ms(), end);
    end = sketch.start_ms() + sketch.period_ms();
    EXPECT_EQ(sketch.model_digest(), Sha256(model));
    EXPECT_EQ(sketch.failures(), 0u);
    windows += sketch.windows();
  }
  EXPECT_EQ(scripted_.sketches[0].period_ms(), 2000u);
  EXPECT_NEAR(scripted_.sketches[0].windows(), 100, 1);
  EXPECT_GT(windows, 300u);

  // What is judged matches what was reported: idle is seen as idle and walk as walk.
  EXPECT_GE(Truth("period", "\"period_ms\":", ",").size(), 4u);
  for (const std::string& source : Truth("period", "\"source\":\"", "\"")) {
    EXPECT_EQ(source, "walk.csv");
  }
  for (const std::string& pairs : Truth("period", "\"pairs\":", ",\"confidence_sum\"")) {
    EXPECT_THAT(pairs, Not(HasSubstr("\"idle\":{\"walk\"")));
    EXPECT_THAT(pairs, Not(HasSubstr("\"walk\":{\"idle\"")));
    EXPECT_THAT(pairs, Not(HasSubstr("run")));
    EXPECT_THAT(pairs, AnyOf(HasSubstr("\"idle\":{\"idle\":"), HasSubstr("\"walk\":{\"walk\":")));
  }
  std::set<std::string> sampled;
  for (const std::string& at : Truth("sample", "\"start_ms\":", ",")) sampled.insert(at);
  for (const v1::SampleHeader& header : scripted_.sample_headers) {
    EXPECT_EQ(sampled.count(std::to_string(header.start_ms())), 1u);
    EXPECT_EQ(header.axes(), 2u);
  }
  // Integers, though the file has them as text.
  for (const auto& [sequence, payload] : scripted_.sample_payloads) EXPECT_EQ(payload.size(), 8u);
}

TEST_F(FieldloopAgentTest, RunsAKeywordModelOnSoundAndSendsWholeSeconds) {
  const std::string model = AudioModel();
  scripted_.settings->set_sketch_period_ms(4000);
  scripted_.OfferModel(model, 3);
  directory_.Write("low.wav", Tone(150));
  directory_.Write("high.wav", Tone(3000));
  replay_ = "low.wav";
  Start();
  ASSERT_TRUE(WaitUntil([&] {
    return Confirmed(model) && scripted_.sketches.size() >= 2 && !scripted_.sample_payloads.empty();
  })) << directory_.Read("log");
  size_t before = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const v1::SketchReport& sketch : scripted_.sketches) {
      EXPECT_EQ(sketch.failures(), 0u);
      EXPECT_GT(sketch.windows(), 0u);
      EXPECT_EQ(sketch.class_counts(0), sketch.windows()) << "all low";
      EXPECT_EQ(sketch.channels(0).bins(0), sketch.windows()) << "nothing anomalous";
    }
    EXPECT_EQ(scripted_.sketches[0].period_ms(), 4000u);
    EXPECT_GE(scripted_.sketches[0].windows(), 6u) << "every half second, but where the file ends";
    for (const auto& [sequence, payload] : scripted_.sample_payloads) {
      EXPECT_EQ(payload.size(), size_t{kAudioHz} * sizeof(int16_t));
    }
    EXPECT_EQ(scripted_.sample_headers[0].frequency_hz(), static_cast<float>(kAudioHz));
    EXPECT_EQ(scripted_.sample_headers[0].encoding(), v1::SAMPLE_ENCODING_I16);
    before = scripted_.sketches.size();
  }
  Control("replay " + directory_.path() + "/high.wav\n");
  // Periods that were closed before, and the one that was under way, still hold windows of the low
  // tone.
  ASSERT_TRUE(WaitUntil([&] {
    const v1::SketchReport& last = scripted_.sketches.back();
    return scripted_.sketches.size() > before && last.windows() > 0 &&
           last.class_counts(1) == last.windows();
  })) << "never all high";
  Control("quit\n");
  EXPECT_EQ(Wait(), 0);
  const std::lock_guard lock(mutex_);
  const v1::SketchReport& last = scripted_.sketches.back();
  EXPECT_EQ(last.class_counts(1), last.windows()) << "all high";
  EXPECT_EQ(last.channels(0).bins(1), last.windows()) << "and all anomalous";
}

TEST_F(FieldloopAgentTest, TakesOtherRecordingsWithoutARestartAndKeepsThemAcrossAnUpdate) {
  const std::string first = Model("run");
  const std::string second = Model("jump");
  scripted_.OfferModel(first, 3);
  Start();
  ASSERT_TRUE(WaitUntil([&] { return Confirmed(first) && scripted_.sketches.size() >= 2; }));
  directory_.Write("other.csv", Recording(400));
  Control("replay " + directory_.path() + "/other.csv\n");
  ASSERT_TRUE(WaitUntil([&] {
    return directory_.Read("truth.jsonl").find("\"source\":\"other.csv\"") != std::string::npos;
  })) << directory_.Read("log");
  {
    const std::lock_guard lock(mutex_);
    scripted_.OfferModel(second, 4);
  }
  ASSERT_TRUE(WaitUntil([&] { return Confirmed(second); })) << directory_.Read("log");
  ASSERT_TRUE(
      WaitUntil([&] { return scripted_.sketches.back().model_digest() == Sha256(second); }));
  Control("quit\n");
  EXPECT_EQ(Wait(), 0);
  const std::vector<std::string> sources = Truth("period", "\"source\":\"", "\"");
  EXPECT_EQ(sources.front(), "walk.csv");
  EXPECT_EQ(sources.back(), "other.csv");
  EXPECT_EQ(std::set<std::string>(sources.begin(), sources.end()).size(), 2u);
  const std::vector<std::string> models = Truth("period", "\"model\":\"", "\"");
  EXPECT_NE(models.front(), models.back());
  uint64_t end = 0;
  const std::lock_guard lock(mutex_);
  for (const v1::SketchReport& sketch : scripted_.sketches) {
    EXPECT_GE(sketch.start_ms(), end) << "the sensor clock goes on across the restart";
    end = sketch.start_ms() + sketch.period_ms();
  }
}

TEST_F(FieldloopAgentTest, AModelWhoseSelfTestFailsIsReverted) {
  v1::Impulse impulse = ImpulseOf("run");
  impulse.mutable_self_test()->set_window(FloatBytes(kSelfTestWindow));
  impulse.mutable_self_test()->set_output("abc");
  scripted_.OfferModel(TfliteOf(impulse), 3);
  Start();
  ASSERT_TRUE(WaitUntil([&] {
    return !scripted_.reports.empty() &&
           scripted_.reports.back().phase() == v1::UPDATE_PHASE_REVERTED;
  })) << directory_.Read("log");
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(scripted_.reports.back().cause(), v1::UPDATE_CAUSE_SELF_TEST);
}

TEST_F(FieldloopAgentTest, TakesASetOfModelConfigurationAndFirmwareAsOne) {
  const std::string model = Model("run");
  const std::string firmware = directory_.Write("app.bin", "firmware one");
  const std::string file = directory_.path() + "/app.conf";
  {
    const std::lock_guard lock(mutex_);
    scripted_.OfferSet({{v1::COMPONENT_KIND_MODEL, model},
                        {v1::COMPONENT_KIND_FIRMWARE, "firmware two"},
                        {v1::COMPONENT_KIND_CONFIGURATION, "rate=5\n"}},
                       3);
  }
  Start({"--firmware", firmware, "--configuration-file", file});
  ASSERT_TRUE(WaitUntil([&] { return Confirmed(model); })) << directory_.Read("log");
  ASSERT_TRUE(WaitUntil([&] { return AllConfirmed(); })) << directory_.Read("log");
  {
    const std::lock_guard lock(mutex_);
    const v1::StateReport state = LastState();
    ASSERT_EQ(state.components_size(), 3);
    EXPECT_EQ(state.components(1).kind(), v1::COMPONENT_KIND_FIRMWARE);
    EXPECT_EQ(state.components(1).active_digest(), Sha256("firmware two"));
    EXPECT_EQ(state.components(2).active_digest(), Sha256("rate=5\n"));
    for (const v1::ComponentState& component : state.components()) {
      EXPECT_EQ(component.release_sequence(), 3u);
    }
  }
  EXPECT_EQ(directory_.Read("app.conf"), "rate=5\n");
  EXPECT_EQ(directory_.Read("app.bin"), "firmware two");

  // The next set fails as one: its model's self-test does not pass.
  v1::Impulse bad = ImpulseOf("jump");
  bad.mutable_self_test()->set_window(FloatBytes(kSelfTestWindow));
  bad.mutable_self_test()->set_output("abc");
  {
    const std::lock_guard lock(mutex_);
    scripted_.OfferSet({{v1::COMPONENT_KIND_MODEL, TfliteOf(bad)},
                        {v1::COMPONENT_KIND_FIRMWARE, "firmware three"},
                        {v1::COMPONENT_KIND_CONFIGURATION, "rate=6\n"}},
                       4);
  }
  ASSERT_TRUE(WaitUntil([&] {
    return scripted_.reports.back().phase() == v1::UPDATE_PHASE_REVERTED && AllConfirmed();
  })) << directory_.Read("log");
  EXPECT_EQ(directory_.Read("app.conf"), "rate=5\n");
  EXPECT_EQ(directory_.Read("app.bin"), "firmware two");
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(scripted_.reports.back().cause(), v1::UPDATE_CAUSE_SELF_TEST);
  EXPECT_EQ(LastState().components(1).active_digest(), Sha256("firmware two"));
}

// The first certificate of the file with the device's identity.
std::string CertificateOf(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), &X509_free);
  return certificate == nullptr ? "" : TestAuthority::Der(certificate.get());
}

TEST_F(FieldloopAgentTest, RenewsACertificateBeforeItEndsAndGoesOnWithTheNewOne) {
  // A minute old and good for half of one: two thirds of its life are over.
  first_certificate_s_ = 29;
  Start();
  // The session of the old certificate asks for the new one, which then opens a session of its own.
  ASSERT_TRUE(WaitUntil([&] { return LastGreeting().number == 3 && LastGreeting().checked_in; }))
      << directory_.Read("log");
  {
    const std::lock_guard lock(mutex_);
    EXPECT_THAT(names_, ElementsAre("", kDeviceId, kDeviceId));
    ASSERT_EQ(certificates_.size(), 2u);
    EXPECT_EQ(CertificateOf(directory_.Read("state/identity.pem")), certificates_[1]);
  }
  kill(process_, SIGKILL);
  EXPECT_EQ(Wait(), -1);
  close(control_);
  control_ = -1;
  Start();
  ASSERT_TRUE(WaitUntil([&] {
    return LastGreeting().boot_count == 2 && LastGreeting().checked_in;
  })) << directory_.Read("log");
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(names_.back(), kDeviceId);
  EXPECT_EQ(certificates_.size(), 2u) << "a fresh one is not renewed";
}

TEST_F(FieldloopAgentTest, AKilledProcessComesBackWithItsModel) {
  const std::string model = Model("run");
  scripted_.OfferModel(model, 3);
  Start();
  ASSERT_TRUE(WaitUntil([&] { return Confirmed(model); }));
  kill(process_, SIGKILL);
  EXPECT_EQ(Wait(), -1);
  close(control_);
  control_ = -1;
  uint32_t boots = 0;
  {
    const std::lock_guard lock(mutex_);
    boots = LastGreeting().boot_count;
  }
  Start();
  ASSERT_TRUE(WaitUntil([&] {
    return LastGreeting().boot_count == boots + 1 && LastGreeting().checked_in;
  })) << directory_.Read("log");
  const std::lock_guard lock(mutex_);
  const v1::StateReport state = LastState();
  ASSERT_GT(state.components_size(), 0);
  EXPECT_EQ(state.components(0).active_digest(), Sha256(model));
  EXPECT_TRUE(state.components(0).confirmed());
}

TEST_F(FieldloopAgentTest, SaysWhatItCannotUse) {
  directory_.Write("root", "no root document");
  Start();
  EXPECT_EQ(Wait(), 1);
  EXPECT_THAT(directory_.Read("log"), HasSubstr("FL_ERR_CORRUPT"));
  close(control_);
  Start({"--speed", "fast"});
  EXPECT_EQ(Wait(), 2);
  EXPECT_THAT(directory_.Read("log"), HasSubstr("--speed: got 'fast', want a number above 0"));
}

}  // namespace
}  // namespace fieldloop::agent
