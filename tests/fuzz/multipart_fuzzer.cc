// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// A body of multipart/form-data with the boundary "b": read whole and byte by byte, it is the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/transport/multipart_reader.h"

namespace {

using Parts = std::vector<std::pair<std::string, std::string>>;

bool Read(absl::string_view body, std::size_t piece, Parts& parts) {
  fieldloop::ingestion::MultipartReader reader("b", {.begin =
                                                         [&parts](const std::string& name) {
                                                           parts.emplace_back(name, "");
                                                           return absl::OkStatus();
                                                         },
                                                     .data =
                                                         [&parts](absl::string_view data) {
                                                           parts.back().second.append(data.data(),
                                                                                      data.size());
                                                           return absl::OkStatus();
                                                         }});
  for (; !body.empty(); body.remove_prefix(std::min(piece, body.size()))) {
    if (!reader.Append(body.substr(0, piece)).ok()) {
      return false;
    }
  }
  return reader.Finish().ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const absl::string_view body(reinterpret_cast<const char*>(data), size);
  Parts whole;
  Parts by_byte;
  const bool good = Read(body, size, whole);
  if (good != Read(body, 1, by_byte) || (good && whole != by_byte)) {
    std::abort();
  }
  return 0;
}
