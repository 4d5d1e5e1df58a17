// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_SAMPLE_CONVERSION_H_
#define FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_SAMPLE_CONVERSION_H_

#include <string>

#include <fieldloop/ingestion/v1/ingestion_service.pb.h>

#include "absl/status/status.h"
#include "services/evaluation/domain/neighbours.h"

namespace fieldloop::evaluation {

// What the ingestion service says of a sample, without its readings.
TestingSample SampleWithoutReadings(const ingestion::v1::Sample& proto);

// Puts readings, float32 and little endian, into a sample. DATA_LOSS if they are no whole readings.
absl::Status DecodeReadings(const std::string& data, TestingSample& sample);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_SAMPLE_CONVERSION_H_
