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

// Brings `recording`, whose readings were taken at `times_ms` (ascending), to an even rate. On
// entry axes, values and labels (which do not overlap, and end at a reading) are set.
//
// Readings of one time, as a clock of whole milliseconds gives, become one: their mean. The rate is
// even when every time is where a constant step puts it, within the smaller of 0.5 ms (times are
// often rounded to whole ms) and 5 % of the step; then the readings stay as they are. Others are
// put on an even grid that starts at the first time by linear interpolation, at `frequency_hz`, or
// at the rate of the median step if that is 0, and recording.resampling says so. Labels keep their
// times. A step of more than five medians sets the flag "gap".
//
// INVALID_ARGUMENT, prefixed with `line_of(reading)`, if the rate is above kMaxFrequencyHz, or if
// gaps would make the result more than ten times as long as what was given, or longer than
// kMaxValues.
absl::Status MakeEven(std::vector<double> times_ms, double frequency_hz,
                      const std::function<std::string(std::size_t)>& line_of,
                      ParsedRecording& recording);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_EVEN_RATE_H_
