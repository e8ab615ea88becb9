// SPDX-License-Identifier: Apache-2.0
// Hub-protocol C: listings of files.
#include <sys/wait.h>

#include <cstdio>

#include "base/text.h"
#include "tests/hub_server/sample_repo.h"

namespace hubvfs::hub::server {
namespace {

using HubProtocolC1 = SampleRepo;
using HubProtocolC2 = SampleRepo;
using HubProtocolC3 = SampleRepo;
using HubProtocolC4 = SampleRepo;

TEST_F(HubProtocolC1, RootListingIsNotRecursive) {
  serve();
  const HttpReply reply = get("/api/models/acme/m/tree/main");
  EXPECT_EQ(column(reply.body, "path"), (Names{"a-b", "a", "tokenizer", "a.b", "config.json",
                                               "empty.txt", "n\xc3\xa4me #%.txt"}));
  auto flat = flat_json(reply.body);
  EXPECT_EQ(flat["[2].type"], "directory");
  EXPECT_EQ(flat["[2].oid"], "cbf6da8b9a1555fa4b1069c3e63a13bb2ac1c8ad");
  EXPECT_EQ(flat["[2].size"], "0");
  EXPECT_EQ(flat["[4].type"], "file");
  EXPECT_EQ(flat["[4].oid"], "dc1fb7b6703fe03317c1a080b523bf475f3d4818");
  EXPECT_EQ(flat["[4].size"], "23");
}

TEST_F(HubProtocolC1, DirectoryIsTakenEncodedOrNot) {
  serve();
  for (const char* directory : {"tokenizer/deep", "tokenizer%2Fdeep"}) {
    const HttpReply reply = get(std::string("/api/models/acme/m/tree/main/") + directory);
    EXPECT_EQ(column(reply.body, "path"), Names{"tokenizer/deep/f"}) << directory;
  }
  EXPECT_EQ(column(get("/api/models/acme/m/tree/main/tokenizer").body, "path"),
            (Names{"tokenizer/deep", "tokenizer/vocab.txt"}));
}

TEST_F(HubProtocolC1, RecursiveListingIsDepthFirst) {
  serve();
  EXPECT_EQ(
      column(get("/api/models/acme/m/tree/main?recursive=true").body, "path"),
      (Names{"a-b", "a-b/y", "a", "a/x", "tokenizer", "tokenizer/deep", "tokenizer/deep/f",
             "tokenizer/vocab.txt", "a.b", "config.json", "empty.txt", "n\xc3\xa4me #%.txt"}));
}

TEST_F(HubProtocolC1, PagesFollowAbsoluteLinksAndLoseNothing) {
  serve();
  int count = 0;
  const Names whole = pages("/api/models/acme/m/tree/main?recursive=true", "path", count);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(pages("/api/models/acme/m/tree/main?recursive=True&limit=5", "path", count), whole);
  EXPECT_EQ(count, 3);
  EXPECT_EQ(pages("/api/models/acme/m/tree/main?limit=3", "path", count).size(), 7u);
  EXPECT_EQ(count, 3);
  EXPECT_EQ(pages("/api/models/acme/m/tree/main/tokenizer?limit=1", "path", count),
            (Names{"tokenizer/deep", "tokenizer/vocab.txt"}));
}

TEST_F(HubProtocolC1, ATreePageHasAtMost1000EntriesAnd100WithExpand) {
  for (int i = 0; i < 1001; ++i) put("acme/many/" + std::to_string(i), "");
  serve();
  for (const auto& [query, most] :
       {std::pair("", 1000u), std::pair("?limit=1000", 1000u), std::pair("?expand=true", 100u)}) {
    const HttpReply page = get(std::string("/api/models/acme/many/tree/main") + query);
    EXPECT_EQ(column(page.body, "path").size(), most) << query;
    EXPECT_NE(page.header("link").find("&limit=" + std::to_string(most) + "&"), std::string::npos);
  }
  int count = 0;
  EXPECT_EQ(pages("/api/models/acme/many/tree/main", "path", count).size(), 1001u);
  EXPECT_EQ(count, 2);
}

TEST_F(HubProtocolC1, TheNextLinkKeepsItsParametersWithBooleansWrittenOut) {
  serve();
  const std::string start = "<" + server_->url() + "/api/models/acme/m/tree/main/tokenizer%2Fdeep";
  put("acme/m/tokenizer/deep/g", "x");
  EXPECT_TRUE(eventually([&] {
    later();
    return get("/api/models/acme/m/tree/main/tokenizer%2Fdeep?limit=1&recursive=1").has("link");
  }));
  const std::string link =
      get("/api/models/acme/m/tree/main/tokenizer%2Fdeep?limit=1&recursive=1").header("link");
  EXPECT_TRUE(link.starts_with(start + "?recursive=true&expand=false&limit=1&cursor=")) << link;
}

TEST_F(HubProtocolC1, SmallPagesOfTheServerBindAClientThatAsksForMore) {
  options_.page_size = 2;
  serve();
  int count = 0;
  EXPECT_EQ(pages("/api/models/acme/m/tree/main?recursive=true&limit=1000", "path", count).size(),
            12u);
  EXPECT_EQ(count, 6);
}

TEST_F(HubProtocolC1, BadLimitsAndCursorsAre400) {
  serve();
  const std::string tree = "/api/models/acme/m/tree/main?";
  const HttpReply big = get(tree + "limit=1001");
  EXPECT_EQ(big.status, 400);
  EXPECT_TRUE(big.header("x-error-message").starts_with("* Too big:"));
  EXPECT_FALSE(big.has("x-error-code"));
  EXPECT_EQ(get(tree + "limit=101&expand=true").status, 400);
  EXPECT_EQ(get(tree + "limit=-1").status, 400);
  EXPECT_EQ(get(tree + "cursor=nonsense").status, 400);
  EXPECT_EQ(get(tree + "cursor=" + sha_of("acme/m") + "-99999").status, 400);
  EXPECT_EQ(get(tree + "cursor=" + std::string(40, 'a') + "-1").status, 400);
}

TEST_F(HubProtocolC2, LfsFilesNameContentByShaAndPointerByOid) {
  put("acme/m/.gitattributes", "*.bin filter=lfs\n");
  put("acme/m/w.bin", "lfs contents");
  const std::string large = random_bytes(10u << 20, 3);
  put("acme/big/model.safetensors", large);
  put("acme/big/almost", large.substr(1));
  serve();
  auto flat = flat_json(get("/api/models/acme/m/tree/main?limit=1000").body);
  EXPECT_EQ(flat["[8].path"], "w.bin");
  EXPECT_EQ(flat["[8].oid"], "c961152a39c87314cb68274d3decb6f19ed5691f");
  EXPECT_EQ(flat["[8].size"], "12");
  EXPECT_EQ(flat["[8].lfs.oid"],
            "2c3f1fb8ec279834549a5d7c97f84ac914edf558b44b0b91a4a342ae801f494d");
  EXPECT_EQ(flat["[8].lfs.size"], "12");
  EXPECT_EQ(flat["[8].lfs.pointerSize"], "127");
  flat = flat_json(get("/api/models/acme/big/tree/main").body);
  EXPECT_EQ(flat.count("[0].lfs.oid"), 0u) << "one byte below 10 MiB";
  EXPECT_EQ(flat["[1].lfs.size"], std::to_string(large.size()));
}

TEST_F(HubProtocolC2, ExpandAddsTheLastCommit) {
  serve();
  auto flat = flat_json(get("/api/models/acme/m/tree/main?expand=true").body);
  EXPECT_EQ(flat["[4].lastCommit.id"], sha_of("acme/m"));
  EXPECT_FALSE(flat["[4].lastCommit.title"].empty());
  EXPECT_TRUE(flat["[4].lastCommit.date"].ends_with(".000Z"));
}

TEST_F(HubProtocolC2, EntriesHaveTheHubsFieldsAndNoMore) {
  serve();
  auto flat = flat_json(get("/api/models/acme/m/tree/main/tokenizer").body);
  const std::map<std::string, std::string> directory = {
      {"[0].type", "directory"}, {"[0].path", "tokenizer/deep"}, {"[0].size", "0"}};
  for (const auto& [key, value] : directory) EXPECT_EQ(flat[key], value) << key;
  EXPECT_EQ(flat["[1].type"], "file");
  EXPECT_EQ(flat["[1].path"], "tokenizer/vocab.txt") << "from the repo's root";
  EXPECT_EQ(flat["[1].size"], "8");
  EXPECT_EQ(flat["[1].oid"].size(), 40u);
  EXPECT_EQ(flat.size(), 9u) << "and the length of the array";
}

TEST_F(HubProtocolC3, MissingDirectoryAndUnknownRevisionAreToldApart) {
  serve();
  const HttpReply missing = get("/api/models/acme/m/tree/main/no-such-dir");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.header("x-error-code"), "EntryNotFound");
  EXPECT_EQ(missing.header("x-error-message"), "no-such-dir does not exist on \"main\"");
  EXPECT_EQ(flat_json(missing.body)["error"], "no-such-dir does not exist on \"main\"");
  EXPECT_EQ(get("/api/models/acme/m/tree/main/config.json").status, 404) << "a file";
  const HttpReply revision = get("/api/models/acme/m/tree/nope");
  EXPECT_EQ(revision.status, 404);
  EXPECT_EQ(revision.header("x-error-code"), "RevisionNotFound");
  EXPECT_EQ(revision.header("x-error-message"), "Invalid rev id: nope");
  const HttpReply commit = get("/api/models/acme/m/revision/" + std::string(40, 'a'));
  EXPECT_EQ(commit.header("x-error-code"), "RevisionNotFound");
}

TEST_F(HubProtocolC3, EmptyRepoHasAnEmptyTree) {
  put("acme/nothing/.git/HEAD", "ref: x");
  serve();
  const HttpReply reply = get("/api/models/acme/nothing/tree/main");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "[]");
}

TEST_F(HubProtocolC4, PathsInfoAsJsonAndAsForm) {
  serve();
  const std::string target = "/api/models/acme/m/paths-info/main";
  const HttpReply json =
      post(target, "application/json",
           R"({"paths": ["config.json", "tokenizer", "nope", "näme #%.txt"], "expand": false})");
  EXPECT_EQ(json.status, 200);
  EXPECT_EQ(column(json.body, "path"), (Names{"config.json", "tokenizer", "n\xc3\xa4me #%.txt"}));
  EXPECT_EQ(flat_json(json.body)["[1].type"], "directory");
  const HttpReply form = post(target, "application/x-www-form-urlencoded",
                              "paths=config.json&paths=n%C3%A4me+%23%25.txt&expand=True");
  EXPECT_EQ(column(form.body, "path"), (Names{"config.json", "n\xc3\xa4me #%.txt"}));
  EXPECT_EQ(flat_json(form.body)["[0].lastCommit.id"], sha_of("acme/m"));
  EXPECT_EQ(column(post(target, "application/json", R"({"paths": "a.b"})").body, "path"),
            Names{"a.b"});
}

TEST_F(HubProtocolC4, BadPathsInfoBodiesAre400) {
  serve();
  const std::string target = "/api/models/acme/m/paths-info/main";
  EXPECT_EQ(post(target, "application/json", "{").status, 400);
  EXPECT_EQ(post(target, "application/json", R"({"paths": [1]})").status, 400);
  std::string many;
  for (int i = 0; i < 2001; ++i) many += "paths=x&";
  EXPECT_EQ(post(target, "application/x-www-form-urlencoded", many).status, 400);
  many = R"({"paths": ["x")";
  for (int i = 0; i < 2000; ++i) many += R"(,"x")";
  EXPECT_TRUE(post(target, "application/json", many + "]}")
                  .header("x-error-message")
                  .starts_with("* Too big:"));
  EXPECT_EQ(get(target).status, 404) << "not a GET route";
}

// What git itself says of the same folder.
TEST_F(HubProtocolC2, TreeIsThatOfRealGit) {
  if (std::system("git --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "git is missing";
  serve();
  const std::string copy = other_ / "copy";
  const std::string command = "cp -r '" + (root_ / "acme/m") + "' '" + copy + "' && cd '" + copy +
                              "' && git init -q . && git add . && git ls-tree -r -t -z "
                              "--full-tree $(git write-tree) | tr '\\0' '\\n'";
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::map<std::string, std::string> oids;
  char line[4096];
  while (std::fgets(line, sizeof line, pipe) != nullptr) {
    const auto fields = split(trim(line), '\t');
    ASSERT_EQ(fields.size(), 2u) << line;
    oids[std::string(fields[1])] = std::string(split(fields[0], ' ')[2]);
  }
  ASSERT_EQ(::pclose(pipe), 0);
  EXPECT_EQ(oids.size(), 12u);
  const std::string body = get("/api/models/acme/m/tree/main?recursive=true").body;
  const Names paths = column(body, "path");
  const Names served = column(body, "oid");
  std::map<std::string, std::string> ours;
  for (std::size_t i = 0; i < paths.size(); ++i) ours[paths[i]] = served[i];
  EXPECT_EQ(ours, oids);
}

}  // namespace
}  // namespace hubvfs::hub::server
