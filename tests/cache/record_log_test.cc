// SPDX-License-Identifier: Apache-2.0
#include "cache/record_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "cache/record_format.h"
#include "tests/cache/blobs.h"

namespace hubvfs::cache {
namespace {

class RecordLogTest : public testing::Test {
 protected:
  void open() {
    log_.reset();
    log_ = std::move(*RecordLog::open(directory_, "log", logger_));
  }
  std::string get(const std::string& key) {
    auto value = log_->get(key);
    if (!value) return "<error>";
    return *value ? std::string(as_text(**value)) : "<none>";
  }
  void put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(log_->put(key, as_bytes(value)));
  }
  std::string path() const { return dir_ / "log"; }
  std::uint64_t file_size() const { return std::filesystem::file_size(path()); }
  void overwrite(std::uint64_t offset, const std::string& bytes) {
    const UniqueFd fd(::open(path().c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  }

  TempDir dir_;
  const Directory directory_{
      UniqueFd(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
  RecordingLogger logger_;
  std::unique_ptr<RecordLog> log_;
  void SetUp() override { open(); }
};

TEST_F(RecordLogTest, KeepsRecordsAcrossReopening) {
  put("a", "1");
  put("b", random_bytes(20000, 1));
  put("a", "2");
  put("gone", "x");
  ASSERT_TRUE(log_->erase("gone"));
  open();
  EXPECT_EQ(get("a"), "2");
  EXPECT_TRUE(get("b") == random_bytes(20000, 1));
  EXPECT_EQ(get("gone"), "<none>");
  EXPECT_EQ(log_->damaged(), 0u);
}

TEST_F(RecordLogTest, KeepsRecordsAcrossReopeningAfterASync) {
  put("a", "1");
  ASSERT_TRUE(log_->sync());
  put("b", "2");
  open();
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(get("b"), "2");
}

TEST_F(RecordLogTest, ATornTailIsSkippedAndTheOlderRecordCounts) {
  const std::string old(5000, 'o');
  const std::string young(9000, 'y');
  put("key", old);
  const std::uint64_t keep = file_size();
  put("key", young);
  const std::string whole = read_file(path());
  for (std::uint64_t cut = keep; cut < whole.size() - 1; cut += 97) {
    log_.reset();
    write_file(path(), whole.substr(0, cut));
    open();
    ASSERT_EQ(get("key"), old) << cut;
    put("next", "n");
    open();
    ASSERT_EQ(get("key"), old) << cut;
    ASSERT_EQ(get("next"), "n") << cut;
  }
}

TEST_F(RecordLogTest, AValueThatWasNotWrittenOutIsSkipped) {
  // As a process leaves it that is killed between header and value, with others writing behind.
  put("key", "first");
  const std::uint64_t begin = file_size();
  put("key", std::string(9000, 'y'));
  put("other", "o");
  overwrite(begin + kRecordHeaderSize + 3 + 4096, std::string(4000, '\0'));
  open();
  EXPECT_EQ(get("key"), "first");
  EXPECT_EQ(get("other"), "o");
  EXPECT_GE(log_->damaged(), 1u);
  EXPECT_NE(logger_.text().find("skipped"), std::string::npos);
  ASSERT_TRUE(log_->sync());  // and it is not believed later, either
  open();
  EXPECT_EQ(get("key"), "first");
}

TEST_F(RecordLogTest, ADamagedRecordCostsOnlyItself) {
  std::vector<std::uint64_t> begins;
  for (int i = 0; i < 5; ++i) {
    begins.push_back(i == 0 ? kLogHeaderSize : file_size());
    put("key" + std::to_string(i), "value" + std::to_string(i));
  }
  ASSERT_TRUE(log_->sync());
  overwrite(begins[2] + 5, "\xff");
  open();
  EXPECT_EQ(get("key1"), "value1");
  EXPECT_EQ(get("key2"), "<none>");
  EXPECT_EQ(get("key3"), "value3");
  EXPECT_EQ(log_->damaged(), 1u);
}

TEST_F(RecordLogTest, ADamagedValueIsNoneWhenItIsRead) {
  put("key", std::string(100, 'v'));
  ASSERT_TRUE(log_->sync());
  overwrite(kLogHeaderSize + kRecordHeaderSize + 3 + 50, "X");
  open();
  EXPECT_EQ(get("key"), "<none>");
  EXPECT_EQ(get("key"), "<none>");
  EXPECT_EQ(log_->damaged(), 1u);  // found, and told, once
  put("key", "again");
  EXPECT_EQ(get("key"), "again");
}

TEST_F(RecordLogTest, AValueThatCannotBeReadNowIsNotForgotten) {
  put("key", "value");
  int fd = -1;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry, gone) == path()) {
      fd = std::stoi(entry.path().filename());
    }
  }
  ASSERT_GE(fd, 0);
  const UniqueFd kept(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  const UniqueFd unreadable(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::dup2(unreadable.get(), fd), fd);
  EXPECT_EQ(get("key"), "<none>");
  ASSERT_EQ(::dup2(kept.get(), fd), fd);
  EXPECT_EQ(get("key"), "value");
  EXPECT_EQ(log_->damaged(), 0u);
}

// The header of a record whose end is cut off must not be believed once others lie where its value
// was.
TEST_F(RecordLogTest, ACutLogDoesNotSwallowWhatIsAppendedToIt) {
  put("cut", random_bytes(1000, 1));
  ASSERT_TRUE(log_->sync());
  log_.reset();
  std::filesystem::resize_file(path(), kLogHeaderSize + 500);
  for (int life = 0; life < 3; ++life) {
    open();
    EXPECT_EQ(get("cut"), "<none>");
    for (int i = 0; i < 10; ++i) put(std::to_string(life * 10 + i), std::string(100, 'v'));
    ASSERT_TRUE(log_->sync());
  }
  open();
  for (int i = 0; i < 30; ++i) EXPECT_EQ(get(std::to_string(i)), std::string(100, 'v')) << i;
}

TEST_F(RecordLogTest, AValueCannotForgeARecord) {
  // A record of another log, inside a value, behind a record that got damaged.
  TempDir elsewhere;
  const Directory other(
      UniqueFd(::open(elsewhere.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  auto forged = RecordLog::open(other, "log", logger_);
  ASSERT_TRUE((*forged)->put("secret", as_bytes("forged")));
  const std::string record = read_file(elsewhere / "log").substr(kLogHeaderSize);
  put("k", std::string(5, 'p') + record);  // 32 + 1 + 5: not aligned, so try each shift
  for (std::size_t shift = 0; shift < 8; ++shift) {
    put("k" + std::to_string(shift), std::string(shift, 'p') + record + record);
  }
  std::string bytes = read_file(path());
  for (std::size_t i = kLogHeaderSize; i + 4 < bytes.size(); i += 8) {
    if (bytes.compare(i, 4, std::string("HBRC")) == 0 && bytes.substr(i, 200).find("secret") > 60) {
      bytes[i + 20] = static_cast<char>(bytes[i + 20] ^ 1);
    }
  }
  log_.reset();
  write_file(path(), bytes);
  open();
  EXPECT_EQ(get("secret"), "<none>");
}

TEST_F(RecordLogTest, ADamagedFileHeaderSetsTheFileAside) {
  put("a", "1");
  log_.reset();
  overwrite(3, "XX");
  open();
  EXPECT_EQ(get("a"), "<none>");
  put("b", "2");
  EXPECT_TRUE(std::filesystem::exists(dir_ / "log.bad"));
  open();
  EXPECT_EQ(get("b"), "2");
}

TEST_F(RecordLogTest, NoiseIsNeverFatal) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    log_.reset();
    std::string noise = random_bytes(3000 + seed * 17, seed);
    write_file(path(), noise);
    open();
    put("k", "v");
    open();
    ASSERT_EQ(get("k"), "v") << seed;
  }
}

TEST_F(RecordLogTest, AWastefulLogIsCompacted) {
  const std::string value(10000, 'v');
  for (int i = 0; i < 40; ++i) put("same", value + std::to_string(i));
  put("other", "o");
  put("gone", value);
  ASSERT_TRUE(log_->erase("gone"));
  const std::uint64_t before = file_size();
  ASSERT_TRUE(log_->compact_if_wasteful());
  EXPECT_LT(file_size(), before / 10);
  EXPECT_EQ(get("same"), value + "39");
  put("more", "m");
  open();
  EXPECT_EQ(get("same"), value + "39");
  EXPECT_EQ(get("other"), "o");
  EXPECT_EQ(get("more"), "m");
  EXPECT_EQ(get("gone"), "<none>");
  EXPECT_EQ(log_->damaged(), 0u);
}

TEST_F(RecordLogTest, AThriftyLogIsLeftAlone) {
  for (int i = 0; i < 40; ++i) put("key" + std::to_string(i), std::string(10000, 'v'));
  const std::uint64_t before = file_size();
  ASSERT_TRUE(log_->compact_if_wasteful());
  EXPECT_EQ(file_size(), before);
}

TEST_F(RecordLogTest, PunchingGivesRoomBack) {
  put("a", std::string(60000, 'a'));
  put("b", std::string(60000, 'b'));
  ASSERT_TRUE(log_->sync());
  struct stat before {};
  ASSERT_EQ(::stat(path().c_str(), &before), 0);
  ASSERT_TRUE(log_->erase_and_punch("a"));
  struct stat after {};
  ASSERT_EQ(::stat(path().c_str(), &after), 0);
  EXPECT_LT(after.st_blocks, before.st_blocks);
  EXPECT_EQ(get("b"), std::string(60000, 'b'));
  open();
  EXPECT_EQ(get("a"), "<none>");
  EXPECT_EQ(get("b"), std::string(60000, 'b'));
}

TEST_F(RecordLogTest, OfTwoPutsTheOneThatBeganLaterWins) {
  const auto first = log_->begin("k", 1);
  const auto second = log_->begin("k", 1);
  ASSERT_TRUE(log_->finish(second, "k", as_bytes("2")));
  ASSERT_TRUE(log_->finish(first, "k", as_bytes("1")));
  EXPECT_EQ(get("k"), "2");
  open();
  EXPECT_EQ(get("k"), "2");
}

TEST_F(RecordLogTest, AnEraseThatBeganLaterBeatsAPutThatFinishesLater) {
  const auto put_ticket = log_->begin("k", 1);
  const auto erase_ticket = log_->begin("k", 0);
  ASSERT_TRUE(log_->finish(erase_ticket, "k", std::nullopt));
  ASSERT_TRUE(log_->finish(put_ticket, "k", as_bytes("1")));
  EXPECT_EQ(get("k"), "<none>");
  open();
  EXPECT_EQ(get("k"), "<none>");
}

TEST_F(RecordLogTest, ARecordInFlightIsNotCountedAsSynced) {
  put("k", "old");
  const auto torn = log_->begin("k", 9000);
  put("later", "l");
  ASSERT_TRUE(log_->sync());
  // The header of the torn one is there, its value is not: as when the process dies here.
  ASSERT_TRUE(log_->finish(torn, "k", as_bytes(std::string(9000, 'y'))));
  overwrite(torn.offset + kRecordHeaderSize + 1, std::string(9000, '\0'));
  open();
  EXPECT_EQ(get("k"), "old");
  EXPECT_EQ(get("later"), "l");
}

TEST_F(RecordLogTest, LimitsAreKept) {
  EXPECT_FALSE(log_->put("", as_bytes("x")));
  EXPECT_FALSE(log_->put(std::string(4097, 'k'), as_bytes("x")));
}

}  // namespace
}  // namespace hubvfs::cache
