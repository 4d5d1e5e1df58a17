// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/json_format.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"
#include "services/ingestion/formats/acquisition_document.h"

namespace fieldloop::ingestion {
namespace {

// Goes through the text and leaves in `place` how far the parser has come.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** place) : at_(at), place_(place) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *place_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    Cursor before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Cursor& a, const Cursor& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  const char** place_;
};

// Hands the events of the JSON parser to a document.
class Events final : public nlohmann::json_sax<nlohmann::json> {
 public:
  using Kind = AcquisitionDocument::Kind;

  Events(absl::string_view text, const char* const& place, AcquisitionDocument& document)
      : text_(text), place_(place), document_(document) {}

  bool null() override { return Scalar(Kind::kNull, {}, 0); }
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
  bool string(string_t& value) override { return Scalar(Kind::kText, value, 0); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON has none.
  bool start_object(std::size_t /*size*/) override { return document_.BeginObject(); }
  bool end_object() override { return document_.End(); }
  bool start_array(std::size_t /*size*/) override { return document_.BeginArray(); }
  bool end_array() override { return document_.End(); }
  bool key(string_t& value) override { return document_.Key(value); }

  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& error) override {
    const std::size_t end = std::min(position, text_.size());
    const auto line =
        std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(end), '\n') + 1;
    const bool out_of_range =
        dynamic_cast<const nlohmann::detail::out_of_range*>(&error) != nullptr;
    return document_.Fail(absl::StrCat(
        "line ", line, ": got ", Quoted(last_token), " at byte ", position,
        out_of_range ? ", want a number that a double holds" : ", want well-formed JSON"));
  }

 private:
  bool Scalar(Kind kind, absl::string_view text, double number) {
    // The parser has read a string's closing quote, and nothing behind it.
    const auto end = static_cast<std::size_t>(place_ - text_.data()) - 1;
    return document_.Scalar({.kind = kind,
                             .text = text.substr(0, AcquisitionDocument::kMaxText),
                             .number = number,
                             .end = end});
  }

  absl::string_view text_;
  const char* const& place_;
  AcquisitionDocument& document_;
};

}  // namespace

absl::StatusOr<ParsedRecording> ParseAcquisitionJson(absl::string_view bytes,
                                                     const ParseOptions& options) {
  AcquisitionDocument document;
  const char* place = bytes.data();
  Events events(bytes, place, document);
  const bool whole = nlohmann::json::sax_parse(
      Cursor(bytes.data(), &place), Cursor(bytes.data() + bytes.size(), &place), &events,
      nlohmann::json::input_format_t::json, /*strict=*/false);
  FIELDLOOP_RETURN_IF_ERROR(document.status());
  if (!whole) {
    return absl::InvalidArgumentError("document: want well-formed JSON");
  }
  return std::move(document).Finish(bytes, static_cast<std::size_t>(place - bytes.data()), options);
}

}  // namespace fieldloop::ingestion
