// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/access/remote_access.h"

#include <map>
#include <tuple>
#include <utility>

#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/grpc/client_call.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/mutex.h"

namespace fieldloop {
namespace {

// How long a revoked token may still pass.
constexpr absl::Duration kCacheTime = absl::Seconds(10);
constexpr std::size_t kMaxCached = 10'000;

class RemoteAccess final : public Access {
 public:
  RemoteAccess(std::shared_ptr<grpc::Channel> channel, const Clock& clock)
      : stub_(provisioning::v1::ProvisioningService::NewStub(std::move(channel))), clock_(clock) {}

  absl::StatusOr<Grant> Check(const Caller& caller, absl::string_view resource,
                              Role role) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectOf(resource));
    const bool is_service = caller.token.empty() && !caller.service.empty();
    if (caller.token.empty() && !is_service) {
      return absl::UnauthenticatedError(
          "no credential: send \"authorization: Bearer TOKEN\" with an API token");
    }
    if (is_service && project.empty()) {
      return Grant{.principal = absl::StrCat("services/", caller.service), .project = ""};
    }
    const Key key{is_service ? "" : caller.token, project, role};
    const absl::Time now = clock_.Now();
    {
      const MutexLock lock(mutex_);
      const auto found = granted_.find(key);
      if (found != granted_.end() && found->second.until > now) {
        return WithPrincipal(found->second.grant, caller, is_service);
      }
    }
    provisioning::v1::CheckAccessRequest request;
    request.set_token(std::get<0>(key));
    request.set_project(project);
    request.set_role(static_cast<provisioning::v1::Role>(role));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const provisioning::v1::CheckAccessResponse response,
        CallUnary(*stub_, &provisioning::v1::ProvisioningService::Stub::CheckAccess, request,
                  absl::Seconds(5)));
    Grant grant{.principal = response.principal(), .project = response.project()};
    const MutexLock lock(mutex_);
    if (granted_.size() >= kMaxCached) {
      granted_.clear();
    }
    granted_[key] = {.grant = grant, .until = now + kCacheTime};
    return WithPrincipal(std::move(grant), caller, is_service);
  }

 private:
  using Key = std::tuple<std::string, std::string, Role>;
  struct Entry {
    Grant grant;
    absl::Time until;
  };

  static Grant WithPrincipal(Grant grant, const Caller& caller, bool is_service) {
    if (is_service) {
      grant.principal = absl::StrCat("services/", caller.service);
    }
    return grant;
  }

  std::unique_ptr<provisioning::v1::ProvisioningService::Stub> stub_;
  const Clock& clock_;
  Mutex mutex_;
  std::map<Key, Entry> granted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Access> MakeRemoteAccess(std::shared_ptr<grpc::Channel> provisioning,
                                         const Clock& clock) {
  return std::make_unique<RemoteAccess>(std::move(provisioning), clock);
}

}  // namespace fieldloop
