// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/json_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "services/common/crypto/digest.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr char kKeyText[] = "fed53116f20684c067774ebf9e7bcbdc";
const ParseOptions kKey{.signature_key = kKeyText, .frequency_hz = 0};

// A document with `values`, unsigned.
std::string Document(const std::string& values, const std::string& sensors = R"([{"name":"x"}])",
                     const std::string& interval = "10") {
  return absl::StrCat(R"({"protected":{"ver":"v1","alg":"none"},"signature":"00","payload":{)",
                      R"("device_type":"T","interval_ms":)", interval, R"(,"sensors":)", sensors,
                      R"(,"values":)", values, "}}");
}

// A document with a signature by `key`, with the keys in another order and blanks here and there.
std::string Signed(absl::string_view key) {
  const std::string zeros(64, '0');
  const std::string text = absl::StrCat(
      "{ \"payload\": {\"device_name\":\"n1\",\"device_type\":\"T\",\"interval_ms\":16,\n"
      "\"sensors\":[{\"name\":\"x\",\"units\":\"m/s2\"}],\"values\":[[1],[2]]},\n",
      R"("protected":{"alg":"HS256","ver":"v1","iat":1},  "signature"  :  ")", zeros, "\" }\n");
  return absl::StrReplaceAll(text, {{zeros, ToHex(HmacSha256(key, text))}});
}

std::string ErrorOf(absl::string_view text) {
  const auto recording = ParseAcquisitionJson(text, {});
  EXPECT_THAT(recording, StatusIs(absl::StatusCode::kInvalidArgument));
  return std::string(recording.status().message());
}

TEST(JsonFormatTest, ReadingsAndWhatTheFileSaysAboutItsDeviceAreRead) {
  const auto recording = ParseAcquisitionJson(Signed(kKeyText), kKey);
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("x"));
  EXPECT_THAT(recording->values, ElementsAre(1, 2));
  EXPECT_EQ(recording->readings, 2);
  EXPECT_DOUBLE_EQ(recording->frequency_hz, 62.5);
  EXPECT_THAT(recording->metadata,
              ElementsAre(Pair("device_name", "n1"), Pair("device_type", "T")));
}

TEST(JsonFormatTest, ASignatureByTheProjectsKeySetsNoFlag) {
  EXPECT_THAT(ParseAcquisitionJson(Signed(kKeyText), kKey)->flags, IsEmpty());
}

TEST(JsonFormatTest, ASignatureByAnotherKeyIsKeptAndFlagged) {
  EXPECT_THAT(ParseAcquisitionJson(Signed("other"), kKey)->flags, ElementsAre("signature-invalid"));
}

TEST(JsonFormatTest, OneChangedByteMakesTheSignatureInvalid) {
  std::string text = Signed(kKeyText);
  text[text.find("[[1]") + 2] = '7';
  const auto recording = ParseAcquisitionJson(text, kKey);
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->flags, ElementsAre("signature-invalid"));
}

TEST(JsonFormatTest, WithoutAKeyASignatureIsFlaggedAsUnchecked) {
  EXPECT_THAT(ParseAcquisitionJson(Signed(kKeyText), {})->flags,
              ElementsAre("signature-unchecked"));
}

TEST(JsonFormatTest, AnUnsignedFileIsFlaggedOnlyInAProjectWithAKey) {
  EXPECT_THAT(ParseAcquisitionJson(Document("[[1]]"), {})->flags, IsEmpty());
  EXPECT_THAT(ParseAcquisitionJson(Document("[[1]]"), kKey)->flags,
              ElementsAre("signature-missing"));
}

TEST(JsonFormatTest, FlatValuesAreReadingsOfOneAxis) {
  const auto recording = ParseAcquisitionJson(Document("[1,-2.5,3e2]"), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1, -2.5, 300));
  EXPECT_EQ(recording->readings, 3);
}

TEST(JsonFormatTest, UnknownKeysAreSkippedHoweverDeep) {
  std::string deep = R"({"more":{"a":[1,{"values":"no"},[[]]],"b":null},)";
  deep += std::string(R"("x":)") + std::string(5000, '[') + std::string(5000, ']') + ",";
  const std::string text = deep + Document("[[1]]").substr(1);
  ASSERT_THAT(ParseAcquisitionJson(text, {}), IsOk());
}

TEST(JsonFormatTest, ASingleReadingMayHaveNoInterval) {
  const auto recording = ParseAcquisitionJson(Document("[[1]]", R"([{"name":"x"}])", "0"), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->frequency_hz, 0);
  EXPECT_THAT(ErrorOf(Document("[[1],[2]]", R"([{"name":"x"}])", "0")),
              StartsWith("payload.interval_ms: got 0"));
}

TEST(JsonFormatTest, EveryErrorNamesItsField) {
  EXPECT_THAT(ErrorOf(Document(R"([[1],["a"]])")),
              StartsWith("payload.values[1][0]: got \"a\", want a number"));
  EXPECT_THAT(ErrorOf(Document("[[1],[2,3]]")),
              StartsWith("payload.values[1]: got 2 values, want 1"));
  EXPECT_THAT(ErrorOf(Document("[[1],2]")), StartsWith("payload.values[1]: got 2, want an array"));
  EXPECT_THAT(ErrorOf(Document("[1,[2]]")),
              StartsWith("payload.values[1]: got an array, want a number"));
  EXPECT_THAT(ErrorOf(Document("[[1,2]]")), StartsWith("payload.values[0]: got 2 values, want 1"));
  EXPECT_THAT(ErrorOf(Document("[[]]")), StartsWith("payload.values[0]: got 0 values"));
  EXPECT_THAT(ErrorOf(Document("[]")), StartsWith("payload.values: got nothing"));
  EXPECT_THAT(ErrorOf(Document("3")), StartsWith("payload.values: got 3, want an array"));
  EXPECT_THAT(ErrorOf(Document("{}")), StartsWith("payload.values: got an object, want an array"));
  EXPECT_THAT(ErrorOf(Document("[[true]]")), StartsWith("payload.values[0][0]: got true"));
  EXPECT_THAT(ErrorOf(Document("[[1]]") + " x"), StartsWith("document: got 2 bytes behind it"));
  EXPECT_THAT(ErrorOf(Document("[[1e39]]")), StartsWith("payload.values[0][0]: got 1e+39"));
  EXPECT_THAT(ErrorOf(Document("[[1e999]]")), HasSubstr("want a number that a double holds"));
  EXPECT_THAT(ErrorOf(Document("[[1]]", R"([{"units":"g"}])")),
              StartsWith("payload.sensors[0]: got 0 bytes"));
  EXPECT_THAT(ErrorOf(Document("[[1,2]]", R"([{"name":"x"},{"name":"x"}])")),
              StartsWith("payload.sensors[1]: got \"x\" again"));
  EXPECT_THAT(ErrorOf(Document("[[1]]", R"([{"name":"x"}])", "-1")),
              StartsWith("payload.interval_ms: got -1"));
  EXPECT_THAT(ErrorOf(Document("[[1]]", R"([{"name":"x"}])", "\"10\"")),
              StartsWith("payload.interval_ms: got \"10\", want a number"));
  EXPECT_THAT(ErrorOf("[]"), StartsWith("document: got an array, want an object"));
  EXPECT_THAT(ErrorOf("{}"), StartsWith("protected.ver: got nothing"));
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(Document("[[1]]"), {{"v1", "v2"}})),
              StartsWith("protected.ver: got \"v2\", want \"v1\""));
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(Document("[[1]]"), {{"none", "ES256"}})),
              StartsWith("protected.alg: got \"ES256\""));
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(Document("[[1]]"), {{"device_type", "type"}})),
              StartsWith("payload.device_type: got nothing"));
  EXPECT_THAT(ErrorOf(R"({"signature":"0","signature":"1"})"),
              StartsWith("signature: got this key"));
  EXPECT_THAT(ErrorOf("{\n\"a\": 1,\n oops}"), StartsWith("line 3: got"));
  EXPECT_THAT(ErrorOf(""), StartsWith("line 1: got"));
}

TEST(JsonFormatTest, UnitsAreKeptAndNullIsAMissingValue) {
  const auto recording = ParseAcquisitionJson(
      Document("[[1,2],[null,3],[3,4]]", R"([{"units":"m/s2","name":"x"},{"name":"y"}])"), {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->units, ElementsAre("m/s2", ""));
  EXPECT_THAT(recording->values, ElementsAre(1, 2, 2, 3, 3, 4));
  EXPECT_THAT(recording->flags, ElementsAre("nan", "nan:x"));
  EXPECT_THAT(ParseAcquisitionJson(Document("[[1]]"), {})->units, IsEmpty());
}

TEST(JsonFormatTest, BinaryDataBeginsBehindTheBrace) {
  const auto recording = ParseAcquisitionJson(Document(R"(["Ref-BINARY-u8 "])") + "\n {", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre('\n', ' ', '{'));
}

TEST(JsonFormatTest, ASignatureElsewhereInTheFileIsNotTakenForIt) {
  const std::string zeros(64, '0');
  std::string text = absl::StrCat(
      R"({"a":")", zeros, R"(","protected":{"alg":"HS256","ver":"v1"},)", R"("signature":")", zeros,
      R"(","payload":{"device_type":"T","interval_ms":1,"sensors":[)",
      R"({"name":"x"}],"values":[1]}})");
  const std::string signature = ToHex(HmacSha256(kKeyText, text));
  text.replace(text.rfind(zeros), 64, signature);
  EXPECT_THAT(ParseAcquisitionJson(text, kKey)->flags, IsEmpty());
}

}  // namespace
}  // namespace fieldloop::ingestion
