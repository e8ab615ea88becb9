// SPDX-License-Identifier: Apache-2.0
// Hub-protocol E, and A.5: who may see what, and how errors look.
#include "tests/hub_server/access_repos.h"

namespace hubvfs::hub::server {
namespace {

using HubProtocolA4Private = AccessRepos;
using HubProtocolA5 = AccessRepos;
using HubProtocolA6 = AccessRepos;
using HubProtocolC2Gated = AccessRepos;
using HubProtocolE1 = AccessRepos;
using HubProtocolE2 = AccessRepos;
using HubProtocolE3 = AccessRepos;
using HubProtocolE4 = AccessRepos;

TEST_F(HubProtocolE2, AnonymousCannotTellMissingFromPrivate) {
  for (const char* repo : {"acme/nope", "acme/private", "nobody/x", "gpt2", "a--b/c"}) {
    expect(get(std::string("/api/models/") + repo), 401, "", kBadCredentials);
    expect(get(std::string("/") + repo + "/resolve/main/f.txt"), 401, "", kBadCredentials);
    expect(get(std::string("/api/models/") + repo + "/tree/main"), 401, "", kBadCredentials);
    expect(get(std::string("/api/models/") + repo + "/auth-check"), 401, "", kBadCredentials);
  }
}

TEST_F(HubProtocolE2, SignedInCannotTellMissingFromPrivate) {
  for (const char* repo : {"acme/nope", "acme/private"}) {
    expect(get(std::string("/api/models/") + repo, bob_), 404, "RepoNotFound",
           "Repository not found");
    expect(get(std::string("/") + repo + "/raw/main/f.txt", bob_), 404, "RepoNotFound",
           "Repository not found");
  }
}

TEST_F(HubProtocolE2, UnknownTokenIsRefusedEvenForPublicRepos) {
  const std::string message = "Invalid credentials in Authorization header";
  for (const HttpHeaders& headers :
       {token("hf_unknown"), token(""), HttpHeaders{{"Authorization", "Basic eDp5"}},
        HttpHeaders{{"Authorization", "hf_of_ada"}}, HttpHeaders{{"Authorization", ""}}}) {
    expect(get("/api/models/acme/public", headers), 401, "", message);
    expect(get("/acme/public/resolve/main/f.txt", headers), 401, "", message);
    expect(get("/api/whoami-v2", headers), 401, "", message);
  }
}

TEST_F(HubProtocolE2, ReaderSeesThePrivateRepo) {
  EXPECT_EQ(flat_json(get("/api/models/acme/private", ada_).body)["private"], "true");
  EXPECT_EQ(get("/acme/private/resolve/main/f.txt", ada_).body, "private");
  EXPECT_EQ(get("/api/models/acme/private/auth-check", ada_).body, "OK");
}

TEST_F(HubProtocolA4Private, PrivateReposAreListedForTheirReadersOnly) {
  const auto anonymous = column(get("/api/models").body, "id");
  EXPECT_EQ(anonymous,
            (std::vector<std::string>{"acme/auto", "acme/gated", "acme/off", "acme/public"}));
  EXPECT_EQ(column(get("/api/models", bob_).body, "id"), anonymous);
  EXPECT_EQ(column(get("/api/models", ada_).body, "id").size(), 5u);
}

TEST_F(HubProtocolE2, GatedContentByCaller) {
  const std::string prefix = "Access to model acme/gated is restricted";
  const std::string anonymous = prefix +
                                ". You must have access to it and be authenticated to "
                                "access it. Please log in.";
  const std::string refused = prefix + " and you are not in the authorized list. Visit " +
                              server_->url() + "/acme/gated to ask for access.";
  const std::string pending =
      "Your request to access model acme/gated is awaiting a review from "
      "the repo authors.";
  for (const char* target :
       {"/acme/gated/resolve/main/f.txt", "/acme/gated/resolve/main/w.bin",
        "/acme/gated/resolve/main/none", "/acme/gated/resolve/nope/f.txt",
        "/acme/gated/raw/main/README.md", "/acme/gated/raw/main/w.bin",
        "/acme/gated/resolve/main/sub/README.md", "/acme/gated/resolve/main/readme.md",
        "/api/models/acme/gated/auth-check"}) {
    expect(get(target), 401, "GatedRepo", anonymous);
    expect(get(target, bob_), 403, "GatedRepo", refused);
    expect(get(target, eve_), 403, "GatedRepo", pending);
  }
  EXPECT_EQ(get("/acme/gated/resolve/main/f.txt", ada_).body, "gated") << "directly, no 307";
  EXPECT_EQ(get("/acme/gated/resolve/main/w.bin", ada_).status, 302);
}

TEST_F(HubProtocolE2, AnAutomaticGateOpensToWhoAsked) {
  const std::string tree = "/api/models/acme/auto/tree/main";
  EXPECT_EQ(flat_json(get("/api/models/acme/auto").body)["gated"], "auto");
  EXPECT_EQ(get("/acme/auto/resolve/main/f.txt", eve_).body, "auto");
  EXPECT_EQ(get("/acme/auto/resolve/main/f.txt", ada_).body, "auto");
  EXPECT_EQ(get("/api/models/acme/auto/auth-check", eve_).body, "OK");
  expect(get("/acme/auto/resolve/main/f.txt", bob_), 403, "GatedRepo",
         "Access to model acme/auto is restricted and you are not in the authorized list. Visit " +
             server_->url() + "/acme/auto to ask for access.");
  EXPECT_EQ(get("/acme/auto/resolve/main/f.txt").status, 401);
}

TEST_F(HubProtocolE2, MetadataOfAGatedRepoIsPublic) {
  for (const char* target :
       {"/api/models/acme/gated", "/api/models/acme/gated/revision/main",
        "/api/models/acme/gated/refs", "/api/models/acme/gated/tree/main",
        "/api/models/acme/gated/commits/main", "/api/models/acme/gated/treesize/main/sub"}) {
    EXPECT_EQ(get(target).status, 200) << target;
    EXPECT_EQ(get(target, bob_).status, 200) << target;
  }
  expect(get("/api/models/acme/gated/tree/nope"), 404, "RevisionNotFound", "Invalid rev id: nope");
}

TEST_F(HubProtocolE2, TheTokenIsCheckedBeforeAllElse) {
  for (const char* target :
       {"/api/models/acme/nope", "/api/models/acme/private", "/acme/gated/resolve/main/f.txt",
        "/acme/gated/resolve/main/README.md", "/api/models/acme/off", "/api/models", "/api/nope",
        "/acme/public/resolve/nope/none"}) {
    expect(get(target, token("hf_unknown")), 401, "",
           "Invalid credentials in Authorization header");
  }
}

TEST_F(HubProtocolE2, GateThenRevisionThenEntry) {
  EXPECT_EQ(get("/acme/gated/resolve/nope/none", bob_).header("x-error-code"), "GatedRepo");
  EXPECT_EQ(get("/acme/gated/resolve/nope/none", ada_).header("x-error-code"), "RevisionNotFound");
  EXPECT_EQ(get("/acme/gated/resolve/main/none", ada_).header("x-error-code"), "EntryNotFound");
  EXPECT_EQ(get("/acme/gated/resolve/nope/README.md").header("x-error-code"), "RevisionNotFound");
}

TEST_F(HubProtocolE2, GatedAllowListIsPublicAndItsAbsenceIs404) {
  EXPECT_EQ(get("/acme/gated/resolve/main/README.md").body, "read me");
  expect(get("/acme/gated/resolve/main/LICENSE"), 404, "EntryNotFound", "Entry not found");
  expect(get("/acme/gated/resolve/main/LICENSE.txt", bob_), 404, "EntryNotFound",
         "Entry not found");
}

TEST_F(HubProtocolC2Gated, GatedListingsMaskLfsIdsOnly) {
  const std::string stars(64, '*');
  for (const HttpHeaders& headers : {HttpHeaders{}, bob_, eve_}) {
    auto tree = flat_json(get("/api/models/acme/gated/tree/main", headers).body);
    EXPECT_EQ(tree["[4].path"], "w.bin");
    EXPECT_EQ(tree["[4].lfs.oid"], stars);
    EXPECT_EQ(tree["[4].size"], "7");
    EXPECT_EQ(tree["[4].oid"].size(), 40u);
    EXPECT_NE(tree["[2].oid"].find_first_not_of('*'), std::string::npos);
    auto info = flat_json(get("/api/models/acme/gated?blobs=true", headers).body);
    EXPECT_EQ(info["siblings[4].lfs.sha256"], stars);
    EXPECT_EQ(info["gated"], "manual");
  }
  auto tree = flat_json(get("/api/models/acme/gated/tree/main", ada_).body);
  EXPECT_EQ(tree["[4].lfs.oid"].find('*'), std::string::npos);
  const HttpReply paths = ask(server_->url(), "POST", "/api/models/acme/gated/paths-info/main",
                              {{"Content-Type", "application/json"}}, R"({"paths": ["w.bin"]})");
  EXPECT_EQ(flat_json(paths.body)["[0].lfs.oid"], stars);
}

TEST_F(HubProtocolE2, DisabledRepoRefusesWithTheExactText) {
  expect(get("/api/models/acme/off"), 403, "", "Access to this resource is disabled.");
  expect(get("/acme/off/resolve/main/f.txt", ada_), 403, "",
         "Access to this resource is disabled.");
}

TEST_F(HubProtocolE2, UnknownRoute) {
  for (const char* target : {"/", "/api/nonsense", "/acme", "/api/models/acme/public/nonsense"}) {
    expect(get(target), 404, "", "Sorry, we can't find the page you are looking for.");
  }
  expect(post("/api/repos/create", "application/json", "{}"), 404, "",
         "Sorry, we can't find the page you are looking for.");
}

TEST_F(HubProtocolA5, WhoamiHasEveryFieldOfTheHubs) {
  const auto ada = flat_json(get("/api/whoami-v2", ada_).body);
  const std::map<std::string, std::string> fixed = {{"type", "user"},
                                                    {"name", "ada"},
                                                    {"fullname", "ada"},
                                                    {"email", "null"},
                                                    {"emailVerified", "false"},
                                                    {"canPay", "false"},
                                                    {"billingMode", "prepaid"},
                                                    {"periodEnd", "null"},
                                                    {"isPro", "false"},
                                                    {"avatarUrl", ""},
                                                    {"orgs#", "0"},
                                                    {"auth.type", "access_token"},
                                                    {"auth.accessToken.displayName", "token file"},
                                                    {"auth.accessToken.role", "read"}};
  for (const auto& [key, value] : fixed) {
    ASSERT_EQ(ada.count(key), 1u) << key;
    EXPECT_EQ(ada.at(key), value) << key;
  }
  EXPECT_EQ(ada.at("id").size(), 24u);
  EXPECT_NE(ada.at("id"), flat_json(get("/api/whoami-v2", bob_).body)["id"]);
  EXPECT_TRUE(ada.at("auth.accessToken.createdAt").ends_with(".000Z"));
}

TEST_F(HubProtocolA5, WhoamiWithoutAGoodTokenIs401) {
  expect(get("/api/whoami-v2"), 401, "", kBadCredentials);
  expect(get("/api/whoami-v2", token("hf_unknown")), 401, "",
         "Invalid credentials in Authorization header");
}

TEST_F(HubProtocolA6, AuthCheckSaysWhetherFilesMayBeRead) {
  for (const char* repo : {"acme/public", "acme/private", "acme/gated", "acme/auto"}) {
    const HttpReply reply = get(std::string("/api/models/") + repo + "/auth-check", ada_);
    EXPECT_EQ(reply.status, 200) << repo;
    EXPECT_EQ(reply.body, "OK") << repo;
    EXPECT_EQ(reply.header("content-type"), "text/plain; charset=utf-8") << repo;
  }
  EXPECT_EQ(get("/api/models/acme/gated/auth-check", bob_).status, 403);
  EXPECT_EQ(get("/api/models/acme/private/auth-check", bob_).status, 404);
  EXPECT_EQ(get("/api/models/acme/off/auth-check", ada_).status, 403);
}

TEST_F(HubProtocolE1, EveryAnswerHasARequestIdThatEchoesATraceId) {
  const HttpReply plain = get("/api/models/acme/public");
  EXPECT_TRUE(plain.header("x-request-id").starts_with("Root=1-"));
  EXPECT_NE(plain.header("x-request-id"), get("/api/models/acme/public").header("x-request-id"));
  const HttpReply traced = get("/acme/nope/resolve/main/x", {{"X-Amzn-Trace-Id", "0f3a-trace"}});
  EXPECT_TRUE(traced.header("x-request-id").ends_with(";0f3a-trace"));
  const HttpReply odd = get("/api/models/acme/public", {{"X-Amzn-Trace-Id", "a; b=\"c\""}});
  EXPECT_EQ(odd.header("x-request-id").find('"'), std::string::npos);
}

TEST_F(HubProtocolE1, ErrorsAreJsonOnApiRoutesAndTextOnFileRoutes) {
  const HttpReply api = get("/api/models/acme/public/revision/nope");
  EXPECT_EQ(api.header("content-type"), "application/json; charset=utf-8");
  EXPECT_EQ(api.body, R"({"error":"Invalid rev id: nope"})");
  EXPECT_EQ(api.header("x-error-message"), "Invalid rev id: nope");
  const HttpReply file = get("/acme/public/resolve/nope/f.txt");
  EXPECT_EQ(file.header("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(file.body, "Invalid rev id: nope");
  EXPECT_EQ(file.header("x-error-message"), "Invalid rev id: nope");
}

TEST_F(HubProtocolE4, EveryAnswerHasRateLimitHeadersOfItsBucket) {
  EXPECT_TRUE(get("/api/models/acme/public").header("ratelimit").starts_with("\"api\";r="));
  EXPECT_TRUE(
      get("/acme/public/resolve/main/f.txt").header("ratelimit").starts_with("\"resolvers\";r="));
  EXPECT_TRUE(get("/api/models/acme/none")
                  .header("ratelimit-policy")
                  .starts_with("\"fixed window\";\"api\";q="));
}

TEST_F(HubProtocolE2, UnknownFileHasTheCommitAndExactlyItsText) {
  for (const char* path : {"nope.txt", "sub", "f.txt/x", ".hubvfs-repo.json", ".hubvfs-revisions",
                           "%00", "f.txt%00"}) {
    const HttpReply reply = get(std::string("/acme/public/resolve/main/") + path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.header("x-error-code"), "EntryNotFound") << path;
    EXPECT_EQ(reply.body, "Entry not found") << path;
    EXPECT_EQ(reply.header("x-repo-commit"), sha_of("acme/public")) << path;
  }
}

TEST_F(HubProtocolE2, UnknownRevisionOfAFile) {
  const HttpReply reply = get("/acme/public/resolve/v9/f.txt");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.header("x-error-code"), "RevisionNotFound");
  EXPECT_EQ(reply.body, "Invalid rev id: v9");
}

TEST_F(HubProtocolE3, AnswersHaveWhatHuggingfaceHubInsistsOn) {
  for (const char* file : {"f.txt", "w.bin", "README.md"}) {
    const HttpReply reply = head(std::string("/acme/gated/resolve/main/") + file, ada_);
    EXPECT_TRUE(reply.has("x-repo-commit")) << file;
    EXPECT_TRUE(reply.has("etag") || reply.has("x-linked-etag")) << file;
    EXPECT_TRUE(reply.has("x-linked-size") || reply.status == 200) << file;
  }
  // Over plain HTTP it tells a missing repo by the code alone.
  EXPECT_EQ(get("/api/models/acme/nope", ada_).header("x-error-code"), "RepoNotFound");
}

}  // namespace
}  // namespace hubvfs::hub::server
