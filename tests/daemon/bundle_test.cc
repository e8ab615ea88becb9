// SPDX-License-Identifier: Apache-2.0
#include "daemon/bundle.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/digest.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

const std::string kHash(64, 'a');

TEST(Sums, AreReadBackWhateverTheNames) {
  const Sums sums = {{"a b", kHash},       {"dir/c", std::string(64, '0')},
                     {"new\nline", kHash}, {"back\\slash", kHash},
                     {" lead", kHash},     {"*star", kHash}};
  const auto back = read_sums(write_sums(sums));
  ASSERT_TRUE(back) << back.error().context;
  EXPECT_EQ(*back, sums);
}

// The other program that reads and writes them.
TEST(Sums, AreThoseOfSha256sum) {
  TempDir dir;
  Sums sums;
  for (const std::string name : {"plain", "new\nline", "back\\slash"}) {
    write_file(dir / name, name);
    sums[name] = sha256_hex(as_bytes(name));
  }
  write_file(dir / "ours", write_sums(sums));
  const std::string in = "cd '" + dir.path() + "' && ";
  EXPECT_EQ(std::system((in + "sha256sum -c --status ours").c_str()), 0);
  ASSERT_EQ(std::system((in + "sha256sum -b plain new* back* > theirs").c_str()), 0);
  EXPECT_EQ(*read_sums(read_file(dir / "theirs")), sums);
}

TEST(Sums, LinesThatAreNoneAreNamed) {
  for (const std::string& bad :
       {kHash, kHash + " x", kHash + "  ", "x" + kHash + "  a", std::string(64, 'A') + "  a",
        "\\" + kHash + "  bad\\x", "\\" + kHash + "  end\\", std::string()}) {
    const auto read = read_sums(kHash + "  first\n" + bad + "\n");
    ASSERT_FALSE(read) << bad;
    EXPECT_NE(read.error().context.find("line 2"), std::string::npos) << read.error().context;
  }
  const auto twice = read_sums(kHash + "  a\n" + kHash + "  a\n");
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().context.find("second"), std::string::npos);
  EXPECT_TRUE(read_sums(kHash + "  no newline at the end"));
  EXPECT_TRUE(read_sums("")->empty());
}

TEST(Sums, AreOfAMillionFilesAtMost) {
  std::string text;
  for (int i = 0; i < 1'000'002; ++i) text += kHash + "  " + std::to_string(i) + "\n";
  const auto read = read_sums(text);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().context.find("million"), std::string::npos);
}

class ManifestTest : public testing::Test {
 protected:
  static Manifest sample() {
    Manifest manifest;
    manifest.info.id = {hub::RepoType::kDataset, "org/name"};
    manifest.info.commit = std::string(40, 'c');
    manifest.info.last_modified = 1'700'000'000;
    manifest.info.gate = hub::Gate::kManual;
    manifest.revision = "refs/pr/1";
    const auto lfs = ContentId::create(ContentId::Algorithm::kSha256, kHash, 9);
    const auto git = ContentId::create(ContentId::Algorithm::kGitSha1, std::string(40, 'b'), 2);
    manifest.files = {{hub::TreeEntry::Kind::kFile, "dir/w \"q\".bin", 9, true, *lfs},
                      {hub::TreeEntry::Kind::kFile, "a", 2, false, *git},
                      {hub::TreeEntry::Kind::kFile, "masked", 7, true, {}}};
    return manifest;
  }
  static std::string with(const std::string& from, const std::string& to) {
    std::string json = sample().to_json();
    const std::size_t at = json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return json.replace(at, from.size(), to);
  }
};

TEST_F(ManifestTest, IsReadBack) {
  const Manifest manifest = sample();
  const auto back = Manifest::parse(manifest.to_json());
  ASSERT_TRUE(back) << back.error().context;
  EXPECT_EQ(back->info.id, manifest.info.id);
  EXPECT_EQ(back->info.commit, manifest.info.commit);
  EXPECT_EQ(back->info.last_modified, manifest.info.last_modified);
  EXPECT_EQ(back->info.gate, hub::Gate::kManual);
  EXPECT_FALSE(back->info.is_private);
  EXPECT_EQ(back->revision, "refs/pr/1");
  ASSERT_EQ(back->files.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(back->files[i].path, manifest.files[i].path);
    EXPECT_EQ(back->files[i].size, manifest.files[i].size);
    EXPECT_EQ(back->files[i].is_lfs, manifest.files[i].is_lfs);
    EXPECT_EQ(back->files[i].content, manifest.files[i].content);
  }
}

TEST_F(ManifestTest, OfAnotherFormIsRefused) {
  for (const std::string& bad :
       {std::string("{}"), std::string("[]"), std::string(""),
        with("\"hubvfs_bundle\":1", "\"hubvfs_bundle\":2"), with("\"datasets\"", "\"buckets\""),
        with("org/name", "../name"), with("cccc", "main"), with("refs/pr/1", "../x"),
        with("\"manual\"", "\"perhaps\""), with("\"size\":9", "\"size\":-9"),
        with("\"size\":9", "\"size\":\"9\""), with("\"private\":false", "\"private\":0")}) {
    EXPECT_FALSE(Manifest::parse(bad)) << bad;
  }
  // Ids that are none are no ids.
  const auto masked = Manifest::parse(with("sha256:aa", "sha256:**"));
  ASSERT_TRUE(masked);
  EXPECT_FALSE(masked->files[0].content);
  // Of a commit of very many files.
  const std::string much(33u << 20, ' ');
  EXPECT_TRUE(Manifest::parse(with("\"files\":", "\"files\":" + much)));
  // What a later version adds is nothing to us.
  EXPECT_TRUE(Manifest::parse(with("\"files\":", "\"new\":{\"a\":[1]},\"files\":")));
}

}  // namespace
}  // namespace hubvfs::daemon
