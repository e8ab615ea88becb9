// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_meta_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "base/blocking.h"
#include "tests/cache/blobs.h"

namespace hubvfs::cache {
namespace {

class DiskMetaStoreTest : public testing::Test {
 protected:
  void open(const std::string& path) {
    store_.reset();
    directory_ = std::make_unique<Directory>(
        UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    store_ = std::move(*DiskMetaStore::open(*directory_, log_));
  }
  std::string get(const std::string& key, const Namespace& space = "public") {
    auto value = store_->get(space, key);
    if (!value) return "<error>";
    return *value ? std::string(as_text(**value)) : "<none>";
  }
  Result<void> put(const std::string& key, const std::string& value) {
    return store_->put("public", key, as_bytes(value));
  }

  TempDir dir_;
  RecordingLogger log_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<DiskMetaStore> store_;
  void SetUp() override { open(dir_.path()); }
};

TEST_F(DiskMetaStoreTest, OutlivesARestart) {
  ASSERT_TRUE(put("a", "1"));
  ASSERT_TRUE(put("a", "2"));
  ASSERT_TRUE(put("b", random_bytes(2u << 20, 1)));
  ASSERT_TRUE(store_->put("u7", "a", as_bytes("mine")));
  open(dir_.path());
  EXPECT_EQ(get("a"), "2");
  EXPECT_TRUE(get("b") == random_bytes(2u << 20, 1));
  EXPECT_EQ(get("a", "u7"), "mine");
}

TEST_F(DiskMetaStoreTest, NamespacesLieInFoldersOfTheirOwn) {
  ASSERT_TRUE(put("a", "1"));
  ASSERT_TRUE(store_->put("u7", "a", as_bytes("mine")));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "public/records.log"));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "u7/records.log"));
}

TEST_F(DiskMetaStoreTest, AFuseThreadMayCallIt) {
  // Aborts in a debug build where one of these would wait for fsync or for another thread.
  const NoBlockScope scope;
  ASSERT_TRUE(put("a", "1"));
  EXPECT_EQ(get("a"), "1");
  ASSERT_TRUE(store_->for_each("public", "", [](std::string_view, ByteView) {}));
  ASSERT_TRUE(store_->erase("public", "a"));
}

TEST_F(DiskMetaStoreTest, CompactsAtAClose) {
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(put("same", random_bytes(20000, 3)));
  ASSERT_TRUE(store_->sync());
  const auto before = std::filesystem::file_size(dir_ / "public/records.log");
  open(dir_.path());
  EXPECT_LT(std::filesystem::file_size(dir_ / "public/records.log"), before / 10);
  EXPECT_TRUE(get("same") == random_bytes(20000, 3));
}

TEST_F(DiskMetaStoreTest, OnAFullDiskItServesFromMemoryAndWritesLater) {
  TempDir mount;
  if (::mount("tmpfs", mount.path().c_str(), "tmpfs", 0, "size=256k,mode=0700") != 0) {
    GTEST_SKIP() << "only root can mount a small disk";
  }
  open(mount.path());
  ASSERT_TRUE(put("before", "b"));
  ASSERT_TRUE(put("changed", "old"));
  ASSERT_TRUE(put("erased", "e"));
  write_file(mount / "ballast", "");
  {
    const UniqueFd fd(::open((mount / "ballast").c_str(), O_WRONLY | O_CLOEXEC));
    const std::string page(4096, 'x');
    while (::write(fd.get(), page.data(), page.size()) > 0) {
    }
  }
  const std::string large = random_bytes(30000, 5);
  const auto refused = put("large", large);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNoSpace);
  EXPECT_FALSE(put("changed", random_bytes(20000, 6)));
  EXPECT_TRUE(get("large") == large);
  EXPECT_TRUE(get("changed") == random_bytes(20000, 6));
  EXPECT_EQ(get("before"), "b");
  std::size_t keys = 0;
  ASSERT_TRUE(store_->for_each("public", "", [&](std::string_view, ByteView) { ++keys; }));
  EXPECT_EQ(keys, 4u);

  std::filesystem::remove(mount / "ballast");
  ASSERT_TRUE(store_->sync());
  open(mount.path());
  EXPECT_TRUE(get("large") == large);
  EXPECT_TRUE(get("changed") == random_bytes(20000, 6));
  store_.reset();
  directory_.reset();
  EXPECT_EQ(::umount2(mount.path().c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace hubvfs::cache
