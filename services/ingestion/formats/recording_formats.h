// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_RECORDING_FORMATS_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_RECORDING_FORMATS_H_

#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// The formats of uploads. A new format is a pair of files beside this one and a case in Parse.
class RecordingFormats final : public RecordingParser {
 public:
  absl::StatusOr<ParsedRecording> Parse(SampleFormat format, absl::string_view bytes,
                                        const ParseOptions& options) const override;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_RECORDING_FORMATS_H_
