// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/sql_labelling_store.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/sql/select.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/storage/label_rows.h"
#include "services/ingestion/storage/sample_query.h"

namespace fieldloop::ingestion {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

namespace {

struct LeasedRow {
  std::string sample_id;
  LabellingReason reason = LabellingReason::kUnspecified;
  double probability = 0;
};

// The queue of one request, inside its transaction.
class Queue {
 public:
  Queue(soci::session& session, const LeaseRequest& request)
      : session_(session), request_(request), now_micros_(absl::ToUnixMicros(request.now)) {
    filter_ = request.filter;
    filter_.label_state = LabelState::kUnspecified;
  }

  // Samples of the filter that wait for a label.
  std::int64_t CountWaiting() const {
    SampleQuery unlabelled = Query();
    unlabelled.And("s.labelled = 0");
    SampleQuery disagreeing = Query();
    disagreeing.And("s.disagreeing = 1 AND s.labelled = 1");
    return Count(unlabelled) + Count(disagreeing);
  }

  // What the labeller holds already, in the order in which it was given.
  std::vector<LeasedRow> Held() const {
    SampleQuery query = Query();
    const std::string holder = query.Text(request_.labeller);
    const std::string now = query.Number(now_micros_);
    query.And(absl::StrCat("h.holder = ", holder, " AND h.expire_micros > ", now));
    const std::string limit = query.Number(static_cast<std::int64_t>(request_.count));
    std::vector<LeasedRow> held;
    LeasedRow row;
    int reason = 0;
    soci::statement select(session_);
    select.exchange(soci::into(row.sample_id));
    select.exchange(soci::into(reason));
    select.exchange(soci::into(row.probability));
    query.BindTo(select);
    Select(select,
           absl::StrCat(
               "SELECT h.sample_id, h.reason, h.probability FROM labelling_leases h JOIN samples s"
               " ON s.project = h.project AND s.sample_id = h.sample_id WHERE ",
               query.condition(), " ORDER BY h.position, h.sample_id LIMIT ", limit),
           [&] {
             row.reason = static_cast<LabellingReason>(reason);
             held.push_back(row);
           });
    return held;
  }

  // Chooses up to `count` samples that nobody holds, woven together.
  std::vector<LeasedRow> Choose(std::size_t count) const {
    if (count == 0) {
      return {};
    }
    const QueueMix mix =
        MixOf(count, request_.random_share, request_.second_opinion_share, request_.draw);
    const std::string most = absl::StrCat("LIMIT ", count);
    const auto lane = [&](LabellingReason reason, absl::string_view condition,
                          absl::string_view order) {
      SampleQuery query = Query();
      query.And(condition);
      AndFree(query);
      return QueueLane{.reason = reason,
                       .sample_ids = SelectIds(query, absl::StrCat("ORDER BY ", order, " ", most))};
    };
    const std::vector<QueueLane> lanes = {
        lane(LabellingReason::kDisagreeing, "s.disagreeing = 1", "s.sample_id"),
        lane(LabellingReason::kUncertain, "s.labelled = 0 AND s.uncertainty > 0",
             "s.uncertainty DESC, s.sample_id DESC"),
        lane(LabellingReason::kNovel, "s.labelled = 0 AND s.novelty > 0",
             "s.novelty DESC, s.sample_id DESC")};
    const QueueLane second{.reason = LabellingReason::kSecondOpinion,
                           .sample_ids = DrawSecondOpinions(mix.second_opinion)};
    SampleQuery waiting = Query();
    waiting.And("s.labelled = 0");
    const std::int64_t unlabelled = Count(waiting);
    SampleQuery leased = waiting;
    AndLeased(leased, "IN");
    AndFree(waiting);
    const std::int64_t free = unlabelled - Count(leased);  // Quicker than to count these.

    // The random ones are drawn first, from all that wait, so that their probability is true. When
    // the other parts have too few, more are drawn.
    for (std::size_t draws = mix.random;;) {
      const std::vector<std::string> drawn = Draw(waiting, free, draws);
      std::vector<std::string> taken = drawn;
      std::vector<QueuePick> random;
      random.reserve(drawn.size());
      for (const std::string& id : drawn) {
        random.push_back({.reason = LabellingReason::kRandom, .sample_id = id});
      }
      std::vector<QueuePick> valuable = TakeInTurn(lanes, mix.by_value, request_.draw, taken);
      const std::vector<QueuePick> opinions = TakeInTurn({second}, mix.second_opinion, 0, taken);
      const std::size_t missing = count - random.size() - valuable.size() - opinions.size();
      if (missing > 0 && static_cast<std::int64_t>(drawn.size()) < free) {
        draws = drawn.size() + missing;
        continue;
      }
      for (QueuePick& pick : TakeInTurn(lanes, missing, request_.draw, taken)) {
        valuable.push_back(std::move(pick));
      }
      const double probability =
          free == 0 ? 0 : static_cast<double>(drawn.size()) / static_cast<double>(free);
      std::vector<LeasedRow> chosen;
      for (QueuePick& pick : Weave({valuable, opinions, random})) {
        chosen.push_back(
            {.sample_id = std::move(pick.sample_id),
             .reason = pick.reason,
             .probability = pick.reason == LabellingReason::kRandom ? probability : 0});
      }
      return chosen;
    }
  }

  void PutLease(const LeasedRow& row, int position) const {
    const int reason = static_cast<int>(row.reason);
    const long long expire = absl::ToUnixMicros(request_.expire_time);
    // The transaction alone keeps two labellers apart; a lease that runs is never overwritten.
    session_ << "INSERT INTO labelling_leases"
                " (project, sample_id, holder, reason, probability, position, expire_micros)"
                " VALUES (:project, :sample, :holder, :reason, :probability, :position, :expire)"
                " ON CONFLICT (project, sample_id) DO UPDATE SET holder = excluded.holder,"
                " reason = excluded.reason, probability = excluded.probability,"
                " position = excluded.position, expire_micros = excluded.expire_micros"
                " WHERE labelling_leases.holder = excluded.holder"
                " OR labelling_leases.expire_micros <= :now",
        soci::use(request_.project, "project"), soci::use(row.sample_id, "sample"),
        soci::use(request_.labeller, "holder"), soci::use(reason, "reason"),
        soci::use(row.probability, "probability"), soci::use(position, "position"),
        soci::use(expire, "expire"), soci::use(now_micros_, "now");
  }

  LabellingTask TaskOf(const LeasedRow& row) const {
    SampleQuery query(request_.project);
    const std::string id = query.Text(row.sample_id);
    query.And(absl::StrCat("s.sample_id = ", id));
    SampleWithLabelNumber found = std::move(SelectSamples(session_, query, "").front());
    ReadDetails(session_, found.label_number, found.sample);
    if (row.reason == LabellingReason::kSecondOpinion) {
      found.sample.labels.clear();
    }
    return {.sample = std::move(found.sample),
            .reason = row.reason,
            .suggestion = NewestSuggestion(session_, request_.project, row.sample_id),
            .lease_expire_time = request_.expire_time,
            .probability = row.probability};
  }

 private:
  SampleQuery Query() const {
    SampleQuery query(request_.project);
    query.Where(filter_);
    return query;
  }

  // Adds that nobody holds the sample.
  void AndFree(SampleQuery& query) const { AndLeased(query, "NOT IN"); }

  // Adds that the sample is, or is not, in the list of leases, which is short.
  void AndLeased(SampleQuery& query, absl::string_view in) const {
    const std::string project = query.Text(request_.project);
    const std::string now = query.Number(now_micros_);
    query.And(absl::StrCat("s.sample_id ", in,
                           " (SELECT h.sample_id FROM labelling_leases h WHERE h.project = ",
                           project, " AND h.expire_micros > ", now, ")"));
  }

  // `count` of the `all` samples of `query`, a run in the order of their ids that begins anywhere
  // and goes round: each has the same probability, and an id, part of a digest, says nothing of
  // what is in a sample.
  std::vector<std::string> Draw(SampleQuery& query, std::int64_t all, std::size_t count) const {
    if (all == 0 || count == 0) {
      return {};
    }
    const auto first = static_cast<std::int64_t>(request_.draw % static_cast<std::uint64_t>(all));
    const std::int64_t wanted = std::min(static_cast<std::int64_t>(count), all);
    std::vector<std::string> ids =
        SelectIds(query, absl::StrCat("ORDER BY s.sample_id LIMIT ", wanted, " OFFSET ", first));
    const std::int64_t rest = wanted - static_cast<std::int64_t>(ids.size());
    if (rest > 0) {
      for (std::string& id : SelectIds(query, absl::StrCat("ORDER BY s.sample_id LIMIT ", rest))) {
        ids.push_back(std::move(id));
      }
    }
    return ids;
  }

  // Samples that one person has labelled, another one than the labeller.
  std::vector<std::string> DrawSecondOpinions(std::size_t count) const {
    if (count == 0) {
      return {};
    }
    SampleQuery query = Query();
    const std::string labeller = query.Text(request_.labeller);
    query.And(
        absl::StrCat("s.people = 1 AND s.labelled = 1 AND NOT EXISTS (SELECT 1 FROM labels l"
                     " WHERE l.project = s.project AND l.sample_id = s.sample_id"
                     " AND l.author = ",
                     labeller, ")"));
    AndFree(query);
    return Draw(query, Count(query), count);
  }

  std::int64_t Count(SampleQuery& query) const {
    long long count = 0;
    soci::statement select(session_);
    select.exchange(soci::into(count));
    query.BindTo(select);
    Select(select, absl::StrCat("SELECT COUNT(*) FROM samples s WHERE ", query.condition()), [] {});
    return count;
  }

  std::vector<std::string> SelectIds(SampleQuery& query, absl::string_view tail) const {
    std::vector<std::string> ids;
    std::string id;
    soci::statement select(session_);
    select.exchange(soci::into(id));
    query.BindTo(select);
    Select(select,
           absl::StrCat("SELECT s.sample_id FROM samples s WHERE ", query.condition(), " ", tail),
           [&] { ids.push_back(id); });
    return ids;
  }

  soci::session& session_;
  const LeaseRequest& request_;
  SampleFilter filter_;
  long long now_micros_;
};

// The ratings of one sample.
void AddRatings(const std::string& sample_id, std::int64_t readings,
                const std::vector<Label>& history, std::vector<Rating>& ratings) {
  for (const auto& [labeller, label] : Opinions(history)) {
    const std::vector<LabelRange>& ranges = label.ranges;
    if (ranges.size() == 1 && ranges[0].start == 0 && ranges[0].end == readings - 1) {
      ratings.push_back({.sample_id = sample_id, .labeller = labeller, .label = ranges[0].label});
    }
  }
}

}  // namespace

absl::StatusOr<int> SqlLabellingStore::PutSuggestions(const std::vector<Suggestion>& suggestions) {
  int stored = 0;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    stored = 0;
    for (const Suggestion& suggestion : suggestions) {
      int known = 0;
      session << "SELECT COUNT(*) FROM samples WHERE project = :project AND sample_id = :sample",
          soci::use(suggestion.project, "project"), soci::use(suggestion.sample_id, "sample"),
          soci::into(known);
      if (known == 0) {
        continue;
      }
      const long long create_micros = absl::ToUnixMicros(suggestion.create_time);
      session << "INSERT INTO suggestions"
                 " (project, sample_id, model_digest, label, confidence, novelty, create_micros)"
                 " VALUES (:project, :sample, :model, :label, :confidence, :novelty, :created)"
                 " ON CONFLICT (project, sample_id, model_digest) DO UPDATE SET"
                 " label = excluded.label, confidence = excluded.confidence,"
                 " novelty = excluded.novelty, create_micros = excluded.create_micros",
          soci::use(suggestion.project, "project"), soci::use(suggestion.sample_id, "sample"),
          soci::use(suggestion.model_digest, "model"), soci::use(suggestion.label, "label"),
          soci::use(suggestion.confidence, "confidence"), soci::use(suggestion.novelty, "novelty"),
          soci::use(create_micros, "created");
      RefreshQueue(session, suggestion.project, suggestion.sample_id);
      ++stored;
    }
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<Backlog> SqlLabellingStore::CountBacklog() {
  Backlog backlog;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    long long waiting = 0;
    long long oldest_micros = 0;
    session << "SELECT COUNT(*), COALESCE(MIN(create_micros), 0) FROM samples WHERE labelled = 0",
        soci::into(waiting), soci::into(oldest_micros);
    backlog.waiting = waiting;
    backlog.oldest = waiting > 0 ? absl::FromUnixMicros(oldest_micros) : absl::InfiniteFuture();
    return absl::OkStatus();
  }));
  return backlog;
}

absl::StatusOr<LeasedTasks> SqlLabellingStore::Lease(const LeaseRequest& request) {
  LeasedTasks leased;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    leased = {};
    const Queue queue(session, request);
    leased.waiting = queue.CountWaiting();
    std::vector<LeasedRow> rows = queue.Held();
    for (LeasedRow& row : queue.Choose(request.count - rows.size())) {
      rows.push_back(std::move(row));
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      queue.PutLease(rows[i], static_cast<int>(i));
      leased.tasks.push_back(queue.TaskOf(rows[i]));
    }
    return absl::OkStatus();
  }));
  return leased;
}

absl::StatusOr<int> SqlLabellingStore::Release(absl::string_view project,
                                               absl::string_view labeller,
                                               const std::vector<std::string>& sample_ids) {
  const std::string in_project(project);
  const std::string holder(labeller);
  int released = 0;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    released = 0;
    int held = 0;
    const auto count = [&] {
      session << "SELECT COUNT(*) FROM labelling_leases"
                 " WHERE project = :project AND holder = :holder",
          soci::use(in_project, "project"), soci::use(holder, "holder"), soci::into(held);
      return held;
    };
    const int before = count();
    if (sample_ids.empty()) {
      session << "DELETE FROM labelling_leases WHERE project = :project AND holder = :holder",
          soci::use(in_project, "project"), soci::use(holder, "holder");
    }
    for (const std::string& id : sample_ids) {
      session << "DELETE FROM labelling_leases WHERE project = :project AND holder = :holder"
                 " AND sample_id = :sample",
          soci::use(in_project, "project"), soci::use(holder, "holder"), soci::use(id, "sample");
    }
    released = before - count();
    return absl::OkStatus();
  }));
  return released;
}

absl::StatusOr<Label> SqlLabellingStore::Undo(absl::string_view project,
                                              absl::string_view sample_id, std::int64_t number,
                                              absl::string_view author, absl::Time now) {
  Label undo;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    const std::vector<Label> labels =
        SelectLabels(session, std::string(project), std::string(sample_id));
    const std::string name = absl::StrCat("projects/", project, "/samples/", sample_id, "/labels/");
    if (number < 1 || number > static_cast<std::int64_t>(labels.size())) {
      return absl::NotFoundError(absl::StrCat("no label ", name, number));
    }
    if (number != labels.back().number) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kLabelSuperseded,
                             absl::StrCat(name, number, " does not stand any more: ", name,
                                          labels.back().number, " does"));
    }
    Label label{.project = std::string(project),
                .sample_id = std::string(sample_id),
                .number = 0,
                .ranges = {},
                .author = std::string(author),
                .source = kPersonSource,
                .create_time = now};
    label.undoes = number;
    if (labels.size() > 1) {
      label.ranges = labels[labels.size() - 2].ranges;
    }
    FIELDLOOP_ASSIGN_OR_RETURN(undo, AddLabel(session, std::move(label)));
    return absl::OkStatus();
  }));
  return undo;
}

absl::StatusOr<std::vector<Rating>> SqlLabellingStore::Ratings(absl::string_view project,
                                                               const SampleFilter& filter) {
  std::vector<Rating> ratings;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    ratings.clear();
    SampleQuery query(project);
    query.Where(filter);
    query.And("s.people > 1");
    for (const SampleWithLabelNumber& entry :
         SelectSamples(session, query, "ORDER BY s.create_micros DESC, s.sample_id")) {
      AddRatings(entry.sample.id, entry.sample.readings,
                 SelectLabels(session, entry.sample.project, entry.sample.id), ratings);
    }
    return absl::OkStatus();
  }));
  return ratings;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion
