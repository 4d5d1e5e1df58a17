// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the document fuzzer: one of each kind, whole and as a payload.
#include <filesystem>
#include <string>

#include "tests/fuzz/agent_scripts.h"
#include "tests/fuzz/seed_file.h"

int main(int argc, char** argv) {
  using namespace fieldloop::fuzz;  // NOLINT(google-build-using-namespace)
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  const auto write = [&folder](const std::string& name, char mode, const std::string& bytes) {
    fieldloop::testing::WriteSeed(folder, name, mode + bytes);
  };
  const v1::ReleaseManifest manifest = Manifest(2, "model");
  v1::ReleaseManifest set = manifest;
  set.set_expires_s(kNowMs / 1000 + 10);
  set.add_hardware_ids("other");
  set.add_hardware_ids(kHardwareId);
  for (const v1::ComponentKind kind :
       {v1::COMPONENT_KIND_CONFIGURATION, v1::COMPONENT_KIND_FIRMWARE}) {
    v1::ReleaseComponent& component = *set.add_components();
    component.set_kind(kind);
    component.set_digest(Digest("other"));
    component.set_size_bytes(5);
    component.set_version("2");
  }
  v1::RootDocument root = Root(2);
  root.set_expires_s(kNowMs / 1000 + 10);
  root.mutable_release()->add_key_indices(0);
  root.mutable_release()->set_threshold(2);
  write("offer", '\0', Offer(manifest).SerializeAsString());
  write("offer of a set", '\0', Offer(set).SerializeAsString());
  write("root", '\1', SignedRoot(2).SerializeAsString());
  write("root payload", '\2', root.SerializeAsString());
  write("manifest", '\3', manifest.SerializeAsString());
  write("manifest of a set", '\3', set.SerializeAsString());
  write("directive", '\4', DirectiveFor(manifest.SerializeAsString()).SerializeAsString());
  write("wire", '\5', Offer(manifest).manifest().SerializeAsString());
  return 0;
}
