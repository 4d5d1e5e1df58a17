// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// audit

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/common/v1/audit_service.grpc.pb.h>
#include <google/protobuf/util/time_util.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/common/audit/audit_chain.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

using common::v1::AuditService;
using common::v1::ListAuditEntriesRequest;
using common::v1::ListAuditEntriesResponse;
using ProtoEntry = common::v1::AuditEntry;

const std::vector<std::string>& Services() {
  static const auto* const services = new std::vector<std::string>{
      "provisioning", "ingestion", "build", "evaluation", "distribution"};
  return *services;
}

struct AuditFlags {
  std::vector<std::string> services;
  std::string since;
  std::vector<std::string> expected;
};

AuditEntry FromProto(const ProtoEntry& proto) {
  return {.sequence = proto.sequence(),
          .record = {.time_ms = proto.time_ms(),
                     .subject = proto.subject(),
                     .role = proto.role(),
                     .method = proto.method(),
                     .target = proto.target(),
                     .outcome = proto.outcome(),
                     .request_id = proto.request_id(),
                     .trace_id = proto.trace_id()},
          .previous_hash = proto.previous_hash(),
          .hash = proto.hash()};
}

absl::Status ListEntries(Client& client, const AuditFlags& flags) {
  ListAuditEntriesRequest request;
  if (!flags.since.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration since, DurationOf("--since", flags.since));
    request.set_since_ms(
        google::protobuf::util::TimeUtil::TimestampToMilliseconds(FromNow(-since)));
  }
  std::vector<std::pair<std::string, ProtoEntry>> entries;
  for (const std::string& service : flags.services) {
    FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<AuditService>(service));
    FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &AuditService::Stub::ListAuditEntries, request,
                                          [&](const ListAuditEntriesResponse& page) {
                                            for (const ProtoEntry& entry : page.entries()) {
                                              entries.emplace_back(service, entry);
                                            }
                                          }));
  }
  // Those of one service stay in their order.
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.first == b.first ? a.second.sequence() < b.second.sequence()
                              : a.second.time_ms() < b.second.time_ms();
  });
  Table table(
      {"TIME", "SERVICE", "ENTRY", "SUBJECT", "ROLE", "METHOD", "TARGET", "OUTCOME", "REQUEST"});
  for (const auto& [service, entry] : entries) {
    if (client.json()) {
      PrintJson(entry);
    }
    table.Row({TimeText(google::protobuf::util::TimeUtil::MillisecondsToTimestamp(entry.time_ms())),
               service, absl::StrCat(entry.sequence()), entry.subject(), entry.role(),
               ShortName(entry.method()), entry.target(), entry.outcome(), entry.request_id()});
  }
  if (!client.json()) {
    table.Print("no entries");
  }
  return absl::OkStatus();
}

// Heads that were kept, by service: "SERVICE:SEQUENCE:HASH" as verify prints them.
absl::StatusOr<std::multimap<std::string, AuditHead>> ExpectedHeads(
    const std::vector<std::string>& texts) {
  std::multimap<std::string, AuditHead> heads;
  for (const std::string& text : texts) {
    const std::vector<std::string> parts = absl::StrSplit(text, ':');
    AuditHead head;
    const bool is_known =
        std::find(Services().begin(), Services().end(), parts[0]) != Services().end();
    if (!is_known || parts.size() != 3 || !absl::SimpleAtoi(parts[1], &head.sequence) ||
        parts[2].size() != std::string(kNoAuditHash).size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--expect: got \"", text, "\", want SERVICE:SEQUENCE:HASH as `audit verify` prints it"));
    }
    head.hash = parts[2];
    heads.emplace(parts[0], head);
  }
  return heads;
}

// Walks the chain of a service; how it ends.
absl::StatusOr<AuditHead> Verify(Client& client, const std::string& service,
                                 const std::multimap<std::string, AuditHead>& expected) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<AuditService>(service));
  AuditChainCheck check;
  AuditHead said;
  absl::Status wrong;
  const auto [first, last] = expected.equal_range(service);
  std::map<std::int64_t, std::string> hashes = {{0, kNoAuditHash}};
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(
      *stub, &AuditService::Stub::ListAuditEntries, ListAuditEntriesRequest(),
      [&, begin = first, end = last](const ListAuditEntriesResponse& page) {
        for (const ProtoEntry& entry : page.entries()) {
          wrong.Update(wrong.ok() ? check.Take(FromProto(entry)) : absl::OkStatus());
          const bool is_expected = std::any_of(
              begin, end, [&](const auto& one) { return one.second.sequence == entry.sequence(); });
          if (is_expected) {
            hashes[entry.sequence()] = entry.hash();
          }
        }
        said = {.sequence = page.head_sequence(), .hash = page.head_hash()};
      }));
  FIELDLOOP_RETURN_IF_ERROR(wrong);
  FIELDLOOP_RETURN_IF_ERROR(check.Finish(said));
  for (auto one = first; one != last; ++one) {
    const AuditHead& head = one->second;
    const auto found = hashes.find(head.sequence);
    if (found == hashes.end()) {
      return absl::DataLossError(
          absl::StrCat("entry ", head.sequence,
                       ", which --expect names, is not there: the chain ends with entry ",
                       check.head().sequence));
    }
    if (found->second != head.hash) {
      return absl::DataLossError(absl::StrCat("entry ", head.sequence,
                                              " is another one than --expect names: its hash is ",
                                              found->second, ", want ", head.hash));
    }
  }
  return check.head();
}

absl::Status VerifyAll(Client& client, const AuditFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto expected, ExpectedHeads(flags.expected));
  for (const auto& [service, head] : expected) {
    if (std::find(flags.services.begin(), flags.services.end(), service) == flags.services.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--expect: got one of ", service, ", which --service leaves out"));
    }
  }
  absl::Status first_error;
  for (const std::string& service : flags.services) {
    const absl::StatusOr<AuditHead> head = Verify(client, service, expected);
    if (head.ok()) {
      std::cout << service << ":" << head->sequence << ":" << head->hash << std::endl;
    } else {
      const absl::Status said(head.status().code(), absl::StrCat("audit log of ", service, ": ",
                                                                 head.status().message()));
      if (!first_error.ok()) {
        std::cerr << said.message() << std::endl;  // The first is the command's own.
      }
      first_error.Update(said);
    }
  }
  return first_error;
}

}  // namespace

void AddAudit(Program& program) {
  CLI::App* noun = program.app.add_subcommand("audit", "Who changed what");
  noun->require_subcommand(1);
  auto flags = std::make_shared<AuditFlags>();
  flags->services = Services();
  const auto with_services = [&](CLI::App* verb) {
    verb->add_option("--service", flags->services, "only of this service; may be repeated")
        ->check(CLI::IsMember(Services()));
    return verb;
  };
  CLI::App* list = with_services(
      program.Verb(noun, "list", "Lists calls that changed something or were refused",
                   [&program, flags] { return ListEntries(program.client, *flags); }));
  list->add_option("--since", flags->since, "only of the last 90s, 24h or 30d");
  list->add_flag_callback(
      "--json", [&program] { program.client.output = "json"; }, "as --output json");
  CLI::App* verify = with_services(
      program.Verb(noun, "verify",
                   "Checks that no entry was changed or taken out, and prints where each log ends",
                   [&program, flags] { return VerifyAll(program.client, *flags); }));
  verify->add_option("--expect", flags->expected,
                     "SERVICE:SEQUENCE:HASH that an earlier run printed and that must be there; "
                     "may be repeated");
}

}  // namespace fieldloop::cli
