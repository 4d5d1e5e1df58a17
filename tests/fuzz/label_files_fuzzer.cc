// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Side files with labels: structured_labels.labels as the HTTP door reads it, and that and the
// index info.labels as the import of a folder does.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "services/cli/import/import_plan.h"
#include "services/ingestion/transport/structured_labels.h"

namespace {

// A folder with two recordings, and room for a side file.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fieldloop.XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    std::ofstream(path_ / "a.csv") << "x\n1\n";
    std::ofstream(path_ / "b.csv") << "x\n2\n";
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  // Plans an import with `text` as the side file `name`.
  void Plan(const char* name, const std::string& text) {
    std::ofstream(path_ / name, std::ios::binary) << text;
    fieldloop::cli::ImportOptions options;
    options.project = "projects/p";
    static_cast<void>(fieldloop::cli::PlanImport(path_.string(), options));
    std::filesystem::remove(path_ / name);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Folder folder;
  const std::string text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(fieldloop::ingestion::ParseStructuredLabels(text));
  folder.Plan("info.labels", text);
  folder.Plan("structured_labels.labels", text);
  return 0;
}
