// SPDX-License-Identifier: Apache-2.0
// A cache on a disk that is full, or does not let itself be written.
#include <sys/mount.h>

#include <chrono>

#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kDisk = 16u << 20;

class SmallDiskTest : public OpenedCache {
 protected:
  void SetUp() override {
    const std::string options = "size=" + std::to_string(kDisk) + ",mode=0700";
    if (::mount("tmpfs", mount_.path().c_str(), "tmpfs", 0, options.c_str()) != 0) {
      GTEST_SKIP() << "only root can mount a small disk";
    }
    mounted_ = true;
    path_ = mount_ / "cache";
    open(1u << 30);
  }
  void TearDown() override {
    close();
    if (!mounted_) return;
    EXPECT_EQ(::umount2(mount_.path().c_str(), MNT_DETACH), 0);
  }
  // Leaves nothing for anybody.
  void use_up() {
    const UniqueFd fd(::open((mount_ / "ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string page(4096, 'x');
    while (::write(fd.get(), page.data(), page.size()) > 0) {
    }
  }
  void give_back() { std::filesystem::remove(mount_ / "ballast"); }

  TempDir mount_;
  bool mounted_ = false;
};

TEST_F(SmallDiskTest, ATwentiethOfTheDiskStaysFree) {
  std::uint64_t stored = 0;
  for (unsigned i = 0; i < 12; ++i) {
    const TestBlob source = make_blob(8 * kTestBlock, i);
    fill(source);
    stored += source.content.size();
    EXPECT_TRUE(blob(source)->has(7));
    EXPECT_GE(std::filesystem::space(mount_.path()).available, kDisk / 20);
  }
  EXPECT_GT(stored, kDisk);
  EXPECT_GT(store().stats().evicted_blocks, 0u);
  EXPECT_EQ(store().stats().degraded, "");
}

TEST_F(SmallDiskTest, AFullDiskIsNotTheReadersErrorAndTheCacheRecovers) {
  const TestBlob kept = make_blob(2 * kTestBlock, 20);
  fill(kept);
  use_up();
  const TestBlob source = make_blob(40 * kTestBlock, 21);
  const auto opened = blob(source);
  for (std::uint64_t i = 0; i < source.blocks(); ++i) opened->put(i, source.block(i));
  EXPECT_FALSE(store().flush());
  EXPECT_NE(store().stats().degraded.find("full"), std::string::npos);
  EXPECT_GT(store().stats().unstored_blocks, 0u);
  EXPECT_EQ(store().stats().pending_bytes, 0u);

  // Nothing is tried for a moment; then it works again by itself.
  give_back();
  clock_.advance(std::chrono::seconds(10));
  const TestBlob later = make_blob(2 * kTestBlock, 22);
  put_all(*blob(later), later);
  EXPECT_TRUE(store().flush());
  EXPECT_EQ(store().stats().degraded, "");
  EXPECT_TRUE(blob(later)->verified());
}

TEST_F(SmallDiskTest, ACacheOnAFullDiskOpensAndServes) {
  const TestBlob large = make_blob(4 * kTestBlock, 30);
  const TestBlob small = make_blob(4000, 31);
  fill(large);
  fill(small);
  ASSERT_TRUE(cache_->meta().put("public", "ref", as_bytes("commit")));
  close();
  use_up();
  open();
  expect_whole(large);
  expect_whole(small);
  EXPECT_EQ(get("ref"), "commit");
}

TEST_F(SmallDiskTest, AFolderThatIsRemovedUnderItIsNotTheReadersError) {
  const TestBlob kept = make_blob(4 * kTestBlock, 40);
  fill(kept);
  std::filesystem::remove_all(path_ + "/blobs");
  EXPECT_EQ(brief(read_text(*blob(kept))), brief(kept.content));  // still open
  const TestBlob other = make_blob(2 * kTestBlock, 41);
  put_all(*blob(other), other);
  EXPECT_FALSE(store().flush());
  EXPECT_NE(store().stats().degraded, "");
  open();
  fill(other);
  expect_whole(other);
}

}  // namespace
}  // namespace hubvfs::cache
