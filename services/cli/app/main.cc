// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop: the command line of an installation.

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/cli/commands/commands.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"
#include "services/common/trace/span_exporter.h"

namespace {

// What a person can do about an error that the text alone does not tell.
std::string Advice(const absl::Status& status, const std::string& home) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return absl::StrCat("is the installation running? Start it with `fieldloop up --home ", home,
                          "`, or name another with --home");
    case absl::StatusCode::kUnauthenticated:
      return "give an API token with --token or FIELDLOOP_TOKEN";
    case absl::StatusCode::kPermissionDenied:
      return "the token's role or project does not allow it; `fieldloop tokens api` makes another";
    default:
      return "";
  }
}

// The first word that is no command, after the nouns and verbs that are; "" if there is none.
std::string UnknownCommand(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.empty() || word.front() == '-') {
      return "";  // An option may take the next word.
    }
    const auto named = [&word](const CLI::App* command) { return command->check_name(word); };
    const std::vector<const CLI::App*> found = at->get_subcommands(named);
    if (found.empty()) {
      const bool is_verb = at->get_subcommands([](const CLI::App*) { return true; }).empty();
      return is_verb ? "" : word;
    }
    at = found.front();
  }
  return "";
}

// "cycles start": the nouns and verbs of the command.
std::string CommandName(const CLI::App& app) {
  std::string name;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    absl::StrAppend(&name, name.empty() ? "" : " ", at->get_name());
  }
  return name;
}

// Notes whether a service was called, and passes spans on.
class CallWatch final : public fieldloop::SpanSink {
 public:
  explicit CallWatch(std::shared_ptr<fieldloop::SpanSink> next) : next_(std::move(next)) {}
  void Add(fieldloop::SpanData span) override {
    called_ = called_ || span.kind == fieldloop::SpanKind::kClient;
    if (next_ != nullptr) {
      next_->Add(std::move(span));
    }
  }
  bool called() const { return called_; }

 private:
  const std::shared_ptr<fieldloop::SpanSink> next_;
  std::atomic<bool> called_ = false;
};

// Each command is a trace, and all of them are sampled: they are few, and who sees an id wants to
// find it. `request_id` is that of the calls which the command made, "" if there was none.
absl::Status RunInTrace(const CLI::App& app, const std::string& traces,
                        const std::function<absl::Status()>& action, std::string& request_id) {
  const std::string name = CommandName(app);
  std::shared_ptr<fieldloop::SpanSink> exporter;
  if (!traces.empty() && name == "up") {
    ::setenv("FIELDLOOP_TRACES", traces.c_str(), /*overwrite=*/1);  // For the services.
  } else if (!traces.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        exporter, fieldloop::SpanExporter::Start({.url = traces, .service = "fieldloop"},
                                                 [](fieldloop::SpanFate, std::size_t) {}));
  }
  const auto watch = std::make_shared<CallWatch>(std::move(exporter));
  fieldloop::SetSpanSink(watch, 1);
  absl::Status status;
  {
    fieldloop::WorkSpan work(absl::StrCat("fieldloop ", name), fieldloop::SpanKind::kInternal, {},
                             {});
    status = action();
    request_id = watch->called() ? fieldloop::CurrentRequestId() : "";
    work.span().Finish(status);
  }
  fieldloop::SetSpanSink(nullptr, 0);
  return status;
}

}  // namespace

namespace fieldloop::cli {

CLI::App* Program::Verb(CLI::App* noun, const std::string& name, const std::string& help,
                        Action action) {
  CLI::App* verb = noun->add_subcommand(name, help);
  verb->callback([this, action = std::move(action)] { chosen = action; });
  return verb;
}

}  // namespace fieldloop::cli

int main(int argc, char** argv) try {
  CLI::App app{
      "fieldloop keeps the models on a fleet of devices good.\n"
      "Start an installation on this machine with `fieldloop up`."};
  app.require_subcommand(1);
  app.fallthrough();
  fieldloop::cli::Client client;
  client.home = "fieldloop-data";
  app.add_option("--home", client.home, "folder of the installation")
      ->envname("FIELDLOOP_HOME")
      ->capture_default_str();
  app.add_option("--token", client.token, "API token; default: the installation's own")
      ->envname("FIELDLOOP_TOKEN");
  app.add_option("-p,--project", client.project, "project id")->envname("FIELDLOOP_PROJECT");
  std::string traces;
  app.add_option("--traces", traces,
                 "collector that gets spans of this command by OTLP over HTTP, and of the services "
                 "that `up` starts; default: none")
      ->envname("FIELDLOOP_TRACES");
  app.add_option("-o,--output", client.output, "table for people, json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();

  fieldloop::cli::Program program{.app = app, .client = client, .chosen = {}};
  fieldloop::cli::AddUp(program);
  fieldloop::cli::AddBackup(program);
  fieldloop::cli::AddHealth(program);
  fieldloop::cli::AddAudit(program);
  fieldloop::cli::AddProjects(program);
  fieldloop::cli::AddTokens(program);
  fieldloop::cli::AddDevices(program);
  fieldloop::cli::AddSamples(program);
  fieldloop::cli::AddLabels(program);
  fieldloop::cli::AddDatasets(program);
  fieldloop::cli::AddSettings(program);
  fieldloop::cli::AddRetention(program);
  fieldloop::cli::AddImpulses(program);
  fieldloop::cli::AddBuilds(program);
  fieldloop::cli::AddModels(program);
  fieldloop::cli::AddLineage(program);
  fieldloop::cli::AddTrainers(program);
  fieldloop::cli::AddArtifacts(program);
  fieldloop::cli::AddReleases(program);
  fieldloop::cli::AddTrust(program);
  fieldloop::cli::AddEvaluations(program);
  fieldloop::cli::AddPolicies(program);
  fieldloop::cli::AddCycles(program);
  fieldloop::cli::AddMetrics(program);
  fieldloop::cli::AddRollouts(program);
  fieldloop::cli::AddFleet(program);
  std::string request_id;
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    // CLI11 misses a subcommand before it notices a word that is none.
    if (const std::string word = UnknownCommand(app, argc, argv); !word.empty()) {
      std::cerr << "fieldloop: there is no command \"" << word
                << "\"; `fieldloop --help` lists them\n";
      return EXIT_FAILURE;
    }
    return app.exit(error);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }

  const absl::Status status = RunInTrace(app, traces, program.chosen, request_id);
  if (status.ok()) {
    return EXIT_SUCCESS;
  }
  std::cerr << "fieldloop: " << status.message();
  if (const std::string reason = fieldloop::ReasonOf(status); !reason.empty()) {
    std::cerr << " [" << reason << "]";
  }
  std::cerr << "\n";
  if (const std::string advice = Advice(status, client.home); !advice.empty()) {
    std::cerr << "  " << advice << "\n";
  }
  if (!request_id.empty()) {
    std::cerr << "  request id " << request_id << "\n";
  }
  return EXIT_FAILURE;
} catch (const std::exception& error) {
  std::cerr << "fieldloop: " << error.what() << "\n";
  return EXIT_FAILURE;
}
