// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/labelling_service.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kMostSuggestions = 1000;
constexpr int kMostTasks = 100;
constexpr int kUsualTasks = 10;
constexpr double kUsualRandomShare = 0.5;
constexpr absl::Duration kUsualLease = absl::Minutes(15);
constexpr absl::Duration kShortestLease = absl::Minutes(1);
constexpr absl::Duration kLongestLease = absl::Hours(24);

absl::Status CheckShare(absl::string_view field, double share) {
  if (!(share >= 0 && share <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got ", share, ", want 0 to 1"));
  }
  return absl::OkStatus();
}

}  // namespace

LabellingService::LabellingService(LabellingStore& store, const Clock& clock,
                                   std::function<std::uint64_t()> draw)
    : store_(store), clock_(clock), draw_(std::move(draw)) {}

absl::StatusOr<int> LabellingService::CreateSuggestions(std::vector<Suggestion> suggestions) {
  if (suggestions.empty() || suggestions.size() > kMostSuggestions) {
    return absl::InvalidArgumentError(absl::StrCat("suggestions: got ", suggestions.size(),
                                                   " suggestions, want 1 to ", kMostSuggestions));
  }
  for (std::size_t i = 0; i < suggestions.size(); ++i) {
    FIELDLOOP_RETURN_IF_ERROR(
        ValidateSuggestion(absl::StrCat("suggestions[", i, "]"), suggestions[i]));
    suggestions[i].create_time = clock_.Now();
  }
  return store_.PutSuggestions(suggestions);
}

absl::StatusOr<LeasedTasks> LabellingService::Lease(const LabellingWish& wish) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateFilter("filter", wish.filter));
  if (wish.count < 0 || wish.count > kMostTasks) {
    return absl::InvalidArgumentError(
        absl::StrCat("count: got ", wish.count, ", want 1 to ", kMostTasks));
  }
  const absl::Duration lease = wish.lease == absl::ZeroDuration() ? kUsualLease : wish.lease;
  if (lease < kShortestLease || lease > kLongestLease) {
    return absl::InvalidArgumentError(
        absl::StrCat("lease: got ", absl::FormatDuration(lease), ", want 1 minute to 1 day"));
  }
  const double random_share = wish.random_share.value_or(
      wish.second_opinion_share > kUsualRandomShare ? 1 - wish.second_opinion_share
                                                    : kUsualRandomShare);
  FIELDLOOP_RETURN_IF_ERROR(CheckShare("random_share", random_share));
  FIELDLOOP_RETURN_IF_ERROR(CheckShare("second_opinion_share", wish.second_opinion_share));
  if (random_share + wish.second_opinion_share > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("second_opinion_share: got ", wish.second_opinion_share,
                     " beside a random_share of ", random_share, ", want at most 1 together"));
  }
  const absl::Time now = clock_.Now();
  return store_.Lease(
      {.project = wish.project,
       .filter = wish.filter,
       .labeller = wish.labeller,
       .count = static_cast<std::size_t>(wish.count == 0 ? kUsualTasks : wish.count),
       .random_share = random_share,
       .second_opinion_share = wish.second_opinion_share,
       .now = now,
       .expire_time = now + lease,
       .draw = draw_()});
}

absl::StatusOr<int> LabellingService::Release(absl::string_view project, absl::string_view labeller,
                                              const std::vector<std::string>& sample_ids) {
  return store_.Release(project, labeller, sample_ids);
}

absl::StatusOr<Label> LabellingService::Undo(absl::string_view project, absl::string_view sample_id,
                                             std::int64_t number, absl::string_view author) {
  return store_.Undo(project, sample_id, number, author, clock_.Now());
}

absl::StatusOr<Agreement> LabellingService::GetAgreement(absl::string_view project,
                                                         const SampleFilter& filter) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateFilter("filter", filter));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Rating> ratings, store_.Ratings(project, filter));
  return AgreementOf(ratings);
}

}  // namespace fieldloop::ingestion
