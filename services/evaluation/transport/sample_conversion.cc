// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/transport/sample_conversion.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace fieldloop::evaluation {

namespace ingestion = fieldloop::ingestion::v1;

TestingSample SampleWithoutReadings(const ingestion::Sample& proto) {
  TestingSample sample;
  sample.name = proto.name();
  sample.axes.assign(proto.axes().begin(), proto.axes().end());
  sample.frequency_hz = proto.frequency_hz();
  for (const ingestion::LabelRange& range : proto.labels()) {
    sample.ranges.push_back(
        {.start = range.start_reading(), .end = range.end_reading(), .label = range.label()});
  }
  if (proto.source() == ingestion::SAMPLE_SOURCE_DEVICE) {
    sample.device = proto.device().device();
  }
  sample.metadata = {proto.metadata().begin(), proto.metadata().end()};
  return sample;
}

absl::Status DecodeReadings(const std::string& data, TestingSample& sample) {
  if (sample.axes.empty() || data.size() % (4 * sample.axes.size()) != 0) {
    return absl::DataLossError(absl::StrCat(sample.name, ": got ", data.size(),
                                            " bytes of readings, want whole readings of ",
                                            sample.axes.size(), " axes"));
  }
  sample.values.resize(data.size() / 4);
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(sample.values.data(), data.data(), data.size());
  return absl::OkStatus();
}

}  // namespace fieldloop::evaluation
