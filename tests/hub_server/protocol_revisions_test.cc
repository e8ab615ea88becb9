// SPDX-License-Identifier: Apache-2.0
// Hub-protocol B: refs and revisions, on every route that takes one.
#include "tests/hub_server/revision_repo.h"

namespace hubvfs::hub::server {
namespace {

using HubProtocolB = RevisionRepo;

constexpr char kNotFound[] = "404 RevisionNotFound";

TEST_F(HubProtocolB, RefsOfEachKindWithTheirCommits) {
  serve();
  auto refs = flat_json(get("/api/models/acme/m/refs?include_prs=1").body);
  const auto expect = [&](const std::string& at, const std::string& name, const std::string& ref,
                          const std::string& spelt) {
    EXPECT_EQ(refs[at + ".name"], name);
    EXPECT_EQ(refs[at + ".ref"], ref);
    EXPECT_EQ(refs[at + ".targetCommit"], sha(spelt));
    EXPECT_EQ(refs[at + ".targetCommit"].size(), 40u);
  };
  expect("branches[0]", "main", "refs/heads/main", "main");
  expect("branches[1]", "dev", "refs/heads/dev", "dev");
  expect("branches[2]", "feat/x", "refs/heads/feat/x", "feat%2Fx");
  expect("tags[0]", "v1.0", "refs/tags/v1.0", "v1.0");
  expect("converts[0]", "parquet", "refs/convert/parquet", "refs%2Fconvert%2Fparquet");
  expect("pullRequests[0]", "refs/pr/1", "refs/pr/1", "refs%2Fpr%2F1");
  EXPECT_EQ(refs["branches#"] + refs["tags#"] + refs["converts#"] + refs["pullRequests#"], "3111");
}

TEST_F(HubProtocolB, PullRequestsAreListedOnRequestOnly) {
  serve();
  EXPECT_EQ(flat_json(get("/api/models/acme/m/refs").body).count("pullRequests#"), 0u);
}

TEST_F(HubProtocolB, RepoWithoutSettingsHasMainOnly) {
  put("acme/plain/f.txt", "plain");
  serve();
  auto refs = flat_json(get("/api/models/acme/plain/refs?include_prs=1").body);
  EXPECT_EQ(refs["branches#"], "1");
  EXPECT_EQ(refs["branches[0].name"], "main");
  EXPECT_EQ(refs["branches[0].targetCommit"], sha_of("acme/plain"));
  EXPECT_EQ(refs["tags#"] + refs["converts#"] + refs["pullRequests#"], "000");
}

TEST_F(HubProtocolB, ARevisionIsOneEncodedSegmentOnEveryRoute) {
  serve();
  const std::map<std::string, std::string> revisions = {{"main", "main"},
                                                        {"HEAD", "main"},
                                                        {"refs%2Fheads%2Fmain", "main"},
                                                        {"dev", "dev-2"},
                                                        {"refs%2Fheads%2Fdev", "dev-2"},
                                                        {"feat%2Fx", "feature"},
                                                        {"v1.0", "one"},
                                                        {"refs%2Ftags%2Fv1.0", "one"},
                                                        {"refs%2Fpr%2F1", "pull"},
                                                        {"refs%2Fconvert%2Fparquet", "parquet"}};
  const std::string api = "/api/models/acme/m/";
  for (const auto& [revision, what] : revisions) {
    const std::string commit = sha(revision);
    EXPECT_EQ(column(get(api + "tree/" + revision + "/sub").body, "path"), Names{"sub/" + what});
    const HttpReply found = post(api + "paths-info/" + revision, "application/json",
                                 R"({"paths": ["sub/)" + what + R"("]})");
    EXPECT_EQ(column(found.body, "path"), Names{"sub/" + what}) << revision;
    EXPECT_EQ(flat_json(get(api + "treesize/" + revision + "/f.txt").body)["size"],
              std::to_string(what.size()));
    EXPECT_EQ(column(get(api + "commits/" + revision).body, "id"), Names{commit});
    EXPECT_EQ(get("/acme/m/raw/" + revision + "/f.txt").body, what);
    EXPECT_EQ(get("/acme/m/raw/" + revision + "/f.txt").header("x-repo-commit"), commit);
    EXPECT_EQ(text(revision), what);
    const HttpReply lfs = get("/acme/m/resolve/" + revision + "/w.bin");
    EXPECT_EQ(lfs.header("x-repo-commit"), commit);
    EXPECT_EQ(get_content(lfs.header("location")).body, "weights of " + what);
    EXPECT_EQ(get("/acme/m/resolve/" + revision + "/none").header("x-repo-commit"), commit);
    EXPECT_EQ(get("/api/resolve-cache/models/acme/m/" + commit + "/f.txt").body, what);
  }
}

TEST_F(HubProtocolB, PullRequestAndConvertRefsAreTakenUnencodedToo) {
  serve();
  EXPECT_EQ(sha("refs/pr/1"), sha("refs%2Fpr%2F1"));
  EXPECT_EQ(text("refs/pr/1"), "pull");
  EXPECT_EQ(text("refs/convert/parquet"), "parquet");
  EXPECT_EQ(column(get("/api/models/acme/m/tree/refs/pr/1/sub").body, "path"), Names{"sub/pull"});
}

TEST_F(HubProtocolB, PinnedCommitsNeverMove) {
  serve();
  const std::string commit = sha("dev");
  settings(R"({"branches": {"dev": "dev-1"}})");
  later();
  EXPECT_NE(sha("dev"), commit);
  EXPECT_EQ(sha(commit), commit);
  EXPECT_EQ(text(commit), "dev-2");
}

TEST_F(HubProtocolB, ShortCommitIdsOfSevenDigitsResolve) {
  serve();
  const std::string commit = sha("v1.0");
  EXPECT_EQ(sha(commit.substr(0, 7)), commit);
  EXPECT_EQ(sha(commit.substr(0, 39)), commit);
  EXPECT_EQ(text(commit.substr(0, 8)), "one");
  EXPECT_EQ(text(commit.substr(0, 6)), kNotFound);
}

TEST_F(HubProtocolB, WhatIsNoRevisionIsRevisionNotFoundOnEveryRoute) {
  serve();
  const std::string api = "/api/models/acme/m/";
  for (const std::string& revision :
       {std::string("nope"), std::string("refs%2Fpr%2F2"), std::string("refs/pr/2"),
        std::string("refs%2Fheads%2Fnope"), std::string("one"), std::string("parquet"),
        std::string("pr%2F1"), std::string("heads%2Fmain"), std::string("%2e%2e"),
        std::string("..%2fone"), std::string(40, 'a'), std::string("MAIN")}) {
    for (const std::string& target :
         {api + "revision/" + revision, api + "tree/" + revision, api + "commits/" + revision,
          api + "treesize/" + revision + "/x", "/acme/m/resolve/" + revision + "/f.txt",
          "/acme/m/raw/" + revision + "/f.txt"}) {
      const HttpReply reply = get(target);
      EXPECT_EQ(reply.status, 404) << target;
      EXPECT_EQ(reply.header("x-error-code"), "RevisionNotFound") << target;
      EXPECT_TRUE(reply.header("x-error-message").starts_with("Invalid rev id: ")) << target;
    }
    EXPECT_EQ(post(api + "paths-info/" + revision, "application/json", R"({"paths": ["f.txt"]})")
                  .header("x-error-code"),
              "RevisionNotFound");
  }
}

TEST_F(HubProtocolB, ACursorGoesOnInTheTreeItBeganIn) {
  serve();
  const HttpReply first = get("/api/models/acme/m/tree/dev?recursive=true&limit=1");
  EXPECT_EQ(column(first.body, "path"), Names{"sub"});
  settings(R"({"branches": {"dev": "dev-1"}})");
  later();
  EXPECT_EQ(text("dev"), "dev-1");
  const std::string link = first.header("link");
  int count = 0;
  EXPECT_EQ(pages(target_of(link.substr(1, link.find('>') - 1)), "path", count),
            (Names{"sub/dev-2", ".gitattributes", "f.txt", "w.bin"}));
}

}  // namespace
}  // namespace hubvfs::hub::server
