// SPDX-License-Identifier: Apache-2.0
#include "fs/shard_name.h"

#include <gtest/gtest.h>

namespace hubvfs::fs {
namespace {

TEST(ShardName, TheNextOfASplitModel) {
  EXPECT_EQ(next_shard("model-00001-of-00003.safetensors"), "model-00002-of-00003.safetensors");
  EXPECT_EQ(next_shard("a-1-of-2/pytorch_model-00009-of-00010.bin"),
            "a-1-of-2/pytorch_model-00010-of-00010.bin");
  EXPECT_EQ(next_shard("q4-00099-of-00100.gguf"), "q4-00100-of-00100.gguf");
  EXPECT_EQ(next_shard("x-1-of-2"), "x-2-of-2");
}

TEST(ShardName, ANameWithoutANextOne) {
  for (const char* name :
       {"", "model.safetensors", "model-00003-of-00003.safetensors", "model-00004-of-00003.bin",
        "model-0001-of-00003.bin", "model-of-00003.bin", "-of-", "1-of-2", "model--of-2",
        "a-1-of-2/model.bin", "model-0000000001-of-0000000002.bin", "model_1-of-2.bin",
        "model-1-of-.bin"}) {
    EXPECT_EQ(next_shard(name), "") << name;
  }
}

}  // namespace
}  // namespace hubvfs::fs
