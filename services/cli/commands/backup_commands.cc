// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// backup, restore

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "services/cli/backup/backup_place.h"
#include "services/cli/backup/check_backup.h"
#include "services/cli/backup/make_backup.h"
#include "services/cli/backup/restore_backup.h"
#include "services/cli/backup/service_stores.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/common/clock/clock.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr char kPlaceHelp[] =
    "folder, or s3://bucket[/prefix][?endpoint=URL&region=NAME&style=path|virtual&ca=FILE]";

struct BackupFlags {
  std::string place;
  std::string id;
  std::string database;
  std::map<std::string, std::string> databases;
  std::string blobs;
  std::string passphrase_file;
  bool without_secrets = false;
  bool with_release_keys = false;
  bool despite_missing = false;
  bool moved = false;
  int keep = 0;
};

// Outlives whatever is given it.
const Clock& TheClock() {
  static const SystemClock clock;
  return clock;
}

// "Unavailable" and "denied" would read as if a service had said it.
absl::Status OfNoService(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsPermissionDenied(status)
             ? absl::FailedPreconditionError(status.message())
             : status;
}

// To standard error: standard output is for the result.
void SayLine(const std::string& line) { std::cerr << line << std::endl; }

absl::StatusOr<InstallationPlaces> PlacesOf(const std::string& home, const BackupFlags& flags) {
  InstallationPlaces places{.home = "", .databases = {}, .blobs = flags.blobs};
  std::error_code error;
  places.home = std::filesystem::absolute(home, error).lexically_normal().string();
  for (const ServiceStore& service : ServiceStores()) {
    const auto own = flags.databases.find(service.name);
    const std::string& uri =
        own != flags.databases.end() && !own->second.empty() ? own->second : flags.database;
    if (!uri.empty()) {
      places.databases[service.name] = uri;
    }
  }
  return places;
}

absl::StatusOr<std::string> Passphrase(const BackupFlags& flags) {
  if (flags.passphrase_file.empty()) {
    return std::string();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.passphrase_file));
  std::string passphrase(absl::StripAsciiWhitespace(text));
  constexpr std::size_t kLeast = 12;
  if (passphrase.size() < kLeast) {
    return absl::InvalidArgumentError(absl::StrCat("--passphrase-file: got ", passphrase.size(),
                                                   " characters, want at least ", kLeast));
  }
  return passphrase;
}

struct Sums {
  std::int64_t rows = 0;
  std::int64_t blobs = 0;
  std::size_t missing = 0;
};
Sums SumsOf(const BackupManifest& manifest) {
  Sums sums;
  for (const auto& [name, service] : manifest.services) {
    for (const BackupTable& table : service.tables) {
      sums.rows += table.rows;
    }
    sums.blobs += service.blobs;
    sums.missing += service.missing.size();
  }
  return sums;
}

void PrintBackups(const Client& client, const std::vector<BackupManifest>& manifests) {
  if (client.json()) {
    for (const BackupManifest& manifest : manifests) {
      // The manifest, in one line.
      std::cout << nlohmann::json::parse(ManifestText(manifest)).dump() << "\n";
    }
    return;
  }
  Table table({"BACKUP", "MADE", "ROWS", "BLOBS", "LOST", "KEYS", "PROGRAM"});
  for (const BackupManifest& manifest : manifests) {
    const Sums sums = SumsOf(manifest);
    table.Row({manifest.id,
               absl::FormatTime("%Y-%m-%d %H:%M:%S", manifest.create_time, absl::UTCTimeZone()),
               absl::StrCat(sums.rows), absl::StrCat(sums.blobs), absl::StrCat(sums.missing),
               manifest.secrets.empty() ? "no" : "sealed", manifest.program});
  }
  table.Print("no complete backup");
}

absl::Status Create(const Client& client, const BackupFlags& flags) {
  if (flags.place.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--to: missing; want a ", kPlaceHelp));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const InstallationPlaces places, PlacesOf(client.home, flags));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string passphrase, Passphrase(flags));
  if (passphrase.empty() && !flags.without_secrets &&
      std::filesystem::exists(absl::StrCat(places.home, "/pki"))) {
    return absl::InvalidArgumentError(
        absl::StrCat(places.home,
                     "/pki has the keys that devices trust, without which a restored installation "
                     "is a stranger to them: give --passphrase-file to seal them into the backup, "
                     "or --without-secrets if you keep them elsewhere"));
  }
  if (flags.with_release_keys && passphrase.empty()) {
    return absl::InvalidArgumentError("--with-release-keys: want --passphrase-file too");
  }
  ::umask(S_IRWXG | S_IRWXO);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BackupPlace> place,
                             BackupPlace::Open(flags.place, /*may_write=*/true, TheClock()));
  const BackupOptions options{.passphrase = passphrase,
                              .with_release_keys = flags.with_release_keys,
                              .despite_missing = flags.despite_missing};
  FIELDLOOP_ASSIGN_OR_RETURN(const BackupManifest manifest,
                             MakeBackup(places, *place, options, TheClock(), SayLine));
  PrintBackups(client, {manifest});
  return flags.keep > 0 ? PruneBackups(*place, flags.keep, SayLine) : absl::OkStatus();
}

absl::Status List(const Client& client, const BackupFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BackupPlace> place,
                             BackupPlace::Open(flags.place, /*may_write=*/false, TheClock()));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> ids, place->ListIds());
  std::vector<BackupManifest> manifests;
  absl::Status damaged;
  for (const std::string& id : ids) {
    absl::StatusOr<BackupManifest> manifest = place->Get(id);
    if (manifest.ok()) {
      manifests.push_back(*std::move(manifest));
    } else {
      damaged.Update(manifest.status());
    }
  }
  PrintBackups(client, manifests);
  return damaged;
}

absl::Status Verify(const Client& client, const BackupFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BackupPlace> place,
                             BackupPlace::Open(flags.place, /*may_write=*/false, TheClock()));
  FIELDLOOP_ASSIGN_OR_RETURN(const BackupManifest manifest, place->Find(flags.id));
  FIELDLOOP_RETURN_IF_ERROR(CheckBackup(place->pool(), manifest));
  PrintBackups(client, {manifest});
  return absl::OkStatus();
}

absl::Status Prune(const BackupFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BackupPlace> place,
                             BackupPlace::Open(flags.place, /*may_write=*/true, TheClock()));
  return PruneBackups(*place, flags.keep, SayLine);
}

// What only a person can do.
void PrintWhatIsLeft(const InstallationPlaces& places, const BackupManifest& manifest,
                     const BackupFlags& flags) {
  const std::string since =
      absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", manifest.create_time, absl::UTCTimeZone());
  std::cout << "restored backup " << manifest.id << " of " << since << "\n";
  if (manifest.secrets.empty() || flags.without_secrets) {
    std::cout << "the backup's keys are not here: put back yours of pki and trust before a start\n";
  } else if (places.HasSqlite() && !std::filesystem::exists(places.home + "/trust/release.key")) {
    std::cout << "releases wait for signatures until trust/release.key is put back\n";
  }
  if (!flags.moved) {
    std::cout << "what was done since is lost. Do again: revocations of devices and API tokens.\n"
                 "Open enrolment tokens are void; devices that enrolled since need new ones.\n"
                 "Numbers of releases and rollouts go on 1000 above those of the backup.\n";
  }
}

absl::Status RestoreHere(const Client& client, const BackupFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const InstallationPlaces places, PlacesOf(client.home, flags));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string passphrase, Passphrase(flags));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BackupPlace> place,
                             BackupPlace::Open(flags.place, /*may_write=*/false, TheClock()));
  FIELDLOOP_ASSIGN_OR_RETURN(const BackupManifest manifest, place->Find(flags.id));
  const RestoreOptions options{
      .passphrase = passphrase, .without_secrets = flags.without_secrets, .moved = flags.moved};
  FIELDLOOP_RETURN_IF_ERROR(RestoreBackup(*place, manifest, places, options, TheClock(), SayLine));
  PrintWhatIsLeft(places, manifest, flags);
  return absl::OkStatus();
}

void AddPlaces(CLI::App& app, BackupFlags& flags) {
  app.add_option("--database", flags.database,
                 "URI of the PostgreSQL database; default: SQLite in --home")
      ->envname("FIELDLOOP_DATABASE");
  for (const ServiceStore& service : ServiceStores()) {
    app.add_option(absl::StrCat("--database-", service.name), flags.databases[service.name],
                   absl::StrCat("the same for ", service.name, " alone"))
        ->envname(absl::StrCat("FIELDLOOP_DATABASE_", absl::AsciiStrToUpper(service.name)));
  }
  app.add_option("--blobs", flags.blobs, "bucket of the blobs; default: folders in --home")
      ->envname("FIELDLOOP_BLOBS");
  app.add_option("--passphrase-file", flags.passphrase_file,
                 "file with the passphrase that seals the keys")
      ->envname("FIELDLOOP_BACKUP_PASSPHRASE_FILE");
  app.add_flag("--without-secrets", flags.without_secrets, "leaves the keys out");
}

}  // namespace

void AddBackup(Program& program) {
  Client& client = program.client;
  auto flags = std::make_shared<BackupFlags>();
  CLI::App* backup = program.app.add_subcommand(
      "backup", "Backs the installation up while it works, and looks after backups");
  backup->require_subcommand(0, 1);
  backup->callback([&program, &client, backup, flags] {
    if (backup->get_subcommands().empty()) {
      program.chosen = [&client, flags] { return OfNoService(Create(client, *flags)); };
    }
  });
  backup->add_option("--to", flags->place, kPlaceHelp)->envname("FIELDLOOP_BACKUP_TO");
  AddPlaces(*backup, *flags);
  backup->add_flag("--with-release-keys", flags->with_release_keys,
                   "seals root.key and release.key of --home into it too");
  backup->add_flag("--despite-missing", flags->despite_missing,
                   "goes on although blobs of the installation are lost");
  backup->add_option("--keep", flags->keep, "deletes all but this many newest backups at the end")
      ->check(CLI::PositiveNumber);

  CLI::App* list = program.Verb(backup, "list", "Lists backups, the oldest first",
                                [&client, flags] { return OfNoService(List(client, *flags)); });
  CLI::App* verify =
      program.Verb(backup, "verify", "Reads all of a backup and says what is damaged",
                   [&client, flags] { return OfNoService(Verify(client, *flags)); });
  CLI::App* prune = program.Verb(backup, "prune", "Deletes old backups",
                                 [flags] { return OfNoService(Prune(*flags)); });
  for (CLI::App* verb : {list, verify, prune}) {
    verb->add_option("place", flags->place, kPlaceHelp)->required();
  }
  verify->add_option("--id", flags->id, "of `backup list`; default: the newest");
  prune->add_option("--keep", flags->keep, "how many of the newest stay")
      ->check(CLI::PositiveNumber)
      ->required();

  auto from = std::make_shared<BackupFlags>();
  CLI::App* restore = program.app.add_subcommand(
      "restore", "Makes the installation of a backup anew, where nothing is yet");
  restore->callback([&program, &client, from] {
    program.chosen = [&client, from] { return OfNoService(RestoreHere(client, *from)); };
  });
  restore->add_option("--from", from->place, kPlaceHelp)->required();
  restore->add_option("--id", from->id, "of `backup list`; default: the newest");
  AddPlaces(*restore, *from);
  restore->add_flag("--moved", from->moved,
                    "the installation was stopped before the backup and has not run since: its "
                    "numbers and tokens go on as they were");
}

}  // namespace fieldloop::cli
