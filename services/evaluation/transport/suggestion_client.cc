// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/transport/suggestion_client.h"

#include <utility>

#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"
#include "services/evaluation/transport/sample_conversion.h"

namespace fieldloop::evaluation {
namespace {

namespace ingestion = fieldloop::ingestion::v1;
using Stub = ingestion::IngestionService::StubInterface;

constexpr absl::Duration kDownloadTimeout = absl::Minutes(5);
constexpr int kPage = 200;

absl::StatusOr<std::string> Download(Stub& stub, const std::string& sample) {
  ingestion::DownloadSampleRequest request;
  request.set_name(sample);
  request.set_canonical(true);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kDownloadTimeout));
  const auto reader = stub.DownloadSample(&context, request);
  std::string data;
  ingestion::DownloadSampleResponse piece;
  while (reader->Read(&piece)) {
    data += piece.data();
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  return data;
}

}  // namespace

RemoteSuggestionDesk::RemoteSuggestionDesk(std::unique_ptr<Stub> stub) : stub_(std::move(stub)) {}

absl::Status RemoteSuggestionDesk::ForEachUnlabelled(
    const std::string& project, const std::string& model_digest,
    absl::FunctionRef<bool(const TestingSample& sample)> wanted,
    absl::FunctionRef<absl::StatusOr<bool>(const TestingSample& sample)> sink) {
  for (const ingestion::LabelState state :
       {ingestion::LABEL_STATE_UNLABELLED, ingestion::LABEL_STATE_NO_PERSON}) {
    ingestion::ListSamplesRequest request;
    request.set_parent(project);
    request.set_page_size(kPage);
    request.mutable_filter()->set_label_state(state);
    request.mutable_filter()->set_without_suggestion_of(model_digest);
    do {
      FIELDLOOP_ASSIGN_OR_RETURN(const ingestion::ListSamplesResponse page,
                                 CallUnary(*stub_, &Stub::ListSamples, request));
      for (const ingestion::Sample& listed : page.samples()) {
        if (state == ingestion::LABEL_STATE_NO_PERSON && listed.labels().empty()) {
          continue;  // It came in the first round.
        }
        TestingSample sample = SampleWithoutReadings(listed);
        if (!wanted(sample)) {
          continue;
        }
        absl::StatusOr<std::string> data = Download(*stub_, sample.name);
        if (absl::IsNotFound(data.status())) {
          continue;  // Deleted since it was listed.
        }
        FIELDLOOP_RETURN_IF_ERROR(data.status());
        FIELDLOOP_RETURN_IF_ERROR(DecodeReadings(*data, sample));
        FIELDLOOP_ASSIGN_OR_RETURN(const bool more, sink(sample));
        if (!more) {
          return absl::OkStatus();
        }
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
  }
  return absl::OkStatus();
}

absl::StatusOr<int> RemoteSuggestionDesk::Store(const std::string& project,
                                                const std::vector<Suggestion>& suggestions) {
  ingestion::CreateSuggestionsRequest request;
  request.set_parent(project);
  for (const Suggestion& suggestion : suggestions) {
    ingestion::Suggestion& added = *request.add_suggestions();
    added.set_sample(suggestion.sample);
    added.set_model_digest(suggestion.model_digest);
    added.set_label(suggestion.label);
    added.set_confidence(suggestion.confidence);
    added.set_novelty(suggestion.novelty);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const ingestion::CreateSuggestionsResponse response,
                             CallUnary(*stub_, &Stub::CreateSuggestions, request));
  return response.stored();
}

}  // namespace fieldloop::evaluation
