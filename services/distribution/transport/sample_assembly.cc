// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/sample_assembly.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fieldloop::distribution {
namespace {

constexpr std::size_t kMaxChunkBytes = 1024;
constexpr std::size_t kDigestBytes = 32;

void AppendFloat(float value, std::string& out) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<char>((bits >> shift) & 0xFFU));
  }
}

std::uint32_t BytesOfValue(agent::v1::SampleEncoding encoding) {
  return encoding == agent::v1::SAMPLE_ENCODING_I16 ? 2 : 4;
}

}  // namespace

std::string ExplainBadHeader(const agent::v1::SampleHeader& header, std::uint32_t payload_bytes) {
  if (!(header.frequency_hz() > 0) || !std::isfinite(header.frequency_hz())) {
    return "frequency_hz: want above 0";
  }
  if (header.axes() < 1 || header.axes() > 12) {
    return "axes: want 1 to 12";
  }
  if (header.encoding() != agent::v1::SAMPLE_ENCODING_F32 &&
      header.encoding() != agent::v1::SAMPLE_ENCODING_I16) {
    return "encoding: unknown";
  }
  if (header.encoding() == agent::v1::SAMPLE_ENCODING_I16 &&
      (!(header.scale() > 0) || !std::isfinite(header.scale()))) {
    return "scale: want above 0";
  }
  if (header.reason() < agent::v1::SAMPLE_REASON_RANDOM ||
      header.reason() > agent::v1::SAMPLE_REASON_NOVEL) {
    return "reason: unknown";
  }
  if (!(header.probability() >= 0 && header.probability() <= 1) ||
      !(header.confidence() >= 0 && header.confidence() <= 1)) {
    return "probability, confidence: want 0 to 1";
  }
  if (header.model_digest().size() != kDigestBytes ||
      header.payload_digest().size() != kDigestBytes) {
    return "digests: want 32 bytes";
  }
  if (payload_bytes % (header.axes() * BytesOfValue(header.encoding())) != 0) {
    return "total_bytes: want whole readings";
  }
  return "";
}

std::string ToFloats(const agent::v1::SampleHeader& header, const std::string& payload) {
  if (header.encoding() == agent::v1::SAMPLE_ENCODING_F32) {
    return payload;
  }
  std::string floats;
  floats.reserve(payload.size() * 2);
  for (std::size_t i = 0; i + 1 < payload.size(); i += 2) {
    const auto low = static_cast<unsigned char>(payload[i]);
    const auto high = static_cast<unsigned char>(payload[i + 1]);
    const auto value = static_cast<std::int16_t>(static_cast<std::uint16_t>(low | (high << 8)));
    AppendFloat(static_cast<float>(value) * header.scale(), floats);
  }
  return floats;
}

SampleAssembly::Result SampleAssembly::Add(const agent::v1::SampleChunk& chunk) {
  if (chunk.data().empty() || chunk.data().size() > kMaxChunkBytes) {
    return GiveUp(Result::kOutOfOrder, chunk.sequence(), "data: want 1 to 1024 bytes");
  }
  if (chunk.offset() == 0) {
    Drop();  // A new recording, or the same one from its beginning.
    given_up_.reset();
    if (!chunk.has_header()) {
      return GiveUp(Result::kOutOfOrder, chunk.sequence(), "header: missing");
    }
    if (chunk.total_bytes() > kMaxSampleBytes) {
      return GiveUp(Result::kRejected, chunk.sequence(), "total_bytes: want at most 65536");
    }
    const std::string bad = ExplainBadHeader(chunk.header(), chunk.total_bytes());
    if (!bad.empty()) {
      return GiveUp(Result::kRejected, chunk.sequence(), bad);
    }
    if (!budget_.Take(chunk.total_bytes())) {
      return GiveUp(Result::kNoRoom, chunk.sequence(), "too many recordings at once");
    }
    total_bytes_ = chunk.total_bytes();
    sample_.emplace();
    sample_->sequence = chunk.sequence();
    sample_->header = chunk.header();
  } else if (!sample_.has_value() || sample_->sequence != chunk.sequence()) {
    return given_up_ == chunk.sequence()
               ? Result::kIgnored
               : GiveUp(Result::kOutOfOrder, chunk.sequence(), "offset: want 0 first");
  }
  if (chunk.offset() != sample_->payload.size() || chunk.total_bytes() != total_bytes_ ||
      chunk.data().size() > total_bytes_ - sample_->payload.size()) {
    return GiveUp(Result::kOutOfOrder, chunk.sequence(), "offset: want chunks in order");
  }
  sample_->payload += chunk.data();
  return sample_->payload.size() == total_bytes_ ? Result::kWhole : Result::kMore;
}

AssembledSample SampleAssembly::Take() {
  AssembledSample whole = std::move(*sample_);
  Drop();
  return whole;
}

SampleAssembly::Result SampleAssembly::GiveUp(Result result, std::uint64_t sequence,
                                              absl::string_view error) {
  Drop();
  given_up_ = sequence;
  error_ = std::string(error);
  return result;
}

void SampleAssembly::Drop() {
  if (sample_.has_value()) {
    budget_.Return(total_bytes_);
    sample_.reset();
  }
}

}  // namespace fieldloop::distribution
