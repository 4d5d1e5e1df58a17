// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/trainer_run_handler.h"

#include <map>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "services/common/blob/blob_store.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/tar/tar.h"
#include "tests/services/build/support/test_database.h"
#include "tests/services/common/tar/archive_of.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::ArchiveOf;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using Files = std::map<std::string, std::string>;

class TrainerRunHandlerTest : public ::testing::Test {
 protected:
  TrainerRunHandlerTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&handler_);
    server_ = builder.BuildAndStart();
    stub_ = v1::TrainerRunService::NewStub(server_->InProcessChannel({}));
  }

  TrainerRun Begin(std::int64_t number, const std::string& content = "data") {
    const auto run =
        runs_.Begin({.project = "motor", .number = number}, absl::Hours(1),
                    [&content](absl::string_view id, TrainerRuns::Sink sink) -> absl::Status {
                      TarWriter writer(sink);
                      EXPECT_THAT(writer.Add(kRunFile, id), IsOk());
                      EXPECT_THAT(writer.Add("x.npy", content), IsOk());
                      return writer.Finish();
                    });
    EXPECT_THAT(run, IsOk());
    return *run;
  }
  absl::StatusOr<std::string> Fetch(const std::string& token) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    const auto stream = stub_->FetchInputs(&context, {});
    std::string archive;
    v1::FetchInputsResponse piece;
    while (stream->Read(&piece)) {
      archive += piece.data();
    }
    const grpc::Status status = stream->Finish();
    return status.ok() ? absl::StatusOr<std::string>(archive) : FromGrpcStatus(status);
  }
  absl::Status Finish(const std::string& token, const absl::Status& end,
                      const std::string& archive) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    v1::FinishRunResponse response;
    const auto stream = stub_->FinishRun(&context, &response);
    v1::FinishRunRequest message;
    message.mutable_end()->set_code(static_cast<int>(end.code()));
    message.mutable_end()->set_message(std::string(end.message()));
    bool open = stream->Write(message);
    for (std::size_t at = 0; open && at < archive.size(); at += std::size_t{1} << 20) {
      message.set_data(archive.substr(at, std::size_t{1} << 20));
      open = stream->Write(message);
    }
    stream->WritesDone();
    return FromGrpcStatus(stream->Finish());
  }
  std::size_t BlobCount() {
    std::size_t count = 0;
    EXPECT_THAT(blobs_->ForEach([&count](absl::string_view, absl::Time) {
      ++count;
      return absl::OkStatus();
    }),
                IsOk());
    return count;
  }

  TestDatabase database_;
  ::fieldloop::testing::FakeClock clock_;
  const std::unique_ptr<BlobStore> blobs_ = *OpenFolderBlobStore(database_.folder() + "/blobs");
  TrainerRuns runs_{database_.runs(), *blobs_, clock_};
  TrainerRunHandler handler_{runs_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::TrainerRunService::Stub> stub_;
};

TEST_F(TrainerRunHandlerTest, ATokenIsForTheInputsOfItsRunAlone) {
  const TrainerRun one = Begin(1, "one");
  const TrainerRun two = Begin(2, "two");
  EXPECT_EQ(*Fetch(one.token), ArchiveOf({{kRunFile, one.id}, {"x.npy", "one"}}));
  EXPECT_EQ(*Fetch(two.token), ArchiveOf({{kRunFile, two.id}, {"x.npy", "two"}}));
  std::string other = one.token;
  other.back() = other.back() == 'A' ? 'B' : 'A';
  for (const std::string& token :
       {std::string(), std::string("flr_"), other, "flr_" + two.id + one.token.substr(20)}) {
    EXPECT_THAT(Fetch(token), StatusIs(absl::StatusCode::kUnauthenticated)) << token;
    EXPECT_THAT(Finish(token, absl::OkStatus(), ArchiveOf({})),
                StatusIs(absl::StatusCode::kUnauthenticated));
  }
}

TEST_F(TrainerRunHandlerTest, ATokenEndsWithItsTimeAndWithItsRun) {
  const TrainerRun run = Begin(1);
  clock_.Advance(absl::Hours(1));
  EXPECT_THAT(Fetch(run.token), StatusIs(absl::StatusCode::kUnauthenticated));
  const TrainerRun next = Begin(1);
  EXPECT_NE(next.id, run.id);
  EXPECT_THAT(Fetch(next.token), IsOk());
  EXPECT_THAT(runs_.Forget(next), IsOk());
  EXPECT_THAT(Fetch(next.token), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TrainerRunHandlerTest, TheSameInputsAreTheSameRunAndOthersAnother) {
  const TrainerRun run = Begin(1, "a");
  EXPECT_EQ(Begin(1, "a"), run);
  EXPECT_NE(Begin(1, "b").id, run.id);
  EXPECT_THAT(Fetch(run.token), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TrainerRunHandlerTest, InputsThatWereLostWithACrashAreStoredAgain) {
  const TrainerRun run = Begin(1);
  EXPECT_THAT(blobs_->Delete(run.inputs), IsOk());
  EXPECT_EQ(Begin(1).id, run.id);
  EXPECT_THAT(Fetch(run.token), IsOk());
}

TEST_F(TrainerRunHandlerTest, OutputsAreThoseOfTheFirstEndAndARepeatIsNoError) {
  const TrainerRun run = Begin(1);
  const Files files = {{"metrics.json", "{}"}, {"model.tflite", std::string(3 << 20, 'm')}};
  EXPECT_THAT(Finish(run.token, absl::OkStatus(), ArchiveOf(files)), IsOk());
  EXPECT_THAT(Finish(run.token, absl::OkStatus(), ArchiveOf({{"model.tflite", "other"}})), IsOk());
  EXPECT_THAT(Finish(run.token, absl::AbortedError("late"), ""), IsOk());
  const TrainerRun ended = *runs_.Get({.project = "motor", .number = 1});
  EXPECT_TRUE(ended.finished);
  EXPECT_EQ(ended.code, absl::StatusCode::kOk);
  EXPECT_EQ(*runs_.Outputs(ended), files);
}

TEST_F(TrainerRunHandlerTest, AFailureComesBackWithItsSentence) {
  const TrainerRun run = Begin(1);
  EXPECT_THAT(Finish(run.token, absl::DeadlineExceededError("took too long"), ""), IsOk());
  const TrainerRun ended = *runs_.Get({.project = "motor", .number = 1});
  EXPECT_EQ(ended.code, absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ended.message, "took too long");
  EXPECT_TRUE(runs_.Outputs(ended)->empty());
}

TEST_F(TrainerRunHandlerTest, WhatIsNoEndOrNoArchiveIsRefused) {
  const TrainerRun run = Begin(1);
  EXPECT_THAT(Finish(run.token, absl::InternalError("x"), ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Finish(run.token, absl::OkStatus(), "not an archive"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  const std::string large = ArchiveOf({{"a", std::string(kMaxRunOutputBytes, 'x')}});
  EXPECT_THAT(Finish(run.token, absl::OkStatus(), large),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(runs_.Get({.project = "motor", .number = 1})->finished);
}

TEST_F(TrainerRunHandlerTest, NothingStaysOfARunThatIsForgotten) {
  const TrainerRun run = Begin(1);
  const TrainerRun twin = Begin(2);
  for (const TrainerRun& made : {run, twin}) {
    EXPECT_THAT(Finish(made.token, absl::OkStatus(), ArchiveOf({{"model.tflite", "m"}})), IsOk());
  }
  EXPECT_EQ(BlobCount(), 4U);
  EXPECT_THAT(runs_.Forget(*runs_.Get({.project = "motor", .number = 1})), IsOk());
  // Though it made the same, the other run has its own.
  EXPECT_EQ(BlobCount(), 2U);
  const TrainerRun left = *runs_.Get({.project = "motor", .number = 2});
  EXPECT_EQ(*runs_.Outputs(left), (Files{{"model.tflite", "m"}}));
}

}  // namespace
}  // namespace fieldloop::build
