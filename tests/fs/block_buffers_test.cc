// SPDX-License-Identifier: Apache-2.0
#include "fs/block_buffers.h"

#include <gtest/gtest.h>

namespace hubvfs::fs {
namespace {

TEST(BlockBuffers, ABufferIsUsedAgain) {
  BlockBuffers buffers(1000);
  Bytes first = buffers.take(100);
  EXPECT_EQ(first.size(), 100u);
  const std::byte* at = first.data();
  buffers.give_back(std::move(first));
  EXPECT_EQ(buffers.take(80).data(), at);
}

TEST(BlockBuffers, NoMoreAreKeptThanAllowed) {
  BlockBuffers buffers(150);
  Bytes first = buffers.take(100);
  Bytes second = buffers.take(100);
  const std::byte* at = first.data();
  buffers.give_back(std::move(first));
  buffers.give_back(std::move(second));  // freed
  EXPECT_EQ(buffers.take(100).data(), at);
  buffers.give_back(Bytes());  // nothing to keep
}

TEST(BlockBuffers, WhatNobodyNeedsIsFreed) {
  BlockBuffers buffers(1000);
  Bytes first = buffers.take(100);
  Bytes second = buffers.take(100);
  buffers.give_back(std::move(first));
  buffers.give_back(std::move(second));
  EXPECT_EQ(buffers.unused_bytes(), 200u);
  buffers.trim();  // they have just come in
  EXPECT_EQ(buffers.unused_bytes(), 200u);
  buffers.give_back(buffers.take(100));
  buffers.trim();  // one was never needed
  EXPECT_EQ(buffers.unused_bytes(), 100u);
  buffers.trim();
  EXPECT_EQ(buffers.unused_bytes(), 0u);
}

}  // namespace
}  // namespace hubvfs::fs
