// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Computes features with the code of the devices, for tests in other languages:
//   features_tool METADATA < windows > features
// METADATA is a serialised Impulse; windows and features are little-endian float32. The features
// are standardised if METADATA says how, and followed by the score of the anomaly block if it has
// one.

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "agent/impulse/anomaly.h"
#include "agent/impulse/dsp.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("features_tool: want one argument, a file with a serialised Impulse\n", stderr);
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string metadata((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
  fl_dsp_t dsp;
  fl_anomaly_t anomaly;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(metadata.data());
  fl_status_t opened = fl_dsp_open(&dsp, bytes, metadata.size());
  if (opened == FL_OK) opened = fl_anomaly_open(&anomaly, &dsp, bytes, metadata.size());
  const bool has_anomaly = opened == FL_OK;
  if (opened != FL_OK && opened != FL_ERR_NOT_FOUND) {
    std::fprintf(stderr, "features_tool: %s: %s\n", argv[1], fl_status_text(opened));
    return 1;
  }
  std::vector<float> window(static_cast<std::size_t>(dsp.config.window.length) * dsp.window_axes);
  std::vector<float> features(dsp.feature_count);
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  while (std::fread(window.data(), sizeof(float), window.size(), stdin) == window.size()) {
    const fl_status_t status = fl_dsp_features(&dsp, window.data(), features.data(),
                                               reinterpret_cast<std::uint8_t*>(scratch.data()));
    if (status != FL_OK) {
      std::fprintf(stderr, "features_tool: %s\n", fl_status_text(status));
      return 1;
    }
    fl_dsp_standardise(&dsp, features.data());
    std::fwrite(features.data(), sizeof(float), features.size(), stdout);
    if (has_anomaly) {
      const float score = fl_anomaly_score(&anomaly, features.data());
      std::fwrite(&score, sizeof score, 1, stdout);
    }
  }
  return 0;
}
