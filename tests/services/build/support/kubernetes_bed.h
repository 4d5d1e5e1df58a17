// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_KUBERNETES_BED_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_KUBERNETES_BED_H_

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "services/build/transport/job_runner.h"
#include "services/build/transport/trainer_run_handler.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/certificate.h"
#include "services/common/crypto/digest.h"
#include "tests/services/build/support/test_database.h"

namespace fieldloop::build {

// What a JobRunner needs of its service: a database, blobs, and TrainerRunService over TLS on a
// port that the system picks.
class KubernetesBed {
 public:
  explicit KubernetesBed(KubernetesAccess access) : access_(std::move(access)) {
    const absl::Time now = clock_.Now();
    const CertificateAuthority ca =
        CertificateAuthority::Generate("CA", now - absl::Hours(1), now + absl::Hours(1));
    ca_pem_ = ca.CertificatePem();
    const auto made =
        ca.IssueForService("build", {"build"}, now - absl::Hours(1), now + absl::Hours(1));
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({made.key_pem, made.certificate_pem});
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
    builder.RegisterService(&handler_);
    server_ = builder.BuildAndStart();
    config_.name_space = "loop";
    // Others may use the same cluster at the same time.
    config_.name = absl::StrCat("t", ToHex(RandomBytes(4)));
    config_.image = "fieldloop/trainer:test";
    config_.service = absl::StrCat("127.0.0.1:", port);
    // Little, so that any machine has it.
    config_.pod = {
        {"resources",
         {{"requests", {{"cpu", "10m"}, {"memory", "16Mi"}}}, {"limits", {{"memory", "1Gi"}}}}}};
  }
  ~KubernetesBed() { server_->Shutdown(std::chrono::system_clock::now()); }

  JobConfig& config() { return config_; }
  TrainerRuns& runs() { return runs_; }
  BlobStore& blobs() { return *blobs_; }
  const std::string& ca_pem() const { return ca_pem_; }
  std::string address() const { return config_.service; }
  // A runner as each replica of the service has one, and again after a restart.
  std::unique_ptr<TrainerRunner> MakeRunner() {
    return std::make_unique<JobRunner>(config_, ca_pem_, runs_, client_);
  }

 private:
  const SystemClock clock_;
  TestDatabase database_;
  const std::unique_ptr<BlobStore> blobs_ = *OpenFolderBlobStore(database_.folder() + "/blobs");
  TrainerRuns runs_{database_.runs(), *blobs_, clock_};
  TrainerRunHandler handler_{runs_};
  std::unique_ptr<grpc::Server> server_;
  const KubernetesAccess access_;
  KubernetesClient client_{access_, [](absl::Duration wait) {
                             std::this_thread::sleep_for(absl::ToChronoNanoseconds(wait));
                           }};
  std::string ca_pem_;
  JobConfig config_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_KUBERNETES_BED_H_
