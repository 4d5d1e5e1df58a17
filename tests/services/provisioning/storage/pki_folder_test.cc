// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/storage/pki_folder.h"

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "services/common/crypto/certificate.h"
#include "services/provisioning/storage/file.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::provisioning {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;

class PkiFolderTest : public ::testing::Test {
 protected:
  std::string Read(const std::string& name) {
    absl::StatusOr<std::string> text = ReadSmallFile(folder_ / name);
    EXPECT_THAT(text, IsOk());
    return text.value_or("");
  }
  absl::Status Open(const std::vector<std::string>& names = {}) {
    return PkiFolder::Open(folder_.path(), names, now_).status();
  }
  CertificateAuthority ServicesCa() {
    return *CertificateAuthority::FromPem(Read("services-ca.crt"), Read("services-ca.key"));
  }

  const TemporaryFolder folder_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
};

TEST_F(PkiFolderTest, TheFirstStartMakesEverythingAndKeepsSecretsToItsOwner) {
  ASSERT_THAT(Open(), IsOk());
  for (const std::string name :
       {"services-ca", "devices-ca", "services/provisioning", "services/ingestion",
        "services/build", "services/evaluation", "services/distribution"}) {
    EXPECT_THAT(CertificateAuthority::FromPem(Read(name + ".crt"), Read(name + ".key")), IsOk())
        << name;
    struct stat info {};
    ASSERT_EQ(::stat((folder_ / (name + ".key")).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << name;
  }
}

TEST_F(PkiFolderTest, AServiceCertificateNamesItsServiceAndIsOfTheServicesCa) {
  ASSERT_THAT(Open({"fieldloop.example.com"}), IsOk());
  const std::string certificate = Read("services/build.crt");
  EXPECT_EQ(*CertificateCommonName(certificate), "build");
  EXPECT_THAT(*CertificateDnsNames(certificate),
              ElementsAre("build", "localhost", "fieldloop.example.com"));
  EXPECT_TRUE(ServicesCa().HasIssued(certificate));
  const CertificateAuthority devices =
      *CertificateAuthority::FromPem(Read("devices-ca.crt"), Read("devices-ca.key"));
  EXPECT_FALSE(devices.HasIssued(certificate));
}

TEST_F(PkiFolderTest, ASecondStartChangesNoFile) {
  ASSERT_THAT(Open(), IsOk());
  const std::string ca = Read("services-ca.crt");
  const std::string devices = Read("devices-ca.key");
  const std::string service = Read("services/build.crt");
  now_ += absl::Hours(24 * 300);
  ASSERT_THAT(Open(), IsOk());
  EXPECT_EQ(Read("services-ca.crt"), ca);
  EXPECT_EQ(Read("devices-ca.key"), devices);
  EXPECT_EQ(Read("services/build.crt"), service);
}

TEST_F(PkiFolderTest, AServiceCertificateIsRenewedOnlyInItsLastThirtyDays) {
  ASSERT_THAT(Open(), IsOk());
  const std::string first = Read("services/build.crt");
  const absl::Time end = *CertificateNotAfter(first);
  now_ = end - absl::Hours(24 * 30);
  ASSERT_THAT(Open(), IsOk());
  EXPECT_EQ(Read("services/build.crt"), first);
  now_ += absl::Seconds(1);
  ASSERT_THAT(Open(), IsOk());
  EXPECT_NE(Read("services/build.crt"), first);
  EXPECT_GT(*CertificateNotAfter(Read("services/build.crt")), end);
}

TEST_F(PkiFolderTest, AnotherAlternativeNameRenewsTheServiceCertificates) {
  ASSERT_THAT(Open(), IsOk());
  ASSERT_THAT(Open({"new.example.com"}), IsOk());
  EXPECT_THAT(*CertificateDnsNames(Read("services/build.crt")),
              ElementsAre("build", "localhost", "new.example.com"));
}

TEST_F(PkiFolderTest, AServiceKeyWithoutItsCertificateIsReplacedByAPair) {
  ASSERT_THAT(Open(), IsOk());
  // As a power cut between the two renames of a renewal leaves it.
  std::filesystem::copy_file(folder_ / "services/ingestion.key", folder_ / "services/build.key",
                             std::filesystem::copy_options::overwrite_existing);
  ASSERT_THAT(Open(), IsOk());
  EXPECT_THAT(CertificateAuthority::FromPem(Read("services/build.crt"), Read("services/build.key")),
              IsOk());
}

TEST_F(PkiFolderTest, AnotherServicesCaReplacesTheServiceCertificates) {
  ASSERT_THAT(Open(), IsOk());
  std::filesystem::remove(folder_ / "services-ca.crt");
  std::filesystem::remove(folder_ / "services-ca.key");
  ASSERT_THAT(Open(), IsOk());
  EXPECT_TRUE(ServicesCa().HasIssued(Read("services/build.crt")));
}

TEST_F(PkiFolderTest, HalfOfACaIsNeverMadeAnew) {
  ASSERT_THAT(Open(), IsOk());
  const std::string key = Read("devices-ca.key");
  std::filesystem::remove(folder_ / "devices-ca.crt");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Read("devices-ca.key"), key);
}

TEST_F(PkiFolderTest, AStartCutShortBeforeTheKeyHadItsNameIsCompleted) {
  ASSERT_THAT(Open(), IsOk());
  const std::string key = Read("devices-ca.key");
  std::filesystem::rename(folder_ / "devices-ca.key", folder_ / "devices-ca.key.tmp");
  ASSERT_THAT(Open(), IsOk());
  EXPECT_EQ(Read("devices-ca.key"), key);
}

TEST_F(PkiFolderTest, AStartCutShortBeforeTheCertificateHadItsNameBeginsAgain) {
  ASSERT_THAT(WriteSynced(folder_ / "devices-ca.key.tmp", "half a k", 0600), IsOk());
  ASSERT_THAT(WriteSynced(folder_ / "devices-ca.crt.tmp", "half a c", 0644), IsOk());
  ASSERT_THAT(Open(), IsOk());
  EXPECT_THAT(CertificateAuthority::FromPem(Read("devices-ca.crt"), Read("devices-ca.key")),
              IsOk());
}

TEST_F(PkiFolderTest, AFileThatIsNoCertificateIsRefusedAndNamed) {
  ASSERT_THAT(Open(), IsOk());
  ASSERT_THAT(ReplaceFile(folder_ / "devices-ca.crt", "garbage", 0644), IsOk());
  const absl::Status status = Open();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("devices-ca.crt"));
}

TEST_F(PkiFolderTest, AnAlternativeNameCannotSmuggleInAnotherExtension) {
  EXPECT_THAT(Open({"a.example.com,DNS:admin"}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Open({""}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PkiFolderTest, TheAdminTokenIsMadeOnceAndOnlyItsOwnerReadsIt) {
  absl::StatusOr<PkiFolder> pki = PkiFolder::Open(folder_.path(), {}, now_);
  ASSERT_THAT(pki, IsOk());
  EXPECT_EQ(*pki->AdminToken([] { return std::string("first"); }), "first");
  EXPECT_EQ(*pki->AdminToken([] { return std::string("second"); }), "first");
  EXPECT_EQ(Read("admin.token"), "first\n");
  struct stat info {};
  ASSERT_EQ(::stat(pki->admin_token().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(PkiFolderTest, AFolderThatCannotBeMadeIsUnavailable) {
  ASSERT_THAT(WriteSynced(folder_ / "file", "", 0644), IsOk());
  EXPECT_THAT(PkiFolder::Open(folder_ / "file", {}, now_),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace fieldloop::provisioning
