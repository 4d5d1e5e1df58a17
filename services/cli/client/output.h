// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_CLIENT_OUTPUT_H_
#define FIELDLOOP_SERVICES_CLI_CLIENT_OUTPUT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/cli/client/installation.h"
#include "services/common/grpc/grpc_status.h"

namespace fieldloop::cli {

// Prints a message as JSON with the names of the proto, one line.
void PrintJson(const google::protobuf::Message& message);

// A table for people: a header and rows, columns padded; an empty one says `empty`.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void Print(absl::string_view empty) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// Prints `message` as JSON, or one line per pair of name and value. Pairs without a value are left
// out.
void PrintRecord(const Client& client, const google::protobuf::Message& message,
                 const std::vector<std::pair<std::string, std::string>>& pairs);

// "2026-01-31 12:00:01", in UTC; "" for a time that is not set.
std::string TimeText(const google::protobuf::Timestamp& time);
// "12.3 KB".
std::string SizeText(std::int64_t bytes);
// "0.912".
std::string NumberText(double value, int digits = 3);
// The last segment of a resource name.
std::string ShortName(absl::string_view name);
// The name of an enum value without its prefix: "STATE_RUNNING" is "running".
std::string StateText(const std::string& value_name, absl::string_view prefix = "STATE_");

// Prints one line of progress, over the line before on a terminal, below it elsewhere and only when
// it changed.
class ProgressLine {
 public:
  ~ProgressLine();
  void Show(const std::string& line);

 private:
  std::string last_;
  bool open_ = false;
};

// Follows a Watch stream until it ends: `line` says what to show for each message, or JSON lines.
// Returns the last message's view through `last`.
template <typename Response>
absl::Status Follow(const Client& client, grpc::ClientReader<Response>& reader,
                    const std::function<std::string(const Response&)>& line, Response& last) {
  ProgressLine progress;
  Response response;
  while (reader.Read(&response)) {
    if (client.json()) {
      PrintJson(response);
    } else {
      progress.Show(line(response));
    }
    last = response;
  }
  return FromGrpcStatus(reader.Finish());
}

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_CLIENT_OUTPUT_H_
