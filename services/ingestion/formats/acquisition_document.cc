// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/acquisition_document.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/quality.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

static_assert(std::endian::native == std::endian::little, "payloads are little endian");

constexpr double kMsInSecond = 1000.0;
constexpr std::size_t kSignatureLength = 64;
constexpr std::size_t kMaxKeys = 1000;
constexpr std::size_t kMaxUnitsBytes = 63;
constexpr char kReference[] = "Ref-BINARY-";

// A key as it stands in a message.
std::string Printable(absl::string_view key) {
  constexpr std::size_t kMaxShown = 40;
  return absl::CHexEscape(key.substr(0, kMaxShown));
}

std::string Shown(const AcquisitionDocument::Value& value) {
  switch (value.kind) {
    case AcquisitionDocument::Kind::kNumber:
      return absl::StrCat(value.number);
    case AcquisitionDocument::Kind::kText:
      return Quoted(value.text);
    case AcquisitionDocument::Kind::kNull:
      return "null";
    case AcquisitionDocument::Kind::kOther:
      return std::string(value.text);
  }
  return "";
}

absl::Status Missing(absl::string_view field, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": got nothing, want ", want));
}

// A number type that a payload may consist of.
struct Binary {
  absl::string_view name;
  std::size_t bytes;
  float (*load)(const char* from);
  std::optional<FullScale> full_scale;
};

template <typename T>
float Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return static_cast<float>(value);
}

template <typename T>
Binary Integer(absl::string_view name) {
  return {name, sizeof(T), Load<T>,
          FullScale{static_cast<float>(std::numeric_limits<T>::min()),
                    static_cast<float>(std::numeric_limits<T>::max())}};
}

const Binary* FindBinary(absl::string_view name) {
  static const Binary kBinaries[] = {
      Integer<std::int8_t>("i8"),    Integer<std::uint8_t>("u8"),  Integer<std::int16_t>("i16"),
      Integer<std::uint16_t>("u16"), Integer<std::int32_t>("i32"), Integer<std::uint32_t>("u32"),
      {"f32", 4, Load<float>, {}},   {"f64", 8, Load<double>, {}},
  };
  const auto* const found = std::find_if(std::begin(kBinaries), std::end(kBinaries),
                                         [&](const Binary& binary) { return binary.name == name; });
  return found == std::end(kBinaries) ? nullptr : found;
}

}  // namespace

bool AcquisitionDocument::Fail(std::string message) {
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(message);
  }
  return false;
}

// "payload.values[3][1]".
std::string AcquisitionDocument::Path() const {
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

bool AcquisitionDocument::At(std::initializer_list<absl::string_view> keys) const {
  if (path_.size() != keys.size()) {
    return false;
  }
  return std::equal(keys.begin(), keys.end(), path_.begin(),
                    [](absl::string_view key, const Level& level) {
                      return level.kind == '{' ? key == level.key : key == "[]";
                    });
}

void AcquisitionDocument::Next() {
  if (!path_.empty() && path_.back().kind == '[') {
    ++path_.back().index;
  }
}

void AcquisitionDocument::ReserveValues(std::size_t count) {
  values_.reserve(std::min(count, static_cast<std::size_t>(kMaxValues)));
}

bool AcquisitionDocument::Key(absl::string_view key) {
  if (skipped_depth_ > 0) {
    return true;
  }
  Level& level = path_.back();
  level.key = std::string(key.substr(0, kMaxText));
  if (!level.seen.insert(level.key).second) {
    return Fail(absl::StrCat(Path(), ": got this key twice, want it once"));
  }
  if (level.seen.size() > kMaxKeys) {
    return Fail(absl::StrCat(Path(), ": got more than ", kMaxKeys, " keys in one object"));
  }
  return true;
}

bool AcquisitionDocument::Scalar(const Value& value) {
  if (skipped_depth_ > 0) {
    return true;
  }
  if (!Accept(value)) {
    return false;
  }
  Next();
  return true;
}

bool AcquisitionDocument::AcceptText(std::optional<std::string>& field, const Value& value) {
  if (value.kind != Kind::kText) {
    return Fail(absl::StrCat(Path(), ": got ", Shown(value), ", want a string"));
  }
  field = std::string(value.text.substr(0, kMaxText));
  return true;
}

bool AcquisitionDocument::AcceptNumber(const Value& value) {
  if (value.kind != Kind::kNumber) {
    return Fail(absl::StrCat(Path(), ": got ", Shown(value), ", want a number"));
  }
  return true;
}

// A number of `values`.
bool AcquisitionDocument::AcceptReading(const Value& value) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  double number = std::numeric_limits<double>::quiet_NaN();
  if (value.kind != Kind::kNull) {
    if (!AcceptNumber(value)) {
      return false;
    }
    number = value.number;
  }
  if (std::isfinite(number) && std::abs(number) > kLargest) {
    return Fail(absl::StrCat(Path(), ": got ", number, ", want a number between -", kLargest,
                             " and ", kLargest));
  }
  if (static_cast<std::int64_t>(values_.size()) >= kMaxValues) {
    return Fail(absl::StrCat(Path(), ": got more than ", kMaxValues, " values"));
  }
  values_.push_back(static_cast<float>(number));
  return true;
}

// An element of `values` that is no array.
bool AcquisitionDocument::AcceptElement(const Value& value) {
  if (reference_.has_value()) {
    return Fail(absl::StrCat(Path(), ": got ", Shown(value),
                             ", want nothing beside the reference to binary data"));
  }
  if (readings_ > 0 && !flat_) {
    return Fail(
        absl::StrCat(Path(), ": got ", Shown(value), ", want an array as in the elements before"));
  }
  if (readings_ == 0 && value.kind == Kind::kText && absl::StartsWith(value.text, kReference)) {
    const absl::string_view name =
        absl::StripTrailingAsciiWhitespace(absl::StripPrefix(value.text, kReference));
    if (FindBinary(name) == nullptr) {
      return Fail(absl::StrCat(Path(), ": got ", Quoted(value.text), ", want ", kReference,
                               " and one of i8, u8, i16, u16, i32, u32, f32 and f64"));
    }
    reference_ = std::string(name);
    return true;
  }
  if (!AcceptReading(value)) {
    return false;
  }
  flat_ = true;
  width_ = 1;
  ++readings_;
  return true;
}

bool AcquisitionDocument::Accept(const Value& value) {
  if (At({"payload", "values", "[]", "[]"})) {
    return AcceptReading(value);
  }
  if (At({"payload", "values", "[]"})) {
    return AcceptElement(value);
  }
  if (At({"protected", "ver"})) {
    return AcceptText(version_, value);
  }
  if (At({"protected", "alg"})) {
    return AcceptText(algorithm_, value);
  }
  if (At({"signature"})) {
    signature_end_ = value.end;
    return AcceptText(signature_, value);
  }
  if (At({"payload", "device_name"})) {
    return AcceptText(device_name_, value);
  }
  if (At({"payload", "device_type"})) {
    return AcceptText(device_type_, value);
  }
  if (At({"payload", "interval_ms"})) {
    interval_ms_ = value.number;
    return AcceptNumber(value);
  }
  if (At({"payload", "sensors", "[]", "name"}) || At({"payload", "sensors", "[]", "units"})) {
    std::optional<std::string> text;
    if (!AcceptText(text, value)) {
      return false;
    }
    (path_.back().key == "name" ? sensors_ : units_).back() = *std::move(text);
    return true;
  }
  const char* want = nullptr;
  if (path_.empty() || At({"protected"}) || At({"payload"}) || At({"payload", "sensors", "[]"})) {
    want = "an object";
  } else if (At({"payload", "sensors"}) || At({"payload", "values"})) {
    want = "an array";
  }
  if (want != nullptr) {
    return Fail(absl::StrCat(Path(), ": got ", Shown(value), ", want ", want));
  }
  return true;  // A field that we do not know.
}

bool AcquisitionDocument::Begin(char kind) {
  if (skipped_depth_ > 0) {
    ++skipped_depth_;
    return true;
  }
  const bool object_wanted =
      path_.empty() || At({"protected"}) || At({"payload"}) || At({"payload", "sensors", "[]"});
  const bool array_wanted =
      At({"payload", "sensors"}) || At({"payload", "values"}) || At({"payload", "values", "[]"});
  const bool scalar_wanted =
      At({"protected", "ver"}) || At({"protected", "alg"}) || At({"signature"}) ||
      At({"payload", "device_name"}) || At({"payload", "device_type"}) ||
      At({"payload", "interval_ms"}) || At({"payload", "sensors", "[]", "name"}) ||
      At({"payload", "sensors", "[]", "units"}) || At({"payload", "values", "[]", "[]"});
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
    has_sensors_ = true;
  } else if (At({"payload", "values"})) {
    has_values_ = true;
  } else if (At({"payload", "sensors", "[]"})) {
    if (sensors_.size() == static_cast<std::size_t>(kMaxAxes)) {
      return Fail(absl::StrCat(Path(), ": got more than ", kMaxAxes, " sensors"));
    }
    sensors_.emplace_back();
    units_.emplace_back();
  } else if (At({"payload", "values", "[]"})) {
    if (reference_.has_value()) {
      return Fail(
          absl::StrCat(Path(), ": got an array, want nothing beside the reference to binary data"));
    }
    if (flat_) {
      return Fail(absl::StrCat(Path(), ": got an array, want a number as in the elements before"));
    }
  }
  path_.push_back({.kind = kind, .key = "", .index = 0, .seen = {}});
  return true;
}

bool AcquisitionDocument::End() {
  if (skipped_depth_ > 0) {
    if (--skipped_depth_ == 0) {
      Next();
    }
    return true;
  }
  const std::size_t elements = path_.back().index;
  path_.pop_back();
  if (At({"payload", "values", "[]"})) {
    if (readings_ == 0) {
      width_ = elements;
    }
    if (elements != width_ || elements == 0) {
      return Fail(absl::StrCat(Path(), ": got ", elements, " values, want ",
                               std::max<std::size_t>(width_, 1)));
    }
    ++readings_;
  }
  Next();
  return true;
}

absl::Status AcquisitionDocument::CheckHead() const {
  if (!version_.has_value()) {
    return Missing("protected.ver", "\"v1\"");
  }
  if (*version_ != "v1") {
    return absl::InvalidArgumentError(
        absl::StrCat("protected.ver: got ", Quoted(*version_), ", want \"v1\""));
  }
  if (!algorithm_.has_value()) {
    return Missing("protected.alg", "\"HS256\" or \"none\"");
  }
  if (*algorithm_ != "HS256" && *algorithm_ != "none") {
    return absl::InvalidArgumentError(
        absl::StrCat("protected.alg: got ", Quoted(*algorithm_), ", want \"HS256\" or \"none\""));
  }
  if (!signature_.has_value()) {
    return Missing("signature", "hex digits");
  }
  return absl::OkStatus();
}

absl::Status AcquisitionDocument::CheckPayload() const {
  if (!device_type_.has_value()) {
    return Missing("payload.device_type", "a string");
  }
  if (!interval_ms_.has_value()) {
    return Missing("payload.interval_ms", "a number");
  }
  if (!has_sensors_) {
    return Missing("payload.sensors", "an array");
  }
  if (!has_values_ || readings_ == 0) {
    return Missing("payload.values", "at least one reading");
  }
  if (width_ != sensors_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("payload.values[0]: got ", width_,
                                                   " values, want ", sensors_.size(),
                                                   ", one for each of payload.sensors"));
  }
  for (std::size_t i = 0; i < units_.size(); ++i) {
    FIELDLOOP_RETURN_IF_ERROR(
        ValidateText(absl::StrCat("payload.sensors[", i, "].units"), units_[i], 0, kMaxUnitsBytes));
  }
  const double interval_ms = *interval_ms_;
  const bool rate_known = interval_ms > 0 && kMsInSecond / interval_ms <= kMaxFrequencyHz &&
                          kMsInSecond / interval_ms > 0;
  if (!rate_known && (interval_ms != 0 || readings_ > 1)) {
    return absl::InvalidArgumentError(absl::StrCat("payload.interval_ms: got ", interval_ms,
                                                   ", want ", kMsInSecond / kMaxFrequencyHz,
                                                   " or more, or 0 for a single reading"));
  }
  return absl::OkStatus();
}

// The recording; `data` is what stands behind the document.
absl::StatusOr<ParsedRecording> AcquisitionDocument::FinishReadings(absl::string_view data) {
  ParsedRecording recording;
  std::optional<FullScale> full_scale;
  FIELDLOOP_RETURN_IF_ERROR(ValidateAxes("payload.sensors", sensors_));
  if (reference_.has_value()) {
    const Binary& binary = *FindBinary(*reference_);
    full_scale = binary.full_scale;
    width_ = sensors_.size();
    const std::size_t reading_bytes = width_ * binary.bytes;
    if (data.empty() || data.size() % reading_bytes != 0 ||
        data.size() / binary.bytes > static_cast<std::size_t>(kMaxValues)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "payload.values[0]: got ", data.size(), " bytes behind the document, want a multiple of ",
          reading_bytes, ", one ", *reference_, " for each of payload.sensors, and at most ",
          kMaxValues, " values"));
    }
    values_.resize(data.size() / binary.bytes);
    const char* at = data.data();
    for (float& value : values_) {
      value = binary.load(at);
      at += binary.bytes;
    }
    readings_ = data.size() / reading_bytes;
  } else if (!absl::StripAsciiWhitespace(data).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("document: got ", data.size(), " bytes behind it, want the end of the file"));
  }
  FIELDLOOP_RETURN_IF_ERROR(CheckPayload());
  CheckReadings(sensors_, full_scale, values_, recording.flags);
  recording.axes = std::move(sensors_);
  if (std::any_of(units_.begin(), units_.end(), [](const std::string& u) { return !u.empty(); })) {
    recording.units = std::move(units_);
  }
  recording.values = std::move(values_);
  recording.readings = static_cast<std::int64_t>(readings_);
  recording.frequency_hz = *interval_ms_ > 0 ? kMsInSecond / *interval_ms_ : 0;
  recording.metadata["device_type"] = *device_type_;
  if (device_name_.has_value()) {
    recording.metadata["device_name"] = *device_name_;
  }
  return recording;
}

bool AcquisitionDocument::SignatureFits(absl::string_view bytes, absl::string_view key) const {
  // A signature that is written with escapes stands nowhere as it is, and fits nothing.
  if (signature_->size() != kSignatureLength || signature_end_ < kSignatureLength ||
      bytes.substr(signature_end_ - kSignatureLength, kSignatureLength) != *signature_) {
    return false;
  }
  std::string zeroed(bytes);
  zeroed.replace(signature_end_ - kSignatureLength, kSignatureLength, kSignatureLength, '0');
  return ConstantTimeEquals(ToHex(HmacSha256(key, zeroed)), *signature_);
}

void AcquisitionDocument::AddSignatureFlags(absl::string_view bytes, const ParseOptions& options,
                                            std::vector<std::string>& flags) const {
  if (*algorithm_ == "HS256") {
    if (!options.signature_key.has_value()) {
      flags.emplace_back(kSignatureUnchecked);
    } else if (!SignatureFits(bytes, *options.signature_key)) {
      flags.emplace_back(kSignatureInvalid);
    }
  } else if (options.signature_key.has_value()) {
    flags.emplace_back(kSignatureMissing);
  }
}

absl::StatusOr<ParsedRecording> AcquisitionDocument::Finish(absl::string_view bytes,
                                                            std::size_t document_bytes,
                                                            const ParseOptions& options) && {
  FIELDLOOP_RETURN_IF_ERROR(status_);
  FIELDLOOP_RETURN_IF_ERROR(CheckHead());
  FIELDLOOP_ASSIGN_OR_RETURN(ParsedRecording recording,
                             FinishReadings(bytes.substr(document_bytes)));
  AddSignatureFlags(bytes, options, recording.flags);
  return recording;
}

}  // namespace fieldloop::ingestion
