// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/storage/codec.h"

#include <cstdlib>

#include <nlohmann/json.hpp>

#include "absl/functional/function_ref.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"

namespace fieldloop::evaluation {
namespace {

using Json = nlohmann::json;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("stored ", what, " cannot be read"));
}

// The one place where exceptions of the JSON library end.
absl::Status Parse(absl::string_view text, absl::string_view what,
                   absl::FunctionRef<void(const Json&)> read) {
  try {
    read(Json::parse(text.begin(), text.end()));
    return absl::OkStatus();
  } catch (const Json::exception&) {
    return Damaged(what);
  }
}

std::string Dump(const Json& json) {
  // Texts come from other services and from people: a byte that is not UTF-8 must not throw.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ToJson(const Metric& metric) {
  return Json::array({metric.name, metric.value, metric.low, metric.high});
}

Metric MetricFrom(const Json& json) {
  return {.name = json.at(0), .value = json.at(1), .low = json.at(2), .high = json.at(3)};
}

Json ToJson(const std::vector<Metric>& metrics) {
  Json json = Json::array();
  for (const Metric& metric : metrics) {
    json.push_back(ToJson(metric));
  }
  return json;
}

std::vector<Metric> MetricsFrom(const Json& json) {
  std::vector<Metric> metrics;
  for (const Json& metric : json) {
    metrics.push_back(MetricFrom(metric));
  }
  return metrics;
}

// A float's decimal digits if they give the value back, all of a double's otherwise.
std::string Digits(double value) {
  std::string digits = absl::StrFormat("%.9g", value);
  return std::strtod(digits.c_str(), nullptr) == value ? digits : absl::StrFormat("%.17g", value);
}

bool ParseCounts(absl::string_view text, std::vector<std::int64_t>& counts) {
  counts.clear();
  if (text.empty()) {
    return true;
  }
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    std::int64_t count = 0;
    if (!absl::SimpleAtoi(part, &count)) {
      return false;
    }
    counts.push_back(count);
  }
  return true;
}

}  // namespace

std::string EncodeSlices(const std::vector<SliceResult>& slices) {
  Json json = Json::array();
  for (const SliceResult& slice : slices) {
    Json confusion = Json::array();
    for (const ConfusionRow& row : slice.confusion) {
      confusion.push_back(Json::array({row.label, row.predicted}));
    }
    Json groups = Json::array();
    for (const Group& group : slice.groups) {
      Json classes = Json::array();
      for (const auto& [label, count] : group.classes) {
        classes.push_back(
            Json::array({label, count.windows, count.model_right, count.baseline_right}));
      }
      groups.push_back(Json::array({group.name, group.samples, classes}));
    }
    json.push_back({{"slice", slice.slice},
                    {"windows", slice.windows},
                    {"metrics", ToJson(slice.metrics)},
                    {"confusion", confusion},
                    {"only_model", slice.only_model_right},
                    {"only_baseline", slice.only_baseline_right},
                    {"mcnemar", slice.mcnemar_mid_p},
                    {"baseline", ToJson(slice.baseline_metrics)},
                    {"difference", ToJson(slice.difference)},
                    {"groups", groups}});
  }
  return Dump(json);
}

absl::Status DecodeSlices(absl::string_view text, std::vector<SliceResult>& slices) {
  slices.clear();
  if (text.empty()) {
    return absl::OkStatus();
  }
  return Parse(text, "evaluation", [&](const Json& json) {
    for (const Json& from : json) {
      SliceResult slice;
      slice.slice = from.at("slice");
      slice.windows = from.at("windows");
      slice.metrics = MetricsFrom(from.at("metrics"));
      for (const Json& row : from.at("confusion")) {
        slice.confusion.push_back(
            {.label = row.at(0), .predicted = row.at(1).get<std::vector<std::int64_t>>()});
      }
      slice.only_model_right = from.at("only_model");
      slice.only_baseline_right = from.at("only_baseline");
      slice.mcnemar_mid_p = from.at("mcnemar");
      slice.baseline_metrics = MetricsFrom(from.at("baseline"));
      slice.difference = MetricFrom(from.at("difference"));
      for (const Json& group_json : from.at("groups")) {
        Group group;
        group.name = group_json.at(0);
        group.samples = group_json.at(1);
        for (const Json& count : group_json.at(2)) {
          group.classes[count.at(0).get<std::string>()] = {
              .windows = count.at(1), .model_right = count.at(2), .baseline_right = count.at(3)};
        }
        slice.groups.push_back(std::move(group));
      }
      slices.push_back(std::move(slice));
    }
  });
}

std::string EncodeTexts(const std::vector<std::string>& texts) { return Dump(Json(texts)); }

absl::Status DecodeTexts(absl::string_view text, std::vector<std::string>& texts) {
  return Parse(text, "list",
               [&](const Json& json) { texts = json.get<std::vector<std::string>>(); });
}

std::string EncodeMap(const std::map<std::string, std::string>& map) { return Dump(Json(map)); }

absl::Status DecodeMap(absl::string_view text, std::map<std::string, std::string>& map) {
  return Parse(text, "map",
               [&](const Json& json) { map = json.get<std::map<std::string, std::string>>(); });
}

std::string EncodeCycle(const Cycle& cycle) {
  Json gate = Json::array();
  for (const GateResult& result : cycle.gate_results) {
    gate.push_back(
        Json::array({result.rule, static_cast<int>(result.verdict), result.explanation}));
  }
  return Dump({{"activity", cycle.activity},
               {"champion_model", cycle.champion_model},
               {"drift_report", cycle.drift_report},
               {"dataset_version", cycle.dataset_version},
               {"build", cycle.build},
               {"candidate_model", cycle.candidate_model},
               {"evaluation", cycle.evaluation},
               {"gate_results", gate},
               {"release", cycle.release},
               {"rollout", cycle.rollout},
               {"policy_version", cycle.policy_version},
               {"labelled_samples", cycle.labelled_samples},
               {"wanted_samples", cycle.wanted_samples},
               {"request_id", cycle.request_id},
               {"collection_open", cycle.collection_open},
               {"collection_asked", cycle.collection_asked},
               {"release_signed", cycle.release_signed},
               {"rollout_noted", cycle.rollout_noted},
               {"rollout_outcome", static_cast<int>(cycle.rollout_outcome)},
               {"rollback_release", cycle.rollback_release},
               {"rollback_signed", cycle.rollback_signed},
               {"rollback_rollout", cycle.rollback_rollout}});
}

absl::Status DecodeCycle(absl::string_view text, Cycle& cycle) {
  return Parse(text, "cycle", [&](const Json& json) {
    cycle.activity = json.at("activity");
    cycle.champion_model = json.at("champion_model");
    cycle.drift_report = json.at("drift_report");
    cycle.dataset_version = json.at("dataset_version");
    cycle.build = json.at("build");
    cycle.candidate_model = json.at("candidate_model");
    cycle.evaluation = json.at("evaluation");
    for (const Json& result : json.at("gate_results")) {
      cycle.gate_results.push_back({.rule = result.at(0),
                                    .verdict = static_cast<Verdict>(result.at(1).get<int>()),
                                    .explanation = result.at(2)});
    }
    cycle.release = json.at("release");
    cycle.rollout = json.at("rollout");
    cycle.policy_version = json.at("policy_version");
    cycle.labelled_samples = json.at("labelled_samples");
    cycle.wanted_samples = json.at("wanted_samples");
    cycle.request_id = json.at("request_id");
    cycle.collection_open = json.at("collection_open");
    cycle.collection_asked = json.at("collection_asked");
    cycle.release_signed = json.at("release_signed");
    cycle.rollout_noted = json.at("rollout_noted");
    cycle.rollout_outcome = static_cast<RolloutOutcome>(json.at("rollout_outcome").get<int>());
    cycle.rollback_release = json.at("rollback_release");
    cycle.rollback_signed = json.at("rollback_signed");
    cycle.rollback_rollout = json.at("rollback_rollout");
  });
}

std::string EncodeReport(const DriftReport& report) {
  Json channels = Json::array();
  for (const ChannelDrift& channel : report.channels) {
    channels.push_back({{"channel", channel.channel},
                        {"shift", channel.mean_shift_bins},
                        {"p", channel.p_value},
                        {"excess", channel.median_excess_bins},
                        {"drifted", channel.drifted_devices},
                        {"w1", channel.mean_w1_bins},
                        {"psi", channel.psi}});
  }
  return Dump({{"look", report.look},
               {"devices", report.device_count},
               {"drifted", report.drifted_devices},
               {"channels", channels},
               {"statistic", report.statistic},
               {"limit", report.limit},
               {"start", absl::ToUnixMicros(report.recent_start_time)},
               {"end", absl::ToUnixMicros(report.recent_end_time)},
               {"explanation", report.explanation}});
}

absl::Status DecodeReport(absl::string_view text, DriftReport& report) {
  return Parse(text, "drift report", [&](const Json& json) {
    report.look = json.at("look");
    report.device_count = json.at("devices");
    report.drifted_devices = json.at("drifted");
    for (const Json& channel : json.at("channels")) {
      report.channels.push_back({.channel = channel.at("channel"),
                                 .mean_shift_bins = channel.at("shift"),
                                 .p_value = channel.at("p"),
                                 .median_excess_bins = channel.at("excess"),
                                 .drifted_devices = channel.at("drifted"),
                                 .mean_w1_bins = channel.at("w1"),
                                 .psi = channel.at("psi")});
    }
    report.statistic = json.at("statistic");
    report.limit = json.at("limit");
    report.recent_start_time = absl::FromUnixMicros(json.at("start").get<std::int64_t>());
    report.recent_end_time = absl::FromUnixMicros(json.at("end").get<std::int64_t>());
    report.explanation = json.at("explanation");
  });
}

std::string EncodeSketch(const Sketch& sketch) {
  std::string text =
      absl::StrCat(sketch.reference_id, ";", sketch.period_ms, ";", sketch.windows, ";",
                   sketch.failures, ";", absl::StrJoin(sketch.class_counts, ","));
  for (const ChannelSketch& channel : sketch.channels) {
    absl::StrAppend(&text, ";", absl::StrJoin(channel.bins, ","), ":", Digits(channel.mean), ":",
                    Digits(channel.m2), ":", Digits(channel.min), ":", Digits(channel.max));
  }
  return text;
}

absl::Status DecodeSketch(absl::string_view text, Sketch& sketch) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ';');
  if (parts.size() < 5 || !absl::SimpleAtoi(parts[0], &sketch.reference_id) ||
      !absl::SimpleAtoi(parts[1], &sketch.period_ms) ||
      !absl::SimpleAtoi(parts[2], &sketch.windows) ||
      !absl::SimpleAtoi(parts[3], &sketch.failures) ||
      !ParseCounts(parts[4], sketch.class_counts)) {
    return Damaged("sketch");
  }
  sketch.channels.clear();
  for (std::size_t i = 5; i < parts.size(); ++i) {
    const std::vector<absl::string_view> fields = absl::StrSplit(parts[i], ':');
    ChannelSketch channel;
    if (fields.size() != 5 || !ParseCounts(fields[0], channel.bins) ||
        !absl::SimpleAtod(fields[1], &channel.mean) || !absl::SimpleAtod(fields[2], &channel.m2) ||
        !absl::SimpleAtod(fields[3], &channel.min) || !absl::SimpleAtod(fields[4], &channel.max)) {
      return Damaged("sketch");
    }
    sketch.channels.push_back(std::move(channel));
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::evaluation
