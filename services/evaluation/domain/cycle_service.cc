// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/cycle_service.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::evaluation {
namespace {

constexpr std::size_t kMostYamlBytes = 64 << 10;
constexpr std::size_t kMostTextBytes = 200;

absl::Status CheckText(absl::string_view field, const std::string& text, bool required) {
  if ((required && text.empty()) || text.size() > kMostTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got ", text.size(), " bytes, want ",
                                                   required ? 1 : 0, " to ", kMostTextBytes));
  }
  return absl::OkStatus();
}

}  // namespace

CycleService::CycleService(CycleStore& cycles, PolicyStore& policies, ModelRegistry& models,
                           PolicyParser parse_policy, const Clock& clock, ChangeSignal& changed,
                           Telemetry& telemetry)
    : cycles_(cycles),
      policies_(policies),
      models_(models),
      parse_policy_(std::move(parse_policy)),
      clock_(clock),
      changed_(changed),
      telemetry_(telemetry) {}

absl::StatusOr<Cycle> CycleService::Changed(absl::StatusOr<Cycle> cycle) {
  if (cycle.ok()) {
    telemetry_.CycleMoved(*cycle);
    changed_.Notify();
  }
  return cycle;
}

absl::StatusOr<PolicyVersion> CycleService::SetPolicy(const std::string& project,
                                                      const std::string& yaml) {
  if (yaml.empty() || yaml.size() > kMostYamlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("yaml: got ", yaml.size(), " bytes, want 1 to ", kMostYamlBytes));
  }
  FIELDLOOP_RETURN_IF_ERROR(parse_policy_(yaml).status());
  FIELDLOOP_ASSIGN_OR_RETURN(PolicyVersion version, policies_.Put(project, yaml, clock_.Now()));
  // At once, so that whoever set the policy sees the cycle that follows it.
  FIELDLOOP_RETURN_IF_ERROR(cycles_.EnsureActive(project, version.version, clock_.Now()).status());
  changed_.Notify();
  return version;
}

absl::StatusOr<PolicyVersion> CycleService::GetPolicy(const std::string& project) {
  return policies_.Get(project, 0);
}

absl::StatusOr<Cycle> CycleService::Create(const std::string& project, const std::string& author,
                                           const std::string& reason,
                                           const std::string& request_id) {
  FIELDLOOP_RETURN_IF_ERROR(CheckText("reason", reason, true));
  if (!request_id.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(std::optional<Cycle> before,
                               cycles_.FindByRequest(project, request_id));
    if (before.has_value()) {
      return *std::move(before);
    }
  }
  const absl::StatusOr<PolicyVersion> policy = policies_.Get(project, 0);
  if (policy.status().code() == absl::StatusCode::kNotFound) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "POLICY_MISSING",
                           absl::StrCat(project, " has no policy; set one first"));
  }
  FIELDLOOP_RETURN_IF_ERROR(policy.status());
  const absl::StatusOr<Model> champion =
      models_.GetModel(absl::StrCat(project, "/models/", kChampion));
  if (champion.status().code() == absl::StatusCode::kNotFound) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "CHAMPION_MISSING",
                           absl::StrCat("no model of ", project, " has the alias ", kChampion));
  }
  FIELDLOOP_RETURN_IF_ERROR(champion.status());
  FIELDLOOP_ASSIGN_OR_RETURN(const Cycle active,
                             cycles_.EnsureActive(project, policy->version, clock_.Now()));
  return Changed(cycles_.Update(project, active.number, [&](Cycle& cycle) -> absl::Status {
    if (cycle.state != CycleState::kObserving) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, "CYCLE_ACTIVE",
          absl::StrCat(cycle.name(), " is ", CycleStateName(cycle.state), "; one runs at a time"));
    }
    cycle.policy_version = policy->version;
    cycle.request_id = request_id;
    Move(cycle, CycleState::kTriggered, author, reason, {}, clock_.Now());
    return absl::OkStatus();
  }));
}

absl::StatusOr<Cycle> CycleService::Get(const std::string& project, std::int64_t number) {
  return cycles_.Get(project, number);
}

absl::StatusOr<Page<Cycle>> CycleService::List(const std::string& project, int page_size,
                                               const std::string& page_token) {
  return cycles_.List(project, page_size, page_token);
}

absl::StatusOr<Cycle> CycleService::Approve(const std::string& project, std::int64_t number,
                                            const std::string& author, const std::string& comment) {
  FIELDLOOP_RETURN_IF_ERROR(CheckText("comment", comment, false));
  return Changed(cycles_.Update(project, number, [&](Cycle& cycle) -> absl::Status {
    if (cycle.state != CycleState::kAwaitingApproval) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, "CYCLE_NOT_WAITING",
          absl::StrCat(cycle.name(), " is ", CycleStateName(cycle.state), ", want ",
                       CycleStateName(CycleState::kAwaitingApproval)));
    }
    Move(cycle, CycleState::kRollingOut, author,
         comment.empty() ? std::string("Approved") : absl::StrCat("Approved: ", comment),
         {{"candidate_model", cycle.candidate_model}}, clock_.Now());
    return absl::OkStatus();
  }));
}

absl::StatusOr<Cycle> CycleService::Cancel(const std::string& project, std::int64_t number,
                                           const std::string& author, const std::string& reason) {
  FIELDLOOP_RETURN_IF_ERROR(CheckText("reason", reason, true));
  return Changed(cycles_.Update(project, number, [&](Cycle& cycle) -> absl::Status {
    if (IsFinal(cycle.state)) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, "CYCLE_DONE",
          absl::StrCat(cycle.name(), " is ", CycleStateName(cycle.state), " already"));
    }
    Move(cycle, CycleState::kCancelled, author, reason, {}, clock_.Now());
    return absl::OkStatus();
  }));
}

}  // namespace fieldloop::evaluation
