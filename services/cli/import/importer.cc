// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/import/importer.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"

namespace fieldloop::cli {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{100};
// Larger files are asked for before they are sent; for smaller ones asking costs as much.
constexpr std::uintmax_t kAskedForBytes = 64 << 10;

// True for an error that every other recording would meet as well.
bool EndsAll(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsUnauthenticated(status) ||
         absl::IsPermissionDenied(status) || absl::IsNotFound(status) ||
         absl::IsResourceExhausted(status) || absl::IsUnimplemented(status);
}

// What the threads share.
struct Work {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t next = 0;
  std::size_t done = 0;
  int running = 0;
  ImportSummary summary;
};

enum class Outcome { kStored, kThere };

absl::StatusOr<Outcome> SendOne(const PlannedRecording& recording, SampleSender& sender,
                                std::atomic<std::int64_t>& bytes) {
  std::error_code error;
  if (std::filesystem::file_size(recording.path, error) > kAskedForBytes && !error) {
    const absl::StatusOr<bool> there = sender.IsThere(recording.path, recording.spec.parent());
    if (!there.ok()) {
      return there.status();
    }
    if (*there) {
      return Outcome::kThere;
    }
  }
  const auto response = sender.Send(recording.path, recording.spec, bytes);
  if (!response.ok()) {
    return response.status();
  }
  return response->duplicate() ? Outcome::kThere : Outcome::kStored;
}

void RunStream(const std::vector<PlannedRecording>& recordings, SampleSender& sender,
               const std::atomic<bool>& stop, std::atomic<std::int64_t>& bytes, Work& work) {
  std::unique_lock lock(work.mutex);
  while (work.next < recordings.size() && work.summary.stopped.ok()) {
    if (stop) {
      work.summary.stopped = absl::CancelledError("stopped");
      break;
    }
    const PlannedRecording& recording = recordings[work.next++];
    lock.unlock();
    const absl::StatusOr<Outcome> outcome = SendOne(recording, sender, bytes);
    lock.lock();
    if (outcome.ok()) {
      ++(*outcome == Outcome::kStored ? work.summary.stored : work.summary.there);
      ++work.done;
    } else if (EndsAll(outcome.status()) || stop) {
      work.summary.stopped = stop ? absl::CancelledError("stopped") : outcome.status();
    } else {
      work.summary.refused.emplace_back(recording.path, std::string(outcome.status().message()));
      ++work.done;
    }
  }
  --work.running;
  work.changed.notify_all();
}

}  // namespace

ImportSummary Import(const std::vector<PlannedRecording>& recordings, SampleSender& sender,
                     int streams, const std::atomic<bool>& stop,
                     const std::function<void(const ImportProgress&)>& progress) {
  Work work;
  std::atomic<std::int64_t> bytes = 0;
  work.running = streams;
  std::vector<std::thread> threads;
  for (int i = 0; i < streams; ++i) {
    threads.emplace_back([&] { RunStream(recordings, sender, stop, bytes, work); });
  }
  {
    std::unique_lock lock(work.mutex);
    while (!work.changed.wait_for(lock, kProgressInterval, [&] { return work.running == 0; })) {
      progress({.done = work.done, .total = recordings.size(), .bytes = bytes});
    }
    progress({.done = work.done, .total = recordings.size(), .bytes = bytes});
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::sort(work.summary.refused.begin(), work.summary.refused.end());
  return std::move(work.summary);
}

}  // namespace fieldloop::cli
