// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_COMMON_CERTIFICATE_REQUEST_H_
#define FIELDLOOP_TESTS_SERVICES_COMMON_CERTIFICATE_REQUEST_H_

#include <memory>
#include <string>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace fieldloop::testing {

// A key pair that asks for certificates, as a device does.
class RequestKey {
 public:
  static RequestKey P256() { return RequestKey(EVP_EC_gen("prime256v1")); }
  static RequestKey P384() { return RequestKey(EVP_EC_gen("secp384r1")); }
  static RequestKey Secp256k1() { return RequestKey(EVP_EC_gen("secp256k1")); }
  static RequestKey Rsa() { return RequestKey(EVP_RSA_gen(2048)); }

  EVP_PKEY* get() const { return key_.get(); }

  // A PKCS#10 request in DER for this key, signed by `signer`'s, or by its own.
  std::string Request(const std::string& common_name, const RequestKey* signer = nullptr) const {
    X509_REQ* request = X509_REQ_new();
    X509_REQ_set_version(request, 0);
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.data()),
                               static_cast<int>(common_name.size()), -1, 0);
    X509_REQ_set_pubkey(request, key_.get());
    X509_REQ_sign(request, signer == nullptr ? key_.get() : signer->get(), EVP_sha256());
    unsigned char* der = nullptr;
    const int size = i2d_X509_REQ(request, &der);
    std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    X509_REQ_free(request);
    return bytes;
  }

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  explicit RequestKey(EVP_PKEY* key) : key_(key) {}
  std::unique_ptr<EVP_PKEY, Free> key_;
};

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_SERVICES_COMMON_CERTIFICATE_REQUEST_H_
