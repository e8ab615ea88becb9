// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

using Environment = std::map<std::string, std::string>;

Result<ResolvedMount> resolve(const std::vector<std::string>& o, Environment environment = {},
                              bool offline = false, const std::string& type = "") {
  environment.emplace("HOME", "/home/ann");
  MountRequest request;
  request.o = o;
  request.offline = offline;
  request.type = type;
  return resolve_options(request, "/mnt/m", [environment](const char* name) -> std::string {
    const auto it = environment.find(name);
    return it == environment.end() ? "" : it->second;
  });
}

TEST(Options, DefaultsAreThoseOfTheManual) {
  auto s = resolve({});
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->worker.endpoint, "https://huggingface.co");
  EXPECT_EQ(s->worker.cache_path, "/home/ann/.cache/hubvfs");
  EXPECT_EQ(s->worker.cache_size, 0u);
  EXPECT_EQ(s->worker.memory, 256u << 20);
  EXPECT_EQ(s->worker.metadata_ttl_seconds, 300u);
  EXPECT_EQ(s->worker.metadata_settle_seconds, 60u);
  EXPECT_FALSE(s->mount.allow_other);
  EXPECT_FALSE(s->worker.offline);
  EXPECT_EQ(s->worker.log_level, LogLevel::kInfo);
  EXPECT_TRUE(s->notes.empty());
}

TEST(Options, EachKeyIsTaken) {
  auto s = resolve({"cache.path=/c,cache.size=20G",
                    "cache.mode=0770,cache.block_size=4M,metadata.ttl=1h,memory=64M",
                    "metadata.settle=3m,metadata.deadline=5s,read.deadline=2m",
                    "cache.policy=ttl,cache.ttl=7d,cache.min_free=12%",
                    "cache.high_watermark=80%,cache.low_watermark=60",
                    "endpoint=http://127.0.0.1:8080/,allow_other,log.level=debug,passthrough=off"});
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->worker.cache_path, "/c");
  EXPECT_EQ(s->worker.cache_size, 20ull << 30);
  EXPECT_EQ(s->worker.block_size, 4u << 20);
  EXPECT_EQ(s->worker.cache_mode, 0770u);
  EXPECT_EQ(s->worker.eviction.policy, cache::EvictionPolicy::kTtl);
  EXPECT_EQ(s->worker.eviction.ttl, std::chrono::hours(7 * 24));
  EXPECT_EQ(s->worker.eviction.min_free.percent, 12u);
  EXPECT_FALSE(s->worker.eviction.min_free.bytes);
  EXPECT_EQ(s->worker.eviction.high_watermark, 80u);
  EXPECT_EQ(s->worker.eviction.low_watermark, 60u);
  EXPECT_EQ(s->worker.metadata_ttl_seconds, 3600u);
  EXPECT_EQ(s->worker.metadata_settle_seconds, 180u);
  EXPECT_EQ(s->worker.metadata_deadline_seconds, 5u);
  EXPECT_EQ(s->worker.read_deadline_seconds, 120u);
  EXPECT_EQ(s->worker.memory, 64u << 20);
  EXPECT_EQ(s->worker.endpoint, "http://127.0.0.1:8080");
  EXPECT_TRUE(s->mount.allow_other);
  EXPECT_FALSE(s->passthrough);
  EXPECT_TRUE(resolve({"passthrough=off,passthrough=auto"})->passthrough);
  EXPECT_EQ(s->worker.log_level, LogLevel::kDebug);
}

TEST(Options, TheDefaultsOfEvictionAreThoseOfTheManual) {
  const auto s = resolve({});
  ASSERT_TRUE(s);
  EXPECT_EQ(s->worker.eviction.policy, cache::EvictionPolicy::kLru);
  EXPECT_EQ(s->worker.eviction.ttl, std::chrono::hours(30 * 24));
  EXPECT_EQ(s->worker.eviction.min_free.percent, 5u);
  EXPECT_EQ(s->worker.eviction.high_watermark, 95u);
  EXPECT_EQ(s->worker.eviction.low_watermark, 85u);
}

TEST(Options, WhatStaysFreeIsAShareOrASize) {
  EXPECT_EQ(resolve({"cache.min_free=20G"})->worker.eviction.min_free.bytes, 20ull << 30);
  EXPECT_EQ(resolve({"cache.min_free=0"})->worker.eviction.min_free.bytes, 0u);
  const auto later = resolve({"cache.min_free=20G,cache.min_free=7%"});
  EXPECT_FALSE(later->worker.eviction.min_free.bytes);
  EXPECT_EQ(later->worker.eviction.min_free.percent, 7u);
}

TEST(Options, EvictionThatCannotBeIsAnErrorThatSaysWhy) {
  const std::map<std::string, std::string> wrong = {
      {"cache.policy=mru", "lru, fifo or ttl"},
      {"cache.policy=ttl,cache.ttl=5s", "from 60s"},
      {"cache.ttl=7d", "cache.policy=ttl"},
      {"cache.min_free=91%", "90%"},
      {"cache.min_free=much", "5%"},
      {"cache.high_watermark=101", "100%"},
      {"cache.high_watermark=0", "1%"},
      {"cache.low_watermark=-1%", "share"},
      {"cache.low_watermark=95%", "below cache.high_watermark"},
      {"cache.high_watermark=50%", "below cache.high_watermark"}};
  for (const auto& [option, word] : wrong) {
    const auto s = resolve({option});
    ASSERT_FALSE(s) << option;
    EXPECT_EQ(s.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(s.error().context.find(word), std::string::npos) << s.error().context;
  }
}

TEST(Options, CommandLineBeatsEnvironmentBeatsDefault) {
  const Environment environment = {{"HUBVFS_CACHE_PATH", "/env"},
                                   {"HUBVFS_ENDPOINT", "https://own.example"},
                                   {"HF_ENDPOINT", "https://hf.example"},
                                   {"XDG_CACHE_HOME", "/xdg"}};
  EXPECT_EQ(resolve({}, {{"XDG_CACHE_HOME", "/xdg"}})->worker.cache_path, "/xdg/hubvfs");
  EXPECT_EQ(resolve({}, environment)->worker.cache_path, "/env");
  EXPECT_EQ(resolve({"cache.path=/o"}, environment)->worker.cache_path, "/o");
  EXPECT_EQ(resolve({}, {{"HF_ENDPOINT", "https://hf.example/"}})->worker.endpoint,
            "https://hf.example");
  EXPECT_EQ(resolve({}, environment)->worker.endpoint, "https://own.example");
}

using Mirrors = std::vector<std::string>;

TEST(Options, TheFirstOfSeveralEndpointsIsTheEndpoint) {
  EXPECT_TRUE(resolve({})->worker.mirrors.empty());
  const auto s = resolve({"endpoints=https://a/  https://b http://127.0.0.1:1/,memory=64M"});
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->worker.endpoint, "https://a");
  EXPECT_EQ(s->worker.mirrors, (Mirrors{"https://b", "http://127.0.0.1:1"}));
  EXPECT_EQ(s->worker.memory, 64u << 20);
  const std::string eight =
      "endpoints=http://1 http://2 http://3 http://4 http://5 http://6 http://7 http://8";
  EXPECT_EQ(resolve({eight})->worker.mirrors.size() + 1, kMostEndpoints);
  EXPECT_FALSE(resolve({eight + " http://9"}));
  const auto one = resolve({"endpoints=https://a"});
  EXPECT_EQ(one->worker.endpoint, "https://a");
  EXPECT_TRUE(one->worker.mirrors.empty());
}

TEST(Options, EndpointsOfALaterSourceReplaceThoseOfOneBefore) {
  const Environment environment = {{"HF_ENDPOINT", "https://hf"},
                                   {"HUBVFS_ENDPOINTS", "https://a https://b"}};
  EXPECT_EQ(resolve({}, environment)->worker.endpoint, "https://a");
  EXPECT_EQ(resolve({}, environment)->worker.mirrors, Mirrors{"https://b"});
  EXPECT_EQ(resolve({"endpoint=https://c"}, environment)->worker.endpoint, "https://c");
  EXPECT_TRUE(resolve({"endpoint=https://c"}, environment)->worker.mirrors.empty());
  EXPECT_EQ(resolve({"endpoints=https://c https://d"}, environment)->worker.mirrors,
            Mirrors{"https://d"});
}

TEST(Options, OneSourceNamesEndpointOrEndpoints) {
  for (const auto& s :
       {resolve({"endpoint=https://a", "endpoints=https://b"}),
        resolve({"endpoints=https://a,endpoint=https://b"}),
        resolve({}, {{"HUBVFS_ENDPOINT", "https://a"}, {"HUBVFS_ENDPOINTS", "https://b"}})}) {
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(s.error().context.find("both"), std::string::npos) << s.error().context;
  }
}

TEST(Options, AnUnknownKeyNamesTheKnownOnes) {
  auto s = resolve({"cache.sise=1G"});
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(s.error().context.find("cache.sise"), std::string::npos);
  for (const OptionKey& key : option_keys()) {
    EXPECT_NE(s.error().context.find(key.key), std::string::npos) << key.key;
  }
}

TEST(Options, BadValuesNameTheirPlace) {
  for (const char* bad : {"cache.size=many",
                          "cache.size=1",
                          "cache.block_size=3M",
                          "cache.mode=0777",
                          "cache.mode=755x",
                          "cache.block_size=1K",
                          "cache.block_size=32M",
                          "metadata.ttl=soon",
                          "metadata.ttl=2000d",
                          "metadata.deadline=0s",
                          "read.deadline=0s",
                          "read.deadline=-1s",
                          "read.deadline=100h",
                          "memory=1",
                          "endpoint=huggingface.co",
                          "endpoint=file:///etc",
                          "endpoint=https://a@b",
                          "endpoint=https://a/?q",
                          "endpoints=",
                          "endpoints= ",
                          "endpoints=https://a ftp://b",
                          "endpoints=https://a https://a/",
                          "allow_other=maybe",
                          "log.level=loud",
                          "passthrough=on",
                          "cache.path=",
                          "cache.path",
                          "memory"}) {
    auto s = resolve({bad});
    ASSERT_FALSE(s) << bad;
    EXPECT_EQ(s.error().code, ErrorCode::kInvalidArgument) << bad;
    EXPECT_EQ(s.error().context.find("-o "), 0u) << s.error().context;
  }
  auto from_env = resolve({}, {{"HUBVFS_MEMORY", "lots"}});
  ASSERT_FALSE(from_env);
  EXPECT_EQ(from_env.error().context.find("HUBVFS_MEMORY"), 0u) << from_env.error().context;
  EXPECT_FALSE(resolve({}, {}, false, "models"));
}

TEST(Options, ABackslashKeepsAComma) {
  auto s = resolve({"cache.path=/a\\,b,memory=64M"});
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->worker.cache_path, "/a,b");
}

TEST(Options, TheCacheMustNotLieInTheMount) {
  EXPECT_FALSE(resolve({"cache.path=/mnt/m"}));
  EXPECT_FALSE(resolve({"cache.path=/mnt/x/../m/cache"}));
  EXPECT_TRUE(resolve({"cache.path=/mnt/m2"}));
}

TEST(Options, ASharedMountCarriesNoToken) {
  const Environment token = {{"HF_TOKEN", "hf_secret"}, {"HUGGING_FACE_HUB_TOKEN", "hf_old"}};
  EXPECT_EQ(resolve({}, token)->worker.hf_token, "hf_secret");
  EXPECT_EQ(resolve({}, token)->worker.hugging_face_hub_token, "hf_old");
  // Another mount of the same daemon may use it.
  EXPECT_EQ(resolve({"allow_other"}, token)->worker.hf_token, "hf_secret");
}

TEST(Options, OfflineSaysWhy) {
  EXPECT_EQ(resolve({}, {}, true)->worker.offline_because, "--offline");
  EXPECT_EQ(resolve({}, {{"HUBVFS_OFFLINE", "1"}})->worker.offline_because, "HUBVFS_OFFLINE");
  EXPECT_EQ(resolve({}, {{"HF_HUB_OFFLINE", "yes"}})->worker.offline_because, "HF_HUB_OFFLINE");
  EXPECT_EQ(resolve({}, {{"HF_HUB_OFFLINE", "0"}})->worker.offline_because, "");
  EXPECT_FALSE(resolve({}, {{"HF_HUB_OFFLINE", "0"}})->worker.offline);
  EXPECT_TRUE(resolve({}, {}, true)->worker.offline);
}

TEST(Options, HfHubOfflineIsIgnoredForACacheInTheMount) {
  const Environment inside = {{"HF_HUB_OFFLINE", "1"}, {"HF_HUB_CACHE", "/mnt/m/.hf-cache"}};
  auto s = resolve({}, inside);
  ASSERT_TRUE(s);
  EXPECT_FALSE(s->worker.offline);
  ASSERT_EQ(s->notes.size(), 1u);
  EXPECT_NE(s->notes[0].find("HF_HUB_OFFLINE is ignored"), std::string::npos);
  Environment outside = inside;
  outside["HF_HUB_CACHE"] = "/mnt/other";
  EXPECT_TRUE(resolve({}, outside)->worker.offline);
  Environment own = inside;
  own["HUBVFS_OFFLINE"] = "1";
  EXPECT_TRUE(resolve({}, own)->worker.offline);
}

TEST(Options, EnvironmentNamesAreTheKeysInCapitals) {
  EXPECT_EQ(environment_name("cache.block_size"), "HUBVFS_CACHE_BLOCK_SIZE");
}

TEST(Options, ARepoOfItsOwnBringsItsType) {
  MountRequest request;
  request.repo = "hf://datasets/org/name@v1/sub";
  const auto home = [](const char* name) -> std::string {
    return std::string_view(name) == "HOME" ? "/home/ann" : "";
  };
  auto s = resolve_options(request, "/mnt/m", home);
  ASSERT_TRUE(s) << s.error().context;
  EXPECT_EQ(s->mount.type, hub::RepoType::kDataset);
  EXPECT_EQ(s->mount.repo, request.repo);
  request.type = "model";
  auto both = resolve_options(request, "/mnt/m", home);
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(both.error().context.find("hf://datasets/"), std::string::npos);
  request = {};
  request.repo = "hf://";
  EXPECT_FALSE(resolve_options(request, "/mnt/m", home));
}

TEST(MountSettings, SurviveTheirJourneyWithTheirOrder) {
  MountSettings settings;
  settings.type = hub::RepoType::kSpace;
  settings.allow_other = true;
  settings.repo = "hf://spaces/a/b";
  ServeOrder order;
  order.number = 7;
  order.again = true;
  order.settings = settings.encode();
  order.init_request = {std::byte{1}, std::byte{2}};
  const Bytes bytes = order.encode();
  auto back = ServeOrder::decode(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->number, 7u);
  EXPECT_TRUE(back->again);
  EXPECT_EQ(back->init_request, order.init_request);
  auto inner = MountSettings::decode(back->settings);
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->type, hub::RepoType::kSpace);
  EXPECT_TRUE(inner->allow_other);
  EXPECT_EQ(inner->repo, "hf://spaces/a/b");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ServeOrder::decode(ByteView(bytes).first(size))) << size;
  }
  Bytes poem = settings.encode();
  poem[0] = std::byte{9};
  EXPECT_FALSE(MountSettings::decode(poem));
}

TEST(WorkerSettings, SurviveTheirJourney) {
  WorkerSettings s;
  s.endpoint = "https://e";
  s.mirrors = {"https://m", "https://n"};
  s.offline = true;
  s.offline_because = "--offline";
  s.cache_path = "/c";
  s.cache_size = 1;
  s.block_size = 2;
  s.cache_mode = 0750;
  s.eviction.policy = cache::EvictionPolicy::kTtl;
  s.eviction.ttl = std::chrono::hours(5);
  s.eviction.min_free = {7, 8};
  s.eviction.high_watermark = 9;
  s.eviction.low_watermark = 8;
  s.memory = 3;
  s.metadata_ttl_seconds = 4;
  s.metadata_settle_seconds = 7;
  s.metadata_deadline_seconds = 5;
  s.read_deadline_seconds = 6;
  s.log_level = LogLevel::kError;
  s.log_file = "/l";
  s.hf_token = "t1";
  s.hugging_face_hub_token = "t2";
  const Bytes bytes = s.encode();
  auto back = WorkerSettings::decode(bytes);
  ASSERT_TRUE(back) << back.error().context;
  EXPECT_EQ(back->encode(), bytes);
  EXPECT_EQ(back->mirrors, s.mirrors);
  EXPECT_EQ(back->eviction, s.eviction);
  EXPECT_EQ(back->cache_mode, 0750u);
  EXPECT_EQ(back->offline_because, "--offline");
  EXPECT_EQ(back->log_level, LogLevel::kError);
  EXPECT_EQ(back->hugging_face_hub_token, "t2");
}

TEST(WorkerSettings, APolicyThatDoesNotExistIsRefused) {
  WorkerSettings s;
  s.eviction.policy = static_cast<cache::EvictionPolicy>(3);
  EXPECT_FALSE(WorkerSettings::decode(s.encode()));
}

TEST(WorkerSettings, AnotherVersionOrATornMessageIsRefused) {
  const Bytes bytes = WorkerSettings{}.encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(WorkerSettings::decode(ByteView(bytes).first(size))) << size;
  }
  Bytes longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(WorkerSettings::decode(longer));
  Bytes other = bytes;
  other[4] = std::byte{'9'};
  EXPECT_FALSE(WorkerSettings::decode(other));
}

}  // namespace
}  // namespace hubvfs::daemon
