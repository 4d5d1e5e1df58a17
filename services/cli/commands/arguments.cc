// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/commands/arguments.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/grpc/proto_time.h"

namespace fieldloop::cli {

absl::StatusOr<std::map<std::string, std::string>> KeyValues(
    const std::string& flag, const std::vector<std::string>& arguments) {
  std::map<std::string, std::string> pairs;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, ": got \"", argument, "\", want key=value"));
    }
    pairs[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  return pairs;
}

absl::StatusOr<absl::Duration> DurationOf(const std::string& flag, const std::string& text) {
  absl::Duration duration;
  int days = 0;
  if (absl::EndsWith(text, "d") && absl::SimpleAtoi(text.substr(0, text.size() - 1), &days)) {
    duration = absl::Hours(24) * days;
  } else if (!absl::ParseDuration(text, &duration)) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": got \"", text, "\", want a time such as 90s, 24h or 30d"));
  }
  if (duration <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": got \"", text, "\", want above 0"));
  }
  return duration;
}

absl::StatusOr<absl::Time> TimeOf(const std::string& flag, const std::string& text) {
  absl::Time time;
  std::string ignored;
  for (const char* format : {absl::RFC3339_full, "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, text, &time, &ignored)) {
      return time;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      flag, ": got \"", text, "\", want a time such as 2026-01-31T12:00:00Z or 2026-01-31"));
}

google::protobuf::Timestamp FromNow(absl::Duration duration) {
  return ToTimestamp(absl::Now() + duration);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  return text.str();
}

absl::Status WriteFile(const std::string& path, const std::string& content, int mode) {
  const std::string temporary = path + ".tmp";
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  const bool written =
      descriptor >= 0 &&
      ::write(descriptor, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
      ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  if (!written || std::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", std::strerror(error)));
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::cli
