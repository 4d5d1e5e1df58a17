// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/http_upload_server.h"

#include <httplib.h>
#include <memory>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "services/common/crypto/certificate.h"
#include "services/common/trace/span.h"
#include "services/ingestion/formats/recording_formats.h"
#include "services/ingestion/storage/sql_sample_store.h"
#include "services/ingestion/storage/sql_settings_store.h"
#include "tests/services/common/trace/span_collector.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

HttpUploadOptions Insecure(const std::string& listen) {
  HttpUploadOptions options;
  options.listen = listen;
  options.insecure = true;
  return options;
}

class HttpUploadServerTest : public ::testing::Test {
 protected:
  HttpUploadServerTest() {
    auto server =
        HttpUploadServer::Start(Insecure("127.0.0.1:0"), access_, samples_, clock_, metrics_);
    EXPECT_THAT(server, ::fieldloop::testing::IsOk());
    server_ = *std::move(server);
    client_ = std::make_unique<httplib::Client>("http://" + server_->address());
  }

  static httplib::Headers With(httplib::Headers more = {}) {
    httplib::Headers headers = {{"x-api-key", "ingest:motor"}};
    headers.insert(more.begin(), more.end());
    return headers;
  }

  // One file by /data. The body of the answer is text.
  httplib::Result Data(const std::string& path, const httplib::Headers& headers,
                       const std::string& body) {
    return client_->Post(path, headers, body, "application/octet-stream");
  }

  httplib::Result Files(const std::string& path, const httplib::Headers& headers,
                        const std::vector<std::pair<std::string, std::string>>& files) {
    httplib::MultipartFormDataItems items;
    for (const auto& [name, content] : files) {
      // Clients give any content type: only the name counts.
      items.push_back({"data", content, name, "multipart/form-data"});
    }
    return client_->Post(path, headers, items);
  }

  std::vector<Sample> Stored() { return samples_.List("motor", {}, 1000, "")->samples; }

  SqliteDatabase database_;
  SqlSampleStore store_{database_.get()};
  MemoryBlobStore blobs_;
  MemoryUploadSpool spool_;
  RecordingFormats formats_;
  ::fieldloop::testing::FakeClock clock_;
  CountingObserver observer_;
  FakeAccess access_;
  prometheus::Registry registry_;
  UploadMetrics metrics_{registry_};
  SqlSettingsStore settings_{database_.get()};
  SampleService samples_{store_,   settings_, blobs_,    spool_,
                         formats_, clock_,    observer_, {.max_file_bytes = 2'000'000}};
  std::unique_ptr<HttpUploadServer> server_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(HttpUploadServerTest, LabelsInTheFileWinOverItsName) {
  const auto answer = Data("/api/training/data", With({{"x-file-name", "s01_01_sp.csv"}}),
                           "x,timestamp,label\n1,0,SEATED\n2,10,SEATED\n3,20,WALKING\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(Stored()[0].labels,
              ElementsAre(LabelRange{0, 1, "SEATED"}, LabelRange{2, 2, "WALKING"}));
}

TEST_F(HttpUploadServerTest, DataIsStoredUnderTheLabelOfItsName) {
  const auto answer =
      Data("/api/training/data", With({{"x-file-name", "idle.01.csv"}}), CsvFile(5));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "idle.01.csv");
  EXPECT_THAT(answer->get_header_value("Content-Type"), StartsWith("text/plain"));
  const std::vector<Sample> stored = Stored();
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].split, Split::kTraining);
  EXPECT_THAT(stored[0].labels, ElementsAre(LabelRange{0, 4, "idle"}));
}

TEST_F(HttpUploadServerTest, ARequestIsASpanOfItsTraceAndTheAnswerSaysWhich) {
  const ::fieldloop::testing::SpanCollector spans;
  const auto answer =
      Data("/api/training/data",
           With({{"x-file-name", "idle.csv"},
                 {"x-request-id", "order-66"},
                 {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
                 {"tracestate", "congo=1"}}),
           CsvFile(5));
  ASSERT_TRUE(answer);
  const SpanData span = spans.Get("POST /api/{category}/data", SpanKind::kServer);
  EXPECT_EQ(span.trace.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(span.parent_span_id, "00f067aa0ba902b7");
  EXPECT_EQ(span.trace.state, "congo=1");
  EXPECT_EQ(answer->get_header_value("x-request-id"), "order-66");
  EXPECT_EQ(answer->get_header_value("traceresponse"), FormatTraceparent(span.trace));
}

TEST_F(HttpUploadServerTest, ARequestWithoutAGoodTraceparentBeginsATrace) {
  const auto answer =
      Data("/api/training/data",
           With({{"x-file-name", "idle.csv"},
                 {"traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}}),
           CsvFile(5));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  const auto trace = ParseTraceparent(answer->get_header_value("traceresponse"));
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(answer->get_header_value("x-request-id"), trace->trace_id);
}

TEST_F(HttpUploadServerTest, AnswersAreCountedByTheClassOfTheirStatus) {
  ASSERT_EQ(Data("/api/training/data", With({{"x-file-name", "a.csv"}}), CsvFile(5))->status, 200);
  ASSERT_EQ(client_->Get("/")->status, 404);
  ASSERT_EQ(Data("/api/training/data", {}, "")->status, 401);
  server_.reset();  // An answer is counted after it is sent.
  const std::string text = prometheus::TextSerializer().Serialize(registry_.Collect());
  EXPECT_THAT(text, HasSubstr("fieldloop_ingestion_http_requests_total{status=\"2xx\"} 1"));
  EXPECT_THAT(text, HasSubstr("fieldloop_ingestion_http_requests_total{status=\"4xx\"} 2"));
  EXPECT_THAT(text, HasSubstr("fieldloop_ingestion_http_requests_total{status=\"5xx\"} 0"));
}

TEST_F(HttpUploadServerTest, ThePathChoosesTheSide) {
  ASSERT_EQ(Data("/api/testing/data", With({{"x-file-name", "a.csv"}}), CsvFile(5))->status, 200);
  EXPECT_EQ(Stored()[0].split, Split::kTesting);
  ASSERT_EQ(Data("/api/split/data", With({{"x-file-name", "b.csv"}}), CsvFile(6))->status, 200);
  EXPECT_EQ(samples_.Count("motor", {})->total, 2);
  EXPECT_EQ(Data("/api/other/data", With({{"x-file-name", "c.csv"}}), CsvFile(7))->status, 404);
  EXPECT_EQ(client_->Get("/")->status, 404);
}

TEST_F(HttpUploadServerTest, AnAnomalyIsForTestingAndHasNoLabelThatNobodyGave) {
  ASSERT_EQ(Data("/api/anomaly/data", With({{"x-file-name", "crash.1.csv"}}), CsvFile(5))->status,
            200);
  EXPECT_EQ(Stored()[0].split, Split::kTesting);
  EXPECT_THAT(Stored()[0].metadata, ElementsAre(Pair("category", "anomaly")));
  EXPECT_TRUE(Stored()[0].labels.empty());
  clock_.Advance(absl::Seconds(1));
  ASSERT_EQ(Data("/api/anomaly/data", With({{"x-file-name", "crash.2.csv"}, {"x-label", "fall"}}),
                 CsvFile(6))
                ->status,
            200);
  EXPECT_THAT(Stored()[0].labels, ElementsAre(LabelRange{0, 5, "fall"}));
}

TEST_F(HttpUploadServerTest, OneConnectionServesManyRequestsAndEndsWhereABodyWasNotRead) {
  client_->set_keep_alive(true);
  const auto is_kept = [](const httplib::Result& answer) {
    return answer->get_header_value("Connection") != "close";
  };
  const httplib::Headers named = With({{"x-file-name", "a.csv"}});
  EXPECT_TRUE(is_kept(Data("/api/training/data", named, CsvFile(5, 1))));
  EXPECT_TRUE(is_kept(Data("/api/training/data", named, CsvFile(5, 2))));
  EXPECT_TRUE(is_kept(Data("/api/training/data", {}, CsvFile(5, 2))));
  EXPECT_TRUE(is_kept(Files("/api/training/files", With(), {{"b.csv", CsvFile(5, 3)}})));
  EXPECT_EQ(Stored().size(), 3U);
  for (const auto& [path, headers, code] :
       std::vector<std::tuple<std::string, httplib::Headers, int>>{{"/api/training/data", {}, 401},
                                                                   {"/api/training", named, 404}}) {
    const auto refused = client_->Post(path, headers, std::string(6'000'000, '0'), "text/csv");
    if (refused) {  // The server may close before it has read all.
      EXPECT_EQ(refused->status, code);
      EXPECT_FALSE(is_kept(refused));
    }
    EXPECT_EQ(Data("/api/training/data", named, CsvFile(5, 1))->status, 200);
  }
}

TEST_F(HttpUploadServerTest, HeadersGiveLabelMetadataAndAName) {
  ASSERT_EQ(Data("/api/training/data",
                 With({{"x-file-name", "a.01.csv"},
                       {"x-label", "open%20door"},
                       {"x-metadata", R"({"site":"hall 3","arm":"left"})"},
                       {"x-add-date-id", "1"}}),
                 CsvFile(5))
                ->status,
            200);
  const Sample sample = Stored()[0];
  EXPECT_EQ(sample.labels[0].label, "open door");
  EXPECT_THAT(sample.metadata, ElementsAre(Pair("arm", "left"), Pair("site", "hall 3")));
  EXPECT_EQ(sample.file_name, "a.01.20231114T221320.000.csv");
}

TEST_F(HttpUploadServerTest, ALabelMayComeRawAndAPercentSignIsDecodedOnce) {
  const auto label_of = [this](const std::string& header, int seed) {
    const auto answer =
        Data("/api/training/data", With({{"x-file-name", "a.csv"}, {"x-label", header}}),
             CsvFile(5, seed));
    EXPECT_EQ(answer->status, 200) << answer->body;
    clock_.Advance(absl::Seconds(1));
    return Stored()[0].labels[0].label;
  };
  EXPECT_EQ(label_of("open door", 1), "open door");
  EXPECT_EQ(label_of("T\xc3\xbcr auf", 2), "T\xc3\xbcr auf");
  EXPECT_EQ(label_of("T%C3%BCr%20auf", 3), "T\xc3\xbcr auf");
  EXPECT_EQ(label_of("50%", 4), "50%");
  EXPECT_EQ(label_of("%2541", 5), "%41");
}

TEST_F(HttpUploadServerTest, NoLabelMeansUnlabelled) {
  ASSERT_EQ(
      Data("/api/training/data",
           With({{"x-file-name", "idle.csv"}, {"x-label", ""}, {"x-no-label", "1"}}), CsvFile(5))
          ->status,
      200);
  EXPECT_TRUE(Stored()[0].labels.empty());
}

TEST_F(HttpUploadServerTest, ADuplicateIsRefusedOnlyWhenAskedAndInTheKnownWords) {
  ASSERT_EQ(Data("/api/training/data", With({{"x-file-name", "a.csv"}}), CsvFile(5))->status, 200);
  EXPECT_EQ(Data("/api/training/data",
                 With({{"x-file-name", "a.csv"}, {"x-disallow-duplicates", "0"}}), CsvFile(5))
                ->status,
            200);
  for (const char* yes : {"1", "true"}) {
    const auto answer =
        Data("/api/training/data", With({{"x-file-name", "a.csv"}, {"x-disallow-duplicates", yes}}),
             CsvFile(5));
    EXPECT_EQ(answer->status, 400);
    EXPECT_THAT(answer->body, StartsWith("An item with this hash already exists"));
  }
  const auto files =
      Files("/api/training/files", With({{"x-disallow-duplicates", "1"}}), {{"a.csv", CsvFile(5)}});
  EXPECT_EQ(files->status, 400);
  const json body = json::parse(files->body);
  EXPECT_FALSE(body["success"].get<bool>());
  EXPECT_THAT(body["error"].get<std::string>(),
              StartsWith("An item with this hash already exists"));
}

TEST_F(HttpUploadServerTest, ManyFilesInOneRequestAreAllStored) {
  const auto answer = Files("/api/split/files", With(),
                            {{"idle.1.csv", CsvFile(5, 1)}, {"dir/wave.1.csv", CsvFile(5, 2)}});
  ASSERT_EQ(answer->status, 200);
  const json body = json::parse(answer->body);
  EXPECT_TRUE(body["success"].get<bool>());
  ASSERT_EQ(body["files"].size(), 2U);
  EXPECT_TRUE(body["files"][0]["success"].get<bool>());
  EXPECT_EQ(body["files"][0]["fileName"], "idle.1.csv");
  EXPECT_EQ(body["files"][1]["fileName"], "wave.1.csv");
  EXPECT_TRUE(body["files"][0]["projectId"].is_number_integer());
  EXPECT_GT(body["files"][0]["sampleId"].get<std::int64_t>(), 0);
  EXPECT_THAT(body["files"][0]["sample"].get<std::string>(), StartsWith("projects/motor/samples/"));
  EXPECT_EQ(Stored().size(), 2U);
}

TEST_F(HttpUploadServerTest, OneBadFileDoesNotKeepTheOthersOut) {
  const auto answer = Files("/api/training/files", With(),
                            {{"a.csv", CsvFile(5, 1)},
                             {"b.csv", "oops"},
                             {"c.png", "x"},
                             {"d.csv", CsvFile(5, 2)},
                             {"large.csv", std::string(2'000'001, '0')}});
  ASSERT_EQ(answer->status, 200);
  const json body = json::parse(answer->body);
  ASSERT_EQ(body["files"].size(), 5U);
  EXPECT_TRUE(body["files"][0]["success"].get<bool>());
  EXPECT_FALSE(body["files"][1]["success"].get<bool>());
  EXPECT_THAT(body["files"][1]["error"].get<std::string>(), HasSubstr("line 2"));
  EXPECT_THAT(body["files"][2]["error"].get<std::string>(), HasSubstr("file_name"));
  EXPECT_TRUE(body["files"][3]["success"].get<bool>());
  EXPECT_THAT(body["files"][4]["error"].get<std::string>(), HasSubstr("want at most 2000000"));
  EXPECT_EQ(Stored().size(), 2U);
}

TEST_F(HttpUploadServerTest, OnlyBadFilesAreAnErrorAsAWhole) {
  const auto answer = Files("/api/training/files", With(), {{"b.csv", "oops"}});
  EXPECT_EQ(answer->status, 400);
  const json body = json::parse(answer->body);
  EXPECT_FALSE(body["success"].get<bool>());
  EXPECT_THAT(body["error"].get<std::string>(), HasSubstr("line 2"));
}

TEST_F(HttpUploadServerTest, ASideFileGivesRangesWhereverItStands) {
  const std::string side =
      R"({"version":1,"type":"structured-labels","structuredLabels":{"a.csv":[)"
      R"({"startIndex":0,"endIndex":1,"label":"up"},{"startIndex":2,"endIndex":4,"label":"down"}]}})";
  const auto expected = ElementsAre(LabelRange{0, 1, "up"}, LabelRange{2, 4, "down"});
  auto answer = Files("/api/training/files", With(),
                      {{"structured_labels.labels", side}, {"a.csv", CsvFile(5, 1)}});
  ASSERT_EQ(answer->status, 200);
  EXPECT_EQ(json::parse(answer->body)["files"].size(), 1U);
  EXPECT_THAT(Stored()[0].labels, expected);

  clock_.Advance(absl::Seconds(1));
  answer = Files("/api/training/files", With(),
                 {{"a.csv", CsvFile(5, 2)}, {"structured_labels.labels", side}});
  ASSERT_EQ(answer->status, 200);
  EXPECT_THAT(Stored()[0].labels, expected);
  // The file before the side file waits for it; earlier ones get a second label.
  EXPECT_EQ(samples_.ListLabels("motor", Stored()[0].id, 10, "")->labels.size(), 1U);
  answer = Files(
      "/api/training/files", With(),
      {{"a.csv", CsvFile(5, 3)}, {"b.csv", CsvFile(5, 4)}, {"structured_labels.labels", side}});
  ASSERT_EQ(answer->status, 200);
  const std::string id = SampleIdOf(ToHex(Sha256Of(CsvFile(5, 3))));
  EXPECT_THAT(samples_.Get("motor", id)->labels, expected);
  EXPECT_EQ(samples_.ListLabels("motor", id, 10, "")->labels.size(), 2U);
  // A repeat of the request adds nothing.
  Files("/api/training/files", With(),
        {{"a.csv", CsvFile(5, 3)}, {"b.csv", CsvFile(5, 4)}, {"structured_labels.labels", side}});
  EXPECT_EQ(samples_.ListLabels("motor", id, 10, "")->labels.size(), 2U);
}

TEST_F(HttpUploadServerTest, ASideFileThatIsNotUsedIsRefusedWithTheFileWhoseLabelsItHolds) {
  for (const char* name : {"bounding_boxes.labels", "label_map.labels"}) {
    const auto answer =
        Files("/api/training/files", With(), {{"a.csv", CsvFile(5, 1)}, {name, "{}"}});
    EXPECT_EQ(answer->status, 400);
    EXPECT_THAT(json::parse(answer->body)["error"].get<std::string>(), StartsWith(name));
    EXPECT_TRUE(Stored().empty());
  }
  for (const char* name : {"attachments.labels", "info.labels"}) {
    const auto answer =
        Files("/api/training/files", With(), {{"a.csv", CsvFile(5, 1)}, {name, "{}"}});
    EXPECT_EQ(answer->status, 200);
    const json body = json::parse(answer->body);
    EXPECT_TRUE(body["files"][0]["success"].get<bool>());
    EXPECT_THAT(body["files"][1]["error"].get<std::string>(), StartsWith(name));
  }
}

TEST_F(HttpUploadServerTest, ABadSideFileIsAnError) {
  const auto answer = Files("/api/training/files", With(),
                            {{"a.csv", CsvFile(5)}, {"structured_labels.labels", "{}"}});
  EXPECT_EQ(answer->status, 400);
  EXPECT_THAT(json::parse(answer->body)["error"].get<std::string>(),
              StartsWith("structured_labels.labels: version"));
}

TEST_F(HttpUploadServerTest, EachRefusalHasItsCode) {
  const std::string path = "/api/training/data";
  EXPECT_EQ(Data(path, {{"x-file-name", "a.csv"}}, CsvFile(5))->status, 401);
  EXPECT_EQ(Data(path, {{"x-api-key", "wrong"}, {"x-file-name", "a.csv"}}, CsvFile(5))->status,
            401);
  const auto all_projects =
      Data(path, {{"x-api-key", "admin:"}, {"x-file-name", "a.csv"}}, CsvFile(5));
  EXPECT_EQ(all_projects->status, 401);
  EXPECT_THAT(all_projects->body, HasSubstr("for all projects"));
  EXPECT_EQ(Data(path, With(), CsvFile(5))->status, 421);
  EXPECT_EQ(Data(path, With({{"x-file-name", "a.csv"}, {"x-metadata", "[1]"}}), CsvFile(5))->status,
            400);
  EXPECT_EQ(Data(path, With({{"x-file-name", "a.csv"}, {"x-metadata", R"({"a":1})"}}), CsvFile(5))
                ->status,
            400);
  EXPECT_EQ(Data(path, With({{"x-file-name", "a.png"}}), CsvFile(5))->status, 400);
  EXPECT_EQ(Data(path, With({{"x-file-name", "a.csv"}}), "")->status, 400);
  EXPECT_EQ(Data("/api/training/files", With(), CsvFile(5))->status, 400);
  const auto unauthorized = Files("/api/training/files", {}, {{"a.csv", CsvFile(5)}});
  EXPECT_EQ(unauthorized->status, 401);
  EXPECT_FALSE(json::parse(unauthorized->body)["success"].get<bool>());
  EXPECT_TRUE(Stored().empty());
}

TEST_F(HttpUploadServerTest, AFileAboveTheLimitIsRefusedAndTheServerLives) {
  const auto answer =
      Data("/api/training/data", With({{"x-file-name", "a.csv"}}), std::string(2'000'001, '0'));
  if (answer) {  // The server may close before it has read all.
    EXPECT_EQ(answer->status, 400);
  }
  EXPECT_EQ(Data("/api/training/data", With({{"x-file-name", "a.csv"}}), CsvFile(5))->status, 200);
}

TEST_F(HttpUploadServerTest, AFullDiskIsAServerErrorAndTheServerLives) {
  blobs_.set_full(true);
  const auto answer = Data("/api/training/data", With({{"x-file-name", "a.csv"}}), CsvFile(5));
  EXPECT_EQ(answer->status, 500);
  EXPECT_THAT(answer->body, HasSubstr("disk full"));
  blobs_.set_full(false);
  EXPECT_EQ(Data("/api/training/data", With({{"x-file-name", "a.csv"}}), CsvFile(5))->status, 200);
}

// A file of one number reads well wherever it is cut.
constexpr char kCutAnywhere[] = "x\n1234567890123456789012345678901234567890";

TEST_F(HttpUploadServerTest, ABodyWithoutItsLastBoundaryStoresNothing) {
  const auto answer = client_->Post(
      "/api/training/files", With(),
      std::string("--b\r\nContent-Disposition: form-data; name=\"data\"; filename=\"a.csv\"") +
          "\r\n\r\n" + kCutAnywhere,
      "multipart/form-data; boundary=b");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 400);
  EXPECT_TRUE(Stored().empty());
}

TEST_F(HttpUploadServerTest, ABodyThatEndsEarlyStoresNothing) {
  const auto answer = client_->Post(
      "/api/training/data", With({{"x-file-name", "a.csv"}}), 1000,
      [](std::size_t offset, std::size_t /*length*/, httplib::DataSink& sink) {
        return offset == 0 && sink.write(kCutAnywhere, sizeof(kCutAnywhere) - 1);
      },
      "application/octet-stream");
  EXPECT_FALSE(answer);
  server_.reset();  // Waits for the request.
  EXPECT_TRUE(Stored().empty());
  EXPECT_EQ(observer_.stored(), 0);
}

TEST_F(HttpUploadServerTest, AVeryLongPartHeaderDoesNotEndTheServer) {
  for (const std::size_t length : {5'000U, 20'000U, 60'000U, 200'000U, 1'500'000U}) {
    client_->Post("/api/training/files", With(),
                  "--b\r\nContent-Disposition: form-data; name=\"data\"; filename=\"" +
                      std::string(length, 'a') + "\"\r\n\r\nx\r\n--b--\r\n",
                  "multipart/form-data; boundary=b");
    ASSERT_EQ(Data("/api/training/data", With({{"x-file-name", "a.csv"}}), CsvFile(5))->status, 200)
        << length;
  }
}

TEST_F(HttpUploadServerTest, RealFilesAreTaken) {
  const std::string json_file = SharedData("edge-impulse/samples/wave.01.json");
  if (json_file.empty()) {
    GTEST_SKIP() << "no shared data";
  }
  const auto answer =
      Files("/api/training/files", With(),
            {{"wave.01.json", json_file},
             {"good.01.csv", SharedData("edge-impulse/samples/good.01.csv")},
             {"7_theo_2.wav", SharedData("fsdd/recordings/7_theo_2.wav")},
             {"bad.01.csv", SharedData("edge-impulse/samples/bad.01.csv")},
             {"hadouken.01.wav", SharedData("edge-impulse/samples/hadouken.01.wav")}});
  ASSERT_EQ(answer->status, 200);
  const json files = json::parse(answer->body)["files"];
  EXPECT_TRUE(files[0]["success"].get<bool>());
  EXPECT_TRUE(files[1]["success"].get<bool>());
  EXPECT_TRUE(files[2]["success"].get<bool>());
  EXPECT_FALSE(files[3]["success"].get<bool>());
  EXPECT_TRUE(files[4]["success"].get<bool>());
  EXPECT_EQ(Stored().size(), 4U);
}

TEST_F(HttpUploadServerTest, TheSecondServerOnAnAddressIsUnavailable) {
  EXPECT_THAT(
      HttpUploadServer::Start(Insecure(server_->address()), access_, samples_, clock_, metrics_),
      ::fieldloop::testing::StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(HttpUploadServerTest, PlainHttpIsForLoopbackOnly) {
  EXPECT_THAT(HttpUploadServer::Start(Insecure("0.0.0.0:0"), access_, samples_, clock_, metrics_),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(HttpUploadServer::Start(Insecure("nonsense"), access_, samples_, clock_, metrics_),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HttpUploadServerTest, OverTlsTheClientVerifiesTheServer) {
  const TempFolder folder;
  const auto ca = CertificateAuthority::Generate("test CA", absl::Now() - absl::Hours(1),
                                                 absl::Now() + absl::Hours(1));
  const auto own = ca.IssueForService("ingestion", {"localhost"}, absl::Now() - absl::Hours(1),
                                      absl::Now() + absl::Hours(1));
  const auto write = [&folder](const std::string& name, const std::string& text) {
    std::ofstream(folder.path() + "/" + name) << text;
    return folder.path() + "/" + name;
  };
  const std::string ca_file = write("ca.pem", ca.CertificatePem());
  const auto server = HttpUploadServer::Start({.listen = "127.0.0.1:0",
                                               .cert_file = write("cert.pem", own.certificate_pem),
                                               .key_file = write("key.pem", own.key_pem)},
                                              access_, samples_, clock_, metrics_);
  ASSERT_THAT(server, ::fieldloop::testing::IsOk());
  const std::string address = (*server)->address();
  httplib::SSLClient client("localhost", std::stoi(address.substr(address.rfind(':') + 1)));
  client.set_ca_cert_path(ca_file.c_str());
  client.enable_server_certificate_verification(true);
  const auto answer = client.Post("/api/training/data", With({{"x-file-name", "a.csv"}}),
                                  CsvFile(5), "application/octet-stream");
  ASSERT_TRUE(answer) << httplib::to_string(answer.error());
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(
      HttpUploadServer::Start(
          {.listen = "127.0.0.1:0", .cert_file = "/nowhere.pem", .key_file = "/nowhere.pem"},
          access_, samples_, clock_, metrics_),
      ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::ingestion
