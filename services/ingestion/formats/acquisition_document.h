// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_FORMATS_ACQUISITION_DOCUMENT_H_
#define FIELDLOOP_SERVICES_INGESTION_FORMATS_ACQUISITION_DOCUMENT_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/ingestion/domain/recording_parser.h"

namespace fieldloop::ingestion {

// The data acquisition format, version v1, whatever it is written in: takes the events of a parser
// of JSON or CBOR, in any order of keys, and makes a recording of them. It keeps a path instead of
// a tree, so that a file of 100 MB costs its numbers and nothing else.
//
// Unknown keys are skipped; device_name and device_type become metadata. `values` may be flat for
// one axis. A null and a number that is not finite are missing values, see CheckReadings. Values
// ["Ref-BINARY-i16"] (also i8, u8, u16, i32, u32, f32, f64; blanks behind it do not matter) stand
// for the little-endian numbers behind the document, up to the end of the file.
//
// The signature is HMAC-SHA256 over the bytes of the file as they are, with 64 zeros in its own
// place. With alg "HS256" one that does not fit the project's key sets the flag
// "signature-invalid", and without a key "signature-unchecked" is set. With alg "none" a project
// that has a key gets "signature-missing". Whether that is a reason to refuse is not decided here.
class AcquisitionDocument {
 public:
  enum class Kind : std::uint8_t { kNumber, kText, kNull, kOther };

  // A value. `text` is the text of kText (cut, if it is long) and what to show of kOther. A text's
  // characters end before byte `end` of the file.
  struct Value {
    Kind kind = Kind::kOther;
    absl::string_view text;
    double number = 0;
    std::size_t end = 0;
  };

  // Longest text that is looked at: what is longer is wrong anyway, and is reported cut.
  static constexpr std::size_t kMaxText = 256;

  AcquisitionDocument() = default;
  AcquisitionDocument(const AcquisitionDocument&) = delete;
  AcquisitionDocument& operator=(const AcquisitionDocument&) = delete;

  // The parser's events. False: the document is wrong; stop and ask status().
  bool Scalar(const Value& value);
  bool Key(absl::string_view key);
  bool BeginObject() { return Begin('{'); }
  bool BeginArray() { return Begin('['); }
  bool End();
  // Ends with the parser's own error.
  bool Fail(std::string message);

  // INVALID_ARGUMENT, "payload.values[3][1]: got "x", want a number".
  [[nodiscard]] const absl::Status& status() const { return status_; }

  // Prepares for at most this many values, without touching the memory.
  void ReserveValues(std::size_t count);

  // The recording, when the parser has read all of the document, which takes the first
  // `document_bytes` of the file `bytes`. Call once. INVALID_ARGUMENT naming the field.
  absl::StatusOr<ParsedRecording> Finish(absl::string_view bytes, std::size_t document_bytes,
                                         const ParseOptions& options) &&;

 private:
  // An object or array that the parser is in.
  struct Level {
    char kind = '{';
    std::string key;             // Of the object's current member.
    std::size_t index = 0;       // Of the array's current element.
    std::set<std::string> seen;  // Keys of the object.
  };

  [[nodiscard]] std::string Path() const;
  [[nodiscard]] bool At(std::initializer_list<absl::string_view> keys) const;
  void Next();
  bool Begin(char kind);
  bool Accept(const Value& value);
  bool AcceptText(std::optional<std::string>& field, const Value& value);
  bool AcceptNumber(const Value& value);
  bool AcceptElement(const Value& value);
  bool AcceptReading(const Value& value);
  [[nodiscard]] absl::Status CheckHead() const;
  [[nodiscard]] absl::Status CheckPayload() const;
  absl::StatusOr<ParsedRecording> FinishReadings(absl::string_view data);
  [[nodiscard]] bool SignatureFits(absl::string_view bytes, absl::string_view key) const;
  void AddSignatureFlags(absl::string_view bytes, const ParseOptions& options,
                         std::vector<std::string>& flags) const;

  absl::Status status_;
  std::vector<Level> path_;
  std::size_t skipped_depth_ = 0;  // Objects and arrays open below a field that we do not know.

  std::optional<std::string> version_;
  std::optional<std::string> algorithm_;
  std::optional<std::string> signature_;
  std::size_t signature_end_ = 0;
  std::optional<std::string> device_name_;
  std::optional<std::string> device_type_;
  std::optional<double> interval_ms_;
  std::vector<std::string> sensors_;
  std::vector<std::string> units_;
  bool has_sensors_ = false;
  bool has_values_ = false;
  std::vector<float> values_;
  std::optional<std::string> reference_;  // "i16" of "Ref-BINARY-i16".
  std::size_t width_ = 0;                 // Values in each reading; 0 until it is known.
  bool flat_ = false;                     // `values` is one array of numbers, not of arrays.
  std::size_t readings_ = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_FORMATS_ACQUISITION_DOCUMENT_H_
