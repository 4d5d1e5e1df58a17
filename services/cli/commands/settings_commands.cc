// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// settings

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;
using Service = iv::IngestionService;
using Stub = Service::Stub;

constexpr std::int64_t kSecondsInDay = 24 * 60 * 60;

std::string SettingsName(const std::string& project) { return absl::StrCat(project, "/settings"); }

absl::StatusOr<iv::Settings> Current(const Client& client, Stub& stub) {
  iv::GetSettingsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, client.Project());
  request.set_name(SettingsName(project));
  FIELDLOOP_ASSIGN_OR_RETURN(iv::GetSettingsResponse response,
                             CallUnary(stub, &Stub::GetSettings, request));
  return std::move(*response.mutable_settings());
}

std::string AgeText(const google::protobuf::Duration& age) {
  if (age.seconds() % kSecondsInDay == 0) {
    return absl::StrCat(age.seconds() / kSecondsInDay, "d");
  }
  return absl::StrCat(age.seconds(), "s");
}

void Print(const Client& client, const iv::Settings& settings) {
  const auto number = [](double value, const char* unit) {
    return value > 0 ? absl::StrCat(value, unit) : "";
  };
  const std::map<std::string, std::string> units(settings.units().begin(), settings.units().end());
  const iv::Retention& retention = settings.retention();
  PrintRecord(
      client, settings,
      {{"settings", settings.name()},
       {"frequency", settings.frequency_hz() > 0 ? number(settings.frequency_hz(), " Hz")
                                                 : "the median of each file"},
       {"signatures", settings.strict_signatures()   ? "must be valid"
                      : settings.has_signature_key() ? "checked and marked"
                                                     : "not checked: there is no key"},
       {"units", absl::StrJoin(units, " ", absl::PairFormatter("="))},
       {"shortest", number(settings.min_seconds(), " s")},
       {"longest", number(settings.max_seconds(), " s")},
       {"keeps unlabelled",
        retention.has_unlabelled() ? AgeText(retention.unlabelled()) : "for ever"},
       {"keeps labelled", retention.has_labelled() ? AgeText(retention.labelled()) : "for ever"},
       {"keeps at most", retention.max_bytes() > 0 ? SizeText(retention.max_bytes()) : ""},
       {"split key", settings.split_key()}});
}

absl::Status GetSettings(const Client& client, Stub& stub) {
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::Settings settings, Current(client, stub));
  Print(client, settings);
  return absl::OkStatus();
}

// What `settings set` was given; the others stay as they are.
struct Changes {
  std::optional<double> frequency_hz;
  std::optional<bool> strict_signatures;
  std::string signature_key_file;
  bool clear_signature_key = false;
  std::vector<std::string> units;
  bool clear_units = false;
  std::optional<double> min_seconds;
  std::optional<double> max_seconds;
  std::optional<std::string> keep_unlabelled;
  std::optional<std::string> keep_labelled;
  std::optional<std::int64_t> max_bytes;
  std::optional<std::string> split_key;
};

// Sets an age of the retention; "0" clears it.
absl::Status SetAge(const std::string& flag, const std::string& text,
                    google::protobuf::Duration* age) {
  if (text == "0") {
    age->Clear();
    return absl::OkStatus();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration duration, DurationOf(flag, text));
  age->set_seconds(absl::ToInt64Seconds(duration));
  return absl::OkStatus();
}

absl::Status Apply(const Changes& changes, iv::Settings& settings) {
  if (changes.frequency_hz.has_value()) settings.set_frequency_hz(*changes.frequency_hz);
  if (changes.strict_signatures.has_value()) {
    settings.set_strict_signatures(*changes.strict_signatures);
  }
  if (!changes.signature_key_file.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(changes.signature_key_file));
    settings.set_signature_key(std::string(absl::StripAsciiWhitespace(text)));
  }
  if (changes.clear_units) settings.clear_units();
  FIELDLOOP_ASSIGN_OR_RETURN(const auto units, KeyValues("--units", changes.units));
  for (const auto& [axis, unit] : units) {
    (*settings.mutable_units())[axis] = unit;
  }
  if (changes.min_seconds.has_value()) settings.set_min_seconds(*changes.min_seconds);
  if (changes.max_seconds.has_value()) settings.set_max_seconds(*changes.max_seconds);
  iv::Retention& retention = *settings.mutable_retention();
  if (changes.keep_unlabelled.has_value()) {
    FIELDLOOP_RETURN_IF_ERROR(
        SetAge("--keep-unlabelled", *changes.keep_unlabelled, retention.mutable_unlabelled()));
  }
  if (changes.keep_labelled.has_value()) {
    FIELDLOOP_RETURN_IF_ERROR(
        SetAge("--keep-labelled", *changes.keep_labelled, retention.mutable_labelled()));
  }
  if (changes.max_bytes.has_value()) retention.set_max_bytes(*changes.max_bytes);
  if (changes.split_key.has_value()) settings.set_split_key(*changes.split_key);
  return absl::OkStatus();
}

absl::Status SetSettings(const Client& client, Stub& stub, const Changes& changes) {
  iv::UpdateSettingsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_settings(), Current(client, stub));
  FIELDLOOP_RETURN_IF_ERROR(Apply(changes, *request.mutable_settings()));
  request.set_clear_signature_key(changes.clear_signature_key);
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::UpdateSettingsResponse response,
                             CallUnary(stub, &Stub::UpdateSettings, request));
  Print(client, response.settings());
  return absl::OkStatus();
}

}  // namespace

void AddSettings(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("settings", "How recordings are read and kept");
  noun->require_subcommand(1);
  program.Verb(noun, "get", "Shows a project's settings", [&client]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<Service>("ingestion"));
    return GetSettings(client, *stub);
  });
  auto changes = std::make_shared<Changes>();
  CLI::App* set =
      program.Verb(noun, "set", "Changes the settings that are given; the others stay",
                   [&client, changes]() -> absl::Status {
                     FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<Service>("ingestion"));
                     return SetSettings(client, *stub, *changes);
                   });
  set->add_option("--frequency", changes->frequency_hz,
                  "Hz that recordings with irregular timestamps get; 0: their own median");
  set->add_option("--strict-signatures", changes->strict_signatures,
                  "true: refuse signed formats without a valid signature; false: mark them");
  set->add_option("--signature-key", changes->signature_key_file,
                  "file with the key that signatures are checked with");
  set->add_flag("--clear-signature-key", changes->clear_signature_key, "forget the key");
  set->add_option("--units", changes->units,
                  "AXIS=UNIT, or *=UNIT for all others: other units are flagged; repeatable");
  set->add_flag("--clear-units", changes->clear_units, "forget the units before --units");
  set->add_option("--min-seconds", changes->min_seconds, "shorter recordings are flagged; 0: none");
  set->add_option("--max-seconds", changes->max_seconds, "longer recordings are flagged; 0: none");
  set->add_option("--keep-unlabelled", changes->keep_unlabelled,
                  "delete unlabelled recordings after this time, such as 30d; 0: never");
  set->add_option("--keep-labelled", changes->keep_labelled,
                  "delete labelled recordings after this time, such as 365d; 0: never");
  set->add_option("--max-bytes", changes->max_bytes,
                  "delete the oldest recordings beyond this many bytes; 0: no limit");
  set->add_option("--split-key", changes->split_key,
                  "metadata key whose values stay on one side, such as person; \"\": none");
}

}  // namespace fieldloop::cli
