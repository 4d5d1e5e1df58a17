// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/tar/tar.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <ios>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMaxName = 99;
constexpr std::int64_t kMaxSize = (std::int64_t{8} << 30) - 1;
constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

// Offset and length of the fields of a header.
struct Field {
  std::size_t offset;
  std::size_t length;
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUser{108, 8};
constexpr Field kGroup{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kType = 156;
constexpr Field kMagic{257, 8};
constexpr Field kPrefix{345, 155};
constexpr absl::string_view kUstar("ustar\00000", 8);

void Put(std::string& header, Field field, absl::string_view text) {
  header.replace(field.offset, text.size(), text.data(), text.size());
}

void PutOctal(std::string& header, Field field, std::int64_t value) {
  Put(header, field, absl::StrFormat("%0*o", static_cast<int>(field.length) - 1, value));
}

absl::string_view Text(absl::string_view header, Field field) {
  const absl::string_view text = header.substr(field.offset, field.length);
  return text.substr(0, text.find('\0'));
}

// -1 if it is none.
std::int64_t Octal(absl::string_view header, Field field) {
  std::int64_t value = 0;
  const absl::string_view text = absl::StripAsciiWhitespace(Text(header, field));
  for (const char c : text) {
    if (c < '0' || c > '7') {
      return -1;
    }
    value = value * 8 + (c - '0');
  }
  return text.empty() ? -1 : value;
}

// The sum of all bytes, those of the checksum as spaces.
std::int64_t ChecksumOf(absl::string_view header) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
    sum += own ? ' ' : static_cast<unsigned char>(header[i]);
  }
  return sum;
}

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                  c == '-';
         });
}

absl::Status Broken(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the archive is broken: ", what));
}

std::int64_t PaddingOf(std::int64_t size) {
  constexpr auto kWhole = static_cast<std::int64_t>(kBlock);
  return (kWhole - size % kWhole) % kWhole;
}

}  // namespace

absl::Status TarWriter::Begin(absl::string_view name, std::int64_t size) {
  FIELDLOOP_RETURN_IF_ERROR(Pad());
  if (!IsName(name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", name, "\" cannot be in an archive, want 1 to ", kMaxName, " of [A-Za-z0-9._-]"));
  }
  if (size < 0 || size > kMaxSize) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", size, " bytes, want at most ", kMaxSize));
  }
  std::string header(kBlock, '\0');
  Put(header, kName, name);
  PutOctal(header, kMode, 0644);
  PutOctal(header, kUser, 0);
  PutOctal(header, kGroup, 0);
  PutOctal(header, kSize, size);
  PutOctal(header, kTime, 0);
  header[kType] = '0';
  Put(header, kMagic, kUstar);
  Put(header, kChecksum, absl::StrFormat("%06o", ChecksumOf(header)));
  header[kChecksum.offset + kChecksum.length - 1] = ' ';
  size_ = size;
  left_ = size;
  return sink_(header);
}

absl::Status TarWriter::Append(absl::string_view data) {
  if (static_cast<std::int64_t>(data.size()) > left_) {
    return absl::InvalidArgumentError("a file has more bytes than it was said to have");
  }
  left_ -= static_cast<std::int64_t>(data.size());
  return sink_(data);
}

absl::Status TarWriter::Add(absl::string_view name, absl::string_view content) {
  FIELDLOOP_RETURN_IF_ERROR(Begin(name, static_cast<std::int64_t>(content.size())));
  return Append(content);
}

absl::Status TarWriter::AddFile(absl::string_view name, const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::int64_t size = file.tellg();
  file.seekg(0);
  if (!file) {
    return absl::UnavailableError(absl::StrCat("cannot read ", path));
  }
  FIELDLOOP_RETURN_IF_ERROR(Begin(name, size));
  std::string piece(kPieceBytes, '\0');
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
    FIELDLOOP_RETURN_IF_ERROR(
        Append(absl::string_view(piece).substr(0, static_cast<std::size_t>(file.gcount()))));
  }
  return file.bad() ? absl::UnavailableError(absl::StrCat("cannot read ", path)) : absl::OkStatus();
}

absl::Status TarWriter::Pad() {
  if (left_ > 0) {
    return absl::InvalidArgumentError("a file has fewer bytes than it was said to have");
  }
  const std::string padding(static_cast<std::size_t>(PaddingOf(size_)), '\0');
  size_ = 0;
  return padding.empty() ? absl::OkStatus() : sink_(padding);
}

absl::Status TarWriter::Finish() {
  FIELDLOOP_RETURN_IF_ERROR(Pad());
  return sink_(std::string(2 * kBlock, '\0'));
}

absl::Status TarReader::Take(absl::string_view piece) {
  while (!piece.empty()) {
    if (left_ > 0) {
      const absl::string_view data =
          piece.substr(0, std::min(piece.size(), static_cast<std::size_t>(left_)));
      FIELDLOOP_RETURN_IF_ERROR(sinks_.data(data));
      left_ -= static_cast<std::int64_t>(data.size());
      piece.remove_prefix(data.size());
      continue;
    }
    const auto wanted = padding_ > 0 ? static_cast<std::size_t>(padding_) : kBlock - header_.size();
    const absl::string_view part = piece.substr(0, std::min(piece.size(), wanted));
    piece.remove_prefix(part.size());
    if (padding_ > 0) {
      padding_ -= static_cast<std::int64_t>(part.size());
      continue;
    }
    header_.append(part.data(), part.size());
    if (header_.size() == kBlock) {
      FIELDLOOP_RETURN_IF_ERROR(TakeHeader());
      header_.clear();
    }
  }
  return absl::OkStatus();
}

absl::Status TarReader::TakeHeader() {
  if (header_ == std::string(kBlock, '\0')) {
    ended_ = true;
    return absl::OkStatus();
  }
  if (ended_) {
    return Broken("something stands behind its end");
  }
  const absl::string_view header = header_;
  if (Octal(header, kChecksum) != ChecksumOf(header)) {
    return Broken("a checksum is wrong");
  }
  const absl::string_view name = Text(header, kName);
  const std::int64_t size = Octal(header, kSize);
  if (header.substr(kMagic.offset, 5) != "ustar" || !Text(header, kPrefix).empty() ||
      !IsName(name)) {
    return Broken("a name is not one of 1 to 99 of [A-Za-z0-9._-]");
  }
  if ((header[kType] != '0' && header[kType] != '\0') || size < 0) {
    return Broken(absl::StrCat(name, " is not a regular file"));
  }
  left_ = size;
  padding_ = PaddingOf(size);
  return sinks_.begin(name, size);
}

absl::Status TarReader::Finish() const {
  return ended_ && header_.empty() ? absl::OkStatus() : Broken("its end is missing");
}

}  // namespace fieldloop
