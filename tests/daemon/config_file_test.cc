// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>

#include "daemon/options.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

using Environment = std::map<std::string, std::string>;

std::string complaint(const std::string& text) {
  const auto file = parse_config(text, "FILE");
  if (file) return "none";
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
  return file.error().context;
}

TEST(ConfigFile, KeysAreWordsWithDotsOrNestedMaps) {
  const auto file = parse_config(
      "# ours\ncache.size: 20G\ncache:\n  path: /srv/c\n  mode: 0755\nmetadata: {ttl: 1h}\n"
      "allow_other: yes\n",
      "FILE");
  ASSERT_TRUE(file) << file.error().context;
  std::map<std::string, std::string> found;
  for (const ConfigSetting& setting : file->settings) found[setting.key] = setting.value;
  EXPECT_EQ(found, (std::map<std::string, std::string>{{"cache.size", "20G"},
                                                       {"cache.path", "/srv/c"},
                                                       {"cache.mode", "0755"},
                                                       {"metadata.ttl", "1h"},
                                                       {"allow_other", "yes"}}));
  EXPECT_EQ(file->settings[1].where, "FILE:4");
  EXPECT_TRUE(parse_config("", "FILE")->settings.empty());
  EXPECT_TRUE(parse_config("# nothing yet\n", "FILE")->settings.empty());
}

TEST(ConfigFile, EndpointsMayBeAListOrItsText) {
  for (const char* text :
       {"endpoints: [https://a, https://b]\n", "endpoints:\n  - https://a\n  - https://b\n",
        "endpoints: https://a https://b\n"}) {
    const auto file = parse_config(text, "FILE");
    ASSERT_TRUE(file) << file.error().context;
    ASSERT_EQ(file->settings.size(), 1u);
    EXPECT_EQ(file->settings[0].key, "endpoints");
    EXPECT_EQ(file->settings[0].value, "https://a https://b");
  }
  for (const char* text : {"endpoints: []\n", "endpoints: [[https://a]]\n",
                           "endpoints: [https://a, {b: c}]\n", "endpoint: [https://a]\n"}) {
    EXPECT_NE(complaint(text).find("needs one value"), std::string::npos) << text;
  }
}

TEST(ConfigFile, WhatIsWrongIsSaidWithItsLine) {
  EXPECT_EQ(complaint("a: 1\n- b\n").substr(0, 19), "FILE:2 is not YAML:");
  EXPECT_EQ(complaint("just words"), "FILE:1 is no map of settings (KEY: VALUE)");
  EXPECT_EQ(complaint("memory: 1G\ncache.path: [a, b]\n"), "FILE:2 \"cache.path\" needs one value");
  EXPECT_EQ(complaint("cache:\n  size:\n"), "FILE:2 \"cache.size\" needs one value");
  EXPECT_EQ(complaint("cache.size: 1G\ncache:\n  size: 2G\n"),
            "FILE:3 \"cache.size\" is there twice");
  EXPECT_EQ(complaint("[a]: 1\n"), "FILE:1 a key is one word");
  EXPECT_EQ(complaint("environments:\n  a: {}\n  a: {}\n"),
            "FILE:3 environment \"a\" is there twice");
  EXPECT_EQ(complaint("environments:\n  a: word\n"), "FILE:2 is no map of settings (KEY: VALUE)");
}

TEST(ConfigFile, AliasesThatGrowAndDeepNestsAreRefused) {
  std::string bomb = "a0: &a0 {x: 1, y: 2, z: 3}\n";
  for (int i = 1; i < 30; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " {x: " + below +
            ", y: " + below + "}\n";
  }
  EXPECT_NE(complaint(bomb), "none");
  EXPECT_NE(complaint(std::string(200'000, '[')), "none");
  std::string deep = "1";
  for (int i = 0; i < 20; ++i) deep = "{a: " + deep + "}";
  EXPECT_NE(complaint("a: " + deep).find("nested too deep"), std::string::npos);
}

TEST(ConfigFile, AFileThatIsNoneOrTooLargeIsSaid) {
  TempDir dir;
  EXPECT_EQ(read_config(dir / "absent").error().code, ErrorCode::kNotFound);
  EXPECT_NE(read_config(dir.path()).error().context.find("is no file"), std::string::npos);
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_NE(read_config(dir / "pipe").error().context.find("is no file"), std::string::npos);
  write_file(dir / "large", std::string(300'000, '#'));
  EXPECT_NE(read_config(dir / "large").error().context.find("more than"), std::string::npos);
}

// Options from files, the environment and -o.
class ConfiguredOptions : public testing::Test {
 protected:
  void system(const std::string& text) { write_file(dir_ / "system.yaml", text); }
  void own(const std::string& text) { write_file(dir_ / "config/hubvfs/config.yaml", text); }
  Result<ResolvedMount> resolve(const std::vector<std::string>& o = {},
                                Environment environment = {}, const std::string& config = "") {
    environment.emplace("HOME", "/home/ann");
    environment.emplace("XDG_CONFIG_HOME", dir_ / "config");
    MountRequest request;
    request.o = o;
    request.config = config;
    const auto getenv = [environment](const char* name) -> std::string {
      const auto it = environment.find(name);
      return it == environment.end() ? "" : it->second;
    };
    return resolve_options(request, "/mnt/m", getenv, dir_ / "system.yaml");
  }
  std::string complaint_of(const Result<ResolvedMount>& resolved) {
    return resolved ? "none" : resolved.error().context;
  }
  TempDir dir_;
};

TEST_F(ConfiguredOptions, EachSourceBeatsThoseBelowKeyByKey) {
  system("memory: 100M\ncache.size: 1G\nmetadata.ttl: 1m\nread.deadline: 10s\n");
  own("cache.size: 2G\nmetadata.ttl: 2m\nread.deadline: 20s\n");
  const auto s = resolve({"read.deadline=40s"},
                         {{"HUBVFS_METADATA_TTL", "3m"}, {"HUBVFS_READ_DEADLINE", "30s"}});
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->worker.memory, 100u << 20);
  EXPECT_EQ(s->worker.cache_size, 2ull << 30);
  EXPECT_EQ(s->worker.metadata_ttl_seconds, 180u);
  EXPECT_EQ(s->worker.read_deadline_seconds, 40u);
}

TEST_F(ConfiguredOptions, AnEnvironmentIsChosenByItsName) {
  own("cache.path: /plain\nmemory: 64M\n"
      "environments:\n  staging:\n    cache:\n      path: /srv/staging\n"
      "  production: {cache.path: /srv/production, cache.policy: fifo}\n");
  EXPECT_EQ(resolve()->worker.cache_path, "/plain");
  EXPECT_EQ(resolve({}, {{"HUBVFS_ENV", "staging"}})->worker.cache_path, "/srv/staging");
  const auto production = resolve({}, {{"HUBVFS_ENV", "production"}});
  ASSERT_TRUE(production);
  EXPECT_EQ(production->worker.cache_path, "/srv/production");
  EXPECT_EQ(production->worker.eviction.policy, cache::EvictionPolicy::kFifo);
  EXPECT_EQ(production->worker.memory, 64u << 20);
  EXPECT_EQ(complaint_of(resolve({}, {{"HUBVFS_ENV", "prod"}})),
            "HUBVFS_ENV: there is no environment \"prod\" in the configuration files; there are "
            "production, staging");
}

TEST_F(ConfiguredOptions, APersonalDaemonHasItsOwnPlace) {
  system(
      "cache.path: /var/cache/hubvfs\ncache.size: 5G\n"
      "environments: {production: {cache.path: /srv/hubvfs, cache.size: 6G}}\n");
  const auto s = resolve({}, {{"HUBVFS_ENV", "production"}});
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->worker.cache_path, "/home/ann/.cache/hubvfs");
  EXPECT_EQ(s->worker.cache_size, 6ull << 30);
}

TEST_F(ConfiguredOptions, OneThatIsNamedTakesThePlaceOfBoth) {
  system("memory: 100M\n");
  own("cache.size: 2G\n");
  write_file(dir_ / "other.yaml", "cache.path: /other\n");
  const auto s = resolve({}, {}, dir_ / "other.yaml");
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->worker.cache_path, "/other");
  EXPECT_EQ(s->worker.cache_size, 0u);
  EXPECT_EQ(s->worker.memory, 256u << 20);
  EXPECT_FALSE(resolve({}, {}, dir_ / "absent.yaml"));
}

TEST_F(ConfiguredOptions, AFileNamesEndpointOrEndpoints) {
  system("endpoint: https://a\n");
  own("endpoints: [https://b, https://c]\nenvironments:\n  x:\n    endpoint: https://d\n");
  EXPECT_EQ(resolve()->worker.endpoint, "https://b");
  EXPECT_EQ(resolve()->worker.mirrors, std::vector<std::string>{"https://c"});
  EXPECT_EQ(resolve({}, {{"HUBVFS_ENV", "x"}})->worker.endpoint, "https://d");
  EXPECT_TRUE(resolve({}, {{"HF_ENDPOINT", "https://e"}})->worker.mirrors.empty());
  own("endpoint: https://b\nendpoints: [https://b, https://c]\n");
  EXPECT_NE(complaint_of(resolve()).find("config.yaml:2 endpoints: "), std::string::npos)
      << complaint_of(resolve());
}

TEST_F(ConfiguredOptions, AWrongSettingNamesFileAndLine) {
  own("memory: 64M\n\ncache.sise: 1G\n");
  EXPECT_NE(complaint_of(resolve()).find("config.yaml:3: there is no option \"cache.sise\""),
            std::string::npos)
      << complaint_of(resolve());
  own("memory: much\n");
  EXPECT_NE(complaint_of(resolve()).find("config.yaml:1 memory: \"much\" is not a size"),
            std::string::npos)
      << complaint_of(resolve());
  own("environments:\n  later:\n    memory: much\n");
  EXPECT_NE(complaint_of(resolve()).find("config.yaml:3"), std::string::npos)
      << "found before it is needed";
}

}  // namespace
}  // namespace hubvfs::daemon
