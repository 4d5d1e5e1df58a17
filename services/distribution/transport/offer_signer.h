// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_OFFER_SIGNER_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_OFFER_SIGNER_H_

#include <string>

#include <fieldloop/agent/v1/agent.pb.h>

#include "absl/status/statusor.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/signing.h"
#include "services/distribution/domain/rollout_service.h"

namespace fieldloop::distribution {

// Turns offers of the domain into what a device accepts: a manifest and a directive for this
// device, this session and the next hour, signed with the online key. Thread-safe.
class OfferSigner {
 public:
  // `clock` must outlive this object.
  OfferSigner(SigningKey key, const Clock& clock);

  // `common_name` is that of the device's certificate, `nonce` that of its Hello. DATA_LOSS if the
  // manifest cannot be read.
  absl::StatusOr<agent::v1::UpdateOffer> Sign(const RolloutOffer& offer,
                                              const std::string& common_name,
                                              const std::string& nonce) const;

 private:
  const SigningKey key_;
  const Clock& clock_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_OFFER_SIGNER_H_
