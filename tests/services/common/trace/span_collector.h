// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_COMMON_TRACE_SPAN_COLLECTOR_H_
#define FIELDLOOP_TESTS_SERVICES_COMMON_TRACE_SPAN_COLLECTOR_H_

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "services/common/trace/span.h"

namespace fieldloop::testing {

// Keeps the spans of this process while it lives.
class SpanCollector {
 public:
  explicit SpanCollector(double ratio = 1) { SetSpanSink(sink_, ratio); }
  ~SpanCollector() { SetSpanSink(nullptr, 0); }
  SpanCollector(const SpanCollector&) = delete;
  SpanCollector& operator=(const SpanCollector&) = delete;

  std::vector<SpanData> All() const {
    const std::lock_guard<std::mutex> lock(sink_->mutex);
    return sink_->spans;
  }
  // The first span of that name and kind; waits until there is one.
  SpanData Get(const std::string& name, SpanKind kind) const {
    std::unique_lock<std::mutex> lock(sink_->mutex);
    std::vector<SpanData>::const_iterator found;
    sink_->changed.wait(lock, [&] {
      found = std::find_if(sink_->spans.begin(), sink_->spans.end(), [&](const SpanData& span) {
        return span.name == name && span.kind == kind;
      });
      return found != sink_->spans.end();
    });
    return *found;
  }

 private:
  struct Sink final : SpanSink {
    void Add(SpanData span) override {
      const std::lock_guard<std::mutex> lock(mutex);
      spans.push_back(std::move(span));
      changed.notify_all();
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<SpanData> spans;  // Guarded by mutex.
  };
  const std::shared_ptr<Sink> sink_ = std::make_shared<Sink>();
};

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_SERVICES_COMMON_TRACE_SPAN_COLLECTOR_H_
