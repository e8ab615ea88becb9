// SPDX-License-Identifier: Apache-2.0
#include "cache/block_checksum.h"

#include <xxhash.h>

#include <memory>
#include <new>

namespace hubvfs::cache {
namespace {

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

}  // namespace

std::uint64_t checksum64(std::uint64_t seed, ByteView bytes) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t checksum64(std::uint64_t seed, ByteView first, ByteView second) {
  const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
  if (state == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset_withSeed(state.get(), seed);
  XXH3_64bits_update(state.get(), first.data(), first.size());
  XXH3_64bits_update(state.get(), second.data(), second.size());
  return XXH3_64bits_digest(state.get());
}

std::uint64_t block_checksum(const BlobKey& key, std::uint64_t block, ByteView bytes) {
  ByteWriter identity;
  identity.string(key.space);
  identity.integer(static_cast<std::uint8_t>(key.content.algorithm()));
  identity.raw(
      {reinterpret_cast<const std::byte*>(key.content.hash().data()), key.content.hash_size()});
  identity.integer(key.content.size());
  identity.integer(block);
  identity.integer(std::uint64_t{bytes.size()});
  // The identity's own hash is the seed of the data's: one pass over each, nothing joined.
  return checksum64(checksum64(0, identity.bytes()), bytes);
}

}  // namespace hubvfs::cache
