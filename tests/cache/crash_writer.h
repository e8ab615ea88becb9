// SPDX-License-Identifier: Apache-2.0
// A process that uses a cache until it is ended, what it was promised meanwhile, and a look at what
// it left.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {

inline constexpr unsigned kBlobs = 8;
inline constexpr unsigned kKeys = 10;
inline constexpr std::uint64_t kTight = 20 * kTestBlock;
inline constexpr std::uint64_t kRoomy = 1u << 30;

inline const TestBlob& blob_of(unsigned number) {
  static const std::vector<TestBlob> kAll = [] {
    std::vector<TestBlob> made;
    for (unsigned i = 0; i < kBlobs; ++i) {
      made.push_back(make_blob(i % 3 == 0 ? 20000 + i : 4 * kTestBlock + i, 500 + i));
    }
    return made;
  }();
  return kAll[number];
}

inline std::string key_of(unsigned number) { return "key" + std::to_string(number); }

// What a writer was promised, in memory that outlives it.
struct Promises {
  // Of each blob: the blocks that a flush which succeeded covered, one bit each.
  std::array<std::atomic<std::uint32_t>, kBlobs> flushed{};
  // Of each key: the number in the value whose put() was begun last, and in the one done last.
  std::array<std::atomic<std::uint32_t>, kKeys> begun{};
  std::array<std::atomic<std::uint32_t>, kKeys> done{};
};

class SharedPromises {
 public:
  SharedPromises()
      : at_(::mmap(nullptr, sizeof(Promises), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0)) {
    if (at_ == MAP_FAILED) std::abort();
    new (at_) Promises;
  }
  ~SharedPromises() { ::munmap(at_, sizeof(Promises)); }
  SharedPromises(const SharedPromises&) = delete;
  SharedPromises& operator=(const SharedPromises&) = delete;
  Promises& operator*() const { return *static_cast<Promises*>(at_); }
  Promises* operator->() const { return &**this; }

 private:
  void* const at_;
};

inline std::string value_of(unsigned key, std::uint32_t number, unsigned padding) {
  return key_of(key) + ":" + std::to_string(number) + ":" + std::string(padding, 'v') + key_of(key);
}

// Fills, reads, drops and notes metadata until it is killed.
class Writer {
 public:
  Writer(DiskCache& cache, Promises& promises, unsigned seed)
      : cache_(cache), promises_(promises), random_(seed) {
    for (unsigned i = 0; i < kBlobs; ++i) handed_[i] = promises_.flushed[i];
  }

  [[noreturn]] void run() {
    for (;;) {
      touch_blob(pick(kBlobs));
      if (pick(4) == 0) flush();
      put_metadata(pick(kKeys));
    }
  }

 private:
  void touch_blob(unsigned number) {
    const TestBlob& source = blob_of(number);
    auto blob = *cache_.blobs().open(source.key, kEndpoint);
    for (std::uint64_t i = 0; i < source.blocks(); ++i) {
      if (pick(4) == 0) continue;
      blob->put(i, source.block(i));
      handed_[number] |= 1u << i;
    }
    if (pick(8) != 0) return;
    promises_.flushed[number] = handed_[number] = 0;
    blob->drop();
  }

  void flush() {
    if (!cache_.blobs().flush()) return;
    for (unsigned i = 0; i < kBlobs; ++i) promises_.flushed[i] = handed_[i];
  }

  void put_metadata(unsigned key) {
    const std::uint32_t number = ++promises_.begun[key];
    const std::string value = value_of(key, number, pick(30000));
    if (cache_.meta().put("public", key_of(key), as_bytes(value))) promises_.done[key] = number;
  }

  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }

  DiskCache& cache_;
  Promises& promises_;
  std::mt19937 random_;
  std::array<std::uint32_t, kBlobs> handed_{};
};

class CrashedCache : public OpenedCache {
 protected:
  using Flushed = std::array<std::uint32_t, kBlobs>;
  static Flushed flushed(const Promises& promises) {
    Flushed copy{};
    std::copy(promises.flushed.begin(), promises.flushed.end(), copy.begin());
    return copy;
  }

  // Every block that is there is right, and those `promised` are there. Returns how many are.
  std::uint64_t check_blocks(const Flushed& promised) {
    std::uint64_t present = 0;
    for (unsigned number = 0; number < kBlobs; ++number) {
      const TestBlob& source = blob_of(number);
      const auto opened = blob(source);
      for (std::uint64_t i = 0; i < source.blocks(); ++i) {
        const auto expected = source.block(i);
        const std::string found = read_text(*opened, i * kTestBlock, expected->size());
        if (found == "<NotFound>") {
          EXPECT_EQ(promised[number] >> i & 1, 0u) << number << "/" << i;
          continue;
        }
        ++present;
        EXPECT_TRUE(found == as_text(*expected)) << number << "/" << i;
      }
    }
    return present;
  }

  // The number in the value of a key, 0 where there is none. The value is one that was put.
  std::uint32_t check_value(unsigned key) {
    const std::string value = get(key_of(key));
    if (value == "<none>") return 0;
    const auto number =
        static_cast<std::uint32_t>(std::atoi(value.c_str() + key_of(key).size() + 1));
    const std::size_t shortest = value_of(key, number, 0).size();
    const std::size_t padding = value.size() < shortest ? 0 : value.size() - shortest;
    EXPECT_TRUE(value == value_of(key, number, static_cast<unsigned>(padding))) << key;
    return number;
  }
};

}  // namespace hubvfs::cache
