// SPDX-License-Identifier: Apache-2.0
#include "daemon/user_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

using Links = UserFolder::Links;

class UserFolderTest : public testing::Test {
 protected:
  UserFolderTest() {
    ::mkdir((dir_ / "in").c_str(), 0755);
    write_file(dir_ / "outside", "secret");
    write_file(dir_ / "in/blobs/x", "content");
  }
  UserFolder folder() {
    const UniqueFd fd(::open((dir_ / "in").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return std::move(*UserFolder::of(fd.get()));
  }
  void link(const std::string& to, const std::string& name) {
    ASSERT_EQ(::symlink(to.c_str(), (dir_ / ("in/" + name)).c_str()), 0);
  }
  TempDir dir_;
};

TEST_F(UserFolderTest, LinksAreFollowedInsideOnlyAndWhereThatWasSaid) {
  write_file(dir_ / "in/snapshots/s/y", "z");
  link("../../blobs/x", "snapshots/s/good");
  link("good", "snapshots/s/twice");
  link("../../../outside", "snapshots/s/out");
  link(dir_ / "in/blobs/x", "snapshots/s/absolute");
  link("loop", "snapshots/s/loop");
  link("../../blobs/none", "snapshots/s/dangling");
  link("../..", "up");
  const UserFolder in = folder();
  EXPECT_EQ(*in.read_text("snapshots/s/good", 100, Links::kInside), "content");
  EXPECT_EQ(*in.read_text("snapshots/s/twice", 100, Links::kInside), "content");
  EXPECT_FALSE(in.open_file("snapshots/s/good")) << "not without being told";
  for (const char* bad : {"out", "absolute", "loop"}) {
    const auto opened = in.open_file(std::string("snapshots/s/") + bad, Links::kInside);
    ASSERT_FALSE(opened) << bad;
    EXPECT_EQ(opened.error().code, ErrorCode::kPermissionDenied) << bad;
    EXPECT_NE(opened.error().context.find("link"), std::string::npos) << opened.error().context;
  }
  EXPECT_EQ(in.open_file("snapshots/s/dangling", Links::kInside).error().code,
            ErrorCode::kNotFound);
  for (const char* way : {"../outside", "/etc/passwd", "up/outside", "blobs/../../outside"}) {
    EXPECT_FALSE(in.open_file(way, Links::kInside)) << way;
  }
}

TEST_F(UserFolderTest, OnlyRegularFilesAreOpenedAndNoneIsWaitedFor) {
  ASSERT_EQ(::mkfifo((dir_ / "in/fifo").c_str(), 0600), 0);
  for (const char* name : {"fifo", "blobs"}) {
    EXPECT_EQ(folder().open_file(name).error().code, ErrorCode::kPermissionDenied) << name;
  }
  EXPECT_EQ(folder().open_file("absent").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(UserFolder::of(-1));
  const UniqueFd file(::open((dir_ / "outside").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(UserFolder::of(file.get()).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(UserFolderTest, FilesAreFoundHoweverDeepAndLinksAreNoFolders) {
  write_file(dir_ / "in/a/b/c/deep", "");
  write_file(dir_ / "in/a.txt", "");
  link("a", "link-to-folder");
  const auto files = folder().files_below("");
  ASSERT_TRUE(files);
  EXPECT_EQ(*files, (std::vector<std::string>{"a.txt", "a/b/c/deep", "blobs/x", "link-to-folder"}));
  EXPECT_EQ(*folder().files_below("a/b"), std::vector<std::string>{"c/deep"});
  EXPECT_FALSE(folder().files_below("link-to-folder"));
  EXPECT_FALSE(folder().files_below("absent"));
}

TEST_F(UserFolderTest, TextHasALimit) {
  EXPECT_EQ(*folder().read_text("blobs/x", 7), "content");
  EXPECT_EQ(folder().read_text("blobs/x", 6).error().code, ErrorCode::kNoSpace);
}

TEST_F(UserFolderTest, NewFilesHaveTheModeThatWasWantedAndNeverGoThroughALink) {
  const UserFolder in = folder();
  ASSERT_TRUE(in.make_parents("d/e/f", 0755));
  {
    const auto fd = in.create_file("d/e/f", 0644);
    ASSERT_TRUE(fd) << fd.error().context;
    ASSERT_EQ(::write(fd->get(), "new", 3), 3);
  }
  struct stat info {};
  ASSERT_EQ(::stat((dir_ / "in/d/e/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
  ASSERT_EQ(::stat((dir_ / "in/d/e").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755u);
  // A link in its place is replaced, not written through.
  link("../outside", "planted");
  ASSERT_TRUE(in.replace_file("planted", "partial", "ours", 0600));
  EXPECT_EQ(read_file(dir_ / "outside"), "secret");
  EXPECT_EQ(read_file(dir_ / "in/planted"), "ours");
  // And one on the way is refused.
  link("../..", "way");
  EXPECT_FALSE(in.create_file("way/x", 0600));
  EXPECT_FALSE(in.make_parents("way/y/z", 0700));
  EXPECT_FALSE(in.rename("planted", "way/planted"));
  EXPECT_FALSE(in.remove_file("way/outside"));
  EXPECT_FALSE(in.replace_file("way/outside", "partial", "ours", 0600));
  EXPECT_EQ(read_file(dir_ / "outside"), "secret");
  EXPECT_TRUE(in.remove_file("absent"));
}

TEST_F(UserFolderTest, AFileIsReadInWholePieces) {
  write_file(dir_ / "in/big", random_bytes(10'001, 1));
  const auto fd = folder().open_file("big");
  std::vector<std::size_t> sizes;
  std::string all;
  ASSERT_TRUE(read_all(fd->get(), 4096, [&](ByteView bytes) -> Result<void> {
    sizes.push_back(bytes.size());
    all += as_text(bytes);
    return {};
  }));
  EXPECT_EQ(sizes, (std::vector<std::size_t>{4096, 4096, 1809}));
  EXPECT_EQ(all, read_file(dir_ / "in/big"));
  EXPECT_EQ(*size_of(fd->get()), 10'001u);
}

// Files of /proc have a size of 0 whatever is in them.
TEST_F(UserFolderTest, AFileThatIsLargerThanItSaysIsReadInWholePiecesToo) {
  const UniqueFd fd(::open("/proc/version", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  std::vector<std::size_t> sizes;
  std::string all;
  ASSERT_TRUE(read_all(fd.get(), 8, [&](ByteView bytes) -> Result<void> {
    sizes.push_back(bytes.size());
    all += as_text(bytes);
    return {};
  }));
  EXPECT_EQ(all, read_file("/proc/version"));
  ASSERT_GT(sizes.size(), 1u);
  sizes.pop_back();
  EXPECT_EQ(sizes, std::vector<std::size_t>(sizes.size(), 8));
}

}  // namespace
}  // namespace hubvfs::daemon
