// SPDX-License-Identifier: Apache-2.0
#include "fs/errno_map.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace hubvfs::fs {
namespace {

TEST(ErrnoMap, NothingIsEverEagainOrEintr) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const int number = to_errno(static_cast<ErrorCode>(code));
    EXPECT_GT(number, 0);
    EXPECT_NE(number, EAGAIN);
    EXPECT_NE(number, EINTR);
  }
}

TEST(ErrnoMap, ReadersSeeTheTableOfTheDesign) {
  EXPECT_EQ(to_errno(ErrorCode::kNotFound), ENOENT);
  EXPECT_EQ(to_errno(ErrorCode::kGated), EACCES);
  EXPECT_EQ(to_errno(ErrorCode::kPermissionDenied), EACCES);
  EXPECT_EQ(to_errno(ErrorCode::kRateLimited), EIO);
  EXPECT_EQ(to_errno(ErrorCode::kUnavailable), EIO);
  EXPECT_EQ(to_errno(ErrorCode::kCorrupt), EIO);
  EXPECT_EQ(to_errno(ErrorCode::kOffline), EIO);
  EXPECT_EQ(to_errno(ErrorCode::kNoSpace), EIO);  // a full cache disk is not the reader's error
  EXPECT_EQ(to_errno(ErrorCode::kStale), ESTALE);
}

}  // namespace
}  // namespace hubvfs::fs
