// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/s3_client.h"

#include <algorithm>
#include <cstdint>
#include <pugixml.hpp>
#include <utility>
#include <vector>

#include <curl/curl.h>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/mutex.h"

namespace fieldloop {
namespace {

constexpr int kAttempts = 5;
constexpr absl::Duration kFirstWait = absl::Milliseconds(100);
constexpr long kConnectTimeoutMs = 5000;
// A transfer slower than this for this long is given up.
constexpr long kSlowBytesPerSecond = 1024;
constexpr long kSlowSeconds = 30;

struct EasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EasyDeleter>;

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Transfer {
  S3Answer answer = {};
  std::size_t max_bytes = 0;
  bool too_long = false;
  absl::string_view unsent = {};
};

std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (transfer.answer.body.size() + size * count > transfer.max_bytes) {
    transfer.too_long = true;
    return 0;
  }
  transfer.answer.body.append(data, size * count);
  return size * count;
}

std::size_t OnHeader(char* data, std::size_t size, std::size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const absl::string_view line(data, size * count);
  if (absl::StartsWith(line, "HTTP/")) {
    transfer.answer.headers.clear();  // Of an interim answer.
  }
  const std::pair<absl::string_view, absl::string_view> field =
      absl::StrSplit(line, absl::MaxSplits(':', 1));
  if (line.find(':') != absl::string_view::npos) {
    transfer.answer.headers[absl::AsciiStrToLower(field.first)] =
        std::string(absl::StripAsciiWhitespace(field.second));
  }
  return size * count;
}

std::size_t OnSend(char* data, std::size_t size, std::size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::size_t part = std::min(size * count, transfer.unsent.size());
  transfer.unsent.copy(data, part);
  transfer.unsent.remove_prefix(part);
  return part;
}

// <Error><Code> of an answer; empty if it has none.
std::string ErrorCode(const S3Answer& answer) {
  pugi::xml_document document;
  document.load_buffer(answer.body.data(), answer.body.size());
  return document.child("Error").child_value("Code");
}

bool IsWorthRepeating(const S3Answer& answer) {
  if (answer.status == 429 || (answer.status >= 500 && answer.status != 501)) {
    return true;
  }
  // Another writer of the same key at the same moment.
  return answer.status == 409 ||
         (answer.status == 400 && absl::StrContains(answer.body, "<Code>RequestTimeout</Code>"));
}

}  // namespace

absl::StatusOr<S3Location> ParseS3Location(absl::string_view url) {
  const auto refuse = [url](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", url, "\": ", why,
        "; want s3://bucket[/prefix][?endpoint=URL&region=NAME&style=path|virtual&ca=FILE]"));
  };
  absl::string_view rest = url;
  if (!absl::ConsumePrefix(&rest, "s3://")) {
    return refuse("does not begin with s3://");
  }
  S3Location location;
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(rest, absl::MaxSplits('?', 1));
  const std::pair<std::string, absl::string_view> name =
      absl::StrSplit(parts.first, absl::MaxSplits('/', 1));
  location.bucket = name.first;
  if (location.bucket.empty()) {
    return refuse("the bucket is missing");
  }
  const absl::string_view prefix = absl::StripSuffix(name.second, "/");
  location.prefix = prefix.empty() ? "" : absl::StrCat(prefix, "/");
  bool has_style = false;
  for (const absl::string_view pair : absl::StrSplit(parts.second, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, std::string> field =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    if (field.first == "endpoint") {
      location.endpoint = std::string(absl::StripSuffix(field.second, "/"));
      if (!absl::StartsWith(location.endpoint, "https://") &&
          !absl::StartsWith(location.endpoint, "http://")) {
        return refuse("endpoint does not begin with https:// or http://");
      }
    } else if (field.first == "region" && !field.second.empty()) {
      location.region = field.second;
    } else if (field.first == "style" && (field.second == "path" || field.second == "virtual")) {
      location.path_style = field.second == "path";
      has_style = true;
    } else if (field.first == "ca" && !field.second.empty()) {
      location.ca_file = field.second;
    } else {
      return refuse(absl::StrCat("\"", pair, "\" is not known"));
    }
  }
  if (location.endpoint.empty()) {
    location.endpoint = absl::StrCat("https://s3.", location.region, ".amazonaws.com");
    location.path_style = has_style && location.path_style;
  }
  return location;
}

struct S3Client::Connections {
  // The handle that was used last: its connection is the most likely to be open still.
  EasyHandle Take() {
    const MutexLock lock(mutex);
    if (idle.empty()) {
      return EasyHandle(curl_easy_init());
    }
    EasyHandle handle = std::move(idle.back());
    idle.pop_back();
    return handle;
  }
  void Return(EasyHandle handle) {
    const MutexLock lock(mutex);
    idle.push_back(std::move(handle));
  }

  Mutex mutex;
  std::vector<EasyHandle> idle;
};

S3Client::S3Client(S3Location location, S3Credentials credentials, const Clock& clock,
                   std::function<void(absl::Duration)> sleep)
    : location_(std::move(location)),
      credentials_(std::move(credentials)),
      clock_(clock),
      sleep_(std::move(sleep)),
      connections_(std::make_unique<Connections>()) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(initialised);  // Fails only without memory; curl_easy_init() then does too.
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(location_.endpoint, absl::MaxSplits("://", 1));
  host_ = location_.path_style ? std::string(parts.second)
                               : absl::StrCat(location_.bucket, ".", parts.second);
  base_url_ = absl::StrCat(parts.first, "://", host_);
  base_path_ = location_.path_style ? absl::StrCat("/", location_.bucket, "/") : "/";
}

S3Client::~S3Client() = default;

absl::StatusOr<S3Answer> S3Client::Attempt(const S3Request& request,
                                           const std::string& body_sha256) {
  const std::string path =
      request.key.empty() ? base_path_
                          : S3Encode(absl::StrCat(base_path_, location_.prefix, request.key), true);
  S3SignedRequest to_sign{.method = request.method,
                          .path = path,
                          .query = request.query,
                          .headers = request.headers,
                          .body_sha256 = body_sha256};
  to_sign.headers.emplace_back("host", host_);
  S3Fields headers = SignS3Request(to_sign, credentials_, location_.region, clock_.Now());
  headers.insert(headers.end(), request.headers.begin(), request.headers.end());
  std::unique_ptr<curl_slist, ListDeleter> list;
  for (const auto& [name, value] : headers) {
    list.reset(curl_slist_append(list.release(), absl::StrCat(name, ": ", value).c_str()));
  }
  list.reset(curl_slist_append(list.release(), "expect:"));

  EasyHandle handle = connections_->Take();
  if (handle == nullptr) {
    return absl::ResourceExhaustedError("out of memory for a connection to the bucket");
  }
  CURL* const curl = handle.get();
  Transfer transfer{.max_bytes = request.max_answer_bytes, .unsent = request.body};
  const std::string query = S3Query(request.query);
  const std::string url = absl::StrCat(base_url_, path, query.empty() ? "" : "?", query);
  char error[CURL_ERROR_SIZE] = "";
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list.get());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kSlowBytesPerSecond);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSlowSeconds);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  if (!location_.ca_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, location_.ca_file.c_str());
  }
  if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (request.method == "PUT" || request.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, &OnSend);
    curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST,
                   request.method == "HEAD" ? nullptr : request.method.c_str());
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  connections_->Return(std::move(handle));
  if (transfer.too_long) {
    return absl::DataLossError(absl::StrCat(request.method, " ", url,
                                            ": the answer is longer than ",
                                            request.max_answer_bytes, " bytes"));
  }
  if (code != CURLE_OK) {
    return absl::UnavailableError(absl::StrCat(
        location_.endpoint, ": ", error[0] != '\0' ? error : curl_easy_strerror(code)));
  }
  transfer.answer.status = static_cast<int>(status);
  return std::move(transfer.answer);
}

absl::StatusOr<S3Answer> S3Client::Send(const S3Request& request) {
  const std::string body_sha256 =
      request.body_sha256.empty() ? ToHex(Sha256Of(request.body)) : request.body_sha256;
  absl::Duration longest = kFirstWait;
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<S3Answer> answer = Attempt(request, body_sha256);
    const bool again =
        answer.ok() ? IsWorthRepeating(*answer) : absl::IsUnavailable(answer.status());
    if (!again) {
      return answer;
    }
    if (attempt == kAttempts) {
      return answer.ok() ? absl::UnavailableError(
                               absl::StrCat(location_.endpoint, ": HTTP ", answer->status, " ",
                                            ErrorCode(*answer), ", ", kAttempts, " times"))
                         : answer.status();
    }
    absl::BitGen random;
    sleep_(longest * absl::Uniform(random, 0.0, 1.0));
    longest *= 2;
  }
}

absl::Status S3Client::List(
    absl::string_view what,
    absl::FunctionRef<absl::Status(absl::string_view key, absl::Time written)> sink) {
  std::string token;
  do {
    S3Fields query = {{"list-type", "2"}, {"prefix", location_.prefix}};
    if (!token.empty()) {
      query.emplace_back("continuation-token", token);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const S3Answer answer, Send({.method = "GET", .query = query}));
    if (answer.status >= 400) {
      return S3Error(answer, location_, what);
    }
    pugi::xml_document document;
    if (!document.load_buffer(answer.body.data(), answer.body.size())) {
      return absl::InternalError("the bucket's list is not XML");
    }
    const pugi::xml_node list = document.child("ListBucketResult");
    for (const pugi::xml_node object : list.children("Contents")) {
      absl::string_view key = object.child_value("Key");
      absl::Time written;
      std::string error;
      if (!absl::ConsumePrefix(&key, location_.prefix)) {
        continue;
      }
      if (!absl::ParseTime(absl::RFC3339_full, object.child_value("LastModified"), &written,
                           &error)) {
        return absl::InternalError(absl::StrCat("LastModified of ", key, ": ", error));
      }
      FIELDLOOP_RETURN_IF_ERROR(sink(key, written));
    }
    token = list.child_value("NextContinuationToken");
  } while (!token.empty());
  return absl::OkStatus();
}

absl::Status S3Error(const S3Answer& answer, const S3Location& location, absl::string_view what) {
  const std::string code = ErrorCode(answer);
  const std::string message =
      absl::StrCat("cannot ", what, " in bucket \"", location.bucket, "\" at ", location.endpoint,
                   ": HTTP ", answer.status, code.empty() ? "" : " ", code);
  if (answer.status == 403) {
    return absl::PermissionDeniedError(absl::StrCat(
        message, code == "RequestTimeTooSkewed" ? "; set this machine's clock"
                                                : "; check the access key and its permissions"));
  }
  if (code == "NoSuchBucket") {
    return absl::FailedPreconditionError(absl::StrCat(message, "; make the bucket first"));
  }
  if (answer.status == 404) {
    return absl::NotFoundError(message);
  }
  return answer.status == 501 ? absl::FailedPreconditionError(message)
                              : absl::InternalError(message);
}

}  // namespace fieldloop
