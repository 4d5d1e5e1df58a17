// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/network_isolation.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxNumber = 10;

void WriteFile(const char* path, const char* text, std::size_t size) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file >= 0) {
    [[maybe_unused]] const ssize_t written = write(file, text, size);
    close(file);
  }
}

// Appends the digits of `number`; returns where they end.
char* AppendNumber(char* to, unsigned int number) {
  std::array<char, kMaxNumber> digits{};
  std::size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  while (count > 0) {
    *to++ = digits[--count];
  }
  return to;
}

// One user of the new namespace: the one that the process was.
void MapId(const char* path, unsigned int id) {
  std::array<char, 2 * kMaxNumber + 4> text{};
  char* end = AppendNumber(text.data(), id);
  *end++ = ' ';
  end = AppendNumber(end, id);
  *end++ = ' ';
  *end++ = '1';
  WriteFile(path, text.data(), static_cast<std::size_t>(end - text.data()));
}

// Programs with several processes talk over it.
void StartLoopback() {
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (any < 0) {
    return;
  }
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", sizeof("lo"));
  request.ifr_flags = IFF_UP;
  ioctl(any, SIOCSIFFLAGS, &request);
  close(any);
}

}  // namespace

int LeaveNetwork() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
    // A parent that hides its memory has made this process hide its own, and its maps with it. It
    // is about to become another program, beside which there is none yet.
    prctl(PR_SET_DUMPABLE, 1);
    constexpr char kDeny[] = "deny";
    WriteFile("/proc/self/setgroups", kDeny, sizeof(kDeny) - 1);
    MapId("/proc/self/uid_map", user);
    MapId("/proc/self/gid_map", group);
  } else if (unshare(CLONE_NEWNET) != 0) {
    return errno;
  }
  StartLoopback();
  return 0;
}

}  // namespace fieldloop::build
