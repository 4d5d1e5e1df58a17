// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/offer_signer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::distribution {
namespace {

constexpr absl::Duration kValidity = absl::Hours(1);

}  // namespace

OfferSigner::OfferSigner(SigningKey key, const Clock& clock)
    : key_(std::move(key)), clock_(clock) {}

absl::StatusOr<agent::v1::UpdateOffer> OfferSigner::Sign(const RolloutOffer& offer,
                                                         const std::string& common_name,
                                                         const std::string& nonce) const {
  agent::v1::UpdateOffer signed_offer;
  if (!signed_offer.mutable_manifest()->ParseFromString(offer.manifest)) {
    return absl::DataLossError(absl::StrCat("manifest of rollout ", offer.number));
  }
  agent::v1::Directive directive;
  directive.set_device_id(common_name);
  directive.set_manifest_digest(Sha256Of(signed_offer.manifest().payload()));
  directive.set_nonce(nonce);
  directive.set_expires_s(
      static_cast<std::uint64_t>(absl::ToUnixSeconds(clock_.Now() + kValidity)));
  directive.set_rollout_id(absl::StrCat(offer.number));
  directive.set_forced(false);
  agent::v1::SignedDocument& document = *signed_offer.mutable_directive();
  document.set_payload(directive.SerializeAsString());
  agent::v1::Signature& signature = *document.add_signatures();
  signature.set_key_id(KeyIdOf(key_.PublicKey()));
  signature.set_value(key_.Sign(kDirectiveContext, document.payload()));
  return signed_offer;
}

}  // namespace fieldloop::distribution
