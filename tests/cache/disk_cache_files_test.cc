// SPDX-License-Identifier: Apache-2.0
// Any file of a closed cache but the index, damaged in any way: 40 rounds, 1,000 with
// HUBVFS_TEST_FULL=1; the seed is printed, and HUBVFS_TEST_SEED gives it.
#include <unistd.h>

#include <iostream>

#include "tests/cache/disk_calls.h"
#include "tests/cache/opened_cache.h"
#include "tests/support/test_scale.h"

namespace hubvfs::cache {
namespace {

constexpr unsigned kKeys = 20;

class DamagedFilesTest : public OpenedCache {
 protected:
  void SetUp() override {
    disk_calls::skip_syncs(true);
    random_.seed(test_seed());
    for (unsigned i = 0; i < 6; ++i) {
      sources_.push_back(make_blob(i < 2 ? 9000 + i : (1 + i % 3) * kTestBlock + i, 800 + i));
    }
  }
  void TearDown() override {
    close();
    disk_calls::skip_syncs(false);
  }
  std::size_t pick(std::size_t below) { return random_() % below; }
  static std::string value_of(unsigned key) { return random_bytes(100 + key * 300, key); }

  void fill_up() {
    for (const TestBlob& source : sources_) put_all(*blob(source), source);
    for (unsigned key = 0; key < kKeys; ++key) {
      ASSERT_TRUE(cache_->meta().put("public", std::to_string(key), as_bytes(value_of(key))));
    }
    const auto flushed = store().flush();
    ASSERT_TRUE(flushed) << flushed.error().context;
  }

  // Nothing wrong. Returns how much is missing.
  unsigned count_missing() {
    unsigned missing = 0;
    for (const TestBlob& source : sources_) {
      const auto opened = blob(source);
      for (std::uint64_t i = 0; i < source.blocks(); ++i) {
        const std::string found = read_text(*opened, i * kTestBlock, source.block(i)->size());
        if (found == "<NotFound>") {
          ++missing;
        } else {
          EXPECT_TRUE(found == as_text(*source.block(i)));
        }
      }
    }
    for (unsigned key = 0; key < kKeys; ++key) {
      const std::string found = get(std::to_string(key));
      if (found == "<none>") {
        ++missing;
      } else {
        EXPECT_TRUE(found == value_of(key)) << key;
      }
    }
    return missing;
  }

  // A file of blobs/ or meta/ in which there is something to damage.
  std::string pick_file() {
    std::vector<std::string> files;
    for (const char* folder : {"/blobs", "/meta"}) {
      for (const auto& each : std::filesystem::recursive_directory_iterator(path_ + folder)) {
        if (each.is_regular_file() && each.file_size() > 0) files.push_back(each.path());
      }
    }
    std::sort(files.begin(), files.end());  // the same for the same seed
    return files[pick(files.size())];
  }

  std::string damage() {
    const std::string path = pick_file();
    std::string bytes = read_file(path);
    switch (pick(6)) {
      case 0:
        std::filesystem::remove(path);
        return "removed " + path;
      case 1:
        std::filesystem::resize_file(path, pick(bytes.size()));
        return "cut " + path;
      case 2: {  // and a hole in its place, of the same length
        const std::size_t size = bytes.size();
        std::filesystem::resize_file(path, pick(size));
        std::filesystem::resize_file(path, size);
        return "zeroed the end of " + path;
      }
      case 3:
        write_file(path, random_bytes(bytes.size(), static_cast<unsigned>(random_())));
        return "noise in " + path;
      case 4: {
        const std::string other = pick_file();
        const std::string of_other = read_file(other);
        write_file(other, bytes);
        write_file(path, of_other);
        return "swapped " + path + " and " + other;
      }
      default:
        for (std::size_t bits = 1 + pick(4); bits > 0; --bits) {
          const std::size_t at = pick(bytes.size());
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
        }
        write_file(path, bytes);
        return "flipped bits of " + path;
    }
  }

  std::mt19937 random_{0};
  std::vector<TestBlob> sources_;
};

TEST_F(DamagedFilesTest, NothingWrongIsReadAndWhatIsMissingCanBeHadAgain) {
  open();
  fill_up();
  unsigned missing = 0;
  const int rounds = test_full() ? 1000 : 40;
  for (int round = 0; round < rounds; ++round) {
    close();
    const std::string what = damage();
    const bool without_index = pick(3) == 0;
    if (without_index) std::filesystem::remove_all(path_ + "/index");
    open();
    missing += count_missing();
    fill_up();
    EXPECT_EQ(store().stats().degraded, "");
    open();
    EXPECT_EQ(count_missing(), 0u);
    if (HasFailure()) {
      FAIL() << "round " << round << ": " << what << (without_index ? ", without index" : "")
             << "\n"
             << log_.text();
    }
  }
  EXPECT_GT(missing, 0u);
  std::cout << rounds << " damaged files, " << missing << " blocks and values fetched again\n";
}

}  // namespace
}  // namespace hubvfs::cache
