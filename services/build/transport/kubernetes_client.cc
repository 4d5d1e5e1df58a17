// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/kubernetes_client.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <ios>
#include <iterator>
#include <utility>

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr int kAttempts = 5;
constexpr absl::Duration kFirstWait = absl::Milliseconds(200);
constexpr absl::Duration kLongestWait = absl::Seconds(10);
constexpr long kConnectTimeoutMs = 10000;
constexpr long kCallTimeoutMs = 30000;
constexpr std::size_t kMaxAnswerBytes = std::size_t{16} << 20;
constexpr int kUnauthorized = 401;
constexpr int kTooManyRequests = 429;
constexpr int kServerError = 500;
// Of a stream: a peer that is gone without a word is found out by its silence.
constexpr long kKeepAliveSeconds = 15;

struct EasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EasyDeleter>;

struct MultiDeleter {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, ListDeleter>;

void Append(HeaderList& list, const std::string& header) {
  list.reset(curl_slist_append(list.release(), header.c_str()));
}

absl::StatusOr<std::string> ReadCredential(const std::string& folder, const char* name) {
  const std::string path = absl::StrCat(folder, "/", name);
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  absl::StripAsciiWhitespace(&text);
  if (!file || text.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot read ", path,
                     ": want the token of a service account that may run Jobs, mounted there"));
  }
  return text;
}

// A call that is set up but for what it does with its answer.
struct Call {
  EasyHandle easy;
  HeaderList headers;
  std::string url;
  std::string ca;
};

absl::StatusOr<Call> Prepare(const KubernetesAccess& access, const std::string& path) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(initialised);  // Fails only without memory; curl_easy_init() then does too.
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string token, ReadCredential(access.folder, "token"));
  Call call{.easy = EasyHandle(curl_easy_init()),
            .headers = nullptr,
            .url = absl::StrCat(access.api, path),
            .ca = absl::StrCat(access.folder, "/ca.crt")};
  CURL* const curl = call.easy.get();
  if (curl == nullptr) {
    return absl::ResourceExhaustedError("out of memory for a connection to Kubernetes");
  }
  Append(call.headers, absl::StrCat("Authorization: Bearer ", token));
  Append(call.headers, "Accept: application/json, */*");
  Append(call.headers, "User-Agent: fieldloop-build");
  curl_easy_setopt(curl, CURLOPT_URL, call.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_CAINFO, call.ca.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  return call;
}

struct Received {
  std::string body;
  bool too_long = false;
};

std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* context) {
  auto& received = *static_cast<Received*>(context);
  if (received.body.size() + size * count > kMaxAnswerBytes) {
    received.too_long = true;
    return 0;
  }
  received.body.append(data, size * count);
  return size * count;
}

std::size_t OnHeader(char* data, std::size_t size, std::size_t count, void* context) {
  absl::string_view line(data, size * count);
  if (absl::StartsWithIgnoreCase(line, "retry-after:")) {
    line.remove_prefix(line.find(':') + 1);
    int seconds = 0;
    if (absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &seconds) && seconds >= 0) {
      *static_cast<absl::Duration*>(context) = std::min(absl::Seconds(seconds), kLongestWait);
    }
  }
  return size * count;
}

class CurlStream final : public KubernetesStream {
 public:
  CurlStream(Call call, std::unique_ptr<CURLM, MultiDeleter> multi)
      : call_(std::move(call)), multi_(std::move(multi)) {
    CURL* const curl = call_.easy.get();
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call_.headers.get());
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, kKeepAliveSeconds);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, kKeepAliveSeconds);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnBody);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received_);
    curl_multi_add_handle(multi_.get(), curl);
  }
  ~CurlStream() override { curl_multi_remove_handle(multi_.get(), call_.easy.get()); }

  bool Pump(absl::Duration wait, absl::FunctionRef<void(absl::string_view)> sink) override {
    if (ended_) {
      return false;
    }
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    if (received_.body.empty() && running > 0) {
      curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(wait)),
                      nullptr);
      curl_multi_perform(multi_.get(), &running);
    }
    if (!received_.body.empty()) {
      sink(received_.body);
      received_.body.clear();
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg == CURLMSG_DONE) {
        ended_ = true;
        if (message->data.result != CURLE_OK) {
          lost_ = absl::UnavailableError(
              absl::StrCat(call_.url, ": ", curl_easy_strerror(message->data.result)));
        }
      }
    }
    return !ended_;
  }

  int status() const override {
    long status = 0;
    curl_easy_getinfo(call_.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    return static_cast<int>(status);
  }
  absl::Status lost() const override { return lost_; }

 private:
  Call call_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
  Received received_;
  bool ended_ = false;
  absl::Status lost_;
};

}  // namespace

absl::StatusOr<KubernetesAccess> AccessOfThisPod() {
  const char* const host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* const port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr) {
    return absl::FailedPreconditionError(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod of "
        "Kubernetes; want \"api\" and \"credentials\" in the file of --jobs");
  }
  const bool is_v6 = absl::StrContains(host, ':');
  return KubernetesAccess{
      .api = absl::StrCat("https://", is_v6 ? "[" : "", host, is_v6 ? "]" : "", ":", port),
      .folder = kServiceAccountFolder};
}

std::string KubernetesMessage(const KubernetesAnswer& answer) {
  const auto status = nlohmann::json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  const bool has_message =
      status.is_object() && status.contains("message") && status["message"].is_string();
  return absl::StrCat(has_message ? status["message"].get<std::string>() : "no message", " (HTTP ",
                      answer.status, ")");
}

struct KubernetesClient::Attempted {
  KubernetesAnswer answer;
  absl::Duration retry_after = absl::ZeroDuration();
};

KubernetesClient::KubernetesClient(KubernetesAccess access,
                                   std::function<void(absl::Duration)> sleep)
    : access_(std::move(access)), sleep_(std::move(sleep)) {}

absl::StatusOr<KubernetesClient::Attempted> KubernetesClient::Attempt(const std::string& method,
                                                                      const std::string& path,
                                                                      const std::string& body) {
  FIELDLOOP_ASSIGN_OR_RETURN(Call call, Prepare(access_, path));
  CURL* const curl = call.easy.get();
  Received received;
  Attempted attempted;
  char error[CURL_ERROR_SIZE] = "";
  if (!body.empty()) {
    Append(call.headers, "Content-Type: application/json");
    Append(call.headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call.headers.get());
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kCallTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &attempted.retry_after);
  const CURLcode code = curl_easy_perform(curl);
  if (received.too_long) {
    return absl::DataLossError(absl::StrCat(method, " ", call.url, ": the answer is longer than ",
                                            kMaxAnswerBytes, " bytes"));
  }
  if (code != CURLE_OK) {
    return absl::UnavailableError(
        absl::StrCat("Kubernetes at ", access_.api,
                     " cannot be reached: ", error[0] != '\0' ? error : curl_easy_strerror(code)));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  attempted.answer = {.status = static_cast<int>(status), .body = std::move(received.body)};
  return attempted;
}

absl::StatusOr<KubernetesAnswer> KubernetesClient::Send(const std::string& method,
                                                        const std::string& path,
                                                        const std::string& body) {
  absl::Duration longest = kFirstWait;
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<Attempted> attempted = Attempt(method, path, body);
    if (!attempted.ok() && !absl::IsUnavailable(attempted.status())) {
      return attempted.status();
    }
    const int status = attempted.ok() ? attempted->answer.status : kServerError;
    if (status != kUnauthorized && status != kTooManyRequests && status < kServerError) {
      return std::move(attempted->answer);
    }
    if (attempt == kAttempts) {
      FIELDLOOP_RETURN_IF_ERROR(attempted.status());
      const std::string said = absl::StrCat("Kubernetes at ", access_.api, " answers ", kAttempts,
                                            " times: ", KubernetesMessage(attempted->answer));
      return status == kUnauthorized ? absl::PermissionDeniedError(said)
                                     : absl::UnavailableError(said);
    }
    absl::BitGen random;
    sleep_(attempted.ok() && attempted->retry_after > absl::ZeroDuration()
               ? attempted->retry_after
               : longest * absl::Uniform(random, 0.0, 1.0));
    longest *= 2;
  }
}

absl::StatusOr<std::unique_ptr<KubernetesStream>> KubernetesClient::Open(const std::string& path) {
  FIELDLOOP_ASSIGN_OR_RETURN(Call call, Prepare(access_, path));
  std::unique_ptr<CURLM, MultiDeleter> multi(curl_multi_init());
  if (multi == nullptr) {
    return absl::ResourceExhaustedError("out of memory for a connection to Kubernetes");
  }
  return std::make_unique<CurlStream>(std::move(call), std::move(multi));
}

absl::StatusOr<std::string> KubernetesClient::Namespace() const {
  return ReadCredential(access_.folder, "namespace");
}

}  // namespace fieldloop::build
