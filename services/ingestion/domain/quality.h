// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_QUALITY_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_QUALITY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fieldloop::ingestion {

// Flags of samples. Those of an axis stand twice: as such, and with its name, "flat:accX".
inline constexpr char kClipping[] = "clipping";  // Of axes.
inline constexpr char kFlat[] = "flat";          // Of axes.
inline constexpr char kNan[] = "nan";            // Of axes.
inline constexpr char kUnits[] = "units";        // Of axes.
inline constexpr char kGap[] = "gap";
inline constexpr char kTruncated[] = "truncated";
inline constexpr char kShort[] = "short";
inline constexpr char kLong[] = "long";
inline constexpr char kSignatureInvalid[] = "signature-invalid";
inline constexpr char kSignatureUnchecked[] = "signature-unchecked";
inline constexpr char kSignatureMissing[] = "signature-missing";

// Adds `flag`, and `flag` with the name of the axis. May leave doubles: see SortFlags.
void AddAxisFlag(absl::string_view flag, absl::string_view axis, std::vector<std::string>& flags);

// Sorts flags and leaves each once.
void SortFlags(std::vector<std::string>& flags);

// The values that a file's encoding ends at, where it has such.
struct FullScale {
  float lowest = 0;
  float highest = 0;
};

// Checks readings as they came, before they are resampled, and makes every value finite.
//
// "nan": an axis has values that are missing, NaN or infinite. Between two others each becomes what
// lies on the line between them; before the first and after the last it becomes that one; on an
// axis without any it becomes 0.
// "flat": an axis never changes, over at least two readings.
// "clipping": an axis that is not flat stays at an end of `full_scale` for three readings or more.
// Or it stays that long at its own largest or smallest value, and nowhere between as often: a
// signal that is cut rests at its extremes, one of a coarse sensor rests everywhere. An axis of two
// values is a switch, and never clipped in this second sense.
//
// `values` is as in ParsedRecording, and may hold NaN.
void CheckReadings(const std::vector<std::string>& axes, const std::optional<FullScale>& full_scale,
                   std::vector<float>& values, std::vector<std::string>& flags);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_QUALITY_H_
