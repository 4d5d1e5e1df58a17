// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_CRYPTO_CERTIFICATE_H_
#define FIELDLOOP_SERVICES_COMMON_CRYPTO_CERTIFICATE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop {

// A certificate authority: a self-signed P-256 certificate and its key. Thread-safe.
class CertificateAuthority {
 public:
  static CertificateAuthority Generate(absl::string_view common_name, absl::Time not_before,
                                       absl::Time not_after);
  static absl::StatusOr<CertificateAuthority> FromPem(absl::string_view certificate_pem,
                                                      absl::string_view key_pem);
  ~CertificateAuthority();
  CertificateAuthority(CertificateAuthority&&) noexcept;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept;

  std::string CertificatePem() const;
  std::string CertificateDer() const;
  std::string KeyPem() const;

  // Issues a device's certificate (client authentication only, not a CA) for the key of a PKCS#10
  // request whose subject is ignored. INVALID_ARGUMENT, "csr: ...", if it does not parse, is not
  // signed by its own key, or the key is not on P-256. Returns DER.
  absl::StatusOr<std::string> IssueForRequest(absl::string_view csr_der,
                                              absl::string_view common_name, absl::Time not_before,
                                              absl::Time not_after) const;

  struct KeyAndCertificate {
    std::string key_pem;
    std::string certificate_pem;
  };
  // Makes a key and a certificate for a service (client and server authentication) with these DNS
  // names and the address 127.0.0.1.
  KeyAndCertificate IssueForService(absl::string_view common_name,
                                    const std::vector<std::string>& dns_names,
                                    absl::Time not_before, absl::Time not_after) const;

  // True if `certificate`, PEM or DER, is signed by this authority's key.
  bool HasIssued(absl::string_view certificate) const;

 private:
  struct State;
  explicit CertificateAuthority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Of a PEM or DER certificate: its end, and its common name.
absl::StatusOr<absl::Time> CertificateNotAfter(absl::string_view certificate);
absl::StatusOr<std::string> CertificateCommonName(absl::string_view certificate);
// The DNS names that a PEM or DER certificate is for, in its order.
absl::StatusOr<std::vector<std::string>> CertificateDnsNames(absl::string_view certificate);

// The public key of a PKCS#10 request, 0x04 || x || y. Errors as IssueForRequest.
absl::StatusOr<std::string> RequestPublicKey(absl::string_view csr_der);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_CRYPTO_CERTIFICATE_H_
