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

// Parameters of an MfeBlock or MfccBlock.
struct MelParameters {
  std::uint32_t frame_length = 32;
  std::uint32_t frame_stride = 16;
  std::uint32_t fft_length = 32;
  std::uint32_t filter_count = 8;
  float low_hz = 0;
  float high_hz = 0;
  float noise_floor_db = -52;  // Mfe only.
  float pre_emphasis = 0;
  float scale = 1;
  std::uint32_t coefficient_count = 6;     // Mfcc only.
  std::uint32_t normalisation_frames = 0;  // Mfcc only.
};
inline ProtoWriter MelMessage(const MelParameters& mel) {
  return ProtoWriter()
      .Varint(1, mel.frame_length)
      .Varint(2, mel.frame_stride)
      .Varint(3, mel.fft_length)
      .Varint(4, mel.filter_count)
      .Float(5, mel.low_hz)
      .Float(6, mel.high_hz);
}
inline ProtoWriter MfeBlockMessage(const MelParameters& mel) {
  return ProtoWriter().Message(
      4,
      MelMessage(mel).Float(7, mel.noise_floor_db).Float(8, mel.pre_emphasis).Float(9, mel.scale));
}
inline ProtoWriter MfccBlockMessage(const MelParameters& mel) {
  return ProtoWriter().Message(5, MelMessage(mel)
                                      .Float(7, mel.pre_emphasis)
                                      .Float(8, mel.scale)
                                      .Varint(9, mel.coefficient_count)
                                      .Varint(10, mel.normalisation_frames));
}
enum class FilterKind { kNone = 0, kLowPass = 1, kHighPass = 2 };
inline ProtoWriter FilteredBlockMessage(std::uint32_t fft_length, FilterKind kind, float cutoff_hz,
                                        std::uint32_t order) {
  return ProtoWriter().Message(3, ProtoWriter()
                                      .Varint(1, fft_length)
                                      .Message(3, ProtoWriter()
                                                      .Varint(1, static_cast<unsigned>(kind))
                                                      .Float(2, cutoff_hz)
                                                      .Varint(3, order)));
}

// An Anomaly.
inline ProtoWriter KMeansMessage(const std::string& packed_features,
                                 const std::vector<float>& centres, const std::vector<float>& radii,
                                 float threshold) {
  return ProtoWriter()
      .Bytes(1, packed_features)
      .Message(2, ProtoWriter().Floats(1, centres).Floats(2, radii))
      .Float(4, threshold);
}
inline ProtoWriter MixtureMessage(const std::string& packed_features,
                                  const std::vector<float>& log_weights,
                                  const std::vector<float>& means,
                                  const std::vector<float>& inverse_deviations, float threshold) {
  return ProtoWriter()
      .Bytes(1, packed_features)
      .Message(3,
               ProtoWriter().Floats(1, log_weights).Floats(2, means).Floats(3, inverse_deviations))
      .Float(4, threshold);
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
