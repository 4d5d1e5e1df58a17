// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_SAMPLE_ASSEMBLY_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_SAMPLE_ASSEMBLY_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include <fieldloop/agent/v1/agent.pb.h>

#include "absl/strings/string_view.h"

namespace fieldloop::distribution {

// Memory that all recordings in assembly share, so that many devices at once cannot fill it.
// Thread-safe.
class SampleBudget {
 public:
  explicit SampleBudget(std::int64_t bytes) : left_(bytes) {}
  bool Take(std::int64_t bytes) {
    if (left_.fetch_sub(bytes) >= bytes) {
      return true;
    }
    left_.fetch_add(bytes);
    return false;
  }
  void Return(std::int64_t bytes) { left_.fetch_add(bytes); }

 private:
  std::atomic<std::int64_t> left_;
};

// A recording that has arrived whole.
struct AssembledSample {
  std::uint64_t sequence = 0;
  agent::v1::SampleHeader header;
  std::string payload;
};

// Puts the chunks of one session's recordings together, one recording at a time.
class SampleAssembly {
 public:
  enum class Result {
    kMore,        // Taken; more chunks are to come.
    kWhole,       // The recording is complete: Take() it.
    kIgnored,     // A chunk of a recording that was given up before.
    kRejected,    // It can never be accepted; error() says why. Its other chunks are ignored.
    kNoRoom,      // Not now. Its other chunks are ignored.
    kOutOfOrder,  // The device breaks the protocol.
  };

  static constexpr std::uint32_t kMaxSampleBytes = 65536;

  // `budget` must outlive this object.
  explicit SampleAssembly(SampleBudget& budget) : budget_(budget) {}
  ~SampleAssembly() { Drop(); }
  SampleAssembly(const SampleAssembly&) = delete;
  SampleAssembly& operator=(const SampleAssembly&) = delete;

  Result Add(const agent::v1::SampleChunk& chunk);
  // After kWhole; once.
  AssembledSample Take();
  absl::string_view error() const { return error_; }

 private:
  Result GiveUp(Result result, std::uint64_t sequence, absl::string_view error);
  void Drop();

  SampleBudget& budget_;
  std::optional<AssembledSample> sample_;
  std::uint32_t total_bytes_ = 0;
  std::optional<std::uint64_t> given_up_;  // Sequence.
  std::string error_;
};

// "" if the values that `header` describes can be read from a payload of `payload_bytes`; what is
// wrong otherwise.
std::string ExplainBadHeader(const agent::v1::SampleHeader& header, std::uint32_t payload_bytes);

// The payload as float32, little endian. The header must be good.
std::string ToFloats(const agent::v1::SampleHeader& header, const std::string& payload);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_SAMPLE_ASSEMBLY_H_
