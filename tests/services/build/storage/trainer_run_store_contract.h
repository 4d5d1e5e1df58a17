// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_TRAINER_RUN_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_TRAINER_RUN_STORE_CONTRACT_H_

#include <cstdint>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {

// What every TrainerRunStore must do.
class TrainerRunStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static TrainerRun Make(std::int64_t number, const std::string& id) {
    TrainerRun run;
    run.project = "motor";
    run.number = number;
    run.id = id;
    run.token = "flr_" + id + "_secret";
    run.inputs = "inputs of " + id;
    run.expire_time = absl::FromUnixMicros(7'000'001);
    return run;
  }

  const std::unique_ptr<Stores> stores_ = GetParam().make();
  TrainerRunStore& store_ = stores_->runs();
};

TEST_P(TrainerRunStoreContract, EveryFieldComesBackByBuildAndById) {
  TrainerRun run = Make(7, "a");
  EXPECT_EQ(*store_.Insert(run), run);
  EXPECT_EQ(*store_.Get("motor", 7), run);
  run.finished = true;
  run.code = absl::StatusCode::kAborted;
  run.message = "the trainer ended with code 3";
  run.outputs = "outputs";
  EXPECT_EQ(*store_.Finish(run), run);
  EXPECT_EQ(*store_.GetById("a"), run);
}

TEST_P(TrainerRunStoreContract, ABuildHasOneRun) {
  ASSERT_THAT(store_.Insert(Make(7, "a")), ::fieldloop::testing::IsOk());
  EXPECT_EQ(store_.Insert(Make(7, "b"))->id, "a");
  EXPECT_EQ(store_.Insert(Make(8, "b"))->id, "b");
  EXPECT_THAT(*store_.List(), ::testing::ElementsAre(Make(7, "a"), Make(8, "b")));
}

TEST_P(TrainerRunStoreContract, TheFirstEndStays) {
  TrainerRun run = Make(7, "a");
  ASSERT_THAT(store_.Insert(run), ::fieldloop::testing::IsOk());
  run.outputs = "first";
  ASSERT_THAT(store_.Finish(run), ::fieldloop::testing::IsOk());
  run.outputs = "second";
  EXPECT_EQ(store_.Finish(run)->outputs, "first");
}

TEST_P(TrainerRunStoreContract, ADeletedRunIsNotFound) {
  ASSERT_THAT(store_.Insert(Make(7, "a")), ::fieldloop::testing::IsOk());
  EXPECT_THAT(store_.Delete("a"), ::fieldloop::testing::IsOk());
  EXPECT_THAT(store_.Delete("a"), ::fieldloop::testing::IsOk());
  using ::fieldloop::testing::StatusIs;
  EXPECT_THAT(store_.Get("motor", 7), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_.GetById("a"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_.Finish(Make(7, "a")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(store_.List()->empty());
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_TRAINER_RUN_STORE_CONTRACT_H_
