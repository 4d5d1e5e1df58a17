// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "services/common/blob/folder_blob_reader.h"
#include "tests/services/common/blob/blob_store_contract.h"
#include "tests/services/common/temporary_folder.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;

struct FolderStore {
  TemporaryFolder folder;
  std::unique_ptr<BlobStore> store = *OpenFolderBlobStore(folder / "blobs");
};

INSTANTIATE_TEST_SUITE_P(Stores, BlobStoreContract,
                         ::testing::Values(BlobStoreUnderTest{"Folder",
                                                              [] {
                                                                auto made =
                                                                    std::make_shared<FolderStore>();
                                                                return std::shared_ptr<BlobStore>(
                                                                    made, made->store.get());
                                                              }}),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(FolderBlobStoreTest, ABlobWhoseBytesChangedIsDataLoss) {
  const FolderStore made;
  std::string digest;
  {
    const auto writer = *made.store->Create();
    ASSERT_THAT(writer->Append("payload"), IsOk());
    digest = writer->Commit()->digest;
  }
  const std::string path = made.folder / ("blobs/" + digest.substr(0, 2) + "/" + digest.substr(2));
  for (const char* changed : {"Payload", "pay"}) {
    std::ofstream(path, std::ios::binary) << changed;
    EXPECT_THAT(made.store->Get(digest), StatusIs(absl::StatusCode::kDataLoss)) << changed;
  }
}

TEST(FolderBlobStoreTest, ARestartKeepsBlobsAndSweepsHalfWrittenOnes) {
  const TemporaryFolder folder;
  std::string digest;
  std::string large;
  {
    const std::unique_ptr<BlobStore> store = *OpenFolderBlobStore(folder.path());
    digest = store->Put("kept")->digest;
    large = store->Put(std::string(3 << 20, 'k'))->digest;
    std::ofstream(folder / "tmp/half") << "ha";
  }
  const std::unique_ptr<BlobStore> store = *OpenFolderBlobStore(folder.path());
  EXPECT_EQ(*store->Get(digest), "kept");
  EXPECT_EQ(store->Get(large)->size(), 3U << 20);
  EXPECT_TRUE(std::filesystem::is_empty(folder / "tmp"));
}

TEST(FolderBlobStoreTest, AFolderThatCannotBeMadeIsUnavailable) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "";
  EXPECT_THAT(OpenFolderBlobStore(folder / "file"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(FolderBlobStoreTest, AReaderSeesAllAndChangesNothingWhileAnotherProcessWrites) {
  const TemporaryFolder folder;
  const std::unique_ptr<BlobStore> writer = *OpenFolderBlobStore(folder.path());
  const std::string packed = writer->Put("packed")->digest;
  const std::string large = writer->Put(std::string(3 << 20, 'k'))->digest;
  const auto half = *writer->Create();
  ASSERT_THAT(half->Append("half"), IsOk());

  const std::unique_ptr<BlobStore> reader = *OpenFolderBlobReader(folder.path());
  const std::string later = writer->Put("stored later")->digest;
  EXPECT_EQ(*reader->Get(packed), "packed");
  EXPECT_EQ(reader->Get(large)->size(), 3U << 20);
  EXPECT_EQ(*reader->Get(later), "stored later");
  EXPECT_THAT(reader->Put("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(reader->Create(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(reader->Delete(packed), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(half->Commit(), IsOk()) << "a reader swept away what a writer writes";
}

TEST(FolderBlobStoreTest, AReaderOfAFolderThatOthersLeftSealsNothing) {
  const TemporaryFolder folder;
  std::string digest;
  { digest = (*OpenFolderBlobStore(folder.path()))->Put("kept")->digest; }
  std::set<std::string> before;
  const auto list = [&folder] {
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
      files.insert(entry.path().string());
    }
    return files;
  };
  for (const std::string& file : list()) {
    if (file.ends_with(".index")) {
      std::filesystem::remove(file);  // As after a crash.
    }
  }
  before = list();
  EXPECT_EQ(*(*OpenFolderBlobReader(folder.path()))->Get(digest), "kept");
  EXPECT_EQ(list(), before);
  EXPECT_THAT(OpenFolderBlobReader(folder / "none"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace fieldloop
