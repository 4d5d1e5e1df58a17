// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_SUGGESTION_CLIENT_H_
#define FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_SUGGESTION_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "services/evaluation/domain/suggestions.h"

namespace fieldloop::evaluation {

// The ingestion service over gRPC. Thread-safe.
class RemoteSuggestionDesk final : public SuggestionDesk {
 public:
  explicit RemoteSuggestionDesk(
      std::unique_ptr<ingestion::v1::IngestionService::StubInterface> stub);

  absl::Status ForEachUnlabelled(
      const std::string& project, const std::string& model_digest,
      absl::FunctionRef<bool(const TestingSample& sample)> wanted,
      absl::FunctionRef<absl::StatusOr<bool>(const TestingSample& sample)> sink) override;
  absl::StatusOr<int> Store(const std::string& project,
                            const std::vector<Suggestion>& suggestions) override;

 private:
  const std::unique_ptr<ingestion::v1::IngestionService::StubInterface> stub_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_SUGGESTION_CLIENT_H_
