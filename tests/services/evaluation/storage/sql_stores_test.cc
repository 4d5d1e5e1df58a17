// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/storage/sql_stores.h"

#include "services/evaluation/storage/codec.h"
#include "tests/services/evaluation/storage/stores_contract.h"
#include "tests/support/postgres/scratch_database.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::MakeOn;
using ::fieldloop::testing::ScratchDatabase;

class SqlStores final : public Stores {
 public:
  explicit SqlStores(std::unique_ptr<ScratchDatabase> database) : database_(std::move(database)) {}
  EvaluationStore& evaluations() override { return evaluations_; }
  PolicyStore& policies() override { return policies_; }
  CycleStore& cycles() override { return cycles_; }
  SketchStore& sketches() override { return sketches_; }

 private:
  const std::unique_ptr<ScratchDatabase> database_;
  SqlEvaluationStore evaluations_{database_->get()};
  SqlPolicyStore policies_{database_->get()};
  SqlCycleStore cycles_{database_->get()};
  SqlSketchStore sketches_{database_->get()};
};

INSTANTIATE_TEST_SUITE_P(
    Sql, StoresContract,
    ::testing::Values(StoresUnderTest{"Sqlite", MakeOn<Stores, SqlStores>(Engine::kSqlite,
                                                                          EvaluationMigrations())},
                      StoresUnderTest{
                          "Postgres",
                          MakeOn<Stores, SqlStores>(Engine::kPostgres, EvaluationMigrations())}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(CodecTest, TextThatNoEncoderMadeIsDataLoss) {
  using ::fieldloop::testing::StatusIs;
  Sketch sketch;
  for (const char* text : {"", "1;2;3", "a;2;3;4;5", "1;2;3;4;5;6", "1;2;3;4;5;6:x:0:0:0"}) {
    EXPECT_THAT(DecodeSketch(text, sketch), StatusIs(absl::StatusCode::kDataLoss)) << text;
  }
  Cycle cycle;
  EXPECT_THAT(DecodeCycle("{}", cycle), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(DecodeCycle("no json", cycle), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(CodecTest, ASketchOfAnHourIsCompact) {
  Sketch sketch;
  sketch.windows = 3600;
  sketch.class_counts.assign(5, 720);
  ChannelSketch channel;
  channel.bins.assign(16, 225);
  channel.mean = static_cast<double>(0.9123f);
  sketch.channels = {channel, channel};
  EXPECT_LT(EncodeSketch(sketch).size(), 220U);
}

}  // namespace
}  // namespace fieldloop::evaluation
