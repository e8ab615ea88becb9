// SPDX-License-Identifier: Apache-2.0
// The folder of revisions: what in it is served, and how a branch moves while clients read.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/digest.h"
#include "tests/hub_server/revision_repo.h"

namespace hubvfs::hub::server {
namespace {

namespace fs = std::filesystem;

using Revisions = RevisionRepo;

constexpr char kNotFound[] = "404 RevisionNotFound";

TEST_F(Revisions, AreNoContentOfTheRepoNorOfOneAnother) {
  put(revision("one") + "/.hubvfs-repo.json", R"({"private": true})");
  put(revision("one") + "/.hubvfs-revisions/x/f", "x");
  put(revision("one") + "/.git/HEAD", "ref: x");
  put("acme/m/.hubvfs-repo.json.new", "about to be renamed");
  put(revision("one") + "/.cache/huggingface/download/f.metadata", "x");
  serve();
  const auto files = [&](const std::string& name) {
    return column(get("/api/models/acme/m/tree/" + name + "?recursive=true").body, "path");
  };
  EXPECT_EQ(files("main"), (Names{"sub", "sub/main", ".gitattributes", "f.txt", "w.bin"}));
  EXPECT_EQ(files("v1.0"), (Names{"sub", "sub/one", ".gitattributes", "f.txt", "w.bin"}));
  EXPECT_EQ(get("/acme/m/resolve/main/.hubvfs-revisions/one/f.txt").status, 404);
  EXPECT_EQ(column(get("/api/models").body, "id"), Names{"acme/m"});
}

TEST_F(Revisions, AFolderWithoutARefIsServedByItsCommit) {
  serve();
  const std::string commit = sha("dev");
  settings("{}");
  later();
  EXPECT_EQ(text("dev"), kNotFound);
  EXPECT_EQ(text(commit), "dev-2");
  fs::remove_all(root_ / revision("dev-2"));
  later();
  EXPECT_EQ(text(commit), kNotFound);
}

TEST_F(Revisions, AFolderWithALeadingDotIsStillBeingFilled) {
  serve();
  const std::uint64_t hashed = server_->progress().bytes_hashed;
  fill(revision(".three"), "three");
  later();
  EXPECT_EQ(text("main"), "main");
  EXPECT_EQ(server_->progress().bytes_hashed, hashed) << "not even looked at";
  fs::rename(root_ / revision(".three"), root_ / revision("three"));
  settings(R"({"branches": {"main": "three"}})");
  EXPECT_TRUE(eventually([&] {
    later();
    return text("main") == "three";
  }));
}

TEST_F(Revisions, ARefToAMissingFolderIsNoneAndSaysSoOnce) {
  settings(R"({"branches": {"dev": "dev-3"}, "tags": {"v1.0": "one"}})");
  serve();
  EXPECT_EQ(text("dev"), kNotFound);
  EXPECT_EQ(text("v1.0"), "one");
  EXPECT_EQ(flat_json(get("/api/models/acme/m/refs").body)["branches#"], "1");
  later();
  EXPECT_EQ(text("main"), "main");
  const std::string line =
      "serve: acme/m: there is no refs/heads/dev: its folder is not in .hubvfs-revisions\n";
  const std::size_t at = log_.text().find(line);
  ASSERT_NE(at, std::string::npos) << log_.text();
  EXPECT_EQ(log_.text().find(line, at + 1), std::string::npos);
  fill(revision("dev-3"), "dev-3");
  EXPECT_TRUE(eventually([&] {
    later();
    return text("dev") == "dev-3";
  }));
}

TEST_F(Revisions, MainThatIsAMissingFolderWithholdsTheRepo) {
  serve();
  settings(R"({"branches": {"main": "nowhere"}})");
  // A look that began before may still be under way, and what was known is answered until it ends.
  EXPECT_TRUE(eventually([&] {
    later();
    return get("/api/models/acme/m").status == 401;
  }));
  later();
  EXPECT_EQ(get("/acme/m/resolve/main/f.txt").status, 401);
  const std::string line =
      "serve: acme/m is not served to anybody: .hubvfs-repo.json: branch main is the folder "
      "\"nowhere\", which is not in .hubvfs-revisions\n";
  const std::size_t at = log_.text().find(line);
  ASSERT_NE(at, std::string::npos) << log_.text();
  EXPECT_EQ(log_.text().find(line, at + 1), std::string::npos) << "said once";
  settings(R"({"branches": {"main": "one"}})");
  later();
  EXPECT_EQ(text("main"), "one");
}

TEST_F(Revisions, ASymlinkIsNoFolderButItsFilesMayBe) {
  put("blobs/shared/blob", "shared");
  fs::remove(root_ / (revision("one") + "/f.txt"));
  fs::create_symlink("../../../../blobs/shared/blob", root_ / (revision("one") + "/f.txt"));
  fs::create_directory_symlink("one", root_ / revision("linked"));
  settings(R"({"branches": {"dev": "linked"}, "tags": {"v1.0": "one"}})");
  serve();
  EXPECT_EQ(text("dev"), kNotFound);
  EXPECT_EQ(text("v1.0"), "shared");
  fs::remove_all(root_ / "acme/m/.hubvfs-revisions");
  fs::create_directory_symlink("sub", root_ / "acme/m/.hubvfs-revisions");
  later();
  EXPECT_EQ(get("/api/models/acme/m").status, 401);
}

TEST_F(Revisions, HardLinksAreCountedAndHashedOnce) {
  const std::uint64_t size = 32u << 20;
  put(revision("one") + "/big", std::string(size, 'x'));
  fs::create_hard_link(root_ / (revision("one") + "/big"), root_ / (revision("pull") + "/big"));
  fs::create_hard_link(root_ / (revision("one") + "/big"), root_ / "acme/m/big");
  options_.root = root_.path();
  options_.settle_seconds = 0;
  auto started = HubServer::start(options_, log_, clock_);
  ASSERT_TRUE(started);
  server_ = std::move(*started);
  std::uint64_t most = 0;
  EXPECT_TRUE(eventually([&] {
    later();
    most = std::max(most, server_->progress().bytes_to_hash);
    return get("/acme/m/resolve/refs%2Fpr%2F1/big").status == 302 && all_ready();
  }));
  EXPECT_LT(most, size + 10'000);
  EXPECT_LT(server_->progress().bytes_hashed, size + 10'000);
}

TEST_F(Revisions, OneCommitInTwoFoldersLivesAsLongAsOneOfThem) {
  fill(revision("copy"), "main");
  serve();
  const std::string commit = sha("main");
  const std::string location = get("/acme/m/resolve/" + commit + "/w.bin").header("location");
  put("acme/m/f.txt", "changed");
  put("acme/m/w.bin", "changed weights");
  EXPECT_EQ(text(commit), "main") << "before anything was looked at again";
  EXPECT_EQ(get_content(location).body, "weights of main");
  EXPECT_TRUE(eventually([&] {
    later();
    return text("main") == "changed";
  }));
  EXPECT_EQ(text(commit), "main");
  EXPECT_EQ(get_content(location).body, "weights of main");
  fs::remove_all(root_ / revision("copy"));
  later();
  EXPECT_EQ(text(commit), kNotFound);
  EXPECT_EQ(get_content(location).status, 404);
}

TEST_F(Revisions, AMovedBranchIsSeenAtOnceAndItsOldCommitStays) {
  settings(R"({"branches": {"main": "dev-1"}})");
  serve();
  const std::string before = sha("main");
  const std::string location = get("/acme/m/resolve/main/w.bin").header("location");
  settings(R"({"branches": {"main": "dev-2"}})");
  later();
  EXPECT_EQ(text("main"), "dev-2");
  EXPECT_EQ(sha(""), "") << "no such route";
  EXPECT_EQ(sha_of("acme/m"), sha("main"));
  EXPECT_EQ(text(before), "dev-1");
  EXPECT_EQ(get("/api/resolve-cache/models/acme/m/" + before + "/f.txt").body, "dev-1");
  EXPECT_EQ(get_content(location).body, "weights of dev-1");
  EXPECT_NE(log_.text().find("serve: acme/m: refs/heads/main moved from " + before + " to "),
            std::string::npos);
}

TEST_F(Revisions, ABranchStaysUntilItsNewFolderHasSettled) {
  settings(R"({"branches": {"main": "dev-1"}})");
  struct stat status {};
  ASSERT_EQ(::stat((root_ / (revision("dev-1") + "/w.bin")).c_str(), &status), 0);
  wall_clock_.wall = status.st_ctim.tv_sec + 1000;
  options_.root = root_.path();
  options_.settle_seconds = 100;
  auto started = HubServer::start(options_, log_, wall_clock_);
  ASSERT_TRUE(started);
  server_ = std::move(*started);
  ASSERT_TRUE(eventually([&] { return all_ready() && text("main") == "dev-1"; }));
  fill(revision("fresh"), "fresh");
  settings(R"({"branches": {"main": "fresh"}, "tags": {"v2": "fresh"}})");
  ASSERT_EQ(::stat((root_ / (revision("fresh") + "/w.bin")).c_str(), &status), 0);
  wall_clock_.wall = status.st_ctim.tv_sec + 1;
  wall_clock_.manual.advance(std::chrono::seconds(30));
  EXPECT_EQ(text("main"), "dev-1");
  EXPECT_EQ(text("v2"), kNotFound);
  wall_clock_.wall = status.st_ctim.tv_sec + 101;
  EXPECT_TRUE(eventually([&] {
    wall_clock_.manual.advance(std::chrono::seconds(30));
    return text("main") == "fresh";
  }));
  EXPECT_EQ(text("v2"), "fresh");
}

// What readers of a moving branch see: whole commits, each of them one that the branch was at.
class MovingBranch : public RevisionRepo {
 protected:
  struct Commit {
    std::string what;
    std::string sha;
    Names oids;  // of everything in it
  };

  void SetUp() override {
    RevisionRepo::SetUp();
    settings(R"({"branches": {"main": "dev-1"}, "tags": {"one": "dev-1", "two": "dev-2"}})");
    serve();
    first_ = {"dev-1", sha("one"), oids("one")};
    second_ = {"dev-2", sha("two"), oids("two")};
    ASSERT_EQ(first_.oids.size(), 5u);
  }
  std::string what_of(const std::string& commit) const {
    return commit == first_.sha ? first_.what : commit == second_.sha ? second_.what : "nothing";
  }
  void read_file_by_name() {
    const HttpReply hop = get("/acme/m/resolve/main/f.txt");
    check(get(hop.header("location")).body == what_of(hop.header("x-repo-commit")));
  }
  void read_lfs_by_name() {
    const HttpReply hop = get("/acme/m/resolve/main/w.bin");
    const std::string body = get_content(hop.header("location")).body;
    check(body == "weights of " + what_of(hop.header("x-repo-commit")));
    check(hop.header("x-linked-etag") == "\"" + sha256_hex(as_bytes(body)) + "\"");
  }
  Names oids(const std::string& revision) const {
    int count = 0;
    return pages("/api/models/acme/m/tree/" + revision + "?recursive=true&limit=1", "oid", count);
  }
  void list_by_name() {
    const Names listed = oids("main");
    check(listed == first_.oids || listed == second_.oids);
  }
  void read_by_commit() {
    check(text(first_.sha) == first_.what);
    check(sha(first_.sha) == first_.sha);
    const HttpReply hop = get("/acme/m/resolve/" + first_.sha + "/w.bin");
    check(get_content(hop.header("location")).body == "weights of " + first_.what);
  }
  void check(bool right) { ++(right ? right_ : wrong_); }

  Commit first_;
  Commit second_;
  std::atomic<int> right_ = 0;
  std::atomic<int> wrong_ = 0;
};

TEST_F(MovingBranch, ReadersByNameAndByCommitGoOn) {
  std::atomic<bool> stop = false;
  std::atomic<int> rounds = 0;
  std::vector<std::thread> readers;
  const std::vector<std::function<void()>> reads = {
      [this] { read_file_by_name(); }, [this] { read_lfs_by_name(); }, [this] { list_by_name(); },
      [this] { read_by_commit(); }};
  for (const auto& read : reads) {
    readers.emplace_back([&] {
      while (!stop) {
        read();
        ++rounds;
      }
    });
  }
  for (int move = 0; move < 20; ++move) {
    const Commit& next = move % 2 == 0 ? second_ : first_;
    settings(R"({"branches": {"main": ")" + next.what + R"("}})");
    EXPECT_TRUE(eventually([&] {
      later();
      return sha("main") == next.sha;
    })) << "move "
        << move;
    const int seen = rounds;
    EXPECT_TRUE(eventually([&] { return rounds > seen + 4; }));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong_, 0);
  EXPECT_GT(right_, 100);
}

}  // namespace
}  // namespace hubvfs::hub::server
