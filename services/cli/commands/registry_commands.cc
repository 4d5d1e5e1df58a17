// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// models compare, models export, models alias-history

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <google/protobuf/util/time_util.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/grpc/client_call.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/status/status_macros.h"
#include "services/common/zip/zip_archive.h"

namespace fieldloop::cli {
namespace {

namespace bv = build::v1;
using Service = bv::BuildService;
using Stub = Service::Stub;

// More than the service itself allows.
constexpr absl::Duration kCompareTimeout = absl::Seconds(90);

absl::StatusOr<std::unique_ptr<Stub>> StubOf(Client& client) {
  return client.Stub<Service>("build");
}

// Counts without a fraction, shares with three digits.
std::string ValueText(const std::string& name, const std::optional<double>& value) {
  if (!value.has_value()) {
    return "-";
  }
  const bool whole = absl::EndsWith(name, "_bytes") || absl::EndsWith(name, "_nanos") ||
                     absl::EndsWith(name, "_instructions") || absl::StartsWith(name, "windows/");
  return whole ? absl::StrFormat("%.0f", *value) : NumberText(*value);
}

std::string DifferenceText(const bv::ModelComparison::Row& row) {
  if (!row.has_first() || !row.has_second()) {
    return "";
  }
  const double difference = row.second() - row.first();
  const std::string text = ValueText(row.name(), difference);
  return difference > 0 ? absl::StrCat("+", text) : text;
}

struct CompareFlags {
  std::string first;
  std::string second;
  std::string dataset;
  std::vector<std::string> slices;
};

void PrintComparison(const bv::ModelComparison& comparison) {
  std::map<std::string, Table> slices;
  std::vector<std::string> order;
  for (const bv::ModelComparison::Row& row : comparison.rows()) {
    const auto [slice, is_new] = slices.try_emplace(
        row.slice(), Table({row.slice() == "all" ? "" : row.slice(),
                            absl::StrCat("MODEL ", ShortName(comparison.first())),
                            absl::StrCat("MODEL ", ShortName(comparison.second())), "DIFFERENCE"}));
    if (is_new) {
      order.push_back(row.slice());
    }
    const auto value = [](bool has, double number) {
      return has ? std::optional<double>(number) : std::nullopt;
    };
    slice->second.Row({row.name(), ValueText(row.name(), value(row.has_first(), row.first())),
                       ValueText(row.name(), value(row.has_second(), row.second())),
                       DifferenceText(row)});
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::cout << (i == 0 ? "" : "\n");
    slices.at(order[i]).Print("");
  }
  if (comparison.dataset_version().empty()) {
    std::cout
        << "\nEach model on the testing windows of its own dataset version; --dataset compares "
           "them on the same.\n";
  } else {
    std::cout << "\nOn " << comparison.dataset_version()
              << (comparison.partial() ? ", in part" : "") << ": both right "
              << comparison.both_right() << ", only the first " << comparison.only_first_right()
              << ", only the second " << comparison.only_second_right() << ", neither "
              << comparison.neither_right() << "\n";
  }
  for (const std::string& difference : comparison.recipe_differences()) {
    std::cout << "recipe: " << difference << "\n";
  }
}

absl::Status Compare(Client& client, const CompareFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::CompareModelsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_first(), client.Name("models", flags.first));
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_second(), client.Name("models", flags.second));
  if (!flags.dataset.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_dataset_version(),
                               client.Name("datasets", flags.dataset));
  }
  request.mutable_slice_keys()->Assign(flags.slices.begin(), flags.slices.end());
  FIELDLOOP_ASSIGN_OR_RETURN(const bv::CompareModelsResponse response,
                             CallUnary(*stub, &Stub::CompareModels, request, kCompareTimeout));
  if (client.json()) {
    PrintJson(response.comparison());
  } else {
    PrintComparison(response.comparison());
  }
  return absl::OkStatus();
}

// Writes the archive, or its files into `out` if that is a folder.
absl::Status Export(Client& client, const std::string& id, const std::string& format,
                    const std::string& out) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::ExportModelRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("models", id));
  request.set_format(format == "c-array" ? bv::ExportModelRequest::FORMAT_C_ARRAY
                                         : bv::ExportModelRequest::FORMAT_DEPLOYMENT_METADATA);
  grpc::ClientContext context;
  const auto reader = stub->ExportModel(&context, request);
  std::string archive;
  bv::ExportModelResponse piece;
  while (reader->Read(&piece)) {
    archive += piece.data();
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  std::error_code ignored;
  if (!std::filesystem::is_directory(out, ignored)) {
    FIELDLOOP_RETURN_IF_ERROR(WriteFile(out, archive));
    std::cout << out << ": " << SizeText(static_cast<std::int64_t>(archive.size())) << "\n";
    return absl::OkStatus();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<ZipEntry> files, UnpackZip(archive));
  for (const ZipEntry& file : files) {
    // Only the last part of its name: an archive does not choose where it is written.
    const std::string path =
        (std::filesystem::path(out) / std::filesystem::path(file.name).filename()).string();
    FIELDLOOP_RETURN_IF_ERROR(WriteFile(path, file.content));
    std::cout << path << ": " << SizeText(static_cast<std::int64_t>(file.content.size())) << "\n";
  }
  return absl::OkStatus();
}

void PrintChange(Client& client, Table& table, const bv::AliasChange& change) {
  if (client.json()) {
    PrintJson(change);
  }
  table.Row({TimeText(change.create_time()),
             change.model().empty() ? "(taken away)" : change.model(), change.author(),
             change.reason()});
}

absl::Status AliasHistory(Client& client, const std::string& alias, const std::string& at) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  bv::ListAliasChangesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  request.set_alias(alias);
  std::optional<google::protobuf::Timestamp> end;
  if (!at.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const absl::Time time, TimeOf("--at", at));
    // The tables show whole seconds: one without a fraction stands for all of that second.
    const bool whole = time == absl::FromUnixSeconds(absl::ToUnixSeconds(time));
    end = ToTimestamp(time + (whole ? absl::Seconds(1) : absl::Microseconds(1)));
  }
  Table table({"TIME", "MODEL", "AUTHOR", "REASON"});
  bool found = false;
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListAliasChanges, request, [&](const auto& page) {
        for (const bv::AliasChange& change : page.changes()) {
          if (!end.has_value()) {
            PrintChange(client, table, change);
          } else if (!found && change.create_time() < *end) {
            PrintChange(client, table, change);
            found = true;
          }
        }
      }));
  if (!client.json()) {
    table.Print(at.empty() ? "the alias was never set" : "the alias was not set yet");
  }
  return absl::OkStatus();
}

}  // namespace

void AddRegistryVerbs(Program& program, CLI::App* models) {
  Client& client = program.client;
  auto flags = std::make_shared<CompareFlags>();
  CLI::App* compare = program.Verb(models, "compare", "Puts two models side by side",
                                   [&client, flags] { return Compare(client, *flags); });
  compare->add_option("first", flags->first, "number or alias")->required();
  compare->add_option("second", flags->second, "number or alias")->required();
  compare->add_option("--dataset", flags->dataset,
                      "DATASET/versions/N; runs both on its testing windows");
  compare->add_option("--slice", flags->slices, "metadata key to slice by; repeatable");

  auto id = std::make_shared<std::string>();
  auto format = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  CLI::App* exported =
      program.Verb(models, "export", "Writes a model as files for other tools",
                   [&client, id, format, out] { return Export(client, *id, *format, *out); });
  exported->add_option("model", *id, "number or alias")->required();
  exported->add_option("--format", *format, "c-array or deployment")
      ->required()
      ->check(CLI::IsMember({"c-array", "deployment"}));
  exported->add_option("--out", *out, "ZIP file, or a folder that is there for the files in it")
      ->required();

  auto alias = std::make_shared<std::string>();
  auto at = std::make_shared<std::string>();
  CLI::App* history =
      program.Verb(models, "alias-history", "Lists where an alias pointed: who, when and why",
                   [&client, alias, at] { return AliasHistory(client, *alias, *at); });
  history->add_option("alias", *alias)->required();
  history->add_option("--at", *at,
                      "only where it pointed then, such as 2026-01-31T12:00:00Z or 2026-01-31; "
                      "without a fraction, at the end of that second");
}

}  // namespace fieldloop::cli
