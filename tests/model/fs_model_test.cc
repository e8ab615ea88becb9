// SPDX-License-Identifier: Apache-2.0
// Random operations on the filesystem against a plain map of what the Hub holds. HUBVFS_SEED
// repeats a run; every failure prints the seed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "cache/memory_cache.h"
#include "fs/backend.h"
#include "tests/fs/waiting.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_notifier.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kBlock = 256 * 1024;

// One mount and the model of it: every (repo@commit) path to the bytes it must have for ever.
class FsModel {
 public:
  explicit FsModel(unsigned seed) : random_(seed) {
    if (pick(2) == 0) most_at_once_ = pick(8);
    for (int i = 0; i < 3; ++i) new_commit();
    start();
  }
  ~FsModel() { stop(); }

  void step() {
    switch (pick(13)) {
      case 0:
        return new_commit();
      case 1:
        stop();
        return start();
      case 2:
        return clock_.advance(std::chrono::seconds(pick(400)));
      case 3:
        return hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"}, pick(kBlock));
      case 4:
        return check_absent();
      case 5:
      case 6:
        return check_listing();
      case 7:
        return check_repo_mount();
      default:
        return check_read();
    }
  }

 private:
  using Files = std::map<std::string, std::string>;  // path to content

  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  void new_commit() {
    const std::string repo = "acme/r" + std::to_string(pick(3));
    Files files;
    FakeHubClient::Files given;
    for (std::uint64_t i = 0, count = 1 + pick(8); i < count; ++i) {
      static const char* const kNames[] = {"a", "b c", "d#%", "\xc3\xa9", "sub/x", "sub/y/z", "w"};
      const std::string path = kNames[pick(7)] + std::to_string(pick(3));
      const std::uint64_t sizes[] = {0, 1, 100, kBlock - 1, kBlock, kBlock + 1, 3 * kBlock + 7};
      files[path] = random_bytes(sizes[pick(7)], static_cast<unsigned>(random_()));
      given[path] = {files[path], pick(2) == 0};
    }
    const std::string commit = hub_->commit({hub::RepoType::kModel, repo}, given);
    commits_[repo + "@" + commit] = files;
  }
  void start() {
    BackendOptions options;
    options.endpoint = "http://hub";
    options.memory_budget = (1 + pick(20)) * kBlock;
    options.most_at_once = most_at_once_;
    backend_ = *Backend::create(options, {*hub_, *hub_}, store_, meta_, log_, clock_);
    fs_ = *backend_->mount({hub::RepoType::kModel, false, {}, 1}, notifier_);
  }
  void stop() {
    backend_->close();
    fs_.reset();
    backend_.reset();
  }

  const std::pair<const std::string, Files>& some_commit() {
    return *std::next(commits_.begin(), static_cast<std::ptrdiff_t>(pick(commits_.size())));
  }
  static Result<Entry> lookup(Operations& mount, NodeId parent, const std::string& name) {
    Answer<Entry> answer;
    mount.lookup(parent, name, answer.callback());
    return answer.get();
  }
  NodeId walk(const std::string& path) { return walk(*fs_, path); }
  static NodeId walk(Operations& mount, const std::string& path) {
    NodeId node{false, 0, kRootEntry};
    for (std::size_t at = 0; at < path.size();) {
      const std::size_t end = std::min(path.find('/', at), path.size());
      const auto entry = lookup(mount, node, path.substr(at, end - at));
      EXPECT_TRUE(entry && entry->exists) << path;
      if (!entry || !entry->exists) return {};
      node = entry->attributes.node;
      at = end + 1;
    }
    return node;
  }

  void check_read() {
    const auto& [place, files] = some_commit();
    const auto& [path, content] = some_file(files);
    const NodeId node = walk(place + "/" + path);
    check_id(place + "/" + path, node);
    check_bytes(*fs_, node, place + "/" + path, content);
  }

  // The same commit at the root of a mount that comes and goes: the same ids, the same bytes.
  void check_repo_mount() {
    const auto& [place, files] = some_commit();
    const auto& [path, content] = some_file(files);
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : "/" + path.substr(0, slash);
    MountOptions options;
    options.repo = *RepoScope::parse("hf://" + place + (pick(2) == 0 ? "" : folder));
    options.number = 2;
    const auto mount = *backend_->mount(options, notifier_);
    const NodeId node =
        walk(*mount, options.repo->sub.empty() ? path : path.substr(options.repo->sub.size() + 1));
    check_id(place + "/" + path, node);
    check_bytes(*mount, node, place + "/" + path, content);
    mount->close();
  }

  const std::pair<const std::string, std::string>& some_file(const Files& files) {
    return *std::next(files.begin(), static_cast<std::ptrdiff_t>(pick(files.size())));
  }
  // Ids never change, restart or not.
  void check_id(const std::string& path, NodeId node) {
    const auto [known, fresh] = ids_.emplace(path, node.raw());
    EXPECT_EQ(known->second, node.raw()) << path;
  }

  void check_bytes(Operations& mount, NodeId node, const std::string& path,
                   const std::string& content) {
    const std::uint64_t offset = pick(content.size() + 2);
    const std::size_t size = pick(2 * kBlock) + 1;
    Answer<std::string> answer;
    mount.read(node, {2}, offset, size, static_cast<std::uint32_t>(size % 5),
               [callback = answer.callback()](const Result<ByteView>& bytes) {
                 if (!bytes) return callback(bytes.error());
                 callback(std::string(as_text(*bytes)));
               });
    const auto got = answer.get();
    if (!got) {
      // Only a fetch that was made to fail, never fewer bytes.
      EXPECT_EQ(got.error().code, ErrorCode::kUnavailable) << got.error().context;
      clock_.advance(std::chrono::seconds(31));
      return;
    }
    EXPECT_TRUE(*got == (offset >= content.size() ? "" : content.substr(offset, size)))
        << path << " at " << offset << " for " << size;
  }

  void check_absent() {
    const auto entry = lookup(*fs_, walk(some_commit().first), "no such name");
    ASSERT_TRUE(entry);
    EXPECT_FALSE(entry->exists);
  }

  void check_listing() {
    const auto& [place, files] = some_commit();
    std::set<std::string> expected = {".", ".."};
    for (const auto& [path, content] : files) expected.insert(path.substr(0, path.find('/')));
    const NodeId node = walk(place);
    std::set<std::string> listed;
    std::uint64_t cookie = 0;
    const std::size_t batch = 1 + pick(5);
    for (bool more = true; more;) {
      more = false;
      std::size_t taken = 0;
      Answer<bool> done;
      fs_->readdir(
          node, cookie,
          [&](const DirectoryItem& item) {
            if (taken++ == batch) return !(more = true);
            cookie = item.cookie;
            EXPECT_TRUE(listed.emplace(item.name).second);
            return true;
          },
          [callback = done.callback()](const Result<void>& result) {
            callback(result ? Result<bool>(true) : Result<bool>(result.error()));
          });
      ASSERT_TRUE(done.get());
    }
    EXPECT_EQ(listed, expected) << place;
  }

  std::mt19937 random_;
  std::size_t most_at_once_ = 20'000;  // of some, what has more is listed a directory at a time
  std::map<std::string, Files> commits_;
  std::map<std::string, std::uint64_t> ids_;
  ManualClock clock_;
  NullLogger log_;
  RecordingNotifier notifier_;
  cache::MemoryMetaStore meta_;
  cache::MemoryBlobStore store_{kBlock, 12 * kBlock};
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<Operations> fs_;
};

TEST(FsModel, RandomOperationsAgreeWithAPlainMap) {
  const char* fixed = std::getenv("HUBVFS_SEED");
  const unsigned first =
      fixed != nullptr ? static_cast<unsigned>(std::atoi(fixed)) : std::random_device()();
  for (unsigned run = 0; run < (fixed != nullptr ? 1u : 5u); ++run) {
    const unsigned seed = first + run;
    SCOPED_TRACE("HUBVFS_SEED=" + std::to_string(seed));
    FsModel model(seed);
    for (int i = 0; i < 400 && !testing::Test::HasFailure(); ++i) model.step();
  }
}

}  // namespace
}  // namespace hubvfs::fs
