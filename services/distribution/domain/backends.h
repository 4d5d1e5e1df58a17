// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_BACKENDS_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_BACKENDS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/distribution/domain/component.h"
#include "services/distribution/domain/device.h"

// What distribution needs of the other services. Every method is a call over the network: it
// blocks, and may return UNAVAILABLE or DEADLINE_EXCEEDED. All of them are thread-safe.
namespace fieldloop::distribution {

// A device's new certificate.
struct IssuedCertificate {
  Device device;
  std::string certificate;  // X.509, DER.
  std::string issuer;       // X.509, DER.
};

// The provisioning service.
class DeviceIdentity {
 public:
  DeviceIdentity() = default;
  DeviceIdentity(const DeviceIdentity&) = delete;
  DeviceIdentity& operator=(const DeviceIdentity&) = delete;
  virtual ~DeviceIdentity() = default;

  // PERMISSION_DENIED with a reason if the token does not permit it; INVALID_ARGUMENT for a bad
  // CSR.
  virtual absl::StatusOr<IssuedCertificate> Enroll(const std::string& project,
                                                   const std::string& token, const std::string& csr,
                                                   const std::string& hardware_id) = 0;
  // PERMISSION_DENIED if the device is revoked.
  virtual absl::StatusOr<IssuedCertificate> Renew(const std::string& device,
                                                  const std::string& csr) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<Device> GetDevice(const std::string& device) = 0;
  // All devices of a project, revoked ones too.
  virtual absl::StatusOr<std::vector<Device>> ListDevices(const std::string& project) = 0;
};

// A release as build made it.
struct Release {
  std::string name;                   // "projects/{p}/releases/{sequence}".
  std::string model;                  // Name of the model; empty: none.
  std::vector<Component> components;  // By kind, at most one of each.
  std::uint64_t sequence = 0;
  absl::Time expire_time = absl::InfiniteFuture();
  std::vector<std::string> hardware_ids;      // Empty: every hardware of the project.
  std::vector<std::string> artifact_digests;  // Everything a device may ask for, in hex.
  std::string manifest;                       // Serialised SignedDocument.
  bool is_signed = false;
};

// What a model says of its input and output.
struct ModelFacts {
  std::vector<std::string> axes;
  std::vector<std::string> classes;
};

struct RootDocument {
  std::uint32_t version = 0;
  std::string document;  // Serialised SignedDocument.
};

// The build service.
class ReleaseRegistry {
 public:
  ReleaseRegistry() = default;
  ReleaseRegistry(const ReleaseRegistry&) = delete;
  ReleaseRegistry& operator=(const ReleaseRegistry&) = delete;
  virtual ~ReleaseRegistry() = default;

  // NOT_FOUND.
  virtual absl::StatusOr<Release> GetRelease(const std::string& name) = 0;
  // By the digest of the model, in hex. NOT_FOUND.
  virtual absl::StatusOr<ModelFacts> GetModel(const std::string& project,
                                              const std::string& digest) = 0;
  // Root documents above `after_version`, oldest first.
  virtual absl::StatusOr<std::vector<RootDocument>> ListRoots(std::uint32_t after_version) = 0;
  // Streams an artifact into `sink`. NOT_FOUND. The bytes are not verified.
  virtual absl::Status DownloadArtifact(
      const std::string& project, const std::string& digest,
      absl::FunctionRef<absl::Status(absl::string_view)> sink) = 0;
};

struct ChannelSketch {
  std::vector<std::int64_t> bins;
  double mean = 0;
  double m2 = 0;
  double min = 0;
  double max = 0;
};

// How a model did on a device over one period.
struct Sketch {
  std::string device;
  std::uint64_t sequence = 0;
  std::string model_digest;  // Hex.
  std::uint32_t reference_id = 0;
  absl::Time start_time;  // By the device's sensor clock.
  std::int64_t period_ms = 0;
  std::int64_t windows = 0;
  std::int64_t failures = 0;
  std::vector<std::int64_t> class_counts;
  std::vector<ChannelSketch> channels;
};

// The evaluation service.
class SketchArchive {
 public:
  SketchArchive() = default;
  SketchArchive(const SketchArchive&) = delete;
  SketchArchive& operator=(const SketchArchive&) = delete;
  virtual ~SketchArchive() = default;

  // Committed when it returns OK; a repeat is counted once. FAILED_PRECONDITION or INVALID_ARGUMENT
  // when it can never be accepted.
  virtual absl::Status Record(const Sketch& sketch) = 0;
};

// A recording of a device.
struct DeviceSample {
  std::string device;
  std::uint64_t sequence = 0;
  std::string model_digest;  // Hex.
  std::string reason;        // "random", "uncertain" or "novel".
  double probability = 0;
  std::string predicted_label;
  double confidence = 0;
  absl::Time start_time;  // By the device's sensor clock.
  std::string payload;    // float32, little endian, axes within a reading.
  std::vector<std::string> axes;
  double frequency_hz = 0;
  std::map<std::string, std::string> metadata;
};

// The ingestion service.
class SampleArchive {
 public:
  SampleArchive() = default;
  SampleArchive(const SampleArchive&) = delete;
  SampleArchive& operator=(const SampleArchive&) = delete;
  virtual ~SampleArchive() = default;

  // As SketchArchive::Record.
  virtual absl::Status Record(const DeviceSample& sample) = 0;
};

// Copies of build's artifacts at hand.
class ArtifactCache {
 public:
  ArtifactCache() = default;
  ArtifactCache(const ArtifactCache&) = delete;
  ArtifactCache& operator=(const ArtifactCache&) = delete;
  virtual ~ArtifactCache() = default;

  // True if the whole artifact is here. Never blocks on the network.
  virtual bool Has(const std::string& digest) = 0;
  // Fetches the artifact unless it is here, once for all callers, and verifies it. NOT_FOUND;
  // DATA_LOSS if the bytes do not have the digest.
  virtual absl::Status Fetch(const std::string& project, const std::string& digest) = 0;
  // At most `length` bytes from `offset`; "" at or after the end. NOT_FOUND if it is not here.
  virtual absl::StatusOr<std::string> Read(const std::string& digest, std::int64_t offset,
                                           std::int64_t length) = 0;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_BACKENDS_H_
