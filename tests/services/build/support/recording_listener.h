// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_RECORDING_LISTENER_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_RECORDING_LISTENER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "services/build/domain/trainer.h"

namespace fieldloop::build {

// Keeps what it hears.
class RecordingListener final : public TrainerListener {
 public:
  void OnActivity(absl::string_view text) override {
    activities.emplace_back(text);
    on_activity();
  }
  void OnEpoch(const Epoch& epoch, std::int32_t epochs) override {
    history.push_back(epoch);
    all_epochs = epochs;
  }
  void OnCandidate(const Candidate& candidate) override { candidates.push_back(candidate); }
  void OnLog(absl::string_view text) override {
    log.append(text.data(), text.size());
    on_log();
  }

  std::vector<std::string> activities;
  std::vector<Epoch> history;
  std::int32_t all_epochs = 0;
  std::vector<Candidate> candidates;
  std::string log;
  std::function<void()> on_activity = [] {};
  std::function<void()> on_log = [] {};
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_RECORDING_LISTENER_H_
