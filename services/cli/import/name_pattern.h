// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_IMPORT_NAME_PATTERN_H_
#define FIELDLOOP_SERVICES_CLI_IMPORT_NAME_PATTERN_H_

#include <map>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::cli {

// What the names of recordings say, such as "{label}_{speaker}_{index}". A field takes as little as
// it can and no slash; "{_}" takes what is of no interest. A pattern with a slash is about the path
// from the imported folder, another one about the name alone, both without the ending.
class NamePattern {
 public:
  // INVALID_ARGUMENT, "--pattern: ...".
  static absl::StatusOr<NamePattern> Parse(const std::string& text);

  // The fields of a path that fits as a whole.
  std::optional<std::map<std::string, std::string>> Match(const std::string& path) const;
  bool Has(const std::string& field) const;

 private:
  std::vector<std::string> fields_;
  std::regex expression_;
  bool of_path_ = false;
};

// A condition on a field, such as "index<5", "person=s01,s02" or "device!=sw". Numbers are compared
// as numbers, other texts only with = and !=.
class FieldRule {
 public:
  // INVALID_ARGUMENT naming `flag`.
  static absl::StatusOr<FieldRule> Parse(absl::string_view flag, const std::string& text);

  // False for fields that lack the rule's.
  bool Holds(const std::map<std::string, std::string>& fields) const;

 private:
  std::string field_;
  std::string comparison_;
  std::vector<std::string> values_;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_IMPORT_NAME_PATTERN_H_
