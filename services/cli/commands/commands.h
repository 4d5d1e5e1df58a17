// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_COMMANDS_COMMANDS_H_
#define FIELDLOOP_SERVICES_CLI_COMMANDS_COMMANDS_H_

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "services/cli/client/installation.h"

namespace fieldloop::cli {

// A command's work; what it returns becomes the program's message and exit code.
using Action = std::function<absl::Status()>;

// What a command adds to: the parser, the client, and the action that the command line chose.
struct Program {
  CLI::App& app;
  Client& client;
  Action chosen;

  // Adds a verb to a noun: program.Verb(noun, "list", "Lists ...", action).
  CLI::App* Verb(CLI::App* noun, const std::string& name, const std::string& help, Action action);
};

void AddUp(Program& program);
void AddBackup(Program& program);  // And restore.
void AddHealth(Program& program);
void AddAudit(Program& program);
void AddTrust(Program& program);
void AddProjects(Program& program);
void AddTokens(Program& program);
void AddDevices(Program& program);
void AddSamples(Program& program);
void AddSampleImport(Program& program, CLI::App* noun);  // To the noun "samples".
void AddLabels(Program& program);
void AddDatasets(Program& program);
void AddSettings(Program& program);
void AddRetention(Program& program);
void AddImpulses(Program& program);
void AddBuilds(Program& program);
void AddModels(Program& program);
// compare, export and alias-history of the noun `models`.
void AddRegistryVerbs(Program& program, CLI::App* models);
void AddLineage(Program& program);
// import of the noun `models`.
void AddImportVerb(Program& program, CLI::App* models);
void AddTrainers(Program& program);
void AddArtifacts(Program& program);
void AddReleases(Program& program);
void AddEvaluations(Program& program);
void AddPolicies(Program& program);
void AddCycles(Program& program);
void AddMetrics(Program& program);
void AddRollouts(Program& program);
void AddFleet(Program& program);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_COMMANDS_COMMANDS_H_
