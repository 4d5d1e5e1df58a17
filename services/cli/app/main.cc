// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop: the command line of an installation.

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/cli/commands/commands.h"
#include "services/common/status/error_reason.h"

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
  app.add_option("-o,--output", client.output, "table for people, json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();

  fieldloop::cli::Program program{.app = app, .client = client, .chosen = {}};
  fieldloop::cli::AddUp(program);
  fieldloop::cli::AddHealth(program);
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

  const absl::Status status = program.chosen();
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
  return EXIT_FAILURE;
} catch (const std::exception& error) {
  std::cerr << "fieldloop: " << error.what() << "\n";
  return EXIT_FAILURE;
}
