// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include <gtest/gtest.h>

namespace hubvfs {
namespace {

TEST(Bytes, WhatIsWrittenIsReadBackLittleEndian) {
  ByteWriter out;
  out.integer(std::uint32_t{0x01020304});
  out.string("a b");
  out.integer(std::uint64_t{0xfedcba9876543210});
  EXPECT_EQ(out.bytes()[0], std::byte{4});
  ByteReader in(out.bytes());
  EXPECT_EQ(in.integer<std::uint32_t>(), 0x01020304u);
  EXPECT_EQ(in.string(), "a b");
  EXPECT_EQ(in.integer<std::uint64_t>(), 0xfedcba9876543210u);
  EXPECT_TRUE(in.ok());
  EXPECT_TRUE(in.at_end());
}

TEST(Bytes, ReadingPastTheEndGivesZeroAndIsRemembered) {
  ByteWriter out;
  out.integer(std::uint32_t{1000});  // a string's length, without the string
  ByteReader in(out.bytes());
  EXPECT_EQ(in.string(), "");
  EXPECT_EQ(in.integer<std::uint64_t>(), 0u);
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace hubvfs
