// SPDX-License-Identifier: Apache-2.0
// Hub-protocol A and B: repos, lists, identity, refs.
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/hub_server/sample_repo.h"

namespace hubvfs::hub::server {
namespace {

using HubProtocolA1 = SampleRepo;
using HubProtocolA2 = SampleRepo;
using HubProtocolA3 = SampleRepo;
using HubProtocolA4 = SampleRepo;
using HubProtocolA6Routes = SampleRepo;

TEST_F(HubProtocolA1, DatasetsAndSpacesLieInFoldersOfTheirOwn) {
  put("datasets/acme/set/data.csv", "a,b\n");
  put("spaces/acme/app/app.py", "print()\n");
  serve();
  EXPECT_EQ(column(get("/api/datasets").body, "id"), Names{"acme/set"});
  EXPECT_EQ(column(get("/api/spaces").body, "id"), Names{"acme/app"});
  EXPECT_EQ(column(get("/api/models").body, "id"), Names{"acme/m"});
  EXPECT_EQ(flat_json(get("/api/datasets/acme/set").body).count("modelId"), 0u);
  EXPECT_EQ(get("/api/models/acme/set").status, 401);
}

TEST_F(HubProtocolA1, IdsTheHubCannotHaveAreNotServed) {
  for (const char* id : {"a--b/m", "acme/x..y", "acme/-x", "acme/x-", "acme/.x", "acme/x.",
                         "acme/x.git", "acme/x y", "acme/\xc3\xa4"}) {
    put(std::string(id) + "/f", "x");
  }
  put("acme/" + std::string(92, 'x') + "/f", "97 characters");
  put("acme/" + std::string(91, 'x') + "/f", "96 characters");
  put("no-owner.txt", "a file, not a repo");
  serve();
  EXPECT_EQ(column(get("/api/models").body, "id"),
            (Names{"acme/m", "acme/" + std::string(91, 'x')}));
  for (const char* id : {"a--b/m", "acme/x..y", "acme/-x", "acme/x.git", "acme/%C3%A4"}) {
    EXPECT_EQ(get(std::string("/api/models/") + id).status, 401) << id;
    EXPECT_EQ(get(std::string("/") + id + "/resolve/main/f").status, 401) << id;
  }
}

TEST_F(HubProtocolA1, FileRoutesHaveAPrefixWhereApiRoutesHaveAPlural) {
  put("datasets/acme/m/f.txt", "dataset");
  put("spaces/acme/m/f.txt", "space");
  put("acme/m/f.txt", "model");
  serve();
  const std::pair<const char*, const char*> types[] = {
      {"", "model"}, {"datasets/", "dataset"}, {"spaces/", "space"}};
  for (const auto& [prefix, what] : types) {
    EXPECT_EQ(get(std::string("/") + prefix + "acme/m/raw/main/f.txt").body, what);
    const HttpReply hop = get(std::string("/") + prefix + "acme/m/resolve/main/f.txt");
    EXPECT_TRUE(hop.header("location")
                    .starts_with(std::string("/api/resolve-cache/") + what + "s/acme/m/"));
    EXPECT_EQ(get(hop.header("location")).body, what);
  }
  EXPECT_EQ(get("/models/acme/m/resolve/main/f.txt").status, 404) << "no prefix of models";
}

TEST_F(HubProtocolA2, InfoDescribesTheDefaultBranch) {
  serve();
  const HttpReply reply = get("/api/models/acme/m");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "application/json; charset=utf-8");
  auto info = flat_json(reply.body);
  EXPECT_EQ(info["id"], "acme/m");
  EXPECT_EQ(info["modelId"], "acme/m");
  EXPECT_EQ(info["author"], "acme");
  EXPECT_EQ(info["sha"], "9d588afdbefe1d32bd3ea85d1a976c15f9a7e197");
  EXPECT_EQ(info["private"], "false");
  EXPECT_EQ(info["gated"], "false");
  EXPECT_EQ(info["disabled"], "false");
  EXPECT_EQ(info["_id"].size(), 24u);
  EXPECT_EQ(info["lastModified"].size(), std::string("2026-03-02T10:11:12.000Z").size());
  EXPECT_EQ(info["siblings#"], "8");
  EXPECT_EQ(info["siblings[6].rfilename"], "tokenizer/deep/f");
}

TEST_F(HubProtocolA2, EveryNameOfTheRevisionGivesTheSameCommit) {
  serve();
  const std::string sha = sha_of("acme/m");
  for (const std::string& revision :
       {std::string("main"), std::string("HEAD"), sha, std::string("refs%2Fheads%2Fmain")}) {
    EXPECT_EQ(flat_json(get("/api/models/acme/m/revision/" + revision).body)["sha"], sha)
        << revision;
  }
}

TEST_F(HubProtocolA2, BlobsAddsSizesAndIds) {
  put("acme/m/.gitattributes", "*.bin filter=lfs\n");
  put("acme/m/w.bin", "lfs contents");
  serve();
  auto info = flat_json(get("/api/models/acme/m?blobs=true").body);
  EXPECT_EQ(info["siblings[2].rfilename"], "a.b");
  EXPECT_EQ(info["siblings[2].blobId"], "4ad114194a30c99495621b2637d246a4f0dcbe77");
  EXPECT_EQ(info["siblings[2].size"], "3");
  EXPECT_EQ(info.count("siblings[2].lfs.sha256"), 0u);
  EXPECT_EQ(info["siblings[9].rfilename"], "w.bin");
  EXPECT_EQ(info["siblings[9].blobId"], "c961152a39c87314cb68274d3decb6f19ed5691f");
  EXPECT_EQ(info["siblings[9].lfs.sha256"],
            "2c3f1fb8ec279834549a5d7c97f84ac914edf558b44b0b91a4a342ae801f494d");
  EXPECT_EQ(info["siblings[9].lfs.pointerSize"], "127");
  EXPECT_EQ(info["siblings[9].size"], "12");
}

TEST_F(HubProtocolA2, ExpandGivesTheNamedPropertiesOnly) {
  serve();
  auto info = flat_json(get("/api/models/acme/m?expand=sha&expand%5B%5D=private").body);
  EXPECT_EQ(info.size(), 4u);
  EXPECT_EQ(info.count("_id") + info.count("id") + info.count("sha") + info.count("private"), 4u);
}

TEST_F(HubProtocolA2, ExpandShaOfARevisionIsTheCheapProbe) {
  serve();
  auto info = flat_json(get("/api/models/acme/m/revision/main?expand=sha").body);
  EXPECT_EQ(info["sha"], sha_of("acme/m"));
  EXPECT_EQ(info.size(), 3u);
}

TEST_F(HubProtocolA2, ParametersItDoesNotKnowAreIgnored) {
  serve();
  EXPECT_EQ(get("/api/models/acme/m?securityStatus=true&nonsense=1").body,
            get("/api/models/acme/m").body);
}

TEST_F(HubProtocolA2, SiblingsAreEveryFileAndNoDirectory) {
  serve();
  auto info = flat_json(get("/api/models/acme/m").body);
  Names files;
  for (int i = 0; i < 8; ++i)
    files.push_back(info["siblings[" + std::to_string(i) + "].rfilename"]);
  EXPECT_EQ(files, (Names{"a-b/y", "a.b", "a/x", "config.json", "empty.txt", "n\xc3\xa4me #%.txt",
                          "tokenizer/deep/f", "tokenizer/vocab.txt"}));
  EXPECT_EQ(info["siblings#"], "8");
}

TEST_F(HubProtocolA2, JsonAnswersHaveAWeakEtagThatAnswers304) {
  serve();
  const std::string etag = get("/api/models/acme/m").header("etag");
  EXPECT_TRUE(etag.starts_with("W/\""));
  EXPECT_EQ(get("/api/models/acme/m", {{"If-None-Match", etag}}).status, 304);
}

TEST_F(HubProtocolA3, OldAndMiscasedNamesAreARelative307OfTheSameRoute) {
  put("acme/m/.hubvfs-repo.json", R"({"aliases": ["old/m", "bare"]})");
  serve();
  const auto expect = [&](const std::string& target, const std::string& location) {
    const HttpReply reply = get(target);
    EXPECT_EQ(reply.status, 307) << target;
    EXPECT_EQ(reply.header("location"), location);
    EXPECT_FALSE(reply.has("etag"));
    EXPECT_FALSE(reply.has("x-repo-commit"));
    EXPECT_FALSE(reply.has("x-linked-etag"));
  };
  expect("/api/models/old/m", "/api/models/acme/m");
  expect("/api/models/bare?blobs=true", "/api/models/acme/m?blobs=true");
  expect("/api/models/bare/tree/refs%2Fpr%2F1/a%2Fb",
         "/api/models/acme/m/tree/refs%2Fpr%2F1/a%2Fb");
  expect("/bare/resolve/main/config.json", "/acme/m/resolve/main/config.json");
  expect("/Acme/M/resolve/main/config.json", "/acme/m/resolve/main/config.json");
  const HttpReply posted = post("/api/models/old/m/paths-info/main", "application/json", "{}");
  EXPECT_EQ(posted.status, 307);
  EXPECT_EQ(posted.header("location"), "/api/models/acme/m/paths-info/main");
  EXPECT_EQ(get("/api/datasets/old/m").status, 401) << "another type";
}

TEST_F(HubProtocolA3, OtherNamesOfAPrivateRepoTellNothing) {
  put("acme/m/.hubvfs-repo.json", R"({"private": true, "aliases": ["old/m"]})");
  serve();
  EXPECT_EQ(get("/api/models/old/m").status, 401);
  EXPECT_EQ(get("/api/models/ACME/M").status, 401);
}

TEST_F(HubProtocolA4, ListOfAnOwnerIsPagedByAbsoluteLinks) {
  for (const char* name : {"acme/b", "acme/c", "acme/d", "other/z", "acmeco/y"}) {
    put(std::string(name) + "/f", "x");
  }
  serve();
  int count = 0;
  EXPECT_EQ(pages("/api/models?author=acme&limit=2", "id", count),
            (Names{"acme/b", "acme/c", "acme/d", "acme/m"}));
  EXPECT_EQ(count, 2);
  EXPECT_EQ(pages("/api/models?limit=100", "id", count).size(), 6u);
  EXPECT_EQ(pages("/api/models?search=CO%2Fy", "id", count), Names{"acmeco/y"});
  EXPECT_EQ(pages("/api/models?filter=text-classification", "id", count), Names{});
  EXPECT_EQ(pages("/api/datasets", "id", count), Names{});
}

TEST_F(HubProtocolA4, ItemsHaveTheHubsFields) {
  serve();
  auto list = flat_json(get("/api/models?author=acme").body);
  EXPECT_EQ(list["[0].id"], "acme/m");
  EXPECT_EQ(list["[0].modelId"], "acme/m");
  EXPECT_EQ(list["[0]._id"], flat_json(get("/api/models/acme/m").body)["_id"]);
  EXPECT_EQ(list["[0].private"], "false");
  EXPECT_EQ(list["[0].likes"], "0");
  EXPECT_EQ(list["[0].downloads"], "0");
  EXPECT_EQ(list["[0].tags#"], "0");
  EXPECT_TRUE(list["[0].createdAt"].ends_with(".000Z"));
  EXPECT_EQ(list.count("[0].sha"), 0u);
  list = flat_json(get("/api/models?author=acme&full=true").body);
  EXPECT_EQ(list["[0].sha"], sha_of("acme/m"));
  EXPECT_EQ(list["[0].siblings#"], "8");
}

TEST_F(HubProtocolA4, LinksKeepTheOtherParametersAndTheLastPageHasNone) {
  put("acme/n/f", "x");
  serve();
  const HttpReply first = get("/api/models?author=acme&search=acme%2F&limit=1&full=true");
  EXPECT_TRUE(first.header("link").starts_with(
      "<" + server_->url() + "/api/models?author=acme&search=acme%2F&limit=1&full=true&cursor="));
  EXPECT_FALSE(get("/api/models?author=acme&limit=2").has("link"));
  EXPECT_EQ(get("/api/models?author=acme&limit=1000").status, 200);
}

TEST_F(HubProtocolA4, DatesSortNewestFirstUnlessTheDirectionSaysOtherwise) {
  put("acme/old/f", "x");
  put("acme/new/f", "x");
  const std::pair<const char*, std::time_t> times_of[] = {{"old", 1000}, {"new", 4'000'000'000}};
  for (const auto& [repo, seconds] : times_of) {
    const timespec time{seconds, 0};
    const timespec times[] = {time, time};
    ASSERT_EQ(
        ::utimensat(AT_FDCWD, (root_ / ("acme/" + std::string(repo) + "/f")).c_str(), times, 0), 0);
  }
  serve();
  const Names newest = {"acme/new", "acme/m", "acme/old"};
  for (const char* sort : {"lastModified", "createdAt"}) {
    const std::string target = std::string("/api/models?sort=") + sort;
    EXPECT_EQ(column(get(target).body, "id"), newest);
    EXPECT_EQ(column(get(target + "&direction=1").body, "id"),
              Names(newest.rbegin(), newest.rend()));
    int count = 0;
    EXPECT_EQ(pages(target + "&limit=1", "id", count), newest);
  }
}

TEST_F(HubProtocolA4, BadParametersAre400) {
  serve();
  EXPECT_EQ(get("/api/models?limit=0").status, 400);
  EXPECT_EQ(get("/api/models?limit=x").status, 400);
  EXPECT_EQ(get("/api/models?cursor=zz").status, 400);
}

TEST_F(HubProtocolA6Routes, AgentHarnessesIs404) {
  serve();
  EXPECT_EQ(get("/api/agent-harnesses").status, 404);
}

TEST_F(HubProtocolA6Routes, CommitsAndTreeSize) {
  serve();
  const HttpReply commits = get("/api/models/acme/m/commits/main");
  EXPECT_EQ(column(commits.body, "id"), Names{sha_of("acme/m")});
  auto commit = flat_json(commits.body);
  EXPECT_FALSE(commit["[0].title"].empty());
  EXPECT_EQ(commit.count("[0].message"), 1u);
  EXPECT_TRUE(commit["[0].date"].ends_with(".000Z"));
  EXPECT_EQ(commit["[0].authors[0].user"], "hubvfs");
  EXPECT_EQ(commits.header("x-total-count"), "1");
  EXPECT_EQ(flat_json(get("/api/models/acme/m/treesize/main/tokenizer").body)["size"], "9");
  EXPECT_EQ(get("/api/models/acme/m/treesize/main/none").status, 404);
}

}  // namespace
}  // namespace hubvfs::hub::server
