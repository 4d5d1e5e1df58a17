// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_COMMON_TAR_ARCHIVE_OF_H_
#define FIELDLOOP_TESTS_SERVICES_COMMON_TAR_ARCHIVE_OF_H_

#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/common/tar/tar.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::testing {

// An archive of these files, by name.
inline std::string ArchiveOf(const std::map<std::string, std::string>& files) {
  std::string archive;
  const auto sink = [&archive](absl::string_view data) {
    archive.append(data.data(), data.size());
    return absl::OkStatus();
  };
  TarWriter writer(sink);
  for (const auto& [name, content] : files) {
    EXPECT_THAT(writer.Add(name, content), IsOk());
  }
  EXPECT_THAT(writer.Finish(), IsOk());
  return archive;
}

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_SERVICES_COMMON_TAR_ARCHIVE_OF_H_
