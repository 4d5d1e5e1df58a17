// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/model_importer.h"

#include <cstddef>
#include <optional>
#include <set>
#include <stop_token>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/build/domain/names.h"
#include "services/build/domain/recipe.h"
#include "services/common/crypto/digest.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kTrainer[] = "import";
constexpr std::size_t kMinClasses = 2;
constexpr std::size_t kMaxClasses = 32;
constexpr std::size_t kMaxClassName = 31;

absl::Status CheckClasses(const std::vector<std::string>& classes) {
  if (classes.size() < kMinClasses || classes.size() > kMaxClasses) {
    return absl::InvalidArgumentError(
        absl::StrCat("classes: got ", classes.size(), ", want ", kMinClasses, " to ", kMaxClasses));
  }
  std::set<absl::string_view> seen;
  for (const std::string& name : classes) {
    if (name.empty() || name.size() > kMaxClassName || !seen.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat("classes: got \"", absl::CHexEscape(name),
                                                     "\", want different names of 1 to ",
                                                     kMaxClassName, " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckProject(absl::string_view field, absl::string_view got, absl::string_view want) {
  return got == want ? absl::OkStatus()
                     : absl::InvalidArgumentError(absl::StrCat(field, ": got one of projects/", got,
                                                               ", want one of projects/", want));
}

}  // namespace

ModelImporter::ModelImporter(const Parts& parts) : parts_(parts) {}

absl::StatusOr<ModelImporter::Windows> ModelImporter::Prepare(
    const ImportRequest& request, const ImpulseRecipe& recipe,
    const std::vector<std::string>& classes, absl::string_view digest) {
  Windows windows;
  FIELDLOOP_ASSIGN_OR_RETURN(windows.work,
                             parts_.work.Create(absl::StrCat("import-", next_work_++)));
  FIELDLOOP_ASSIGN_OR_RETURN(
      windows.set, windows.work->OpenTrainingSet(static_cast<std::size_t>(recipe.window.length) *
                                                 recipe.window.axes.size()));
  TrainingSetBuilder builder(recipe, *windows.set, classes);
  FIELDLOOP_RETURN_IF_ERROR(
      parts_.datasets.Export(request.dataset_version, std::stop_token(),
                             [&](const SourceSample& sample) { return builder.Add(sample); }));
  FIELDLOOP_RETURN_IF_ERROR(builder.Finish(digest).status());
  return windows;
}

absl::StatusOr<Model> ModelImporter::Import(absl::string_view parent, const ImportRequest& request,
                                            const std::string& file) {
  Model model;
  FIELDLOOP_ASSIGN_OR_RETURN(model.project, ParseProjectName("spec.parent", parent));
  if (file.empty() || static_cast<std::int64_t>(file.size()) > kMaxModelBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("data: got ", file.size(), " bytes, want a model of 1 to ", kMaxModelBytes));
  }
  const absl::StatusOr<CarriedImpulse> carried = parts_.packager.Read(file);
  if (!carried.ok() && !absl::IsNotFound(carried.status())) {
    return carried.status();
  }
  ImpulseRecipe recipe;
  if (!request.impulse.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const ImpulseNameParts name,
                               ParseImpulseName("spec.impulse", request.impulse));
    FIELDLOOP_RETURN_IF_ERROR(CheckProject("spec.impulse", name.project, model.project));
    FIELDLOOP_ASSIGN_OR_RETURN(const Impulse impulse,
                               parts_.impulses.Get(name.project, name.id, name.version));
    recipe = impulse.recipe;
    model.impulse = ImpulseName(impulse.project, impulse.id, impulse.version);
  } else if (carried.ok()) {
    recipe = carried->recipe;
  } else {
    return absl::InvalidArgumentError(
        "spec.impulse: got nothing, want an impulse, for the file carries none");
  }
  model.classes = !request.classes.empty() || !carried.ok() ? request.classes : carried->classes;
  FIELDLOOP_RETURN_IF_ERROR(CheckClasses(model.classes));

  model.inputs = {.dataset_digest = "",
                  .impulse_digest = RecipeDigest(recipe),
                  .seed = 0,
                  .parent_digest = "",
                  .trainer_digest = ToHex(Sha256Of(absl::StrCat(
                      kTrainer, "\n", absl::StrJoin(model.classes, "\n"), "\n", file)))};
  if (!request.dataset_version.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        const std::vector<std::string> dataset,
        ParseResourceName("spec.dataset_version", "projects/*/datasets/*/versions/*",
                          request.dataset_version));
    FIELDLOOP_RETURN_IF_ERROR(CheckProject("spec.dataset_version", dataset[0], model.project));
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetVersionInfo version,
                               parts_.datasets.GetVersion(request.dataset_version));
    model.inputs.dataset_digest = version.digest;
    model.dataset_version = request.dataset_version;
  }
  if (absl::StatusOr<Model> first = parts_.models.FindByInputs(model.project, model.inputs);
      first.ok() || !absl::IsNotFound(first.status())) {
    return first;
  }

  Windows windows;
  if (!request.dataset_version.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        windows, Prepare(request, recipe, model.classes, model.inputs.dataset_digest));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::string packaged,
      parts_.packager.Package(file, recipe, model.classes,
                              windows.work == nullptr ? "" : windows.work->data_path()));
  FIELDLOOP_ASSIGN_OR_RETURN(CheckedModel checked,
                             parts_.checker.Check(packaged, recipe, model.classes));
  if (windows.set != nullptr) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        ModelFigures figures,
        JudgeModel(parts_.judge, packaged, model.classes, *windows.set, std::stop_token()));
    model.metrics = std::move(figures.metrics);
    model.cortex_m4_instructions = figures.cortex_m4_instructions;
    model.host_inference_nanos = figures.host_inference_nanos;
  } else {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<OpenedModel> opened,
                               parts_.judge.Open(packaged));
    model.cortex_m4_instructions = opened->cortex_m4_instructions();
    model.host_inference_nanos = absl::ToInt64Nanoseconds(opened->MeasureLatency());
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo blob, parts_.blobs.Put(packaged));
  model.digest = blob.digest;
  model.size_bytes = blob.size_bytes;
  model.arena_bytes = checked.arena_bytes;
  model.metadata = std::move(checked.metadata);
  model.trainer = kTrainer;
  model.import_author = request.author;
  model.create_time = parts_.clock.Now();
  return parts_.models.Insert(model);
}

}  // namespace fieldloop::build
