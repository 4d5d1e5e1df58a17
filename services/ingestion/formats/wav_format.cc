// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/wav_format.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/quality.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

// Layout: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991;
// WAVE_FORMAT_EXTENSIBLE: "Multiple Channel Audio Data and WAVE Files", Microsoft, 2001.
static_assert(std::endian::native == std::endian::little, "files are little endian");
constexpr std::size_t kRiffHeaderBytes = 12;
constexpr std::size_t kChunkHeaderBytes = 8;
constexpr std::size_t kFormatBytes = 16;
constexpr std::size_t kExtensibleBytes = 40;
constexpr std::size_t kSubformatOffset = 24;
constexpr std::uint16_t kPcm = 1;
constexpr std::uint16_t kFloat = 3;
constexpr std::uint16_t kExtensible = 0xfffe;
// Sizes that writers of streams leave, who did not know better.
constexpr std::uint32_t kUnknownSizes[] = {0, 0xffffffff};

std::uint16_t U16(absl::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) |
                                    static_cast<unsigned char>(bytes[at + 1]) << 8);
}

std::uint32_t U32(absl::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(U16(bytes, at)) | static_cast<std::uint32_t>(U16(bytes, at + 2))
                                                          << 16U;
}

// Reads all values, in units of 16 bit.
using Decode = void (*)(const char* bytes, std::vector<float>& values);

template <typename T>
T Load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

float DecodeU8(const char* bytes) {
  constexpr int kMiddle = 128;
  return static_cast<float>((Load<std::uint8_t>(bytes) - kMiddle) * 256);
}
float DecodeI16(const char* bytes) { return Load<std::int16_t>(bytes); }
float DecodeI24(const char* bytes) {
  // The upper three bytes of a number of four, which takes the sign along.
  std::int32_t value = 0;
  std::memcpy(reinterpret_cast<char*>(&value) + 1, bytes, 3);
  return static_cast<float>(value) / 65536.0F;
}
float DecodeI32(const char* bytes) {
  return static_cast<float>(static_cast<double>(Load<std::int32_t>(bytes)) / 65536.0);
}
float DecodeF32(const char* bytes) { return Load<float>(bytes) * 32768.0F; }
float DecodeF64(const char* bytes) { return static_cast<float>(Load<double>(bytes) * 32768.0); }

template <float (*DecodeOne)(const char* bytes), std::size_t kBytes>
void DecodeAll(const char* bytes, std::vector<float>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = DecodeOne(bytes + i * kBytes);
  }
}

struct Encoding {
  std::uint16_t code;
  std::uint16_t bits;
  Decode decode;
  FullScale full_scale;
};
constexpr Encoding kEncodings[] = {
    {kPcm, 8, DecodeAll<DecodeU8, 1>, {-32768, 32512}},
    {kPcm, 16, DecodeAll<DecodeI16, 2>, {-32768, 32767}},
    {kPcm, 24, DecodeAll<DecodeI24, 3>, {-32768, 32767.996F}},
    {kPcm, 32, DecodeAll<DecodeI32, 4>, {-32768, 32767.998F}},
    {kFloat, 32, DecodeAll<DecodeF32, 4>, {-32768, 32768}},
    {kFloat, 64, DecodeAll<DecodeF64, 8>, {-32768, 32768}},
};

struct Format {
  const Encoding* encoding = nullptr;
  std::uint16_t channels = 0;
  std::uint32_t frequency_hz = 0;

  [[nodiscard]] std::size_t sample_bytes() const { return encoding->bits / 8; }
  [[nodiscard]] std::size_t block_bytes() const { return sample_bytes() * channels; }
};

absl::Status Bad(std::size_t byte, absl::string_view chunk, absl::string_view got,
                 absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat("byte ", byte, ", chunk ", Quoted(chunk), ": got ", got, ", want ", want));
}

absl::StatusOr<Format> ParseFormat(absl::string_view chunk, std::size_t at) {
  if (chunk.size() < kFormatBytes) {
    return Bad(at, "fmt ", absl::StrCat(chunk.size(), " bytes"), "at least 16");
  }
  std::uint16_t code = U16(chunk, 0);
  if (code == kExtensible && chunk.size() >= kExtensibleBytes) {
    code = U16(chunk, kSubformatOffset);
  }
  const std::uint16_t bits = U16(chunk, 14);
  const Encoding* encoding =
      std::find_if(std::begin(kEncodings), std::end(kEncodings),
                   [&](const Encoding& known) { return known.code == code && known.bits == bits; });
  if (encoding == std::end(kEncodings)) {
    return Bad(at, "fmt ", absl::StrCat("encoding ", code, " with ", bits, " bits"),
               "PCM (encoding 1) with 8, 16, 24 or 32 bits, or float (encoding 3) with 32 or 64");
  }
  Format format{.encoding = encoding, .channels = U16(chunk, 2), .frequency_hz = U32(chunk, 4)};
  if (format.channels < 1 || format.channels > kMaxAxes) {
    return Bad(at + 2, "fmt ", absl::StrCat(format.channels, " channels"),
               absl::StrCat("1 to ", kMaxAxes));
  }
  if (format.frequency_hz < 1 || format.frequency_hz > kMaxFrequencyHz) {
    return Bad(at + 4, "fmt ", absl::StrCat("a rate of ", format.frequency_hz, " Hz"),
               absl::StrCat("1 to ", kMaxFrequencyHz));
  }
  if (U16(chunk, 12) != format.block_bytes()) {
    return Bad(at + 12, "fmt ", absl::StrCat("a block of ", U16(chunk, 12), " bytes"),
               absl::StrCat(format.block_bytes(), " for ", format.channels, " channels"));
  }
  return format;
}

ParsedRecording ToRecording(const Format& format, absl::string_view data) {
  ParsedRecording recording;
  if (format.channels == 1) {
    recording.axes = {"audio"};
  } else {
    for (int channel = 0; channel < format.channels; ++channel) {
      recording.axes.push_back(absl::StrCat("audio", channel));
    }
  }
  recording.values.resize(data.size() / format.sample_bytes());
  format.encoding->decode(data.data(), recording.values);
  recording.readings = static_cast<std::int64_t>(recording.values.size() / format.channels);
  recording.frequency_hz = format.frequency_hz;
  CheckReadings(recording.axes, format.encoding->full_scale, recording.values, recording.flags);
  return recording;
}

// Reads the chunk "data" at byte `at`, of which `size` bytes were promised.
absl::StatusOr<ParsedRecording> ParseData(const Format& format, absl::string_view bytes,
                                          std::size_t at, std::size_t size) {
  const absl::string_view rest = bytes.substr(at + kChunkHeaderBytes);
  const bool streamed = std::count(std::begin(kUnknownSizes), std::end(kUnknownSizes), size) > 0;
  const std::size_t there = streamed ? rest.size() : std::min(size, rest.size());
  const std::size_t whole = there - there % format.block_bytes();
  if (whole == 0) {
    return Bad(at, "data", absl::StrCat(there, " bytes"),
               absl::StrCat("at least one reading of ", format.block_bytes(), " bytes"));
  }
  if (whole / format.sample_bytes() > static_cast<std::size_t>(kMaxValues)) {
    return Bad(at, "data", absl::StrCat(whole / format.sample_bytes(), " values"),
               absl::StrCat("at most ", kMaxValues));
  }
  ParsedRecording recording = ToRecording(format, rest.substr(0, whole));
  if (!streamed && whole < size) {
    recording.flags.emplace_back(kTruncated);
  }
  return recording;
}

}  // namespace

absl::StatusOr<ParsedRecording> ParseWav(absl::string_view bytes) {
  if (bytes.size() < kRiffHeaderBytes || bytes.substr(0, 4) != "RIFF" ||
      bytes.substr(8, 4) != "WAVE") {
    return absl::InvalidArgumentError(absl::StrCat(
        "byte 0: got ", Quoted(bytes.substr(0, kRiffHeaderBytes)), ", want \"RIFF\" and \"WAVE\""));
  }
  std::optional<Format> format;
  std::size_t at = kRiffHeaderBytes;
  while (bytes.size() - at >= kChunkHeaderBytes) {
    const absl::string_view id = bytes.substr(at, 4);
    const std::size_t size = U32(bytes, at + 4);
    const std::size_t body = at + kChunkHeaderBytes;
    if (id == "data") {
      if (!format.has_value()) {
        return Bad(at, id, "it before \"fmt \"", "\"fmt \" first");
      }
      return ParseData(*format, bytes, at, size);
    }
    if (size > bytes.size() - body) {
      return Bad(at, id, absl::StrCat(bytes.size() - body, " bytes until the end of the file"),
                 absl::StrCat(size));
    }
    if (id == "fmt ") {
      FIELDLOOP_ASSIGN_OR_RETURN(format, ParseFormat(bytes.substr(body, size), body));
    }
    at = body + size;
    // Chunks are padded to an even length, but some writers forget it.
    const absl::string_view next = bytes.substr(at, 4);
    if (size % 2 == 1 && next != "fmt " && next != "data" && at < bytes.size()) {
      ++at;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("byte ", bytes.size(),
                                                 ": got the end of the file, want a chunk \"",
                                                 format.has_value() ? "data" : "fmt ", "\""));
}

}  // namespace fieldloop::ingestion
