// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/transport/proto_conversion.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::evaluation {
namespace {

v1::Metric ToProto(const Metric& metric) {
  v1::Metric proto;
  proto.set_name(metric.name);
  proto.set_value(metric.value);
  proto.set_low(metric.low);
  proto.set_high(metric.high);
  return proto;
}

v1::SliceResult ToProto(const SliceResult& slice) {
  v1::SliceResult proto;
  proto.set_slice(slice.slice);
  proto.set_windows(slice.windows);
  for (const Metric& metric : slice.metrics) {
    *proto.add_metrics() = ToProto(metric);
  }
  for (const ConfusionRow& row : slice.confusion) {
    v1::ConfusionRow& to = *proto.add_confusion();
    to.set_label(row.label);
    to.mutable_predicted()->Add(row.predicted.begin(), row.predicted.end());
  }
  if (!slice.baseline_metrics.empty()) {
    proto.set_only_model_right(slice.only_model_right);
    proto.set_only_baseline_right(slice.only_baseline_right);
    proto.set_mcnemar_mid_p(slice.mcnemar_mid_p);
    for (const Metric& metric : slice.baseline_metrics) {
      *proto.add_baseline_metrics() = ToProto(metric);
    }
    *proto.mutable_difference() = ToProto(slice.difference);
  }
  return proto;
}

}  // namespace

v1::Evaluation ToProto(const Evaluation& evaluation) {
  v1::Evaluation proto;
  proto.set_name(evaluation.name());
  proto.set_model(evaluation.model);
  proto.set_dataset_version(evaluation.dataset_version);
  proto.set_baseline_model(evaluation.baseline_model);
  proto.mutable_slice_keys()->Add(evaluation.slice_keys.begin(), evaluation.slice_keys.end());
  proto.set_state(static_cast<v1::Evaluation::State>(evaluation.state));
  proto.set_progress(evaluation.progress);
  proto.set_error(evaluation.error);
  for (const SliceResult& slice : evaluation.slices) {
    *proto.add_slices() = ToProto(slice);
  }
  *proto.mutable_create_time() = ToTimestamp(evaluation.create_time);
  if (evaluation.done()) {
    *proto.mutable_end_time() = ToTimestamp(evaluation.end_time);
  }
  return proto;
}

v1::FieldMetrics ToProto(const FieldMetrics& metrics) {
  v1::FieldMetrics proto;
  *proto.mutable_start_time() = ToTimestamp(metrics.start_time);
  proto.set_seconds(metrics.seconds);
  proto.set_model_digest(metrics.model_digest);
  proto.set_device_count(metrics.device_count);
  proto.set_windows(metrics.windows);
  proto.set_mean_confidence(metrics.mean_confidence);
  proto.set_estimated_accuracy(metrics.estimated_accuracy);
  proto.mutable_class_shares()->Add(metrics.class_shares.begin(), metrics.class_shares.end());
  return proto;
}

v1::DriftReport ToProto(const DriftReport& report) {
  v1::DriftReport proto;
  proto.set_name(report.name());
  proto.set_verdict(static_cast<v1::DriftReport::Verdict>(report.verdict));
  proto.set_model_digest(report.model_digest);
  proto.set_look(report.look);
  proto.set_device_count(report.device_count);
  proto.set_drifted_devices(report.drifted_devices);
  for (const ChannelDrift& channel : report.channels) {
    v1::ChannelDrift& to = *proto.add_channels();
    to.set_channel(channel.channel);
    to.set_mean_shift_bins(channel.mean_shift_bins);
    to.set_p_value(channel.p_value);
    to.set_drifted_devices(channel.drifted_devices);
    to.set_mean_w1_bins(channel.mean_w1_bins);
    to.set_psi(channel.psi);
    to.set_median_excess_bins(channel.median_excess_bins);
  }
  proto.set_statistic(report.statistic);
  proto.set_limit(report.limit);
  if (report.look > 0) {
    *proto.mutable_recent_start_time() = ToTimestamp(report.recent_start_time);
    *proto.mutable_recent_end_time() = ToTimestamp(report.recent_end_time);
  }
  proto.set_explanation(report.explanation);
  *proto.mutable_create_time() = ToTimestamp(report.create_time);
  return proto;
}

v1::Policy ToProto(const PolicyVersion& policy) {
  v1::Policy proto;
  proto.set_name(absl::StrCat(policy.project, "/policy"));
  proto.set_yaml(policy.yaml);
  proto.set_version(policy.version);
  *proto.mutable_update_time() = ToTimestamp(policy.update_time);
  return proto;
}

v1::Cycle ToProto(const Cycle& cycle) {
  v1::Cycle proto;
  proto.set_name(cycle.name());
  proto.set_state(static_cast<v1::Cycle::State>(cycle.state));
  for (const Transition& transition : cycle.transitions) {
    v1::Cycle::Transition& to = *proto.add_transitions();
    to.set_from(static_cast<v1::Cycle::State>(transition.from));
    to.set_to(static_cast<v1::Cycle::State>(transition.to));
    *to.mutable_create_time() = ToTimestamp(transition.create_time);
    to.set_author(transition.author);
    to.set_reason(transition.reason);
    to.mutable_evidence()->insert(transition.evidence.begin(), transition.evidence.end());
  }
  proto.set_activity(cycle.activity);
  proto.set_champion_model(cycle.champion_model);
  proto.set_drift_report(cycle.drift_report);
  proto.set_dataset_version(cycle.dataset_version);
  proto.set_build(cycle.build);
  proto.set_candidate_model(cycle.candidate_model);
  proto.set_evaluation(cycle.evaluation);
  for (const GateResult& result : cycle.gate_results) {
    v1::GateResult& to = *proto.add_gate_results();
    to.set_rule(result.rule);
    to.set_verdict(static_cast<v1::GateResult::Verdict>(result.verdict));
    to.set_explanation(result.explanation);
  }
  proto.set_release(cycle.release);
  proto.set_rollout(cycle.rollout);
  proto.set_policy_version(cycle.policy_version);
  proto.set_labelled_samples(cycle.labelled_samples);
  proto.set_wanted_samples(cycle.wanted_samples);
  *proto.mutable_create_time() = ToTimestamp(cycle.create_time);
  if (IsFinal(cycle.state)) {
    *proto.mutable_end_time() = ToTimestamp(cycle.end_time);
  }
  return proto;
}

Evaluation FromProto(const v1::Evaluation& proto) {
  Evaluation evaluation;
  evaluation.model = proto.model();
  evaluation.dataset_version = proto.dataset_version();
  evaluation.baseline_model = proto.baseline_model();
  evaluation.slice_keys.assign(proto.slice_keys().begin(), proto.slice_keys().end());
  return evaluation;
}

absl::StatusOr<Sketch> FromProto(const v1::Sketch& proto) {
  if (proto.sequence() > std::numeric_limits<std::int64_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("sketch.sequence: got ", proto.sequence(), ", want less than 2^63"));
  }
  Sketch sketch;
  sketch.device = proto.device();
  sketch.sequence = proto.sequence();
  sketch.model_digest = proto.model_digest();
  sketch.reference_id = proto.reference_id();
  FIELDLOOP_ASSIGN_OR_RETURN(sketch.start_time,
                             FromTimestamp("sketch.start_time", proto.start_time()));
  sketch.period_ms = proto.period_ms();
  sketch.windows = proto.windows();
  sketch.failures = proto.failures();
  sketch.class_counts.assign(proto.class_counts().begin(), proto.class_counts().end());
  for (const v1::ChannelSketch& channel : proto.channels()) {
    sketch.channels.push_back({.bins = {channel.bins().begin(), channel.bins().end()},
                               .mean = channel.mean(),
                               .m2 = channel.m2(),
                               .min = channel.min(),
                               .max = channel.max()});
  }
  return sketch;
}

}  // namespace fieldloop::evaluation
