// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_CORE_SIGNING_H_
#define FIELDLOOP_TESTS_AGENT_CORE_SIGNING_H_

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/trust.pb.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

namespace fieldloop::agent {

inline std::string Sha256(const std::string& bytes) {
  std::string digest(32, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

// A P-256 key pair of OpenSSL.
class SigningKey {
 public:
  SigningKey() : key_(EVP_EC_gen("P-256"), &EVP_PKEY_free) {}

  // 0x04 || x || y.
  std::string PublicPoint() const {
    std::string point(65, '\0');
    size_t size = 0;
    EXPECT_EQ(EVP_PKEY_get_octet_string_param(key_.get(), "encoded-pub-key",
                                              reinterpret_cast<unsigned char*>(point.data()),
                                              point.size(), &size),
              1);
    EXPECT_EQ(size, 65u);
    return point;
  }

  std::string KeyId() const { return Sha256(PublicPoint()).substr(0, 8); }

  // r || s over SHA-256 of the message.
  std::string Sign(const std::string& message) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          &EVP_MD_CTX_free);
    size_t size = 0;
    std::string der(128, '\0');
    EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()), 1);
    size = der.size();
    EXPECT_EQ(
        EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(der.data()), &size,
                       reinterpret_cast<const unsigned char*>(message.data()), message.size()),
        1);
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)), &ECDSA_SIG_free);
    std::string raw(64, '\0');
    auto* out = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + 32, 32);
    return raw;
  }

 private:
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
};

inline v1::SignedDocument SignDocument(const std::string& context, const std::string& payload,
                                       const std::vector<const SigningKey*>& keys) {
  v1::SignedDocument document;
  document.set_payload(payload);
  for (const SigningKey* key : keys) {
    v1::Signature* signature = document.add_signatures();
    signature->set_key_id(key->KeyId());
    signature->set_value(key->Sign(context + '\0' + payload));
  }
  return document;
}

// Verifies r || s over a digest.
inline bool VerifyDigest(const uint8_t* point, const uint8_t* digest, const uint8_t* value) {
  const std::unique_ptr<EC_KEY, decltype(&EC_KEY_free)> key(
      EC_KEY_new_by_curve_name(NID_X9_62_prime256v1), &EC_KEY_free);
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(),
                                                                        &ECDSA_SIG_free);
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(value, 32, nullptr),
                 BN_bin2bn(value + 32, 32, nullptr));
  return EC_KEY_oct2key(key.get(), point, 65, nullptr) == 1 &&
         ECDSA_do_verify(digest, 32, signature.get(), key.get()) == 1;
}

// Keys of the three roles and the root document that names them.
struct TrustFixture {
  SigningKey root_key;
  SigningKey release_key;
  SigningKey directive_key;

  v1::RootDocument Root(uint32_t version = 1) const {
    v1::RootDocument root;
    root.set_version(version);
    for (const SigningKey* key : {&root_key, &release_key, &directive_key}) {
      root.add_keys()->set_public_key(key->PublicPoint());
    }
    const auto role = [](v1::TrustedRole* r, uint32_t index) {
      r->add_key_indices(index);
      r->set_threshold(1);
    };
    role(root.mutable_root(), 0);
    role(root.mutable_release(), 1);
    role(root.mutable_directive(), 2);
    return root;
  }

  v1::SignedDocument SignedRoot(const v1::RootDocument& root) const {
    return SignDocument("fieldloop.root.v1", root.SerializeAsString(), {&root_key});
  }
};

}  // namespace fieldloop::agent

#endif  // FIELDLOOP_TESTS_AGENT_CORE_SIGNING_H_
