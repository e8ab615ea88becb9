// SPDX-License-Identifier: Apache-2.0
#include "cache/block_checksum.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/cache/blobs.h"

namespace hubvfs::cache {
namespace {

TEST(BlockChecksum, CoversTheDataAndTheIdentity) {
  const TestBlob blob = make_blob(4096, 1);
  const TestBlob other = make_blob(4096, 2);
  const ByteView data = as_bytes(blob.content);
  std::set<std::uint64_t> sums;
  sums.insert(block_checksum(blob.key, 0, data));
  sums.insert(block_checksum(blob.key, 1, data));
  sums.insert(block_checksum({"u1", blob.key.content}, 0, data));
  sums.insert(block_checksum({"public", other.key.content}, 0, data));
  sums.insert(block_checksum(blob.key, 0, data.first(4095)));
  Bytes flipped(data.begin(), data.end());
  flipped[17] ^= std::byte{1};
  sums.insert(block_checksum(blob.key, 0, flipped));
  EXPECT_EQ(sums.size(), 6u);
  EXPECT_EQ(*sums.find(block_checksum(blob.key, 0, data)), block_checksum(blob.key, 0, data));
}

TEST(BlockChecksum, IsTheSameOnEveryMachine) {
  // Written to disk: if this changes, every cache out there is thrown away.
  EXPECT_EQ(checksum64(7, as_bytes("hubvfs")), checksum64(7, as_bytes("hub"), as_bytes("vfs")));
  const BlobKey key{"public", *ContentId::create(ContentId::Algorithm::kGitSha1,
                                                 "ce013625030ba8dba906f756967f9e9ca394464a", 6)};
  EXPECT_EQ(block_checksum(key, 0, as_bytes("hello\n")), 13536230740645306191u);
}

}  // namespace
}  // namespace hubvfs::cache
