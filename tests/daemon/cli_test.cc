// SPDX-License-Identifier: Apache-2.0
#include "daemon/cli.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "base/json.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

struct Ran {
  int status = -1;
  std::string out;
  std::string err;
};

Ran run_with(const std::vector<std::string>& args,
             const std::map<std::string, std::string>& environment = {}) {
  std::ostringstream out;
  std::ostringstream err;
  const Io io{out, err, [environment](const char* name) -> std::string {
                const auto it = environment.find(name);
                return it == environment.end() ? "" : it->second;
              }};
  Ran ran;
  ran.status = run(args, io);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

TEST(Cli, WrongUsageSaysWhatAndExitsTwo) {
  const std::vector<std::vector<std::string>> wrong = {{},
                                                       {"nope"},
                                                       {"mount"},
                                                       {"mount", "a", "b", "c"},
                                                       {"mount", "--nope", "a"},
                                                       {"mount", "--type"},
                                                       {"umount"},
                                                       {"umount", "a", "b"},
                                                       {"status", "a", "b"},
                                                       {"serve"},
                                                       {"serve", "a", "--page-size", "many"},
                                                       {"serve", "a", "--content-port", "70000"}};
  for (const auto& args : wrong) {
    const Ran ran = run_with(args);
    EXPECT_EQ(ran.status, kExitUsage) << testing::PrintToString(args);
    EXPECT_NE(ran.err, "") << testing::PrintToString(args);
    EXPECT_EQ(ran.out, "") << testing::PrintToString(args);
  }
}

TEST(Cli, AMistakeNamesTheCommandToAsk) {
  EXPECT_NE(run_with({"mount"}).err.find("hubvfs mount --help"), std::string::npos);
}

TEST(Cli, HelpGoesToStandardOutput) {
  for (const char* command : {"mount", "umount", "status", "serve"}) {
    const Ran ran = run_with({command, "--help"});
    EXPECT_EQ(ran.status, kExitOk);
    EXPECT_NE(ran.out.find(std::string("hubvfs ") + command), std::string::npos);
  }
}

TEST(Cli, VersionNamesWhatABugReportNeeds) {
  const Ran ran = run_with({"--version"});
  EXPECT_EQ(ran.status, kExitOk);
  for (const char* line : {"hubvfs " HUBVFS_VERSION "\n", "kernel: ", "libfuse: 3.",
                           "libcurl: ", "cache format: ", "passthrough: for root, on Linux 6.9"}) {
    EXPECT_NE(ran.out.find(line), std::string::npos) << line;
  }
}

TEST(Cli, ABadOptionLeavesNoFolderBehind) {
  TempDir dir;
  const Ran ran = run_with({"mount", dir / "m", "-o", "cache.sise=1"}, {{"HOME", dir.path()}});
  EXPECT_EQ(ran.status, kExitUsage);
  EXPECT_NE(ran.err.find("cache.sise"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(dir / "m"));
}

TEST(Cli, ASingleRepoNeedsAFolderAndANameThatCanBe) {
  const Ran alone = run_with({"mount", "hf://org/name"});
  EXPECT_EQ(alone.status, kExitUsage);
  EXPECT_NE(alone.err.find("hubvfs mount hf://org/name DIR"), std::string::npos) << alone.err;
  TempDir dir;
  const Ran wrong = run_with({"mount", "hf://org/../x", dir / "m"}, {{"HOME", dir.path()}});
  EXPECT_EQ(wrong.status, kExitUsage);
  EXPECT_NE(wrong.err.find("hf://"), std::string::npos) << wrong.err;
  EXPECT_FALSE(std::filesystem::exists(dir / "m"));
}

TEST(Cli, WhatIsNotMountedIsSaid) {
  TempDir dir;
  for (const char* command : {"umount", "status"}) {
    const Ran ran = run_with({command, dir.path()});
    EXPECT_EQ(ran.status, kExitFailed) << command;
    EXPECT_NE(ran.err.find("no hubvfs is mounted at " + dir.path()), std::string::npos) << ran.err;
  }
}

TEST(Cli, StatusOfAllIsAlwaysWholeJson) {
  struct Counter final : JsonVisitor {
    bool scalar(const std::string&, JsonScalar&&) override { return true; }
    bool begin_array(const std::string&) override { return ++arrays > 0; }
    int arrays = 0;
  } counter;
  const Ran ran = run_with({"status", "--json"});
  EXPECT_EQ(ran.status, kExitOk);
  auto parsed = parse_json(ran.out, counter);
  ASSERT_TRUE(parsed) << parsed.error().context;
  EXPECT_GE(counter.arrays, 1);
}

TEST(Cli, ServeRefusesBadPlacesBeforeItStarts) {
  TempDir dir;
  const std::map<std::string, std::string> environment = {{"XDG_STATE_HOME", dir.path()}};
  for (const char* bad : {"127.0.0.1:99999", "127.0.0.1:http", ":1", "127.0.0.1:-1"}) {
    const Ran ran = run_with({"serve", dir.path(), "--listen", bad}, environment);
    EXPECT_EQ(ran.status, kExitUsage) << bad;
    EXPECT_NE(ran.err.find("--listen"), std::string::npos) << ran.err;
  }
  EXPECT_EQ(run_with({"serve", dir.path(), "--url-lifetime", "never"}, environment).status,
            kExitUsage);
  EXPECT_NE(run_with({"serve", dir / "absent"}, environment).status, kExitOk);
}

TEST(Cli, AWorkerRunByHandRefuses) {
  // Its descriptors are not there, or this process has privileges: an end, not a hang.
  EXPECT_NE(std::system((std::string(HUBVFS_BINARY) + " internal-worker 3<&- 4<&-").c_str()), 0);
}

}  // namespace
}  // namespace hubvfs::daemon
