// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/cbor_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/formats/acquisition_document.h"

namespace fieldloop::ingestion {
namespace {

// Section numbers are those of RFC 8949.
enum Major : unsigned int {
  kUnsigned = 0,
  kNegative = 1,
  kBytes = 2,
  kText = 3,
  kArray = 4,
  kMap = 5,
  kTag = 6,
  kSimple = 7
};
constexpr unsigned int kOneByte = 24;     // Section 3: the argument is in the next byte, or
constexpr unsigned int kEightBytes = 27;  // in the next 2, 4 or 8.
constexpr unsigned int kIndefinite = 31;
constexpr std::size_t kMaxDepth = 64;

constexpr unsigned int kFalse = 20;  // Section 3.3.
constexpr unsigned int kTrue = 21;
constexpr unsigned int kNull = 22;
constexpr unsigned int kUndefined = 23;
constexpr unsigned int kHalf = 25;
constexpr unsigned int kSingle = 26;
constexpr unsigned int kDouble = 27;

// Appendix D.
double HalfToDouble(std::uint64_t half) {
  constexpr int kMantissaBits = 10;
  const auto exponent = static_cast<int>(half >> kMantissaBits & 0x1fU);
  const auto mantissa = static_cast<double>(half & 0x3ffU);
  double value = 0;
  if (exponent == 0) {
    value = std::ldexp(mantissa, -24);
  } else if (exponent == 31) {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
  } else {
    value = std::ldexp(mantissa + 1024, exponent - 25);
  }
  return (half & 0x8000U) != 0 ? -value : value;
}

// Reads one CBOR item into a document, without recursion.
class Reader {
 public:
  using Kind = AcquisitionDocument::Kind;

  Reader(absl::string_view bytes, AcquisitionDocument& document)
      : bytes_(bytes), document_(document) {}

  // False: see the document's status.
  bool Read() {
    do {
      if (!ReadItem()) {
        return false;
      }
      while (!open_.empty() && open_.back().counted && open_.back().left == 0) {
        if (!CloseLevel()) {
          return false;
        }
      }
    } while (!open_.empty());
    return true;
  }

  // Bytes that were read.
  [[nodiscard]] std::size_t position() const { return at_; }

 private:
  // An array or map that is being read.
  struct Level {
    bool map = false;
    bool counted = false;
    std::uint64_t left = 0;  // Items to come, if counted: a pair of a map is two.
    bool key_next = false;   // The next item of a map is a key.
  };

  // The first byte of an item and the number that follows it.
  struct Head {
    std::size_t at = 0;
    unsigned int major = 0;
    unsigned int info = 0;
    std::uint64_t argument = 0;

    [[nodiscard]] bool indefinite() const { return info == kIndefinite; }
  };

  bool Fail(std::size_t at, absl::string_view got, absl::string_view want) {
    return document_.Fail(absl::StrCat("byte ", at, ": got ", got, ", want ", want));
  }

  [[nodiscard]] std::size_t rest() const { return bytes_.size() - at_; }

  bool ReadHead(Head& head) {
    head = {.at = at_};
    if (rest() == 0) {
      return Fail(at_, "the end of the file", "an item");
    }
    const auto first = static_cast<unsigned char>(bytes_[at_++]);
    head.major = first >> 5U;
    head.info = first & 0x1fU;
    if (head.info < kOneByte) {
      head.argument = head.info;
      return true;
    }
    if (head.indefinite()) {
      const bool allowed = head.major >= kBytes && head.major != kTag;
      return allowed || Fail(head.at, absl::StrCat("byte value ", first), "a well-formed item");
    }
    if (head.info > kEightBytes) {
      return Fail(head.at, absl::StrCat("byte value ", first), "a well-formed item");
    }
    const std::size_t size = std::size_t{1} << (head.info - kOneByte);
    if (size > rest()) {
      return Fail(head.at, "the end of the file inside an item", absl::StrCat(size, " more bytes"));
    }
    for (std::size_t i = 0; i < size; ++i) {
      head.argument = head.argument << 8U | static_cast<unsigned char>(bytes_[at_++]);
    }
    return true;
  }

  // Reads the characters of a string, of which the first kMaxText are kept.
  bool ReadString(const Head& head, std::string& text) {
    text.clear();
    Head piece = head;
    for (;;) {
      if (head.indefinite()) {
        if (!ReadHead(piece)) {
          return false;
        }
        if (piece.major == kSimple && piece.indefinite()) {
          return true;
        }
        if (piece.major != head.major || piece.indefinite()) {
          return Fail(piece.at, "another item inside a string", "a piece of it or its end");
        }
      }
      if (piece.argument > rest()) {
        return Fail(piece.at, absl::StrCat("a string of ", piece.argument, " bytes"),
                    absl::StrCat("at most the ", rest(), " that follow"));
      }
      const auto size = static_cast<std::size_t>(piece.argument);
      if (text.size() < AcquisitionDocument::kMaxText) {
        const absl::string_view kept =
            bytes_.substr(at_, std::min(size, AcquisitionDocument::kMaxText - text.size()));
        text.append(kept.data(), kept.size());
      }
      at_ += size;
      if (!head.indefinite()) {
        return true;
      }
    }
  }

  bool ReadKey(const Head& head) {
    open_.back().key_next = false;
    if (head.major == kText) {
      return ReadString(head, text_) && document_.Key(text_);
    }
    if (head.major == kUnsigned) {
      return document_.Key(absl::StrCat(head.argument));
    }
    return Fail(head.at, absl::StrCat("a key of type ", head.major), "a text");
  }

  bool ReadItem() {
    const std::size_t start = at_;
    Head head;
    do {  // Tags say what the item behind them means; nothing here needs that.
      if (!ReadHead(head)) {
        return false;
      }
    } while (head.major == kTag);
    if (head.major == kSimple && head.indefinite()) {
      if (open_.empty() || open_.back().counted || head.at != start ||
          (open_.back().map && !open_.back().key_next)) {
        return Fail(head.at, "an end", "an item");
      }
      return CloseLevel();
    }
    if (!open_.empty()) {
      Level& level = open_.back();
      level.left -= level.counted ? 1 : 0;
      if (level.map && level.key_next) {
        return ReadKey(head);
      }
      level.key_next = level.map;
    }
    switch (head.major) {
      case kUnsigned:
        return Number(static_cast<double>(head.argument));
      case kNegative:
        return Number(-1 - static_cast<double>(head.argument));
      case kBytes:
        return ReadString(head, text_) && Other("a byte string");
      case kText:
        return ReadString(head, text_) &&
               document_.Scalar({.kind = Kind::kText, .text = text_, .number = 0, .end = at_});
      case kArray:
      case kMap:
        return OpenLevel(head);
      default:
        return ReadSimple(head);
    }
  }

  bool ReadSimple(const Head& head) {
    switch (head.info) {
      case kFalse:
        return Other("false");
      case kTrue:
        return Other("true");
      case kNull:
      case kUndefined:
        return document_.Scalar({.kind = Kind::kNull, .text = {}, .number = 0, .end = at_});
      case kHalf:
        return Number(HalfToDouble(head.argument));
      case kSingle:
        return Number(std::bit_cast<float>(static_cast<std::uint32_t>(head.argument)));
      case kDouble:
        return Number(std::bit_cast<double>(head.argument));
      default:
        return Other(absl::StrCat("simple value ", head.argument));
    }
  }

  bool OpenLevel(const Head& head) {
    if (open_.size() == kMaxDepth) {
      return Fail(head.at, absl::StrCat("more than ", kMaxDepth, " items in each other"),
                  "a document that is not so deep");
    }
    const std::uint64_t items_each = head.major == kMap ? 2 : 1;
    if (!head.indefinite() && head.argument > rest() / items_each) {
      return Fail(head.at, absl::StrCat(head.argument, " items"),
                  absl::StrCat("at most what the ", rest(), " bytes that follow hold"));
    }
    open_.push_back({.map = head.major == kMap,
                     .counted = !head.indefinite(),
                     .left = head.argument * items_each,
                     .key_next = head.major == kMap});
    return head.major == kMap ? document_.BeginObject() : document_.BeginArray();
  }

  bool CloseLevel() {
    open_.pop_back();
    return document_.End();
  }

  bool Number(double number) {
    return document_.Scalar({.kind = Kind::kNumber, .text = {}, .number = number, .end = at_});
  }
  bool Other(absl::string_view shown) {
    return document_.Scalar({.kind = Kind::kOther, .text = shown, .number = 0, .end = at_});
  }

  const absl::string_view bytes_;
  AcquisitionDocument& document_;
  std::size_t at_ = 0;
  std::vector<Level> open_;
  std::string text_;
};

}  // namespace

absl::StatusOr<ParsedRecording> ParseAcquisitionCbor(absl::string_view bytes,
                                                     const ParseOptions& options) {
  AcquisitionDocument document;
  // A number takes a byte or more: no vector that grows has to be copied.
  document.ReserveValues(bytes.size());
  Reader reader(bytes, document);
  if (!reader.Read()) {
    return document.status();
  }
  return std::move(document).Finish(bytes, reader.position(), options);
}

}  // namespace fieldloop::ingestion
