// SPDX-License-Identifier: Apache-2.0
#include "base/content_id.h"

#include <gtest/gtest.h>

#include "base/digest.h"

namespace hubvfs {
namespace {

using Algorithm = ContentId::Algorithm;

TEST(ContentId, MaskedAndMalformedIdsAreNeverKeys) {
  for (const std::string& bad : {std::string(64, '*'), std::string(63, 'a'), std::string(65, 'a'),
                                 std::string(64, 'A'), std::string(64, 'g'), std::string()}) {
    EXPECT_FALSE(ContentId::create(Algorithm::kSha256, bad, 1)) << bad;
  }
  EXPECT_FALSE(ContentId::create(Algorithm::kGitSha1, std::string(64, 'a'), 1));
}

TEST(ContentId, TextAndRawHashAreTheSameId) {
  const std::string hex = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
  const auto id = ContentId::create(Algorithm::kGitSha1, hex, 0);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->to_string(), "git-sha1:" + hex);
  EXPECT_EQ(*ContentId::from_hash(
                Algorithm::kGitSha1,
                std::as_bytes(std::span(id->hash())).first(id->hash_size()), 0),
            *id);
  EXPECT_FALSE(ContentId::from_hash(Algorithm::kSha256, as_bytes("short"), 0));
}

TEST(ContentId, TheSameHashOfAnotherSizeIsAnotherId) {
  const std::string hex(64, 'a');
  EXPECT_NE(*ContentId::create(Algorithm::kSha256, hex, 1),
            *ContentId::create(Algorithm::kSha256, hex, 2));
}

// hub-protocol D.6: git's id of an empty file, and SHA-256 as everybody knows it.
TEST(Digest, IsWhatTheHubNamesContentBy) {
  const auto empty = ContentId::create(Algorithm::kGitSha1, std::string(40, '0'), 0);
  EXPECT_EQ(Digest::for_content(*empty).finish_hex(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  const auto hello = ContentId::create(Algorithm::kGitSha1, std::string(40, '0'), 6);
  Digest git = Digest::for_content(*hello);
  git.update(as_bytes("hel"));
  git.update(as_bytes("lo\n"));
  EXPECT_EQ(git.finish_hex(), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(sha256_hex(as_bytes("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace hubvfs
