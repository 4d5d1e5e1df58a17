// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_SAMPLE_QUERY_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_SAMPLE_QUERY_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include <soci/soci.h>

#include "absl/strings/string_view.h"
#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/sample.h"

// What both stores need to read samples. Included by .cc files of storage/ and, because it names
// SOCI, by nothing else. What SOCI throws passes through.
namespace fieldloop::ingestion {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

// The condition of an SQL statement over "samples s", with the values it binds.
class SampleQuery {
 public:
  explicit SampleQuery(absl::string_view project);

  // Adds " AND <condition>" for what `filter` sets.
  void Where(const SampleFilter& filter);
  // Adds " AND <condition>", made with the placeholders that Text and Number return.
  void And(absl::string_view condition);
  // Keeps a value and returns its placeholder, such as ":p3".
  std::string Text(absl::string_view value);
  std::string Number(std::int64_t value);

  const std::string& condition() const { return text_; }
  // Binds the values to `statement`. They must outlive it: keep this object.
  void BindTo(soci::statement& statement);

 private:
  struct TextValue {
    std::string name;
    std::string value;
  };
  struct NumberValue {
    std::string name;
    long long value;
  };

  // The condition that a sample has `flag`.
  std::string HasFlag(absl::string_view flag);

  std::string text_;
  int next_ = 0;
  std::deque<TextValue> texts_;  // Deques: SOCI keeps addresses.
  std::deque<NumberValue> numbers_;
};

// One row of "samples", bound to a statement that selects kSampleColumns.
struct SampleRow {
  std::string project, id, file_name, digest, canonical_digest, axes, units, resampling,
      split_group, device, model_digest, reason, predicted_label, flags;
  int format = 0, split = 0, source = 0, labelled = 0;
  long long size_bytes = 0, readings = 0, start_micros = 0, create_micros = 0, label_number = 0;
  double frequency_hz = 0, probability = 0, confidence = 0;

  void BindTo(soci::statement& statement);
  // Without metadata and labels.
  Sample ToSample() const;
};

inline constexpr char kSampleColumns[] =
    "s.project, s.sample_id, s.file_name, s.format, s.digest, s.size_bytes, s.canonical_digest, "
    "s.axes, s.units, s.readings, s.frequency_hz, s.resampling, s.split, s.split_group, s.source, "
    "s.device, "
    "s.model_digest, s.reason, s.probability, s.predicted_label, s.confidence, s.start_micros, "
    "s.flags, s.create_micros, s.label_number, s.labelled";

// A sample and the number of the label that stands (0: none).
struct SampleWithLabelNumber {
  Sample sample;
  std::int64_t label_number = 0;
};

// Runs "SELECT kSampleColumns FROM samples s WHERE <query> <tail>". Without metadata and labels.
std::vector<SampleWithLabelNumber> SelectSamples(soci::session& session, SampleQuery& query,
                                                 absl::string_view tail);

// Reads the metadata of a sample, and the ranges of one of its labels, into it.
void ReadDetails(soci::session& session, std::int64_t label_number, Sample& sample);

std::vector<LabelRange> SelectRanges(soci::session& session, const std::string& project,
                                     const std::string& sample_id, std::int64_t number);

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_SAMPLE_QUERY_H_
