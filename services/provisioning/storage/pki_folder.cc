// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/storage/pki_folder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/certificate.h"
#include "services/common/status/status_macros.h"
#include "services/provisioning/storage/file.h"

namespace fieldloop::provisioning {
namespace {

constexpr mode_t kPublicMode = 0644;
constexpr mode_t kSecretMode = 0600;

constexpr absl::Duration kAuthorityLifetime = absl::Hours(24 * 365 * 20);
constexpr absl::Duration kServiceLifetime = absl::Hours(24 * 365);
constexpr absl::Duration kRenewBefore = absl::Hours(24 * 30);
constexpr absl::Duration kClockSkew = absl::Hours(1);

class CertificateDeviceAuthority final : public DeviceAuthority {
 public:
  explicit CertificateDeviceAuthority(CertificateAuthority authority)
      : authority_(std::move(authority)) {}

  absl::StatusOr<std::string> PublicKeyOf(absl::string_view csr) override {
    return RequestPublicKey(csr);
  }
  absl::StatusOr<std::string> Issue(absl::string_view csr, absl::string_view common_name,
                                    absl::Time not_before, absl::Time not_after) override {
    return authority_.IssueForRequest(csr, common_name, not_before, not_after);
  }
  std::string Certificate() override { return authority_.CertificateDer(); }

 private:
  const CertificateAuthority authority_;
};

absl::Status ValidateDnsName(absl::string_view name) {
  const bool good =
      !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.';
      });
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(absl::StrCat(
                    "--service-name-alt: got \"", absl::CHexEscape(name), "\", want a DNS name"));
}

// Reads `stem`.crt and `stem`.key, or makes them. The certificate gets its name first and the key
// last, so that a key that has its name is one in use, and is never made anew.
absl::StatusOr<CertificateAuthority> OpenAuthority(const std::string& stem,
                                                   absl::string_view common_name, absl::Time now) {
  const std::string certificate_path = stem + ".crt";
  const std::string key_path = stem + ".key";
  const std::string new_key_path = key_path + ".tmp";
  if (FileExists(certificate_path) && !FileExists(key_path) && FileExists(new_key_path)) {
    FIELDLOOP_RETURN_IF_ERROR(RenameSynced(new_key_path, key_path));  // A start was cut short.
  }
  if (FileExists(certificate_path) != FileExists(key_path)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "only one of ", certificate_path, " and ", key_path,
        " exists: restore the other from a backup; without it what the CA signed is lost"));
  }
  if (!FileExists(key_path)) {
    const CertificateAuthority made =
        CertificateAuthority::Generate(common_name, now - kClockSkew, now + kAuthorityLifetime);
    FIELDLOOP_RETURN_IF_ERROR(WriteSynced(new_key_path, made.KeyPem(), kSecretMode));
    FIELDLOOP_RETURN_IF_ERROR(ReplaceFile(certificate_path, made.CertificatePem(), kPublicMode));
    FIELDLOOP_RETURN_IF_ERROR(RenameSynced(new_key_path, key_path));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string certificate, ReadSmallFile(certificate_path));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, ReadSmallFile(key_path));
  absl::StatusOr<CertificateAuthority> authority = CertificateAuthority::FromPem(certificate, key);
  if (!authority.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(certificate_path, " and ", key_path, ": ", authority.status().message()));
  }
  return authority;
}

// Whether a service may go on with its pair of files.
bool IsGood(const CertificateAuthority& authority, const std::string& certificate,
            const std::string& key, const std::vector<std::string>& names, absl::Time now) {
  const absl::StatusOr<absl::Time> end = CertificateNotAfter(certificate);
  const absl::StatusOr<std::vector<std::string>> has = CertificateDnsNames(certificate);
  return end.ok() && *end - now >= kRenewBefore && has.ok() && *has == names &&
         authority.HasIssued(certificate) &&
         CertificateAuthority::FromPem(certificate, key).ok();  // They belong together.
}

absl::Status OpenService(const CertificateAuthority& authority, const std::string& name,
                         const std::string& stem, std::vector<std::string> names, absl::Time now) {
  names.insert(names.begin(), {name, "localhost"});
  const absl::StatusOr<std::string> certificate = ReadSmallFile(stem + ".crt");
  const absl::StatusOr<std::string> key = ReadSmallFile(stem + ".key");
  for (const absl::Status& status : {certificate.status(), key.status()}) {
    if (!status.ok() && !absl::IsNotFound(status)) {
      return status;
    }
  }
  if (certificate.ok() && key.ok() && IsGood(authority, *certificate, *key, names, now)) {
    return absl::OkStatus();
  }
  const CertificateAuthority::KeyAndCertificate made =
      authority.IssueForService(name, names, now - kClockSkew, now + kServiceLifetime);
  FIELDLOOP_RETURN_IF_ERROR(ReplaceFile(stem + ".key", made.key_pem, kSecretMode));
  return ReplaceFile(stem + ".crt", made.certificate_pem, kPublicMode);
}

}  // namespace

PkiFolder::PkiFolder(std::string path, std::unique_ptr<DeviceAuthority> device_authority)
    : path_(std::move(path)), device_authority_(std::move(device_authority)) {}

absl::StatusOr<PkiFolder> PkiFolder::Open(const std::string& path,
                                          const std::vector<std::string>& alternative_names,
                                          absl::Time now) {
  for (const std::string& name : alternative_names) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateDnsName(name));
  }
  FIELDLOOP_RETURN_IF_ERROR(MakeFolder(path + "/services"));
  FIELDLOOP_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(path));
  FIELDLOOP_ASSIGN_OR_RETURN(const CertificateAuthority services,
                             OpenAuthority(path + "/services-ca", "Fieldloop services", now));
  FIELDLOOP_ASSIGN_OR_RETURN(CertificateAuthority devices,
                             OpenAuthority(path + "/devices-ca", "Fieldloop devices", now));
  for (const std::string& name : ServiceNames()) {
    FIELDLOOP_RETURN_IF_ERROR(OpenService(services, name, absl::StrCat(path, "/services/", name),
                                          alternative_names, now));
  }
  return PkiFolder(path, std::make_unique<CertificateDeviceAuthority>(std::move(devices)));
}

absl::StatusOr<std::string> PkiFolder::AdminToken(absl::FunctionRef<std::string()> make_secret) {
  FIELDLOOP_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(path_));
  const absl::StatusOr<std::string> text = ReadSmallFile(admin_token());
  if (text.ok()) {
    return std::string(absl::StripAsciiWhitespace(*text));
  }
  if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  std::string secret = make_secret();
  FIELDLOOP_RETURN_IF_ERROR(ReplaceFile(admin_token(), absl::StrCat(secret, "\n"), kSecretMode));
  return secret;
}

const std::vector<std::string>& ServiceNames() {
  static const auto* const names = new std::vector<std::string>{
      "provisioning", "ingestion", "build", "evaluation", "distribution"};
  return *names;
}

}  // namespace fieldloop::provisioning
