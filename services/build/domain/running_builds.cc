// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/running_builds.h"

#include <algorithm>
#include <utility>

namespace fieldloop::build {

void LogTail::Append(absl::string_view text) {
  const MutexLock lock(mutex_);
  text_.append(text.data(), text.size());
  // Cut in large steps, so that each byte is moved about once.
  if (text_.size() > 2 * kMaxBytes) {
    text_.erase(0, text_.size() - kMaxBytes);
    cut_ = true;
  }
}

std::string LogTail::Text() const {
  const MutexLock lock(mutex_);
  if (text_.size() <= kMaxBytes && !cut_) {
    return text_;
  }
  std::string tail = text_.size() > kMaxBytes ? text_.substr(text_.size() - kMaxBytes) : text_;
  const std::size_t line = tail.find('\n');
  return line == std::string::npos ? tail : tail.substr(line + 1);
}

std::shared_ptr<RunningBuild> RunningBuilds::Add(const Build& build) {
  auto running = std::make_shared<RunningBuild>();
  running->project = build.project;
  running->number = build.number;
  running->attempt = build.attempt;
  const MutexLock lock(mutex_);
  builds_.erase(std::remove_if(builds_.begin(), builds_.end(),
                               [](const auto& entry) { return entry.expired(); }),
                builds_.end());
  builds_.push_back(running);
  if (stopped_) {
    running->stop.request_stop();
  }
  return running;
}

std::vector<std::shared_ptr<RunningBuild>> RunningBuilds::All() {
  std::vector<std::shared_ptr<RunningBuild>> all;
  const MutexLock lock(mutex_);
  for (const std::weak_ptr<RunningBuild>& entry : builds_) {
    if (std::shared_ptr<RunningBuild> running = entry.lock(); running != nullptr) {
      all.push_back(std::move(running));
    }
  }
  return all;
}

std::optional<std::string> RunningBuilds::Log(absl::string_view project, std::int64_t number) {
  for (const std::shared_ptr<RunningBuild>& running : All()) {
    if (running->project == project && running->number == number) {
      return running->log.Text();
    }
  }
  return std::nullopt;
}

void RunningBuilds::StopAll() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  for (const std::shared_ptr<RunningBuild>& running : All()) {
    running->stop.request_stop();
  }
}

}  // namespace fieldloop::build
