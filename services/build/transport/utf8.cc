// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/utf8.h"

#include <cstddef>
#include <cstdint>

namespace fieldloop::build {
namespace {

// Bytes of the valid character at the start of `text`; 0 if there is none.
std::size_t CharacterBytes(absl::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) {
    const bool shown = (first >= 0x20 && first != 0x7f) || first == '\n' || first == '\t';
    return shown ? 1 : 0;
  }
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) {
    return 0;
  }
  std::uint32_t code = first & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0U) != 0x80) {
      return 0;
    }
    code = (code << 6U) | (byte & 0x3fU);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return overlong || surrogate || code > 0x10ffff ? 0 : size;
}

}  // namespace

std::string ToUtf8(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t size = CharacterBytes(text);
    if (size == 0) {
      out.push_back('?');
      text.remove_prefix(1);
    } else {
      out.append(text.data(), size);
      text.remove_prefix(size);
    }
  }
  return out;
}

}  // namespace fieldloop::build
