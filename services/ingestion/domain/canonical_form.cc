// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/canonical_form.h"

#include <bit>
#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the canonical form is little endian and is written from memory");

constexpr std::int64_t kMaxDerivedBytes = 1 << 20;

}  // namespace

absl::string_view CanonicalBytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

bool IsCanonicalFormDerived(SampleFormat format, std::int64_t size_bytes) {
  return format == SampleFormat::kWav && size_bytes <= kMaxDerivedBytes;
}

absl::Status ReadCanonicalForm(const Sample& sample, BlobStore& blobs,
                               const RecordingParser& parser, std::int64_t piece_bytes,
                               absl::FunctionRef<absl::Status(absl::string_view)> sink) {
  if (!sample.canonical_digest.empty()) {
    return blobs.Read(sample.canonical_digest, piece_bytes, sink);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string file, blobs.Get(sample.digest));
  const absl::StatusOr<ParsedRecording> recording = parser.Parse(sample.format, file, {});
  if (!recording.ok()) {
    return absl::DataLossError(absl::StrCat(
        "sample ", sample.id, " cannot be read any more: ", recording.status().message()));
  }
  absl::string_view rest = CanonicalBytes(recording->values);
  while (!rest.empty()) {
    const absl::string_view piece = rest.substr(0, static_cast<std::size_t>(piece_bytes));
    FIELDLOOP_RETURN_IF_ERROR(sink(piece));
    rest.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::ingestion
