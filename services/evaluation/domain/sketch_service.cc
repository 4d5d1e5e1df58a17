// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/sketch_service.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::evaluation {
namespace {

// Sorts devices evenly, and the same on every platform (FNV-1a).
std::uint64_t HashOf(const std::string& text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  return hash;
}

// Key of an entry of field metrics: span, then model.
using SpanKey = std::pair<std::int64_t, std::string>;

absl::StatusOr<std::optional<SpanKey>> ParseSpanKey(const std::string& token) {
  if (token.empty()) {
    return std::optional<SpanKey>();
  }
  const std::vector<std::string> parts = absl::StrSplit(token, '/');
  SpanKey key;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &key.first)) {
    return absl::InvalidArgumentError("page_token: got a token of another call, want one of this");
  }
  key.second = parts[1];
  return std::optional<SpanKey>(std::move(key));
}

}  // namespace

SketchService::SketchService(SketchStore& store, ModelRegistry& models, const Clock& clock,
                             ChangeSignal& changed, Telemetry& telemetry)
    : store_(store), models_(models), clock_(clock), changed_(changed), telemetry_(telemetry) {}

absl::Status SketchService::Record(const std::string& project, const Sketch& sketch) {
  absl::StatusOr<Model> model = models_.FindModel(project, sketch.model_digest);
  if (model.status().code() == absl::StatusCode::kNotFound) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "UNKNOWN_MODEL",
                           absl::StrCat("model_digest: got ", sketch.model_digest,
                                        ", want that of a model of ", project));
  }
  FIELDLOOP_RETURN_IF_ERROR(model.status());
  FIELDLOOP_RETURN_IF_ERROR(ValidateSketch(sketch, *model));
  FIELDLOOP_ASSIGN_OR_RETURN(const bool is_new, store_.Record(sketch, clock_.Now()));
  telemetry_.SketchRecorded(is_new);
  if (is_new) {
    changed_.Notify();
  }
  return absl::OkStatus();
}

absl::StatusOr<Page<FieldMetrics>> SketchService::ListFieldMetrics(const std::string& project,
                                                                   absl::Time start,
                                                                   double span_seconds,
                                                                   int page_size,
                                                                   const std::string& page_token) {
  if (!(span_seconds >= 1 && span_seconds <= 31 * 86400.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("span_seconds: got ", span_seconds, ", want 1 to 2678400"));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<SpanKey> after, ParseSpanKey(page_token));
  const auto span_micros = static_cast<std::int64_t>(std::llround(span_seconds * 1e6));
  const auto span_of = [span_micros](absl::Time time) {
    const std::int64_t micros = absl::ToUnixMicros(time);
    return micros >= 0 ? micros / span_micros : -((-micros + span_micros - 1) / span_micros);
  };
  // Spans lie on multiples of their length; "at or after" is about a span's own start.
  std::int64_t first_span = span_of(start);
  if (absl::FromUnixMicros(first_span * span_micros) < start) {
    ++first_span;
  }
  absl::Time from = absl::FromUnixMicros(first_span * span_micros);
  if (after.has_value()) {
    from = std::max(from, absl::FromUnixMicros(after->first * span_micros));
  }

  Page<FieldMetrics> page;
  std::int64_t current = 0;
  std::map<std::string, FieldMetricsSum> sums;  // Of the current span, by model.
  absl::Status failure;
  std::string last_key;
  bool full = false;
  const auto flush = [&] {
    for (const auto& [digest, sum] : sums) {
      if (after.has_value() && SpanKey(current, digest) <= *after) {
        continue;
      }
      if (page.rows.size() == static_cast<std::size_t>(page_size)) {
        page.next_page_token = last_key;
        full = true;
        return;
      }
      const absl::StatusOr<Model> model = models_.FindModel(project, digest);
      if (!model.ok() && model.status().code() != absl::StatusCode::kNotFound) {
        failure = model.status();
        return;
      }
      FieldMetrics metrics = sum.Finish(model.ok() ? &*model : nullptr);
      metrics.start_time = absl::FromUnixMicros(current * span_micros);
      metrics.seconds = span_seconds;
      metrics.model_digest = digest;
      page.rows.push_back(std::move(metrics));
      last_key = absl::StrCat(current, "/", digest);
    }
    sums.clear();
  };
  FIELDLOOP_RETURN_IF_ERROR(store_.ForEach(project, from, [&](const Sketch& sketch) {
    const std::int64_t span = span_of(sketch.start_time);
    if (span != current) {
      flush();
      current = span;
    }
    if (!full && failure.ok()) {
      sums[sketch.model_digest].Add(sketch);
    }
    return !full && failure.ok();
  }));
  if (!full && failure.ok()) {
    flush();
  }
  FIELDLOOP_RETURN_IF_ERROR(failure);
  return page;
}

absl::StatusOr<Page<DriftReport>> SketchService::ListDriftReports(const std::string& project,
                                                                  int page_size,
                                                                  const std::string& page_token) {
  return store_.ListReports(project, page_size, page_token);
}

DriftWorker::DriftWorker(SketchStore& sketches, PolicyStore& policies, ModelRegistry& models,
                         PolicyParser parse_policy, const Clock& clock, ChangeSignal& changed,
                         Telemetry& telemetry)
    : sketches_(sketches),
      policies_(policies),
      models_(models),
      parse_policy_(std::move(parse_policy)),
      clock_(clock),
      changed_(changed),
      telemetry_(telemetry) {}

absl::StatusOr<DriftPolicy> DriftWorker::PolicyOf(const std::string& project) {
  const absl::StatusOr<PolicyVersion> version = policies_.Get(project, 0);
  if (version.status().code() == absl::StatusCode::kNotFound) {
    return DriftPolicy();
  }
  FIELDLOOP_RETURN_IF_ERROR(version.status());
  FIELDLOOP_ASSIGN_OR_RETURN(const Policy policy, parse_policy_(version->yaml));
  return policy.trigger.drift.value_or(DriftPolicy());
}

absl::StatusOr<bool> DriftWorker::LookAt(const FreshModel& fresh) {
  FIELDLOOP_ASSIGN_OR_RETURN(const DriftPolicy policy, PolicyOf(fresh.project));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<DeviceProgress> progress,
                             sketches_.ListProgress(fresh.project, fresh.model_digest));
  const LookKind kind = LookDue(progress, policy);
  if (kind == LookKind::kNone) {
    return false;
  }
  DriftReport report = LearningReport(progress, policy);
  if (kind == LookKind::kTest) {
    FIELDLOOP_ASSIGN_OR_RETURN(const Model model,
                               models_.FindModel(fresh.project, fresh.model_digest));
    std::vector<DeviceProgress> ready;
    for (const DeviceProgress& device : progress) {
      if (Ready(device, policy)) {
        ready.push_back(device);
      }
    }
    if (ready.size() > kMostDevices) {
      std::sort(ready.begin(), ready.end(),
                [](const auto& a, const auto& b) { return HashOf(a.device) < HashOf(b.device); });
      ready.resize(kMostDevices);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(
        const std::vector<DevicePeriods> periods,
        sketches_.LoadPeriods(fresh.project, fresh.model_digest, ready, policy.baseline_periods,
                              policy.recent_periods));
    FIELDLOOP_ASSIGN_OR_RETURN(const int last,
                               sketches_.LastLook(fresh.project, fresh.model_digest));
    if (!periods.empty()) {
      std::vector<std::string> channels;
      for (const Model::Channel& channel : model.channels) {
        channels.push_back(channel.name);
      }
      report = AnalyseDrift(periods, channels, policy, last + 1);
    }
  }
  report.project = fresh.project;
  report.model_digest = fresh.model_digest;
  report.create_time = clock_.Now();
  for (DeviceProgress& device : progress) {
    device.silent = device.periods == device.looked_periods;
    device.looked_periods = device.periods;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const DriftReport stored, sketches_.SaveLook(report, progress));
  telemetry_.LookMade(stored);
  changed_.Notify();
  return true;
}

absl::StatusOr<int> DriftWorker::RunDue() {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<FreshModel> models, sketches_.ListFreshModels());
  int made = 0;
  for (const FreshModel& fresh : models) {
    const absl::StatusOr<bool> looked = LookAt(fresh);
    if (!looked.ok()) {
      // One project's trouble must not keep the others from being looked at.
      telemetry_.BackgroundError(absl::StrCat("drift of ", fresh.project), looked.status());
      continue;
    }
    made += *looked ? 1 : 0;
  }
  return made;
}

}  // namespace fieldloop::evaluation
