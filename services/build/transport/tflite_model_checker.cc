// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/tflite_model_checker.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <google/protobuf/message_lite.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/impulse/impulse.h"
#include "agent/impulse/network.h"
#include "services/build/transport/proto_conversion.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kMetadataName[] = "fieldloop.impulse";
// Far more than a microcontroller has; keeps a broken file from taking the service's memory.
constexpr std::size_t kMaxArenaBytes = std::size_t{64} << 20;

absl::Status Refused(absl::string_view what, fl_status_t status) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", fl_status_text(status)));
}

// What the interpreter of the devices says of a network that it does not take.
absl::Status CannotRun(const fl_refusal_t& refusal, fl_status_t status) {
  const std::string at =
      refusal.operator_index < 0 ? "" : absl::StrCat(", at operator ", refusal.operator_index);
  return absl::InvalidArgumentError(absl::StrCat(
      "a device cannot run its network: ", refusal.reason, at, " (", fl_status_text(status), ")"));
}

bool Same(const google::protobuf::MessageLite& a, const google::protobuf::MessageLite& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

template <typename List>
bool SameList(const List& a, const List& b) {
  bool same = a.size() == b.size();
  for (int i = 0; same && i < a.size(); ++i) {
    same = Same(a.Get(i), b.Get(i));
  }
  return same;
}

// `carried` is what the model says, `got` the same with the defaults filled in.
absl::Status CheckMetadata(const agent::v1::Impulse& carried, const agent::v1::Impulse& got,
                           const agent::v1::Impulse& want) {
  if (carried.format() != want.format()) {
    return absl::InvalidArgumentError(
        absl::StrCat("its format: got ", carried.format(), ", want ", want.format()));
  }
  if (!Same(got.window(), want.window())) {
    return absl::InvalidArgumentError(absl::StrCat("its window: got {",
                                                   got.window().ShortDebugString(), "}, want {",
                                                   want.window().ShortDebugString(), "}"));
  }
  if (!SameList(got.magnitudes(), want.magnitudes())) {
    return absl::InvalidArgumentError("its magnitude axes are not those of the impulse");
  }
  if (!SameList(got.blocks(), want.blocks())) {
    return absl::InvalidArgumentError("its signal processing blocks are not those of the impulse");
  }
  const std::vector<std::string> got_classes(got.classes().begin(), got.classes().end());
  const std::vector<std::string> want_classes(want.classes().begin(), want.classes().end());
  if (got_classes != want_classes) {
    return absl::InvalidArgumentError(absl::StrCat("its classes: got ",
                                                   absl::StrJoin(got_classes, ", "), ", want ",
                                                   absl::StrJoin(want_classes, ", ")));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CheckedModel> TfliteModelChecker::Check(absl::string_view file,
                                                       const ImpulseRecipe& recipe,
                                                       const std::vector<std::string>& classes) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(file.data());
  const std::uint8_t* metadata = nullptr;
  std::size_t metadata_size = 0;
  if (const fl_status_t status =
          fl_tflite_metadata(data, file.size(), kMetadataName, &metadata, &metadata_size);
      status != FL_OK) {
    return Refused("its metadata cannot be read", status);
  }
  CheckedModel checked;
  checked.metadata.assign(reinterpret_cast<const char*>(metadata), metadata_size);
  agent::v1::Impulse impulse;
  if (!impulse.ParseFromString(checked.metadata)) {
    return absl::InvalidArgumentError("its metadata does not parse");
  }
  const std::vector<std::string> its_classes(impulse.classes().begin(), impulse.classes().end());
  const absl::StatusOr<ImpulseRecipe> its_recipe = CompleteRecipe(RecipeOf(impulse));
  if (!its_recipe.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("its metadata: ", its_recipe.status().message()));
  }
  FIELDLOOP_RETURN_IF_ERROR(CheckMetadata(impulse, ToAgentImpulse(*its_recipe, its_classes),
                                          ToAgentImpulse(recipe, classes)));

  fl_refusal_t refusal;
  if (const fl_status_t status = fl_network_check(data, file.size(), &refusal); status != FL_OK) {
    return CannotRun(refusal, status);
  }
  std::size_t arena_size = 0;
  if (const fl_status_t status = fl_impulse_arena_size(data, file.size(), &arena_size);
      status != FL_OK) {
    return Refused("a device cannot run it", status);
  }
  if (arena_size > kMaxArenaBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("it needs ", arena_size, " bytes of arena, want at most ", kMaxArenaBytes));
  }
  // Eight-byte words, for the arena's alignment.
  const std::size_t words = arena_size / sizeof(std::uint64_t) + 1;
  const auto arena = std::make_unique<std::uint64_t[]>(words);
  fl_impulse_t opened;
  if (const fl_status_t status =
          fl_impulse_open(&opened, data, file.size(), arena.get(), words * sizeof(std::uint64_t));
      status != FL_OK) {
    return Refused("a device cannot open it", status);
  }
  if (const fl_status_t status = fl_impulse_self_test(&opened); status != FL_OK) {
    return Refused("its self-test", status);
  }
  checked.arena_bytes = static_cast<std::int64_t>(arena_size);
  return checked;
}

}  // namespace fieldloop::build
