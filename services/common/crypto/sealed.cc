// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/crypto/sealed.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"

namespace fieldloop {
namespace {

constexpr absl::string_view kMark = "FLSEAL1\n";
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::uint64_t kScryptN = 32768;
constexpr std::uint64_t kScryptR = 8;
constexpr std::uint64_t kScryptP = 1;
constexpr std::uint64_t kScryptMemory = 64 << 20;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* freed) const { EVP_CIPHER_CTX_free(freed); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;
using Key = std::array<unsigned char, 32>;

const unsigned char* Bytes(absl::string_view data) {
  return reinterpret_cast<const unsigned char*>(data.data());
}
unsigned char* Bytes(std::string& data) { return reinterpret_cast<unsigned char*>(data.data()); }

Key KeyOf(absl::string_view passphrase, absl::string_view salt) {
  Key key{};
  if (EVP_PBE_scrypt(passphrase.data(), passphrase.size(), Bytes(salt), salt.size(), kScryptN,
                     kScryptR, kScryptP, kScryptMemory, key.data(), key.size()) != 1) {
    std::abort();  // Only without memory.
  }
  return key;
}

}  // namespace

std::string Seal(absl::string_view passphrase, absl::string_view data) {
  const std::string salt = RandomBytes(kSaltBytes);
  const std::string nonce = RandomBytes(kNonceBytes);
  Key key = KeyOf(passphrase, salt);
  const Context context(EVP_CIPHER_CTX_new());
  std::string cipher(data.size(), '\0');
  std::string tag(kTagBytes, '\0');
  int size = 0;
  const bool done =
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), Bytes(nonce)) ==
          1 &&
      EVP_EncryptUpdate(context.get(), Bytes(cipher), &size, Bytes(data),
                        static_cast<int>(data.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), Bytes(tag), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  if (!done) {
    std::abort();  // Only without memory.
  }
  return absl::StrCat(kMark, salt, nonce, cipher, tag);
}

absl::StatusOr<std::string> Unseal(absl::string_view passphrase, absl::string_view sealed) {
  constexpr std::size_t kAround = kMark.size() + kSaltBytes + kNonceBytes + kTagBytes;
  if (!absl::StartsWith(sealed, kMark) || sealed.size() < kAround) {
    return absl::InvalidArgumentError("want sealed data, which begins with FLSEAL1");
  }
  const absl::string_view salt = sealed.substr(kMark.size(), kSaltBytes);
  const absl::string_view nonce = sealed.substr(kMark.size() + kSaltBytes, kNonceBytes);
  const absl::string_view cipher =
      sealed.substr(kMark.size() + kSaltBytes + kNonceBytes, sealed.size() - kAround);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  Key key = KeyOf(passphrase, salt);
  const Context context(EVP_CIPHER_CTX_new());
  std::string data(cipher.size(), '\0');
  int size = 0;
  const bool good =
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), Bytes(nonce)) ==
          1 &&
      EVP_DecryptUpdate(context.get(), Bytes(data), &size, Bytes(cipher),
                        static_cast<int>(cipher.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), Bytes(tag), &size) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  if (!good) {
    return absl::PermissionDeniedError("the passphrase is wrong, or the sealed data was changed");
  }
  return data;
}

}  // namespace fieldloop
