// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_MODEL_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

namespace fieldloop::evaluation {

// What is known of a model of the registry, from the metadata in its file.
struct Model {
  std::string name;    // "projects/x/models/7".
  std::string digest;  // Hex.
  std::vector<std::string> classes;

  struct Channel {
    std::string name;
    int bins = 0;
  };
  std::uint32_t reference_id = 0;
  std::vector<Channel> channels;
  int confidence_channel = -1;       // Index in `channels`; -1: none.
  std::vector<double> bin_accuracy;  // By bin of the confidence channel; empty: not calibrated.

  int window_length = 0;  // Readings.
  int window_stride = 0;  // Readings.
  double frequency_hz = 0;
  std::vector<std::string> axes;
  bool pad_short = false;  // See PadShort.
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_MODEL_H_
