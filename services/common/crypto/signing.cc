// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/crypto/signing.h"

#include <array>
#include <cstdlib>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"

namespace fieldloop {
namespace {

constexpr std::size_t kPublicKeyBytes = 65;
constexpr std::size_t kScalarBytes = 32;

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
void FreeBio(BIO* bio) { BIO_free_all(bio); }
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX, EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX, EVP_MD_CTX_free>>;
using SignaturePtr = std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG, ECDSA_SIG_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO, FreeBio>>;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Message(absl::string_view context, absl::string_view payload) {
  return absl::StrCat(context, std::string(1, '\0'), payload);
}

bool IsP256(const EVP_PKEY* key) {
  std::array<char, 64> group{};
  std::size_t size = 0;
  return EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
         absl::string_view(group.data(), size) == "prime256v1";
}

KeyPtr PublicKeyFromPoint(absl::string_view point) {
  const KeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  std::string group = "prime256v1";
  std::string octets(point);
  std::array<OSSL_PARAM, 3> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets.data(), octets.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.data()) != 1) {
    return nullptr;
  }
  return KeyPtr(key);
}

}  // namespace

struct SigningKey::State {
  KeyPtr key;
};

SigningKey::SigningKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
SigningKey::~SigningKey() = default;
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;

SigningKey SigningKey::Generate() {
  auto state = std::make_unique<State>();
  state->key = KeyPtr(EVP_EC_gen("prime256v1"));
  if (state->key == nullptr) {
    std::abort();  // Only without randomness or memory.
  }
  return SigningKey(std::move(state));
}

absl::StatusOr<SigningKey> SigningKey::FromPem(absl::string_view pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  auto state = std::make_unique<State>();
  state->key = KeyPtr(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (state->key == nullptr || !IsP256(state->key.get())) {
    return absl::InvalidArgumentError("want the PEM of a P-256 private key");
  }
  return SigningKey(std::move(state));
}

std::string SigningKey::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), state_->key.get(), nullptr, nullptr, 0, nullptr,
                                nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string SigningKey::PublicKey() const {
  std::string point(kPublicKeyBytes, '\0');
  std::size_t size = 0;
  EVP_PKEY_get_octet_string_param(state_->key.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                  reinterpret_cast<unsigned char*>(point.data()), point.size(),
                                  &size);
  point.resize(size);
  return point;
}

std::string SigningKey::Sign(absl::string_view context, absl::string_view payload) const {
  const std::string message = Message(context, payload);
  const DigestContextPtr digest(EVP_MD_CTX_new());
  std::size_t size = 0;
  EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, state_->key.get());
  EVP_DigestSign(digest.get(), nullptr, &size, Bytes(message), message.size());
  std::string der(size, '\0');
  if (EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(der.data()), &size,
                     Bytes(message), message.size()) != 1) {
    std::abort();  // A P-256 key signs, or there is no randomness.
  }
  const unsigned char* cursor = Bytes(der);
  const SignaturePtr signature(d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(size)));
  std::string raw(2 * kScalarBytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, static_cast<int>(kScalarBytes));
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + kScalarBytes,
               static_cast<int>(kScalarBytes));
  return raw;
}

std::string KeyIdOf(absl::string_view public_key) { return Sha256Of(public_key).substr(0, 8); }

bool VerifySignature(absl::string_view public_key, absl::string_view context,
                     absl::string_view payload, absl::string_view signature) {
  if (public_key.size() != kPublicKeyBytes || signature.size() != 2 * kScalarBytes) {
    return false;
  }
  const KeyPtr key = PublicKeyFromPoint(public_key);
  if (key == nullptr) {
    return false;
  }
  const SignaturePtr raw(ECDSA_SIG_new());
  if (ECDSA_SIG_set0(raw.get(), BN_bin2bn(Bytes(signature), kScalarBytes, nullptr),
                     BN_bin2bn(Bytes(signature) + kScalarBytes, kScalarBytes, nullptr)) != 1) {
    return false;
  }
  unsigned char* der = nullptr;
  const int der_size = i2d_ECDSA_SIG(raw.get(), &der);
  if (der_size <= 0) {
    return false;
  }
  const std::string message = Message(context, payload);
  const DigestContextPtr digest(EVP_MD_CTX_new());
  const bool good =
      EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
      EVP_DigestVerify(digest.get(), der, static_cast<std::size_t>(der_size), Bytes(message),
                       message.size()) == 1;
  OPENSSL_free(der);
  return good;
}

}  // namespace fieldloop
