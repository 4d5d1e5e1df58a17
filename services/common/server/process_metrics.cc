// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/process_metrics.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/time.h>

#include "services/common/server/metric_family.h"

namespace fieldloop {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

ProcessMetrics::ProcessMetrics() : start_(WallSeconds()) {}

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  using prometheus::MetricType;
  std::vector<prometheus::MetricFamily> families;
  families.push_back(MakeFamily("process_start_time_seconds",
                                "Unix time at which the process began.", MetricType::Gauge,
                                start_));
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    families.push_back(MakeFamily("process_cpu_seconds_total", "CPU time used, in seconds.",
                                  MetricType::Counter,
                                  Seconds(usage.ru_utime) + Seconds(usage.ru_stime)));
  }
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  double resident_pages = 0;
  if (statm >> pages >> resident_pages) {
    families.push_back(MakeFamily("process_resident_memory_bytes",
                                  "Memory that is resident, in bytes.", MetricType::Gauge,
                                  resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))));
  }
  std::error_code error;
  const std::filesystem::directory_iterator descriptors("/proc/self/fd", error);
  if (!error) {
    families.push_back(
        MakeFamily("process_open_fds", "File descriptors that are open.", MetricType::Gauge,
                   static_cast<double>(std::distance(begin(descriptors), end(descriptors)))));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(MakeFamily("process_max_fds", "File descriptors that may be open.",
                                  MetricType::Gauge, static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace fieldloop
