// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/learning_block_trainer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/build/domain/model.h"
#include "services/build/packaging/feature_extractor.h"
#include "services/build/packaging/feature_table.h"
#include "services/build/packaging/held_out.h"
#include "services/build/packaging/package.h"
#include "services/build/packaging/standardisation.h"
#include "services/build/transport/proto_conversion.h"
#include "services/build/transport/trainer_files.h"
#include "services/build/transport/trainer_program.h"
#include "services/common/npy/npy_array.h"
#include "services/common/npy/npy_writer.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::json;

constexpr double kValidationShare = 0.2;
constexpr std::size_t kLabelColumns = 4;
constexpr char kInt8File[] = "model_quantized_int8_io.tflite";
constexpr char kFile[] = "model.tflite";

// The training side.
struct Training {
  NpyArray<float> windows;
  NpyArray<std::int32_t> labels;  // Class from 1, sample, start ms, end ms.
  std::vector<std::int32_t> groups;

  int ClassOf(std::size_t row) const { return labels.row(row)[0] - 1; }
};

// Windows of what the service wrote itself.
absl::StatusOr<Training> ReadTraining(const std::string& folder) {
  Training training;
  FIELDLOOP_ASSIGN_OR_RETURN(training.windows, ReadNpy<float>(folder + "/windows_train.npy"));
  FIELDLOOP_ASSIGN_OR_RETURN(training.labels, ReadNpy<std::int32_t>(folder + "/labels_train.npy"));
  FIELDLOOP_ASSIGN_OR_RETURN(NpyArray<std::int32_t> groups,
                             ReadNpy<std::int32_t>(folder + "/groups_train.npy"));
  training.groups = std::move(groups.values);
  return training;
}

// Rows that the program is trained on, and those held out.
struct Split {
  std::vector<std::size_t> train;
  std::vector<std::size_t> validation;
};

// Holds out whole groups, about `share` of all windows; where there are too few of them, or a class
// would have none left, whole samples, and where that does not do, single windows.
Split SplitOf(const Training& training, std::size_t classes, double share) {
  const std::size_t rows = training.labels.rows();
  std::vector<std::int32_t> samples;
  std::vector<std::int32_t> windows(rows);
  std::iota(windows.begin(), windows.end(), 0);
  for (std::size_t row = 0; row < rows; ++row) {
    samples.push_back(training.labels.row(row)[1]);
  }
  const int folds = std::max(2, static_cast<int>(1 / share + 0.5));
  Split split;
  for (const auto& groups : {training.groups, samples, windows}) {
    const std::vector<int> fold_of = AssignFolds(groups, folds);
    const int count = *std::max_element(fold_of.begin(), fold_of.end()) + 1;
    for (int fold = 0; fold < count; ++fold) {
      split = {};
      std::set<int> left;
      for (std::size_t row = 0; row < rows; ++row) {
        (fold_of[row] == fold ? split.validation : split.train).push_back(row);
        if (fold_of[row] != fold) {
          left.insert(training.ClassOf(row));
        }
      }
      if (left.size() == classes && !split.validation.empty()) {
        return split;
      }
    }
  }
  return split;
}

absl::Status WriteFeatures(const std::string& path, const FeatureTable& table) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<NpyWriter> file,
                             NpyWriter::Create(path, NpyType::kFloat32, table.columns));
  for (std::size_t row = 0; row < table.rows; ++row) {
    FIELDLOOP_RETURN_IF_ERROR(file->AppendRow(table.row(row)));
  }
  return file->Finish(table.rows);
}

absl::Status WriteLabels(const std::string& path, const Training& training,
                         const std::vector<std::size_t>& rows, std::size_t one_hot_classes) {
  const std::size_t columns = one_hot_classes == 0 ? kLabelColumns : one_hot_classes;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<NpyWriter> file,
                             NpyWriter::Create(path, NpyType::kInt32, columns));
  for (const std::size_t row : rows) {
    if (one_hot_classes == 0) {
      FIELDLOOP_RETURN_IF_ERROR(file->AppendRow(training.labels.row(row)));
      continue;
    }
    std::vector<std::int32_t> one_hot(one_hot_classes, 0);
    one_hot[static_cast<std::size_t>(training.ClassOf(row))] = 1;
    FIELDLOOP_RETURN_IF_ERROR(file->AppendRow(one_hot.data()));
  }
  return file->Finish(rows.size());
}

Json SamplesOf(const Training& training, const std::vector<std::size_t>& rows) {
  Json samples = Json::array();
  for (const std::size_t row : rows) {
    samples.push_back(training.labels.row(row)[1]);
  }
  return samples;
}

LabelledRows RowsOf(const Training& training, const std::vector<std::size_t>& rows) {
  LabelledRows taken;
  taken.windows.shape = {rows.size(), training.windows.columns()};
  for (const std::size_t row : rows) {
    const float* values = training.windows.row(row);
    taken.windows.values.insert(taken.windows.values.end(), values,
                                values + training.windows.columns());
    taken.labels.push_back(training.ClassOf(row));
  }
  return taken;
}

// The file that is taken: the one that says int8, else model.tflite.
absl::StatusOr<std::string> ReadModel(const std::string& folder) {
  std::error_code error;
  for (const char* name : {kInt8File, kFile}) {
    if (std::filesystem::exists(absl::StrCat(folder, "/", name), error)) {
      return ReadOutput(folder, name);
    }
  }
  return absl::AbortedError(
      absl::StrCat("the trainer ended well but wrote neither ", kInt8File, " nor an int8 ", kFile));
}

}  // namespace

LearningBlockTrainer::LearningBlockTrainer(TrainerProgram program, TrainerRunner& runner)
    : program_(std::move(program)), runner_(runner) {}

absl::StatusOr<TrainerIdentity> LearningBlockTrainer::Identify() {
  FIELDLOOP_ASSIGN_OR_RETURN(std::string digest, DigestOf(program_));
  return TrainerIdentity{
      .id = program_.id, .digest = std::move(digest), .contract = TrainerContract::kLearningBlock};
}

absl::StatusOr<TrainedModel> LearningBlockTrainer::Train(const TrainingJob& job,
                                                         std::stop_token stop,
                                                         TrainerListener& listener) {
  const Learning& learning = job.recipe.learning;
  if (learning.anomaly.has_value() || learning.budget.has_value()) {
    return absl::AbortedError(
        absl::StrCat("the trainer ", program_.id,
                     " is a learning block, which makes no anomaly "
                     "block and searches no networks: want a recipe without learning.anomaly and "
                     "learning.budget"));
  }
  listener.OnActivity("computes features");
  FIELDLOOP_ASSIGN_OR_RETURN(const Training training, ReadTraining(job.directory));
  const Split split =
      SplitOf(training, job.classes.size(),
              learning.validation_share > 0 ? learning.validation_share : kValidationShare);
  agent::v1::Impulse impulse = ToAgentImpulse(job.recipe, job.classes);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<FeatureExtractor> extractor,
                             FeatureExtractor::Open(impulse));
  FeatureTable features(training.windows.rows(), extractor->feature_count());
  for (std::size_t row = 0; row < features.rows; ++row) {
    if (stop.stop_requested()) {
      return absl::CancelledError("stopped");
    }
    FIELDLOOP_RETURN_IF_ERROR(extractor->Compute(training.windows.row(row), features.row(row)));
  }
  Standardisation standardisation{.mean = std::vector<float>(features.columns, 0),
                                  .inverse_deviation = std::vector<float>(features.columns, 1),
                                  .clip = std::numeric_limits<float>::max()};
  if (program_.standardised) {
    standardisation = FitStandardisation(features, split.train);
    ToProto(standardisation, *impulse.mutable_standardisation());
  }

  const std::string folder = job.directory + "/block";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && !job.parent_file.empty()) {
    std::filesystem::copy_file(absl::StrCat(job.directory, "/", job.parent_file),
                               absl::StrCat(folder, "/", job.parent_file),
                               std::filesystem::copy_options::overwrite_existing, error);
  }
  if (error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot write to ", folder, ": ", error.message()));
  }
  const std::size_t one_hot = program_.one_hot ? job.classes.size() : 0;
  for (const auto& [name, rows] :
       {std::pair("train", &split.train), std::pair("test", &split.validation)}) {
    FIELDLOOP_RETURN_IF_ERROR(WriteFeatures(absl::StrCat(folder, "/X_split_", name, ".npy"),
                                            Standardise(standardisation, features, *rows)));
    FIELDLOOP_RETURN_IF_ERROR(
        WriteLabels(absl::StrCat(folder, "/Y_split_", name, ".npy"), training, *rows, one_hot));
  }
  FIELDLOOP_RETURN_IF_ERROR(WriteJson({{"train", SamplesOf(training, split.train)},
                                       {"validation", SamplesOf(training, split.validation)}},
                                      folder + "/sample_id_details.json"));
  Json input = TrainInput(job);
  input["mode"] = "classification";
  input["inputShape"] = {features.columns};
  input["yType"] = program_.one_hot ? "npy" : "structured";
  FIELDLOOP_RETURN_IF_ERROR(WriteJson(input, folder + "/train_input.json"));

  TrainerTask task{.project = job.project,
                   .number = job.number,
                   .program = program_,
                   .data_directory = folder,
                   .out_directory = job.out_directory,
                   .scratch_directory = job.scratch_directory,
                   .arguments = {"--epochs", absl::StrCat(learning.epochs), "--learning-rate",
                                 absl::StrCat(learning.learning_rate)},
                   .outputs = {{.name = kInt8File, .max_bytes = kMaxModelBytes},
                               {.name = kFile, .max_bytes = kMaxModelBytes},
                               {.name = kMetricsFile, .max_bytes = kMaxMetricsBytes}}};
  for (const auto& [name, value] : learning.parameters) {
    task.arguments.push_back(absl::StrCat("--", name));
    task.arguments.push_back(value);
  }
  listener.OnActivity("trains");
  FIELDLOOP_RETURN_IF_ERROR(runner_.Run(task, stop, listener));

  listener.OnActivity("packages the model");
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string model, ReadModel(job.out_directory));
  TrainedModel trained;
  absl::StatusOr<std::string> packaged =
      PackageModel(model, std::move(impulse), RowsOf(training, split.validation));
  if (!packaged.ok()) {
    return absl::AbortedError(
        absl::StrCat("the trainer's model is refused: ", packaged.status().message()));
  }
  trained.file = *std::move(packaged);
  if (std::filesystem::exists(job.out_directory + "/" + kMetricsFile, error)) {
    FIELDLOOP_ASSIGN_OR_RETURN(trained.metrics, ReadMetrics(job.out_directory));
  }
  return trained;
}

}  // namespace fieldloop::build
