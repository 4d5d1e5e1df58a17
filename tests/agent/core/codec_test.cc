// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// What nanopb writes protobuf reads, and the other way round, byte for byte.

#include <cstring>
#include <functional>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/agent.nanopb.h>
#include <fieldloop/agent/v1/agent.pb.h>
#include <fieldloop/agent/v1/impulse.nanopb.h>
#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "agent/src/wire.h"

namespace fieldloop::agent {
namespace {

template <typename Struct>
std::string EncodeNanopb(const pb_msgdesc_t* fields, const Struct& message) {
  std::string bytes(4096, '\0');
  pb_ostream_t stream =
      pb_ostream_from_buffer(reinterpret_cast<pb_byte_t*>(bytes.data()), bytes.size());
  EXPECT_TRUE(pb_encode(&stream, fields, &message)) << PB_GET_ERROR(&stream);
  bytes.resize(stream.bytes_written);
  return bytes;
}

template <typename Struct>
bool DecodeNanopb(const std::string& bytes, const pb_msgdesc_t* fields, Struct* message) {
  pb_istream_t stream =
      pb_istream_from_buffer(reinterpret_cast<const pb_byte_t*>(bytes.data()), bytes.size());
  return pb_decode(&stream, fields, message);
}

// Every field of every device message has a value, every array and text is as long as it may be.
std::vector<v1::DeviceMessage> FullDeviceMessages() {
  std::vector<v1::DeviceMessage> all;
  const std::string digest(32, '\xd1');
  {
    v1::Hello* hello = all.emplace_back().mutable_hello();
    hello->set_protocol(1);
    hello->set_max_frame_bytes(65535);
    hello->set_nonce(std::string(16, '\xff'));
    hello->set_hardware_id(std::string(31, 'h'));
    hello->set_agent_version(std::string(15, 'v'));
    hello->set_root_version(4'000'000'000);
    hello->set_boot_count(7);
    hello->set_project(std::string(39, 'p'));
  }
  {
    v1::CheckIn* check_in = all.emplace_back().mutable_check_in();
    check_in->set_settings_version(3);
    check_in->set_no_update(true);
  }
  {
    v1::StateReport* state = all.emplace_back().mutable_state_report();
    state->set_sequence(1ull << 60);
    for (int i = 1; i <= 3; ++i) {
      v1::ComponentState* component = state->add_components();
      component->set_kind(static_cast<v1::ComponentKind>(i));
      component->set_active_digest(digest);
      component->set_confirmed(true);
      component->set_release_sequence(9);
    }
    state->set_confirmed_release_sequence(9);
    state->set_dropped_uplinks(2);
  }
  {
    v1::ArtifactRequest* request = all.emplace_back().mutable_artifact_request();
    request->set_digest(digest);
    request->set_offset(123456);
    request->set_length(8192);
  }
  {
    v1::UpdateReport* report = all.emplace_back().mutable_update_report();
    report->set_sequence(300);
    report->set_rollout_id(std::string(39, 'r'));
    report->set_phase(v1::UPDATE_PHASE_REVERTED);
    report->set_cause(v1::UPDATE_CAUSE_DECLINED);
    report->set_active_digest(digest);
    report->set_release_sequence(77);
  }
  {
    v1::SketchReport* sketch = all.emplace_back().mutable_sketch_report();
    sketch->set_sequence(301);
    sketch->set_model_digest(digest);
    sketch->set_reference_id(0xdeadbeef);
    sketch->set_start_ms(1'700'000'000'000);
    sketch->set_period_ms(60'000);
    sketch->set_windows(600);
    sketch->set_failures(1);
    for (uint32_t i = 0; i < 32; ++i) sketch->add_class_counts(i * 1000);
    for (int c = 0; c < 6; ++c) {
      v1::ChannelSketch* channel = sketch->add_channels();
      for (uint32_t i = 0; i < 16; ++i) channel->add_bins(i * 100000);
      channel->set_mean(0.5F);
      channel->set_m2(12.25F);
      channel->set_min(-1);
      channel->set_max(3.5F);
    }
  }
  {
    v1::SampleChunk* chunk = all.emplace_back().mutable_sample_chunk();
    chunk->set_sequence(302);
    v1::SampleHeader* header = chunk->mutable_header();
    header->set_start_ms(1'700'000'000'001);
    header->set_first_reading(99);
    header->set_frequency_hz(62.5F);
    header->set_axes(12);
    header->set_encoding(v1::SAMPLE_ENCODING_I16);
    header->set_scale(0.125F);
    header->set_reason(v1::SAMPLE_REASON_NOVEL);
    header->set_probability(0.05F);
    header->set_model_digest(digest);
    header->set_predicted_class(31);
    header->set_confidence(0.75F);
    header->set_payload_digest(digest);
    chunk->set_offset(0);
    chunk->set_total_bytes(65536);
    chunk->set_data(std::string(1024, '\x80'));
  }
  {
    v1::EnrollRequest* request = all.emplace_back().mutable_enroll_request();
    request->set_token(std::string(63, 't'));
    request->set_csr(std::string(512, 'c'));
  }
  all.emplace_back().mutable_renew_request()->set_csr(std::string(512, 'c'));
  return all;
}

v1::SignedDocument FullDocument() {
  v1::SignedDocument document;
  document.set_payload(std::string(768, 'd'));
  for (char i = 0; i < 4; ++i) {
    v1::Signature* signature = document.add_signatures();
    signature->set_key_id(std::string(8, static_cast<char>('k' + i)));
    signature->set_value(std::string(64, static_cast<char>('v' + i)));
  }
  return document;
}

std::vector<v1::ServerMessage> FullServerMessages() {
  std::vector<v1::ServerMessage> all;
  {
    v1::HelloReply* reply = all.emplace_back().mutable_hello_reply();
    reply->set_protocol(1);
    reply->set_max_frame_bytes(65535);
    reply->set_now_ms(1'700'000'000'000);
  }
  all.emplace_back().mutable_check_in_reply()->set_next_check_in_ms(0xffffffff);
  *all.emplace_back().mutable_update_offer()->mutable_manifest() = FullDocument();
  *all.back().mutable_update_offer()->mutable_directive() = FullDocument();
  all.emplace_back().mutable_artifact_chunk()->set_offset(5);
  all.back().mutable_artifact_chunk()->set_data(std::string(1024, 'a'));
  all.emplace_back().mutable_ack()->set_sequence(1ull << 63);
  all.emplace_back().mutable_certificate_reply()->set_certificate(std::string(768, 'c'));
  all.back().mutable_certificate_reply()->set_issuer(std::string(768, 'i'));
  {
    v1::Settings* settings = all.emplace_back().mutable_settings();
    settings->set_version(3);
    settings->set_sketch_period_ms(60'000);
    settings->mutable_collection()->set_samples_per_period(4);
    settings->mutable_collection()->set_random_share(0.5F);
    settings->mutable_collection()->set_samples_total(100);
    settings->mutable_collection()->set_plan_id(2);
    settings->set_trial_windows(20);
    settings->set_trial_timeout_ms(600'000);
  }
  *all.emplace_back().mutable_root() = FullDocument();
  {
    v1::Error* error = all.emplace_back().mutable_error();
    error->set_code(v1::ERROR_CODE_REJECTED);
    error->set_detail(std::string(95, 'e'));
    error->set_retry_after_ms(1000);
    error->set_sequence(42);
  }
  return all;
}

TEST(CodecTest, EveryDeviceMessageHasTheSameBytesInBoth) {
  for (const v1::DeviceMessage& message : FullDeviceMessages()) {
    const std::string bytes = message.SerializeAsString();
    fieldloop_agent_v1_DeviceMessage decoded = {};
    ASSERT_TRUE(DecodeNanopb(bytes, fieldloop_agent_v1_DeviceMessage_fields, &decoded))
        << message.ShortDebugString();
    v1::DeviceMessage again;
    ASSERT_TRUE(
        again.ParseFromString(EncodeNanopb(fieldloop_agent_v1_DeviceMessage_fields, decoded)));
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(message, again));
    EXPECT_LE(bytes.size(), static_cast<size_t>(fieldloop_agent_v1_DeviceMessage_size));
  }
}

TEST(CodecTest, EveryServerMessageHasTheSameBytesInBoth) {
  for (const v1::ServerMessage& message : FullServerMessages()) {
    const std::string bytes = message.SerializeAsString();
    fieldloop_agent_v1_ServerMessage decoded = {};
    ASSERT_TRUE(DecodeNanopb(bytes, fieldloop_agent_v1_ServerMessage_fields, &decoded))
        << message.ShortDebugString();
    v1::ServerMessage again;
    ASSERT_TRUE(
        again.ParseFromString(EncodeNanopb(fieldloop_agent_v1_ServerMessage_fields, decoded)));
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(message, again));
    EXPECT_LE(bytes.size(), 2560u) << "the smallest frame a device may announce";
  }
}

TEST(CodecTest, AMessageOneByteTooLongIsRefusedByTheDevice) {
  v1::ServerMessage message;
  message.mutable_artifact_chunk()->set_data(std::string(1025, 'a'));
  fieldloop_agent_v1_ServerMessage decoded = {};
  EXPECT_FALSE(
      DecodeNanopb(message.SerializeAsString(), fieldloop_agent_v1_ServerMessage_fields, &decoded));
}

// A frame that the agent writes field by field.
std::string Frame(uint32_t number, size_t capacity, const std::function<void(fl_writer_t*)>& put) {
  std::vector<uint8_t> buffer(capacity);
  fl_writer_t writer;
  fl_frame_begin(&writer, buffer.data(), buffer.size());
  put(&writer);
  const size_t size = fl_frame_end(&writer, number);
  return std::string(writer.start, writer.start + size);
}

TEST(CodecTest, AFrameThatIsWrittenInPlaceHasProtobufsBytes) {
  for (const size_t size : {0u, 1u, 60u, 61u, 62u, 300u, 512u}) {
    v1::DeviceMessage message;
    message.mutable_enroll_request()->set_token(std::string(63, 't'));
    message.mutable_enroll_request()->set_csr(std::string(size, 'c'));
    const std::string expected = message.SerializeAsString();
    const std::string frame =
        Frame(fieldloop_agent_v1_DeviceMessage_enroll_request_tag, 600, [&](fl_writer_t* writer) {
          fl_put_text(writer, 1, message.enroll_request().token().c_str());
          fl_put_bytes(writer, 2, message.enroll_request().csr().data(), size);
        });
    EXPECT_EQ(frame.substr(2), expected);
    EXPECT_EQ(static_cast<uint8_t>(frame[0]) * 256u + static_cast<uint8_t>(frame[1]),
              expected.size());
  }
}

TEST(CodecTest, EveryKindOfFieldIsWrittenAsProtobufWritesIt) {
  v1::DeviceMessage message;
  v1::SketchReport* sketch = message.mutable_sketch_report();
  sketch->set_sequence(~0ull);
  sketch->set_windows(127);
  sketch->set_failures(128);
  for (const uint32_t count : {0u, 1u, 127u, 128u, 65535u}) sketch->add_class_counts(count);
  sketch->add_channels()->set_mean(0.5F);
  sketch->mutable_channels(0)->set_max(-1.25F);
  const std::string frame =
      Frame(fieldloop_agent_v1_DeviceMessage_sketch_report_tag, 200, [](fl_writer_t* writer) {
        fl_put_long(writer, fieldloop_agent_v1_SketchReport_sequence_tag, ~0ull);
        fl_put_number(writer, fieldloop_agent_v1_SketchReport_reference_id_tag, 0);
        fl_put_number(writer, fieldloop_agent_v1_SketchReport_windows_tag, 127);
        fl_put_number(writer, fieldloop_agent_v1_SketchReport_failures_tag, 128);
        uint8_t* packed = fl_put_begin(writer, fieldloop_agent_v1_SketchReport_class_counts_tag);
        for (const uint32_t count : {0u, 1u, 127u, 128u, 65535u}) fl_put_element(writer, count);
        fl_put_end(writer, packed);
        uint8_t* channel = fl_put_begin(writer, fieldloop_agent_v1_SketchReport_channels_tag);
        fl_put_float(writer, fieldloop_agent_v1_ChannelSketch_mean_tag, 0.5F);
        fl_put_float(writer, fieldloop_agent_v1_ChannelSketch_m2_tag, 0.0F);
        fl_put_float(writer, fieldloop_agent_v1_ChannelSketch_max_tag, -1.25F);
        fl_put_end(writer, channel);
      });
  EXPECT_EQ(frame.substr(2), message.SerializeAsString());
}

TEST(CodecTest, WhatDoesNotFitTheFrameLeavesNone) {
  const auto put = [](fl_writer_t* writer) {
    fl_put_number(writer, 1, 300);
    fl_put_float(writer, 2, 1.0F);
    fl_put_text(writer, 3, "text");
    uint8_t* packed = fl_put_begin(writer, 4);
    fl_put_element(writer, 1);
    fl_put_end(writer, packed);
  };
  const size_t whole = Frame(1, 100, put).size();
  ASSERT_GT(whole, 0u);
  for (size_t capacity = FL_MESSAGE_HEAD; capacity < whole + 1; ++capacity) {
    EXPECT_EQ(Frame(1, capacity, put), "") << capacity;
  }
  EXPECT_EQ(Frame(1, 400,
                  [](fl_writer_t* writer) {
                    uint8_t* message = fl_put_begin(writer, 1);
                    fl_put_text(writer, 1, std::string(200, 'x').c_str());
                    fl_put_end(writer, message);
                  }),
            "")
      << "a message within the message has a length of one byte";
  EXPECT_EQ(Frame(1, 20'000, [](fl_writer_t* writer) { (void)fl_put_room(writer, 1, 16'384); }),
            "");
}

fl_status_t ReadDocument(const std::string& bytes, fl_document_t* document) {
  const fl_slice_t slice = {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  return fl_wire_document(&slice, document);
}

TEST(WireTest, ADocumentIsReadInPlace) {
  const std::string bytes = FullDocument().SerializeAsString();
  fl_document_t document;
  ASSERT_EQ(ReadDocument(bytes, &document), FL_OK);
  EXPECT_EQ(document.payload.size, 768u);
  ASSERT_EQ(document.signature_count, 4u);
  EXPECT_EQ(std::memcmp(document.signatures[3].key_id, "nnnnnnnn", 8), 0);
}

TEST(WireTest, ADocumentOverItsLimitsIsRefused) {
  v1::SignedDocument document = FullDocument();
  fl_document_t read;
  document.mutable_payload()->push_back('x');
  EXPECT_EQ(ReadDocument(document.SerializeAsString(), &read), FL_ERR_CORRUPT);
  document = FullDocument();
  *document.add_signatures() = document.signatures(0);
  EXPECT_EQ(ReadDocument(document.SerializeAsString(), &read), FL_ERR_CORRUPT);
  document = FullDocument();
  document.mutable_signatures(1)->mutable_value()->pop_back();
  EXPECT_EQ(ReadDocument(document.SerializeAsString(), &read), FL_ERR_CORRUPT);
  EXPECT_EQ(ReadDocument("", &read), FL_ERR_CORRUPT);
}

TEST(WireTest, EveryPrefixOfAMessageIsReadOrRefusedWithoutReadingBeyondIt) {
  for (const v1::ServerMessage& message : FullServerMessages()) {
    const std::string bytes = message.SerializeAsString();
    for (size_t size = 0; size < bytes.size(); ++size) {
      // In memory of just this size, so that a sanitizer sees a read beyond it.
      const std::vector<uint8_t> prefix(bytes.begin(), bytes.begin() + static_cast<long>(size));
      fl_slice_t slice = {prefix.data(), prefix.size()};
      fl_field_t field;
      fl_status_t status = FL_OK;
      while (status == FL_OK) status = fl_wire_next(&slice, &field);
      EXPECT_TRUE(status == FL_ERR_CORRUPT || (status == FL_ERR_NOT_FOUND && size == 0));
    }
  }
}

TEST(CodecTest, AnImpulseOfTheTrainerIsReadByTheDevice) {
  v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(100);
  impulse.mutable_window()->set_stride(50);
  impulse.mutable_window()->set_frequency_hz(100);
  impulse.mutable_window()->add_axes("x_acc");
  impulse.add_classes("WALKING");
  impulse.mutable_reference()->set_id(7);
  v1::ReferenceChannel* channel = impulse.mutable_reference()->add_channels();
  channel->set_kind(v1::CHANNEL_KIND_CONFIDENCE);
  for (int i = 0; i < 15; ++i) channel->add_edges(static_cast<float>(i));
  for (int i = 0; i < 16; ++i) channel->add_shares(1.0F / 16);
  impulse.set_uncertain_below(0.6F);
  fieldloop_agent_v1_Impulse decoded = fieldloop_agent_v1_Impulse_init_zero;
  ASSERT_TRUE(
      DecodeNanopb(impulse.SerializeAsString(), fieldloop_agent_v1_Impulse_fields, &decoded));
  EXPECT_STREQ(decoded.window.axes[0], "x_acc");
  EXPECT_EQ(decoded.reference.channels[0].edges_count, 15);
}

}  // namespace
}  // namespace fieldloop::agent
