// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_RUNNING_BUILDS_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_RUNNING_BUILDS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/build.h"
#include "services/common/sync/mutex.h"

namespace fieldloop::build {

// The last part of a text that grows without end. Thread-safe.
class LogTail {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

  void Append(absl::string_view text);
  // At most the last kMaxBytes; begins at a line when something was left out.
  std::string Text() const;

 private:
  mutable Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  bool cut_ ABSL_GUARDED_BY(mutex_) = false;
};

// One attempt that this process works on.
struct RunningBuild {
  std::string project;
  std::int64_t number = 0;
  std::int32_t attempt = 0;
  std::stop_source stop;
  LogTail log;
};

// The attempts that this process works on, for those who look at them from other threads.
// Thread-safe.
class RunningBuilds {
 public:
  // Adds an attempt; it is gone when the result is destroyed.
  std::shared_ptr<RunningBuild> Add(const Build& build);
  std::vector<std::shared_ptr<RunningBuild>> All();
  // The log so far; nullopt if the build does not run here.
  std::optional<std::string> Log(absl::string_view project, std::int64_t number);
  // Asks all to stop, and those that are added from now on.
  void StopAll();

 private:
  Mutex mutex_;
  std::vector<std::weak_ptr<RunningBuild>> builds_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_RUNNING_BUILDS_H_
