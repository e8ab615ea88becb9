// SPDX-License-Identifier: Apache-2.0
#include "base/memory_limit.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace hubvfs {
namespace {

class MemoryLimit : public testing::Test {
 protected:
  void group_is(const std::string& lines) { write("proc/self/cgroup", lines); }
  void write(const std::string& path, const std::string& text) { write_file(root_ / path, text); }
  std::optional<std::uint64_t> limit() { return cgroup_memory_limit(root_.path()); }

  TempDir root_;
};

TEST_F(MemoryLimit, TheLeastOfOursAndOfThoseAboveCounts) {
  group_is("0::/user.slice/a.scope\n");
  write("sys/fs/cgroup/user.slice/a.scope/memory.max", "800000000\n");
  EXPECT_EQ(limit(), 800'000'000u);
  write("sys/fs/cgroup/user.slice/memory.max", "500000000\n");
  EXPECT_EQ(limit(), 500'000'000u);
  write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(limit(), 500'000'000u);
  write("sys/fs/cgroup/user.slice/a.scope/memory.max", "100000000\n");
  EXPECT_EQ(limit(), 100'000'000u);
}

TEST_F(MemoryLimit, MaxIsNone) {
  group_is("0::/a\n");
  write("sys/fs/cgroup/a/memory.max", "max\n");
  EXPECT_FALSE(limit());
}

TEST_F(MemoryLimit, VersionOneHasTheMemoryControllersGroup) {
  group_is("9:cpu,memory:/jobs/7\n4:freezer:/other\n1:name=systemd:/x\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(limit());
  write("sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "300000000\n");
  write("sys/fs/cgroup/memory/other/memory.limit_in_bytes", "1000\n");
  EXPECT_EQ(limit(), 300'000'000u);
}

TEST_F(MemoryLimit, InAContainerThatIsToldTheHostsPathTheTopCounts) {
  group_is("0::/kubepods/pod1/abc\n");
  write("sys/fs/cgroup/memory.max", "700000000\n");
  EXPECT_EQ(limit(), 700'000'000u);
}

TEST_F(MemoryLimit, WhatCannotBeReadIsNone) {
  EXPECT_FALSE(limit());
  group_is("nonsense\n0:\n0::relative\n::/\n");
  write("sys/fs/cgroup/memory.max", "many\n");
  EXPECT_FALSE(limit());
}

TEST(MemoryShare, IsAQuarterOfTheLimitAtMost) {
  constexpr std::uint64_t kMiB = 1u << 20;
  EXPECT_EQ(memory_share(256 * kMiB, 16 * kMiB, {}), 256 * kMiB);
  EXPECT_EQ(memory_share(256 * kMiB, 16 * kMiB, 4096 * kMiB), 256 * kMiB);
  EXPECT_EQ(memory_share(256 * kMiB, 16 * kMiB, 400 * kMiB), 100 * kMiB);
  EXPECT_EQ(memory_share(256 * kMiB, 16 * kMiB, kMiB), 16 * kMiB);
}

}  // namespace
}  // namespace hubvfs
