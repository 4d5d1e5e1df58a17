// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// evaluations, policies, cycles, metrics

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/evaluation/v1/evaluation_service.grpc.pb.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/cli/client/output.h"
#include "services/cli/client/repeat.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace ev = evaluation::v1;
using Service = ev::EvaluationService;
using Stub = Service::Stub;

absl::StatusOr<std::unique_ptr<Stub>> StubOf(Client& client) {
  return client.Stub<Service>("evaluation");
}

std::string MetricText(const ev::Metric& metric) {
  if (metric.low() == 0 && metric.high() == 0) {
    return NumberText(metric.value());
  }
  return absl::StrFormat("%.3f [%.3f, %.3f]", metric.value(), metric.low(), metric.high());
}

void PrintEvaluation(const Client& client, const ev::Evaluation& evaluation) {
  PrintRecord(client, evaluation,
              {{"evaluation", evaluation.name()},
               {"state", StateText(ev::Evaluation::State_Name(evaluation.state()))},
               {"error", evaluation.error()},
               {"model", evaluation.model()},
               {"baseline", evaluation.baseline_model()},
               {"dataset", evaluation.dataset_version()}});
  if (client.json()) {
    return;
  }
  Table table({"SLICE", "WINDOWS", "METRIC", "MODEL", "BASELINE"});
  for (const ev::SliceResult& slice : evaluation.slices()) {
    for (const ev::Metric& metric : slice.metrics()) {
      std::string baseline;
      for (const ev::Metric& other : slice.baseline_metrics()) {
        if (other.name() == metric.name()) {
          baseline = MetricText(other);
        }
      }
      table.Row({slice.slice(), absl::StrCat(slice.windows()), metric.name(), MetricText(metric),
                 baseline});
    }
    if (slice.has_difference()) {
      table.Row({slice.slice(), "", "difference", MetricText(slice.difference()),
                 absl::StrFormat("McNemar mid-p %.3g", slice.mcnemar_mid_p())});
    }
  }
  table.Print("no results yet");
}

absl::Status WatchEvaluation(Client& client, Stub& stub, const std::string& name) {
  ev::WatchEvaluationRequest request;
  request.set_name(name);
  const auto open = [&](grpc::ClientContext& context) {
    return stub.WatchEvaluation(&context, request);
  };
  ev::WatchEvaluationResponse last;
  FIELDLOOP_RETURN_IF_ERROR(FollowOn<ev::WatchEvaluationResponse>(
      client, open,
      [](const auto& response) {
        return absl::StrFormat("evaluation %s %s %3.0f %%", ShortName(response.evaluation().name()),
                               StateText(ev::Evaluation::State_Name(response.evaluation().state())),
                               response.evaluation().progress() * 100);
      },
      last));
  if (last.evaluation().state() == ev::Evaluation::STATE_FAILED) {
    return absl::FailedPreconditionError(last.evaluation().error());
  }
  if (!client.json()) {
    PrintEvaluation(client, last.evaluation());
  }
  return absl::OkStatus();
}

struct EvaluationFlags {
  std::string name;
  std::string model;
  std::string dataset;
  std::string baseline;
  std::vector<std::string> slices;
  bool watch = false;
};

absl::Status CreateEvaluation(Client& client, const EvaluationFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::CreateEvaluationRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  ev::Evaluation& evaluation = *request.mutable_evaluation();
  FIELDLOOP_ASSIGN_OR_RETURN(*evaluation.mutable_model(), client.Name("models", flags.model));
  FIELDLOOP_ASSIGN_OR_RETURN(*evaluation.mutable_dataset_version(),
                             client.Name("datasets", flags.dataset));
  if (!flags.baseline.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(*evaluation.mutable_baseline_model(),
                               client.Name("models", flags.baseline));
  }
  for (const std::string& key : flags.slices) {
    evaluation.add_slice_keys(key);
  }
  request.set_request_id(NewRequestId());
  FIELDLOOP_ASSIGN_OR_RETURN(const ev::CreateEvaluationResponse response,
                             CallUnary(*stub, &Stub::CreateEvaluation, request));
  if (flags.watch) {
    return WatchEvaluation(client, *stub, response.evaluation().name());
  }
  PrintEvaluation(client, response.evaluation());
  return absl::OkStatus();
}

absl::Status GetEvaluation(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::GetEvaluationRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("evaluations", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const ev::GetEvaluationResponse response,
                             CallUnary(*stub, &Stub::GetEvaluation, request));
  PrintEvaluation(client, response.evaluation());
  return absl::OkStatus();
}

absl::Status ListEvaluations(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::ListEvaluationsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"EVALUATION", "STATE", "MODEL", "BASELINE", "DATASET", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListEvaluations, request, [&](const auto& page) {
        for (const ev::Evaluation& evaluation : page.evaluations()) {
          if (client.json()) {
            PrintJson(evaluation);
          }
          table.Row({ShortName(evaluation.name()),
                     StateText(ev::Evaluation::State_Name(evaluation.state())),
                     ShortName(evaluation.model()), ShortName(evaluation.baseline_model()),
                     evaluation.dataset_version(), TimeText(evaluation.create_time())});
        }
      }));
  if (!client.json()) {
    table.Print("no evaluations");
  }
  return absl::OkStatus();
}

absl::Status SetPolicy(Client& client, const std::string& path) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::SetPolicyRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_yaml(), ReadFile(path));
  absl::StatusOr<ev::SetPolicyResponse> response = CallUnary(*stub, &Stub::SetPolicy, request);
  if (!response.ok()) {
    return absl::Status(response.status().code(),
                        absl::StrCat(path, ": ", response.status().message()));
  }
  PrintRecord(client, response->policy(),
              {{"policy", response->policy().name()},
               {"version", absl::StrCat(response->policy().version())}});
  return absl::OkStatus();
}

absl::Status GetPolicy(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::GetPolicyRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string parent, client.Project());
  request.set_name(parent + "/policy");
  FIELDLOOP_ASSIGN_OR_RETURN(const ev::GetPolicyResponse response,
                             CallUnary(*stub, &Stub::GetPolicy, request));
  if (client.json()) {
    PrintJson(response.policy());
  } else {
    std::cout << response.policy().yaml();
  }
  return absl::OkStatus();
}

std::string CycleLine(const ev::Cycle& cycle) {
  std::string line = absl::StrCat("cycle ", ShortName(cycle.name()), " ",
                                  StateText(ev::Cycle::State_Name(cycle.state())));
  if (!cycle.activity().empty()) {
    absl::StrAppend(&line, ": ", cycle.activity());
  }
  return line;
}

void PrintCycle(const Client& client, const ev::Cycle& cycle) {
  PrintRecord(client, cycle,
              {{"cycle", cycle.name()},
               {"state", StateText(ev::Cycle::State_Name(cycle.state()))},
               {"activity", cycle.activity()},
               {"champion", cycle.champion_model()},
               {"drift report", cycle.drift_report()},
               {"dataset", cycle.dataset_version()},
               {"build", cycle.build()},
               {"candidate", cycle.candidate_model()},
               {"evaluation", cycle.evaluation()},
               {"release", cycle.release()},
               {"rollout", cycle.rollout()}});
  if (client.json()) {
    return;
  }
  for (const ev::GateResult& result : cycle.gate_results()) {
    std::cout << "gate  " << StateText(ev::GateResult::Verdict_Name(result.verdict()), "VERDICT_")
              << "  " << result.rule() << ": " << result.explanation() << "\n";
  }
  for (const ev::Cycle::Transition& transition : cycle.transitions()) {
    std::cout << TimeText(transition.create_time()) << "  "
              << StateText(ev::Cycle::State_Name(transition.to())) << "  " << transition.reason()
              << "\n";
    std::vector<std::pair<std::string, std::string>> evidence(transition.evidence().begin(),
                                                              transition.evidence().end());
    std::sort(evidence.begin(), evidence.end());
    for (const auto& [key, value] : evidence) {
      std::cout << "    " << key << " = " << value << "\n";
    }
  }
}

absl::Status ListCycles(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::ListCyclesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"CYCLE", "STATE", "CHAMPION", "CANDIDATE", "STARTED", "ENDED", "ACTIVITY"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListCycles, request, [&](const auto& page) {
    for (const ev::Cycle& cycle : page.cycles()) {
      if (client.json()) {
        PrintJson(cycle);
      }
      table.Row({ShortName(cycle.name()), StateText(ev::Cycle::State_Name(cycle.state())),
                 ShortName(cycle.champion_model()), ShortName(cycle.candidate_model()),
                 TimeText(cycle.create_time()), TimeText(cycle.end_time()), cycle.activity()});
    }
  }));
  if (!client.json()) {
    table.Print("no cycles; a policy starts them: `fieldloop policies set FILE`");
  }
  return absl::OkStatus();
}

absl::Status GetCycle(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::GetCycleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("cycles", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const ev::GetCycleResponse response,
                             CallUnary(*stub, &Stub::GetCycle, request));
  PrintCycle(client, response.cycle());
  return absl::OkStatus();
}

absl::Status WatchCycle(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::WatchCycleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("cycles", id));
  const auto open = [&](grpc::ClientContext& context) {
    return stub->WatchCycle(&context, request);
  };
  ev::WatchCycleResponse last;
  return FollowOn<ev::WatchCycleResponse>(
      client, open, [](const auto& response) { return CycleLine(response.cycle()); }, last);
}

absl::Status StartCycle(Client& client, const std::string& reason) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::CreateCycleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  request.set_reason(reason);
  request.set_request_id(NewRequestId());
  FIELDLOOP_ASSIGN_OR_RETURN(const ev::CreateCycleResponse response,
                             CallUnary(*stub, &Stub::CreateCycle, request));
  PrintCycle(client, response.cycle());
  return absl::OkStatus();
}

absl::Status ApproveCycle(Client& client, const std::string& id, const std::string& comment) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::ApproveCycleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("cycles", id));
  request.set_comment(comment);
  FIELDLOOP_ASSIGN_OR_RETURN(const ev::ApproveCycleResponse response,
                             CallUnary(*stub, &Stub::ApproveCycle, request));
  PrintCycle(client, response.cycle());
  return absl::OkStatus();
}

absl::Status CancelCycle(Client& client, const std::string& id, const std::string& reason) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::CancelCycleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("cycles", id));
  request.set_reason(reason);
  FIELDLOOP_ASSIGN_OR_RETURN(const ev::CancelCycleResponse response,
                             CallUnary(*stub, &Stub::CancelCycle, request));
  PrintCycle(client, response.cycle());
  return absl::OkStatus();
}

absl::Status ListMetrics(Client& client, double span_seconds) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::ListFieldMetricsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  request.set_span_seconds(span_seconds);
  Table table({"SENSOR TIME", "MODEL", "DEVICES", "WINDOWS", "CONFIDENCE", "ESTIMATED ACCURACY"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListFieldMetrics, request, [&](const auto& page) {
        for (const ev::FieldMetrics& metrics : page.field_metrics()) {
          if (client.json()) {
            PrintJson(metrics);
          }
          table.Row({TimeText(metrics.start_time()), metrics.model_digest().substr(0, 12),
                     absl::StrCat(metrics.device_count()), absl::StrCat(metrics.windows()),
                     NumberText(metrics.mean_confidence()),
                     NumberText(metrics.estimated_accuracy())});
        }
      }));
  if (!client.json()) {
    table.Print("no sketches yet");
  }
  return absl::OkStatus();
}

absl::Status ListDrift(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  ev::ListDriftReportsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"LOOK", "SENSOR TIME", "VERDICT", "DEVICES", "DRIFTED", "STATISTIC", "LIMIT",
               "EXPLANATION"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListDriftReports, request, [&](const auto& page) {
        for (const ev::DriftReport& report : page.drift_reports()) {
          if (client.json()) {
            PrintJson(report);
          }
          table.Row({absl::StrCat(report.look()), TimeText(report.recent_end_time()),
                     StateText(ev::DriftReport::Verdict_Name(report.verdict()), "VERDICT_"),
                     absl::StrCat(report.device_count()), absl::StrCat(report.drifted_devices()),
                     NumberText(report.statistic(), 2), NumberText(report.limit(), 2),
                     report.explanation()});
        }
      }));
  if (!client.json()) {
    table.Print("no looks yet");
  }
  return absl::OkStatus();
}

}  // namespace

void AddEvaluations(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("evaluations", "Models judged on dataset versions");
  noun->require_subcommand(1);
  auto flags = std::make_shared<EvaluationFlags>();
  CLI::App* create = program.Verb(noun, "create", "Queues an evaluation",
                                  [&client, flags] { return CreateEvaluation(client, *flags); });
  create->add_option("--model", flags->model, "number or alias")->required();
  create->add_option("--dataset", flags->dataset, "DATASET/versions/N")->required();
  create->add_option("--baseline", flags->baseline, "model to compare with");
  create->add_option("--slice", flags->slices, "metadata key to slice by; repeatable");
  create->add_flag("--watch", flags->watch, "follow it to its end");
  program.Verb(noun, "list", "Lists evaluations, newest first",
               [&client] { return ListEvaluations(client); });
  CLI::App* get = program.Verb(noun, "get", "Shows an evaluation",
                               [&client, flags] { return GetEvaluation(client, flags->name); });
  get->add_option("evaluation", flags->name)->required();
}

void AddPolicies(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("policies", "When to retrain and what proves it");
  noun->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  CLI::App* set = program.Verb(noun, "set", "Sets the project's policy from a YAML file",
                               [&client, path] { return SetPolicy(client, *path); });
  set->add_option("file", *path, "see docs/policy.md")->required();
  program.Verb(noun, "get", "Prints the project's policy", [&client] { return GetPolicy(client); });
}

void AddCycles(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("cycles", "Turns of the loop");
  noun->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto text = std::make_shared<std::string>();
  program.Verb(noun, "list", "Lists cycles, newest first",
               [&client] { return ListCycles(client); });
  program
      .Verb(noun, "get", "Shows a cycle with its evidence",
            [&client, id] { return GetCycle(client, *id); })
      ->add_option("cycle", *id)
      ->required();
  program
      .Verb(noun, "watch", "Follows a cycle to its end",
            [&client, id] { return WatchCycle(client, *id); })
      ->add_option("cycle", *id)
      ->required();
  program
      .Verb(noun, "start", "Starts a cycle by hand",
            [&client, text] { return StartCycle(client, *text); })
      ->add_option("--reason", *text, "for the record")
      ->required();
  CLI::App* approve =
      program.Verb(noun, "approve", "Lets a waiting cycle go on",
                   [&client, id, text] { return ApproveCycle(client, *id, *text); });
  approve->add_option("cycle", *id)->required();
  approve->add_option("--comment", *text, "for the record");
  CLI::App* cancel = program.Verb(noun, "cancel", "Ends a cycle",
                                  [&client, id, text] { return CancelCycle(client, *id, *text); });
  cancel->add_option("cycle", *id)->required();
  cancel->add_option("--reason", *text, "for the record")->required();
}

void AddMetrics(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("metrics", "How the models do in the field");
  noun->require_subcommand(1);
  auto span = std::make_shared<double>(300);
  CLI::App* list = program.Verb(noun, "field", "Lists field metrics over sensor time",
                                [&client, span] { return ListMetrics(client, *span); });
  list->add_option("--span", *span, "seconds of sensor time in one row")->capture_default_str();
  program.Verb(noun, "drift", "Lists the looks for drift, newest first",
               [&client] { return ListDrift(client); });
}

}  // namespace fieldloop::cli
