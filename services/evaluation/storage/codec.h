// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_STORAGE_CODEC_H_
#define FIELDLOOP_SERVICES_EVALUATION_STORAGE_CODEC_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/evaluation/domain/cycle.h"
#include "services/evaluation/domain/drift.h"
#include "services/evaluation/domain/evaluation.h"
#include "services/evaluation/domain/sketch.h"

namespace fieldloop::evaluation {

// Values that are columns of text: JSON, except for sketches, of which there are many. Decoding
// sets only what encoding wrote, and returns DATA_LOSS for text that no encoder made.

std::string EncodeSlices(const std::vector<SliceResult>& slices);
absl::Status DecodeSlices(absl::string_view text, std::vector<SliceResult>& slices);

std::string EncodeTexts(const std::vector<std::string>& texts);
absl::Status DecodeTexts(absl::string_view text, std::vector<std::string>& texts);

std::string EncodeMap(const std::map<std::string, std::string>& map);
absl::Status DecodeMap(absl::string_view text, std::map<std::string, std::string>& map);

// All but project, number, revision, state, transitions, times and clean_up.
std::string EncodeCycle(const Cycle& cycle);
absl::Status DecodeCycle(absl::string_view text, Cycle& cycle);

// All but project, number, verdict, model_digest and create_time.
std::string EncodeReport(const DriftReport& report);
absl::Status DecodeReport(absl::string_view text, DriftReport& report);

// All but device, sequence, model_digest and start_time:
//   reference;period_ms;windows;failures;c,c,...{;b,b,...:mean:m2:min:max}
std::string EncodeSketch(const Sketch& sketch);
absl::Status DecodeSketch(absl::string_view text, Sketch& sketch);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_STORAGE_CODEC_H_
