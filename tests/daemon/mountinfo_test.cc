// SPDX-License-Identifier: Apache-2.0
#include "daemon/mountinfo.h"

#include <gtest/gtest.h>

namespace hubvfs::daemon {
namespace {

constexpr const char* kTable =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n"
    "40 27 0:39 / /mnt/my\\040models\\011x\\134y\\043 ro,nosuid,nodev - fuse.hubvfs hubvfs "
    "ro,user_id=1000,group_id=1000,default_permissions,allow_other\n"
    "41 27 0:40 / /srv ro - fuse.hubvfs hubvfs ro,user_id=0,group_id=0\n"
    "42 41 0:41 / /srv rw - tmpfs tmpfs rw\n";

TEST(Mountinfo, EscapesAreResolved) {
  const auto mounts = parse_mountinfo(kTable);
  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_EQ(mounts[2].mount_point, "/mnt/my models\tx\\y#");
  EXPECT_TRUE(mounts[2].is_hubvfs());
  EXPECT_EQ(mounts[2].device, "0:39");
  EXPECT_EQ(mounts[2].id, 40u);
}

TEST(Mountinfo, OptionalFieldsAreSkipped) {
  const auto mounts = parse_mountinfo(kTable);
  EXPECT_EQ(mounts[1].fs_type, "ext4");
  EXPECT_EQ(mounts[1].source, "/dev/vda");
}

TEST(Mountinfo, OwnerAndAllowOtherAreRead) {
  const auto mounts = parse_mountinfo(kTable);
  EXPECT_EQ(mounts[2].user_id, 1000u);
  EXPECT_TRUE(mounts[2].allow_other);
  EXPECT_FALSE(mounts[3].allow_other);
}

TEST(Mountinfo, TheLastMountAtAPathHidesTheOthers) {
  const auto mounts = parse_mountinfo(kTable);
  ASSERT_NE(mounted_at(mounts, "/srv"), nullptr);
  EXPECT_EQ(mounted_at(mounts, "/srv")->fs_type, "tmpfs");
  EXPECT_EQ(mounted_at(mounts, "/nowhere"), nullptr);
}

TEST(Mountinfo, InsideMeansBelowNotAtAndNotBeside) {
  const auto mounts = parse_mountinfo(kTable);
  EXPECT_NE(hubvfs_around(mounts, "/srv/a/b"), nullptr);
  EXPECT_EQ(hubvfs_around(mounts, "/srv"), nullptr);
  EXPECT_EQ(hubvfs_around(mounts, "/srvants"), nullptr);
}

TEST(Mountinfo, DamagedLinesAreLeftOut) {
  EXPECT_TRUE(parse_mountinfo("").empty());
  EXPECT_TRUE(parse_mountinfo("x 27 0:21 / /proc rw - proc proc rw\n").empty());
  EXPECT_TRUE(parse_mountinfo("22 27 0:21 / /proc rw,relatime proc proc rw a b c\n").empty());
  EXPECT_TRUE(parse_mountinfo("22 27 0:21 / /proc rw,relatime a b c -\n").empty());
  // A backslash at the end is no escape.
  EXPECT_EQ(parse_mountinfo("22 27 0:21 / /a\\04 rw - proc proc rw\n")[0].mount_point, "/a\\04");
}

TEST(Mountinfo, ThisHostsTableIsUnderstood) {
  auto mounts = read_mountinfo();
  ASSERT_TRUE(mounts) << mounts.error().context;
  EXPECT_NE(mounted_at(*mounts, "/proc"), nullptr);
}

}  // namespace
}  // namespace hubvfs::daemon
