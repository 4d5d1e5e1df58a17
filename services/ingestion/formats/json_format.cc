// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/json_format.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

constexpr double kMsInSecond = 1000.0;
constexpr std::size_t kSignatureLength = 64;
// Longest text of a field that is kept: what is longer is wrong anyway, and is reported cut.
constexpr std::size_t kMaxKeptText = 256;

// A key as it stands in a message.
std::string Printable(absl::string_view key) {
  constexpr std::size_t kMaxShown = 40;
  return absl::CHexEscape(key.substr(0, kMaxShown));
}

// What the document says, field by field.
struct Document {
  std::optional<std::string> version;
  std::optional<std::string> algorithm;
  std::optional<std::string> signature;
  std::optional<std::string> device_name;
  std::optional<std::string> device_type;
  std::optional<double> interval_ms;
  std::vector<std::string> sensors;  // Names; units are not kept.
  bool has_sensors = false;
  bool has_values = false;
  std::vector<float> values;
  std::size_t width = 0;  // Values in each reading; 0 until it is known.
  bool flat = false;      // `values` is one array of numbers, not of arrays.
  std::size_t readings = 0;
};

// Takes the parser's events and fills a Document. It keeps a path instead of a tree, so that a file
// of 100 MB costs its numbers and nothing else.
class Reader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Reader(absl::string_view text) : text_(text) {}

  const absl::Status& status() const { return status_; }
  Document& document() { return document_; }

  bool null() override { return Scalar(Kind::kOther, "null", 0); }
  bool boolean(bool value) override { return Scalar(Kind::kOther, value ? "true" : "false", 0); }
  bool number_integer(number_integer_t value) override {
    return Scalar(Kind::kNumber, {}, static_cast<double>(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Scalar(Kind::kNumber, {}, static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    return Scalar(Kind::kNumber, {}, value);
  }
  bool string(string_t& value) override {
    return Scalar(Kind::kText, absl::string_view(value).substr(0, kMaxKeptText), 0);
  }
  bool binary(binary_t& /*value*/) override { return false; }

  bool start_object(std::size_t /*size*/) override { return Enter('{'); }
  bool end_object() override { return Leave(); }
  bool start_array(std::size_t /*size*/) override { return Enter('['); }
  bool end_array() override { return Leave(); }

  bool key(string_t& value) override {
    if (skipped_depth_ > 0) {
      return true;
    }
    Level& level = path_.back();
    level.key = value.substr(0, kMaxKeptText);
    if (!level.seen.insert(level.key).second) {
      return Fail(absl::StrCat(Path(), ": got this key twice, want it once"));
    }
    if (level.seen.size() > kMaxKeys) {
      return Fail(absl::StrCat(Path(), ": got more than ", kMaxKeys, " keys in one object"));
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& error) override {
    const std::size_t end = std::min(position, text_.size());
    const auto line =
        std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(end), '\n') + 1;
    const bool out_of_range =
        dynamic_cast<const nlohmann::detail::out_of_range*>(&error) != nullptr;
    return Fail(absl::StrCat(
        "line ", line, ": got ", Quoted(last_token), " at byte ", position,
        out_of_range ? ", want a number that a double holds" : ", want well-formed JSON"));
  }

 private:
  enum class Kind { kNumber, kText, kOther };

  // An object or array that the parser is in.
  struct Level {
    char kind = '{';
    std::string key;             // Of the object's current member.
    std::size_t index = 0;       // Of the array's current element.
    std::set<std::string> seen;  // Keys of the object.
  };

  static constexpr std::size_t kMaxKeys = 1000;

  bool Fail(std::string message) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(message);
    }
    return false;
  }

  // "payload.values[3][1]".
  std::string Path() const {
    std::string path;
    for (const Level& level : path_) {
      if (level.kind == '{') {
        absl::StrAppend(&path, path.empty() ? "" : ".", Printable(level.key));
      } else {
        absl::StrAppend(&path, "[", level.index, "]");
      }
    }
    return path.empty() ? "document" : path;
  }

  bool At(std::initializer_list<absl::string_view> keys) const {
    if (path_.size() != keys.size()) {
      return false;
    }
    return std::equal(keys.begin(), keys.end(), path_.begin(),
                      [](absl::string_view key, const Level& level) {
                        return level.kind == '{' ? key == level.key : key == "[]";
                      });
  }

  void Next() {
    if (!path_.empty() && path_.back().kind == '[') {
      ++path_.back().index;
    }
  }

  bool Scalar(Kind kind, absl::string_view text, double number) {
    if (skipped_depth_ > 0) {
      return true;
    }
    if (!Accept(kind, text, number)) {
      return false;
    }
    Next();
    return true;
  }

  static std::string Shown(Kind kind, absl::string_view text, double number) {
    switch (kind) {
      case Kind::kNumber:
        return absl::StrCat(number);
      case Kind::kText:
        return Quoted(text);
      case Kind::kOther:
        return std::string(text);
    }
    return "";
  }

  bool Text(std::optional<std::string>& field, Kind kind, absl::string_view text, double number) {
    if (kind != Kind::kText) {
      return Fail(absl::StrCat(Path(), ": got ", Shown(kind, text, number), ", want a string"));
    }
    field = std::string(text);
    return true;
  }

  bool Number(Kind kind, absl::string_view text, double number, double limit) {
    if (kind != Kind::kNumber) {
      return Fail(absl::StrCat(Path(), ": got ", Shown(kind, text, number), ", want a number"));
    }
    if (!(std::abs(number) <= limit)) {
      return Fail(absl::StrCat(Path(), ": got ", number, ", want a number between -", limit,
                               " and ", limit));
    }
    return true;
  }

  bool Value(Kind kind, absl::string_view text, double number) {
    if (!Number(kind, text, number, std::numeric_limits<float>::max())) {
      return false;
    }
    if (static_cast<std::int64_t>(document_.values.size()) >= kMaxValues) {
      return Fail(absl::StrCat(Path(), ": got more than ", kMaxValues, " values"));
    }
    document_.values.push_back(static_cast<float>(number));
    return true;
  }

  bool Accept(Kind kind, absl::string_view text, double number) {
    if (At({"payload", "values", "[]", "[]"})) {
      return Value(kind, text, number);
    }
    if (At({"payload", "values", "[]"})) {
      if (document_.readings > 0 && !document_.flat) {
        return Fail(absl::StrCat(Path(), ": got ", Shown(kind, text, number),
                                 ", want an array as in the elements before"));
      }
      if (!Value(kind, text, number)) {
        return false;
      }
      document_.flat = true;
      document_.width = 1;
      ++document_.readings;
      return true;
    }
    if (At({"protected", "ver"})) {
      return Text(document_.version, kind, text, number);
    }
    if (At({"protected", "alg"})) {
      return Text(document_.algorithm, kind, text, number);
    }
    if (At({"signature"})) {
      return Text(document_.signature, kind, text, number);
    }
    if (At({"payload", "device_name"})) {
      return Text(document_.device_name, kind, text, number);
    }
    if (At({"payload", "device_type"})) {
      return Text(document_.device_type, kind, text, number);
    }
    if (At({"payload", "interval_ms"})) {
      document_.interval_ms = number;
      return Number(kind, text, number, std::numeric_limits<double>::max());
    }
    if (At({"payload", "sensors", "[]", "name"})) {
      std::optional<std::string> name;
      if (!Text(name, kind, text, number)) {
        return false;
      }
      document_.sensors.back() = *std::move(name);
      return true;
    }
    const char* want = nullptr;
    if (path_.empty() || At({"protected"}) || At({"payload"}) || At({"payload", "sensors", "[]"})) {
      want = "an object";
    } else if (At({"payload", "sensors"}) || At({"payload", "values"})) {
      want = "an array";
    }
    if (want != nullptr) {
      return Fail(absl::StrCat(Path(), ": got ", Shown(kind, text, number), ", want ", want));
    }
    return true;  // A field that we do not know.
  }

  bool Enter(char kind) {
    if (skipped_depth_ > 0) {
      ++skipped_depth_;
      return true;
    }
    const bool object_wanted =
        path_.empty() || At({"protected"}) || At({"payload"}) || At({"payload", "sensors", "[]"});
    const bool array_wanted =
        At({"payload", "sensors"}) || At({"payload", "values"}) || At({"payload", "values", "[]"});
    const bool scalar_wanted = At({"protected", "ver"}) || At({"protected", "alg"}) ||
                               At({"signature"}) || At({"payload", "device_name"}) ||
                               At({"payload", "device_type"}) || At({"payload", "interval_ms"}) ||
                               At({"payload", "sensors", "[]", "name"}) ||
                               At({"payload", "values", "[]", "[]"});
    if (!object_wanted && !array_wanted && !scalar_wanted) {
      skipped_depth_ = 1;
      return true;
    }
    if (scalar_wanted || (kind == '{') != object_wanted) {
      const char* want = object_wanted ? "an object" : array_wanted ? "an array" : "a single value";
      return Fail(
          absl::StrCat(Path(), ": got ", kind == '{' ? "an object" : "an array", ", want ", want));
    }
    if (At({"payload", "sensors"})) {
      document_.has_sensors = true;
    } else if (At({"payload", "values"})) {
      document_.has_values = true;
    } else if (At({"payload", "sensors", "[]"})) {
      if (document_.sensors.size() == static_cast<std::size_t>(kMaxAxes)) {
        return Fail(absl::StrCat(Path(), ": got more than ", kMaxAxes, " sensors"));
      }
      document_.sensors.emplace_back();
    } else if (At({"payload", "values", "[]"}) && document_.flat) {
      return Fail(absl::StrCat(Path(), ": got an array, want a number as in the elements before"));
    }
    path_.push_back({.kind = kind, .key = "", .index = 0, .seen = {}});
    return true;
  }

  bool Leave() {
    if (skipped_depth_ > 0) {
      if (--skipped_depth_ == 0) {
        Next();
      }
      return true;
    }
    const std::size_t elements = path_.back().index;
    path_.pop_back();
    if (At({"payload", "values", "[]"})) {
      if (document_.readings == 0) {
        document_.width = elements;
      }
      if (elements != document_.width || elements == 0) {
        return Fail(absl::StrCat(Path(), ": got ", elements, " values, want ",
                                 std::max<std::size_t>(document_.width, 1)));
      }
      ++document_.readings;
    }
    Next();
    return true;
  }

  absl::string_view text_;
  absl::Status status_;
  Document document_;
  std::vector<Level> path_;
  std::size_t skipped_depth_ = 0;  // Objects and arrays open below a field that we do not know.
};

// True if the HMAC over `bytes`, with zeros in the place of `signature`, is `signature`.
bool SignatureFits(absl::string_view bytes, absl::string_view signature, absl::string_view key) {
  if (signature.size() != kSignatureLength) {
    return false;
  }
  // The same text may stand elsewhere in the file, so its place is where the key "signature" is.
  for (std::size_t at = bytes.find(signature); at != absl::string_view::npos;
       at = bytes.find(signature, at + 1)) {
    absl::string_view before = bytes.substr(0, at);
    const auto strip = [&before](absl::string_view token) {
      before = absl::StripTrailingAsciiWhitespace(before);
      const bool there = absl::EndsWith(before, token);
      before.remove_suffix(there ? token.size() : 0);
      return there;
    };
    if (!absl::EndsWith(before, "\"")) {
      continue;
    }
    before.remove_suffix(1);
    if (!strip(":") || !strip("\"signature\"")) {
      continue;
    }
    std::string zeroed(bytes);
    zeroed.replace(at, kSignatureLength, kSignatureLength, '0');
    return ConstantTimeEquals(ToHex(HmacSha256(key, zeroed)), signature);
  }
  return false;
}

absl::Status Missing(absl::string_view field, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": got nothing, want ", want));
}

absl::Status CheckHead(const Document& document) {
  if (!document.version.has_value()) {
    return Missing("protected.ver", "\"v1\"");
  }
  if (*document.version != "v1") {
    return absl::InvalidArgumentError(
        absl::StrCat("protected.ver: got ", Quoted(*document.version), ", want \"v1\""));
  }
  if (!document.algorithm.has_value()) {
    return Missing("protected.alg", "\"HS256\" or \"none\"");
  }
  if (*document.algorithm != "HS256" && *document.algorithm != "none") {
    return absl::InvalidArgumentError(absl::StrCat(
        "protected.alg: got ", Quoted(*document.algorithm), ", want \"HS256\" or \"none\""));
  }
  if (!document.signature.has_value()) {
    return Missing("signature", "hex digits");
  }
  return absl::OkStatus();
}

absl::Status CheckPayload(const Document& document) {
  if (!document.device_type.has_value()) {
    return Missing("payload.device_type", "a string");
  }
  if (!document.interval_ms.has_value()) {
    return Missing("payload.interval_ms", "a number");
  }
  if (!document.has_sensors) {
    return Missing("payload.sensors", "an array");
  }
  if (!document.has_values || document.readings == 0) {
    return Missing("payload.values", "at least one reading");
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateAxes("payload.sensors", document.sensors));
  if (document.width != document.sensors.size()) {
    return absl::InvalidArgumentError(absl::StrCat("payload.values[0]: got ", document.width,
                                                   " values, want ", document.sensors.size(),
                                                   ", one for each of payload.sensors"));
  }
  const double interval_ms = *document.interval_ms;
  const bool rate_known = interval_ms > 0 && kMsInSecond / interval_ms <= kMaxFrequencyHz &&
                          kMsInSecond / interval_ms > 0;
  if (!rate_known && (interval_ms != 0 || document.readings > 1)) {
    return absl::InvalidArgumentError(absl::StrCat("payload.interval_ms: got ", interval_ms,
                                                   ", want ", kMsInSecond / kMaxFrequencyHz,
                                                   " or more, or 0 for a single reading"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ParsedRecording> ParseAcquisitionJson(
    absl::string_view bytes, const std::optional<std::string>& signature_key) {
  Reader reader(bytes);
  const bool whole = nlohmann::json::sax_parse(bytes.begin(), bytes.end(), &reader);
  FIELDLOOP_RETURN_IF_ERROR(reader.status());
  if (!whole) {
    return absl::InvalidArgumentError("document: want well-formed JSON");
  }
  Document& document = reader.document();
  FIELDLOOP_RETURN_IF_ERROR(CheckHead(document));
  FIELDLOOP_RETURN_IF_ERROR(CheckPayload(document));

  ParsedRecording recording;
  recording.axes = std::move(document.sensors);
  recording.values = std::move(document.values);
  recording.readings = static_cast<std::int64_t>(document.readings);
  recording.frequency_hz = *document.interval_ms > 0 ? kMsInSecond / *document.interval_ms : 0;
  recording.metadata["device_type"] = *document.device_type;
  if (document.device_name.has_value()) {
    recording.metadata["device_name"] = *document.device_name;
  }
  if (*document.algorithm == "HS256") {
    if (!signature_key.has_value()) {
      recording.flags.emplace_back(kSignatureUnchecked);
    } else if (!SignatureFits(bytes, *document.signature, *signature_key)) {
      recording.flags.emplace_back(kSignatureInvalid);
    }
  } else if (signature_key.has_value()) {
    recording.flags.emplace_back(kSignatureMissing);
  }
  return recording;
}

}  // namespace fieldloop::ingestion
