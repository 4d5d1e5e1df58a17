// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// up, trust

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <memory>
#include <pthread.h>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/cli/backup/restore_backup.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/up/supervisor.h"
#include "services/cli/up/trust.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(60);
constexpr absl::Duration kStopGrace = absl::Seconds(15);

struct UpFlags {
  std::string address = "127.0.0.1";
  int base_port = 7400;
  std::string log_format = "text";
  std::vector<std::string> names;
  std::string trainers;
  std::string database;
};

// Order of the ports above the base, gRPC first; metrics are 20 above.
enum Port {
  kProvisioning = 1,
  kIngestion,
  kBuild,
  kEvaluation,
  kDistribution,
  kDevice = 10,
  kHttp
};
constexpr int kMetricsOffset = 20;

// A port of the system's choice that nobody else gets: who asks the system for one is given others
// as long as `socket` is open. A service takes it all the same, since a bound socket that does not
// listen shares its address with one that has SO_REUSEADDR as well, as all our listeners have.
struct KeptPort {
  int socket = -1;
  int port = 0;
};

absl::StatusOr<KeptPort> KeepFreePort(const std::string& address) {
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  if (::inet_pton(AF_INET, address.c_str(), &bound.sin_addr) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--address: got \"", address, "\", want an address such as 127.0.0.1 with --base-port 0"));
  }
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  socklen_t size = sizeof bound;
  const bool good = socket >= 0 &&
                    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                    ::bind(socket, reinterpret_cast<sockaddr*>(&bound), sizeof bound) == 0 &&
                    ::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size) == 0;
  if (!good) {
    const int error = errno;
    ::close(socket);
    return absl::UnavailableError(
        absl::StrCat("--address: cannot listen on ", address, ": ", std::strerror(error)));
  }
  return KeptPort{.socket = socket, .port = ntohs(bound.sin_port)};
}

// Hands out addresses: base + offset, or free ones when the base is 0. Those are kept while this
// lives: a service that is started again finds its own free.
class Ports {
 public:
  Ports(std::string address, int base) : address_(std::move(address)), base_(base) {}
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;
  ~Ports() {
    for (const KeptPort& kept : kept_) {
      ::close(kept.socket);
    }
  }
  absl::StatusOr<std::string> At(int offset) {
    if (base_ != 0) {
      return absl::StrCat(address_, ":", base_ + offset);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const KeptPort kept, KeepFreePort(address_));
    kept_.push_back(kept);
    return absl::StrCat(address_, ":", kept.port);
  }

 private:
  std::string address_;
  int base_;
  std::vector<KeptPort> kept_;
};

// Keeps a second `up` out of the same folder, until the process ends.
absl::Status Lock(const std::string& home) {
  const std::string path = home + "/up.lock";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another `fieldloop up` runs on ", home, "; stop it, or use another --home"));
  }
  return absl::OkStatus();
}

class Installer {
 public:
  Installer(std::string home, const UpFlags& flags)
      : home_(std::move(home)), flags_(flags), ports_(flags.address, flags.base_port) {}

  absl::Status Run() {
    FIELDLOOP_RETURN_IF_ERROR(Prepare());
    const absl::Status status = StartAll();
    if (status.ok()) {
      std::cout << "ready; stop with Ctrl-C\n" << std::flush;
      supervisor_.Watch([](const std::string& line) { std::cout << line << std::endl; });
      std::cout << "stopping" << std::endl;
    }
    supervisor_.StopAll(kStopGrace);
    // A stop while starting is what was asked for.
    return absl::IsCancelled(status) ? absl::OkStatus() : status;
  }

 private:
  absl::Status Prepare() {
    std::error_code error;
    home_ = std::filesystem::absolute(home_, error).string();
    for (const char* folder : {"run", "logs", "pki", "trust"}) {
      std::filesystem::create_directories(absl::StrCat(home_, "/", folder), error);
      if (error) {
        return absl::UnavailableError(
            absl::StrCat("--home: cannot make ", home_, "/", folder, ": ", error.message()));
      }
    }
    FIELDLOOP_RETURN_IF_ERROR(Lock(home_));
    if (std::filesystem::exists(absl::StrCat(home_, "/", kRestoreMark), error)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "a restore into ", home_, " did not end: move the folder away, and restore again"));
    }
    bin_ = std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
    FIELDLOOP_RETURN_IF_ERROR(MakeTrust(home_ + "/trust"));
    return absl::OkStatus();
  }

  absl::Status StartAll() {
    if (!flags_.database.empty()) {
      // Not an argument: those are for all to see, and a URI may hold a password.
      ::setenv("FIELDLOOP_DATABASE", flags_.database.c_str(), /*overwrite=*/1);
    }
    installation_.ca_file = home_ + "/pki/services-ca.crt";
    installation_.token_file = home_ + "/pki/admin.token";
    // Every address is known before the first service starts: they call each other in a ring.
    const std::vector<std::pair<std::string, int>> offsets = {{"provisioning", kProvisioning},
                                                              {"ingestion", kIngestion},
                                                              {"build", kBuild},
                                                              {"evaluation", kEvaluation},
                                                              {"distribution", kDistribution},
                                                              {"device", kDevice},
                                                              {"http", kHttp}};
    for (const auto& [name, offset] : offsets) {
      FIELDLOOP_ASSIGN_OR_RETURN(installation_.addresses[name], ports_.At(offset));
    }
    std::vector<std::string> provisioning = {"--pki-dir", home_ + "/pki"};
    for (const std::string& name : flags_.names) {
      provisioning.insert(provisioning.end(), {"--service-name-alt", name});
    }
    FIELDLOOP_RETURN_IF_ERROR(Start("provisioning", kProvisioning, provisioning));
    FIELDLOOP_RETURN_IF_ERROR(
        Start("ingestion", kIngestion, {"--http-listen", installation_.addresses["http"]}));
    std::vector<std::string> build = {"--ingestion", installation_.addresses["ingestion"], "--root",
                                      home_ + "/trust/root.bin"};
    // Whoever signs by hand takes the release key away; releases then wait for a signature.
    if (const std::string key = home_ + "/trust/release.key"; std::filesystem::exists(key)) {
      build.emplace_back("--release-key");
      build.push_back(key);
    }
    if (!flags_.trainers.empty()) {
      build.insert(build.end(), {"--trainers", flags_.trainers});
    }
    FIELDLOOP_RETURN_IF_ERROR(Start("build", kBuild, build));
    FIELDLOOP_RETURN_IF_ERROR(Start("evaluation", kEvaluation,
                                    {"--ingestion", installation_.addresses["ingestion"], "--build",
                                     installation_.addresses["build"], "--distribution",
                                     installation_.addresses["distribution"]}));
    FIELDLOOP_RETURN_IF_ERROR(Start(
        "distribution", kDistribution,
        {"--device-listen", installation_.addresses["device"], "--device-ca",
         home_ + "/pki/devices-ca.crt", "--directive-key", home_ + "/trust/directive.key",
         "--ingestion", installation_.addresses["ingestion"], "--build",
         installation_.addresses["build"], "--evaluation", installation_.addresses["evaluation"]}));
    FIELDLOOP_RETURN_IF_ERROR(SaveInstallation(home_, installation_));
    std::cout << "devices       " << installation_.addresses["device"] << "  (TLS, --ca "
              << installation_.ca_file << ", --root " << home_ << "/trust/root.bin)\n"
              << "uploads       https://" << installation_.addresses["http"] << "/api\n"
              << "admin token   " << installation_.token_file << "\n";
    return absl::OkStatus();
  }

  absl::Status Start(const std::string& name, int offset, const std::vector<std::string>& more) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string metrics, ports_.At(offset + kMetricsOffset));
    const std::string data = absl::StrCat(home_, "/", name);
    std::error_code error;
    std::filesystem::create_directories(data, error);
    const std::string certificate = absl::StrCat(home_, "/pki/services/", name);
    ServiceProcess process{.name = name,
                           .command = {absl::StrCat(bin_, "/fieldloop-", name), "--listen",
                                       installation_.addresses[name], "--metrics-listen", metrics,
                                       "--data-dir", data, "--log-format", flags_.log_format,
                                       "--ready-file", absl::StrCat(home_, "/run/", name, ".json")},
                           .ready_file = absl::StrCat(home_, "/run/", name, ".json"),
                           .log_file = absl::StrCat(home_, "/logs/", name, ".log")};
    if (name != "provisioning") {
      process.command.insert(
          process.command.end(),
          {"--tls-ca", installation_.ca_file, "--tls-cert", certificate + ".crt", "--tls-key",
           certificate + ".key", "--provisioning", installation_.addresses["provisioning"]});
    }
    for (const std::string& argument : more) {
      process.command.push_back(argument);
    }
    FIELDLOOP_RETURN_IF_ERROR(supervisor_.Start(process, kStartTimeout).status());
    std::cout << absl::StrCat(name, std::string(14 - name.size(), ' '),
                              installation_.addresses[name], "  metrics http://", metrics,
                              "/metrics\n")
              << std::flush;
    return absl::OkStatus();
  }

  std::string home_;
  const UpFlags& flags_;
  Ports ports_;
  std::string bin_;
  Installation installation_;
  Supervisor supervisor_;
};

absl::Status Up(const std::string& home, const UpFlags& flags) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const absl::Status status = Installer(home, flags).Run();
  // To a person who starts the services, "unavailable" would read as if they were meant to run.
  return status.ok() ? status : absl::FailedPreconditionError(status.message());
}

}  // namespace

void AddUp(Program& program) {
  Client& client = program.client;
  auto flags = std::make_shared<UpFlags>();
  CLI::App* up = program.app.add_subcommand(
      "up", "Starts the five services on this machine and keeps them running");
  up->callback([&program, &client, flags] {
    program.chosen = [&client, flags] { return Up(client.home, *flags); };
  });
  up->add_option("--address", flags->address, "address to listen on")->capture_default_str();
  up->add_option(
        "--base-port", flags->base_port,
        "gRPC on the five ports above it, devices on +10, uploads on +11, metrics on +21 to "
        "+25; 0 takes free ports")
      ->check(CLI::Range(0, 65000))
      ->capture_default_str();
  up->add_option("--log-format", flags->log_format)
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  up->add_option("--database", flags->database,
                 "URI of a PostgreSQL database, where each service has a schema of its own; "
                 "without it each has an SQLite file in its folder")
      ->envname("FIELDLOOP_DATABASE");
  up->add_option("--trainers", flags->trainers,
                 "JSON file of further trainers, see docs/trainers.md")
      ->check(CLI::ExistingFile);
  up->add_option("--name", flags->names,
                 "further DNS name that the services' certificates carry; repeatable");
}

void AddTrust(Program& program) {
  CLI::App* noun = program.app.add_subcommand("trust", "Keys that decide what devices may run");
  noun->require_subcommand(1);
  auto folder = std::make_shared<std::string>();
  CLI::App* init = program.Verb(
      noun, "init", "Makes root, release and directive keys", [folder]() -> absl::Status {
        FIELDLOOP_RETURN_IF_ERROR(MakeTrust(*folder));
        std::cout << "root.bin goes to the build service and into devices;\n"
                     "directive.key to the distribution service;\n"
                     "keep root.key, and best release.key too, offline\n";
        return absl::OkStatus();
      });
  init->add_option("--out", *folder, "folder for the keys and root.bin")->required();
}

}  // namespace fieldloop::cli
