// SPDX-License-Identifier: Apache-2.0
#include "daemon/hf_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

const std::string kFirst(40, 'a');
const std::string kSecond(40, 'b');
const std::string kSha1(40, '1');
const std::string kSha256(64, '2');

class HfCacheTest : public testing::Test {
 protected:
  UserFolder folder() {
    const UniqueFd fd(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return std::move(*UserFolder::of(fd.get()));
  }
  void entry(const std::string& repo, const std::string& commit, const std::string& path,
             const std::string& blob) {
    const std::string at = repo + "/snapshots/" + commit + "/" + path;
    write_file(dir_ / (at + ".made"), "");
    ASSERT_EQ(::unlink((dir_ / (at + ".made")).c_str()), 0);
    std::string up = "../../blobs/" + blob;
    for (const char c : path) up = (c == '/' ? "../" : "") + up;
    ASSERT_EQ(::symlink(up.c_str(), (dir_ / at).c_str()), 0);
  }
  std::vector<ImportCommit> commits(const std::string& name) {
    const auto repos = hf_repo_folders(folder());
    for (const HfRepoFolder& repo : *repos) {
      if (repo.folder == name) return *hf_commits(folder(), repo);
    }
    ADD_FAILURE() << "no such repo";
    return {};
  }
  TempDir dir_;
};

TEST_F(HfCacheTest, ReposAreKnownByTheirFoldersNames) {
  for (const char* name :
       {"models--org--name", "datasets--org--data", "spaces--org--app", "models--gpt2", ".locks",
        "kernels--org--k", "models--", "models--a--b--c", "models--..--x", "version.txt.d"}) {
    ASSERT_EQ(::mkdir((dir_ / name).c_str(), 0700), 0);
  }
  write_file(dir_ / "models--org--file", "a file is no repo");
  std::vector<std::string> names;
  const auto repos = hf_repo_folders(folder());
  for (const HfRepoFolder& repo : *repos) {
    names.push_back(std::string(hub::route_prefix(repo.repo.type)) + repo.repo.name);
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"datasets/org/data", "gpt2", "org/name", "spaces/org/app"}));
}

TEST_F(HfCacheTest, CommitsHaveTheirFilesTheirNamesAndTheirListing) {
  const std::string repo = "models--org--name";
  write_file(dir_ / (repo + "/refs/main"), kSecond);
  write_file(dir_ / (repo + "/refs/v1.0"), kFirst + "\n");
  write_file(dir_ / (repo + "/refs/refs/pr/1"), kFirst);
  write_file(dir_ / (repo + "/refs/broken"), "no commit");
  write_file(dir_ / (repo + "/blobs/" + kSha1), "x");
  entry(repo, kFirst, "config.json", kSha1);
  entry(repo, kFirst, "sub/dir/weights.bin", kSha256);
  entry(repo, kSecond, "config.json", kSha1);
  write_file(dir_ / (repo + "/snapshots/" + kSecond + "/plain.txt"), "no link where none can be");
  write_file(dir_ / (repo + "/snapshots/not-a-commit/x"), "");
  write_file(dir_ / (repo + "/trees/" + kSecond + ".json"),
             "{\"format_version\":1,\"files\":{\"config.json\":{\"size\":1,\"blob_id\":\"" + kSha1 +
                 "\"}}}");
  const auto found = commits(repo);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].info.commit, kFirst);
  EXPECT_EQ(found[0].revisions, (std::vector<std::string>{"refs/pr/1", "v1.0"}));
  EXPECT_EQ(found[0].listing, nullptr);
  ASSERT_EQ(found[0].files.size(), 2u);
  EXPECT_EQ(found[0].files[1].path, "sub/dir/weights.bin");
  EXPECT_EQ(found[0].files[1].source, repo + "/snapshots/" + kFirst + "/sub/dir/weights.bin");
  EXPECT_EQ(found[1].revisions, (std::vector<std::string>{"", "main"}));
  ASSERT_NE(found[1].listing, nullptr);
  EXPECT_TRUE(found[1].listing->find("config.json"));
  EXPECT_EQ(found[1].files.size(), 2u);
  EXPECT_TRUE(found[1].info.is_private) << "the cache does not tell, so it is nobody else's";
  struct stat info {};
  ASSERT_EQ(::stat((dir_ / (repo + "/refs/main")).c_str(), &info), 0);
  EXPECT_EQ(found[1].info.last_modified, info.st_mtim.tv_sec);
}

TEST_F(HfCacheTest, ARepoWithNothingInItHasNoCommits) {
  ASSERT_EQ(::mkdir((dir_ / "models--org--empty").c_str(), 0700), 0);
  EXPECT_TRUE(commits("models--org--empty").empty());
  TempDir other;
  write_file(other / "config.json", "{}");
  const UniqueFd fd(::open(other.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(hf_repo_folders(*UserFolder::of(fd.get()))->empty());
}

TEST_F(HfCacheTest, TreesAreReadWithDotsInTheirNamesAndNoneOfAnotherFormat) {
  const std::string files = "{\"a.b/c.json\":{\"size\":3,\"blob_id\":\"" + kSha1 +
                            "\"},\"w.safetensors\":{\"size\":134,\"blob_id\":\"" + kSha1 +
                            "\",\"lfs_sha256\":\"" + kSha256 +
                            "\",\"lfs_size\":99,\"xet_hash\":\"x\"}}";
  const auto tree = read_hf_tree("{\"format_version\":1,\"files\":" + files + "}");
  ASSERT_TRUE(tree) << tree.error().context;
  ASSERT_EQ(tree->size(), 2u);
  EXPECT_EQ((*tree)[0].path, "a.b/c.json");
  EXPECT_EQ((*tree)[0].size, 3u);
  EXPECT_EQ((*tree)[0].content->to_string(), "git-sha1:" + kSha1);
  EXPECT_EQ((*tree)[1].path, "w.safetensors");
  EXPECT_EQ((*tree)[1].size, 99u);
  EXPECT_TRUE((*tree)[1].is_lfs);
  EXPECT_EQ((*tree)[1].content->to_string(), "sha256:" + kSha256);
  for (const std::string& bad :
       {std::string(), std::string("{}"), "{\"format_version\":2,\"files\":" + files + "}",
        std::string("{\"format_version\":1,\"files\":{\"a\":{\"size\":-1}}}"),
        std::string("{\"format_version\":1,\"files\":{\"a\":{\"size\":\"1\"}}}")}) {
    EXPECT_FALSE(read_hf_tree(bad)) << bad;
  }
}

}  // namespace
}  // namespace hubvfs::daemon
