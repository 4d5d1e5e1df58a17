// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The signed documents. The first byte says what the rest is: an offer, a root document, or only
// the payload of a manifest, a directive or a root, which is then signed as it should be.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "agent/src/trust.h"
#include "tests/fuzz/agent_device.h"

namespace {

using namespace fieldloop::fuzz;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kLargestPayload = 768;

class Documents {
 public:
  Documents() {
    FillCrypto(port_, &trusts_all_);
    root_bytes_ = SignedRoot(1).SerializeAsString();
    const fl_slice_t root = Slice(root_bytes_);
    Require(fl_trust_open_root(&root, &root_) == FL_OK);
    nonce_ = std::string(kNonceSize, static_cast<char>(kNonceByte));
    manifest_ = Manifest(2, "model").SerializeAsString();
  }

  void Run(std::uint8_t mode, const std::string& bytes) {
    trusts_all_ = (mode & 0x80) != 0;
    const std::string payload = bytes.substr(0, kLargestPayload);
    switch (mode % 8) {
      case 0:
        TryOffer(bytes);
        break;
      case 1:
        TryRoot(bytes);
        break;
      case 2:
        TryRoot(SignFast("fieldloop.root.v1", payload, '\1'));
        break;
      case 3:
        TryOffer(OfferOf(payload, DirectiveFor(payload).SerializeAsString()));
        break;
      case 4:
        TryOffer(OfferOf(manifest_, payload));
        break;
      default:
        TryWire(bytes);
        break;
    }
  }

 private:
  static fl_slice_t Slice(const std::string& bytes) {
    return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
  }
  static std::string SignFast(const std::string& context, const std::string& payload, char key) {
    return Sign(context, payload, {key}).SerializeAsString();
  }
  static std::string OfferOf(const std::string& manifest, const std::string& directive) {
    v1::UpdateOffer offer;
    *offer.mutable_manifest() = Sign("fieldloop.manifest.v1", manifest, {'\2'});
    *offer.mutable_directive() = Sign("fieldloop.directive.v1", directive, {'\3'});
    return offer.SerializeAsString();
  }

  // An offer that may be installed is one that names something, for this device.
  void TryOffer(const std::string& bytes) {
    const fl_offer_context_t context = {
        kProject,  kHardwareId,
        kDeviceId, reinterpret_cast<const std::uint8_t*>(nonce_.data()),
        kNowMs,    1};
    fl_offer_t offer;
    const fl_slice_t message = Slice(bytes);
    fl_field_t fields[FL_PB(UpdateOffer_directive_tag)];
    if (fl_wire_read(&message, fields, FL_PB(UpdateOffer_directive_tag)) != FL_OK) return;
    const auto cause = fl_trust_offer(fields, &port_, &root_, &context, &offer);
    Require(std::memchr(offer.release.rollout.id, '\0', sizeof offer.release.rollout.id) !=
            nullptr);
    if (cause != FL_PB(UpdateCause_UPDATE_CAUSE_UNSPECIFIED)) return;
    Require(offer.target.named != 0 && offer.target.named < fl_kind_bit(FL_KIND_COUNT));
    Require(offer.release.rollout.release_sequence >= context.confirmed_sequence);
    for (unsigned kind = 0; kind < FL_KIND_COUNT; ++kind) {
      Require((offer.target.named & fl_kind_bit(kind)) == 0 ||
              offer.release.artifact[kind].size > 0);
    }
  }

  // A root document that follows has the next version, and can be opened.
  void TryRoot(const std::string& bytes) {
    fl_root_t root;
    std::uint32_t version = 0;
    const fl_slice_t next = Slice(bytes);
    const bool opens = fl_trust_open_root(&next, &root) == FL_OK;
    if (fl_trust_next_root(&port_, &root_, &next, &version) != FL_OK) return;
    Require(opens && version == 2 && root.version == 2);
  }

  // What is found lies in the message.
  static void TryWire(const std::string& bytes) {
    fl_document_t document;
    const fl_slice_t all = Slice(bytes);
    if (fl_wire_document(&all, &document) == FL_OK) {
      Require(document.payload.data >= all.data &&
              document.payload.data + document.payload.size <= all.data + all.size);
    }
  }

  fl_port_t port_ = {};
  bool trusts_all_ = false;
  std::string root_bytes_;  // Holds the keys of root_.
  fl_root_t root_ = {};
  std::string nonce_;
  std::string manifest_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Documents documents;
  if (size > 0) documents.Run(data[0], {reinterpret_cast<const char*>(data + 1), size - 1});
  return 0;
}
