// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_EVEN_RATE_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_EVEN_RATE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// Sets values, readings, frequency_hz, resampling and flags of `recording` (whose axes are set)
// from readings at `times_ms`, which ascend strictly.
//
// The rate is even when every time is where a constant step puts it, within the smaller of 0.5 ms
// (times are often rounded to whole ms) and 5 % of the step. Uneven readings are put on an even
// grid that starts at the first time and has the median step, by linear interpolation ("linear"); a
// step of more than five medians sets the flag "gap".
//
// INVALID_ARGUMENT, prefixed with `line_of(reading)`, if the rate is above kMaxFrequencyHz, or if
// gaps would make the result more than ten times as long as what was given, or longer than
// kMaxValues.
absl::Status MakeEven(const std::vector<double>& times_ms, std::vector<float> values,
                      const std::function<std::string(std::size_t)>& line_of,
                      ParsedRecording& recording);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_EVEN_RATE_H_
