// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the impulse fuzzer: metadata with each block, and with both kinds of anomaly
// block.
#include <filesystem>
#include <string>
#include <vector>

#include "tests/agent/impulse/proto_writer.h"
#include "tests/fuzz/seed_file.h"

int main(int argc, char** argv) {
  using fieldloop::testing::FilteredBlockMessage;
  using fieldloop::testing::FilterKind;
  using fieldloop::testing::FlattenBlockMessage;
  using fieldloop::testing::ImpulseMessage;
  using fieldloop::testing::KMeansMessage;
  using fieldloop::testing::MagnitudeMessage;
  using fieldloop::testing::MfccBlockMessage;
  using fieldloop::testing::MfeBlockMessage;
  using fieldloop::testing::MixtureMessage;
  using fieldloop::testing::ProtoWriter;
  using fieldloop::testing::RawBlockMessage;
  using fieldloop::testing::WindowMessage;
  using fieldloop::testing::WriteSeed;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  const auto seed = [&folder](const std::string& name, const ProtoWriter& impulse) {
    WriteSeed(folder, name, impulse.bytes());
  };
  const ProtoWriter window = WindowMessage(96, 3);
  seed("raw", ImpulseMessage(window, {RawBlockMessage(0.5F)}));
  seed("flatten", ImpulseMessage(window, {FlattenBlockMessage(1, true)}));
  seed("low_pass", ImpulseMessage(window, {FilteredBlockMessage(32, FilterKind::kLowPass, 10, 4)}));
  seed("high_pass",
       ImpulseMessage(window, {FilteredBlockMessage(16, FilterKind::kHighPass, 1, 0)}));
  seed("mfe", ImpulseMessage(WindowMessage(256, 1), {MfeBlockMessage({.pre_emphasis = 0.98F})}));
  seed("mfcc",
       ImpulseMessage(WindowMessage(256, 1), {MfccBlockMessage({.normalisation_frames = 11})}));
  seed("blocks", ImpulseMessage(window, {RawBlockMessage(1), FlattenBlockMessage(1)})
                     .Message(3, MagnitudeMessage(0, 3)));
  const ProtoWriter readings =
      ImpulseMessage(WindowMessage(4, 1), {RawBlockMessage(1)})
          .Message(5, ProtoWriter().Floats(1, {1, 1, 1, 1}).Floats(2, {2, 2, 2, 2}).Float(3, 8.0F));
  seed("k_means",
       ProtoWriter(readings).Message(11, KMeansMessage({1, 2}, {0, 0, 1, 1}, {1, 2}, 0.5F)));
  seed("mixture", ProtoWriter(readings).Message(
                      11, MixtureMessage({0, 3}, {0, -1}, {0, 0, 1, 1}, {1, 1, 2, 2}, 3)));
  return 0;
}
