// SPDX-License-Identifier: Apache-2.0
#include "hub/server/token_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "tests/hub_server/served_folder.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::hub::server {
namespace {

TEST(TokenUsers, LinesOfTokenAndUser) {
  const auto tokens = TokenUsers::parse("# tokens\n\nhf_abcdefgh ada\r\n  hf_12345678\tbob  \n");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->user_of("hf_abcdefgh"), "ada");
  EXPECT_EQ(tokens->user_of("hf_12345678"), "bob");
  EXPECT_EQ(tokens->user_of("hf_other"), "");
  EXPECT_EQ(tokens->user_of(""), "");
}

TEST(TokenUsers, BadLinesAreNamedByNumberWithoutTheirContent) {
  for (const char* line :
       {"hf_abcdefgh", "short ada", "hf_abcdefgh two words", "hf_abcdefgh ada\nhf_abcdefgh bob",
        "hf_abc\x01"
        "defgh ada"}) {
    const auto tokens = TokenUsers::parse(std::string("# first\n") + line + "\n");
    ASSERT_FALSE(tokens) << line;
    EXPECT_EQ(tokens.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(tokens.error().context.find("line "), std::string::npos);
    EXPECT_EQ(tokens.error().context.find("hf_abc"), std::string::npos);
  }
}

class Tokens : public ::testing::Test {
 protected:
  void put(const std::string& text) { write_file(path_, text); }
  void open() {
    auto opened = TokenFile::open(path_, log_, clock_);
    ASSERT_TRUE(opened) << opened.error().context;
    file_ = std::move(*opened);
  }
  std::string user_a_second_later(const std::string& token) {
    clock_.advance(std::chrono::seconds(1));
    return file_->user_of(token);
  }
  std::size_t complaints() const {
    std::size_t count = 0;
    const std::string text = log_.text();
    for (std::size_t at = 0; (at = text.find("go on to count", at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  }
  TempDir folder_;
  const std::string path_ = folder_ / "tokens";
  KeptLog log_;
  ManualClock clock_;
  std::unique_ptr<TokenFile> file_;
};

TEST_F(Tokens, AddedAndRevokedTokensCountASecondLater) {
  put("hf_of_ada_ ada\n");
  open();
  EXPECT_EQ(file_->user_of("hf_of_ada_"), "ada");
  put("hf_of_ada_ ada\nhf_of_bob_ bob\n");
  EXPECT_EQ(user_a_second_later("hf_of_bob_"), "bob");
  put("hf_of_bob_ bob\n");
  EXPECT_EQ(user_a_second_later("hf_of_ada_"), "");
  EXPECT_EQ(user_a_second_later("hf_of_bob_"), "bob");
  EXPECT_NE(log_.text().find("tokens: 1\n"), std::string::npos);
}

TEST_F(Tokens, AFileRenamedIntoPlaceIsSeenThoughItLooksAlike) {
  put("hf_of_ada_ ada\n");
  open();
  write_file(folder_ / "new", "hf_of_eve_ eve\n");
  ASSERT_EQ(std::rename((folder_ / "new").c_str(), path_.c_str()), 0);
  EXPECT_EQ(user_a_second_later("hf_of_ada_"), "");
  EXPECT_EQ(user_a_second_later("hf_of_eve_"), "eve");
}

TEST_F(Tokens, AWrongVersionChangesNothingAndIsLoggedOnceByItsLine) {
  put("hf_of_ada_ ada\n");
  open();
  put("hf_of_bob_ bob\nhf_secret_without_user\n");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(user_a_second_later("hf_of_ada_"), "ada");
  EXPECT_EQ(file_->user_of("hf_of_bob_"), "");
  EXPECT_EQ(complaints(), 1u);
  EXPECT_NE(log_.text().find("line 2 "), std::string::npos);
  EXPECT_EQ(log_.text().find("hf_"), std::string::npos);
  put("hf_of_bob_ bobby\n");
  EXPECT_EQ(user_a_second_later("hf_of_bob_"), "bobby");
  put("wrong again\n");
  EXPECT_EQ(user_a_second_later("hf_of_bob_"), "bobby");
  EXPECT_EQ(complaints(), 2u);
}

TEST_F(Tokens, AFileThatIsGoneChangesNothingAndIsLoggedOnce) {
  put("hf_of_ada_ ada\n");
  open();
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(user_a_second_later("hf_of_ada_"), "ada");
  EXPECT_EQ(complaints(), 1u);
}

TEST_F(Tokens, APipeIsReadOnce) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  std::thread writer([&] { put("hf_of_ada_ ada\n"); });
  open();
  writer.join();
  EXPECT_EQ(user_a_second_later("hf_of_ada_"), "ada") << "and does not wait for another writer";
}

TEST_F(Tokens, WithoutAFileThereAreNone) {
  const auto file = TokenFile::open("", log_, clock_);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->user_of("hf_of_ada_"), "");
}

}  // namespace
}  // namespace hubvfs::hub::server
