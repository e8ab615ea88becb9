// SPDX-License-Identifier: Apache-2.0
// What of a folder is served, and when: hashing, settling, changes, symlinks, hostile names.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "base/digest.h"
#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {
namespace {

namespace fs = std::filesystem;

class Catalog : public ServedFolder {
 protected:
  Names files(const std::string& repo) const {
    return column(get("/api/models/" + repo + "/tree/main?recursive=true").body, "path");
  }
  // The repo's commit once it is another one than `before`.
  std::string new_commit(const std::string& repo, const std::string& before) {
    std::string now;
    eventually([&] {
      later();
      const HttpReply reply = get("/api/models/" + repo);
      now = reply.status == 200 ? flat_json(reply.body)["sha"] : "";
      return !now.empty() && now != before;
    });
    return now;
  }
};

TEST_F(Catalog, ServesAtOnceWhateverIsThere) {
  serve();
  EXPECT_EQ(get("/api/models").body, "[]");
  put("acme/new/f", "x");
  EXPECT_TRUE(eventually([&] {
    later();
    return get("/api/models/acme/new").status == 200;
  }));
}

TEST_F(Catalog, ChangedFileMakesANewCommitAndTheOldOneIsGone) {
  put("acme/m/f.txt", "one");
  put("acme/m/g.txt", "same");
  serve();
  const std::string before = sha_of("acme/m");
  put("acme/m/f.txt", "two!");
  const std::string after = new_commit("acme/m", before);
  ASSERT_NE(after, before);
  EXPECT_EQ(get("/api/resolve-cache/models/acme/m/" + after + "/f.txt").body, "two!");
  EXPECT_EQ(get("/acme/m/resolve/" + before + "/g.txt").header("x-error-code"), "RevisionNotFound");
}

TEST_F(Catalog, SameContentIsTheSameCommit) {
  put("acme/m/f.txt", "one");
  serve();
  const std::string before = sha_of("acme/m");
  put("acme/m/g.txt", "more");
  const std::string between = new_commit("acme/m", before);
  fs::remove(root_ / "acme/m/g.txt");
  EXPECT_EQ(new_commit("acme/m", between), before);
}

TEST_F(Catalog, FileChangedBeforeTheFolderWasLookedAtAgainIsNotServedAsTheOldOne) {
  put("acme/m/f.txt", "one");
  serve();
  const std::string before = sha_of("acme/m");
  put("acme/m/f.txt", "not one");
  // No time has passed: the catalog still has the old commit.
  EXPECT_EQ(get("/api/resolve-cache/models/acme/m/" + before + "/f.txt").header("x-error-code"),
            "RevisionNotFound");
  EXPECT_TRUE(eventually([&] { return sha_of("acme/m") != before; })) << "it looked on its own";
}

TEST_F(Catalog, ChangedLfsFileIsGoneFromItsSignedUrl) {
  put("acme/m/.gitattributes", "*.bin filter=lfs\n");
  put("acme/m/w.bin", "weights");
  serve();
  const std::string location = get("/acme/m/resolve/main/w.bin").header("location");
  EXPECT_EQ(get_content(location).status, 200);
  put("acme/m/w.bin", "other weights");
  EXPECT_EQ(get_content(location).status, 404);
}

TEST_F(Catalog, DeletedReposVanish) {
  put("acme/a/f", "x");
  put("acme/b/f", "x");
  serve();
  fs::remove_all(root_ / "acme/a");
  later();
  EXPECT_EQ(get("/api/models/acme/a").status, 401);
  EXPECT_EQ(column(get("/api/models").body, "id"), Names{"acme/b"});
}

TEST_F(Catalog, FilesThatJustChangedWait) {
  put("acme/m/f.txt", "one");
  struct stat status {};
  ASSERT_EQ(::stat((root_ / "acme/m/f.txt").c_str(), &status), 0);
  wall_clock_.wall = status.st_ctim.tv_sec + 1;
  options_.root = root_.path();
  options_.settle_seconds = 2;
  auto started = HubServer::start(options_, log_, wall_clock_);
  ASSERT_TRUE(started);
  server_ = std::move(*started);
  EXPECT_EQ(get("/api/models/acme/m").status, 401);
  wall_clock_.wall = status.st_ctim.tv_sec + 2;
  wall_clock_.manual.advance(std::chrono::seconds(30));
  EXPECT_EQ(get("/api/models/acme/m").status, 401);
  wall_clock_.wall = status.st_ctim.tv_sec + 3;
  EXPECT_TRUE(eventually([&] {
    wall_clock_.manual.advance(std::chrono::seconds(30));
    return get("/api/models/acme/m").status == 200;
  }));
}

TEST_F(Catalog, RepoThatNeverRestsIsServedWithoutWhatChanges) {
  put("acme/m/stays.txt", "one");
  put("acme/m/goes.txt", "two");
  struct stat status {};
  ASSERT_EQ(::stat((root_ / "acme/m/goes.txt").c_str(), &status), 0);
  wall_clock_.wall = status.st_ctim.tv_sec + 1000;
  options_.root = root_.path();
  options_.settle_seconds = 100;
  auto started = HubServer::start(options_, log_, wall_clock_);
  ASSERT_TRUE(started);
  server_ = std::move(*started);
  ASSERT_TRUE(eventually([&] { return get("/api/models/acme/m").status == 200; }));
  fs::remove(root_ / "acme/m/goes.txt");
  put("acme/m/restless.txt", "changes all the time");
  ASSERT_EQ(::stat((root_ / "acme/m/restless.txt").c_str(), &status), 0);
  wall_clock_.wall = status.st_ctim.tv_sec;
  wall_clock_.manual.advance(std::chrono::seconds(30));
  EXPECT_EQ(files("acme/m"), (Names{"goes.txt", "stays.txt"})) << "the commit before stays";
  wall_clock_.wall = status.st_ctim.tv_sec + 60;
  wall_clock_.manual.advance(std::chrono::seconds(30));
  EXPECT_EQ(files("acme/m"), Names{"stays.txt"});
  wall_clock_.wall = status.st_ctim.tv_sec + 101;
  EXPECT_TRUE(eventually([&] {
    wall_clock_.manual.advance(std::chrono::seconds(30));
    return files("acme/m") == Names{"restless.txt", "stays.txt"};
  }));
}

TEST_F(Catalog, HashesAreKeptAcrossRestartsAndFilesNotReadAgain) {
  put("acme/m/f.txt", std::string(100'000, 'x'));
  put("acme/m/big.bin", random_bytes(11u << 20, 1));
  options_.state_dir = other_ / "state";
  serve();
  const std::string sha = sha_of("acme/m");
  EXPECT_EQ(server_->progress().bytes_hashed, 100'000u + (11u << 20));
  server_.reset();
  serve();
  EXPECT_EQ(sha_of("acme/m"), sha);
  EXPECT_EQ(server_->progress().bytes_hashed, 0u);
  server_.reset();
  write_file(other_ / "state/hashes", "damaged\n");
  serve();
  EXPECT_EQ(sha_of("acme/m"), sha);
  EXPECT_EQ(server_->progress().bytes_hashed, 100'000u + (11u << 20));
}

TEST_F(Catalog, OnlyChangedFilesAreHashedAgain) {
  put("acme/m/f.txt", std::string(1000, 'x'));
  put("acme/m/g.txt", std::string(500, 'x'));
  serve();
  const std::string before = sha_of("acme/m");
  put("acme/m/g.txt", std::string(700, 'y'));
  ASSERT_NE(new_commit("acme/m", before), before);
  EXPECT_EQ(server_->progress().bytes_hashed, 2200u);
}

TEST_F(Catalog, RequestsWhileAFileIsHashedDoNotQueueItAgain) {
  const std::uint64_t size = 64u << 20;
  put("acme/m/large.bin", std::string(size, 'x'));
  options_.root = root_.path();
  options_.settle_seconds = 0;
  auto started = HubServer::start(options_, log_, clock_);
  ASSERT_TRUE(started);
  server_ = std::move(*started);
  std::uint64_t most = 0;
  EXPECT_TRUE(eventually([&] {
    later();
    most = std::max(most, server_->progress().bytes_to_hash);
    return get("/api/models/acme/m").status == 200;
  }));
  EXPECT_EQ(most, size);
  EXPECT_EQ(server_->progress().bytes_hashed, size);
}

TEST_F(Catalog, ProgressCountsReposAndBytes) {
  put("acme/a/f", std::string(10, 'x'));
  put("datasets/acme/b/f", std::string(20, 'x'));
  put("acme/wrong/.hubvfs-repo.json", "{");
  serve();
  ASSERT_TRUE(eventually([&] { return server_->progress().repos_found == 2; }));
  const auto progress = server_->progress();
  EXPECT_EQ(progress.repos_ready, 2u) << "a withheld repo is not waited for";
  EXPECT_EQ(progress.bytes_to_hash, 30u);
  EXPECT_EQ(progress.bytes_hashed, 30u);
}

TEST_F(Catalog, GitFoldersAndWhatDownloadsLeaveAreNoContent) {
  put("acme/m/f", "x");
  put("acme/m/.git/config", "x");
  put("acme/m/sub/.git", "gitdir: ../..");
  put("acme/m/sub/g", "x");
  put("acme/m/.cache/huggingface/download/f.metadata", "x");
  put("acme/m/.cache/kept", "x");
  put("acme/m/.hubvfs-repo.json", "{}");
  serve();
  EXPECT_EQ(files("acme/m"), (Names{".cache", ".cache/kept", "sub", "sub/g", "f"}));
}

TEST_F(Catalog, EmptyDirectoriesDoNotExist) {
  put("acme/m/f", "x");
  fs::create_directories(root_ / "acme/m/a/b");
  serve();
  EXPECT_EQ(files("acme/m"), Names{"f"});
}

TEST_F(Catalog, SymlinksAreFollowedToFilesBeneathTheRootOnly) {
  write_file(other_ / "outside", "outside");
  put("acme/blobs/blob", "inside");
  put("acme/m/real.txt", "real");
  const auto link = [&](const std::string& target, const std::string& name) {
    ASSERT_EQ(::symlink(target.c_str(), (root_ / ("acme/m/" + name)).c_str()), 0);
  };
  link("real.txt", "to-file");
  link("../blobs/blob", "to-other-repo");
  link("../blobs", "to-directory");
  link(other_ / "outside", "absolute");
  link("../../../../../../../../etc/passwd", "climbing");
  link("nowhere", "dangling");
  link("loop", "loop");
  link("/proc/self/environ", "magic");
  link("..", "up");
  serve();
  EXPECT_EQ(files("acme/m"), (Names{"real.txt", "to-file", "to-other-repo"}));
  EXPECT_EQ(get(get("/acme/m/resolve/main/to-other-repo").header("location")).body, "inside");
  EXPECT_EQ(get("/acme/m/resolve/main/absolute").status, 404);
  EXPECT_NE(log_.text().find("7 left out"), std::string::npos) << log_.text();
}

TEST_F(Catalog, FileReplacedByASymlinkToTheOutsideIsNotServed) {
  write_file(other_ / "secret", "secret");
  put("acme/m/d/f", "fine");
  serve();
  const std::string sha = sha_of("acme/m");
  fs::remove(root_ / "acme/m/d/f");
  ASSERT_EQ(::symlink((other_ / "secret").c_str(), (root_ / "acme/m/d/f").c_str()), 0);
  const HttpReply reply = get("/api/resolve-cache/models/acme/m/" + sha + "/d/f");
  EXPECT_EQ(reply.status / 100, 5) << "refused by the kernel, not known to be gone";
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
  fs::remove_all(root_ / "acme/m/d");
  write_file(other_ / "dir/f", "fine");
  ASSERT_EQ(::symlink((other_ / "dir").c_str(), (root_ / "acme/m/d").c_str()), 0);
  EXPECT_NE(get("/api/resolve-cache/models/acme/m/" + sha + "/d/f").status, 200);
}

TEST_F(Catalog, SymlinkedRepoAndOwnerFoldersAreNotServed) {
  write_file(other_ / "repo/f", "outside");
  put("acme/m/f", "x");
  ASSERT_EQ(::symlink((other_ / "repo").c_str(), (root_ / "acme/linked").c_str()), 0);
  ASSERT_EQ(::symlink("acme", (root_ / "alias").c_str()), 0);
  serve();
  EXPECT_EQ(get("/api/models/acme/linked").status, 401);
  EXPECT_EQ(get("/api/models/alias/m").status, 401);
  EXPECT_EQ(column(get("/api/models").body, "id"), Names{"acme/m"});
}

TEST_F(Catalog, DotDotInRequestsReachesNothing) {
  put("acme/m/f", "x");
  put("acme/private/f", "private");
  put("acme/private/.hubvfs-repo.json", R"({"private": true})");
  write_file(other_ / "secret", "secret");
  serve();
  const std::string up = "../../../../../../../../../..";
  for (const char* target :
       {"/acme/m/resolve/main/../../private/f", "/acme/m/resolve/main/%2e%2e/%2e%2e/private/f",
        "/acme/m/resolve/main/..%2f..%2fprivate%2ff", "/acme/m/raw/main/../private/f",
        "/acme/../acme/private/resolve/main/f", "/../etc/resolve/main/passwd",
        "/api/models/acme/m/tree/main/..", "/api/models/../m/tree/main",
        "/api/models/acme/..%2fprivate", "/api/resolve-cache/models/acme/m/main/../private/f"}) {
    const HttpReply reply = get(target);
    EXPECT_TRUE(reply.status == 404 || reply.status == 401) << target << " " << reply.status;
    EXPECT_EQ(reply.body.find("private/f\""), std::string::npos) << target;
  }
  EXPECT_EQ(get("/acme/m/resolve/main/" + up + (other_ / "secret")).status, 404);
  EXPECT_EQ(get("/acme/m/resolve/main//etc/passwd").status, 404);
}

TEST_F(Catalog, HostileNamesAndSpecialFilesAreLeftOut) {
  put("acme/m/fine\n\x01name", "odd but fine");
  put("acme/m/bad\xff"
      "utf8",
      "x");
  ASSERT_EQ(::mkfifo((root_ / "acme/m/fifo").c_str(), 0600), 0);
  put("acme/--/f", "no repo name");
  put("a--b/m/f", "no repo name");
  put("api/m/f", "reserved");
  serve();
  EXPECT_EQ(files("acme/m"), Names{"fine\n\x01name"});
  const HttpReply reply = get("/acme/m/resolve/main/fine%0A%01name");
  ASSERT_EQ(reply.status, 307);
  const HttpReply file = get(reply.header("location"));
  EXPECT_EQ(file.body, "odd but fine");
  EXPECT_NE(file.header("content-disposition").find("filename=\"fine??name\""), std::string::npos);
  EXPECT_EQ(column(get("/api/models").body, "id"), Names{"acme/m"});
}

TEST_F(Catalog, OidAttributeCountsOnAHubvfsMountOnly) {
  put("acme/m/f", "content");
  const std::string path = root_ / "acme/m/f";
  const std::string lie = "sha256:" + std::string(64, 'a');
  if (::setxattr(path.c_str(), "user.hubvfs.oid", lie.data(), lie.size(), 0) != 0) {
    GTEST_SKIP() << "no user attributes here";
  }
  serve();
  auto tree = flat_json(get("/api/models/acme/m/tree/main").body);
  EXPECT_EQ(tree["[0].oid"], "6b584e8ece562ebffc15d38808cd6b98fc3d97ea");
  EXPECT_EQ(tree.count("[0].lfs.oid"), 0u);
}

TEST_F(Catalog, FolderThatIsMissingIsABadOption) {
  options_.root = root_ / "absent";
  const auto started = HubServer::start(options_, log_, clock_);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace hubvfs::hub::server
