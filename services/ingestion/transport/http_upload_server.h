// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_TRANSPORT_HTTP_UPLOAD_SERVER_H_
#define FIELDLOOP_SERVICES_INGESTION_TRANSPORT_HTTP_UPLOAD_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/access/access.h"
#include "services/common/clock/clock.h"
#include "services/ingestion/domain/sample_service.h"
#include "services/ingestion/transport/upload_metrics.h"

namespace fieldloop::ingestion {

struct HttpUploadOptions {
  std::string listen = "127.0.0.1:0";  // HOST:PORT; port 0 lets the system pick.
  std::string cert_file;               // PEM chain and key.
  std::string key_file;
  bool insecure = false;  // Plain HTTP, on loopback addresses only.
};

// The HTTP door for tools that speak the field's ingestion API:
//   POST /api/{training,testing,anomaly,split}/{files,data}
// What it takes and answers is in docs/ingestion.md. Files are taken piece by piece, so a request
// of many files needs memory for one. Each request is a span of the trace that its traceparent
// names, or of a new one; the answer says which in "traceresponse", see
// https://www.w3.org/TR/trace-context-2/#trace-context-http-response-headers-format, and repeats
// "x-request-id", which is the trace id unless the client chose one.
class HttpUploadServer {
 public:
  // Listens and serves from threads of its own. Everything given must outlive the server.
  // INVALID_ARGUMENT for a bad address, TLS file or an insecure address that is not loopback;
  // UNAVAILABLE naming the address if it is taken.
  static absl::StatusOr<std::unique_ptr<HttpUploadServer>> Start(const HttpUploadOptions& options,
                                                                 Access& access,
                                                                 SampleService& samples,
                                                                 const Clock& clock,
                                                                 UploadMetrics& metrics);

  // Stops listening and waits for the requests that run.
  ~HttpUploadServer();
  HttpUploadServer(const HttpUploadServer&) = delete;
  HttpUploadServer& operator=(const HttpUploadServer&) = delete;

  // The bound address, "127.0.0.1:43211".
  std::string address() const;

 private:
  struct State;
  explicit HttpUploadServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_TRANSPORT_HTTP_UPLOAD_SERVER_H_
