// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <ostream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/crypto/digest.h"
#include "services/ingestion/formats/recording_formats.h"
#include "tests/services/ingestion/formats/cbor_writer.h"
#include "tests/services/ingestion/formats/wav_file.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

struct HostileCase {
  const char* name;
  SampleFormat format;
  std::string file;

  friend void PrintTo(const HostileCase& hostile, std::ostream* os) { *os << hostile.name; }
};

const ParseOptions kOptions{.signature_key = "key", .frequency_hz = 100};

constexpr char kJson[] =
    R"({"protected":{"ver":"v1","alg":"HS256","iat":1},"signature":")"
    R"(b0ee0572a1984b93b6bc56e6576e2cbbd6bccd65d0c356e26b31bbc9a48210c6","payload":{)"
    R"("device_name":"n","device_type":"T","interval_ms":10,"sensors":[{"name":"x","units":"g"},)"
    R"({"name":"y","units":"g"}],"values":[[-9.81,0.03],[1e3,-2],[3,4]]}})";

std::string Cbor(bool binary) {
  CborWriter cbor;
  cbor.Map(3).Text("protected").OpenMap().Text("ver").Text("v1").Text("alg").Text("HS256").Close();
  cbor.Text("signature").Text(std::string(64, 'a')).Text("payload").Map(4);
  cbor.Text("device_type").Text("T").Text("interval_ms").Half(0x4900);
  cbor.Text("sensors").Array(2).Map(1).Text("name").Text("x");
  cbor.Map(2).Text("name").Text("y").Text("units").Text("g").Text("values").OpenArray();
  if (binary) {
    return cbor.Text("Ref-BINARY-i16  ").Close().bytes();
  }
  cbor.Array(2).Half(0xc400).Single(1.5F).OpenArray().Double(-2.25).Integer(300).Close();
  return cbor.Array(2).Integer(-1).Byte(0xf6).Close().bytes();
}

// Whatever the bytes are: an answer that keeps its promises, or INVALID_ARGUMENT with a text.
class HostileInput : public ::testing::TestWithParam<HostileCase> {
 protected:
  void Check(const std::string& bytes) {
    const auto recording = formats_.Parse(GetParam().format, bytes, kOptions);
    if (!recording.ok()) {
      ASSERT_THAT(recording, ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
      ASSERT_FALSE(recording.status().message().empty());
      return;
    }
    ASSERT_THAT(ValidateAxes("axes", recording->axes), ::fieldloop::testing::IsOk());
    ASSERT_GT(recording->readings, 0);
    ASSERT_EQ(recording->values.size(),
              static_cast<std::size_t>(recording->readings) * recording->axes.size());
    ASSERT_TRUE(std::isfinite(recording->frequency_hz));
    ASSERT_GE(recording->frequency_hz, 0);
    ASSERT_THAT(ResolveRanges("labels", recording->labels, recording->readings),
                ::fieldloop::testing::IsOk());
    ASSERT_TRUE(recording->units.empty() || recording->units.size() == recording->axes.size());
    for (const float value : recording->values) {
      ASSERT_TRUE(std::isfinite(value));
    }
  }

  const RecordingFormats formats_;
};

TEST_P(HostileInput, AFileCutAtAnyByteIsReadOrRefused) {
  ASSERT_THAT(formats_.Parse(GetParam().format, GetParam().file, kOptions),
              ::fieldloop::testing::IsOk());
  for (std::size_t size = 0; size < GetParam().file.size(); ++size) {
    Check(GetParam().file.substr(0, size));
  }
}

TEST_P(HostileInput, ChangedBytesAreReadOrRefused) {
  std::mt19937 random(1);  // The same changes each time.
  const std::string& file = GetParam().file;
  for (int round = 0; round < 20'000; ++round) {
    std::string changed = file;
    const std::size_t changes = 1 + random() % 4;
    for (std::size_t i = 0; i < changes && !changed.empty(); ++i) {
      const std::size_t at = random() % changed.size();
      switch (random() % 4) {
        case 0:
          changed[at] = static_cast<char>(random());
          break;
        case 1:
          changed.erase(at, 1 + random() % 8);
          break;
        case 2:
          changed.insert(at, 1 + random() % 8, "0,\n-e[{\"\xff"[random() % 9]);
          break;
        default:
          changed.insert(at, changed.substr(random() % changed.size(), random() % 32));
          break;
      }
    }
    Check(changed);
  }
}

TEST_P(HostileInput, NoiseIsRefused) {
  std::mt19937 random(2);
  for (int round = 0; round < 2000; ++round) {
    std::string noise(random() % 200, '\0');
    for (char& c : noise) {
      c = static_cast<char>(random());
    }
    Check(noise);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, HostileInput,
    ::testing::Values(HostileCase{"CsvEven", SampleFormat::kCsv, CsvFile(12)},
                      HostileCase{"CsvUneven", SampleFormat::kCsv,
                                  "timestamp,x,y\n0,1,2\n10,2,3\n20,2,3\n35.5,-1e3,4\n45,5,6\n"},
                      HostileCase{"Json", SampleFormat::kJson, kJson},
                      HostileCase{"CsvLabels", SampleFormat::kCsv,
                                  "x;\"timestamp\";label\n1,5;0;up\n;0;up\n3;20;\n4;35;down\n"},
                      HostileCase{"Cbor", SampleFormat::kCbor, Cbor(false)},
                      HostileCase{"CborBinary", SampleFormat::kCbor, Cbor(true) + "abcdabcd"},
                      HostileCase{"WavFloat", SampleFormat::kWav,
                                  WavFileOf(3, 32, 1, 8000, FloatBytes({0, 0.5, -1}))},
                      HostileCase{"Wav", SampleFormat::kWav, WavFile(2, 8000, {1, 2, 3, 4, 5, 6})}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(HostileInputTest, AFileFullOfOpenBracketsIsRefusedWithoutDeepCalls) {
  const RecordingFormats formats;
  EXPECT_THAT(formats.Parse(SampleFormat::kJson, std::string(2'000'000, '['), {}),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(formats.Parse(SampleFormat::kJson, "{\"a\":" + std::string(2'000'000, '['), {}),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::ingestion
