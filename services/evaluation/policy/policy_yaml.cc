// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/policy/policy_yaml.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "services/common/resource/resource_name.h"

namespace fieldloop::evaluation {
namespace {

constexpr double kMost = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMostSamples = 1'000'000;
constexpr absl::Duration kLongest = absl::Hours(24 * 366);

// Keeps the first thing that is wrong.
class Complaints {
 public:
  void Add(const YAML::Mark& mark, absl::string_view path, absl::string_view what) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat(
          "line ", mark.line + 1, ": ", path.empty() ? "" : absl::StrCat(path, ": "), what));
    }
  }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

// One mapping of the document. Every key is asked for once; Finish complains of those that were
// not.
class Section {
 public:
  Section(const YAML::Node& node, std::string path, Complaints& complaints)
      : node_(node), path_(std::move(path)), complaints_(complaints) {
    if (!node_.IsMap()) {
      complaints_.Add(node_.Mark(), path_, "got something else, want keys and values");
    }
  }

  YAML::Mark Mark() const { return node_.Mark(); }
  std::string PathOf(absl::string_view key) const {
    return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
  }

  // The value of `key` if it is given.
  std::optional<YAML::Node> Find(const char* key) {
    known_.push_back(key);
    std::optional<YAML::Node> found;
    if (node_.IsMap()) {
      for (const auto& entry : node_) {
        if (entry.first.IsScalar() && entry.first.Scalar() == key) {
          if (found.has_value()) {
            complaints_.Add(entry.first.Mark(), PathOf(key), "got it twice, want it once");
          }
          found = entry.second;
        }
      }
    }
    return found;
  }
  std::optional<Section> Sub(const char* key) {
    const std::optional<YAML::Node> node = Find(key);
    return node.has_value() ? std::optional<Section>(Section(*node, PathOf(key), complaints_))
                            : std::nullopt;
  }

  template <typename Integer>
  void Count(const char* key, std::int64_t least, std::int64_t most, Integer& value) {
    const std::optional<YAML::Node> node = Find(key);
    std::int64_t parsed = 0;
    if (!node.has_value()) {
      return;
    }
    if (!node->IsScalar() || !absl::SimpleAtoi(node->Scalar(), &parsed) || parsed < least ||
        parsed > most) {
      Wrong(*node, key, absl::StrCat("a whole number from ", least, " to ", most));
      return;
    }
    value = static_cast<Integer>(parsed);
  }

  // From `least` to `most`; `least` itself only if `with_least`.
  void Real(const char* key, double least, bool with_least, double most, double& value) {
    const std::optional<YAML::Node> node = Find(key);
    double parsed = 0;
    if (!node.has_value()) {
      return;
    }
    if (!node->IsScalar() || !absl::SimpleAtod(node->Scalar(), &parsed) || std::isnan(parsed) ||
        parsed > most || std::isinf(parsed) || (with_least ? parsed < least : parsed <= least)) {
      Wrong(*node, key,
            absl::StrCat("a number ", with_least ? "from " : "above ", least,
                         std::isinf(most) ? "" : absl::StrCat(" to ", most)));
      return;
    }
    value = parsed;
  }

  void Time(const char* key, absl::Duration least, absl::Duration& value) {
    const std::optional<YAML::Node> node = Find(key);
    if (!node.has_value()) {
      return;
    }
    const absl::Duration parsed =
        node->IsScalar() ? ParseTime(node->Scalar()) : -absl::InfiniteDuration();
    if (parsed < least || parsed > kLongest) {
      Wrong(*node, key,
            absl::StrCat("a time such as 90s, 15m, 2h or 7d, from ", absl::FormatDuration(least),
                         " to 366d"));
      return;
    }
    value = parsed;
  }

  void Text(const char* key, std::size_t most_bytes, std::string& value) {
    const std::optional<YAML::Node> node = Find(key);
    if (!node.has_value()) {
      return;
    }
    if (!node->IsScalar() || node->Scalar().empty() || node->Scalar().size() > most_bytes) {
      Wrong(*node, key, absl::StrCat("a text of 1 to ", most_bytes, " bytes"));
      return;
    }
    value = node->Scalar();
  }

  void RequiredId(const char* key, std::string& value) {
    const std::optional<YAML::Node> node = Find(key);
    if (!node.has_value()) {
      complaints_.Add(Mark(), PathOf(key), "missing, want an id");
    } else if (!node->IsScalar() || !ValidateId(key, node->Scalar()).ok()) {
      Wrong(*node, key, "2 to 39 characters of [a-z0-9-] that start with a letter");
    } else {
      value = node->Scalar();
    }
  }

  // One of `names`; returns its index.
  std::optional<std::size_t> Choice(const char* key, const std::vector<std::string>& names) {
    const std::optional<YAML::Node> node = Find(key);
    if (!node.has_value()) {
      return std::nullopt;
    }
    if (node->IsScalar()) {
      const auto found = std::find(names.begin(), names.end(), node->Scalar());
      if (found != names.end()) {
        return static_cast<std::size_t>(found - names.begin());
      }
    }
    Wrong(*node, key, absl::StrCat("one of ", absl::StrJoin(names, ", ")));
    return std::nullopt;
  }

  std::vector<YAML::Node> List(const char* key, std::size_t least, std::size_t most) {
    const std::optional<YAML::Node> node = Find(key);
    if (!node.has_value()) {
      return {};
    }
    if (!node->IsSequence() || node->size() < least || node->size() > most) {
      Wrong(*node, key, absl::StrCat("a list of ", least, " to ", most, " entries"));
      return {};
    }
    return {node->begin(), node->end()};
  }

  void Wrong(const YAML::Node& node, absl::string_view key, absl::string_view want) {
    const std::string got = node.IsScalar()     ? absl::StrCat("\"", node.Scalar(), "\"")
                            : node.IsSequence() ? std::string("a list")
                            : node.IsMap()      ? std::string("keys and values")
                                                : std::string("nothing");
    complaints_.Add(node.Mark(), PathOf(key), absl::StrCat("got ", got, ", want ", want));
  }
  void Complain(absl::string_view key, absl::string_view what) {
    YAML::Mark mark = node_.Mark();
    if (node_.IsMap()) {
      for (const auto& entry : node_) {
        if (entry.first.IsScalar() && entry.first.Scalar() == key) {
          mark = entry.first.Mark();
        }
      }
    }
    complaints_.Add(mark, PathOf(key), what);
  }

  void Finish() {
    if (!node_.IsMap()) {
      return;
    }
    for (const auto& entry : node_) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        complaints_.Add(entry.first.Mark(), PathOf(key),
                        absl::StrCat("unknown key, want one of ", absl::StrJoin(known_, ", ")));
      }
    }
  }

 private:
  static absl::Duration ParseTime(const std::string& text) {
    std::int64_t number = 0;
    if (text.size() < 2 ||
        !absl::SimpleAtoi(absl::string_view(text).substr(0, text.size() - 1), &number)) {
      return -absl::InfiniteDuration();
    }
    switch (text.back()) {
      case 's':
        return absl::Seconds(number);
      case 'm':
        return absl::Minutes(number);
      case 'h':
        return absl::Hours(number);
      case 'd':
        return absl::Hours(24) * number;
      default:
        return -absl::InfiniteDuration();
    }
  }

  YAML::Node node_;
  std::string path_;
  Complaints& complaints_;
  std::vector<std::string> known_;
};

DriftPolicy ReadDrift(Section section) {
  DriftPolicy drift;
  section.Count("baseline_periods", 6, 1000, drift.baseline_periods);
  section.Count("recent_periods", 2, 300, drift.recent_periods);
  section.Real("fleet_alpha", 0, false, 0.5, drift.fleet_alpha);
  section.Real("device_fdr", 0, false, 0.5, drift.device_fdr);
  section.Real("min_effect_bins", 0, true, 15, drift.min_effect_bins);
  section.Count("min_devices", 1, kMostSamples, drift.min_devices);
  section.Real("min_drifted_percent", 0, true, 100, drift.min_drifted_percent);
  if (drift.baseline_periods < 3 * drift.recent_periods) {
    section.Complain("baseline_periods",
                     absl::StrCat("got ", drift.baseline_periods, ", want at least 3 x ",
                                  drift.recent_periods, ", recent_periods"));
  }
  section.Finish();
  return drift;
}

TriggerPolicy ReadTrigger(Section section) {
  TriggerPolicy trigger;
  if (const std::optional<YAML::Node> node = section.Find("drift");
      node.has_value() && node->IsNull()) {
    trigger.drift = DriftPolicy();  // "drift:" alone means the defaults.
  } else if (std::optional<Section> drift = section.Sub("drift")) {
    trigger.drift = ReadDrift(*drift);
  }
  section.Count("labelled_samples", 1, kMostSamples, trigger.labelled_samples);
  section.Time("every", absl::Minutes(1), trigger.every);
  section.Finish();
  return trigger;
}

void ReadTexts(Section& section, const char* key, std::map<std::string, std::string>& texts) {
  const std::optional<YAML::Node> node = section.Find(key);
  if (!node.has_value()) {
    return;
  }
  if (!node->IsMap() || node->size() > 16) {
    section.Wrong(*node, key, "at most 16 keys and values");
    return;
  }
  for (const auto& entry : *node) {
    if (!entry.first.IsScalar() || !entry.second.IsScalar()) {
      section.Wrong(entry.second, key, "texts as values");
      return;
    }
    texts[entry.first.Scalar()] = entry.second.Scalar();
  }
}

CollectPolicy ReadCollect(Section section) {
  CollectPolicy collect;
  if (std::optional<Section> from = section.Sub("from")) {
    ReadTexts(*from, "attributes", collect.attributes);
    from->Finish();
  }
  section.Count("samples_per_device_per_period", 1, 1000, collect.samples_per_device_per_period);
  section.Count("samples_per_device", 0, kMostSamples, collect.samples_per_device);
  section.Real("random_share", 0.5, true, 1, collect.random_share);
  if (std::optional<Section> until = section.Sub("until")) {
    until->Count("labelled_samples", 1, kMostSamples, collect.labelled_samples);
    until->Count("per_class", 0, kMostSamples, collect.per_class);
    until->Count("testing_samples", 0, kMostSamples, collect.testing_samples);
    if (collect.labelled_samples == 0) {
      until->Complain("labelled_samples", "missing, want how many labelled samples are enough");
    }
    until->Finish();
  } else {
    section.Complain("until", "missing, want when the collection ends");
  }
  section.Time("timeout", absl::Seconds(1), collect.timeout);
  section.Finish();
  return collect;
}

GateRule ReadRule(Section section) {
  GateRule rule;
  section.Text("slice", 240, rule.slice);
  const std::size_t equals = rule.slice.find('=');
  if (rule.slice != "all" && (equals == std::string::npos || equals == 0)) {
    section.Complain("slice",
                     absl::StrCat("got \"", rule.slice,
                                  "\", want all, source=device, source=upload or key=value "
                                  "of the samples' metadata"));
  }
  section.Text("metric", 64, rule.metric);
  if (rule.metric != "accuracy" && rule.metric != "balanced_accuracy" &&
      (rule.metric.rfind("recall/", 0) != 0 || rule.metric.size() == 7)) {
    section.Complain("metric", absl::StrCat("got \"", rule.metric,
                                            "\", want one of accuracy, balanced_accuracy, "
                                            "recall/<class>"));
  }
  if (const std::optional<std::size_t> test =
          section.Choice("test", {"superior", "not_worse", "at_least"})) {
    rule.test = static_cast<GateTest>(*test);
  } else {
    section.Complain("test", "missing, want one of superior, not_worse, at_least");
  }
  section.Real("alpha", 0, false, 0.25, rule.alpha);
  if (rule.test == GateTest::kAtLeast) {
    rule.value = -kMost;
    section.Real("value", 0, true, 1, rule.value);
    if (std::isinf(rule.value)) {
      section.Complain("value", "missing, want a number from 0 to 1");
    }
  } else {
    rule.margin = rule.test == GateTest::kNotWorse ? 0.02 : 0;
    section.Real("margin", 0, true, 1, rule.margin);
  }
  section.Finish();
  return rule;
}

RolloutPolicy ReadRollout(Section section, Complaints& complaints) {
  RolloutPolicy rollout;
  if (const std::optional<std::size_t> approval =
          section.Choice("approval", {"automatic", "required"})) {
    rollout.approval_required = *approval == 1;
  }
  const std::vector<YAML::Node> stages = section.List("stages", 1, 20);
  if (!stages.empty()) {
    rollout.stages.clear();
    double last = 0;
    for (std::size_t i = 0; i < stages.size(); ++i) {
      Section stage(stages[i], absl::StrCat(section.PathOf("stages"), "[", i, "]"), complaints);
      StagePolicy policy;
      policy.percent = 0;
      stage.Real("percent", 0, false, 100, policy.percent);
      stage.Real("confirm_percent", 0, false, 100, policy.confirm_percent);
      stage.Time("soak", absl::ZeroDuration(), policy.soak);
      if (policy.percent <= last) {
        stage.Complain("percent", absl::StrCat("got ", policy.percent, ", want more than ", last,
                                               ", that of the stage before"));
      }
      last = policy.percent;
      if (i + 1 == stages.size() && policy.percent < 100) {
        stage.Complain("percent", absl::StrCat("got ", policy.percent, ", want 100 in the last"));
      }
      stage.Finish();
      rollout.stages.push_back(policy);
    }
  }
  section.Real("failure_percent", 0, true, 100, rollout.failure_percent);
  section.Count("failure_count", 1, kMostSamples, rollout.failure_count);
  section.Time("device_timeout", absl::Seconds(1), rollout.device_timeout);
  for (const YAML::Node& id : section.List("hardware_ids", 1, 16)) {
    if (!id.IsScalar() || id.Scalar().empty()) {
      section.Wrong(id, "hardware_ids", "texts");
    } else {
      rollout.hardware_ids.push_back(id.Scalar());
    }
  }
  section.Finish();
  return rollout;
}

Policy ReadPolicy(const YAML::Node& document, Complaints& complaints) {
  Policy policy;
  Section root(document, "", complaints);
  std::int64_t version = 0;
  root.Count("version", 1, 1, version);
  if (version == 0) {
    root.Complain("version", "missing, want 1");
  }
  if (std::optional<Section> trigger = root.Sub("trigger")) {
    policy.trigger = ReadTrigger(*trigger);
  }
  if (std::optional<Section> collect = root.Sub("collect")) {
    policy.collect = ReadCollect(*collect);
  }
  if (std::optional<Section> build = root.Sub("build")) {
    build->RequiredId("impulse", policy.build.impulse);
    build->RequiredId("dataset", policy.build.dataset);
    build->Count("seed", 0, std::numeric_limits<std::uint32_t>::max(), policy.build.seed);
    build->Finish();
  } else {
    root.Complain("build", "missing, want impulse and dataset");
  }
  const std::vector<YAML::Node> gate = root.List("gate", 1, 32);
  for (std::size_t i = 0; i < gate.size(); ++i) {
    policy.gate.push_back(ReadRule(Section(gate[i], absl::StrCat("gate[", i, "]"), complaints)));
  }
  if (gate.empty()) {
    root.Complain("gate", "missing, want a list of rules");
  }
  if (const std::optional<std::size_t> choice =
          root.Choice("on_inconclusive", {"approve", "reject"})) {
    policy.on_inconclusive = *choice == 0 ? OnInconclusive::kApprove : OnInconclusive::kReject;
  }
  if (std::optional<Section> rollout = root.Sub("rollout")) {
    policy.rollout = ReadRollout(*rollout, complaints);
  }
  root.Finish();
  return policy;
}

}  // namespace

absl::StatusOr<Policy> ParsePolicy(const std::string& yaml) {
  // The one place where exceptions of yaml-cpp end.
  try {
    Complaints complaints;
    const Policy policy = ReadPolicy(YAML::Load(yaml), complaints);
    if (!complaints.status().ok()) {
      return complaints.status();
    }
    return policy;
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("line ", error.mark.line + 1, ": not YAML: ", error.msg));
  }
}

}  // namespace fieldloop::evaluation
