// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_IMPULSE_PROTO_WRITER_H_
#define FIELDLOOP_TESTS_AGENT_IMPULSE_PROTO_WRITER_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace fieldloop::testing {

// Bytes of little-endian float32.
inline std::string FloatBytes(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Serialises a protobuf message field by field, also wrongly when a test wants that.
class ProtoWriter {
 public:
  ProtoWriter& Varint(std::uint32_t tag, std::uint64_t value) {
    Raw(tag << 3);
    return Raw(value);
  }
  ProtoWriter& Float(std::uint32_t tag, float value) {
    Raw(tag << 3 | 5);
    bytes_ += FloatBytes({value});
    return *this;
  }
  ProtoWriter& Bytes(std::uint32_t tag, const std::string& value) {
    Raw(tag << 3 | 2);
    Raw(value.size());
    bytes_ += value;
    return *this;
  }
  ProtoWriter& Floats(std::uint32_t tag, const std::vector<float>& values) {
    return Bytes(tag, FloatBytes(values));
  }
  ProtoWriter& Message(std::uint32_t tag, const ProtoWriter& value) {
    return Bytes(tag, value.bytes_);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  ProtoWriter& Raw(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
    return *this;
  }

  std::string bytes_;
};

inline ProtoWriter WindowMessage(std::uint32_t length, std::uint32_t axes) {
  ProtoWriter window;
  window.Varint(1, length).Varint(2, length).Float(3, 100.0F);
  for (std::uint32_t i = 0; i < axes; ++i) window.Bytes(4, "axis" + std::to_string(i));
  return window;
}

// A DspBlock.
inline ProtoWriter RawBlockMessage(float scale) {
  return ProtoWriter().Message(1, ProtoWriter().Float(1, scale));
}
inline ProtoWriter FlattenBlockMessage(float scale, bool without_shape = false) {
  return ProtoWriter().Message(2, ProtoWriter().Float(1, scale).Varint(2, without_shape ? 1 : 0));
}
inline ProtoWriter SpectralBlockMessage(std::uint32_t fft_length, bool average_frames) {
  return ProtoWriter().Message(
      3, ProtoWriter().Varint(1, fft_length).Varint(2, average_frames ? 1 : 0));
}

// An Impulse without standardisation, classes, reference and self test.
inline ProtoWriter ImpulseMessage(const ProtoWriter& window,
                                  const std::vector<ProtoWriter>& blocks) {
  ProtoWriter impulse;
  impulse.Varint(1, 1).Message(2, window);
  for (const ProtoWriter& block : blocks) impulse.Message(4, block);
  return impulse;
}

inline ProtoWriter MagnitudeMessage(std::uint32_t first_axis, std::uint32_t count) {
  return ProtoWriter().Varint(1, first_axis).Varint(2, count);
}

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_AGENT_IMPULSE_PROTO_WRITER_H_
