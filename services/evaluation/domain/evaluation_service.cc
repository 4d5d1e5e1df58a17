// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/evaluation_service.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"
#include "services/evaluation/domain/cycle.h"

namespace fieldloop::evaluation {
namespace {

constexpr std::size_t kMostSliceKeys = 16;
constexpr std::size_t kMostKeyBytes = 39;

// Shape and project of a resource name, such as "projects/x/models/7".
absl::Status CheckName(absl::string_view field, absl::string_view name, absl::string_view project,
                       const std::vector<absl::string_view>& kinds) {
  std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  bool good =
      parts.size() == 2 + 2 * kinds.size() && absl::StrCat(parts[0], "/", parts[1]) == project;
  for (std::size_t i = 0; good && i < kinds.size(); ++i) {
    good = parts[2 + 2 * i] == kinds[i] && !parts[3 + 2 * i].empty();
  }
  if (good) {
    return absl::OkStatus();
  }
  std::string want(project);
  for (const absl::string_view kind : kinds) {
    absl::StrAppend(&want, "/", kind, "/*");
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": got \"", name, "\", want ", want));
}

}  // namespace

EvaluationService::EvaluationService(EvaluationStore& store, const Clock& clock,
                                     ChangeSignal& changed)
    : store_(store), clock_(clock), changed_(changed) {}

absl::StatusOr<Evaluation> EvaluationService::Create(const Evaluation& evaluation,
                                                     const std::string& request_id) {
  FIELDLOOP_RETURN_IF_ERROR(
      CheckName("evaluation.model", evaluation.model, evaluation.project, {"models"}));
  FIELDLOOP_RETURN_IF_ERROR(CheckName("evaluation.dataset_version", evaluation.dataset_version,
                                      evaluation.project, {"datasets", "versions"}));
  if (!evaluation.baseline_model.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(CheckName("evaluation.baseline_model", evaluation.baseline_model,
                                        evaluation.project, {"models"}));
  }
  if (evaluation.slice_keys.size() > kMostSliceKeys) {
    return absl::InvalidArgumentError(absl::StrCat("evaluation.slice_keys: got ",
                                                   evaluation.slice_keys.size(),
                                                   " keys, want at most ", kMostSliceKeys));
  }
  std::set<std::string> keys;
  for (const std::string& key : evaluation.slice_keys) {
    if (key.empty() || key.size() > kMostKeyBytes || key.find('=') != std::string::npos ||
        key == "source" || !keys.insert(key).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "evaluation.slice_keys: got \"", key, "\", want different metadata keys of 1 to ",
          kMostKeyBytes, " bytes without \"=\", other than \"source\""));
    }
  }
  Evaluation fresh = evaluation;
  fresh.state = EvaluationState::kQueued;
  fresh.create_time = clock_.Now();
  fresh.end_time = absl::UnixEpoch();
  fresh.traceparent = CurrentTraceparent();
  FIELDLOOP_ASSIGN_OR_RETURN(Evaluation stored, store_.Insert(fresh, request_id));
  changed_.Notify();
  return stored;
}

absl::StatusOr<Evaluation> EvaluationService::Get(const std::string& project, std::int64_t number) {
  return store_.Get(project, number);
}

absl::StatusOr<Page<Evaluation>> EvaluationService::List(const std::string& project, int page_size,
                                                         const std::string& page_token) {
  return store_.List(project, page_size, page_token);
}

EvaluationWorker::EvaluationWorker(EvaluationStore& store, WindowJudge& judge, const Clock& clock,
                                   ChangeSignal& changed, Telemetry& telemetry,
                                   std::function<bool()> still_ours)
    : store_(store),
      judge_(judge),
      clock_(clock),
      changed_(changed),
      telemetry_(telemetry),
      still_ours_(std::move(still_ours)) {}

absl::StatusOr<bool> EvaluationWorker::RunOne() {
  FIELDLOOP_ASSIGN_OR_RETURN(std::optional<Evaluation> next, store_.NextUnfinished());
  if (!next.has_value()) {
    return false;
  }
  Evaluation evaluation = *std::move(next);
  WorkSpan work("evaluation", SpanKind::kConsumer, TraceOf(evaluation.traceparent),
                {{"evaluation", evaluation.name()}});
  const absl::Time started = clock_.Now();
  evaluation.state = EvaluationState::kRunning;
  evaluation.progress = 0;
  FIELDLOOP_RETURN_IF_ERROR(store_.Save(evaluation));
  changed_.Notify();

  absl::StatusOr<WindowJudge::Judgement> judgement =
      judge_.Judge(evaluation, [&](double progress) -> absl::Status {
        if (!still_ours_()) {
          return absl::AbortedError("another process has taken the evaluation over");
        }
        // A write for each percent at most.
        if (progress >= evaluation.progress + 0.01) {
          evaluation.progress = progress;
          evaluation.error.clear();
          FIELDLOOP_RETURN_IF_ERROR(store_.Save(evaluation));
          changed_.Notify();
        }
        return absl::OkStatus();
      });
  work.span().Finish(judgement.status());
  if (judgement.status().code() == absl::StatusCode::kAborted) {
    return judgement.status();
  }
  if (!judgement.ok() && IsTransient(judgement.status())) {
    evaluation.error = absl::StrCat(judgement.status().message(), "; tries again");
    FIELDLOOP_RETURN_IF_ERROR(store_.Save(evaluation));
    changed_.Notify();
    return judgement.status();
  }
  evaluation.error.clear();
  if (judgement.ok()) {
    evaluation.slices =
        Summarise(judgement->samples, judgement->classes, !evaluation.baseline_model.empty());
    if (evaluation.slices.front().windows > 0) {
      evaluation.state = EvaluationState::kSucceeded;
      evaluation.progress = 1;
    } else {
      evaluation.slices.clear();
      evaluation.error = absl::StrCat("the testing side of ", evaluation.dataset_version,
                                      " has no window with one label throughout");
    }
  } else {
    evaluation.error = std::string(judgement.status().message());
  }
  if (evaluation.state != EvaluationState::kSucceeded) {
    evaluation.state = EvaluationState::kFailed;
  }
  evaluation.end_time = clock_.Now();
  FIELDLOOP_RETURN_IF_ERROR(store_.Save(evaluation));
  changed_.Notify();
  telemetry_.EvaluationDone(evaluation, evaluation.end_time - started);
  return true;
}

}  // namespace fieldloop::evaluation
