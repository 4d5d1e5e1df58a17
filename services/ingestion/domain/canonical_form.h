// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_CANONICAL_FORM_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_CANONICAL_FORM_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/common/blob/blob_store.h"
#include "services/ingestion/domain/recording_parser.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// The canonical form of a sample as bytes: float32, little endian, axes within a reading.
absl::string_view CanonicalBytes(const std::vector<float>& values);

// Whether the canonical form of such a file is not stored but made from the file when it is read:
// it would take twice the room, and depends on nothing but the file's bytes.
// Sample::canonical_digest is empty then. Large files are not read whole a second time.
bool IsCanonicalFormDerived(SampleFormat format, std::int64_t size_bytes);

// Streams the canonical form of a sample in pieces of at most `piece_bytes`. NOT_FOUND; DATA_LOSS
// if the stored bytes changed; the error of `sink` ends it.
absl::Status ReadCanonicalForm(const Sample& sample, BlobStore& blobs,
                               const RecordingParser& parser, std::int64_t piece_bytes,
                               absl::FunctionRef<absl::Status(absl::string_view)> sink);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_CANONICAL_FORM_H_
