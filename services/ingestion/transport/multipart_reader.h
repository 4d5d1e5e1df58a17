// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_TRANSPORT_MULTIPART_READER_H_
#define FIELDLOOP_SERVICES_INGESTION_TRANSPORT_MULTIPART_READER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::ingestion {

// Parts a body of multipart/form-data (RFC 7578) as it comes, in pieces of any size. Besides the
// RFC it takes a last boundary without a line end, which the clients of the field's API send. Holds
// at most one part's headers and one piece. Used by one thread.
class MultipartReader {
 public:
  struct Parts {
    // A part begins; the name is that of its file, empty if it has none.
    std::function<absl::Status(const std::string& file_name)> begin;
    // The next bytes of the part.
    std::function<absl::Status(absl::string_view data)> data;
  };

  // Reads the boundary from the value of a Content-Type header. INVALID_ARGUMENT.
  static absl::StatusOr<std::string> BoundaryOf(absl::string_view content_type);

  MultipartReader(const std::string& boundary, Parts parts);

  // Takes the next bytes of the body. INVALID_ARGUMENT for what is no such body; an error of
  // `parts` comes back as it is. After an error, call nothing more.
  absl::Status Append(absl::string_view data);
  // Ends the body. INVALID_ARGUMENT if its last boundary has not come.
  absl::Status Finish() const;

 private:
  enum class State : std::uint8_t { kPreamble, kContent, kAfterBoundary, kHeaders, kEpilogue };

  // Each takes what it can from the front of `rest`; false when it needs more bytes.
  absl::StatusOr<bool> TakeContent(absl::string_view& rest);
  absl::StatusOr<bool> TakeAfterBoundary(absl::string_view& rest);
  absl::StatusOr<bool> TakeHeaders(absl::string_view& rest);

  const std::string delimiter_;
  const Parts parts_;
  State state_ = State::kPreamble;
  std::string pending_;  // Not decided yet.
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_TRANSPORT_MULTIPART_READER_H_
