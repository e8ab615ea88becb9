// SPDX-License-Identifier: Apache-2.0
#include "cache/index_records.h"

#include <gtest/gtest.h>

#include "tests/cache/blobs.h"

namespace hubvfs::cache {
namespace {

TEST(IndexRecords, KeysComeApartAsTheyWerePutTogether) {
  const BlobKey key = make_blob(100, 1, "u1000").key;
  const auto blob = parse_index_key(blob_index_key(key));
  ASSERT_TRUE(blob && blob->blob);
  EXPECT_EQ(blob->space, "u1000");
  EXPECT_EQ(*blob->blob, key.content);
  EXPECT_FALSE(blob->block);

  const auto git = ContentId::create(ContentId::Algorithm::kGitSha1, std::string(40, 'b'), 7);
  EXPECT_EQ(*parse_index_key(blob_index_key({"public", *git}))->blob, *git);

  const auto use = parse_index_key(use_index_key(key));
  ASSERT_TRUE(use && use->use);
  EXPECT_EQ(*use->use, key.content);
  EXPECT_FALSE(use->blob || use->block);

  const auto block = parse_index_key(block_index_key("public", 258, 1ull << 40));
  ASSERT_TRUE(block && block->block);
  EXPECT_EQ(block->block->number, 258u);
  EXPECT_EQ(block->block->block, 1ull << 40);
}

TEST(IndexRecords, KeysOfANamespaceAreSortedBlobsFirstThenBlocksByNumber) {
  const BlobKey key = make_blob(100, 1).key;
  EXPECT_LT(blob_index_key(key), block_index_key("public", 0, 0));
  EXPECT_LT(block_index_key("public", 1, 300), block_index_key("public", 2, 0));
  EXPECT_LT(block_index_key("public", 1, 255), block_index_key("public", 1, 256));
}

TEST(IndexRecords, ForeignKeysAreNone) {
  const std::string good = blob_index_key(make_blob(100, 1).key);
  EXPECT_FALSE(parse_index_key(""));
  EXPECT_FALSE(parse_index_key("public"));
  EXPECT_FALSE(parse_index_key(state_index_key()));
  EXPECT_FALSE(parse_index_key(good.substr(0, good.size() - 1)));
  EXPECT_FALSE(parse_index_key(std::string("elsewhere\0bx", 12)));
  EXPECT_FALSE(parse_index_key(block_index_key("public", 1, 1) + "x"));
}

TEST(IndexRecords, ValuesComeBack) {
  BlobRecord blob{7, EndpointId::of(kEndpoint), 99, FileStamp{1, 2, 3, 4}};
  auto decoded = decode_blob_record(encode(blob));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->number, 7u);
  EXPECT_EQ(decoded->owner, EndpointId::of(kEndpoint));
  EXPECT_EQ(decoded->trusted_fill, 99u);
  EXPECT_EQ(decoded->verified, blob.verified);
  blob.verified.reset();
  EXPECT_FALSE(decode_blob_record(encode(blob))->verified);

  const auto block = decode_block_record(encode(BlockRecord{1, 2, 3, 4, true}));
  ASSERT_TRUE(block);
  EXPECT_EQ(block->length, 1u);
  EXPECT_EQ(block->checksum, 2u);
  EXPECT_EQ(block->fill, 3u);
  EXPECT_EQ(block->epoch, 4u);

  const auto state = decode_state_record(encode(StateRecord{"boot", true}));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->boot_id, "boot");
  EXPECT_TRUE(state->clean);
}

TEST(IndexRecords, CutOrLongValuesAreNone) {
  const std::string blob = encode(BlobRecord{7, {}, 99, FileStamp{1, 2, 3, 4}});
  const std::string block = encode(BlockRecord{1, 2, 3, 4});
  for (std::size_t cut = 0; cut < blob.size(); ++cut) {
    EXPECT_FALSE(decode_blob_record(std::string_view(blob).substr(0, cut))) << cut;
  }
  EXPECT_FALSE(decode_blob_record(blob + "x"));
  EXPECT_FALSE(decode_block_record(std::string_view(block).substr(1)));
  EXPECT_FALSE(decode_block_record(block + "x"));
  EXPECT_FALSE(decode_state_record("x"));
}

TEST(IndexRecords, FileNamesComeApart) {
  const BlobKey key = make_blob(100, 1).key;
  const std::string name = blob_file_name(key);
  EXPECT_TRUE(name.starts_with(blob_directory_name(key) + "/"));
  EXPECT_EQ(*parse_blob_name(name.substr(name.rfind('/') + 1)), key.content);
  const auto git = ContentId::create(ContentId::Algorithm::kGitSha1, std::string(40, 'b'), 7);
  const std::string git_name = blob_file_name({"u1", *git});
  EXPECT_EQ(*parse_blob_name(git_name.substr(git_name.rfind('/') + 1)), *git);
  for (const char* bad : {"", "x", "sha256-", "sha256-ab-1", "md5-aa-1", "sha256-aa-1.map"}) {
    EXPECT_FALSE(parse_blob_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace hubvfs::cache
