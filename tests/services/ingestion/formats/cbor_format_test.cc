// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/cbor_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "services/common/crypto/digest.h"
#include "tests/services/ingestion/formats/cbor_writer.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const ParseOptions kKey{.signature_key = "fed53116f20684c067774ebf9e7bcbdc", .frequency_hz = 0};

// A document whose last field is `values`, with `axes` axes named a0, a1, ...
std::string Document(const CborWriter& values, int axes = 1, std::string_view algorithm = "none",
                     std::string_view signature = "00") {
  CborWriter cbor;
  cbor.Map(3).Text("signature").Text(signature);
  cbor.Text("protected").OpenMap().Text("alg").Text(algorithm).Text("ver").Text("v1");
  cbor.Text("iat").Integer(1564128599).Close();
  cbor.Text("payload").Map(4).Text("device_type").Text("T").Text("interval_ms").Half(0x4900);
  cbor.Text("sensors").Array(static_cast<std::size_t>(axes));
  for (int i = 0; i < axes; ++i) {
    cbor.Map(2).Text("units").Text("m/s2").Text("name").Text(absl::StrCat("a", i));
  }
  return cbor.Text("values").bytes() + values.bytes();
}

std::string ErrorOf(const std::string& bytes) {
  const auto recording = ParseAcquisitionCbor(bytes, {});
  EXPECT_THAT(recording, StatusIs(absl::StatusCode::kInvalidArgument));
  return std::string(recording.status().message());
}

TEST(CborFormatTest, HalvesSinglesDoublesAndIntegersMixInOneIndefiniteArray) {
  CborWriter values;
  values.OpenArray();
  values.Array(2).Half(0xc400).Single(1.5F);
  values.OpenArray().Double(-2.25).Integer(300).Close();
  values.Array(2).Integer(-70000).Half(0x0001).Close();
  const auto recording = ParseAcquisitionCbor(Document(values, 2), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(-4, 1.5, -2.25, 300, -70000, 0x1p-24F));
  EXPECT_EQ(recording->readings, 3);
  EXPECT_DOUBLE_EQ(recording->frequency_hz, 100);
  EXPECT_THAT(recording->axes, ElementsAre("a0", "a1"));
  EXPECT_THAT(recording->units, ElementsAre("m/s2", "m/s2"));
  EXPECT_THAT(recording->flags, IsEmpty());
}

TEST(CborFormatTest, FlatValuesAreReadingsOfOneAxis) {
  const auto recording =
      ParseAcquisitionCbor(Document(CborWriter().Array(3).Integer(1).Integer(2).Integer(3)), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1, 2, 3));
}

TEST(CborFormatTest, ManyAxesAreRead) {
  CborWriter values;
  values.Array(1).Array(64);
  for (int i = 0; i < 64; ++i) {
    values.Integer(i);
  }
  const auto recording = ParseAcquisitionCbor(Document(values, 64), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->axes.size(), 64U);
  EXPECT_EQ(recording->values[63], 63);
}

TEST(CborFormatTest, NullUndefinedAndNanAreMissingValues) {
  const auto recording = ParseAcquisitionCbor(
      Document(CborWriter().Array(5).Integer(1).Byte(0xf6).Byte(0xf7).Half(0x7e00).Integer(5)), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(recording->flags, ElementsAre("nan", "nan:a0"));
}

TEST(CborFormatTest, TagsByteStringsAndUnknownKeysAreSkipped) {
  CborWriter more;
  more.Tag(55799).Map(5);
  more.Text("extra").Map(1).Integer(7).Byte(0x5f).Byte(0x41).Byte(0).Close();
  more.Text("deep").OpenArray().Array(0).Map(0).Byte(0xf5).Byte(0xf8).Byte(99).Close();
  const std::string document = Document(CborWriter().Tag(1).Array(1).Tag(2).Integer(1));
  const auto recording = ParseAcquisitionCbor(more.bytes() + document.substr(1), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1));
}

TEST(CborFormatTest, BinaryDataBehindTheDocumentIsReadInItsType) {
  const auto read = [](std::string_view reference, std::string_view data, int axes = 1) {
    const auto recording = ParseAcquisitionCbor(
        Document(CborWriter().OpenArray().Text(reference).Close(), axes) + std::string(data), {});
    EXPECT_THAT(recording, IsOk()) << reference;
    return recording.ok() ? recording->values : std::vector<float>{};
  };
  EXPECT_THAT(read("Ref-BINARY-i16", std::string_view("\x01\x00\xfe\xff", 4)), ElementsAre(1, -2));
  EXPECT_THAT(read("Ref-BINARY-i16   ", std::string_view("\x01\x00\xfe\xff", 4), 2),
              ElementsAre(1, -2));
  EXPECT_THAT(read("Ref-BINARY-u16", std::string_view("\x01\x00\xfe\xff", 4)),
              ElementsAre(1, 65534));
  EXPECT_THAT(read("Ref-BINARY-i8", "\xff\x02"), ElementsAre(-1, 2));
  EXPECT_THAT(read("Ref-BINARY-u8", "\xff  "), ElementsAre(255, 32, 32));
  EXPECT_THAT(read("Ref-BINARY-i32", "\xff\xff\xff\xff"), ElementsAre(-1));
  EXPECT_THAT(read("Ref-BINARY-u32", "\xff\xff\xff\xff"), ElementsAre(4294967296.0F));
  EXPECT_THAT(read("Ref-BINARY-f32", FloatBytes({1.5, -2})), ElementsAre(1.5, -2));
  EXPECT_THAT(read("Ref-BINARY-f64", std::string_view("\0\0\0\0\0\0\xf8\x3f", 8)),
              ElementsAre(1.5));
}

TEST(CborFormatTest, BinaryDataThatDoesNotFitIsRefused) {
  const std::string mono = Document(CborWriter().Array(1).Text("Ref-BINARY-i16"));
  EXPECT_THAT(ErrorOf(mono), StartsWith("payload.values[0]: got 0 bytes behind the document"));
  EXPECT_THAT(ErrorOf(mono + "abc"),
              HasSubstr("got 3 bytes behind the document, want a multiple of 2"));
  EXPECT_THAT(ErrorOf(Document(CborWriter().Array(1).Text("Ref-BINARY-image/jpeg (3 bytes)"))),
              HasSubstr("want Ref-BINARY- and one of i8"));
  EXPECT_THAT(ErrorOf(Document(CborWriter().Array(2).Text("Ref-BINARY-i16").Integer(1))),
              HasSubstr("payload.values[1]: got 1, want nothing beside"));
  EXPECT_THAT(ErrorOf(Document(CborWriter().Array(2).Text("Ref-BINARY-i16").Array(0))),
              HasSubstr("payload.values[1]: got an array, want nothing beside"));
  EXPECT_THAT(ErrorOf(Document(CborWriter().Array(1).Integer(1)) + "ab"),
              HasSubstr("document: got 2 bytes behind it"));
}

TEST(CborFormatTest, TheSignatureCoversTheDocumentAndTheDataBehindIt) {
  const std::string zeros(64, '0');
  std::string file =
      Document(CborWriter().OpenArray().Text("Ref-BINARY-i16").Close(), 1, "HS256", zeros) + "abcd";
  file = absl::StrReplaceAll(file, {{zeros, ToHex(HmacSha256(*kKey.signature_key, file))}});
  EXPECT_THAT(ParseAcquisitionCbor(file, kKey)->flags, IsEmpty());
  file.back() = 'e';
  EXPECT_THAT(ParseAcquisitionCbor(file, kKey)->flags, ElementsAre("signature-invalid"));
  EXPECT_THAT(ParseAcquisitionCbor(file, {})->flags, ElementsAre("signature-unchecked"));
}

TEST(CborFormatTest, AlgorithmNoneMayHaveAnyFormOfNoSignature) {
  const CborWriter values = CborWriter().Array(1).Integer(1);
  EXPECT_THAT(ParseAcquisitionCbor(Document(values), {})->flags, IsEmpty());
  EXPECT_THAT(ParseAcquisitionCbor(Document(values, 1, "none", std::string(64, '0')), {})->flags,
              IsEmpty());
  EXPECT_THAT(ParseAcquisitionCbor(Document(values), kKey)->flags,
              ElementsAre("signature-missing"));
}

TEST(CborFormatTest, EveryErrorNamesItsPlace) {
  EXPECT_THAT(ErrorOf(""), StartsWith("byte 0: got the end of the file"));
  EXPECT_THAT(ErrorOf("\x01"), StartsWith("document: got 1, want an object"));
  EXPECT_THAT(ErrorOf("\x1c"), StartsWith("byte 0: got byte value 28"));
  EXPECT_THAT(ErrorOf("\xff"), StartsWith("byte 0: got an end"));
  EXPECT_THAT(ErrorOf("\xa1\x63"
                      "ab"),
              StartsWith("byte 1: got a string of 3 bytes"));
  EXPECT_THAT(ErrorOf("\xa1\x80\x01"), StartsWith("byte 1: got a key of type 4"));
  EXPECT_THAT(ErrorOf(std::string("\xbb\xff\xff\xff\xff\xff\xff\xff\xff", 9)),
              StartsWith("byte 0: got 18446744073709551615 items"));
  EXPECT_THAT(ErrorOf("\xbf\x61\x61\xff"), StartsWith("byte 3: got an end"));
  EXPECT_THAT(ErrorOf("\xa1\x61\x61" + std::string(100, '\x81')),
              HasSubstr("got more than 64 items in each other"));
  EXPECT_THAT(ErrorOf(Document(CborWriter().Array(2).Array(1).Integer(1).Array(1).Text("x"))),
              StartsWith("payload.values[1][0]: got \"x\", want a number"));
  EXPECT_THAT(ErrorOf(Document(CborWriter().Array(1).Double(1e39))),
              StartsWith("payload.values[0]: got 1e+39"));
  EXPECT_THAT(ErrorOf(Document(CborWriter().Array(1).Byte(0xf5))),
              StartsWith("payload.values[0]: got true, want a number"));
}

}  // namespace
}  // namespace fieldloop::ingestion
