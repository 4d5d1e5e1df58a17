// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/drift.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"

namespace fieldloop::evaluation {
namespace {

constexpr double kQuorum = 0.8;
constexpr double kReadyShare = 0.5;
// Added to distances before their logarithm: a replayed signal has distances of exactly 0.
constexpr double kLogOffsetBins = 0.05;

void AddTo(Histogram& sum, const Histogram& other) {
  sum.resize(std::max(sum.size(), other.size()), 0);
  for (std::size_t i = 0; i < other.size(); ++i) {
    sum[i] += other[i];
  }
}

Histogram SumOf(absl::Span<const Period> periods, std::size_t channel) {
  Histogram sum;
  for (const Period& period : periods) {
    AddTo(sum, period.channels[channel]);
  }
  return sum;
}

double Median(std::vector<double> values) {
  const std::size_t middle = values.size() / 2;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// One channel of one device.
struct DeviceChannel {
  double shift = 0;             // Mean bin, recent less baseline.
  double distance = 0;          // W1 of recent and baseline.
  double excess_over_mean = 0;  // Distance less the mean of the blocks' distances.
  double excess_over_max = 0;   // Distance less the largest of them.
  double p_value = 1;
};

DeviceChannel Compare(const DevicePeriods& device, std::size_t channel, int recent_periods,
                      Histogram& fleet_recent, Histogram& fleet_baseline) {
  const Histogram baseline = SumOf(device.baseline, channel);
  const Histogram recent = SumOf(device.recent, channel);
  AddTo(fleet_recent, recent);
  AddTo(fleet_baseline, baseline);

  DeviceChannel result;
  result.shift = MeanBin(recent) - MeanBin(baseline);
  result.distance = Wasserstein1(recent, baseline);

  // Blocks of consecutive periods, as long as the recent time, each against the rest of the
  // baseline: what somebody does lasts for minutes to hours, so single periods are not
  // exchangeable.
  const auto block_size = static_cast<std::size_t>(recent_periods);
  std::vector<double> distances;
  for (std::size_t end = device.baseline.size(); end >= block_size; end -= block_size) {
    const Histogram block =
        SumOf(absl::MakeConstSpan(device.baseline).subspan(end - block_size, block_size), channel);
    Histogram rest = baseline;
    for (std::size_t i = 0; i < block.size(); ++i) {
      rest[i] -= block[i];
    }
    distances.push_back(Wasserstein1(block, rest));
  }
  result.excess_over_mean = result.distance - Mean(distances);
  result.excess_over_max = result.distance - *std::max_element(distances.begin(), distances.end());

  // Student's prediction of one more observation from the blocks, on the log scale.
  std::vector<double> logs;
  logs.reserve(distances.size());
  for (const double distance : distances) {
    logs.push_back(std::log(distance + kLogOffsetBins));
  }
  const double mean = Mean(logs);
  double squares = 0;
  for (const double value : logs) {
    squares += (value - mean) * (value - mean);
  }
  const double blocks = static_cast<double>(logs.size());
  const double deviation = std::max(std::sqrt(squares / (blocks - 1)), 1e-9);
  const double t =
      (std::log(result.distance + kLogOffsetBins) - mean) / (deviation * std::sqrt(1 + 1 / blocks));
  result.p_value = StudentUpperTail(t, blocks - 1);
  return result;
}

absl::Time MedianTime(std::vector<absl::Time> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

std::string Explain(const DriftReport& report, const DriftPolicy& policy, bool fleet_alarm,
                    bool devices_alarm) {
  std::string text = absl::StrFormat("Look %d at %d devices: ", report.look, report.device_count);
  const ChannelDrift* best = &report.channels.front();
  for (const ChannelDrift& channel : report.channels) {
    if (channel.p_value < best->p_value) {
      best = &channel;
    }
  }
  absl::StrAppendFormat(
      &text,
      "%s lies %.2f bins from the devices' own baselines (mean W1), a median of %+.2f bins beyond "
      "what parts of the baselines do (want %.2f), p %.2g, statistic %.2f against a limit of %.2f; "
      "%d devices drifted by themselves (want %d and %.0f %%).",
      best->channel, best->mean_w1_bins, best->median_excess_bins, policy.min_effect_bins,
      best->p_value, report.statistic, report.limit, report.drifted_devices, policy.min_devices,
      policy.min_drifted_percent);
  if (fleet_alarm) {
    absl::StrAppend(&text, " The fleet as a whole has moved.");
  }
  if (devices_alarm) {
    absl::StrAppend(&text, " Enough single devices have moved.");
  }
  if (!fleet_alarm && !devices_alarm) {
    absl::StrAppend(&text, report.statistic > report.limit
                               ? " The change is certain but too small to matter."
                               : " No drift.");
  }
  return text;
}

}  // namespace

std::string DriftReport::name() const { return absl::StrCat(project, "/driftReports/", number); }

DriftReport AnalyseDrift(const std::vector<DevicePeriods>& devices,
                         const std::vector<std::string>& channel_names, const DriftPolicy& policy,
                         int look) {
  DriftReport report;
  report.look = look;
  report.device_count = static_cast<int>(devices.size());
  const std::size_t channels = channel_names.size();
  const double tests = static_cast<double>(std::max<std::size_t>(channels, 1));
  const double alpha = AlphaAtLook(policy.fleet_alpha, look);
  report.limit = -std::log10(alpha);

  std::vector<std::vector<DeviceChannel>> results(channels);
  double smallest = 1;
  bool fleet_alarm = false;
  for (std::size_t c = 0; c < channels; ++c) {
    Histogram fleet_recent;
    Histogram fleet_baseline;
    std::vector<double> shifts;
    std::vector<double> distances;
    std::vector<double> excesses;
    for (const DevicePeriods& device : devices) {
      results[c].push_back(Compare(device, c, policy.recent_periods, fleet_recent, fleet_baseline));
      shifts.push_back(results[c].back().shift);
      distances.push_back(results[c].back().distance);
      excesses.push_back(results[c].back().excess_over_mean);
    }
    ChannelDrift channel;
    channel.channel = channel_names[c];
    channel.mean_shift_bins = Mean(shifts);
    channel.mean_w1_bins = Mean(distances);
    channel.median_excess_bins = Median(excesses);
    channel.p_value = WilcoxonSignedRank(excesses).p_greater;
    channel.psi = PopulationStabilityIndex(fleet_recent, fleet_baseline);
    const double corrected = std::min(1.0, channel.p_value * tests);
    smallest = std::min(smallest, corrected);
    fleet_alarm =
        fleet_alarm || (corrected <= alpha && channel.median_excess_bins >= policy.min_effect_bins);
    report.channels.push_back(std::move(channel));
  }
  // Beyond 300 digits a double has no p left to show.
  report.statistic = -std::log10(std::max(smallest, 1e-300));

  // One Benjamini-Hochberg over all devices and channels of this look.
  std::vector<double> p_values;
  for (std::size_t c = 0; c < channels; ++c) {
    for (const DeviceChannel& result : results[c]) {
      p_values.push_back(result.p_value);
    }
  }
  const std::vector<bool> rejected = BenjaminiHochberg(p_values, policy.device_fdr);
  std::vector<bool> drifted(devices.size(), false);
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t d = 0; d < devices.size(); ++d) {
      if (rejected[c * devices.size() + d] &&
          results[c][d].excess_over_max >= policy.min_effect_bins) {
        drifted[d] = true;
        ++report.channels[c].drifted_devices;
      }
    }
  }
  report.drifted_devices = static_cast<int>(std::count(drifted.begin(), drifted.end(), true));
  const bool devices_alarm =
      report.drifted_devices >= policy.min_devices &&
      report.drifted_devices * 100.0 >= policy.min_drifted_percent * report.device_count;

  std::vector<absl::Time> starts;
  std::vector<absl::Time> ends;
  for (const DevicePeriods& device : devices) {
    starts.push_back(device.recent.front().start_time);
    ends.push_back(device.recent.back().start_time +
                   absl::Milliseconds(device.recent.back().period_ms));
  }
  report.recent_start_time = MedianTime(std::move(starts));
  report.recent_end_time = MedianTime(std::move(ends));
  report.verdict = fleet_alarm || devices_alarm ? DriftVerdict::kDrift : DriftVerdict::kSteady;
  if (channels > 0) {
    report.explanation = Explain(report, policy, fleet_alarm, devices_alarm);
  } else {
    report.explanation = "The model has no reference channels, so drift cannot be seen.";
  }
  return report;
}

bool Ready(const DeviceProgress& device, const DriftPolicy& policy) {
  return device.periods > device.looked_periods &&
         device.periods >= policy.baseline_periods + policy.recent_periods;
}

LookKind LookDue(const std::vector<DeviceProgress>& devices, const DriftPolicy& policy) {
  std::size_t heard = 0;
  std::size_t fresh = 0;
  std::size_t fresh_heard = 0;
  std::size_t ready = 0;
  std::int64_t most_new = 0;
  for (const DeviceProgress& device : devices) {
    const std::int64_t added = device.periods - device.looked_periods;
    most_new = std::max(most_new, added);
    heard += device.silent ? 0U : 1U;
    fresh += added > 0 ? 1U : 0U;
    fresh_heard += (added > 0 && !device.silent) ? 1U : 0U;
    ready += Ready(device, policy) ? 1U : 0U;
  }
  if (fresh == 0) {
    return LookKind::kNone;
  }
  const bool quorum =
      heard > 0 && static_cast<double>(fresh_heard) >= kQuorum * static_cast<double>(heard);
  if (!quorum && most_new < policy.recent_periods) {
    return LookKind::kNone;
  }
  return ready > 0 && static_cast<double>(ready) >= kReadyShare * static_cast<double>(fresh)
             ? LookKind::kTest
             : LookKind::kLearning;
}

DriftReport LearningReport(const std::vector<DeviceProgress>& devices, const DriftPolicy& policy) {
  DriftReport report;
  std::vector<double> periods;
  int ready = 0;
  for (const DeviceProgress& device : devices) {
    periods.push_back(static_cast<double>(device.periods));
    ready += Ready(device, policy) ? 1 : 0;
  }
  report.verdict = DriftVerdict::kLearning;
  report.device_count = ready;
  report.explanation = absl::StrFormat(
      "Learning: %d of %d devices have a baseline of %d periods and %d recent ones; the median "
      "device has %.0f of %d.",
      ready, devices.size(), policy.baseline_periods, policy.recent_periods,
      periods.empty() ? 0.0 : Median(periods), policy.baseline_periods + policy.recent_periods);
  return report;
}

}  // namespace fieldloop::evaluation
