// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/process_tree.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "absl/strings/str_cat.h"

namespace fieldloop::build {
namespace {

// Each thread has the children that it made.
std::vector<pid_t> ChildrenOf(pid_t process) {
  std::vector<pid_t> children;
  std::error_code error;
  for (std::filesystem::directory_iterator thread(absl::StrCat("/proc/", process, "/task"), error);
       !error && thread != std::filesystem::directory_iterator(); thread.increment(error)) {
    std::ifstream list(thread->path() / "children");
    pid_t child = 0;
    while (list >> child) {
      children.push_back(child);
    }
  }
  return children;
}

std::int64_t MemoryOf(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/statm"));
  std::int64_t size = 0;
  std::int64_t resident = 0;
  std::int64_t of_files = 0;
  return file >> size >> resident >> of_files ? (resident - of_files) * sysconf(_SC_PAGESIZE) : 0;
}

}  // namespace

TreeUse UseBelow(pid_t root) {
  TreeUse use;
  std::vector<pid_t> open = ChildrenOf(root);
  while (!open.empty()) {
    const pid_t process = open.back();
    open.pop_back();
    ++use.processes;
    use.memory_bytes += MemoryOf(process);
    const std::vector<pid_t> children = ChildrenOf(process);
    open.insert(open.end(), children.begin(), children.end());
  }
  return use;
}

}  // namespace fieldloop::build
