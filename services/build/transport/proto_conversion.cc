// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/proto_conversion.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/names.h"
#include "services/common/grpc/proto_time.h"

namespace fieldloop::build {
namespace {

constexpr std::uint32_t kImpulseFormat = 1;

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

v1::Epoch ToProto(const Epoch& epoch) {
  v1::Epoch proto;
  proto.set_epoch(epoch.epoch);
  proto.set_loss(epoch.loss.value_or(0));
  proto.set_accuracy(epoch.accuracy.value_or(0));
  if (epoch.validation_loss.has_value()) {
    proto.set_validation_loss(*epoch.validation_loss);
  }
  if (epoch.validation_accuracy.has_value()) {
    proto.set_validation_accuracy(*epoch.validation_accuracy);
  }
  return proto;
}

v1::Candidate ToProto(const Candidate& candidate) {
  v1::Candidate proto;
  proto.set_network(candidate.network);
  proto.set_size_bytes(candidate.size_bytes);
  proto.set_arena_bytes(candidate.arena_bytes);
  proto.set_cortex_m4_instructions(candidate.cortex_m4_instructions);
  if (candidate.validation_balanced_accuracy.has_value()) {
    proto.set_validation_balanced_accuracy(*candidate.validation_balanced_accuracy);
  }
  proto.set_fits(candidate.fits);
  proto.set_chosen(candidate.chosen);
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
  proto.set_pad_short(window.pad_short);
  return proto;
}

agent::v1::MagnitudeAxis ToProto(const MagnitudeAxis& magnitude) {
  agent::v1::MagnitudeAxis proto;
  proto.set_first_axis(static_cast<std::uint32_t>(magnitude.first_axis));
  proto.set_count(static_cast<std::uint32_t>(magnitude.count));
  return proto;
}

agent::v1::Filter ToProto(const Filter& filter) {
  agent::v1::Filter proto;
  proto.set_kind(filter.kind == FilterKind::kLowPass ? agent::v1::Filter::KIND_LOW_PASS
                                                     : agent::v1::Filter::KIND_HIGH_PASS);
  proto.set_cutoff_hz(filter.cutoff_hz);
  proto.set_order(static_cast<std::uint32_t>(filter.order));
  return proto;
}

// The fields that MfeBlock and MfccBlock share.
template <typename MelBlock>
void SetMelFrames(const DspBlock& block, MelBlock& proto) {
  proto.set_frame_length(static_cast<std::uint32_t>(block.frame_length));
  proto.set_frame_stride(static_cast<std::uint32_t>(block.frame_stride));
  proto.set_fft_length(static_cast<std::uint32_t>(block.fft_length));
  proto.set_filter_count(static_cast<std::uint32_t>(block.filter_count));
  proto.set_low_hz(block.low_hz);
  proto.set_high_hz(block.high_hz);
  proto.set_pre_emphasis(block.pre_emphasis);
  proto.set_scale(block.scale);
}

template <typename MelBlock>
DspBlock MelFramesFromProto(BlockKind kind, const MelBlock& proto) {
  DspBlock block{.kind = kind, .scale = proto.scale()};
  block.fft_length = proto.fft_length();
  block.frame_length = proto.frame_length();
  block.frame_stride = proto.frame_stride();
  block.filter_count = proto.filter_count();
  block.low_hz = proto.low_hz();
  block.high_hz = proto.high_hz();
  block.pre_emphasis = proto.pre_emphasis();
  return block;
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
      if (block.filter.kind != FilterKind::kNone) {
        *proto.mutable_spectral()->mutable_filter() = ToProto(block.filter);
      }
      break;
    case BlockKind::kMfe:
      SetMelFrames(block, *proto.mutable_mfe());
      proto.mutable_mfe()->set_noise_floor_db(block.noise_floor_db);
      break;
    case BlockKind::kMfcc:
      SetMelFrames(block, *proto.mutable_mfcc());
      proto.mutable_mfcc()->set_coefficient_count(
          static_cast<std::uint32_t>(block.coefficient_count));
      proto.mutable_mfcc()->set_normalisation_frames(
          static_cast<std::uint32_t>(block.normalisation_frames));
      break;
  }
  return proto;
}

Filter FromProto(const agent::v1::Filter& proto) {
  FilterKind kind = FilterKind::kNone;
  if (proto.kind() == agent::v1::Filter::KIND_LOW_PASS) {
    kind = FilterKind::kLowPass;
  } else if (proto.kind() == agent::v1::Filter::KIND_HIGH_PASS) {
    kind = FilterKind::kHighPass;
  }
  return {.kind = kind, .cutoff_hz = proto.cutoff_hz(), .order = proto.order()};
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
              .average_frames = proto.spectral().average_frames(),
              .filter = FromProto(proto.spectral().filter())};
    case agent::v1::DspBlock::kMfe: {
      DspBlock block = MelFramesFromProto(BlockKind::kMfe, proto.mfe());
      block.noise_floor_db = proto.mfe().noise_floor_db();
      return block;
    }
    case agent::v1::DspBlock::kMfcc: {
      DspBlock block = MelFramesFromProto(BlockKind::kMfcc, proto.mfcc());
      block.coefficient_count = proto.mfcc().coefficient_count();
      block.normalisation_frames = proto.mfcc().normalisation_frames();
      return block;
    }
    case agent::v1::DspBlock::BLOCK_NOT_SET:
      break;
  }
  return {};
}

Network FromProto(v1::Network proto) {
  switch (proto) {
    case v1::NETWORK_CONV_1D:
      return Network::kConv1d;
    case v1::NETWORK_CONV_2D:
      return Network::kConv2d;
    default:
      return Network::kDense;
  }
}

v1::Network ToProto(Network network) {
  switch (network) {
    case Network::kDense:
      return v1::NETWORK_DENSE;
    case Network::kConv1d:
      return v1::NETWORK_CONV_1D;
    case Network::kConv2d:
      return v1::NETWORK_CONV_2D;
  }
  return v1::NETWORK_UNSPECIFIED;
}

Augmentation FromProto(const v1::Augmentation& proto) {
  return {.copies = proto.copies(),
          .rotation_degrees = proto.rotation_degrees(),
          .gain = proto.gain(),
          .noise = proto.noise(),
          .half_turns = proto.half_turns(),
          .time_shift = proto.time_shift(),
          .time_mask = proto.time_mask(),
          .frequency_mask = proto.frequency_mask()};
}

v1::Augmentation ToProto(const Augmentation& augmentation) {
  v1::Augmentation proto;
  proto.set_copies(augmentation.copies);
  proto.set_rotation_degrees(augmentation.rotation_degrees);
  proto.set_gain(augmentation.gain);
  proto.set_noise(augmentation.noise);
  proto.set_half_turns(augmentation.half_turns);
  proto.set_time_shift(augmentation.time_shift);
  proto.set_time_mask(augmentation.time_mask);
  proto.set_frequency_mask(augmentation.frequency_mask);
  return proto;
}

Learning FromProto(const v1::Learning& proto) {
  Learning learning;
  learning.network = FromProto(proto.network());
  for (const v1::ConvBlock& block : proto.conv_blocks()) {
    learning.conv_blocks.push_back({.filters = block.filters(),
                                    .kernel = block.kernel(),
                                    .stride = block.stride(),
                                    .pool = block.pool()});
  }
  learning.dense_units.assign(proto.dense_units().begin(), proto.dense_units().end());
  learning.epochs = proto.epochs();
  learning.learning_rate = proto.learning_rate();
  learning.batch_size = proto.batch_size();
  learning.dropout = proto.dropout();
  learning.weight_decay = proto.weight_decay();
  learning.augmentation = FromProto(proto.augmentation());
  learning.balance_classes = proto.balance_classes();
  learning.group_key = proto.group_key();
  learning.device_weight = proto.device_weight();
  learning.training_stride = proto.training_stride();
  learning.early_stopping_patience = proto.early_stopping_patience();
  learning.validation_share = proto.validation_share();
  if (proto.has_anomaly()) {
    learning.anomaly = {
        .method = proto.anomaly().method() == v1::AnomalyLearning::METHOD_GAUSSIAN_MIXTURE
                      ? AnomalyMethod::kGaussianMixture
                      : AnomalyMethod::kKMeans,
        .components = proto.anomaly().components(),
        .features = proto.anomaly().features(),
        .quantile = proto.anomaly().quantile()};
  }
  if (proto.has_budget()) {
    learning.budget = {.flash_kb = proto.budget().flash_kb(),
                       .ram_kb = proto.budget().ram_kb(),
                       .mega_instructions = proto.budget().mega_instructions(),
                       .trials = proto.budget().trials()};
  }
  learning.parameters = {proto.parameters().begin(), proto.parameters().end()};
  return learning;
}

v1::Learning ToProto(const Learning& learning) {
  v1::Learning proto;
  proto.set_network(ToProto(learning.network));
  for (const ConvBlock& block : learning.conv_blocks) {
    v1::ConvBlock& added = *proto.add_conv_blocks();
    added.set_filters(block.filters);
    added.set_kernel(block.kernel);
    added.set_stride(block.stride);
    added.set_pool(block.pool);
  }
  for (const std::int32_t units : learning.dense_units) {
    proto.add_dense_units(units);
  }
  proto.set_epochs(learning.epochs);
  proto.set_learning_rate(learning.learning_rate);
  proto.set_batch_size(learning.batch_size);
  proto.set_dropout(learning.dropout);
  proto.set_weight_decay(learning.weight_decay);
  *proto.mutable_augmentation() = ToProto(learning.augmentation);
  proto.set_balance_classes(learning.balance_classes);
  proto.set_group_key(learning.group_key);
  proto.set_device_weight(learning.device_weight);
  proto.set_training_stride(learning.training_stride);
  proto.set_early_stopping_patience(learning.early_stopping_patience);
  proto.set_validation_share(learning.validation_share);
  if (learning.anomaly.has_value()) {
    v1::AnomalyLearning& anomaly = *proto.mutable_anomaly();
    anomaly.set_method(learning.anomaly->method == AnomalyMethod::kGaussianMixture
                           ? v1::AnomalyLearning::METHOD_GAUSSIAN_MIXTURE
                           : v1::AnomalyLearning::METHOD_K_MEANS);
    anomaly.set_components(learning.anomaly->components);
    anomaly.set_features(learning.anomaly->features);
    anomaly.set_quantile(learning.anomaly->quantile);
  }
  if (learning.budget.has_value()) {
    v1::Budget& budget = *proto.mutable_budget();
    budget.set_flash_kb(learning.budget->flash_kb);
    budget.set_ram_kb(learning.budget->ram_kb);
    budget.set_mega_instructions(learning.budget->mega_instructions);
    budget.set_trials(learning.budget->trials);
  }
  for (const auto& [name, value] : learning.parameters) {
    (*proto.mutable_parameters())[name] = value;
  }
  return proto;
}

// Window and signal processing, of a recipe or of what a model says of itself.
template <typename Proto>
ImpulseRecipe SignalFromProto(const Proto& proto) {
  ImpulseRecipe recipe;
  recipe.window = {.length = proto.window().length(),
                   .stride = proto.window().stride(),
                   .frequency_hz = proto.window().frequency_hz(),
                   .axes = {proto.window().axes().begin(), proto.window().axes().end()},
                   .pad_short = proto.window().pad_short()};
  for (const agent::v1::MagnitudeAxis& magnitude : proto.magnitudes()) {
    recipe.magnitudes.push_back({.first_axis = magnitude.first_axis(), .count = magnitude.count()});
  }
  for (const agent::v1::DspBlock& block : proto.blocks()) {
    recipe.blocks.push_back(FromProto(block));
  }
  return recipe;
}

TrustedRole FromProto(const agent::v1::TrustedRole& proto) {
  return {.key_indices = {proto.key_indices().begin(), proto.key_indices().end()},
          .threshold = proto.threshold()};
}

}  // namespace

ImpulseRecipe FromProto(const v1::ImpulseRecipe& proto) {
  ImpulseRecipe recipe = SignalFromProto(proto);
  recipe.learning = FromProto(proto.learning());
  recipe.label_purity = proto.label_purity();
  return recipe;
}

ImpulseRecipe RecipeOf(const agent::v1::Impulse& impulse) { return SignalFromProto(impulse); }

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
  *proto.mutable_learning() = ToProto(recipe.learning);
  proto.set_label_purity(recipe.label_purity);
  return proto;
}

v1::Impulse ToProto(const Impulse& impulse) {
  v1::Impulse proto;
  proto.set_name(ImpulseName(impulse.project, impulse.id, impulse.version));
  *proto.mutable_recipe() = ToProto(impulse.recipe);
  proto.set_digest(impulse.digest);
  *proto.mutable_create_time() = ToTimestamp(impulse.create_time);
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
  for (const Epoch& epoch : build.history) {
    *proto.add_history() = ToProto(epoch);
  }
  for (const Candidate& candidate : build.candidates) {
    *proto.add_candidates() = ToProto(candidate);
  }
  proto.set_queue_position(static_cast<std::int32_t>(build.queue_position));
  proto.set_error(build.error);
  if (build.model != 0) {
    proto.set_model(ModelName(build.project, build.model));
  }
  proto.set_trainer(build.trainer.empty() ? build.trainer_id : build.trainer);
  *proto.mutable_create_time() = ToTimestamp(build.create_time);
  if (IsDone(build.state)) {
    *proto.mutable_end_time() = ToTimestamp(build.end_time);
  }
  return proto;
}

v1::Trainer ToProto(const TrainerIdentity& trainer) {
  v1::Trainer proto;
  proto.set_id(trainer.id);
  proto.set_digest(trainer.digest);
  proto.set_contract(trainer.contract == TrainerContract::kLearningBlock
                         ? v1::Trainer::CONTRACT_LEARNING_BLOCK
                         : v1::Trainer::CONTRACT_FIELDLOOP);
  return proto;
}

absl::StatusOr<v1::Model> ToProto(const Model& model) {
  v1::Model proto;
  proto.set_name(ModelName(model.project, model.number));
  proto.set_digest(model.digest);
  proto.set_size_bytes(model.size_bytes);
  proto.set_arena_bytes(model.arena_bytes);
  if (model.build != 0) {
    proto.set_build(BuildName(model.project, model.build));
  }
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
  for (const Metric& metric : model.metrics) {
    *proto.add_metrics() = ToProto(metric);
  }
  proto.set_cortex_m4_instructions(model.cortex_m4_instructions);
  proto.set_host_inference_nanos(model.host_inference_nanos);
  proto.set_seed(model.inputs.seed);
  proto.set_trainer(model.trainer);
  proto.set_import_author(model.import_author);
  if (!proto.mutable_metadata()->ParseFromString(model.metadata)) {
    return absl::InternalError(absl::StrCat("metadata of ", proto.name(), " does not parse"));
  }
  *proto.mutable_create_time() = ToTimestamp(model.create_time);
  return proto;
}

v1::ModelComparison ToProto(const ModelComparison& comparison) {
  v1::ModelComparison proto;
  proto.set_first(ModelName(comparison.first.project, comparison.first.number));
  proto.set_second(ModelName(comparison.second.project, comparison.second.number));
  proto.set_dataset_version(comparison.dataset_version);
  for (const ComparisonRow& row : comparison.rows) {
    v1::ModelComparison::Row& added = *proto.add_rows();
    added.set_name(row.name);
    added.set_slice(row.slice);
    if (row.first.has_value()) {
      added.set_first(*row.first);
    }
    if (row.second.has_value()) {
      added.set_second(*row.second);
    }
  }
  proto.set_both_right(comparison.both_right);
  proto.set_only_first_right(comparison.only_first_right);
  proto.set_only_second_right(comparison.only_second_right);
  proto.set_neither_right(comparison.neither_right);
  proto.set_partial(comparison.partial);
  return proto;
}

v1::ModelLineage::Step ToLineageStep(const Model& model) {
  v1::ModelLineage::Step step;
  step.set_model(ModelName(model.project, model.number));
  step.set_digest(model.digest);
  if (model.build != 0) {
    step.set_build(BuildName(model.project, model.build));
  }
  step.set_dataset_version(model.dataset_version);
  step.set_dataset_digest(model.inputs.dataset_digest);
  step.set_impulse(model.impulse);
  step.set_trainer(model.trainer);
  step.set_seed(model.inputs.seed);
  return step;
}

v1::AliasChange ToProto(const AliasChange& change) {
  v1::AliasChange proto;
  proto.set_alias(change.alias);
  if (change.model != 0) {
    proto.set_model(ModelName(change.project, change.model));
  }
  proto.set_author(change.author);
  proto.set_reason(change.reason);
  *proto.mutable_create_time() = ToTimestamp(change.create_time);
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

v1::Artifact ToProto(const Artifact& artifact) {
  v1::Artifact proto;
  proto.set_name(ArtifactName(artifact.project, artifact.number));
  proto.set_kind(static_cast<agent::v1::ComponentKind>(artifact.kind));  // The same numbers.
  proto.set_version(artifact.version);
  proto.set_digest(artifact.digest);
  proto.set_size_bytes(artifact.size_bytes);
  proto.set_author(artifact.author);
  *proto.mutable_create_time() = ToTimestamp(artifact.create_time);
  return proto;
}

absl::StatusOr<ComponentKind> KindOf(absl::string_view field, agent::v1::ComponentKind proto) {
  switch (proto) {
    case agent::v1::COMPONENT_KIND_MODEL:
      return ComponentKind::kModel;
    case agent::v1::COMPONENT_KIND_FIRMWARE:
      return ComponentKind::kFirmware;
    case agent::v1::COMPONENT_KIND_CONFIGURATION:
      return ComponentKind::kConfiguration;
    default:
      return absl::InvalidArgumentError(absl::StrCat(field, ": got ", static_cast<int>(proto),
                                                     ", want firmware or configuration"));
  }
}

absl::StatusOr<v1::Release> ToProto(const Release& release) {
  v1::Release proto;
  proto.set_name(ReleaseName(release.project, release.sequence));
  if (release.model != 0) {
    proto.set_model(ModelName(release.project, release.model));
  }
  if (release.firmware != 0) {
    proto.set_firmware(ArtifactName(release.project, release.firmware));
  }
  if (release.configuration != 0) {
    proto.set_configuration(ArtifactName(release.project, release.configuration));
  }
  *proto.mutable_manifest() = ToProto(release.payload, release.signatures);
  if (!proto.mutable_content()->ParseFromString(release.payload)) {
    return absl::InternalError(absl::StrCat("manifest of ", proto.name(), " does not parse"));
  }
  proto.set_signed_(release.is_signed);
  *proto.mutable_create_time() = ToTimestamp(release.create_time);
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
  for (const ManifestComponent& component : manifest.components) {
    agent::v1::ReleaseComponent& added = *proto.add_components();
    added.set_kind(static_cast<agent::v1::ComponentKind>(component.kind));  // The same numbers.
    added.set_digest(component.digest);
    added.set_size_bytes(static_cast<std::uint32_t>(component.size_bytes));
    added.set_version(component.version);
  }
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
