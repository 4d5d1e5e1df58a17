// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/wav_format.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

// Layout: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991;
// WAVE_FORMAT_EXTENSIBLE: "Multiple Channel Audio Data and WAVE Files", Microsoft, 2001.
constexpr std::size_t kRiffHeaderBytes = 12;
constexpr std::size_t kChunkHeaderBytes = 8;
constexpr std::size_t kFormatBytes = 16;
constexpr std::size_t kExtensibleBytes = 40;
constexpr std::size_t kSubformatOffset = 24;
constexpr std::uint16_t kPcm = 1;
constexpr std::uint16_t kExtensible = 0xfffe;
constexpr std::uint16_t kBits = 16;
constexpr std::size_t kSampleBytes = kBits / 8;

std::uint16_t U16(absl::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) |
                                    static_cast<unsigned char>(bytes[at + 1]) << 8);
}

std::uint32_t U32(absl::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(U16(bytes, at)) | static_cast<std::uint32_t>(U16(bytes, at + 2))
                                                          << 16U;
}

struct Format {
  std::uint16_t channels = 0;
  std::uint32_t frequency_hz = 0;
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
  std::uint16_t encoding = U16(chunk, 0);
  if (encoding == kExtensible && chunk.size() >= kExtensibleBytes) {
    encoding = U16(chunk, kSubformatOffset);
  }
  const std::uint16_t bits = U16(chunk, 14);
  if (encoding != kPcm || bits != kBits) {
    return Bad(at, "fmt ", absl::StrCat("encoding ", encoding, " with ", bits, " bits"),
               "PCM (encoding 1) with 16 bits");
  }
  Format format{.channels = U16(chunk, 2), .frequency_hz = U32(chunk, 4)};
  if (format.channels < 1 || format.channels > kMaxAxes) {
    return Bad(at + 2, "fmt ", absl::StrCat(format.channels, " channels"),
               absl::StrCat("1 to ", kMaxAxes));
  }
  if (format.frequency_hz < 1 || format.frequency_hz > kMaxFrequencyHz) {
    return Bad(at + 4, "fmt ", absl::StrCat("a rate of ", format.frequency_hz, " Hz"),
               absl::StrCat("1 to ", kMaxFrequencyHz));
  }
  if (U16(chunk, 12) != format.channels * kSampleBytes) {
    return Bad(at + 12, "fmt ", absl::StrCat("a block of ", U16(chunk, 12), " bytes"),
               absl::StrCat(format.channels * kSampleBytes, " for ", format.channels, " channels"));
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
  recording.values.reserve(data.size() / kSampleBytes);
  for (std::size_t i = 0; i + kSampleBytes <= data.size(); i += kSampleBytes) {
    recording.values.push_back(static_cast<float>(static_cast<std::int16_t>(U16(data, i))));
  }
  recording.readings = static_cast<std::int64_t>(recording.values.size() / format.channels);
  recording.frequency_hz = format.frequency_hz;
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
    if (size > bytes.size() - body) {
      return Bad(at, id, absl::StrCat(bytes.size() - body, " bytes until the end of the file"),
                 absl::StrCat(size));
    }
    const absl::string_view chunk = bytes.substr(body, size);
    if (id == "fmt ") {
      FIELDLOOP_ASSIGN_OR_RETURN(format, ParseFormat(chunk, body));
    } else if (id == "data") {
      if (!format.has_value()) {
        return Bad(at, id, "it before \"fmt \"", "\"fmt \" first");
      }
      const std::size_t block = format->channels * kSampleBytes;
      if (size == 0 || size % block != 0) {
        return Bad(at, id, absl::StrCat(size, " bytes"),
                   absl::StrCat("a multiple of ", block, ", more than 0"));
      }
      return ToRecording(*format, chunk);
    }
    // Chunks are padded to an even length, the last one not always.
    at = body + size + size % 2;
    if (at > bytes.size()) {
      break;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("byte ", bytes.size(),
                                                 ": got the end of the file, want a chunk \"",
                                                 format.has_value() ? "data" : "fmt ", "\""));
}

}  // namespace fieldloop::ingestion
