// SPDX-License-Identifier: Apache-2.0
#include "fs/known_commits.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cache/memory_cache.h"
#include "fs/metadata_keys.h"

namespace hubvfs::fs {
namespace {

const std::string kCommit(40, 'a');

TEST(MetadataKeys, AreReadBackAndOthersAreNone) {
  const MetadataKey key{"http://hub", hub::RepoType::kDataset, "tree",
                        std::string_view("org/name\0rest", 13)};
  const std::string text = key.text();
  const auto back = MetadataKey::parse(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->endpoint, "http://hub");
  EXPECT_EQ(back->type, hub::RepoType::kDataset);
  EXPECT_EQ(back->kind, "tree");
  EXPECT_EQ(back->rest, key.rest);
  using namespace std::string_literals;
  for (const std::string& bad : {""s, "a"s, "a\0models"s, "a\0models\0tree"s}) {
    EXPECT_FALSE(MetadataKey::parse(bad)) << bad;
  }
  EXPECT_FALSE(MetadataKey::parse("http://hub\0buckets\0tree\0x"s));
  EXPECT_TRUE(MetadataKey::parse("http://hub\0models\0ref\0"s));
  const std::string rest = commit_rest("org/name", kCommit);
  EXPECT_EQ(parse_commit_rest(rest)->first, "org/name");
  EXPECT_EQ(parse_commit_rest(rest)->second, kCommit);
  EXPECT_FALSE(parse_commit_rest("org/name"));
  EXPECT_FALSE(parse_commit_rest("org/name\0main"s));
  EXPECT_EQ(listing_rest("org/name", kCommit, ""), rest);
  const std::string long_path(4000, 'x');
  EXPECT_LT(listing_rest("org/name", kCommit, long_path).size(), 200u) << "a key has a limit";
  EXPECT_NE(listing_rest("org/name", kCommit, "a"), listing_rest("org/name", kCommit, "b"));
  for (const std::string& directory : {std::string(), std::string("a"), long_path}) {
    EXPECT_EQ(parse_listing_rest(listing_rest("org/name", kCommit, directory))->second, kCommit);
  }
  EXPECT_FALSE(parse_listing_rest("org/name\0main"s));
}

TEST(MetadataKeys, APlacedRecordSurvivesAndADamagedOneIsNone) {
  PlacedRecord record;
  record.place = {"org/name", "v1"};
  record.info.id = {hub::RepoType::kSpace, "org/name"};
  record.info.commit = kCommit;
  record.info.gate = hub::Gate::kManual;
  record.space = "u7";
  const Bytes bytes = record.encode();
  const auto back = PlacedRecord::decode(bytes, hub::RepoType::kSpace);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->place.text(), "org/name@v1");
  EXPECT_EQ(back->info.gate, hub::Gate::kManual);
  EXPECT_EQ(back->space, "u7");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(PlacedRecord::decode(ByteView(bytes).first(size), hub::RepoType::kSpace));
  }
}

TEST(MetadataKeys, AFolderRecordSurvivesAndADamagedOneIsNone) {
  const Bytes bytes = FolderRecord{7, 9, "data/train"}.encode();
  const auto back = FolderRecord::decode(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->parent, 7u);
  EXPECT_EQ(back->entry, 9u);
  EXPECT_EQ(back->directory, "data/train");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(FolderRecord::decode(ByteView(bytes).first(size)));
  }
  EXPECT_FALSE(FolderRecord::decode(FolderRecord{7, 9, "../x"}.encode()));
}

class KnownCommitsTest : public testing::Test {
 protected:
  static Snapshot listing(const std::vector<std::string>& paths) {
    std::vector<hub::TreeEntry> entries;
    for (const std::string& path : paths) {
      entries.push_back({hub::TreeEntry::Kind::kFile, path, 5, false,
                         *ContentId::create(ContentId::Algorithm::kGitSha1,
                                            std::string(39, '0') + path.back(), 5)});
    }
    return Snapshot::build(entries);
  }
  void put_listing(const std::string& space, const std::string& repo, const Snapshot& snapshot) {
    const std::string rest = commit_rest(repo, kCommit);
    const auto put =
        meta_.put(space, MetadataKey{"http://hub", hub::RepoType::kModel, "tree", rest}.text(),
                  snapshot.encode());
    ASSERT_TRUE(put);
  }
  std::vector<KnownCommit> known() {
    std::vector<KnownCommit> all;
    EXPECT_TRUE(for_each_known_commit(
        meta_, "u7",
        [&](const KnownCommit& commit, const ListingParts&) { all.push_back(commit); }));
    return all;
  }
  cache::MemoryMetaStore meta_;
};

TEST_F(KnownCommitsTest, ListingsOfBothNamespacesAndNoDamagedOnes) {
  put_listing("public", "org/one", listing({"a", "b"}));
  put_listing("u7", "org/two", listing({"a"}));
  put_listing("u8", "org/others", listing({"a"}));
  const std::string rest = commit_rest("org/bad", kCommit);
  ASSERT_TRUE(meta_.put("public",
                        MetadataKey{"http://hub", hub::RepoType::kModel, "tree", rest}.text(),
                        as_bytes("damaged")));
  ASSERT_TRUE(meta_.put("public", "no key of ours", as_bytes("x")));
  const auto all = known();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].repo.name, "org/one");
  EXPECT_EQ(all[0].space, "public");
  EXPECT_EQ(all[1].repo.name, "org/two");
  EXPECT_EQ(all[1].space, "u7");
}

TEST_F(KnownCommitsTest, TheDirectoriesOfOneCommitAreItsListing) {
  const Snapshot whole = listing({"a", "d/b", "d/e/c", "g/d"});
  const auto put_part = [&](const std::string& repo, const std::string& directory) {
    const std::string rest = listing_rest(repo, kCommit, directory);
    ASSERT_TRUE(meta_.put("public",
                          MetadataKey{"http://hub", hub::RepoType::kModel, "tree", rest}.text(),
                          whole.alone(*whole.find(directory)).encode()));
  };
  for (const char* directory : {"", "d", "d/e"}) put_part("org/one", directory);
  put_listing("public", "org/two", listing({"a"}));
  std::map<std::string, std::set<cache::BlobKey>> blobs;
  std::map<std::string, bool> partial;
  const auto look = [&] {
    ASSERT_TRUE(for_each_known_commit(meta_, "u7",
                                      [&](const KnownCommit& commit, const ListingParts& parts) {
                                        EXPECT_EQ(commit.commit, kCommit);
                                        for (cache::BlobKey& blob : blobs_of(commit.space, parts)) {
                                          blobs[commit.repo.name].insert(std::move(blob));
                                        }
                                        partial[commit.repo.name] = commit.partial;
                                      }));
  };
  look();
  EXPECT_EQ(partial, (std::map<std::string, bool>{{"org/one", true}, {"org/two", false}}));
  EXPECT_EQ(blobs["org/one"].size(), 3u);
  put_part("org/one", "g");
  look();
  EXPECT_EQ(partial["org/one"], false);
  EXPECT_EQ(blobs["org/one"].size(), 4u);
  Pins pins(meta_, "u7");
  const Pin pin{"http://hub", {hub::RepoType::kModel, "org/one"}, "", kCommit, "public"};
  EXPECT_EQ(pins.blobs({pin})->size(), 4u);
}

TEST_F(KnownCommitsTest, AnEvictionIsNotedAndForgotten) {
  put_listing("public", "org/one", listing({"a"}));
  EXPECT_FALSE(known().front().evicted);
  ASSERT_TRUE(note_evicted(meta_, known().front(), true));
  EXPECT_TRUE(known().front().evicted);
  ASSERT_TRUE(note_evicted(meta_, known().front(), false));
  EXPECT_FALSE(known().front().evicted);
  ASSERT_TRUE(note_evicted(meta_, known().front(), false));
}

TEST_F(KnownCommitsTest, PinsOfAllEndpointsAndNoDamagedOnes) {
  Pins pins(meta_, "u7");
  const Pin one{"http://hub", {hub::RepoType::kModel, "org/one"}, "", kCommit, "public"};
  const Pin tag{"http://hub", {hub::RepoType::kModel, "org/one"}, "refs/pr/1", kCommit, "public"};
  const Pin far{"https://far", {hub::RepoType::kSpace, "org/two"}, "v1", kCommit, "u7"};
  for (const Pin& pin : {one, tag, far}) ASSERT_TRUE(pins.put(pin));
  ASSERT_TRUE(pins.put(one));
  using namespace std::string_literals;
  ASSERT_TRUE(meta_.put("u7", "pin\0models\0http://hub\0org/bad\0"s, as_bytes("x")));
  const auto all = pins.all();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ((*all)[1].revision, "refs/pr/1");
  EXPECT_EQ((*all)[2].endpoint, "https://far");
  EXPECT_EQ((*all)[2].repo.type, hub::RepoType::kSpace);
  EXPECT_EQ((*all)[2].space, "u7");
  put_listing("public", "org/one", listing({"a", "b", "dir/b"}));
  const auto blobs = pins.blobs(*all);
  ASSERT_TRUE(blobs);
  EXPECT_EQ(blobs->size(), 2u) << "each content once, and nothing of what is not listed";
  ASSERT_TRUE(pins.erase(tag));
  EXPECT_EQ(pins.all()->size(), 2u);
}

}  // namespace
}  // namespace hubvfs::fs
