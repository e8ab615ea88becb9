// SPDX-License-Identifier: Apache-2.0
// Info, refs, listings and lists: hub-protocol sections A to C.
#include <sys/wait.h>

#include <cstdio>

#include "base/text.h"
#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {
namespace {

using Names = std::vector<std::string>;

class Answers : public ServedFolder {
 protected:
  void SetUp() override {
    put("acme/m/a/x", "x");
    put("acme/m/a-b/y", "y\n");
    put("acme/m/a.b", "dot");
    put("acme/m/config.json", "{\"model_type\": \"bert\"}\n");
    put("acme/m/empty.txt", "");
    put("acme/m/n\xc3\xa4me #%.txt", "\xc3\xbc");
    put("acme/m/tokenizer/deep/f", "d");
    put("acme/m/tokenizer/vocab.txt", "one\ntwo\n");
  }
  // All pages of a listing; counts them.
  Names pages(const std::string& target, const std::string& key, int& count) const {
    Names all;
    std::string next = target;
    for (count = 0; !next.empty() && count < 100; ++count) {
      const HttpReply reply = get(next);
      EXPECT_EQ(reply.status, 200) << reply.body;
      for (const auto& value : column(reply.body, key)) all.push_back(value);
      const std::string link = reply.header("link");
      if (!link.empty()) {
        EXPECT_TRUE(link.starts_with("<" + server_->url() + "/")) << link;
        EXPECT_TRUE(link.ends_with(">; rel=\"next\"")) << link;
      }
      next = link.empty() ? "" : target_of(link.substr(1, link.find('>') - 1));
    }
    return all;
  }
};

TEST_F(Answers, A2InfoDescribesTheDefaultBranch) {
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

TEST_F(Answers, A2EveryNameOfTheRevisionGivesTheSameCommit) {
  serve();
  const std::string sha = sha_of("acme/m");
  for (const std::string& revision :
       {std::string("main"), std::string("HEAD"), sha, std::string("refs%2Fheads%2Fmain")}) {
    EXPECT_EQ(flat_json(get("/api/models/acme/m/revision/" + revision).body)["sha"], sha)
        << revision;
  }
}

TEST_F(Answers, A2BlobsAddsSizesAndIds) {
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

TEST_F(Answers, A2ExpandGivesTheNamedPropertiesOnly) {
  serve();
  auto info = flat_json(get("/api/models/acme/m?expand=sha&expand%5B%5D=private").body);
  EXPECT_EQ(info.size(), 4u);
  EXPECT_EQ(info.count("_id") + info.count("id") + info.count("sha") + info.count("private"), 4u);
}

TEST_F(Answers, A2JsonAnswersHaveAWeakEtagThatAnswers304) {
  serve();
  const std::string etag = get("/api/models/acme/m").header("etag");
  EXPECT_TRUE(etag.starts_with("W/\""));
  EXPECT_EQ(get("/api/models/acme/m", {{"If-None-Match", etag}}).status, 304);
}

TEST_F(Answers, A3OldAndMiscasedNamesAreARelative307OfTheSameRoute) {
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

TEST_F(Answers, A3OtherNamesOfAPrivateRepoTellNothing) {
  put("acme/m/.hubvfs-repo.json", R"({"private": true, "aliases": ["old/m"]})");
  serve();
  EXPECT_EQ(get("/api/models/old/m").status, 401);
  EXPECT_EQ(get("/api/models/ACME/M").status, 401);
}

TEST_F(Answers, A4ListOfAnOwnerIsPagedByAbsoluteLinks) {
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

TEST_F(Answers, A4BadParametersAre400) {
  serve();
  EXPECT_EQ(get("/api/models?limit=0").status, 400);
  EXPECT_EQ(get("/api/models?limit=x").status, 400);
  EXPECT_EQ(get("/api/models?cursor=zz").status, 400);
}

TEST_F(Answers, A6AgentHarnessesIs404AndAuthCheckOk) {
  serve();
  EXPECT_EQ(get("/api/agent-harnesses").status, 404);
  const HttpReply check = get("/api/models/acme/m/auth-check");
  EXPECT_EQ(check.status, 200);
  EXPECT_EQ(check.body, "OK");
}

TEST_F(Answers, A6CommitsAndTreeSize) {
  serve();
  const HttpReply commits = get("/api/models/acme/m/commits/main");
  EXPECT_EQ(column(commits.body, "id"), Names{sha_of("acme/m")});
  EXPECT_EQ(commits.header("x-total-count"), "1");
  EXPECT_EQ(flat_json(get("/api/models/acme/m/treesize/main/tokenizer").body)["size"], "9");
  EXPECT_EQ(get("/api/models/acme/m/treesize/main/none").status, 404);
}

TEST_F(Answers, BRefsHaveMainAndPullRequestsOnlyOnRequest) {
  serve();
  auto refs = flat_json(get("/api/models/acme/m/refs").body);
  EXPECT_EQ(refs["branches[0].name"], "main");
  EXPECT_EQ(refs["branches[0].ref"], "refs/heads/main");
  EXPECT_EQ(refs["branches[0].targetCommit"], sha_of("acme/m"));
  EXPECT_EQ(refs["tags#"], "0");
  EXPECT_EQ(refs["converts#"], "0");
  EXPECT_EQ(refs.count("pullRequests#"), 0u);
  EXPECT_EQ(flat_json(get("/api/models/acme/m/refs?include_prs=1").body)["pullRequests#"], "0");
}

TEST_F(Answers, C1RootListingIsNotRecursive) {
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

TEST_F(Answers, C1DirectoryIsTakenEncodedOrNot) {
  serve();
  for (const char* directory : {"tokenizer/deep", "tokenizer%2Fdeep"}) {
    const HttpReply reply = get(std::string("/api/models/acme/m/tree/main/") + directory);
    EXPECT_EQ(column(reply.body, "path"), Names{"tokenizer/deep/f"}) << directory;
  }
  EXPECT_EQ(column(get("/api/models/acme/m/tree/main/tokenizer").body, "path"),
            (Names{"tokenizer/deep", "tokenizer/vocab.txt"}));
}

TEST_F(Answers, C1RecursiveListingIsDepthFirst) {
  serve();
  EXPECT_EQ(
      column(get("/api/models/acme/m/tree/main?recursive=true").body, "path"),
      (Names{"a-b", "a-b/y", "a", "a/x", "tokenizer", "tokenizer/deep", "tokenizer/deep/f",
             "tokenizer/vocab.txt", "a.b", "config.json", "empty.txt", "n\xc3\xa4me #%.txt"}));
}

TEST_F(Answers, C1PagesFollowAbsoluteLinksAndLoseNothing) {
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

TEST_F(Answers, C1SmallPagesOfTheServerBindAClientThatAsksForMore) {
  options_.page_size = 2;
  serve();
  int count = 0;
  EXPECT_EQ(pages("/api/models/acme/m/tree/main?recursive=true&limit=1000", "path", count).size(),
            12u);
  EXPECT_EQ(count, 6);
}

TEST_F(Answers, C1BadLimitsAndCursorsAre400) {
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

TEST_F(Answers, C2LfsFilesNameContentByShaAndPointerByOid) {
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

TEST_F(Answers, C2ExpandAddsTheLastCommit) {
  serve();
  auto flat = flat_json(get("/api/models/acme/m/tree/main?expand=true").body);
  EXPECT_EQ(flat["[4].lastCommit.id"], sha_of("acme/m"));
  EXPECT_FALSE(flat["[4].lastCommit.title"].empty());
  EXPECT_TRUE(flat["[4].lastCommit.date"].ends_with(".000Z"));
}

TEST_F(Answers, C3MissingDirectoryAndUnknownRevisionAreToldApart) {
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

TEST_F(Answers, C3EmptyRepoHasAnEmptyTree) {
  put("acme/nothing/.git/HEAD", "ref: x");
  serve();
  const HttpReply reply = get("/api/models/acme/nothing/tree/main");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "[]");
}

TEST_F(Answers, C4PathsInfoAsJsonAndAsForm) {
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

TEST_F(Answers, C4BadPathsInfoBodiesAre400) {
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

TEST_F(Answers, DatasetsAndSpacesLieInFoldersOfTheirOwn) {
  put("datasets/acme/set/data.csv", "a,b\n");
  put("spaces/acme/app/app.py", "print()\n");
  serve();
  EXPECT_EQ(column(get("/api/datasets").body, "id"), Names{"acme/set"});
  EXPECT_EQ(column(get("/api/spaces").body, "id"), Names{"acme/app"});
  EXPECT_EQ(column(get("/api/models").body, "id"), Names{"acme/m"});
  EXPECT_EQ(flat_json(get("/api/datasets/acme/set").body).count("modelId"), 0u);
  EXPECT_EQ(get("/api/models/acme/set").status, 401);
}

// What git itself says of the same folder.
TEST_F(Answers, TreeIsThatOfRealGit) {
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
