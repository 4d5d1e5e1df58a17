// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_INFERENCE_SAMPLE_VIEW_H_
#define FIELDLOOP_SERVICES_EVALUATION_INFERENCE_SAMPLE_VIEW_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/signal/windows.h"
#include "services/evaluation/domain/model.h"
#include "services/evaluation/domain/neighbours.h"

namespace fieldloop::evaluation {

// A sample as one model sees it: its axes, at its rate.
struct SampleView {
  Recording recording;
  std::vector<ReadingRange> ranges;
  std::int64_t readings = 0;
};

// INVALID_ARGUMENT naming an axis that is missing.
absl::StatusOr<SampleView> ViewOf(const TestingSample& sample, const Model& model);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_INFERENCE_SAMPLE_VIEW_H_
