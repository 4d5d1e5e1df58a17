// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/proto_conversion.h"

#include <cstdint>

#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/names.h"

namespace fieldloop::build {
namespace {

constexpr std::uint32_t kImpulseFormat = 1;

google::protobuf::Timestamp ToProto(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

v1::Build::State ToProto(BuildState state) {
  switch (state) {  // No default: the compiler reports a state that has no case.
    case BuildState::kQueued:
      return v1::Build::STATE_QUEUED;
    case BuildState::kPreparing:
      return v1::Build::STATE_PREPARING;
    case BuildState::kTraining:
      return v1::Build::STATE_TRAINING;
    case BuildState::kPackaging:
      return v1::Build::STATE_PACKAGING;
    case BuildState::kSucceeded:
      return v1::Build::STATE_SUCCEEDED;
    case BuildState::kFailed:
      return v1::Build::STATE_FAILED;
    case BuildState::kCancelled:
      return v1::Build::STATE_CANCELLED;
  }
  return v1::Build::STATE_UNSPECIFIED;
}

v1::Metric ToProto(const Metric& metric) {
  v1::Metric proto;
  proto.set_name(metric.name);
  proto.set_value(metric.value);
  return proto;
}

agent::v1::Window ToProto(const Window& window) {
  agent::v1::Window proto;
  proto.set_length(static_cast<std::uint32_t>(window.length));
  proto.set_stride(static_cast<std::uint32_t>(window.stride));
  proto.set_frequency_hz(window.frequency_hz);
  for (const std::string& axis : window.axes) {
    proto.add_axes(axis);
  }
  return proto;
}

agent::v1::MagnitudeAxis ToProto(const MagnitudeAxis& magnitude) {
  agent::v1::MagnitudeAxis proto;
  proto.set_first_axis(static_cast<std::uint32_t>(magnitude.first_axis));
  proto.set_count(static_cast<std::uint32_t>(magnitude.count));
  return proto;
}

agent::v1::DspBlock ToProto(const DspBlock& block) {
  agent::v1::DspBlock proto;
  switch (block.kind) {
    case BlockKind::kNone:
      break;
    case BlockKind::kRaw:
      proto.mutable_raw()->set_scale(block.scale);
      break;
    case BlockKind::kFlatten:
      proto.mutable_flatten()->set_scale(block.scale);
      proto.mutable_flatten()->set_without_shape(block.without_shape);
      break;
    case BlockKind::kSpectral:
      proto.mutable_spectral()->set_fft_length(static_cast<std::uint32_t>(block.fft_length));
      proto.mutable_spectral()->set_average_frames(block.average_frames);
      break;
  }
  return proto;
}

DspBlock FromProto(const agent::v1::DspBlock& proto) {
  switch (proto.block_case()) {
    case agent::v1::DspBlock::kRaw:
      return {.kind = BlockKind::kRaw, .scale = proto.raw().scale()};
    case agent::v1::DspBlock::kFlatten:
      return {.kind = BlockKind::kFlatten,
              .scale = proto.flatten().scale(),
              .without_shape = proto.flatten().without_shape()};
    case agent::v1::DspBlock::kSpectral:
      return {.kind = BlockKind::kSpectral,
              .fft_length = proto.spectral().fft_length(),
              .average_frames = proto.spectral().average_frames()};
    case agent::v1::DspBlock::kMfe:
    case agent::v1::DspBlock::kMfcc:
    case agent::v1::DspBlock::BLOCK_NOT_SET:
      break;  // The recipe says which blocks there are.
  }
  return {};
}

TrustedRole FromProto(const agent::v1::TrustedRole& proto) {
  return {.key_indices = {proto.key_indices().begin(), proto.key_indices().end()},
          .threshold = proto.threshold()};
}

}  // namespace

ImpulseRecipe FromProto(const v1::ImpulseRecipe& proto) {
  ImpulseRecipe recipe;
  recipe.window = {.length = proto.window().length(),
                   .stride = proto.window().stride(),
                   .frequency_hz = proto.window().frequency_hz(),
                   .axes = {proto.window().axes().begin(), proto.window().axes().end()}};
  for (const agent::v1::MagnitudeAxis& magnitude : proto.magnitudes()) {
    recipe.magnitudes.push_back({.first_axis = magnitude.first_axis(), .count = magnitude.count()});
  }
  for (const agent::v1::DspBlock& block : proto.blocks()) {
    recipe.blocks.push_back(FromProto(block));
  }
  const v1::Learning& learning = proto.learning();
  const v1::Augmentation& augmentation = learning.augmentation();
  recipe.learning = {.dense_units = {learning.dense_units().begin(), learning.dense_units().end()},
                     .epochs = learning.epochs(),
                     .learning_rate = learning.learning_rate(),
                     .batch_size = learning.batch_size(),
                     .dropout = learning.dropout(),
                     .weight_decay = learning.weight_decay(),
                     .augmentation = {.copies = augmentation.copies(),
                                      .rotation_degrees = augmentation.rotation_degrees(),
                                      .gain = augmentation.gain(),
                                      .noise = augmentation.noise(),
                                      .half_turns = augmentation.half_turns()},
                     .balance_classes = learning.balance_classes(),
                     .group_key = learning.group_key(),
                     .device_weight = learning.device_weight(),
                     .training_stride = learning.training_stride()};
  recipe.label_purity = proto.label_purity();
  return recipe;
}

Signature FromProto(const agent::v1::Signature& proto) {
  return {.key_id = proto.key_id(), .value = proto.value()};
}

v1::ImpulseRecipe ToProto(const ImpulseRecipe& recipe) {
  v1::ImpulseRecipe proto;
  *proto.mutable_window() = ToProto(recipe.window);
  for (const MagnitudeAxis& magnitude : recipe.magnitudes) {
    *proto.add_magnitudes() = ToProto(magnitude);
  }
  for (const DspBlock& block : recipe.blocks) {
    *proto.add_blocks() = ToProto(block);
  }
  v1::Learning& learning = *proto.mutable_learning();
  for (const std::int32_t units : recipe.learning.dense_units) {
    learning.add_dense_units(units);
  }
  learning.set_epochs(recipe.learning.epochs);
  learning.set_learning_rate(recipe.learning.learning_rate);
  learning.set_batch_size(recipe.learning.batch_size);
  learning.set_dropout(recipe.learning.dropout);
  learning.set_weight_decay(recipe.learning.weight_decay);
  v1::Augmentation& augmentation = *learning.mutable_augmentation();
  augmentation.set_copies(recipe.learning.augmentation.copies);
  augmentation.set_rotation_degrees(recipe.learning.augmentation.rotation_degrees);
  augmentation.set_gain(recipe.learning.augmentation.gain);
  augmentation.set_noise(recipe.learning.augmentation.noise);
  augmentation.set_half_turns(recipe.learning.augmentation.half_turns);
  learning.set_balance_classes(recipe.learning.balance_classes);
  learning.set_group_key(recipe.learning.group_key);
  learning.set_device_weight(recipe.learning.device_weight);
  learning.set_training_stride(recipe.learning.training_stride);
  proto.set_label_purity(recipe.label_purity);
  return proto;
}

v1::Impulse ToProto(const Impulse& impulse) {
  v1::Impulse proto;
  proto.set_name(ImpulseName(impulse.project, impulse.id, impulse.version));
  *proto.mutable_recipe() = ToProto(impulse.recipe);
  proto.set_digest(impulse.digest);
  *proto.mutable_create_time() = ToProto(impulse.create_time);
  return proto;
}

v1::Build ToProto(const Build& build) {
  v1::Build proto;
  proto.set_name(BuildName(build.project, build.number));
  proto.set_dataset_version(build.dataset_version);
  proto.set_impulse(build.impulse);
  proto.set_seed(build.seed);
  if (build.parent_model != 0) {
    proto.set_parent_model(ModelName(build.project, build.parent_model));
  }
  proto.set_state(ToProto(build.state));
  proto.set_progress(build.progress);
  proto.set_activity(build.activity);
  proto.set_epoch(build.epoch);
  proto.set_epochs(build.epochs);
  for (const Metric& metric : build.metrics) {
    *proto.add_metrics() = ToProto(metric);
  }
  proto.set_error(build.error);
  if (build.model != 0) {
    proto.set_model(ModelName(build.project, build.model));
  }
  proto.set_trainer(build.trainer);
  *proto.mutable_create_time() = ToProto(build.create_time);
  if (IsDone(build.state)) {
    *proto.mutable_end_time() = ToProto(build.end_time);
  }
  return proto;
}

absl::StatusOr<v1::Model> ToProto(const Model& model) {
  v1::Model proto;
  proto.set_name(ModelName(model.project, model.number));
  proto.set_digest(model.digest);
  proto.set_size_bytes(model.size_bytes);
  proto.set_arena_bytes(model.arena_bytes);
  proto.set_build(BuildName(model.project, model.build));
  proto.set_dataset_version(model.dataset_version);
  proto.set_impulse(model.impulse);
  if (model.parent_model != 0) {
    proto.set_parent_model(ModelName(model.project, model.parent_model));
  }
  for (const std::string& name : model.classes) {
    proto.add_classes(name);
  }
  for (const Metric& metric : model.trainer_metrics) {
    *proto.add_trainer_metrics() = ToProto(metric);
  }
  for (const std::string& alias : model.aliases) {
    proto.add_aliases(alias);
  }
  if (!proto.mutable_metadata()->ParseFromString(model.metadata)) {
    return absl::InternalError(absl::StrCat("metadata of ", proto.name(), " does not parse"));
  }
  *proto.mutable_create_time() = ToProto(model.create_time);
  return proto;
}

v1::AliasChange ToProto(const AliasChange& change) {
  v1::AliasChange proto;
  proto.set_alias(change.alias);
  if (change.model != 0) {
    proto.set_model(ModelName(change.project, change.model));
  }
  proto.set_author(change.author);
  proto.set_reason(change.reason);
  *proto.mutable_create_time() = ToProto(change.create_time);
  return proto;
}

agent::v1::SignedDocument ToProto(const std::string& payload,
                                  const std::vector<Signature>& signatures) {
  agent::v1::SignedDocument proto;
  proto.set_payload(payload);
  for (const Signature& signature : signatures) {
    agent::v1::Signature& added = *proto.add_signatures();
    added.set_key_id(signature.key_id);
    added.set_value(signature.value);
  }
  return proto;
}

absl::StatusOr<v1::Release> ToProto(const Release& release) {
  v1::Release proto;
  proto.set_name(ReleaseName(release.project, release.sequence));
  proto.set_model(ModelName(release.project, release.model));
  *proto.mutable_manifest() = ToProto(release.payload, release.signatures);
  if (!proto.mutable_content()->ParseFromString(release.payload)) {
    return absl::InternalError(absl::StrCat("manifest of ", proto.name(), " does not parse"));
  }
  proto.set_signed_(release.is_signed);
  *proto.mutable_create_time() = ToProto(release.create_time);
  return proto;
}

agent::v1::Impulse ToAgentImpulse(const ImpulseRecipe& recipe,
                                  const std::vector<std::string>& classes) {
  agent::v1::Impulse impulse;
  impulse.set_format(kImpulseFormat);
  *impulse.mutable_window() = ToProto(recipe.window);
  for (const MagnitudeAxis& magnitude : recipe.magnitudes) {
    *impulse.add_magnitudes() = ToProto(magnitude);
  }
  for (const DspBlock& block : recipe.blocks) {
    *impulse.add_blocks() = ToProto(block);
  }
  for (const std::string& name : classes) {
    impulse.add_classes(name);
  }
  return impulse;
}

std::string EncodeManifest(const Manifest& manifest) {
  agent::v1::ReleaseManifest proto;
  proto.set_project(manifest.project);
  proto.set_sequence(static_cast<std::uint64_t>(manifest.sequence));
  proto.set_expires_s(static_cast<std::uint64_t>(manifest.expires_s));
  for (const std::string& id : manifest.hardware_ids) {
    proto.add_hardware_ids(id);
  }
  agent::v1::ReleaseComponent& component = *proto.add_components();
  component.set_kind(agent::v1::COMPONENT_KIND_MODEL);
  component.set_digest(manifest.model_digest);
  component.set_size_bytes(static_cast<std::uint32_t>(manifest.model_size_bytes));
  component.set_version(manifest.model_version);
  return proto.SerializeAsString();
}

absl::StatusOr<Root> ParseRoot(absl::string_view document) {
  agent::v1::SignedDocument signed_document;
  agent::v1::RootDocument proto;
  if (!signed_document.ParseFromArray(document.data(), static_cast<int>(document.size())) ||
      !proto.ParseFromString(signed_document.payload())) {
    return absl::InvalidArgumentError("root: want a serialised SignedDocument of a RootDocument");
  }
  Root root;
  root.version = proto.version();
  root.expires_s = proto.expires_s();
  for (const agent::v1::TrustedKey& key : proto.keys()) {
    root.keys.push_back(key.public_key());
  }
  root.root = FromProto(proto.root());
  root.release = FromProto(proto.release());
  root.directive = FromProto(proto.directive());
  root.payload = signed_document.payload();
  for (const agent::v1::Signature& signature : signed_document.signatures()) {
    root.signatures.push_back(FromProto(signature));
  }
  return root;
}

}  // namespace fieldloop::build
