// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "services/common/crypto/certificate.h"
#include "services/common/crypto/digest.h"
#include "services/common/crypto/sealed.h"
#include "services/common/crypto/sha256_hex.h"
#include "services/common/crypto/signing.h"
#include "tests/services/common/certificate_request.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::RequestKey;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

TEST(DigestTest, IsSha256OfFips180) {
  EXPECT_EQ(ToHex(Sha256Of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256Of("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(DigestTest, InPiecesIsTheSameAsAtOnce) {
  Sha256 hash;
  hash.Update("a");
  hash.Update("");
  hash.Update("bc");
  EXPECT_EQ(hash.Finish(), Sha256Of("abc"));
}

TEST(DigestTest, HmacIsThatOfRfc4231) {
  EXPECT_EQ(ToHex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(DigestTest, HexGoesThereAndBack) {
  EXPECT_EQ(*FromHex("00fFa1"), std::string("\x00\xff\xa1", 3));
  EXPECT_EQ(ToHex(std::string("\x00\xff\xa1", 3)), "00ffa1");
  EXPECT_EQ(*FromHex(""), "");
  EXPECT_THAT(FromHex("abc"), StatusIs(kInvalid));
  EXPECT_THAT(FromHex("zz"), StatusIs(kInvalid));
}

TEST(DigestTest, ASha256InHexHas64LowerCaseDigits) {
  const std::string digest = ToHex(Sha256Of("abc"));
  EXPECT_TRUE(IsSha256Hex(digest));
  EXPECT_FALSE(IsSha256Hex(""));
  EXPECT_FALSE(IsSha256Hex(digest.substr(1)));
  EXPECT_FALSE(IsSha256Hex(digest + "0"));
  EXPECT_FALSE(IsSha256Hex("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"));
  EXPECT_FALSE(IsSha256Hex("../../" + digest.substr(6)));
}

TEST(DigestTest, SecretsHaveTheirPrefixAndDiffer) {
  const std::string secret = RandomSecret("x_");
  EXPECT_EQ(secret.size(), 45U);
  EXPECT_THAT(secret, ::testing::MatchesRegex("x_[A-Za-z0-9_-]+"));
  EXPECT_NE(secret, RandomSecret("x_"));
  EXPECT_EQ(RandomBytes(16).size(), 16U);
}

TEST(DigestTest, ConstantTimeEqualsIsEquality) {
  EXPECT_TRUE(ConstantTimeEquals("", ""));
  EXPECT_TRUE(ConstantTimeEquals("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "ab"));
}

TEST(SigningTest, ASignatureCoversItsContextAndItsPayload) {
  const SigningKey key = SigningKey::Generate();
  const std::string signature = key.Sign(kManifestContext, "payload");
  EXPECT_EQ(signature.size(), 64U);
  EXPECT_TRUE(VerifySignature(key.PublicKey(), kManifestContext, "payload", signature));
  EXPECT_FALSE(VerifySignature(key.PublicKey(), kDirectiveContext, "payload", signature));
  EXPECT_FALSE(VerifySignature(key.PublicKey(), kManifestContext, "Payload", signature));
  EXPECT_FALSE(
      VerifySignature(SigningKey::Generate().PublicKey(), kManifestContext, "payload", signature));
}

TEST(SigningTest, ASignatureThatIsDamagedShortOrZeroIsNone) {
  const SigningKey key = SigningKey::Generate();
  std::string signature = key.Sign(kRootContext, "p");
  EXPECT_FALSE(VerifySignature(key.PublicKey(), kRootContext, "p", signature.substr(0, 63)));
  EXPECT_FALSE(VerifySignature(key.PublicKey(), kRootContext, "p", std::string(64, '\0')));
  EXPECT_FALSE(VerifySignature(key.PublicKey(), kRootContext, "p", std::string(64, '\xff')));
  EXPECT_FALSE(VerifySignature(std::string(65, '\x04'), kRootContext, "p", signature));
  EXPECT_FALSE(VerifySignature("", kRootContext, "p", signature));
  signature[0] = static_cast<char>(signature[0] ^ 1);
  EXPECT_FALSE(VerifySignature(key.PublicKey(), kRootContext, "p", signature));
}

TEST(SigningTest, AKeyKeepsItsNameThroughPem) {
  const SigningKey key = SigningKey::Generate();
  const absl::StatusOr<SigningKey> read = SigningKey::FromPem(key.ToPem());
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->PublicKey(), key.PublicKey());
  EXPECT_EQ(key.PublicKey().size(), 65U);
  EXPECT_EQ(KeyIdOf(key.PublicKey()), Sha256Of(key.PublicKey()).substr(0, 8));
  EXPECT_THAT(SigningKey::FromPem("garbage"), StatusIs(kInvalid));
  EXPECT_THAT(SigningKey::FromPem(""), StatusIs(kInvalid));
}

class CertificateTest : public ::testing::Test {
 protected:
  // Whether OpenSSL trusts `der` for `purpose` at kNow, when it trusts `ca` only.
  static bool IsTrusted(const CertificateAuthority& ca, const std::string& der, int purpose,
                        const std::string& intermediate_der = "") {
    X509* root = Parse(ca.CertificateDer());
    X509* leaf = Parse(der);
    X509* intermediate = intermediate_der.empty() ? nullptr : Parse(intermediate_der);
    STACK_OF(X509)* chain = sk_X509_new_null();
    if (intermediate != nullptr) {
      sk_X509_push(chain, intermediate);
    }
    X509_STORE* store = X509_STORE_new();
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX* context = X509_STORE_CTX_new();
    X509_STORE_CTX_init(context, store, leaf, chain);
    X509_STORE_CTX_set_purpose(context, purpose);
    X509_STORE_CTX_set_time(context, 0, absl::ToTimeT(kNow));
    const bool trusted = X509_verify_cert(context) == 1;
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    sk_X509_free(chain);
    X509_free(intermediate);
    X509_free(leaf);
    X509_free(root);
    return trusted;
  }

  std::string Issue(const RequestKey& key) {
    return *ca_.IssueForRequest(key.Request("anything"), "motor/dev-1", kNow - absl::Hours(1),
                                kNow + absl::Hours(1));
  }

  const CertificateAuthority ca_ =
      CertificateAuthority::Generate("CA", kNow - absl::Hours(1), kNow + absl::Hours(1000));

 private:
  static X509* Parse(const std::string& der) {
    const auto* cursor = reinterpret_cast<const unsigned char*>(der.data());
    return d2i_X509(nullptr, &cursor, static_cast<long>(der.size()));
  }
};

TEST_F(CertificateTest, ADeviceCertificateIsForClientsOnly) {
  const std::string der = Issue(RequestKey::P256());
  EXPECT_EQ(*CertificateCommonName(der), "motor/dev-1");
  EXPECT_EQ(*CertificateNotAfter(der), kNow + absl::Hours(1));
  EXPECT_TRUE(IsTrusted(ca_, der, X509_PURPOSE_SSL_CLIENT));
  EXPECT_FALSE(IsTrusted(ca_, der, X509_PURPOSE_SSL_SERVER));
  EXPECT_LE(der.size(), 768U);  // What the device protocol carries.
}

TEST_F(CertificateTest, ADeviceCertificateCannotBeUsedAsACa) {
  const RequestKey device = RequestKey::P256();
  const std::string device_der = Issue(device);
  // The device signs a certificate of its own making with its own key.
  X509* forged = X509_new();
  X509_set_version(forged, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(forged), 1);
  ASN1_TIME_set(X509_getm_notBefore(forged), absl::ToTimeT(kNow - absl::Hours(1)));
  ASN1_TIME_set(X509_getm_notAfter(forged), absl::ToTimeT(kNow + absl::Hours(1)));
  const auto* cursor = reinterpret_cast<const unsigned char*>(device_der.data());
  X509* issuer = d2i_X509(nullptr, &cursor, static_cast<long>(device_der.size()));
  X509_set_issuer_name(forged, X509_get_subject_name(issuer));
  X509_set_subject_name(forged, X509_get_subject_name(issuer));
  const RequestKey other = RequestKey::P256();
  X509_set_pubkey(forged, other.get());
  X509_sign(forged, device.get(), EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509(forged, &der);
  const std::string forged_der(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  X509_free(issuer);
  X509_free(forged);
  EXPECT_FALSE(IsTrusted(ca_, forged_der, X509_PURPOSE_SSL_CLIENT, device_der));
  EXPECT_FALSE(ca_.HasIssued(forged_der));
}

TEST_F(CertificateTest, OnlyAGoodRequestIsAnswered) {
  const RequestKey key = RequestKey::P256();
  const RequestKey other = RequestKey::P256();
  EXPECT_EQ(RequestPublicKey(key.Request("a"))->size(), 65U);
  EXPECT_EQ(*RequestPublicKey(key.Request("a")), *RequestPublicKey(key.Request("b")));
  EXPECT_NE(*RequestPublicKey(key.Request("a")), *RequestPublicKey(other.Request("a")));
  for (const std::string& bad :
       {RequestKey::P384().Request("x"), RequestKey::Secp256k1().Request("x"),
        RequestKey::Rsa().Request("x"), key.Request("x", &other), key.Request("x") + "x",
        std::string("garbage"), std::string()}) {
    EXPECT_THAT(RequestPublicKey(bad), StatusIs(kInvalid));
    EXPECT_THAT(ca_.IssueForRequest(bad, "motor/dev-1", kNow, kNow + absl::Hours(1)),
                StatusIs(kInvalid));
  }
}

TEST_F(CertificateTest, ACommonNameThatDoesNotFitIsRefusedNotLeftOut) {
  const std::string csr = RequestKey::P256().Request("x");
  const absl::Time end = kNow + absl::Hours(1);
  EXPECT_EQ(*CertificateCommonName(*ca_.IssueForRequest(csr, std::string(64, 'n'), kNow, end)),
            std::string(64, 'n'));
  EXPECT_THAT(ca_.IssueForRequest(csr, std::string(65, 'n'), kNow, end), StatusIs(kInvalid));
  EXPECT_THAT(ca_.IssueForRequest(csr, "", kNow, end), StatusIs(kInvalid));
}

TEST_F(CertificateTest, AServiceCertificateIsForBothSidesAndItsNames) {
  const auto made = ca_.IssueForService("build", {"build", "localhost"}, kNow - absl::Hours(1),
                                        kNow + absl::Hours(1));
  EXPECT_EQ(*CertificateCommonName(made.certificate_pem), "build");
  EXPECT_THAT(*CertificateDnsNames(made.certificate_pem), ElementsAre("build", "localhost"));
  EXPECT_TRUE(ca_.HasIssued(made.certificate_pem));
  EXPECT_THAT(CertificateAuthority::FromPem(made.certificate_pem, made.key_pem), IsOk());
}

TEST_F(CertificateTest, ACaKnowsItsOwnAndComesBackFromPem) {
  const absl::StatusOr<CertificateAuthority> read =
      CertificateAuthority::FromPem(ca_.CertificatePem(), ca_.KeyPem());
  ASSERT_THAT(read, IsOk());
  const std::string der = Issue(RequestKey::P256());
  EXPECT_TRUE(read->HasIssued(der));
  const CertificateAuthority other =
      CertificateAuthority::Generate("CA", kNow, kNow + absl::Hours(1));
  EXPECT_FALSE(other.HasIssued(der));
  EXPECT_FALSE(other.HasIssued("garbage"));
  EXPECT_FALSE(IsTrusted(other, der, X509_PURPOSE_SSL_CLIENT));
  EXPECT_THAT(CertificateAuthority::FromPem(ca_.CertificatePem(), other.KeyPem()),
              StatusIs(kInvalid));
  EXPECT_THAT(CertificateAuthority::FromPem("", ""), StatusIs(kInvalid));
}

TEST_F(CertificateTest, GarbageIsNoCertificate) {
  for (const char* bad : {"", "garbage", "-----BEGIN CERTIFICATE-----\n"}) {
    EXPECT_THAT(CertificateNotAfter(bad), StatusIs(kInvalid)) << bad;
    EXPECT_THAT(CertificateCommonName(bad), StatusIs(kInvalid)) << bad;
    EXPECT_THAT(CertificateDnsNames(bad), StatusIs(kInvalid)) << bad;
  }
}

TEST(SealedTest, OnlyThePassphraseOpensItAndNothingIsChangedUnseen) {
  const std::string sealed = Seal("correct horse", "the key");
  EXPECT_EQ(*Unseal("correct horse", sealed), "the key");
  EXPECT_THAT(sealed, Not(HasSubstr("the key")));
  EXPECT_NE(sealed, Seal("correct horse", "the key"));
  EXPECT_THAT(Unseal("correct horsf", sealed), StatusIs(absl::StatusCode::kPermissionDenied));
  for (const std::size_t place :
       {std::size_t{8}, std::size_t{24}, std::size_t{36}, sealed.size() - 1}) {
    std::string changed = sealed;
    changed[place] = static_cast<char>(changed[place] ^ 1);
    EXPECT_THAT(Unseal("correct horse", changed), StatusIs(absl::StatusCode::kPermissionDenied))
        << place;
  }
}

TEST(SealedTest, WhatIsNotSealedIsRefused) {
  EXPECT_THAT(Unseal("p", ""), StatusIs(kInvalid));
  EXPECT_THAT(Unseal("p", "FLSEAL1\nshort"), StatusIs(kInvalid));
  EXPECT_EQ(*Unseal("", Seal("", "")), "");
}

}  // namespace
}  // namespace fieldloop
