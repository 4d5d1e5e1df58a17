// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_CBOR_WRITER_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_CBOR_WRITER_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fieldloop::ingestion {

// Writes CBOR item by item, in any of the forms that writers use.
class CborWriter {
 public:
  CborWriter& Head(unsigned int major, std::uint64_t argument) {
    if (argument < 24) {
      return Byte(major << 5U | static_cast<unsigned int>(argument));
    }
    const int bytes = argument <= 0xff         ? 1
                      : argument <= 0xffff     ? 2
                      : argument <= 0xffffffff ? 4
                                               : 8;
    Byte(major << 5U |
         (24U + static_cast<unsigned int>(std::countr_zero(static_cast<unsigned int>(bytes)))));
    return BigEndian(argument, bytes);
  }
  CborWriter& Map(std::size_t pairs) { return Head(5, pairs); }
  CborWriter& Array(std::size_t items) { return Head(4, items); }
  CborWriter& OpenMap() { return Byte(0xbf); }
  CborWriter& OpenArray() { return Byte(0x9f); }
  CborWriter& Close() { return Byte(0xff); }
  CborWriter& Tag(std::uint64_t tag) { return Head(6, tag); }
  CborWriter& Text(std::string_view text) {
    Head(3, text.size());
    bytes_ += text;
    return *this;
  }
  CborWriter& Integer(std::int64_t value) {
    return value < 0 ? Head(1, static_cast<std::uint64_t>(-1 - value))
                     : Head(0, static_cast<std::uint64_t>(value));
  }
  CborWriter& Half(std::uint16_t bits) { return Byte(0xf9).BigEndian(bits, 2); }
  CborWriter& Single(float value) {
    return Byte(0xfa).BigEndian(std::bit_cast<std::uint32_t>(value), 4);
  }
  CborWriter& Double(double value) {
    return Byte(0xfb).BigEndian(std::bit_cast<std::uint64_t>(value), 8);
  }
  CborWriter& Byte(unsigned int value) {
    bytes_ += static_cast<char>(value);
    return *this;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  CborWriter& BigEndian(std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) {
      Byte(static_cast<unsigned int>(value >> (8 * i) & 0xffU));
    }
    return *this;
  }

  std::string bytes_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_CBOR_WRITER_H_
