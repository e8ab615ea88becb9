// SPDX-License-Identifier: Apache-2.0
// What every MetaIndex does, and what the probe says of a damaged one.
#include "cache/meta_index.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <vector>

#include "cache/lmdb_meta_index.h"
#include "cache/lmdb_probe.h"
#include "cache/memory_meta_index.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

Directory open_path(const std::string& path) {
  return Directory(UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
}

class MetaIndexTest : public testing::TestWithParam<bool> {
 protected:
  MetaIndexTest() : directory_(open_path(dir_.path())) {
    if (GetParam()) {
      index_ = std::move(*LmdbMetaIndex::open(directory_));
    } else {
      index_ = std::make_unique<MemoryMetaIndex>();
    }
  }
  std::string all(const std::string& prefix = "") {
    std::string text;
    EXPECT_TRUE(index_->for_each(prefix, [&](std::string_view key, std::string_view value) {
      text.append(key).append("=").append(value).append(";");
      return true;
    }));
    return text;
  }
  Result<void> apply(std::vector<IndexChange> changes) { return index_->apply(changes); }

  TempDir dir_;
  Directory directory_;
  std::unique_ptr<MetaIndex> index_;
};

TEST_P(MetaIndexTest, AppliesChangesInOrder) {
  ASSERT_TRUE(apply({{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", "4"}, {"c", std::nullopt}}));
  EXPECT_EQ(all(), "a=3;b=2;");
  ASSERT_TRUE(apply({{"none", std::nullopt}}));
  EXPECT_EQ(**index_->get("a"), "3");
  EXPECT_FALSE(index_->get("aa")->has_value());
  EXPECT_FALSE(index_->get("c")->has_value());
}

TEST_P(MetaIndexTest, WalksAPrefixInByteOrder) {
  ASSERT_TRUE(apply({{"b\xff", "3"}, {"b", "1"}, {std::string("b\0", 2), "2"}, {"c", "4"}}));
  EXPECT_EQ(all("b"), std::string("b=1;b\0=2;b\xff=3;", 14));
  EXPECT_EQ(all("x"), "");
}

TEST_P(MetaIndexTest, StopsWhenToldTo) {
  ASSERT_TRUE(apply({{"a", "1"}, {"b", "2"}}));
  int seen = 0;
  ASSERT_TRUE(index_->for_each("", [&](std::string_view, std::string_view) {
    ++seen;
    return false;
  }));
  EXPECT_EQ(seen, 1);
}

TEST_P(MetaIndexTest, ABadKeyChangesNothing) {
  EXPECT_FALSE(apply({{"good", "1"}, {"", "2"}}));
  EXPECT_FALSE(apply({{"good", "1"}, {std::string(501, 'k'), "2"}}));
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(apply({{std::string(500, 'k'), ""}}));
}

INSTANTIATE_TEST_SUITE_P(Indexes, MetaIndexTest, testing::Values(false, true),
                         [](const auto& kind) { return kind.param ? "Lmdb" : "Memory"; });

class LmdbTest : public testing::Test {
 protected:
  void fill(std::size_t records) {
    auto index = LmdbMetaIndex::open(directory_);
    std::vector<IndexChange> changes;
    for (std::size_t i = 0; i < records; ++i) {
      changes.push_back({"key" + std::to_string(i), std::string(40, 'v')});
    }
    ASSERT_TRUE((*index)->apply(changes));
  }
  bool probe() { return probe_index(directory_, std::chrono::seconds(20), why_); }
  std::string file() const { return dir_ / "data.mdb"; }

  TempDir dir_;
  Directory directory_{open_path(dir_.path())};
  std::string why_;
};

TEST_F(LmdbTest, KeepsWhatWasApplied) {
  fill(1000);
  auto index = LmdbMetaIndex::open(directory_);
  EXPECT_EQ(**(*index)->get("key999"), std::string(40, 'v'));
}

TEST_F(LmdbTest, GrowsWhenItsMapIsFull) {
  auto index = LmdbMetaIndex::open(directory_, {256u << 10});
  for (int round = 0; round < 20; ++round) {
    std::vector<IndexChange> changes;
    for (int i = 0; i < 500; ++i) {
      changes.push_back({std::to_string(round) + "/" + std::to_string(i), std::string(100, 'v')});
    }
    ASSERT_TRUE((*index)->apply(changes)) << round;
  }
  EXPECT_EQ(**(*index)->get("19/499"), std::string(100, 'v'));
}

TEST_F(LmdbTest, TheProbeFindsASoundOneAndNoneSound) {
  EXPECT_TRUE(probe()) << why_;
  fill(1000);
  EXPECT_TRUE(probe()) << why_;
}

TEST_F(LmdbTest, TheProbeFindsATruncatedOne) {
  fill(5000);
  std::filesystem::resize_file(file(), 3 * 4096);
  EXPECT_FALSE(probe());
  EXPECT_NE(why_, "");
}

TEST_F(LmdbTest, TheProbeFindsNoise) {
  for (unsigned seed = 1; seed < 5; ++seed) {
    write_file(file(), random_bytes(100000, seed));
    EXPECT_FALSE(probe());
  }
}

TEST_F(LmdbTest, TheProbeFindsAnyFlippedBitOfARecord) {
  fill(5000);
  const std::string whole = read_file(file());
  std::mt19937 random(7);
  int found = 0;
  for (int i = 0; i < 30; ++i) {
    std::string damaged = whole;
    const std::size_t at = whole.find("vvvvvvvvvv", random() % (whole.size() - 8192));
    ASSERT_NE(at, std::string::npos);
    damaged[at + 5] = 'w';
    write_file(file(), damaged);
    if (probe()) {
      // A page that is not in use any more may hold anything.
      auto index = LmdbMetaIndex::open(directory_);
      std::size_t records = 0;
      ASSERT_TRUE((*index)->for_each("", [&](std::string_view, std::string_view value) {
        EXPECT_EQ(value, std::string(40, 'v'));
        return ++records > 0;
      }));
      EXPECT_EQ(records, 5000u);
    } else {
      ++found;
    }
  }
  EXPECT_GT(found, 0);
}

TEST_F(LmdbTest, TheProbeSurvivesZeroedAndSwappedPages) {
  fill(5000);
  const std::string whole = read_file(file());
  const std::size_t pages = whole.size() / 4096;
  std::mt19937 random(11);
  int found = 0;
  for (int i = 0; i < 30; ++i) {
    std::string damaged = whole;
    const std::size_t one = 2 + random() % (pages - 2);
    const std::size_t other = 2 + random() % (pages - 2);
    if (i % 2 == 0) {
      damaged.replace(one * 4096, 4096, std::string(4096, '\0'));
    } else {
      damaged.replace(one * 4096, 4096, whole.substr(other * 4096, 4096));
    }
    write_file(file(), damaged);
    if (!probe()) ++found;
  }
  EXPECT_GT(found, 0);
}

TEST_F(LmdbTest, TheProbeNeedsNoExitStatus) {
  // A parent that has its children reaped by the kernel.
  fill(10);
  const auto old = ::signal(SIGCHLD, SIG_IGN);
  EXPECT_TRUE(probe()) << why_;
  std::filesystem::resize_file(file(), 4096 + 100);
  EXPECT_FALSE(probe());
  ::signal(SIGCHLD, old);
}

TEST_F(LmdbTest, ADamagedValueIsAnErrorWhenItIsRead) {
  fill(10);
  std::string bytes = read_file(file());
  std::size_t flipped = 0;
  for (std::size_t at = bytes.find("vvvvvvvvvv"); at != std::string::npos;
       at = bytes.find("vvvvvvvvvv", at + 100)) {
    bytes[at] = 'x';
    ++flipped;
  }
  ASSERT_GT(flipped, 0u);
  write_file(file(), bytes);
  auto index = LmdbMetaIndex::open(directory_);
  ASSERT_TRUE(index);
  const auto walked =
      (*index)->for_each("", [](std::string_view, std::string_view) { return true; });
  ASSERT_FALSE(walked);
  EXPECT_EQ(walked.error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace hubvfs::cache
