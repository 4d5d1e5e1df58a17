// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_METRIC_FAMILY_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_METRIC_FAMILY_H_

#include <string>
#include <utility>

#include <prometheus/metric_family.h>

namespace fieldloop {

// A metric without labels, for collectables that read their values when they are asked.
inline prometheus::MetricFamily MakeFamily(std::string name, std::string help,
                                           prometheus::MetricType type, double value) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return {.name = std::move(name), .help = std::move(help), .type = type, .metric = {metric}};
}

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_METRIC_FAMILY_H_
