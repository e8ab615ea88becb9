// SPDX-License-Identifier: Apache-2.0
#include "hub/token.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <map>

#include "tests/support/temp_dir.h"

namespace hubvfs::hub {
namespace {

TokenSource source(std::map<std::string, std::string> environment) {
  return TokenSource([environment](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  });
}

TEST(HubProtocolF, TheVariableComesFirst) {
  TempDir dir;
  write_file(dir / "token", "hf_fromthefile");
  auto tokens = source({{"HF_TOKEN", " hf_fromvariable\r\n"},
                        {"HUGGING_FACE_HUB_TOKEN", "hf_legacyone"},
                        {"HF_TOKEN_PATH", dir / "token"}});
  EXPECT_EQ(tokens.token(), "hf_fromvariable");
  EXPECT_EQ(tokens.origin(), "HF_TOKEN");
}

TEST(HubProtocolF, TheLegacyVariableComesNext) {
  auto tokens = source({{"HUGGING_FACE_HUB_TOKEN", "hf_legacyone"}, {"HOME", "/nonexistent"}});
  EXPECT_EQ(tokens.token(), "hf_legacyone");
  EXPECT_EQ(tokens.origin(), "HUGGING_FACE_HUB_TOKEN");
}

TEST(HubProtocolF, TheFileIsFoundAsHuggingfaceHubFindsIt) {
  EXPECT_EQ(source({{"HF_TOKEN_PATH", "/p"}, {"HF_HOME", "/h"}}).origin(), "/p");
  EXPECT_EQ(source({{"HF_HOME", "/h"}, {"XDG_CACHE_HOME", "/c"}}).origin(), "/h/token");
  EXPECT_EQ(source({{"XDG_CACHE_HOME", "/c"}, {"HOME", "/u"}}).origin(), "/c/huggingface/token");
  EXPECT_EQ(source({{"HOME", "/u"}}).origin(), "/u/.cache/huggingface/token");
  EXPECT_EQ(source({{"HF_HOME", "~/hf"}, {"HOME", "/u"}}).origin(), "/u/hf/token");
  EXPECT_EQ(source({}).origin(), "");
  EXPECT_EQ(source({}).token(), "");
}

TEST(HubProtocolF, TheFileIsReadAgainWhenItChanges) {
  TempDir dir;
  auto tokens = source({{"HF_TOKEN_PATH", dir / "token"}});
  EXPECT_EQ(tokens.token(), "");
  write_file(dir / "token", "hf_firstone\n");
  EXPECT_EQ(tokens.token(), "hf_firstone");
  write_file(dir / "other", "hf_secondone");
  ASSERT_EQ(std::rename((dir / "other").c_str(), (dir / "token").c_str()), 0);
  EXPECT_EQ(tokens.token(), "hf_secondone");
  ASSERT_EQ(std::remove((dir / "token").c_str()), 0);
  EXPECT_EQ(tokens.token(), "");
}

TEST(HubProtocolF, AChangeThatLeavesSizeAndTimeAloneCountsToo) {
  TempDir dir;
  write_file(dir / "token", "hf_firstone");
  auto tokens = source({{"HF_TOKEN_PATH", dir / "token"}});
  EXPECT_EQ(tokens.token(), "hf_firstone");
  struct stat before {};
  ASSERT_EQ(::stat((dir / "token").c_str(), &before), 0);
  write_file(dir / "token", "hf_otherone");
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir / "token").c_str(), times, 0), 0);
  EXPECT_EQ(tokens.token(), "hf_otherone");
}

TEST(HubProtocolF, PathsAreExpanded) {
  const auto origin = [](const std::string& path) {
    return source({{"HF_TOKEN_PATH", path}, {"HOME", "/u"}, {"JOB_1", "j"}}).origin();
  };
  EXPECT_EQ(origin("~/t"), "/u/t");
  EXPECT_EQ(origin("$HOME/$JOB_1/t"), "/u/j/t");
  EXPECT_EQ(origin("${HOME}x${JOB_1}"), "/uxj");
  for (const char* as_it_is :
       {"/a/$UNSET/t", "/a/${UNSET}", "/a/${HOME", "/a/$", "/a/$$", "~other/t"}) {
    EXPECT_EQ(origin(as_it_is), as_it_is);
  }
}

TEST(HubProtocolF, NoTokenIsSentUnasked) {
  for (const char* on : {"1", "ON", "yes", "True"}) {
    const auto tokens =
        source({{"HF_HUB_DISABLE_IMPLICIT_TOKEN", on}, {"HF_TOKEN", "hf_fromvariable"}});
    EXPECT_EQ(tokens.token(), "") << on;
    EXPECT_EQ(tokens.origin(), "") << on;
  }
  EXPECT_EQ(
      source({{"HF_HUB_DISABLE_IMPLICIT_TOKEN", "0"}, {"HF_TOKEN", "hf_fromvariable"}}).token(),
      "hf_fromvariable");
}

TEST(HubProtocolF, WhatCannotBeATokenCountsAsNone) {
  TempDir dir;
  for (const std::string& bad :
       {std::string("short"), std::string(513, 'x'), std::string("hf_with blank"),
        std::string("hf_line\r\nX-Evil: 1"), std::string("hf_\xc3\xa4\xc3\xb6\xc3\xbc"),
        std::string("hf_nul\0byte", 11), std::string(5000, 'y')}) {
    EXPECT_EQ(source({{"HF_TOKEN", bad}}).token(), "");
    write_file(dir / "token", bad);
    EXPECT_EQ(source({{"HF_TOKEN_PATH", dir / "token"}}).token(), "");
  }
  EXPECT_EQ(source({{"HF_TOKEN", "bad"}, {"HUGGING_FACE_HUB_TOKEN", "hf_legacyone"}}).token(), "");
  EXPECT_EQ(source({{"HF_TOKEN", " \n"}, {"HUGGING_FACE_HUB_TOKEN", "hf_legacyone"}}).token(),
            "hf_legacyone");
}

TEST(HubProtocolF, WhatCannotBeATokenIsTold) {
  TempDir dir;
  write_file(dir / "token", "hf_with blank");
  const auto file = source({{"HF_TOKEN_PATH", dir / "token"}}).check();
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().context.find(dir / "token"), std::string::npos);
  EXPECT_EQ(file.error().context.find("with blank"), std::string::npos);
  const auto variable = source({{"HF_TOKEN", "short"}}).check();
  ASSERT_FALSE(variable);
  EXPECT_TRUE(variable.error().context.starts_with("HF_TOKEN holds no token"))
      << variable.error().context;
  EXPECT_TRUE(source({{"HF_TOKEN", "hf_fromvariable"}}).check());
  EXPECT_TRUE(source({}).check());
}

TEST(HubProtocolF, WhatIsNoPlainFileIsNotRead) {
  TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(source({{"HF_TOKEN_PATH", dir / "fifo"}}).token(), "");  // and does not hang
  EXPECT_EQ(source({{"HF_TOKEN_PATH", dir.path()}}).token(), "");
}

}  // namespace
}  // namespace hubvfs::hub
