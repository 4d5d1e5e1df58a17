// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/model_comparison.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/build/domain/class_scores.h"
#include "services/build/domain/names.h"
#include "services/build/domain/reasons.h"
#include "services/build/domain/training_set.h"
#include "services/common/resource/resource_name.h"
#include "services/common/signal/windows.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kAll[] = "all";

std::optional<double> Find(const std::vector<Metric>& metrics, const std::string& name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(),
                                  [&](const Metric& metric) { return metric.name == name; });
  return found == metrics.end() ? std::nullopt : std::optional<double>(found->value);
}

// A row for every metric that one of the two has: in the order of the first, then what only the
// second has.
void AppendRows(const std::string& slice, const std::vector<Metric>& first,
                const std::vector<Metric>& second, std::vector<ComparisonRow>& rows) {
  for (const Metric& metric : first) {
    rows.push_back({.name = metric.name,
                    .slice = slice,
                    .first = metric.value,
                    .second = Find(second, metric.name)});
  }
  for (const Metric& metric : second) {
    if (!Find(first, metric.name).has_value()) {
      rows.push_back(
          {.name = metric.name, .slice = slice, .first = std::nullopt, .second = metric.value});
    }
  }
}

std::vector<Metric> Sizes(const Model& model) {
  const auto value = [](std::int64_t number) { return static_cast<double>(number); };
  return {{.name = "size_bytes", .value = value(model.size_bytes)},
          {.name = "arena_bytes", .value = value(model.arena_bytes)},
          {.name = "cortex_m4_instructions", .value = value(model.cortex_m4_instructions)},
          {.name = "host_inference_nanos", .value = value(model.host_inference_nanos)}};
}

// Both models, run on the testing windows of one recording after the other.
class SideBySide {
 public:
  SideBySide(OpenedModel& first, OpenedModel& second, const std::vector<std::string>& slice_keys,
             ModelComparison& comparison)
      : first_(first), second_(second), slice_keys_(slice_keys), comparison_(comparison) {}

  // FAILED_PRECONDITION when the two do not answer the same question.
  absl::Status Check() {
    for (const std::string& name : second_.classes()) {
      const auto found = std::find(first_.classes().begin(), first_.classes().end(), name);
      if (found == first_.classes().end()) {
        break;
      }
      class_of_first_.push_back(static_cast<int>(found - first_.classes().begin()));
    }
    if (class_of_first_.size() != first_.classes().size() ||
        second_.classes().size() != first_.classes().size()) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kClassesDiffer,
                             absl::StrCat("the models tell different classes apart: ",
                                          absl::StrJoin(first_.classes(), ", "), "; and ",
                                          absl::StrJoin(second_.classes(), ", ")));
    }
    const Window& first = first_.window();
    const Window& second = second_.window();
    rate_ = static_cast<double>(second.frequency_hz) / static_cast<double>(first.frequency_hz);
    if (std::llround(static_cast<double>(second.length) / rate_) != first.length) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kWindowsDiffer,
                             absl::StrCat("the models see windows of different lengths: ",
                                          first.length, " at ", first.frequency_hz, " Hz, and ",
                                          second.length, " at ", second.frequency_hz, " Hz"));
    }
    return absl::OkStatus();
  }

  absl::Status Add(const SourceSample& sample) {
    FIELDLOOP_ASSIGN_OR_RETURN(const PreparedSample of_first,
                               PrepareSample(sample, first_.window()));
    const bool same = first_.window().axes == second_.window().axes && rate_ == 1;
    PreparedSample resampled;
    if (!same) {
      FIELDLOOP_ASSIGN_OR_RETURN(resampled, PrepareSample(sample, second_.window()));
    }
    const PreparedSample& of_second = same ? of_first : resampled;
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Slice*> slices, SlicesOf(sample));
    const Window& window = first_.window();
    for (const LabelledWindow& cut :
         CutWindows(of_first.readings, static_cast<int>(window.length),
                    static_cast<int>(window.stride), 1.0, of_first.ranges)) {
      const auto label = std::find(first_.classes().begin(), first_.classes().end(), cut.label);
      const std::int64_t start_of_second = std::llround(static_cast<double>(cut.start) * rate_);
      if (label == first_.classes().end() ||
          start_of_second + second_.window().length > of_second.readings) {
        continue;
      }
      if (windows() == ModelComparer::kMaxWindows) {
        comparison_.partial = true;
        break;
      }
      const auto wanted = static_cast<int>(label - first_.classes().begin());
      Count(wanted, Run(first_, of_first, cut.start),
            ToFirst(Run(second_, of_second, start_of_second)), slices);
    }
    return absl::OkStatus();
  }

  void WriteRows() const {
    AppendRows(kAll, all_.first.Metrics(), all_.second.Metrics(), comparison_.rows);
    for (const auto& [name, slice] : slices_) {
      AppendRows(name, slice.first.Metrics(), slice.second.Metrics(), comparison_.rows);
    }
  }

 private:
  struct Slice {
    explicit Slice(const std::vector<std::string>& classes) : first(classes), second(classes) {}
    ClassScores first;
    ClassScores second;
  };

  std::int64_t windows() const {
    return comparison_.both_right + comparison_.only_first_right + comparison_.only_second_right +
           comparison_.neither_right;
  }

  absl::StatusOr<std::vector<Slice*>> SlicesOf(const SourceSample& sample) {
    std::vector<std::string> names = {
        absl::StrCat("source=", sample.from_device ? "device" : "upload")};
    for (const std::string& key : slice_keys_) {
      if (const auto found = sample.metadata.find(key); found != sample.metadata.end()) {
        names.push_back(absl::StrCat(key, "=", found->second));
      }
    }
    std::vector<Slice*> slices = {&all_};
    for (const std::string& name : names) {
      slices.push_back(&slices_.try_emplace(name, first_.classes()).first->second);
    }
    if (slices_.size() > ModelComparer::kMaxSlices) {
      return absl::InvalidArgumentError(absl::StrCat("slice_keys: got more than ",
                                                     ModelComparer::kMaxSlices,
                                                     " slices, want keys with fewer values"));
    }
    return slices;
  }

  static int Run(OpenedModel& model, const PreparedSample& sample, std::int64_t start) {
    return model.Classify(sample.recording.values.data() +
                          static_cast<std::size_t>(start) * model.window().axes.size());
  }

  // The class of the second model as an index of the first one's.
  int ToFirst(int predicted) const {
    return predicted < 0 ? predicted : class_of_first_[static_cast<std::size_t>(predicted)];
  }

  void Count(int wanted, int first, int second, const std::vector<Slice*>& slices) {
    if (first == wanted) {
      ++(second == wanted ? comparison_.both_right : comparison_.only_first_right);
    } else {
      ++(second == wanted ? comparison_.only_second_right : comparison_.neither_right);
    }
    for (Slice* slice : slices) {
      slice->first.Add(static_cast<std::size_t>(wanted), first);
      slice->second.Add(static_cast<std::size_t>(wanted), second);
    }
  }

  OpenedModel& first_;
  OpenedModel& second_;
  const std::vector<std::string>& slice_keys_;
  ModelComparison& comparison_;
  std::vector<int> class_of_first_;  // Of each class of the second.
  double rate_ = 1;                  // Readings of the second for one of the first.
  Slice all_{first_.classes()};
  std::map<std::string, Slice> slices_;
};

absl::Status ValidateDataset(absl::string_view version, const std::string& project) {
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::vector<std::string> parts,
      ParseResourceName("dataset_version", "projects/*/datasets/*/versions/*", version));
  if (parts[0] != project) {
    return absl::InvalidArgumentError(
        absl::StrCat("dataset_version: got \"", version, "\", want one of ", ProjectName(project)));
  }
  return absl::OkStatus();
}

}  // namespace

ModelComparer::ModelComparer(const Parts& parts) : parts_(parts) {}

absl::StatusOr<ModelComparison> ModelComparer::Compare(const ComparisonRequest& request,
                                                       const std::function<bool()>& cancelled) {
  ModelComparison comparison;
  FIELDLOOP_ASSIGN_OR_RETURN(comparison.first, parts_.models.Get("first", request.first));
  FIELDLOOP_ASSIGN_OR_RETURN(comparison.second, parts_.models.Get("second", request.second));
  if (comparison.first.project != comparison.second.project) {
    return absl::InvalidArgumentError(absl::StrCat("second: got \"", request.second,
                                                   "\", want a model of ",
                                                   ProjectName(comparison.first.project)));
  }
  if (request.slice_keys.size() > kMaxSliceKeys) {
    return absl::InvalidArgumentError(absl::StrCat("slice_keys: got ", request.slice_keys.size(),
                                                   ", want at most ", kMaxSliceKeys));
  }
  AppendRows(kAll, Sizes(comparison.first), Sizes(comparison.second), comparison.rows);
  if (request.dataset_version.empty()) {
    AppendRows(kAll, comparison.first.metrics, comparison.second.metrics, comparison.rows);
    return comparison;
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateDataset(request.dataset_version, comparison.first.project));
  comparison.dataset_version = request.dataset_version;

  const absl::Time end = parts_.clock.Now() + kTimeLimit;
  FIELDLOOP_ASSIGN_OR_RETURN(std::string first_file, parts_.blobs.Get(comparison.first.digest));
  FIELDLOOP_ASSIGN_OR_RETURN(std::string second_file, parts_.blobs.Get(comparison.second.digest));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<OpenedModel> first,
                             parts_.judge.Open(std::move(first_file)));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<OpenedModel> second,
                             parts_.judge.Open(std::move(second_file)));
  SideBySide both(*first, *second, request.slice_keys, comparison);
  FIELDLOOP_RETURN_IF_ERROR(both.Check());
  const absl::Status exported = parts_.datasets.ExportTesting(
      request.dataset_version, std::stop_token(), [&](const SourceSample& sample) -> absl::Status {
        if (cancelled()) {
          return absl::CancelledError("the caller has gone");
        }
        if (parts_.clock.Now() >= end) {
          return absl::DeadlineExceededError(
              absl::StrCat("comparing on ", request.dataset_version, " takes longer than ",
                           absl::FormatDuration(kTimeLimit),
                           ": start an evaluation of one model with the other as its baseline"));
        }
        FIELDLOOP_RETURN_IF_ERROR(both.Add(sample));
        return comparison.partial ? absl::CancelledError("enough windows") : absl::OkStatus();
      });
  if (!exported.ok() && !comparison.partial) {
    return exported;
  }
  both.WriteRows();
  return comparison;
}

}  // namespace fieldloop::build
