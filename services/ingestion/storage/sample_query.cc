// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/sample_query.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "services/common/sql/select.h"

namespace fieldloop::ingestion {

// NOLINTBEGIN(google-runtime-int)

namespace {

std::vector<std::string> SplitList(const std::string& text) {
  if (text.empty()) {
    return {};
  }
  return absl::StrSplit(text, '\n');
}

}  // namespace

SampleQuery::SampleQuery(absl::string_view project) {
  const std::string placeholder = Text(project);
  text_ = absl::StrCat("s.project = ", placeholder);
}

void SampleQuery::And(absl::string_view condition) { absl::StrAppend(&text_, " AND ", condition); }

std::string SampleQuery::Text(absl::string_view value) {
  texts_.push_back({.name = absl::StrCat("p", next_++), .value = std::string(value)});
  return absl::StrCat(":", texts_.back().name);
}

std::string SampleQuery::Number(std::int64_t value) {
  numbers_.push_back({.name = absl::StrCat("p", next_++), .value = value});
  return absl::StrCat(":", numbers_.back().name);
}

std::string SampleQuery::HasFlag(absl::string_view flag) {
  // Lists are joined by line feeds. Unlike LIKE, REPLACE minds the case in every database.
  constexpr char kList[] = "('\n' || s.flags || '\n')";
  return absl::StrCat("REPLACE(", kList, ", ", Text(absl::StrCat("\n", flag, "\n")), ", '') <> ",
                      kList);
}

void SampleQuery::Where(const SampleFilter& filter) {
  const auto list = [this](const std::vector<std::string>& values) {
    return absl::StrJoin(values, ", ", [this](std::string* out, const std::string& value) {
      absl::StrAppend(out, Text(value));
    });
  };
  switch (filter.label_state) {
    case LabelState::kUnspecified:
      break;
    case LabelState::kLabelled:
      And("s.labelled = 1");
      break;
    case LabelState::kUnlabelled:
      And("s.labelled = 0");
      break;
    case LabelState::kNoPerson:
      And("s.people = 0");
      break;
  }
  if (!filter.without_suggestion_of.empty()) {
    const std::string model = Text(filter.without_suggestion_of);
    And(
        absl::StrCat("NOT EXISTS (SELECT 1 FROM suggestions g WHERE g.project = s.project"
                     " AND g.sample_id = s.sample_id AND g.model_digest = ",
                     model, ")"));
  }
  if (!filter.labels.empty()) {
    And(
        absl::StrCat("EXISTS (SELECT 1 FROM label_ranges r WHERE r.project = s.project"
                     " AND r.sample_id = s.sample_id AND r.number = s.label_number"
                     " AND r.label IN (",
                     list(filter.labels), "))"));
  }
  if (filter.split != Split::kUnspecified) {
    And(absl::StrCat("s.split = ", Number(static_cast<int>(filter.split))));
  }
  if (filter.source != SampleSource::kUnspecified) {
    And(absl::StrCat("s.source = ", Number(static_cast<int>(filter.source))));
  }
  if (!filter.devices.empty()) {
    And(absl::StrCat("s.device IN (", list(filter.devices), ")"));
  }
  for (const auto& [key, value] : filter.metadata) {
    const std::string key_placeholder = Text(key);
    const std::string value_placeholder = Text(value);
    And(
        absl::StrCat("EXISTS (SELECT 1 FROM sample_metadata m WHERE m.project = s.project"
                     " AND m.sample_id = s.sample_id AND m.meta_key = ",
                     key_placeholder, " AND m.meta_value = ", value_placeholder, ")"));
  }
  if (filter.created_after.has_value()) {
    And(absl::StrCat("s.create_micros >= ", Number(absl::ToUnixMicros(*filter.created_after))));
  }
  if (filter.created_before.has_value()) {
    And(absl::StrCat("s.create_micros < ", Number(absl::ToUnixMicros(*filter.created_before))));
  }
  if (!filter.flags.empty()) {
    And(absl::StrCat("(",
                     absl::StrJoin(filter.flags, " OR ",
                                   [this](std::string* out, const std::string& flag) {
                                     absl::StrAppend(out, HasFlag(flag));
                                   }),
                     ")"));
  }
  for (const std::string& flag : filter.without_flags) {
    And(absl::StrCat("NOT ", HasFlag(flag)));
  }
}

void SampleQuery::BindTo(soci::statement& statement) {
  for (TextValue& text : texts_) {
    statement.exchange(soci::use(text.value, text.name));
  }
  for (NumberValue& number : numbers_) {
    statement.exchange(soci::use(number.value, number.name));
  }
}

void SampleRow::BindTo(soci::statement& statement) {
  const auto into = [&statement](auto& field) { statement.exchange(soci::into(field)); };
  into(project);
  into(id);
  into(file_name);
  into(format);
  into(digest);
  into(size_bytes);
  into(canonical_digest);
  into(axes);
  into(units);
  into(readings);
  into(frequency_hz);
  into(resampling);
  into(split);
  into(split_group);
  into(source);
  into(device);
  into(model_digest);
  into(reason);
  into(probability);
  into(predicted_label);
  into(confidence);
  into(start_micros);
  into(flags);
  into(create_micros);
  into(label_number);
  into(labelled);
}

Sample SampleRow::ToSample() const {
  Sample sample{.project = project,
                .id = id,
                .file_name = file_name,
                .format = static_cast<SampleFormat>(format),
                .digest = digest,
                .size_bytes = size_bytes,
                .canonical_digest = canonical_digest,
                .axes = SplitList(axes),
                .units = SplitList(units),
                .readings = readings,
                .frequency_hz = frequency_hz,
                .resampling = resampling,
                .split = static_cast<Split>(split),
                .split_group = split_group,
                .source = static_cast<SampleSource>(source),
                .device = {},
                .metadata = {},
                .labels = {},
                .create_time = absl::FromUnixMicros(create_micros),
                .flags = SplitList(flags)};
  if (sample.source == SampleSource::kDevice) {
    sample.device = DeviceProvenance{.device = device,
                                     .model_digest = model_digest,
                                     .reason = reason,
                                     .probability = probability,
                                     .predicted_label = predicted_label,
                                     .confidence = confidence,
                                     .start_time = absl::FromUnixMicros(start_micros)};
  }
  return sample;
}

std::vector<SampleWithLabelNumber> SelectSamples(soci::session& session, SampleQuery& query,
                                                 absl::string_view tail) {
  std::vector<SampleWithLabelNumber> samples;
  SampleRow row;
  soci::statement select(session);
  row.BindTo(select);
  query.BindTo(select);
  Select(select,
         absl::StrCat("SELECT ", kSampleColumns, " FROM samples s WHERE ", query.condition(), " ",
                      tail),
         [&] { samples.push_back({.sample = row.ToSample(), .label_number = row.label_number}); });
  return samples;
}

void ReadDetails(soci::session& session, std::int64_t label_number, Sample& sample) {
  std::string key;
  std::string value;
  soci::statement select = (session.prepare << "SELECT meta_key, meta_value FROM sample_metadata"
                                               " WHERE project = :project AND sample_id = :sample",
                            soci::use(sample.project, "project"), soci::use(sample.id, "sample"),
                            soci::into(key), soci::into(value));
  select.execute();
  while (select.fetch()) {
    sample.metadata[key] = value;
  }
  sample.labels = SelectRanges(session, sample.project, sample.id, label_number);
}

std::vector<LabelRange> SelectRanges(soci::session& session, const std::string& project,
                                     const std::string& sample_id, std::int64_t number) {
  std::vector<LabelRange> ranges;
  if (number == 0) {
    return ranges;
  }
  const long long wanted = number;
  long long start = 0;
  long long end = 0;
  std::string label;
  soci::statement select =
      (session.prepare << "SELECT start_reading, end_reading, label FROM label_ranges"
                          " WHERE project = :project AND sample_id = :sample AND number = :number"
                          " ORDER BY start_reading",
       soci::use(project, "project"), soci::use(sample_id, "sample"), soci::use(wanted, "number"),
       soci::into(start), soci::into(end), soci::into(label));
  select.execute();
  while (select.fetch()) {
    ranges.push_back({.start = start, .end = end, .label = label});
  }
  return ranges;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion
