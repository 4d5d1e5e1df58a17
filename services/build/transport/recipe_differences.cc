// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/recipe_differences.h"

#include <map>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include "absl/strings/str_cat.h"

namespace fieldloop::build {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kNone[] = "none";

// A value of a field that is no message; `index` is -1 for one that is not repeated.
std::string ValueText(const Message& message, const FieldDescriptor& field, int index) {
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, &field, index, &text);
  return text;
}

// The values of a message by their paths. A list of scalars is one value; messages that are not
// there have none.
void Flatten(const Message& message, const std::string& prefix,
             std::map<std::string, std::string>& values) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = absl::StrCat(prefix, field.name());
    const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (field.is_repeated()) {
      std::string list;
      for (int j = 0; j < reflection.FieldSize(message, &field); ++j) {
        const std::string element = absl::StrCat(path, "[", j, "]");
        if (is_message) {
          values[element] = "";
          Flatten(reflection.GetRepeatedMessage(message, &field, j), absl::StrCat(element, "."),
                  values);
        } else {
          absl::StrAppend(&list, j == 0 ? "" : ", ", ValueText(message, field, j));
        }
      }
      if (!is_message) {
        values[path] = absl::StrCat("[", list, "]");
      }
    } else if (is_message) {
      if (reflection.HasField(message, &field)) {
        values[path] = "";
        Flatten(reflection.GetMessage(message, &field), absl::StrCat(path, "."), values);
      }
    } else if (!field.has_presence() || reflection.HasField(message, &field)) {
      values[path] = ValueText(message, field, -1);
    }
  }
}

// The text of `path`; "none" if there is nothing.
std::string TextOf(const std::map<std::string, std::string>& values, const std::string& path) {
  const auto found = values.find(path);
  if (found == values.end()) {
    return kNone;
  }
  return found->second.empty() ? "set" : found->second;
}

}  // namespace

std::vector<std::string> RecipeDifferences(const v1::ImpulseRecipe& first,
                                           const v1::ImpulseRecipe& second) {
  std::map<std::string, std::string> of_first;
  std::map<std::string, std::string> of_second;
  Flatten(first, "", of_first);
  Flatten(second, "", of_second);
  std::map<std::string, std::string> all = of_first;
  all.insert(of_second.begin(), of_second.end());
  std::vector<std::string> differences;
  for (const auto& [path, unused] : all) {
    const std::string before = TextOf(of_first, path);
    const std::string after = TextOf(of_second, path);
    if (before != after) {
      differences.push_back(absl::StrCat(path, ": ", before, " -> ", after));
    }
  }
  return differences;
}

}  // namespace fieldloop::build
