// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_MODEL_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_MODEL_STORE_CONTRACT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/services/build/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {

// What every ModelStore must do.
class ModelStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

  ModelStoreContract() {
    for (const char* project : {"motor", "other"}) {
      Build build;
      build.project = project;
      EXPECT_THAT(stores_->builds().Insert(build, 1000), ::fieldloop::testing::IsOk());
    }
  }

  static Model Made(const std::string& digest, std::uint32_t seed = 1) {
    Model model;
    model.project = "motor";
    model.digest = digest;
    model.size_bytes = 5'000'000'000;
    model.arena_bytes = 2;
    model.build = 1;
    model.dataset_version = "dv";
    model.impulse = "im";
    model.parent_model = 7;
    model.classes = {"walk up", "run\n", ""};
    model.trainer_metrics = {{.name = "a b", .value = 0.1}};
    model.metrics = {{.name = "recall/walk up", .value = 0.3}};
    model.cortex_m4_instructions = 6'000'000'000;
    model.host_inference_nanos = 7'000'000'000;
    model.trainer = "mine sha256:ab";
    model.import_author = "apiTokens/1";
    model.metadata = std::string("\0\xff meta", 7);
    model.inputs = {.dataset_digest = "d",
                    .impulse_digest = "i",
                    .seed = seed,
                    .parent_digest = "p",
                    .trainer_digest = "t"};
    model.create_time = absl::FromUnixSeconds(3);
    return model;
  }

  Model Add(Model model) {
    const auto stored = stores_->builds().FinishWithModel(model.project, 1, model,
                                                          [](Build&) { return absl::OkStatus(); });
    EXPECT_THAT(stored, ::fieldloop::testing::IsOk());
    return *stored;
  }

  static ModelFilter OfDigest(const std::string& digest) {
    return {.digest = digest, .dataset_versions = {}};
  }

  // Numbers of the models that were trained on `versions` or descend from such ones, newest first.
  std::vector<std::int64_t> TrainedOn(const std::vector<std::string>& versions,
                                      const std::string& project = "motor",
                                      std::int64_t before = kAll, int limit = 99,
                                      const std::string& digest = "") {
    const auto models =
        store_.List(project, {.digest = digest, .dataset_versions = versions}, before, limit);
    EXPECT_THAT(models, ::fieldloop::testing::IsOk());
    std::vector<std::int64_t> numbers;
    for (const Model& model : *models) {
      numbers.push_back(model.number);
    }
    return numbers;
  }

  // All changes of an alias, oldest first.
  std::vector<AliasChange> Changes(const std::string& alias) {
    std::vector<AliasChange> changes = *store_.ListAliasChanges("motor", alias, kAll, 1000);
    std::reverse(changes.begin(), changes.end());
    return changes;
  }

  AliasChange Change(const std::string& alias, std::int64_t model,
                     const std::string& project = "motor") {
    AliasChange change;
    change.project = project;
    change.alias = alias;
    change.model = model;
    change.author = "a";
    change.reason = "r";
    change.create_time = absl::FromUnixSeconds(9);
    return change;
  }

  const std::unique_ptr<Stores> stores_ = GetParam().make();
  ModelStore& store_ = stores_->models();
};

TEST_P(ModelStoreContract, EveryFieldComesBack) {
  const Model model = Add(Made("aa"));
  EXPECT_EQ(model.number, 1);
  EXPECT_EQ(*store_.Get("motor", 1), model);
  EXPECT_THAT(store_.Get("other", 1), ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ModelStoreContract, ListIsNewestFirstAndByDigest) {
  Add(Made("aa"));
  Add(Made("bb"));
  Add(Made("aa"));
  std::vector<std::int64_t> numbers;
  const auto models = store_.List("motor", {}, kAll, 2);
  ASSERT_THAT(models, ::fieldloop::testing::IsOk());
  for (const Model& model : *models) {
    numbers.push_back(model.number);
  }
  const auto same_digest = store_.List("motor", OfDigest("aa"), kAll, 9);
  ASSERT_THAT(same_digest, ::fieldloop::testing::IsOk());
  for (const Model& model : *same_digest) {
    numbers.push_back(model.number);
  }
  EXPECT_THAT(numbers, ::testing::ElementsAre(3, 2, 3, 1));
  EXPECT_EQ(store_.List("motor", OfDigest("aa"), 3, 9)->size(), 1U);
  EXPECT_EQ(store_.List("other", OfDigest("aa"), kAll, 9)->size(), 0U);
}

TEST_P(ModelStoreContract, ModelsAreFoundByTheDatasetVersionsOfTheirWholeLine) {
  const auto add = [&](const std::string& version, std::int64_t parent, const char* project) {
    Model model = Made("aa");
    model.project = project;
    model.dataset_version = version;
    model.parent_model = parent;
    Add(model);
  };
  add("v1", 0, "motor");  // 1
  add("v2", 0, "motor");  // 2
  add("v3", 1, "motor");  // 3: of v1 by its parent.
  add("v3", 3, "motor");  // 4: of v1 by its parent's parent.
  add("v3", 2, "motor");  // 5
  add("v1", 2, "motor");  // 6: of v1 and, by its parent, of v2.
  add("v1", 0, "other");
  EXPECT_THAT(TrainedOn({"v1"}), ::testing::ElementsAre(6, 4, 3, 1));
  EXPECT_THAT(TrainedOn({"v2"}), ::testing::ElementsAre(6, 5, 2));
  EXPECT_THAT(TrainedOn({"v1", "v2"}), ::testing::ElementsAre(6, 5, 4, 3, 2, 1));
  EXPECT_THAT(TrainedOn({"v4"}), ::testing::IsEmpty());
  EXPECT_THAT(TrainedOn({"v1"}, "other"), ::testing::ElementsAre(1));
  EXPECT_THAT(TrainedOn({"v1"}, "motor", 6, 2), ::testing::ElementsAre(4, 3));
  EXPECT_THAT(TrainedOn({"v1"}, "motor", kAll, 9, "bb"), ::testing::IsEmpty());
  std::vector<std::string> many(999, "v9");
  many.emplace_back("v2");
  EXPECT_THAT(TrainedOn(many), ::testing::ElementsAre(6, 5, 2));
}

TEST_P(ModelStoreContract, ModelsAreFoundByAllOfTheirInputs) {
  Add(Made("aa"));
  Add(Made("bb"));
  const ModelInputs inputs = Made("").inputs;
  EXPECT_EQ(store_.FindByInputs("motor", inputs)->number, 1);
  EXPECT_THAT(store_.FindByInputs("other", inputs),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  for (std::string ModelInputs::*field :
       {&ModelInputs::dataset_digest, &ModelInputs::impulse_digest, &ModelInputs::parent_digest,
        &ModelInputs::trainer_digest}) {
    ModelInputs changed = inputs;
    changed.*field = "x";
    EXPECT_THAT(store_.FindByInputs("motor", changed),
                ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  }
  ModelInputs changed = inputs;
  changed.seed = 2;
  EXPECT_THAT(store_.FindByInputs("motor", changed),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ModelStoreContract, AnAliasMovesAndItsChangesAreKept) {
  Add(Made("aa"));
  Add(Made("bb"));
  EXPECT_EQ(store_.PutAlias(Change("champion", 1))->sequence, 1);
  EXPECT_EQ(store_.PutAlias(Change("champion", 2))->sequence, 2);
  EXPECT_EQ(store_.PutAlias(Change("canary", 2))->sequence, 1);
  EXPECT_EQ(store_.GetByAlias("motor", "champion")->number, 2);
  EXPECT_THAT(store_.Get("motor", 2)->aliases, ::testing::ElementsAre("canary", "champion"));
  EXPECT_THAT(store_.List("motor", {}, kAll, 9)->at(1).aliases, ::testing::IsEmpty());

  EXPECT_EQ(store_.PutAlias(Change("champion", 0))->sequence, 3);
  EXPECT_THAT(store_.GetByAlias("motor", "champion"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  const auto changes = store_.ListAliasChanges("motor", "champion", 3, 9);
  ASSERT_THAT(changes, ::fieldloop::testing::IsOk());
  ASSERT_EQ(changes->size(), 2U);
  EXPECT_EQ(changes->at(0).model, 2);
  AliasChange first = Change("champion", 1);
  first.sequence = 1;
  EXPECT_EQ(changes->at(1), first);
}

TEST_P(ModelStoreContract, NoChangeOfAnAliasAltersAnEarlierOne) {
  Add(Made("aa"));
  Add(Made("bb"));
  std::vector<AliasChange> told;
  // To the same model again, to another, away, away again, back at an earlier time; one is refused.
  for (const std::int64_t model : {1, 1, 2, 0, 0, 9, 1}) {
    AliasChange change = Change("champion", model);
    change.author = absl::StrCat("apiTokens/", told.size());
    change.reason = absl::StrCat("reason ", told.size());
    change.create_time = absl::FromUnixSeconds(100 - static_cast<int>(told.size()));
    const auto stored = store_.PutAlias(change);
    if (model == 9) {
      EXPECT_THAT(stored, ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
    } else {
      ASSERT_THAT(stored, ::fieldloop::testing::IsOk());
      told.push_back(*stored);
    }
    EXPECT_EQ(Changes("champion"), told);
  }
}

TEST_P(ModelStoreContract, ChangesOfAnAliasAtTheSameTimeAreAllKept) {
  Add(Made("aa"));
  constexpr int kThreads = 3;
  constexpr int kEach = 10;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] {
      for (int j = 0; j < kEach; ++j) {
        EXPECT_THAT(store_.PutAlias(Change("champion", 1)), ::fieldloop::testing::IsOk());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const std::vector<AliasChange> changes = Changes("champion");
  ASSERT_EQ(changes.size(), static_cast<std::size_t>(kThreads * kEach));
  for (std::size_t i = 0; i < changes.size(); ++i) {
    EXPECT_EQ(changes[i].sequence, static_cast<std::int64_t>(i) + 1);
  }
}

TEST_P(ModelStoreContract, AnAliasOfAModelThatIsNotThereLeavesNoTrace) {
  EXPECT_THAT(store_.PutAlias(Change("champion", 1)),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(store_.ListAliasChanges("motor", "champion", kAll, 9)->size(), 0U);
}

TEST_P(ModelStoreContract, AliasesBelongToTheirProject) {
  Add(Made("aa"));
  Model other = Made("bb");
  other.project = "other";
  Add(other);
  ASSERT_THAT(store_.PutAlias(Change("champion", 1)), ::fieldloop::testing::IsOk());
  EXPECT_THAT(store_.GetByAlias("other", "champion"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_.Get("other", 1)->aliases, ::testing::IsEmpty());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ModelStoreContract);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_MODEL_STORE_CONTRACT_H_
