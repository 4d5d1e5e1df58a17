// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/crypto/certificate.h"

#include <array>
#include <cstdlib>
#include <ctime>
#include <utility>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr std::size_t kMaxCommonNameBytes = 64;  // RFC 5280, ub-common-name.

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
void FreeBio(BIO* bio) { BIO_free_all(bio); }
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Deleter<X509_REQ, X509_REQ_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION, X509_EXTENSION_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO, FreeBio>>;

BioPtr BioOf(absl::string_view data) {
  return BioPtr(BIO_new_mem_buf(data.data(), static_cast<int>(data.size())));
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string PemOf(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return TextOf(bio.get());
}

std::string PemOf(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TextOf(bio.get());
}

std::string DerOf(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

CertificatePtr ParseCertificate(absl::string_view data) {
  if (!data.empty() && data.front() == '-') {
    return CertificatePtr(PEM_read_bio_X509(BioOf(data).get(), nullptr, nullptr, nullptr));
  }
  const auto* cursor = reinterpret_cast<const unsigned char*>(data.data());
  return CertificatePtr(d2i_X509(nullptr, &cursor, static_cast<long>(data.size())));
}

bool IsP256(const EVP_PKEY* key) {
  std::array<char, 64> group{};
  std::size_t size = 0;
  return key != nullptr && EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
         absl::string_view(group.data(), size) == "prime256v1";
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr) {
    std::abort();  // The values are ours.
  }
  X509_add_ext(certificate, extension.get(), -1);
}

// A version 3 certificate without extensions, not signed yet.
CertificatePtr NewCertificate(EVP_PKEY* key, absl::string_view common_name, absl::Time not_before,
                              absl::Time not_after) {
  CertificatePtr certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  // 128 random bits; the first is cleared because a serial number is positive.
  std::string serial = RandomBytes(16);
  serial[0] = static_cast<char>(static_cast<unsigned char>(serial[0]) & 0x7fU);
  BIGNUM* number = BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(not_before));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.data()),
                             static_cast<int>(common_name.size()), -1, 0);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

// The key of a PKCS#10 request that is good in every way.
absl::StatusOr<KeyPtr> KeyOfRequest(absl::string_view csr_der) {
  const auto* cursor = reinterpret_cast<const unsigned char*>(csr_der.data());
  const auto* const end = cursor + csr_der.size();
  const RequestPtr request(d2i_X509_REQ(nullptr, &cursor, static_cast<long>(csr_der.size())));
  if (request == nullptr || cursor != end) {
    ERR_clear_error();
    return absl::InvalidArgumentError("csr: want a PKCS#10 request in DER");
  }
  KeyPtr key(X509_REQ_get_pubkey(request.get()));
  if (!IsP256(key.get())) {
    ERR_clear_error();
    return absl::InvalidArgumentError("csr: want a key on P-256");
  }
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("csr: want a request signed by its own key");
  }
  return key;
}

}  // namespace

struct CertificateAuthority::State {
  KeyPtr key;
  CertificatePtr certificate;
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
CertificateAuthority::~CertificateAuthority() = default;
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority& CertificateAuthority::operator=(CertificateAuthority&&) noexcept = default;

CertificateAuthority CertificateAuthority::Generate(absl::string_view common_name,
                                                    absl::Time not_before, absl::Time not_after) {
  auto state = std::make_unique<State>();
  state->key = KeyPtr(EVP_EC_gen("prime256v1"));
  if (state->key == nullptr) {
    std::abort();  // Only without randomness or memory.
  }
  state->certificate = NewCertificate(state->key.get(), common_name, not_before, not_after);
  X509* certificate = state->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  AddExtension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(certificate, certificate, NID_subject_key_identifier, "hash");
  X509_sign(certificate, state->key.get(), EVP_sha256());
  return CertificateAuthority(std::move(state));
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::FromPem(
    absl::string_view certificate_pem, absl::string_view key_pem) {
  auto state = std::make_unique<State>();
  state->certificate = ParseCertificate(certificate_pem);
  state->key = KeyPtr(PEM_read_bio_PrivateKey(BioOf(key_pem).get(), nullptr, nullptr, nullptr));
  if (state->certificate == nullptr || state->key == nullptr ||
      X509_check_private_key(state->certificate.get(), state->key.get()) != 1) {
    return absl::InvalidArgumentError("want the PEM of a CA certificate and of its key");
  }
  return CertificateAuthority(std::move(state));
}

std::string CertificateAuthority::CertificatePem() const {
  return PemOf(state_->certificate.get());
}
std::string CertificateAuthority::CertificateDer() const {
  return DerOf(state_->certificate.get());
}
std::string CertificateAuthority::KeyPem() const { return PemOf(state_->key.get()); }

absl::StatusOr<std::string> CertificateAuthority::IssueForRequest(absl::string_view csr_der,
                                                                  absl::string_view common_name,
                                                                  absl::Time not_before,
                                                                  absl::Time not_after) const {
  if (common_name.empty() || common_name.size() > kMaxCommonNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat("common_name: got ", common_name.size(),
                                                   " bytes, want 1 to ", kMaxCommonNameBytes));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const KeyPtr key, KeyOfRequest(csr_der));
  const CertificatePtr certificate = NewCertificate(key.get(), common_name, not_before, not_after);
  X509* issuer = state_->certificate.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  AddExtension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(certificate.get(), issuer, NID_key_usage, "critical,digitalSignature");
  AddExtension(certificate.get(), issuer, NID_ext_key_usage, "clientAuth");
  AddExtension(certificate.get(), issuer, NID_authority_key_identifier, "keyid");
  X509_sign(certificate.get(), state_->key.get(), EVP_sha256());
  return DerOf(certificate.get());
}

CertificateAuthority::KeyAndCertificate CertificateAuthority::IssueForService(
    absl::string_view common_name, const std::vector<std::string>& dns_names, absl::Time not_before,
    absl::Time not_after) const {
  const KeyPtr key(EVP_EC_gen("prime256v1"));
  if (key == nullptr) {
    std::abort();  // Only without randomness or memory.
  }
  const CertificatePtr certificate = NewCertificate(key.get(), common_name, not_before, not_after);
  X509* issuer = state_->certificate.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  std::string names = "IP:127.0.0.1";
  for (const std::string& name : dns_names) {
    absl::StrAppend(&names, ",DNS:", name);
  }
  AddExtension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(certificate.get(), issuer, NID_key_usage, "critical,digitalSignature");
  AddExtension(certificate.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  AddExtension(certificate.get(), issuer, NID_subject_alt_name, names);
  AddExtension(certificate.get(), issuer, NID_authority_key_identifier, "keyid");
  X509_sign(certificate.get(), state_->key.get(), EVP_sha256());
  return {.key_pem = PemOf(key.get()), .certificate_pem = PemOf(certificate.get())};
}

bool CertificateAuthority::HasIssued(absl::string_view certificate) const {
  const CertificatePtr parsed = ParseCertificate(certificate);
  const bool issued = parsed != nullptr && X509_verify(parsed.get(), state_->key.get()) == 1;
  ERR_clear_error();
  return issued;
}

absl::StatusOr<absl::Time> CertificateNotAfter(absl::string_view certificate) {
  const CertificatePtr parsed = ParseCertificate(certificate);
  std::tm time{};
  if (parsed == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(parsed.get()), &time) != 1) {
    return absl::InvalidArgumentError("want an X.509 certificate in PEM or DER");
  }
  return absl::FromTM(time, absl::UTCTimeZone());
}

absl::StatusOr<std::string> CertificateCommonName(absl::string_view certificate) {
  const CertificatePtr parsed = ParseCertificate(certificate);
  std::array<char, 128> name{};
  if (parsed == nullptr ||
      X509_NAME_get_text_by_NID(X509_get_subject_name(parsed.get()), NID_commonName, name.data(),
                                static_cast<int>(name.size())) < 0) {
    return absl::InvalidArgumentError("want an X.509 certificate with a common name");
  }
  return std::string(name.data());
}

absl::StatusOr<std::vector<std::string>> CertificateDnsNames(absl::string_view certificate) {
  const CertificatePtr parsed = ParseCertificate(certificate);
  if (parsed == nullptr) {
    return absl::InvalidArgumentError("want an X.509 certificate in PEM or DER");
  }
  std::vector<std::string> dns_names;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(parsed.get(), NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) {
      const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
      dns_names.emplace_back(text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    }
  }
  GENERAL_NAMES_free(names);
  return dns_names;
}

absl::StatusOr<std::string> RequestPublicKey(absl::string_view csr_der) {
  FIELDLOOP_ASSIGN_OR_RETURN(const KeyPtr key, KeyOfRequest(csr_der));
  std::array<unsigned char, 65> point{};
  std::size_t size = 0;
  if (EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                      point.size(), &size) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("csr: want an uncompressed key on P-256");
  }
  return std::string(reinterpret_cast<const char*>(point.data()), size);
}

}  // namespace fieldloop
