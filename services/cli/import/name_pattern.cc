// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/import/name_pattern.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace fieldloop::cli {
namespace {

constexpr char kIgnored[] = "_";

bool IsFieldName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

absl::StatusOr<NamePattern> NamePattern::Parse(const std::string& text) {
  NamePattern pattern;
  std::string expression;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '{') {
      if (!absl::ascii_isalnum(static_cast<unsigned char>(text[at]))) {
        expression += '\\';
      }
      expression += text[at];
      continue;
    }
    const std::size_t end = text.find('}', at);
    const std::string field = text.substr(at + 1, std::min(end, text.size()) - at - 1);
    if (end == std::string::npos || !IsFieldName(field) ||
        (field != kIgnored && pattern.Has(field))) {
      return absl::InvalidArgumentError(
          absl::StrCat("--pattern: got \"", text,
                       "\", want fields such as {label} or {_} in it, each ", "name once"));
    }
    pattern.fields_.push_back(field);
    expression += "([^/]+?)";
    at = end;
  }
  if (pattern.fields_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--pattern: got \"", text, "\", want at least one field such as {label}"));
  }
  pattern.of_path_ = text.find('/') != std::string::npos;
  pattern.expression_ = std::regex(expression, std::regex::optimize);
  return pattern;
}

std::optional<std::map<std::string, std::string>> NamePattern::Match(
    const std::string& path) const {
  const std::size_t name_start = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
  const std::size_t dot = path.rfind('.');
  const std::size_t end = dot == std::string::npos || dot < name_start ? path.size() : dot;
  const std::string text = path.substr(0, end).substr(of_path_ ? 0 : name_start);
  std::smatch found;
  if (!std::regex_match(text, found, expression_)) {
    return std::nullopt;
  }
  std::map<std::string, std::string> fields;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (fields_[i] != kIgnored) {
      fields[fields_[i]] = found[i + 1].str();
    }
  }
  return fields;
}

bool NamePattern::Has(const std::string& field) const {
  return std::find(fields_.begin(), fields_.end(), field) != fields_.end();
}

absl::StatusOr<FieldRule> FieldRule::Parse(absl::string_view flag, const std::string& text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": got \"", text, "\", want a rule such as index<5 or person=s01,s02"));
  };
  FieldRule rule;
  const std::size_t at = text.find_first_of("<>=!");
  if (at == std::string::npos || !IsFieldName(text.substr(0, at))) {
    return bad();
  }
  rule.field_ = text.substr(0, at);
  const bool two = at + 1 < text.size() && text[at + 1] == '=';
  rule.comparison_ = text.substr(at, two && text[at] != '=' ? 2 : 1);
  rule.values_ = absl::StrSplit(text.substr(at + rule.comparison_.size()), ',');
  double number = 0;
  const bool ordered = rule.comparison_[0] == '<' || rule.comparison_[0] == '>';
  if (rule.comparison_ == "!" || rule.values_.front().empty() ||
      (ordered && (rule.values_.size() > 1 || !absl::SimpleAtod(rule.values_.front(), &number)))) {
    return bad();
  }
  return rule;
}

bool FieldRule::Holds(const std::map<std::string, std::string>& fields) const {
  const auto field = fields.find(field_);
  if (field == fields.end()) {
    return false;
  }
  double have = 0;
  const bool is_number = absl::SimpleAtod(field->second, &have);
  const auto equals = [&](const std::string& value) {
    double want = 0;
    return value == field->second || (is_number && absl::SimpleAtod(value, &want) && have == want);
  };
  const bool any = std::any_of(values_.begin(), values_.end(), equals);
  if (comparison_ == "=") return any;
  if (comparison_ == "!=") return !any;
  double limit = 0;
  if (!is_number || !absl::SimpleAtod(values_.front(), &limit)) {
    return false;
  }
  if (comparison_ == "<") return have < limit;
  if (comparison_ == "<=") return have <= limit;
  if (comparison_ == ">") return have > limit;
  return have >= limit;
}

}  // namespace fieldloop::cli
