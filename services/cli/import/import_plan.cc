// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/import/import_plan.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/cli/commands/arguments.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;
using nlohmann::json;

constexpr char kIndexName[] = "info.labels";
constexpr char kRangesName[] = "structured_labels.labels";
constexpr char kLabelField[] = "label";
constexpr char kSplitField[] = "split";

// By the ending of a file's name; UNSPECIFIED for a file that is no recording.
iv::SampleFormat FormatOf(const std::string& path) {
  const std::string lower = absl::AsciiStrToLower(path);
  if (absl::EndsWith(lower, ".csv") || absl::EndsWith(lower, ".txt")) return iv::SAMPLE_FORMAT_CSV;
  if (absl::EndsWith(lower, ".json")) return iv::SAMPLE_FORMAT_JSON;
  if (absl::EndsWith(lower, ".cbor")) return iv::SAMPLE_FORMAT_CBOR;
  if (absl::EndsWith(lower, ".wav")) return iv::SAMPLE_FORMAT_WAV;
  return iv::SAMPLE_FORMAT_UNSPECIFIED;
}

// The names that datasets on disk give the sides; "anomaly" is a kind of testing, as at the HTTP
// door.
absl::Status SetSplit(const std::string& category, iv::UploadSpec& spec) {
  if (category == "training") {
    spec.set_split(iv::SPLIT_TRAINING);
  } else if (category == "testing") {
    spec.set_split(iv::SPLIT_TESTING);
  } else if (category == "anomaly") {
    spec.set_split(iv::SPLIT_TESTING);
    (*spec.mutable_metadata())["category"] = category;
  } else if (category == "split" || category == "auto") {
    spec.set_split(iv::SPLIT_UNSPECIFIED);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("category: got \"", category, "\", want training, testing, anomaly or split"));
  }
  return absl::OkStatus();
}

void SetWholeLabel(const std::string& label, iv::UploadSpec& spec) {
  iv::LabelRange& range = *spec.add_labels();
  range.set_end_reading(-1);
  range.set_label(label);
}

// [{"startIndex": 0, "endIndex": 9, "label": "up"}], both ends inclusive.
absl::Status AddRanges(const json& list, iv::UploadSpec& spec) {
  if (!list.is_array()) {
    return absl::InvalidArgumentError("labels: want a list");
  }
  for (const json& entry : list) {
    if (!entry.is_object() || !entry.contains("startIndex") || !entry.contains("endIndex") ||
        !entry.contains("label") || !entry["startIndex"].is_number_integer() ||
        !entry["endIndex"].is_number_integer() || !entry["label"].is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("labels: got ", entry.dump(), ", want startIndex, endIndex and label"));
    }
    iv::LabelRange& range = *spec.add_labels();
    range.set_start_reading(entry["startIndex"].get<std::int64_t>());
    range.set_end_reading(entry["endIndex"].get<std::int64_t>());
    range.set_label(entry["label"].get<std::string>());
  }
  return absl::OkStatus();
}

// {"type": "label", "label": "up"}, {"type": "unlabeled"} or {"type": "multi-label", "labels":
// [...]}.
absl::Status SetLabel(const json& label, iv::UploadSpec& spec) {
  const std::string type = label.is_object() && label.contains("type") && label["type"].is_string()
                               ? label["type"].get<std::string>()
                               : "";
  if (type == "unlabeled") {
    return absl::OkStatus();
  }
  if (type == "label" && label.contains("label") && label["label"].is_string()) {
    SetWholeLabel(label["label"].get<std::string>(), spec);
    return absl::OkStatus();
  }
  if (type == "multi-label" && label.contains("labels")) {
    return AddRanges(label["labels"], spec);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "label: got ", label.dump(), ", want type label, unlabeled or multi-label with its content"));
}

absl::StatusOr<json> ReadJson(const std::string& path, const char* list, json::value_t kind) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || document.value("version", json()) != 1 ||
      document.value(list, json()).type() != kind) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": want a JSON object with version 1 and ", list));
  }
  return json(std::move(document[list]));
}

// What an index says of a file of bare numbers, as devices send.
absl::Status SetLayout(const json& entry, iv::UploadSpec& spec) {
  const json axes = entry.value("axes", json());
  const json frequency = entry.value("frequencyHz", json());
  if (!axes.is_array() || !frequency.is_number() ||
      !std::all_of(axes.begin(), axes.end(), [](const json& axis) { return axis.is_string(); })) {
    return absl::InvalidArgumentError("want axes and frequencyHz for a .f32 file");
  }
  for (const json& axis : axes) {
    spec.add_axes(axis.get<std::string>());
  }
  spec.set_frequency_hz(frequency.get<double>());
  spec.set_format(iv::SAMPLE_FORMAT_F32);
  return absl::OkStatus();
}

// Entry of an index -> recording.
absl::Status PlanEntry(const json& entry, const std::string& folder, const ImportOptions& options,
                       PlannedRecording& planned) {
  if (!entry.is_object() || !entry.contains("path") || !entry["path"].is_string()) {
    return absl::InvalidArgumentError("want an object with a path");
  }
  const std::string path = entry["path"].get<std::string>();
  planned.path = absl::StrCat(folder, "/", path);
  iv::UploadSpec& spec = planned.spec;
  spec.set_parent(options.project);
  spec.set_split_key(options.split_key);
  Assign(*spec.mutable_metadata(), options.metadata);
  spec.set_format(FormatOf(path));
  if (absl::EndsWith(absl::AsciiStrToLower(path), ".f32")) {
    FIELDLOOP_RETURN_IF_ERROR(SetLayout(entry, spec));
  }
  if (spec.format() == iv::SAMPLE_FORMAT_UNSPECIFIED) {
    return absl::InvalidArgumentError("want a file that ends in .csv, .json, .cbor, .wav or .f32");
  }
  std::error_code error;
  if (!std::filesystem::is_regular_file(planned.path, error)) {
    return absl::NotFoundError("the index names it, and there is no such file");
  }
  const json name = entry.value("name", json(std::filesystem::path(path).filename().string()));
  if (!name.is_string()) {
    return absl::InvalidArgumentError("name: want a string");
  }
  spec.set_file_name(name.get<std::string>());
  const json category = entry.value("category", json("split"));
  if (!category.is_string()) {
    return absl::InvalidArgumentError("category: want a string");
  }
  FIELDLOOP_RETURN_IF_ERROR(SetSplit(category.get<std::string>(), spec));
  if (entry.contains("label")) {
    FIELDLOOP_RETURN_IF_ERROR(SetLabel(entry["label"], spec));
  }
  const json metadata = entry.value("metadata", json::object());
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("metadata.", key, ": want a string"));
    }
    (*spec.mutable_metadata())[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

absl::StatusOr<ImportPlan> PlanIndex(const std::string& folder, const ImportOptions& options) {
  const std::string index = absl::StrCat(folder, "/", kIndexName);
  FIELDLOOP_ASSIGN_OR_RETURN(const json files, ReadJson(index, "files", json::value_t::array));
  ImportPlan plan;
  for (std::size_t i = 0; i < files.size(); ++i) {
    PlannedRecording planned;
    const absl::Status status = PlanEntry(files[i], folder, options, planned);
    if (status.ok()) {
      plan.recordings.push_back(std::move(planned));
    } else {
      plan.refused.emplace_back(
          planned.path.empty() ? absl::StrCat(index, " files[", i, "]") : planned.path,
          std::string(status.message()));
    }
  }
  return plan;
}

// Ranges of labels by path, from the side files of every folder.
absl::StatusOr<std::map<std::string, json>> ReadRanges(const std::vector<std::string>& side_files) {
  std::map<std::string, json> ranges;
  for (const std::string& path : side_files) {
    FIELDLOOP_ASSIGN_OR_RETURN(const json files,
                               ReadJson(path, "structuredLabels", json::value_t::object));
    for (const auto& [name, list] : files.items()) {
      ranges[std::filesystem::path(path).replace_filename(name).string()] = list;
    }
  }
  return ranges;
}

// "training/walk/a.csv" is labelled walk, "walk/a.csv" too, "a.csv" and "training/a.csv" are not.
void SetFromFolders(const std::filesystem::path& relative, bool has_label, iv::UploadSpec& spec) {
  std::vector<std::string> folders;
  for (const std::filesystem::path& part : relative.parent_path()) {
    folders.push_back(part.string());
  }
  if (!folders.empty() && (folders[0] == "training" || folders[0] == "testing")) {
    spec.set_split(folders[0] == "training" ? iv::SPLIT_TRAINING : iv::SPLIT_TESTING);
    folders.erase(folders.begin());
  }
  if (!folders.empty() && !has_label) {
    SetWholeLabel(folders[0], spec);
  }
}

// What is said of a file by options, names and folders. `ranges` may be null.
absl::StatusOr<iv::UploadSpec> SpecOf(const std::string& relative, const json* ranges,
                                      const ImportOptions& options) {
  iv::UploadSpec spec;
  spec.set_parent(options.project);
  spec.set_file_name(std::filesystem::path(relative).filename().string());
  spec.set_format(FormatOf(relative));
  FIELDLOOP_RETURN_IF_ERROR(SetSplit(options.split, spec));
  spec.set_split_key(options.split_key);
  std::map<std::string, std::string> fields;
  if (options.pattern.has_value()) {
    fields = *options.pattern->Match(relative);
  }
  if (ranges != nullptr) {
    FIELDLOOP_RETURN_IF_ERROR(AddRanges(*ranges, spec));
  } else if (!options.label.empty()) {
    SetWholeLabel(options.label, spec);
  } else if (const auto label = fields.find(kLabelField); label != fields.end()) {
    SetWholeLabel(label->second, spec);
  }
  if (!options.pattern.has_value()) {
    SetFromFolders(relative, !spec.labels().empty(), spec);
  }
  for (const auto& [field, value] : fields) {
    if (field == kSplitField) {
      FIELDLOOP_RETURN_IF_ERROR(SetSplit(value, spec));
    } else if (field != kLabelField) {
      (*spec.mutable_metadata())[field] = value;
    }
  }
  for (const auto& [key, value] : options.metadata) {
    (*spec.mutable_metadata())[key] = value;
  }
  if (!options.testing.empty()) {
    for (const auto& [key, value] : spec.metadata()) {
      fields[key] = value;
    }
    const bool testing = std::any_of(options.testing.begin(), options.testing.end(),
                                     [&](const FieldRule& rule) { return rule.Holds(fields); });
    spec.set_split(testing ? iv::SPLIT_TESTING : iv::SPLIT_TRAINING);
  }
  return spec;
}

}  // namespace

absl::StatusOr<ImportPlan> PlanImport(const std::string& folder, const ImportOptions& options) {
  const std::filesystem::path root(folder);
  std::error_code error;
  if (std::filesystem::exists(root / kIndexName, error)) {
    return PlanIndex(folder, options);
  }
  std::vector<std::string> files;
  std::vector<std::string> side_files;
  for (auto entry = std::filesystem::recursive_directory_iterator(root, error);
       !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (absl::StartsWith(name, ".")) {  // Hidden: not of the dataset.
      if (entry->is_directory()) {
        entry.disable_recursion_pending();
      }
    } else if (entry->is_regular_file()) {
      (name == kRangesName ? side_files : files).push_back(entry->path().string());
    }
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read folder ", folder, ": ", error.message()));
  }
  std::sort(files.begin(), files.end());
  FIELDLOOP_ASSIGN_OR_RETURN(const auto ranges, ReadRanges(side_files));
  ImportPlan plan;
  for (const std::string& path : files) {
    const std::string relative = std::filesystem::path(path).lexically_relative(root).string();
    if (FormatOf(path) == iv::SAMPLE_FORMAT_UNSPECIFIED ||
        absl::EndsWithIgnoreCase(path, ".txt")) {  // A text beside recordings is a read-me.
      plan.skipped.emplace_back(path, "no recording by the ending of its name");
      continue;
    }
    if (options.pattern.has_value() && !options.pattern->Match(relative).has_value()) {
      plan.skipped.emplace_back(path, "its name does not fit --pattern");
      continue;
    }
    const auto own_ranges = ranges.find(path);
    absl::StatusOr<iv::UploadSpec> spec =
        SpecOf(relative, own_ranges == ranges.end() ? nullptr : &own_ranges->second, options);
    if (spec.ok()) {
      plan.recordings.push_back({.path = path, .spec = *std::move(spec)});
    } else {
      plan.refused.emplace_back(path, std::string(spec.status().message()));
    }
  }
  return plan;
}

}  // namespace fieldloop::cli
