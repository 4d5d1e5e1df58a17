// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/s3_client.h"

#include <functional>
#include <httplib.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::testing::HasSubstr;

MATCHER_P2(FailsWith, code, text, "") {
  const absl::Status& status = ::fieldloop::testing::StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && absl::StrContains(status.message(), text);
}

TEST(S3LocationTest, AUrlNamesBucketPrefixAndServer) {
  const auto location = ParseS3Location(
      "s3://models/site-a/?endpoint=https://s3.example:9000&region=eu-1&style=virtual&ca=ca.pem");
  ASSERT_THAT(location, IsOk());
  EXPECT_EQ(location->bucket, "models");
  EXPECT_EQ(location->prefix, "site-a/");
  EXPECT_EQ(location->endpoint, "https://s3.example:9000");
  EXPECT_EQ(location->region, "eu-1");
  EXPECT_FALSE(location->path_style);
  EXPECT_EQ(location->ca_file, "ca.pem");
}

TEST(S3LocationTest, WithoutAnEndpointItIsAmazonsOfTheRegion) {
  const auto location = ParseS3Location("s3://models?region=eu-west-1");
  ASSERT_THAT(location, IsOk());
  EXPECT_EQ(location->endpoint, "https://s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(location->prefix, "");
  EXPECT_FALSE(location->path_style);
}

TEST(S3LocationTest, WhatIsWrongInAUrlIsSaid) {
  for (const auto& [url, why] : std::vector<std::pair<std::string, std::string>>{
           {"http://models", "does not begin with s3://"},
           {"s3://", "the bucket is missing"},
           {"s3://m?endpoint=example", "endpoint does not begin with https:// or http://"},
           {"s3://m?style=dns", "\"style=dns\" is not known"}}) {
    EXPECT_THAT(ParseS3Location(url), FailsWith(absl::StatusCode::kInvalidArgument, why));
  }
}

// A server that answers as a test tells it; the bucket is "b".
class S3ClientTest : public ::testing::Test {
 protected:
  using Handler = std::function<void(const httplib::Request&, httplib::Response&)>;

  S3ClientTest() {
    const auto handle = [this](const httplib::Request& request, httplib::Response& response) {
      ++requests_;
      handler_(request, response);
    };
    server_.Get(".*", handle).Put(".*", handle).Post(".*", handle).Delete(".*", handle);
    const int port = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    location_ = {.endpoint = absl::StrCat("http://127.0.0.1:", port), .bucket = "b"};
  }
  ~S3ClientTest() override {
    while (!server_.is_running()) {
      std::this_thread::yield();
    }
    server_.stop();
    thread_.join();
  }

  std::unique_ptr<S3Client> Client() {
    return std::make_unique<S3Client>(
        location_, S3Credentials{.access_key = "key", .secret_key = "secret"}, clock_,
        [this](absl::Duration wait) { waits_.push_back(wait); });
  }

  static void Fail(httplib::Response& response, int status, const std::string& code) {
    response.status = status;
    response.set_content(absl::StrCat("<Error><Code>", code, "</Code></Error>"), "application/xml");
  }

  FakeClock clock_;
  Handler handler_;
  int requests_ = 0;
  std::vector<absl::Duration> waits_;
  S3Location location_;
  httplib::Server server_;
  std::thread thread_;
};

TEST_F(S3ClientTest, AServerThatIsBusyIsAskedAgainAfterAWait) {
  handler_ = [this](const httplib::Request& /*request*/, httplib::Response& response) {
    requests_ < 3 ? Fail(response, 503, "SlowDown") : response.set_content("body", "text/plain");
  };
  const auto answer = Client()->Send({.method = "GET", .key = "k"});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->body, "body");
  ASSERT_EQ(waits_.size(), 2U);
  EXPECT_LE(waits_[0], absl::Milliseconds(100));
  EXPECT_LE(waits_[1], absl::Milliseconds(200));
}

TEST_F(S3ClientTest, AServerThatStaysBusyIsUnavailableAfterFiveTries) {
  handler_ = [](const httplib::Request& /*request*/, httplib::Response& response) {
    Fail(response, 500, "InternalError");
  };
  EXPECT_THAT(Client()->Send({.method = "GET", .key = "k"}),
              FailsWith(absl::StatusCode::kUnavailable, "HTTP 500 InternalError"));
  EXPECT_EQ(requests_, 5);
}

TEST_F(S3ClientTest, ARefusalIsNotRepeated) {
  handler_ = [](const httplib::Request& /*request*/, httplib::Response& response) {
    Fail(response, 403, "SignatureDoesNotMatch");
  };
  const auto answer = Client()->Send({.method = "GET", .key = "k"});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(requests_, 1);
  EXPECT_THAT(S3Error(*answer, location_, "read x"),
              FailsWith(absl::StatusCode::kPermissionDenied,
                        "SignatureDoesNotMatch; check the access key"));
}

TEST_F(S3ClientTest, AServerThatIsNotThereIsUnavailable) {
  handler_ = [](const httplib::Request& /*request*/, httplib::Response& /*response*/) {};
  location_.endpoint = "http://127.0.0.1:1";
  EXPECT_THAT(Client()->Send({.method = "GET", .key = "k"}),
              FailsWith(absl::StatusCode::kUnavailable, "http://127.0.0.1:1"));
  EXPECT_EQ(waits_.size(), 4U);
}

TEST_F(S3ClientTest, AnAnswerThatIsLongerThanAllowedIsGivenUp) {
  handler_ = [](const httplib::Request& /*request*/, httplib::Response& response) {
    response.set_content(std::string(2000, 'x'), "text/plain");
  };
  EXPECT_THAT(Client()->Send({.method = "GET", .key = "k", .max_answer_bytes = 1000}),
              FailsWith(absl::StatusCode::kDataLoss, "longer than 1000 bytes"));
}

TEST_F(S3ClientTest, TheBucketIsInThePathOrInTheHost) {
  std::string path;
  handler_ = [&path](const httplib::Request& request, httplib::Response& /*response*/) {
    path = request.path;
  };
  location_.prefix = "p/";
  ASSERT_THAT(Client()->Send({.method = "GET", .key = "k"}), IsOk());
  EXPECT_EQ(path, "/b/p/k");
  location_.path_style = false;
  location_.bucket = "localhost";  // "localhost.127.0.0.1" is no name: only the path is seen here.
  EXPECT_THAT(Client()->Send({.method = "GET", .key = "k"}),
              FailsWith(absl::StatusCode::kUnavailable, "localhost.127.0.0.1"));
}

// Parts, with a server that keeps them in memory.
class S3PartsTest : public S3ClientTest {
 protected:
  S3PartsTest() {
    handler_ = [this](const httplib::Request& request, httplib::Response& response) {
      if (request.method == "HEAD") {
        response.status = request.path == "/b/" ? 200 : 404;
      } else if (request.method == "POST" && request.has_param("uploads")) {
        response.set_content(
            "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
            "</InitiateMultipartUploadResult>",
            "application/xml");
      } else if (request.method == "PUT") {
        ++parts_;
        response.set_header("ETag",
                            absl::StrCat("\"", request.get_param_value("partNumber"), "\""));
      } else if (request.method == "POST") {
        completion_ = request.body;
        response.set_content(answer_, "application/xml");
      } else if (request.method == "DELETE") {
        aborted_ = request.get_param_value("uploadId") == "u";
        response.status = 204;
      }
    };
  }

  absl::Status PutLarge() {
    auto store = OpenS3BlobStore(Client());
    auto writer = (*store)->Create();
    for (int i = 0; i < 5; ++i) {
      EXPECT_THAT((*writer)->Append(std::string(8 << 20, static_cast<char>('a' + i))), IsOk());
    }
    return (*writer)->Commit().status();
  }

  int parts_ = 0;
  bool aborted_ = false;
  std::string completion_;
  std::string answer_ =
      "<CompleteMultipartUploadResult><Key>k</Key>"
      "</CompleteMultipartUploadResult>";
};

TEST_F(S3PartsTest, ALargeBlobGoesInPartsThatAreNamedAtTheEnd) {
  EXPECT_THAT(PutLarge(), IsOk());
  EXPECT_EQ(parts_, 3);
  EXPECT_THAT(completion_, HasSubstr("<Part><PartNumber>3</PartNumber><ETag>\"3\"</ETag></Part>"));
  EXPECT_FALSE(aborted_);
}

TEST_F(S3PartsTest, AnErrorThatComesWithStatus200IsAnErrorAndThePartsAreDropped) {
  answer_ = "<Error><Code>InvalidPart</Code></Error>";
  EXPECT_THAT(PutLarge(), FailsWith(absl::StatusCode::kInternal, "InvalidPart"));
  EXPECT_TRUE(aborted_);
}

}  // namespace
}  // namespace fieldloop
