// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_SUPPORT_FAKE_BACKENDS_H_
#define FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_SUPPORT_FAKE_BACKENDS_H_

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "migrations/distribution_storage.h"
#include "services/common/crypto/digest.h"
#include "services/common/sql/database.h"
#include "services/distribution/domain/backends.h"
#include "services/distribution/domain/rollout_service.h"
#include "services/distribution/storage/group_commit.h"
#include "services/distribution/storage/sql_fleet_store.h"
#include "services/distribution/storage/sql_rollout_store.h"
#include "tests/support/fake_clock.h"

namespace fieldloop::distribution {

inline constexpr char kProject[] = "projects/motor";

inline std::string DeviceName(int i) { return absl::StrCat(kProject, "/devices/d", i); }

// Knows devices; issues "certificates" for the token "good".
class FakeIdentity final : public DeviceIdentity {
 public:
  absl::StatusOr<IssuedCertificate> Enroll(const std::string& project, const std::string& token,
                                           const std::string& csr,
                                           const std::string& hardware_id) override {
    if (token != "good") {
      return absl::PermissionDeniedError("the token is unknown");
    }
    const Device device{.name = absl::StrCat(project, "/devices/new"),
                        .hardware_id = hardware_id,
                        .attributes = {},
                        .revoked = false,
                        .revision = 1};
    Add(device);
    return IssuedCertificate{.device = device, .certificate = "for " + csr, .issuer = "ca"};
  }
  absl::StatusOr<IssuedCertificate> Renew(const std::string& device,
                                          const std::string& csr) override {
    absl::StatusOr<Device> known = GetDevice(device);
    if (!known.ok()) {
      return known.status();
    }
    return IssuedCertificate{.device = *known, .certificate = "again " + csr, .issuer = "ca"};
  }
  absl::StatusOr<Device> GetDevice(const std::string& device) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = devices_.find(device);
    return found == devices_.end() ? absl::StatusOr<Device>(absl::NotFoundError(device))
                                   : found->second;
  }
  absl::StatusOr<std::vector<Device>> ListDevices(const std::string& /*project*/) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Device> devices;
    for (const auto& [name, device] : devices_) {
      devices.push_back(device);
    }
    return devices;
  }
  void Add(const Device& device) {
    const std::lock_guard<std::mutex> lock(mutex_);
    devices_[device.name] = device;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Device> devices_;
};

// Has one release, at first of a model alone.
class FakeRegistry final : public ReleaseRegistry {
 public:
  FakeRegistry() {
    for (int i = 0; i < 5000; ++i) {
      artifact.push_back(static_cast<char>(i * 7));
    }
    release.name = absl::StrCat(kProject, "/releases/1");
    release.model = absl::StrCat(kProject, "/models/1");
    model_digest = Add(ComponentKind::kModel, "1", artifact);
    release.sequence = 1;
    release.is_signed = true;
  }
  // Makes `content` a component of the release, and returns its digest in hex.
  std::string Add(ComponentKind kind, const std::string& version, const std::string& content) {
    const std::string digest = ToHex(Sha256Of(content));
    release.components.push_back({.kind = kind, .digest = digest, .version = version});
    release.artifact_digests.push_back(digest);
    contents[digest] = content;
    return digest;
  }
  absl::StatusOr<Release> GetRelease(const std::string& name) override {
    return name == release.name ? absl::StatusOr<Release>(release) : absl::NotFoundError(name);
  }
  absl::StatusOr<ModelFacts> GetModel(const std::string& /*project*/,
                                      const std::string& digest) override {
    if (digest != model_digest) {
      return absl::NotFoundError(digest);
    }
    return ModelFacts{.axes = {"x", "y"}, .classes = {"idle", "run"}};
  }
  absl::StatusOr<std::vector<RootDocument>> ListRoots(std::uint32_t after_version) override {
    std::vector<RootDocument> newer;
    for (const RootDocument& root : roots) {
      if (root.version > after_version) {
        newer.push_back(root);
      }
    }
    return newer;
  }
  absl::Status DownloadArtifact(const std::string& /*project*/, const std::string& digest,
                                absl::FunctionRef<absl::Status(absl::string_view)> sink) override {
    ++downloads;
    const auto found = contents.find(digest);
    return found == contents.end() ? absl::NotFoundError(digest) : sink(found->second);
  }

  std::string artifact;
  std::string model_digest;  // Of `artifact`, in hex.
  Release release;
  std::vector<RootDocument> roots;
  std::map<std::string, std::string> contents;  // By digest.
  int downloads = 0;
};

class FakeSketchArchive final : public SketchArchive {
 public:
  absl::Status Record(const Sketch& sketch) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!answer_.ok()) {
      return answer_;
    }
    sketches_.push_back(sketch);
    return absl::OkStatus();
  }
  void AnswerWith(absl::Status status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    answer_ = std::move(status);
  }
  std::vector<Sketch> sketches() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return sketches_;
  }

 private:
  std::mutex mutex_;
  absl::Status answer_;
  std::vector<Sketch> sketches_;
};

class FakeSampleArchive final : public SampleArchive {
 public:
  absl::Status Record(const DeviceSample& sample) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    samples_.push_back(sample);
    return absl::OkStatus();
  }
  std::vector<DeviceSample> samples() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return samples_;
  }

 private:
  std::mutex mutex_;
  std::vector<DeviceSample> samples_;
};

// Artifacts straight from the registry, in memory.
class MemoryArtifactCache final : public ArtifactCache {
 public:
  explicit MemoryArtifactCache(ReleaseRegistry& registry) : registry_(registry) {}
  bool Has(const std::string& digest) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return artifacts_.count(digest) != 0;
  }
  absl::Status Fetch(const std::string& project, const std::string& digest) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (artifacts_.count(digest) != 0) {
      return absl::OkStatus();
    }
    std::string data;
    const absl::Status status =
        registry_.DownloadArtifact(project, digest, [&](absl::string_view piece) {
          data.append(piece.data(), piece.size());
          return absl::OkStatus();
        });
    if (status.ok()) {
      artifacts_[digest] = data;
    }
    return status;
  }
  absl::StatusOr<std::string> Read(const std::string& digest, std::int64_t offset,
                                   std::int64_t length) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = artifacts_.find(digest);
    if (found == artifacts_.end()) {
      return absl::NotFoundError(digest);
    }
    const auto at = static_cast<std::size_t>(offset);
    return at >= found->second.size() ? std::string()
                                      : found->second.substr(at, static_cast<std::size_t>(length));
  }

 private:
  ReleaseRegistry& registry_;
  std::mutex mutex_;
  std::map<std::string, std::string> artifacts_;
};

// An SQLite database of its own, gone with the object.
inline std::unique_ptr<Database> OpenMemoryDatabase() {
  // One connection: each connection to ":memory:" would be a database of its own.
  auto database =
      Database::Open({.connection = "sqlite3://db=:memory:", .pool_size = 1}, Migrations());
  EXPECT_TRUE(database.ok()) << database.status();
  return database.ok() ? *std::move(database) : nullptr;
}

// The domain of the service over SQLite, with the other services faked.
struct TestDistribution {
  TestDistribution() { EXPECT_TRUE(roots.Refresh().ok()); }

  void AddDevices(int count) {
    for (int i = 0; i < count; ++i) {
      AddDevice({.name = DeviceName(i),
                 .hardware_id = "posix",
                 .attributes = {{"site", i % 2 == 0 ? "a" : "b"}},
                 .revoked = false,
                 .revision = i + 1});
    }
  }
  void AddDevice(const Device& device) {
    identity.Add(device);
    devices.Apply(device);
  }
  // A rollout in stages of these percentages.
  Rollout Wanted(const std::vector<double>& percents) const {
    Rollout rollout;
    rollout.release = registry.release.name;
    for (const double percent : percents) {
      rollout.plan.stages.push_back({.percent = percent});
    }
    return rollout;
  }

  ::fieldloop::testing::FakeClock clock;
  std::unique_ptr<Database> database = OpenMemoryDatabase();
  GroupCommit commits{*database};
  std::unique_ptr<FleetStore> fleet_store = MakeSqlFleetStore(*database, commits);
  std::unique_ptr<RolloutStore> rollout_store = MakeSqlRolloutStore(*database, commits);
  FakeIdentity identity;
  FakeRegistry registry;
  FakeSketchArchive sketches;
  FakeSampleArchive samples;
  MemoryArtifactCache artifacts{registry};
  DeviceTable devices;
  RootCatalog roots{registry};
  ModelCatalog models{registry};
  FleetService fleet{*fleet_store, devices, clock};
  RolloutService rollouts{*rollout_store, registry, identity, artifacts, roots, fleet, clock};
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_SUPPORT_FAKE_BACKENDS_H_
