// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_SHARED_H_
#define FIELDLOOP_TESTS_FAULTS_SHARED_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace fieldloop::faults {

// A hash of 64 bits over what is added, in its order: products of 64 x 64 bits, folded.
class Hasher {
 public:
  Hasher& Add(uint64_t value) {
    hash_ = Fold(hash_ ^ value, 0x9e3779b97f4a7c15u);
    return *this;
  }
  Hasher& Add(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    uint64_t words[2];
    for (; size >= sizeof words; size -= sizeof words, bytes += sizeof words) {
      std::memcpy(words, bytes, sizeof words);
      hash_ = Fold(hash_ ^ words[0] ^ 0xa0761d6478bd642fu, words[1] ^ 0xe7037ed1a0b428dbu);
    }
    words[0] = 0;
    words[1] = size;
    if (size > 0) std::memcpy(words, bytes, size < 8 ? size : 8);
    if (size > 8) std::memcpy(words + 1, bytes + 8, size - 8);
    return Add(words[0]).Add(words[1]).Add(size);
  }
  Hasher& Add(const std::string& text) { return Add(text.data(), text.size()); }
  uint64_t Get() const { return Fold(hash_, 0x8ebc6af09c88c6e3u); }

 private:
  __extension__ using Product = unsigned __int128;
  static uint64_t Fold(uint64_t a, uint64_t b) {
    const Product product = static_cast<Product>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  uint64_t hash_ = 0x589965cc75374cc3u;
};

// A value that copies share until one of them changes it, with its hash (T::Hash()) kept beside it.
// For one thread.
template <typename T>
class Shared {
 public:
  Shared() : Shared(T()) {}
  explicit Shared(T value) : box_(new Box{std::move(value)}) {}
  Shared(const Shared& other) : box_(other.box_) { ++box_->owners; }
  Shared(Shared&& other) noexcept : box_(other.box_) { ++box_->owners; }
  Shared& operator=(const Shared& other) {
    ++other.box_->owners;
    Release();
    box_ = other.box_;
    return *this;
  }
  ~Shared() { Release(); }

  const T& operator*() const { return box_->value; }
  const T* operator->() const { return &box_->value; }
  // Of this copy alone.
  T& Change() {
    if (box_->owners > 1) {
      Box* own = new Box{box_->value};
      Release();
      box_ = own;
    }
    box_->hash = 0;
    return box_->value;
  }
  uint64_t Hash() const {
    if (box_->hash == 0) box_->hash = box_->value.Hash();
    return box_->hash;
  }
  // Whether two are copies that nothing was changed in. False says nothing about their values.
  bool Is(const Shared& other) const { return box_ == other.box_; }

 private:
  struct Box {
    T value;
    uint64_t owners = 1;
    uint64_t hash = 0;
  };
  void Release() {
    if (--box_->owners == 0) delete box_;
  }

  Box* box_;
};

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_SHARED_H_
