// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/npy/npy_array.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are copied as they are");

constexpr absl::string_view kMagic("\x93NUMPY\x01\x00", 8);
constexpr std::size_t kPrefixSize = kMagic.size() + 2;  // The size of the header follows.
constexpr std::size_t kMaxStart = kPrefixSize + 65535;
constexpr std::size_t kMaxShapeText = 64;

template <typename T>
constexpr absl::string_view kDescription = "<f4";
template <>
constexpr absl::string_view kDescription<std::int32_t> = "<i4";

// Reads the header, a Python dictionary of three entries, from its front.
class HeaderReader {
 public:
  explicit HeaderReader(absl::string_view text) : rest_(text) {}

  bool Take(absl::string_view token) {
    rest_ = absl::StripLeadingAsciiWhitespace(rest_);
    return absl::ConsumePrefix(&rest_, token);
  }
  // What stands between two quotes of the same kind.
  std::optional<absl::string_view> TakeString() {
    rest_ = absl::StripLeadingAsciiWhitespace(rest_);
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) {
      return std::nullopt;
    }
    return TakeUntil(rest_[0]);
  }
  // What stands between parentheses.
  std::optional<absl::string_view> TakeTuple() {
    rest_ = absl::StripLeadingAsciiWhitespace(rest_);
    return absl::StartsWith(rest_, "(") ? TakeUntil(')') : std::nullopt;
  }
  bool AtEnd() const { return absl::StripLeadingAsciiWhitespace(rest_).empty(); }

 private:
  // Takes the first character, what follows it, and `end`.
  std::optional<absl::string_view> TakeUntil(char end) {
    const std::size_t stop = rest_.find(end, 1);
    if (stop == absl::string_view::npos) {
      return std::nullopt;
    }
    const absl::string_view inside = rest_.substr(1, stop - 1);
    rest_.remove_prefix(stop + 1);
    return inside;
  }

  absl::string_view rest_;
};

struct Header {
  std::optional<absl::string_view> description;
  std::optional<bool> fortran_order;
  std::optional<absl::string_view> shape;
};

std::optional<Header> ParseHeader(absl::string_view text) {
  HeaderReader reader(text);
  Header header;
  if (!reader.Take("{")) {
    return std::nullopt;
  }
  while (!reader.Take("}")) {
    const std::optional<absl::string_view> key = reader.TakeString();
    if (!key.has_value() || !reader.Take(":")) {
      return std::nullopt;
    }
    if (*key == "descr") {
      header.description = reader.TakeString();
    } else if (*key == "shape") {
      header.shape = reader.TakeTuple();
    } else if (*key == "fortran_order" && reader.Take("False")) {
      header.fortran_order = false;
    } else if (*key == "fortran_order" && reader.Take("True")) {
      header.fortran_order = true;
    } else {
      return std::nullopt;
    }
    if (!reader.Take(",")) {
      if (!reader.Take("}")) {
        return std::nullopt;
      }
      break;
    }
  }
  const bool complete = header.description.has_value() && header.fortran_order.has_value() &&
                        header.shape.has_value() && reader.AtEnd();
  return complete ? std::optional<Header>(header) : std::nullopt;
}

// One or two dimensions, "(3,)" or "(3, 4)"; nullopt otherwise.
std::optional<std::vector<std::size_t>> ParseShape(absl::string_view text) {
  std::vector<std::size_t> shape;
  if (text.size() > kMaxShapeText || !absl::StrContains(text, ",")) {
    return std::nullopt;
  }
  std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  if (absl::StripAsciiWhitespace(parts.back()).empty()) {
    parts.pop_back();
  }
  for (const absl::string_view part : parts) {
    std::uint64_t dimension = 0;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(part), &dimension)) {
      return std::nullopt;
    }
    shape.push_back(dimension);
  }
  return shape.size() == 1 || shape.size() == 2 ? std::make_optional(std::move(shape))
                                                : std::nullopt;
}

// True if `shape` says exactly `elements`. Compares by division, since the product of hostile
// dimensions overflows.
bool HasElements(const std::vector<std::size_t>& shape, std::size_t elements) {
  if (shape.size() == 1) {
    return shape[0] == elements;
  }
  if (shape[0] == 0 || shape[1] == 0) {
    return elements == 0;
  }
  return elements % shape[0] == 0 && elements / shape[0] == shape[1];
}

struct Layout {
  std::vector<std::size_t> shape;
  std::size_t offset = 0;    // Of the elements in the file.
  std::size_t elements = 0;  // From there to its end.
};

// Reads how a file of `file_size` bytes that begins with `start` is laid out. `start` holds
// kMaxStart bytes or the whole file.
template <typename T>
absl::StatusOr<Layout> ParseLayout(absl::string_view start, std::size_t file_size) {
  if (!absl::StartsWith(start, kMagic) || start.size() < kPrefixSize) {
    return absl::InvalidArgumentError("want a .npy file of version 1.0");
  }
  const std::size_t header_size =
      static_cast<unsigned char>(start[kMagic.size()]) +
      std::size_t{256} * static_cast<unsigned char>(start[kMagic.size() + 1]);
  if (header_size > start.size() - kPrefixSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("header: got ", start.size() - kPrefixSize, " bytes, want ", header_size));
  }
  const std::optional<Header> header = ParseHeader(start.substr(kPrefixSize, header_size));
  if (!header.has_value()) {
    return absl::InvalidArgumentError("header: want 'descr', 'fortran_order' and 'shape'");
  }
  if (*header->description != kDescription<T>) {
    return absl::InvalidArgumentError(
        absl::StrCat("descr: got '", *header->description, "', want '", kDescription<T>, "'"));
  }
  if (*header->fortran_order) {
    return absl::InvalidArgumentError("fortran_order: got True, want False");
  }
  std::optional<std::vector<std::size_t>> shape = ParseShape(*header->shape);
  if (!shape.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "shape: got (", header->shape->substr(0, kMaxShapeText), "), want one or two dimensions"));
  }
  Layout layout{.shape = *std::move(shape), .offset = kPrefixSize + header_size};
  const std::size_t data_bytes = file_size - layout.offset;
  layout.elements = data_bytes / sizeof(T);
  if (data_bytes % sizeof(T) != 0 || !HasElements(layout.shape, layout.elements)) {
    return absl::InvalidArgumentError(absl::StrCat("shape: got (", *header->shape, "), but ",
                                                   data_bytes, " bytes of elements follow"));
  }
  return layout;
}

}  // namespace

template <typename T>
absl::StatusOr<NpyArray<T>> ParseNpy(absl::string_view content) {
  FIELDLOOP_ASSIGN_OR_RETURN(Layout layout, ParseLayout<T>(content, content.size()));
  NpyArray<T> array{.shape = std::move(layout.shape), .values = std::vector<T>(layout.elements)};
  if (layout.elements > 0) {
    std::memcpy(array.values.data(), content.data() + layout.offset, layout.elements * sizeof(T));
  }
  return array;
}

template <typename T>
absl::StatusOr<NpyArray<T>> ReadNpy(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  }
  const auto size = static_cast<std::size_t>(std::max<std::streamoff>(file.tellg(), 0));
  const auto read = [&file](std::size_t from, char* to, std::size_t count) {
    file.seekg(static_cast<std::streamoff>(from));
    file.read(to, static_cast<std::streamsize>(count));
  };
  std::string start(std::min(size, kMaxStart), '\0');
  read(0, start.data(), start.size());
  if (!file) {
    return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  }
  absl::StatusOr<Layout> layout = ParseLayout<T>(start, size);
  if (!layout.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(std::filesystem::path(path).filename().string(),
                                                   ": ", layout.status().message()));
  }
  NpyArray<T> array{.shape = std::move(layout->shape), .values = std::vector<T>(layout->elements)};
  read(layout->offset, reinterpret_cast<char*>(array.values.data()), layout->elements * sizeof(T));
  if (!file) {
    return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  }
  return array;
}

template absl::StatusOr<NpyArray<float>> ParseNpy<float>(absl::string_view content);
template absl::StatusOr<NpyArray<std::int32_t>> ParseNpy<std::int32_t>(absl::string_view content);
template absl::StatusOr<NpyArray<float>> ReadNpy<float>(const std::string& path);
template absl::StatusOr<NpyArray<std::int32_t>> ReadNpy<std::int32_t>(const std::string& path);

}  // namespace fieldloop
