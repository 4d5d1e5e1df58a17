// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/http_upload_server.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <httplib.h>
#include <map>
#include <optional>
#include <regex>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"
#include "services/ingestion/domain/text_rules.h"
#include "services/ingestion/transport/multipart_reader.h"
#include "services/ingestion/transport/structured_labels.h"

namespace fieldloop::ingestion {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFilesInRequest = 1000;
constexpr std::size_t kMaxSideFileBytes = 16 << 20;
// A refused client is read this far, so that it sees the answer instead of a broken connection.
constexpr std::size_t kMaxDrainedBytes = 1 << 20;
constexpr std::size_t kThreads = 128;
constexpr std::chrono::seconds kReadTimeout{30};
// A connection keeps its thread while it is idle.
constexpr std::size_t kMaxRequestsOfConnection = 1000;
constexpr time_t kIdleSeconds = 2;
constexpr char kFilesPath[] = "/api/(training|testing|anomaly|split)/files";
constexpr char kDataPath[] = "/api/(training|testing|anomaly|split)/data";

constexpr int kOk = 200;
constexpr int kBadRequest = 400;
constexpr int kUnauthorized = 401;
constexpr int kNotFound = 404;
constexpr int kHeaderMissing = 421;
constexpr int kServerError = 500;
constexpr int kUnavailable = 503;

constexpr char kTextType[] = "text/plain; charset=utf-8";
constexpr char kJsonType[] = "application/json";

// How recordings of /api/anomaly are told from others of the testing side.
constexpr char kCategoryKey[] = "category";
constexpr char kAnomaly[] = "anomaly";

// An error on its way to the client.
struct HttpError {
  int code = kServerError;
  std::string message;
};

HttpError ToHttpError(const absl::Status& status) {
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return {kBadRequest, message};
    case absl::StatusCode::kAlreadyExists:
      // Clients know a duplicate by these words.
      return {kBadRequest, absl::StrCat("An item with this hash already exists: ", message)};
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return {kUnauthorized, message};
    case absl::StatusCode::kUnavailable:
      return {kUnavailable, message};
    case absl::StatusCode::kResourceExhausted:
      return {kServerError, message};
    default:
      spdlog::error("upload over HTTP: {}", status.ToString());
      return {kServerError, "internal error"};
  }
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

// "1", "true", "yes" and the like; absent, empty, "0" and "false" are no.
bool IsSet(const httplib::Request& request, const char* header) {
  const std::string value = request.get_header_value(header);
  return !value.empty() && value != "0" && !absl::EqualsIgnoreCase(value, "false");
}

// Ends the connection after this answer, whose content is set: what is left of the request's body
// would be read as the next request. The library ends a connection when a provider of content
// fails.
void CloseAfter(httplib::Response& response) {
  const std::string type = response.get_header_value("Content-Type");
  response.headers.erase("Content-Type");
  response.set_header("Connection", "close");
  const std::string content = std::exchange(response.body, "");
  response.set_content_provider(
      content.size(), type,
      [content](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
        sink.write(content.data() + offset, length);
        return false;
      });
}

// Reads the body in pieces. The library's own multipart parser refuses a last boundary without a
// line end, which clients send, and it sits in the way as long as the request has this
// Content-Type.
bool ReadAsItComes(const httplib::Request& request, const httplib::ContentReader& body,
                   const httplib::ContentReceiver& receiver) {
  const_cast<httplib::Request&>(request)
      .headers.erase(  // NOLINT(cppcoreguidelines-pro-type-const-cast)
          "Content-Type");
  return body(receiver);
}

// Files that clients send beside recordings and that we do not use, with what to do instead.
struct ForeignSideFile {
  const char* name;
  bool has_labels;  // Of the file before it, which must not be stored with other ones.
  const char* advice;
};
constexpr ForeignSideFile kForeignSideFiles[] = {
    {"bounding_boxes.labels", true, "boxes are labels of images, which are not taken"},
    {"label_map.labels", true,
     "labels with keys are not kept; send one label (x-label) or ranges of labels "
     "(structured_labels.labels), and the rest as x-metadata"},
    {"attachments.labels", false, "attachments are not kept; send the recording alone"},
    {"info.labels", false,
     "`fieldloop samples import` reads it, with the folder that it stands in; here labels come in "
     "x-label or structured_labels.labels"},
};

std::string BaseName(absl::string_view path) {
  const std::size_t slash = path.find_last_of("/\\");
  return std::string(slash == absl::string_view::npos ? path : path.substr(slash + 1));
}

// "idle.01.csv" becomes "idle.01.20231114T221320.000.csv".
std::string WithDateId(absl::string_view file_name, absl::Time now) {
  const std::string id = absl::FormatTime("%Y%m%dT%H%M%E3S", now, absl::UTCTimeZone());
  const std::size_t dot = file_name.rfind('.');
  if (dot == absl::string_view::npos) {
    return absl::StrCat(file_name, ".", id);
  }
  return absl::StrCat(file_name.substr(0, dot), ".", id, file_name.substr(dot));
}

// Clients of the field's API read numbers where we have names. These come from the digest and the
// name, fit a JavaScript number, and identify nothing here.
std::int64_t NumberOf(absl::string_view hex_digits) {
  std::int64_t number = 0;
  for (const char c : hex_digits) {
    number = number * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return number;
}
std::int64_t SampleNumber(const Sample& sample) { return NumberOf(sample.digest.substr(0, 12)); }
std::int64_t ProjectNumber(absl::string_view project) {
  return NumberOf(ToHex(Sha256Of(project)).substr(0, 7));
}

absl::StatusOr<std::map<std::string, std::string>> ParseMetadata(const std::string& text) {
  std::map<std::string, std::string> metadata;
  if (text.empty()) {
    return metadata;
  }
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("x-metadata: got ", Quoted(text), ", want a JSON object of strings"));
  }
  for (const auto& [key, value] : document.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("x-metadata: key ", Quoted(key), ": want a string"));
    }
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// What the headers of a request say about all its files.
class RequestSettings {
 public:
  static absl::StatusOr<RequestSettings> Parse(const httplib::Request& request,
                                               const std::string& category, const Grant& grant,
                                               const Clock& clock) {
    RequestSettings settings;
    FIELDLOOP_ASSIGN_OR_RETURN(settings.common_.metadata,
                               ParseMetadata(request.get_header_value("x-metadata")));
    settings.common_.project = std::string(absl::StripPrefix(grant.project, "projects/"));
    settings.common_.author = grant.principal;
    settings.common_.disallow_duplicates = IsSet(request, "x-disallow-duplicates");
    if (category == "training") {
      settings.common_.split = Split::kTraining;
    } else if (category == "testing") {
      settings.common_.split = Split::kTesting;
    } else if (category == kAnomaly) {
      settings.common_.split = Split::kTesting;
      settings.common_.metadata.emplace(kCategoryKey, kAnomaly);
      // A made-up label would count in the evaluation of every classifier.
      settings.label_from_name_ = false;
    }
    settings.label_ = request.get_header_value("x-label");
    settings.no_label_ = IsSet(request, "x-no-label");
    if (IsSet(request, "x-add-date-id")) {
      settings.date_id_time_ = clock.Now();
    }
    return settings;
  }

  const std::string& project() const { return common_.project; }
  const std::string& author() const { return common_.author; }

  // The upload of one file. `ranges`, if given, are its labels.
  absl::StatusOr<UploadSpec> SpecOf(const std::string& file_name,
                                    const std::vector<LabelRange>* ranges) const {
    UploadSpec spec = common_;
    FIELDLOOP_ASSIGN_OR_RETURN(spec.format, FormatOfFileName(file_name));
    spec.file_name = date_id_time_.has_value() ? WithDateId(file_name, *date_id_time_) : file_name;
    if (ranges != nullptr) {
      spec.labels = *ranges;
    } else if (!no_label_ && !label_.empty()) {
      spec.labels = {{.start = 0, .end = -1, .label = label_}};
    } else if (!no_label_ && label_from_name_) {
      // Without x-label the name up to its first dot is the label: "idle.01.csv" is "idle".
      // Labels in the file say more than that.
      spec.fallback_label = file_name.substr(0, file_name.find('.'));
    }
    return spec;
  }

 private:
  UploadSpec common_;
  std::string label_;
  bool no_label_ = false;
  bool label_from_name_ = true;
  std::optional<absl::Time> date_id_time_;
};

// Takes the parts of one /files request as they come.
class FilesUpload {
 public:
  FilesUpload(SampleService& samples, const RequestSettings& settings)
      : samples_(samples), settings_(settings) {}

  absl::Status BeginPart(const std::string& given_name) {
    FinishSideFile();
    const std::string name = BaseName(given_name);
    if (name == kStructuredLabelsName) {
      // The file before it waits for its labels.
      in_side_file_ = true;
      return absl::OkStatus();
    }
    const ForeignSideFile* foreign = FindForeign(name);
    if (foreign != nullptr && foreign->has_labels && upload_ != nullptr) {
      results_.back().outcome = RefusalOf(*foreign);
      upload_.reset();
    }
    FinishFile();
    if (results_.size() >= kMaxFilesInRequest) {
      return absl::InvalidArgumentError(
          absl::StrCat("got more than ", kMaxFilesInRequest,
                       " files, want at most that many in a request; those before are stored"));
    }
    results_.push_back({.file_name = name, .outcome = absl::OkStatus(), .sample = {}});
    if (foreign != nullptr) {
      results_.back().outcome = RefusalOf(*foreign);
      return absl::OkStatus();
    }
    const auto ranges = ranges_.find(name);
    absl::StatusOr<UploadSpec> spec =
        settings_.SpecOf(name, ranges == ranges_.end() ? nullptr : &ranges->second);
    if (!spec.ok()) {
      results_.back().outcome = spec.status();
      return absl::OkStatus();
    }
    absl::StatusOr<std::unique_ptr<SampleService::Upload>> upload =
        samples_.BeginUpload(*std::move(spec));
    if (!upload.ok()) {
      results_.back().outcome = upload.status();
      return absl::OkStatus();
    }
    upload_ = *std::move(upload);
    return absl::OkStatus();
  }

  // A bad file is read to its end, because the next one may be good.
  void AppendPart(absl::string_view data) {
    if (in_side_file_) {
      if (side_file_.size() + data.size() > kMaxSideFileBytes) {
        side_status_ = absl::InvalidArgumentError(
            absl::StrCat(kStructuredLabelsName, ": got more than ", kMaxSideFileBytes, " bytes"));
      } else {
        side_file_.append(data.data(), data.size());
      }
    } else if (upload_ != nullptr) {
      const absl::Status status = upload_->Append(data);
      if (!status.ok()) {
        results_.back().outcome = status;
        upload_.reset();
      }
    }
  }

  // Ends the part that came last; call it when the request is whole.
  void FinishPart() {
    FinishSideFile();
    FinishFile();
  }

  // Drops the part that came last, which is not whole.
  void AbandonPart() {
    upload_.reset();
    in_side_file_ = false;
    if (!results_.empty() && !results_.back().sample.has_value() && results_.back().outcome.ok()) {
      results_.pop_back();
    }
  }

  // Gives the files that came before the side file their labels from it.
  void ApplySideFile() {
    for (Result& result : results_) {
      const auto ranges = ranges_.find(result.file_name);
      if (!result.sample.has_value() || result.has_ranges || ranges == ranges_.end()) {
        continue;
      }
      const absl::StatusOr<std::vector<LabelRange>> resolved =
          ResolveRanges("ranges", ranges->second, result.sample->readings);
      if (resolved.ok() && *resolved == result.sample->labels) {
        continue;
      }
      Label label;
      label.project = result.sample->project;
      label.sample_id = result.sample->id;
      label.ranges = ranges->second;
      label.source = "import";
      const absl::StatusOr<LabelsResult> added =
          samples_.AddLabels({std::move(label)}, settings_.author());
      if (!added.ok()) {
        result.outcome = added.status();
      } else if (!added->refusals.empty()) {
        result.outcome = absl::InvalidArgumentError(
            absl::StrCat(kStructuredLabelsName, ": ", added->refusals.front().message));
      }
    }
  }

  void Answer(httplib::Response& response) const {
    json files = json::array();
    std::size_t bad = 0;
    std::optional<HttpError> first_error;
    for (const Result& result : results_) {
      if (!result.outcome.ok()) {
        ++bad;
        HttpError error = ToHttpError(result.outcome);
        files.push_back(
            {{"success", false}, {"fileName", result.file_name}, {"error", error.message}});
        if (!first_error.has_value()) {
          first_error = std::move(error);
        }
      } else if (result.sample.has_value()) {
        files.push_back({{"success", true},
                         {"projectId", ProjectNumber(settings_.project())},
                         {"sampleId", SampleNumber(*result.sample)},
                         {"fileName", result.sample->file_name},
                         {"sample", absl::StrCat("projects/", result.sample->project, "/samples/",
                                                 result.sample->id)}});
      }
    }
    if (!side_status_.ok() && !first_error.has_value()) {
      first_error = ToHttpError(side_status_);
    }
    if (bad == results_.size() || !side_status_.ok()) {
      const HttpError error =
          first_error.value_or(HttpError{kBadRequest, "no file: want parts with a file name"});
      response.status = error.code;
      response.set_content(Dump({{"success", false}, {"error", error.message}}), kJsonType);
      return;
    }
    response.status = kOk;
    response.set_content(Dump({{"success", true}, {"files", files}}), kJsonType);
  }

 private:
  struct Result {
    std::string file_name;  // As it came.
    absl::Status outcome;
    std::optional<Sample> sample;  // Set when it was stored or was there.
    bool has_ranges = false;       // It was stored with the side file's labels.
  };

  static const ForeignSideFile* FindForeign(const std::string& name) {
    for (const ForeignSideFile& foreign : kForeignSideFiles) {
      if (name == foreign.name) {
        return &foreign;
      }
    }
    return nullptr;
  }

  static absl::Status RefusalOf(const ForeignSideFile& foreign) {
    return absl::InvalidArgumentError(absl::StrCat(foreign.name, ": ", foreign.advice));
  }

  void FinishFile() {
    if (upload_ == nullptr) {
      return;
    }
    Result& result = results_.back();
    const auto ranges = ranges_.find(result.file_name);
    if (ranges != ranges_.end()) {
      upload_->SetLabels(ranges->second);
    }
    absl::StatusOr<StoredSample> stored = upload_->Finish();
    upload_.reset();
    if (stored.ok()) {
      result.has_ranges = ranges != ranges_.end() && !stored->existed;
      result.sample = std::move(stored->sample);
    } else {
      result.outcome = stored.status();
    }
  }

  void FinishSideFile() {
    if (!std::exchange(in_side_file_, false) || !side_status_.ok()) {
      return;
    }
    auto parsed = ParseStructuredLabels(side_file_);
    side_file_.clear();
    if (parsed.ok()) {
      ranges_.merge(*parsed);
    } else {
      side_status_ = parsed.status();
    }
  }

  SampleService& samples_;
  const RequestSettings& settings_;
  std::vector<Result> results_;
  std::unique_ptr<SampleService::Upload> upload_;
  bool in_side_file_ = false;
  std::string side_file_;
  absl::Status side_status_;
  std::map<std::string, std::vector<LabelRange>> ranges_;
};

std::string NothingHere(const httplib::Request& request) {
  return absl::StrCat("no ", request.method, " ", request.path.substr(0, 100),
                      " here: want POST /api/{training,testing,anomaly,split}/{files,data} with a"
                      " well-formed body");
}

// The library holds the body of a request that no handler takes in memory: a long one is refused
// before.
httplib::Server::HandlerResponse TurnAway(const httplib::Request& request,
                                          httplib::Response& response) {
  static const std::regex* const paths =
      new std::regex(absl::StrCat(kFilesPath, "|", kDataPath), std::regex::optimize);
  const bool is_long = request.has_header("Transfer-Encoding") ||
                       request.get_header_value<std::uint64_t>("Content-Length") > kMaxDrainedBytes;
  if (!is_long || (request.method == "POST" && std::regex_match(request.path, *paths))) {
    return httplib::Server::HandlerResponse::Unhandled;
  }
  response.status = kNotFound;
  response.set_content(Dump({{"success", false}, {"error", NothingHere(request)}}), kJsonType);
  CloseAfter(response);
  return httplib::Server::HandlerResponse::Handled;
}

// Of the request that this thread works on: the library has no place for it.
thread_local Span request_span;

std::vector<absl::string_view> HeadersOf(const httplib::Request& request, const char* name) {
  std::vector<absl::string_view> values;
  const auto [first, last] = request.headers.equal_range(name);
  for (auto header = first; header != last; ++header) {
    values.emplace_back(header->second);
  }
  return values;
}

// The part of a path that says what a request is for; "" for what is not served.
std::string RouteOf(const std::string& path) {
  for (const char* end : {"/files", "/data"}) {
    if (absl::StartsWith(path, "/api/") && absl::EndsWith(path, end)) {
      return absl::StrCat("/api/{category}", end);
    }
  }
  return "";
}

// https://opentelemetry.io/docs/specs/semconv/http/http-spans/
void BeginSpan(const httplib::Request& request, httplib::Response& response) {
  const std::vector<absl::string_view> ids = HeadersOf(request, kRequestIdHeader);
  CallContext call =
      ReadCallHeaders(ids.empty() ? "" : ids.front(), HeadersOf(request, kTraceparent),
                      HeadersOf(request, kTracestate));
  const std::string route = RouteOf(request.path);
  request_span =
      Span(route.empty() ? "HTTP" : absl::StrCat("POST ", route), SpanKind::kServer, call.trace);
  request_span.Set("http.request.method", request.method);
  request_span.Set("http.route", route);
  call.trace = request_span.context();
  if (call.request_id.empty()) {
    call.request_id = call.trace.trace_id;
  }
  if (!route.empty()) {
    call.fields = {{"method", route}};
  }
  response.set_header(kRequestIdHeader, call.request_id);
  response.set_header("traceresponse", FormatTraceparent(call.trace));
  CallScope::Set(call);
}

void EndSpan(const httplib::Response& response) {
  request_span.Set("http.response.status_code", std::int64_t{response.status});
  if (response.status >= kServerError) {
    request_span.Fail("");
  }
  request_span.End();
  CallScope::Set({});
}

struct Address {
  std::string host;
  int port = 0;
};

absl::StatusOr<Address> ParseAddress(const std::string& text) {
  Address address;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &address.port) || address.port < 0 ||
      address.port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--http-listen: got ", Quoted(text), ", want HOST:PORT"));
  }
  address.host = text.substr(0, colon);
  if (address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  return address;
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

}  // namespace

struct HttpUploadServer::State {
  State(Access& in_access, SampleService& in_samples, const Clock& in_clock,
        UploadMetrics& in_metrics)
      : access(in_access), samples(in_samples), clock(in_clock), metrics(in_metrics) {}

  void Register();
  absl::StatusOr<Grant> Authorize(const httplib::Request& request);
  void Refuse(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader& body, const HttpError& error);
  void TakeFiles(const httplib::Request& request, httplib::Response& response,
                 const httplib::ContentReader& body);
  void TakeData(const httplib::Request& request, httplib::Response& response,
                const httplib::ContentReader& body);

  Access& access;
  SampleService& samples;
  const Clock& clock;
  UploadMetrics& metrics;
  std::unique_ptr<httplib::Server> server;
  std::string host;
  int port = 0;
  std::atomic<bool> finished = false;
  std::thread thread;
};

void HttpUploadServer::State::Register() {
  server->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server->set_read_timeout(kReadTimeout);
  server->set_write_timeout(kReadTimeout);
  // The library would set SO_REUSEPORT, with which a second server shares the port instead of
  // failing.
  server->set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  server->set_keep_alive_max_count(kMaxRequestsOfConnection);
  server->set_keep_alive_timeout(kIdleSeconds);
  server->set_tcp_nodelay(true);
  server->set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
    BeginSpan(request, response);
    return TurnAway(request, response);
  });
  // Called when an answer has been sent, also of a request that could not be read.
  server->set_logger(
      [this](const httplib::Request& /*request*/, const httplib::Response& response) {
        metrics.HttpAnswered(response.status);
        EndSpan(response);
      });
  server->Post(kFilesPath,
               [this](const httplib::Request& request, httplib::Response& response,
                      const httplib::ContentReader& body) { TakeFiles(request, response, body); });
  server->Post(kDataPath,
               [this](const httplib::Request& request, httplib::Response& response,
                      const httplib::ContentReader& body) { TakeData(request, response, body); });
  server->set_error_handler([](const httplib::Request& request, httplib::Response& response) {
    if (!response.has_header("Content-Type")) {
      response.set_content(Dump({{"success", false}, {"error", NothingHere(request)}}), kJsonType);
    }
  });
}

absl::StatusOr<Grant> HttpUploadServer::State::Authorize(const httplib::Request& request) {
  const std::string key = request.get_header_value("x-api-key");
  if (key.empty()) {
    return absl::UnauthenticatedError("x-api-key: got nothing, want an API token");
  }
  // The token names its project: nothing else in these requests does.
  FIELDLOOP_ASSIGN_OR_RETURN(Grant grant,
                             access.Check({.token = key, .service = ""}, "", Role::kIngest));
  if (grant.project.empty()) {
    return absl::PermissionDeniedError(
        "x-api-key: got a token for all projects, want a token for the one project to upload to");
  }
  return grant;
}

void HttpUploadServer::State::Refuse(const httplib::Request& request, httplib::Response& response,
                                     const httplib::ContentReader& body, const HttpError& error) {
  std::size_t drained = 0;
  const auto drain = [&drained](const char* /*data*/, std::size_t size) {
    drained += size;
    return drained <= kMaxDrainedBytes;
  };
  const bool whole = ReadAsItComes(request, body, drain);
  response.status = error.code;
  if (absl::EndsWith(request.path, "/files")) {
    response.set_content(Dump({{"success", false}, {"error", error.message}}), kJsonType);
  } else {
    response.set_content(error.message, kTextType);
  }
  if (!whole) {
    CloseAfter(response);
  }
}

void HttpUploadServer::State::TakeFiles(const httplib::Request& request,
                                        httplib::Response& response,
                                        const httplib::ContentReader& body) {
  const absl::StatusOr<Grant> grant = Authorize(request);
  if (!grant.ok()) {
    return Refuse(request, response, body, ToHttpError(grant.status()));
  }
  const absl::StatusOr<std::string> boundary =
      MultipartReader::BoundaryOf(request.get_header_value("Content-Type"));
  if (!boundary.ok()) {
    return Refuse(request, response, body, ToHttpError(boundary.status()));
  }
  const absl::StatusOr<RequestSettings> settings =
      RequestSettings::Parse(request, request.matches[1], *grant, clock);
  if (!settings.ok()) {
    return Refuse(request, response, body, ToHttpError(settings.status()));
  }
  FilesUpload upload(samples, *settings);
  MultipartReader reader(*boundary,
                         {.begin = [&](const std::string& name) { return upload.BeginPart(name); },
                          .data =
                              [&](absl::string_view data) {
                                upload.AppendPart(data);
                                return absl::OkStatus();
                              }});
  absl::Status status;
  const bool whole = ReadAsItComes(request, body, [&](const char* data, std::size_t size) {
    status = reader.Append(absl::string_view(data, size));
    return status.ok();
  });
  if (status.ok()) {
    status = whole ? reader.Finish() : absl::InvalidArgumentError("the body ends early");
  }
  if (!status.ok()) {
    upload.AbandonPart();
    response.status = kBadRequest;
    response.set_content(Dump({{"success", false}, {"error", status.message()}}), kJsonType);
    CloseAfter(response);
    return;
  }
  upload.FinishPart();
  upload.ApplySideFile();
  upload.Answer(response);
}

void HttpUploadServer::State::TakeData(const httplib::Request& request, httplib::Response& response,
                                       const httplib::ContentReader& body) {
  const auto refuse = [&](const absl::Status& status) {
    Refuse(request, response, body, ToHttpError(status));
  };
  const absl::StatusOr<Grant> grant = Authorize(request);
  if (!grant.ok()) {
    return refuse(grant.status());
  }
  const std::string file_name = BaseName(request.get_header_value("x-file-name"));
  if (file_name.empty()) {
    return Refuse(request, response, body,
                  {kHeaderMissing, "x-file-name: got nothing, want the name of the file"});
  }
  if (request.is_multipart_form_data()) {
    return Refuse(request, response, body,
                  {kBadRequest,
                   "Content-Type: got multipart/form-data, want the file itself; "
                   "use .../files for multipart"});
  }
  const absl::StatusOr<RequestSettings> settings =
      RequestSettings::Parse(request, request.matches[1], *grant, clock);
  if (!settings.ok()) {
    return refuse(settings.status());
  }
  const absl::StatusOr<UploadSpec> spec = settings->SpecOf(file_name, nullptr);
  if (!spec.ok()) {
    return refuse(spec.status());
  }
  absl::StatusOr<std::unique_ptr<SampleService::Upload>> upload = samples.BeginUpload(*spec);
  if (!upload.ok()) {
    return refuse(upload.status());
  }
  absl::Status appended;
  std::size_t drained = 0;
  const bool whole = body([&](const char* data, std::size_t size) {
    if (appended.ok()) {
      appended = (*upload)->Append(absl::string_view(data, size));
    } else {
      drained += size;
    }
    return drained <= kMaxDrainedBytes;
  });
  absl::StatusOr<StoredSample> stored =
      absl::InvalidArgumentError("the body ends before its Content-Length");
  if (!appended.ok()) {
    stored = appended;
  } else if (whole) {
    stored = (*upload)->Finish();
  }
  response.status = kOk;
  if (stored.ok()) {
    response.set_content(stored->sample.file_name, kTextType);
  } else {
    const HttpError error = ToHttpError(stored.status());
    response.status = error.code;
    response.set_content(error.message, kTextType);
  }
  if (!whole) {
    CloseAfter(response);
  }
}

absl::StatusOr<std::unique_ptr<HttpUploadServer>> HttpUploadServer::Start(
    const HttpUploadOptions& options, Access& access, SampleService& samples, const Clock& clock,
    UploadMetrics& metrics) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Address address, ParseAddress(options.listen));
  auto state = std::make_unique<State>(access, samples, clock, metrics);
  if (options.insecure) {
    if (!IsLoopback(address.host)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--http-insecure: got address ", Quoted(address.host),
          ", want a loopback address: API tokens would cross the network in the clear"));
    }
    state->server = std::make_unique<httplib::Server>();
  } else {
    state->server =
        std::make_unique<httplib::SSLServer>(options.cert_file.c_str(), options.key_file.c_str());
  }
  if (!state->server->is_valid()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot use TLS files ", Quoted(options.cert_file), " and ", Quoted(options.key_file)));
  }
  state->Register();
  state->host = address.host;
  if (address.port == 0) {
    state->port = state->server->bind_to_any_port(address.host);
  } else if (state->server->bind_to_port(address.host, address.port)) {
    state->port = address.port;
  }
  if (state->port <= 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen, " for HTTP"));
  }
  state->thread = std::thread([own = state.get()] {
    own->server->listen_after_bind();
    own->finished = true;
  });
  return std::unique_ptr<HttpUploadServer>(new HttpUploadServer(std::move(state)));
}

HttpUploadServer::HttpUploadServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpUploadServer::~HttpUploadServer() {
  // stop() before the loop runs would be forgotten by it.
  while (!state_->server->is_running() && !state_->finished) {
    std::this_thread::yield();
  }
  state_->server->stop();
  state_->thread.join();
}

std::string HttpUploadServer::address() const {
  const bool ipv6 = state_->host.find(':') != std::string::npos;
  return ipv6 ? absl::StrCat("[", state_->host, "]:", state_->port)
              : absl::StrCat(state_->host, ":", state_->port);
}

}  // namespace fieldloop::ingestion
