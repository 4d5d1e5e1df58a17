// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/release_desk.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/build/domain/artifact_registry.h"
#include "services/build/domain/model_registry.h"
#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/error_reason.h"
#include "tests/services/build/support/test_database.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;

// Readable, so that a test sees what was signed.
std::string PlainManifest(const Manifest& manifest) {
  std::string text = absl::StrCat(manifest.project, " ", manifest.sequence, " ", manifest.expires_s,
                                  " ", absl::StrJoin(manifest.hardware_ids, ","));
  for (const ManifestComponent& component : manifest.components) {
    absl::StrAppend(&text, "\n", NameOf(component.kind), " ", ToHex(component.digest), " ",
                    component.size_bytes, " ", component.version);
  }
  return text;
}

Model Registered(const std::string& content) {
  Model model;
  model.project = "motor";
  model.digest = ToHex(Sha256Of(content));
  model.size_bytes = static_cast<std::int64_t>(content.size());
  model.build = 1;
  return model;
}

class ReleaseDeskTest : public ::testing::Test {
 protected:
  ReleaseDeskTest() {
    for (int i = 0; i < 3; ++i) {
      keys_.push_back(SigningKey::Generate());
    }
    Build build;
    build.project = "motor";
    EXPECT_THAT(database_.builds().Insert(build, 1000), IsOk());
    for (const std::string content : {"one", "two"}) {
      EXPECT_THAT(blobs_->Put(content), IsOk());
      EXPECT_THAT(database_.builds().FinishWithModel("motor", 1, Registered(content),
                                                     [](Build&) { return absl::OkStatus(); }),
                  IsOk());
    }
    Trust(1);
  }

  // Root with keys 0 (root, directive), 1 and 2 (release).
  void Trust(std::uint32_t release_threshold) {
    Root root;
    root.version = 1;
    for (const SigningKey& key : keys_) {
      root.keys.push_back(key.PublicKey());
    }
    root.root = {.key_indices = {0}, .threshold = 1};
    root.release = {.key_indices = {1, 2}, .threshold = release_threshold};
    root.directive = root.root;
    root.payload = "root";
    root.signatures = {Sign(0, kRootContext, root.payload)};
    roots_ = *RootChain::Make({root});
  }

  Signature Sign(std::size_t key, absl::string_view context, absl::string_view payload) const {
    return {.key_id = KeyIdOf(keys_[key].PublicKey()), .value = keys_[key].Sign(context, payload)};
  }

  // The release key 1 is at hand.
  void PutKeyAtHand() { at_hand_.push_back(*SigningKey::FromPem(keys_[1].ToPem())); }

  absl::StatusOr<Release> Create(const std::string& request_id = "") {
    return desk_.Create("projects/motor",
                        {.model = "projects/motor/models/1",
                         .firmware = "",
                         .configuration = "",
                         .hardware_ids = {"nrf52", "esp32"},
                         .expire_time = std::nullopt},
                        request_id);
  }

  void Upload(ComponentKind kind, const std::string& version, const std::string& content) {
    EXPECT_THAT(artifacts_.Upload("projects/motor",
                                  {.kind = kind, .version = version, .author = "me"}, content),
                IsOk());
  }

  TestDatabase database_;
  std::unique_ptr<BlobStore> blobs_ = *OpenFolderBlobStore(database_.folder() + "/blobs");
  ::fieldloop::testing::FakeClock clock_;
  std::vector<SigningKey> keys_;
  std::vector<SigningKey> at_hand_;
  RootChain roots_;
  ReleaseDesk desk_{database_.releases(),
                    database_.models(),
                    database_.artifacts(),
                    roots_,
                    at_hand_,
                    PlainManifest,
                    clock_};
  ArtifactRegistry artifacts_{database_.artifacts(), database_.models(), *blobs_, clock_};
  ModelRegistry registry_{database_.models(), *blobs_, clock_};
};

TEST_F(ReleaseDeskTest, AReleaseSaysWhatMayRunAndIsSignedByTheKeyAtHand) {
  PutKeyAtHand();
  const absl::StatusOr<Release> release = Create();
  ASSERT_THAT(release, IsOk());
  EXPECT_EQ(release->sequence, 1);
  EXPECT_EQ(release->payload, absl::StrCat("motor 1 ", 1'700'000'000 + 90 * 24 * 3600,
                                           " nrf52,esp32\nmodel ", ToHex(Sha256Of("one")), " 3 1"));
  EXPECT_TRUE(release->is_signed);
  EXPECT_TRUE(desk_.Get("projects/motor/releases/1")->is_signed);
}

TEST_F(ReleaseDeskTest, ASetOfComponentsIsOneManifestInAFixedOrder) {
  Upload(ComponentKind::kConfiguration, "c1", "rate=5");
  Upload(ComponentKind::kFirmware, "f1", "image");
  const absl::StatusOr<Release> release =
      desk_.Create("projects/motor",
                   {.model = "projects/motor/models/2",
                    .firmware = "projects/motor/artifacts/2",
                    .configuration = "projects/motor/artifacts/1",
                    .hardware_ids = {"nrf52"},
                    .expire_time = std::nullopt},
                   "");
  ASSERT_THAT(release, IsOk());
  EXPECT_EQ(release->model, 2);
  EXPECT_EQ(release->firmware, 2);
  EXPECT_EQ(release->configuration, 1);
  EXPECT_THAT(release->payload, ::testing::EndsWith(absl::StrCat(
                                    " nrf52\nmodel ", ToHex(Sha256Of("two")), " 3 2\nfirmware ",
                                    ToHex(Sha256Of("image")), " 5 f1\nconfiguration ",
                                    ToHex(Sha256Of("rate=5")), " 6 c1")));
  EXPECT_EQ(*desk_.Get("projects/motor/releases/1"), *release);
}

TEST_F(ReleaseDeskTest, AReleaseNeedsNoModelButSomething) {
  Upload(ComponentKind::kConfiguration, "c1", "rate=5");
  const ReleaseRequest nothing;
  EXPECT_THAT(desk_.Create("projects/motor", nothing, ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ReleaseRequest request;
  request.configuration = "projects/motor/artifacts/1";
  const absl::StatusOr<Release> release = desk_.Create("projects/motor", request, "");
  ASSERT_THAT(release, IsOk());
  EXPECT_EQ(release->model, 0);
  EXPECT_THAT(release->payload, ::testing::EndsWith(absl::StrCat(
                                    " \nconfiguration ", ToHex(Sha256Of("rate=5")), " 6 c1")));
}

TEST_F(ReleaseDeskTest, ComponentsThatDoNotFitAreRefusedWithWhatWouldFit) {
  Upload(ComponentKind::kConfiguration, "c1", "rate=5");
  Upload(ComponentKind::kFirmware, "f1", "image");
  const auto create = [this](const std::string& firmware, const std::string& configuration,
                             const std::vector<std::string>& hardware) {
    return desk_
        .Create("projects/motor",
                {.model = "",
                 .firmware = firmware,
                 .configuration = configuration,
                 .hardware_ids = hardware,
                 .expire_time = std::nullopt},
                "")
        .status();
  };
  EXPECT_EQ(create("", "projects/motor/artifacts/2", {}).message(),
            "configuration: got projects/motor/artifacts/2 of kind firmware, want one of kind "
            "configuration");
  EXPECT_EQ(create("", "projects/other/artifacts/1", {}).message(),
            "configuration: got one of projects/other, want one of projects/motor");
  EXPECT_THAT(create("", "projects/motor/artifacts/9", {}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(std::string(create("projects/motor/artifacts/2", "", {}).message()),
              ::testing::HasSubstr("hardware_ids: got none, want the hardware"));
  EXPECT_THAT(create("projects/motor/artifacts/2", "", {"nrf52"}), IsOk());
}

TEST_F(ReleaseDeskTest, GoingBackToAnOlderModelIsTheNextSequence) {
  ASSERT_THAT(Create(), IsOk());
  EXPECT_EQ(Create()->sequence, 2);
}

TEST_F(ReleaseDeskTest, WithoutAKeyTheReleaseWaitsForASignatureMadeElsewhere) {
  const Release release = *Create();
  EXPECT_FALSE(release.is_signed);
  const absl::StatusOr<Release> signed_release =
      desk_.AddSignature("projects/motor/releases/1", Sign(2, kManifestContext, release.payload));
  ASSERT_THAT(signed_release, IsOk());
  EXPECT_TRUE(signed_release->is_signed);
  EXPECT_EQ(signed_release->payload, release.payload);
}

TEST_F(ReleaseDeskTest, AThresholdOfTwoWantsTwoDifferentKeys) {
  Trust(2);
  PutKeyAtHand();
  const Release release = *Create();
  EXPECT_FALSE(release.is_signed);
  const absl::StatusOr<Release> same =
      desk_.AddSignature("projects/motor/releases/1", Sign(1, kManifestContext, release.payload));
  ASSERT_THAT(same, IsOk());
  EXPECT_FALSE(same->is_signed);
  EXPECT_EQ(same->signatures.size(), 1U);
  EXPECT_TRUE(
      desk_.AddSignature("projects/motor/releases/1", Sign(2, kManifestContext, release.payload))
          ->is_signed);
}

TEST_F(ReleaseDeskTest, SignaturesThatDoNotCountAreRefused) {
  const Release release = *Create();
  const auto add = [this](const Signature& signature) {
    return desk_.AddSignature("projects/motor/releases/1", signature).status();
  };
  EXPECT_THAT(add(Sign(0, kManifestContext, release.payload)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(add(Sign(1, kRootContext, release.payload)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(add(Sign(1, kManifestContext, "another manifest")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(desk_.Get("projects/motor/releases/1")->signatures, ::testing::IsEmpty());
}

TEST_F(ReleaseDeskTest, AKeyWithoutTheReleaseRoleSignsNothing) {
  at_hand_.push_back(SigningKey::Generate());
  EXPECT_THAT(Create()->signatures, ::testing::IsEmpty());
}

TEST_F(ReleaseDeskTest, WithoutARootThereAreNoReleases) {
  roots_ = RootChain();
  const absl::Status status = Create().status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(status), "ROOT_NOT_CONFIGURED");
}

TEST_F(ReleaseDeskTest, ARepeatWithTheSameRequestIdReturnsTheFirst) {
  ASSERT_THAT(Create("r-1"), IsOk());
  EXPECT_EQ(Create("r-1")->sequence, 1);
  EXPECT_EQ(Create("r-2")->sequence, 2);
}

TEST_F(ReleaseDeskTest, WhatADeviceCouldNotTakeIsRefused) {
  const auto create = [this](const ReleaseRequest& request) {
    return desk_.Create("projects/motor", request, "").status();
  };
  const ReleaseRequest good{.model = "projects/motor/models/1",
                            .firmware = "",
                            .configuration = "",
                            .hardware_ids = {},
                            .expire_time = std::nullopt};
  ReleaseRequest bad = good;
  bad.model = "projects/motor/models/9";
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kNotFound));
  bad.model = "projects/other/models/1";
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad = good;
  bad.hardware_ids = {"a", "b", "c", "d", "e"};
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad.hardware_ids = {std::string(32, 'a')};
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad.hardware_ids = {"a", "a"};
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad = good;
  bad.expire_time = clock_.Now();
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(create(good), IsOk());
}

// ModelRegistry.

TEST_F(ReleaseDeskTest, AnAliasPointsToWhereItWasMovedLast) {
  ASSERT_THAT(registry_.SetAlias("projects/motor", "champion", "projects/motor/models/1", "first",
                                 "apiTokens/a"),
              IsOk());
  ASSERT_THAT(registry_.SetAlias("projects/motor", "champion", "projects/motor/models/2", "better",
                                 "apiTokens/b"),
              IsOk());
  EXPECT_EQ(registry_.Get("projects/motor/models/champion")->number, 2);
  EXPECT_THAT(registry_.Get("projects/motor/models/2")->aliases, ElementsAre("champion"));
  EXPECT_THAT(registry_.Get("projects/motor/models/1")->aliases, ::testing::IsEmpty());
  const auto changes = registry_.ListAliasChanges("projects/motor", "champion", 1, "");
  ASSERT_THAT(changes, IsOk());
  ASSERT_EQ(changes->items.size(), 1U);
  EXPECT_EQ(changes->items[0].reason, "better");
  const auto older =
      registry_.ListAliasChanges("projects/motor", "champion", 1, changes->next_page_token);
  EXPECT_EQ(older->items[0].author, "apiTokens/a");
  EXPECT_EQ(older->next_page_token, "");
}

TEST_F(ReleaseDeskTest, AnAliasCanBeTakenAwayAndItsHistoryStays) {
  ASSERT_THAT(registry_.SetAlias("projects/motor", "a", "projects/motor/models/1", "x", "me"),
              IsOk());
  ASSERT_THAT(registry_.SetAlias("projects/motor", "a", "", "gone", "me"), IsOk());
  EXPECT_THAT(registry_.Get("projects/motor/models/a"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(registry_.ListAliasChanges("projects/motor", "a", 0, "")->items.size(), 2U);
}

TEST_F(ReleaseDeskTest, AliasesAreChecked) {
  const auto set = [this](const std::string& alias, const std::string& model,
                          const std::string& reason) {
    return registry_.SetAlias("projects/motor", alias, model, reason, "me").status();
  };
  EXPECT_THAT(set("7up", "projects/motor/models/1", "x"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(set("a", "projects/motor/models/1", ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(set("a", "projects/other/models/1", "x"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(set("a", "projects/motor/models/9", "x"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ReleaseDeskTest, ModelsAreFoundByDigest) {
  const auto page =
      registry_.List("projects/motor", {.digest = ToHex(Sha256Of("one")), .dataset_versions = {}},
                     /*page_size=*/0, "");
  ASSERT_THAT(page, IsOk());
  ASSERT_EQ(page->items.size(), 1U);
  EXPECT_EQ(page->items[0].number, 1);
  EXPECT_THAT(registry_.List("projects/motor", {.digest = "ONE", .dataset_versions = {}}, 0, ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ReleaseDeskTest, ModelsAreArtifactsOfTheirProject) {
  std::string got;
  const auto sink = [&got](absl::string_view piece) {
    got.append(piece.data(), piece.size());
    return absl::OkStatus();
  };
  ASSERT_THAT(artifacts_.Download("projects/motor", ToHex(Sha256Of("two")), sink), IsOk());
  EXPECT_EQ(got, "two");
  EXPECT_THAT(artifacts_.Download("projects/other", ToHex(Sha256Of("two")), sink),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace fieldloop::build
