// SPDX-License-Identifier: Apache-2.0
#include "cache/cache_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kBlock = 1u << 20;

TEST(CacheFolder, IsMadePrivateAndMarked) {
  TempDir dir;
  const auto folder = CacheFolder::open(dir / "cache", kBlock);
  ASSERT_TRUE(folder);
  struct stat info {};
  ASSERT_EQ(::stat((dir / "cache").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  EXPECT_EQ(read_file(dir / "cache/VERSION"), "hubvfs-cache 1\nblock_size 1048576\n");
  EXPECT_TRUE(read_file(dir / "cache/CACHEDIR.TAG")
                  .starts_with("Signature: 8a477f597d28d172789f06886806bc55"));
  EXPECT_EQ(read_file(dir / "cache/owner.lock"), std::to_string(::getpid()) + "\n");
}

TEST(CacheFolder, IsMarkedAgainWhereTheMarkWasRemoved) {
  TempDir dir;
  ASSERT_TRUE(CacheFolder::open(dir / "cache", kBlock));
  const std::string tag = read_file(dir / "cache/CACHEDIR.TAG");
  ASSERT_EQ(::unlink((dir / "cache/CACHEDIR.TAG").c_str()), 0);
  ASSERT_TRUE(CacheFolder::open(dir / "cache", kBlock));
  EXPECT_EQ(read_file(dir / "cache/CACHEDIR.TAG"), tag);
}

TEST(CacheFolder, SaysThatItIsHeldThoughAFullDiskHadNoRoomForThePid) {
  TempDir dir;
  const auto first = CacheFolder::open(dir / "cache", kBlock);
  ASSERT_TRUE(first);
  write_file(dir / "cache/owner.lock", "");
  const auto second = CacheFolder::open(dir / "cache", kBlock);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().context.find("in use by pid unknown: wait"), std::string::npos)
      << second.error().context;
}

TEST(CacheFolder, KeepsTheBlockSizeItWasMadeWith) {
  TempDir dir;
  ASSERT_TRUE(CacheFolder::open(dir / "cache", 256u << 10));
  const auto again = CacheFolder::open(dir / "cache", kBlock);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->block_size(), 256u << 10);
}

TEST(CacheFolder, RefusesABlockSizeThatIsNone) {
  TempDir dir;
  for (const std::uint64_t size : {0ull, 4096ull, 3ull << 20, 32ull << 20}) {
    const auto folder = CacheFolder::open(dir / "cache", size);
    ASSERT_FALSE(folder) << size;
    EXPECT_EQ(folder.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(CacheFolder, IsHeldByOneAndNamesItsPid) {
  TempDir dir;
  auto first = CacheFolder::open(dir / "cache", kBlock);
  ASSERT_TRUE(first);
  const auto second = CacheFolder::open(dir / "cache", kBlock);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_NE(second.error().context.find("pid " + std::to_string(::getpid())), std::string::npos);
  EXPECT_NE(second.error().context.find("-o cache.path"), std::string::npos);
  first->reset();
  EXPECT_TRUE(CacheFolder::open(dir / "cache", kBlock));
}

TEST(CacheFolder, WaitsForWhoIsAboutToDieWithAKilledHolder) {
  TempDir dir;
  ASSERT_TRUE(CacheFolder::open(dir / "cache", kBlock));
  // The lock of a holder that is dead, in the hands of its child for a while.
  const pid_t holder = ::fork();
  ASSERT_GE(holder, 0);
  if (holder == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(holder, nullptr, 0), holder);
  write_file(dir / "cache/owner.lock", std::to_string(holder) + "\n");
  UniqueFd lock(::open((dir / "cache/owner.lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  std::thread child([&] {
    ::usleep(50'000);
    lock.reset();
  });
  const auto folder = CacheFolder::open(dir / "cache", kBlock);
  child.join();
  EXPECT_TRUE(folder) << folder.error().context;
}

TEST(CacheFolder, RefusesAFolderOthersCanWrite) {
  TempDir dir;
  for (const mode_t mode : {0770u, 0707u, 0777u}) {
    const std::string path = dir / std::to_string(mode);
    ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    const auto folder = CacheFolder::open(path, kBlock);
    ASSERT_FALSE(folder);
    EXPECT_EQ(folder.error().code, ErrorCode::kPermissionDenied);
    EXPECT_EQ(folder.error().context,
              "cache folder " + path + " can be written by others; chmod 0700 it");
    ASSERT_EQ(::chmod(path.c_str(), 0700), 0);  // which is all it takes
    EXPECT_TRUE(CacheFolder::open(path, kBlock));
  }
}

TEST(CacheFolder, HasTheModeThatWasAskedForAndThenWhomThatLetsWriteMay) {
  TempDir dir;
  const std::string path = dir / "cache";
  const auto mode = [&path] {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  };
  for (const mode_t asked : {0755u, 0770u}) {
    ASSERT_TRUE(CacheFolder::open(path, kBlock, asked));
    EXPECT_EQ(mode(), asked);
  }
  EXPECT_FALSE(CacheFolder::open(path, kBlock)) << "nobody said that the group may";
  EXPECT_FALSE(CacheFolder::open(path, kBlock, 0755));
  ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
  EXPECT_FALSE(CacheFolder::open(path, kBlock, 0770));
  ASSERT_EQ(::chmod(path.c_str(), 0750), 0);
  ASSERT_TRUE(CacheFolder::open(path, kBlock));
  EXPECT_EQ(mode(), 0750u) << "nothing asked, nothing changed";
}

TEST(CacheFolder, RefusesAFolderOfSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make one";
  TempDir dir;
  ASSERT_EQ(::mkdir((dir / "cache").c_str(), 0700), 0);
  ASSERT_EQ(::chown((dir / "cache").c_str(), 12345, 12345), 0);
  const auto folder = CacheFolder::open(dir / "cache", kBlock);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(folder.error().context, "cache folder " + (dir / "cache") +
                                        " belongs to uid 12345; name another with "
                                        "-o cache.path=DIR");
}

TEST(CacheFolder, RefusesASymbolicLink) {
  TempDir dir;
  ASSERT_EQ(::mkdir((dir / "real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("real", (dir / "link").c_str()), 0);
  for (const char* name : {"link", "link/"}) {
    const auto folder = CacheFolder::open(dir / name, kBlock);
    ASSERT_FALSE(folder);
    EXPECT_EQ(folder.error().code, ErrorCode::kPermissionDenied);
  }
}

TEST(CacheFolder, RefusesAFolderWithOtherThingsInIt) {
  TempDir dir;
  write_file(dir / "home/thesis.tex", "precious");
  ASSERT_EQ(::chmod((dir / "home").c_str(), 0700), 0);
  const auto folder = CacheFolder::open(dir / "home", kBlock);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(::access((dir / "home/VERSION").c_str(), F_OK) == 0);
}

TEST(CacheFolder, RefusesAFormatItCannotRead) {
  for (const char* text : {"hubvfs-cache 2\nblock_size 1048576\n", "", "hubvfs-cache 1\n",
                           "hubvfs-cache 1\nblock_size 7\n", "hubvfs-cache 1\nblock_size -1\n"}) {
    TempDir dir;
    ASSERT_TRUE(CacheFolder::open(dir / "cache", kBlock));
    write_file(dir / "cache/VERSION", text);
    const auto folder = CacheFolder::open(dir / "cache", kBlock);
    ASSERT_FALSE(folder) << text;
    EXPECT_EQ(folder.error().code, ErrorCode::kUnsupported);
  }
}

TEST(CacheFolder, FinishesOneThatWasBegun) {
  TempDir dir;
  write_file(dir / "cache/owner.lock", "4711\n");
  write_file(dir / "cache/CACHEDIR.TAG.new", "Sig");
  ASSERT_EQ(::chmod((dir / "cache").c_str(), 0700), 0);
  EXPECT_TRUE(CacheFolder::open(dir / "cache", kBlock));
}

TEST(CacheFolder, RefusesAMissingParent) {
  TempDir dir;
  EXPECT_EQ(CacheFolder::open(dir / "no/cache", kBlock).error().code, ErrorCode::kNotFound);
}

TEST(CacheFolder, RefusesAFilesystemThatIsNotLocal) {
  // What statfs answers for each is the kernel's constant; the real mounts are for the mount tests.
  EXPECT_STREQ(remote_filesystem(0x6969), "NFS");
  EXPECT_STREQ(remote_filesystem(0xff534d42), "CIFS");
  EXPECT_STREQ(remote_filesystem(0x01021997), "9p");
  EXPECT_STREQ(remote_filesystem(0x00c36400), "ceph");
  EXPECT_STREQ(remote_filesystem(0x0bd00bd0), "lustre");
  EXPECT_STREQ(remote_filesystem(0x65735546), "FUSE");
  EXPECT_STREQ(remote_filesystem(0x47504653), "GPFS");
  EXPECT_STREQ(remote_filesystem(0x786f4256), "a VirtualBox share");
  EXPECT_EQ(remote_filesystem(0xef53), nullptr);      // ext4
  EXPECT_EQ(remote_filesystem(0x58465342), nullptr);  // xfs
  EXPECT_EQ(remote_filesystem(0x01021994), nullptr);  // tmpfs
}

}  // namespace
}  // namespace hubvfs::cache
