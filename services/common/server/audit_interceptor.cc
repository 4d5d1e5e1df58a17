// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/audit_interceptor.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "services/common/grpc/call_audit.h"
#include "services/common/log/log.h"
#include "services/common/sync/mutex.h"
#include "services/common/trace/span.h"

namespace fieldloop {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using grpc::experimental::InterceptionHookPoints;

// What they carry has a record of its own: samples, labels and sketches with their source, runs of
// trainers with their build.
constexpr std::array<const char*, 8> kDataPlane = {
    "/fieldloop.ingestion.v1.IngestionService/UploadSample",
    "/fieldloop.ingestion.v1.IngestionService/RecordDeviceSample",
    "/fieldloop.ingestion.v1.IngestionService/CreateSuggestions",
    "/fieldloop.ingestion.v1.IngestionService/LeaseLabellingTasks",
    "/fieldloop.ingestion.v1.IngestionService/ReleaseLabellingTasks",
    "/fieldloop.evaluation.v1.EvaluationService/RecordSketch",
    "/fieldloop.build.v1.TrainerRunService/FetchInputs",
    "/fieldloop.build.v1.TrainerRunService/FinishRun",
};

// What gRPC's generated code put there; our messages are all full ones.
const Message* MessageOf(const void* sent) {
  return static_cast<const Message*>(static_cast<const google::protobuf::MessageLite*>(sent));
}

class AuditInterceptor final : public grpc::experimental::Interceptor {
 public:
  AuditInterceptor(AuditLog& log, const Clock& clock, grpc::experimental::ServerRpcInfo& info)
      : log_(log), clock_(clock), info_(info) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    // A synchronous handler runs on the thread that runs the interceptors before and after it.
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      CurrentCallAudit() = {};
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const bool answers =
          methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE);
      const grpc::Status status = methods->GetSendStatus();
      const absl::Status written =
          Append(status, answers ? MessageOf(methods->GetSendMessage()) : nullptr);
      if (!written.ok()) {
        spdlog::error("the audit log cannot be written: {}", written.ToString());
      }
      if (!written.ok() && status.ok()) {
        methods->ModifySendStatus(
            {grpc::StatusCode::UNAVAILABLE,
             "the call was carried out, but the audit log cannot be written; repeat it"});
      }
    }
    methods->Proceed();
  }

 private:
  absl::Status Append(const grpc::Status& status, const Message* response) {
    CallAudit call = std::exchange(CurrentCallAudit(), {});
    if (call.subject.empty() && status.error_code() != grpc::StatusCode::UNAUTHENTICATED) {
      // Methods for services alone check no role.
      const auto auth = info_.server_context()->auth_context();
      const bool is_known = auth != nullptr && auth->IsPeerAuthenticated() &&
                            !info_.server_context()->client_metadata().contains("authorization");
      const auto names =
          is_known ? auth->FindPropertyValues("x509_common_name") : std::vector<grpc::string_ref>();
      if (names.empty()) {
        return absl::OkStatus();  // Nobody knows who it was.
      }
      call.subject = absl::StrCat("services/", std::string(names[0].data(), names[0].size()));
      call.role = "service";
    }
    if (call.subject.empty()) {
      return absl::OkStatus();
    }
    if (const std::string name = response == nullptr ? "" : NameOfResource(*response);
        status.ok() && !name.empty()) {
      call.target = name;
    }
    return log_.Append(
        {.time_ms = absl::ToUnixMillis(clock_.Now()),
         .subject = std::move(call.subject),
         .role = std::move(call.role),
         .method = info_.method() + 1,
         .target = std::move(call.target),
         .outcome = absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code())),
         .request_id = CurrentRequestId(),
         .trace_id = CurrentCall().trace.trace_id});
  }

  AuditLog& log_;
  const Clock& clock_;
  grpc::experimental::ServerRpcInfo& info_;  // Lives as long as the call.
};

class AuditInterceptorFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  AuditInterceptorFactory(AuditLog& log, const Clock& clock) : log_(log), clock_(clock) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    // gRPC owns it.
    return Takes(info->method()) ? new AuditInterceptor(log_, clock_, *info) : nullptr;
  }

 private:
  bool Takes(const std::string& method) {
    const MutexLock lock(mutex_);
    const auto known = methods_.find(method);
    return known != methods_.end() ? known->second
                                   : methods_.emplace(method, IsAudited(method)).first->second;
  }

  AuditLog& log_;
  const Clock& clock_;
  Mutex mutex_;
  std::map<std::string, bool> methods_ ABSL_GUARDED_BY(mutex_);  // Only those that exist come here.
};

}  // namespace

bool IsAudited(const std::string& method) {
  if (std::find(kDataPlane.begin(), kDataPlane.end(), method) != kDataPlane.end()) {
    return false;
  }
  const MethodDescriptor* const found =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
          absl::StrReplaceAll(method.substr(1), {{"/", "."}}));
  return found != nullptr &&
         found->options().idempotency_level() != google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
}

std::string NameOfResource(const Message& response) {
  const Descriptor& descriptor = *response.GetDescriptor();
  std::string name;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    if (field.is_repeated() || field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        !response.GetReflection()->HasField(response, &field)) {
      continue;
    }
    const Message& part = response.GetReflection()->GetMessage(response, &field);
    const FieldDescriptor* const named = part.GetDescriptor()->FindFieldByName("name");
    if (named == nullptr || named->is_repeated() ||
        named->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
      continue;
    }
    if (!name.empty()) {
      return "";  // Which of them?
    }
    name = part.GetReflection()->GetString(part, named);
  }
  return name;
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeAuditInterceptorFactory(
    AuditLog& log, const Clock& clock) {
  return std::make_unique<AuditInterceptorFactory>(log, clock);
}

}  // namespace fieldloop
