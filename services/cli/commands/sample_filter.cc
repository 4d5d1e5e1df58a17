// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/commands/sample_filter.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "services/cli/commands/arguments.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {

namespace iv = ingestion::v1;

void FilterFlags::AddTo(CLI::App* verb, bool with_label_state) {
  verb->add_option("--label", labels, "has one of these labels; repeatable");
  verb->add_option("--device", devices, "from these devices; repeatable");
  verb->add_option("--metadata", metadata, "key=value; repeatable");
  verb->add_option("--flag", flags, "has one of these quality flags; repeatable");
  verb->add_option("--without-flag", without_flags, "has none of these flags; repeatable");
  verb->add_option("--newer-than", newer_than, "stored in this time, such as 24h or 30d");
  verb->add_option("--older-than", older_than, "stored before this time");
  verb->add_option("--split", split)->check(CLI::IsMember({"training", "testing"}));
  verb->add_option("--source", source)->check(CLI::IsMember({"upload", "device"}));
  if (with_label_state) {
    verb->add_flag("--labelled", labelled);
    verb->add_flag("--unlabelled", unlabelled);
  }
}

absl::StatusOr<iv::SampleFilter> FilterOf(const Client& client, const FilterFlags& flags) {
  iv::SampleFilter filter;
  for (const std::string& label : flags.labels) {
    filter.add_labels(label);
  }
  for (const std::string& device : flags.devices) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string name, client.Name("devices", device));
    filter.add_devices(name);
  }
  filter.mutable_flags()->Assign(flags.flags.begin(), flags.flags.end());
  filter.mutable_without_flags()->Assign(flags.without_flags.begin(), flags.without_flags.end());
  if (!flags.newer_than.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration age,
                               DurationOf("--newer-than", flags.newer_than));
    *filter.mutable_created_after() = FromNow(-age);
  }
  if (!flags.older_than.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration age,
                               DurationOf("--older-than", flags.older_than));
    *filter.mutable_created_before() = FromNow(-age);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const auto metadata, KeyValues("--metadata", flags.metadata));
  Assign(*filter.mutable_metadata(), metadata);
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::Split split, SplitOf(flags.split));
  filter.set_split(split);
  filter.set_source(flags.source == "upload"   ? iv::SAMPLE_SOURCE_UPLOAD
                    : flags.source == "device" ? iv::SAMPLE_SOURCE_DEVICE
                                               : iv::SAMPLE_SOURCE_UNSPECIFIED);
  if (flags.labelled && flags.unlabelled) {
    return absl::InvalidArgumentError("--labelled and --unlabelled: want one of the two");
  }
  filter.set_label_state(flags.labelled     ? iv::LABEL_STATE_LABELLED
                         : flags.unlabelled ? iv::LABEL_STATE_UNLABELLED
                                            : iv::LABEL_STATE_UNSPECIFIED);
  return filter;
}

absl::StatusOr<iv::Split> SplitOf(const std::string& text) {
  if (text == "training") return iv::SPLIT_TRAINING;
  if (text == "testing") return iv::SPLIT_TESTING;
  if (text.empty() || text == "auto") return iv::SPLIT_UNSPECIFIED;
  return absl::InvalidArgumentError(
      absl::StrCat("split: got \"", text, "\", want training, testing or auto"));
}

std::string LabelsText(const iv::Sample& sample) {
  std::vector<std::string> labels;
  for (const iv::LabelRange& range : sample.labels()) {
    if (labels.empty() || labels.back() != range.label()) {
      labels.push_back(range.label());
    }
  }
  return absl::StrJoin(labels, ",");
}

}  // namespace fieldloop::cli
