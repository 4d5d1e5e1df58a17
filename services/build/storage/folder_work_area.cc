// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/folder_work_area.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/build/domain/training_set.h"
#include "services/common/crypto/digest.h"
#include "services/common/npy/npy_writer.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLabelColumns = 4;

absl::Status WriteVector(const std::string& path, const std::vector<std::int32_t>& values) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<NpyWriter> file,
                             NpyWriter::Create(path, NpyType::kInt32, 0));
  for (const std::int32_t value : values) {
    FIELDLOOP_RETURN_IF_ERROR(file->AppendRow(&value));
  }
  return file->Finish(values.size());
}

absl::Status WriteLabels(const std::string& path, const std::vector<WindowRow>& rows) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<NpyWriter> file,
                             NpyWriter::Create(path, NpyType::kInt32, kLabelColumns));
  for (const WindowRow& row : rows) {
    const std::array<std::int32_t, kLabelColumns> values{row.label, row.sample, row.start_ms,
                                                         row.end_ms};
    FIELDLOOP_RETURN_IF_ERROR(file->AppendRow(values.data()));
  }
  return file->Finish(rows.size());
}

class NpyTrainingSet final : public TrainingSetWriter {
 public:
  NpyTrainingSet(std::string folder, std::size_t window_values, std::unique_ptr<NpyWriter> train,
                 std::unique_ptr<NpyWriter> test)
      : folder_(std::move(folder)),
        window_values_(window_values),
        train_(std::move(train)),
        test_(std::move(test)) {}

  absl::Status Append(Side side, const float* values, std::size_t count) override {
    if (count != window_values_) {
      return absl::InternalError(
          absl::StrCat("a window of ", count, " values, want ", window_values_));
    }
    return (side == Side::kTraining ? train_ : test_)->AppendRow(values);
  }

  absl::Status Finish(const TrainingRows& rows) override {
    FIELDLOOP_RETURN_IF_ERROR(train_->Finish(train_->rows()));
    std::size_t kept = 0;
    for (std::size_t i = 0; i < rows.test_kept.size(); ++i) {
      if (!rows.test_kept[i]) {
        continue;
      }
      if (kept != i) {
        FIELDLOOP_RETURN_IF_ERROR(test_->MoveRow(i, kept));
      }
      ++kept;
    }
    FIELDLOOP_RETURN_IF_ERROR(test_->Finish(kept));
    FIELDLOOP_RETURN_IF_ERROR(WriteLabels(folder_ + "/labels_train.npy", rows.train));
    FIELDLOOP_RETURN_IF_ERROR(WriteLabels(folder_ + "/labels_test.npy", rows.test));
    FIELDLOOP_RETURN_IF_ERROR(WriteVector(folder_ + "/groups_train.npy", rows.train_groups));
    FIELDLOOP_RETURN_IF_ERROR(WriteVector(folder_ + "/source_train.npy", rows.train_sources));
    testing_ = rows.test;
    const auto no_sink = [](const WindowRow&, const float*, std::size_t) {
      return absl::OkStatus();
    };
    FIELDLOOP_ASSIGN_OR_RETURN(testing_digest_, ReadRows(no_sink));
    return absl::OkStatus();
  }

  absl::Status ReadTesting(Sink sink) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string digest, ReadRows(sink));
    return digest == testing_digest_
               ? absl::OkStatus()
               : absl::AbortedError("the testing windows were changed while the trainer ran");
  }

 private:
  // Gives the testing windows to `sink`, and returns the digest of their values.
  absl::StatusOr<std::string> ReadRows(Sink sink) {
    Sha256 hash;
    std::vector<float> values(window_values_);
    for (std::size_t i = 0; i < testing_.size(); ++i) {
      FIELDLOOP_RETURN_IF_ERROR(test_->ReadRow(i, values.data()));
      hash.Update(absl::string_view(reinterpret_cast<const char*>(values.data()),
                                    values.size() * sizeof(float)));
      FIELDLOOP_RETURN_IF_ERROR(sink(testing_[i], values.data(), values.size()));
    }
    return hash.Finish();
  }

  const std::string folder_;
  const std::size_t window_values_;
  const std::unique_ptr<NpyWriter> train_;
  const std::unique_ptr<NpyWriter> test_;
  std::vector<WindowRow> testing_;  // As finished.
  std::string testing_digest_;      // Of their values: a trainer can write to the file.
};

class FolderWorkDirectory final : public WorkDirectory {
 public:
  explicit FolderWorkDirectory(std::string path) : path_(std::move(path)) {}
  ~FolderWorkDirectory() override {
    std::error_code ignored;  // What stays is removed at the next start.
    fs::remove_all(path_, ignored);
  }

  std::string data_path() const override { return path_ + "/data"; }
  std::string out_path() const override { return path_ + "/out"; }
  std::string scratch_path() const override { return path_ + "/scratch"; }

  absl::Status Put(absl::string_view name, absl::string_view content) override {
    const std::string path = absl::StrCat(data_path(), "/", name);
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    return file ? absl::OkStatus()
                : absl::ResourceExhaustedError(absl::StrCat("cannot write ", path));
  }

  absl::StatusOr<std::unique_ptr<TrainingSetWriter>> OpenTrainingSet(
      std::size_t window_values) override {
    FIELDLOOP_ASSIGN_OR_RETURN(
        std::unique_ptr<NpyWriter> train,
        NpyWriter::Create(data_path() + "/windows_train.npy", NpyType::kFloat32, window_values));
    FIELDLOOP_ASSIGN_OR_RETURN(
        std::unique_ptr<NpyWriter> test,
        NpyWriter::Create(data_path() + "/windows_test.npy", NpyType::kFloat32, window_values));
    return std::make_unique<NpyTrainingSet>(data_path(), window_values, std::move(train),
                                            std::move(test));
  }

 private:
  const std::string path_;
};

}  // namespace

FolderWorkArea::FolderWorkArea(std::string root) : root_(std::move(root)) {}

absl::StatusOr<std::unique_ptr<FolderWorkArea>> FolderWorkArea::Open(const std::string& root) {
  std::error_code error;
  fs::remove_all(root, error);
  if (!error) {
    fs::create_directories(root, error);
  }
  if (error) {
    return absl::UnavailableError(absl::StrCat(root, ": ", error.message()));
  }
  return std::unique_ptr<FolderWorkArea>(new FolderWorkArea(root));
}

absl::StatusOr<std::unique_ptr<WorkDirectory>> FolderWorkArea::Create(absl::string_view name) {
  const std::string path = absl::StrCat(root_, "/", name);
  std::error_code error;
  for (const char* part : {"/data", "/out", "/scratch"}) {
    fs::create_directories(path + part, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat(path, ": ", error.message()));
    }
  }
  return std::make_unique<FolderWorkDirectory>(path);
}

}  // namespace fieldloop::build
