// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_KUBERNETES_CLIENT_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_KUBERNETES_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// Where the API server of Kubernetes is, and who calls it.
struct KubernetesAccess {
  std::string api;     // "https://10.96.0.1:443".
  std::string folder;  // Holds token, ca.crt and namespace, as in every pod with a service account.
};

// The folder of a pod's service account.
inline constexpr char kServiceAccountFolder[] = "/var/run/secrets/kubernetes.io/serviceaccount";

// The access of the pod that this process runs in: KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT
// and kServiceAccountFolder. FAILED_PRECONDITION if this is no pod.
absl::StatusOr<KubernetesAccess> AccessOfThisPod();

struct KubernetesAnswer {
  int status = 0;  // Of HTTP.
  std::string body;
};

// What the API said: the message of its Status object, and the status of HTTP.
std::string KubernetesMessage(const KubernetesAnswer& answer);

// An answer that comes bit by bit: a watch, a log. Not thread-safe.
class KubernetesStream {
 public:
  virtual ~KubernetesStream() = default;
  // Waits at most `wait` for more and gives it to `sink`. False once the answer is at its end or
  // the connection is lost.
  virtual bool Pump(absl::Duration wait, absl::FunctionRef<void(absl::string_view)> sink) = 0;
  // The status of HTTP; 0 while there is none. What comes with another one than 200 is a Status
  // object.
  virtual int status() const = 0;
  // Why the connection was lost; OK if it was not.
  virtual absl::Status lost() const = 0;
};

// Speaks to the API server (https://kubernetes.io/docs/reference/using-api/api-concepts/). The
// token and the CA are read for each call, because the kubelet changes them. Repeats what can be
// repeated (no connection, 401, 429, 5xx) up to 5 times with exponential back-off and full jitter,
// or as long as Retry-After says, at most 10 s. Thread-safe.
class KubernetesClient {
 public:
  // `sleep` waits between two attempts.
  KubernetesClient(KubernetesAccess access, std::function<void(absl::Duration)> sleep);

  // Sends `body`, JSON unless it is empty. Any answer below 500 but 401 and 429 is returned.
  // UNAVAILABLE when it was repeated in vain; PERMISSION_DENIED when the token is refused;
  // FAILED_PRECONDITION when there is none.
  absl::StatusOr<KubernetesAnswer> Send(const std::string& method, const std::string& path,
                                        const std::string& body = "");

  // Begins a GET whose answer comes bit by bit. Nothing is repeated. FAILED_PRECONDITION as above.
  absl::StatusOr<std::unique_ptr<KubernetesStream>> Open(const std::string& path);

  // Waits as between two attempts.
  void Wait(absl::Duration time) { sleep_(time); }

  // The namespace of the service account. FAILED_PRECONDITION if it is not told.
  absl::StatusOr<std::string> Namespace() const;

 private:
  struct Attempted;
  absl::StatusOr<Attempted> Attempt(const std::string& method, const std::string& path,
                                    const std::string& body);

  const KubernetesAccess access_;
  const std::function<void(absl::Duration)> sleep_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_KUBERNETES_CLIENT_H_
