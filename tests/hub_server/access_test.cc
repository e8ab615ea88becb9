// SPDX-License-Identifier: Apache-2.0
// Who may see what: hub-protocol section E.2, and the masking of C.2.
#include <unistd.h>

#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {
namespace {

class Access : public ServedFolder {
 protected:
  void SetUp() override {
    put("acme/public/f.txt", "public");
    put("acme/private/f.txt", "private");
    put("acme/private/.hubvfs-repo.json", R"({"private": true, "readers": ["ada"]})");
    put("acme/gated/README.md", "read me");
    put("acme/gated/sub/README.md", "not this");
    put("acme/gated/.gitattributes", "*.bin filter=lfs\n");
    put("acme/gated/w.bin", "weights");
    put("acme/gated/f.txt", "gated");
    put("acme/gated/.hubvfs-repo.json",
        R"({"gated": "manual", "readers": ["ada"], "pending": ["eve"]})");
    put("acme/off/f.txt", "off");
    put("acme/off/.hubvfs-repo.json", R"({"disabled": true})");
    write_file(other_ / "tokens", "hf_of_ada ada\nhf_of_bob bob\nhf_of_eve eve\n");
    options_.token_file = other_ / "tokens";
    serve();
  }
  void expect(const HttpReply& reply, int status, const std::string& code,
              const std::string& message) {
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.header("x-error-code"), code);
    EXPECT_EQ(reply.has("x-error-code"), !code.empty());
    EXPECT_EQ(reply.header("x-error-message"), message);
    if (reply.header("content-type").starts_with("application/json")) {
      EXPECT_EQ(flat_json(reply.body)["error"], message);
    } else {
      EXPECT_EQ(reply.body, message);
    }
    EXPECT_EQ(reply.header("www-authenticate"),
              status == 401 ? "Bearer realm=\"Authentication required\", charset=\"UTF-8\"" : "");
  }
  const HttpHeaders ada_ = token("hf_of_ada");
  const HttpHeaders bob_ = token("hf_of_bob");
  const HttpHeaders eve_ = token("hf_of_eve");
};

constexpr char kBadCredentials[] = "Invalid username or password.";

TEST_F(Access, E2AnonymousCannotTellMissingFromPrivate) {
  for (const char* repo : {"acme/nope", "acme/private", "nobody/x", "gpt2", "a--b/c"}) {
    expect(get(std::string("/api/models/") + repo), 401, "", kBadCredentials);
    expect(get(std::string("/") + repo + "/resolve/main/f.txt"), 401, "", kBadCredentials);
    expect(get(std::string("/api/models/") + repo + "/tree/main"), 401, "", kBadCredentials);
    expect(get(std::string("/api/models/") + repo + "/auth-check"), 401, "", kBadCredentials);
  }
}

TEST_F(Access, E2SignedInCannotTellMissingFromPrivate) {
  for (const char* repo : {"acme/nope", "acme/private"}) {
    expect(get(std::string("/api/models/") + repo, bob_), 404, "RepoNotFound",
           "Repository not found");
    expect(get(std::string("/") + repo + "/raw/main/f.txt", bob_), 404, "RepoNotFound",
           "Repository not found");
  }
}

TEST_F(Access, E2UnknownTokenIsRefusedEvenForPublicRepos) {
  const std::string message = "Invalid credentials in Authorization header";
  for (const HttpHeaders& headers :
       {token("hf_unknown"), token(""), HttpHeaders{{"Authorization", "Basic eDp5"}},
        HttpHeaders{{"Authorization", "hf_of_ada"}}, HttpHeaders{{"Authorization", ""}}}) {
    expect(get("/api/models/acme/public", headers), 401, "", message);
    expect(get("/acme/public/resolve/main/f.txt", headers), 401, "", message);
    expect(get("/api/whoami-v2", headers), 401, "", message);
  }
}

TEST_F(Access, E2ReaderSeesThePrivateRepo) {
  EXPECT_EQ(flat_json(get("/api/models/acme/private", ada_).body)["private"], "true");
  EXPECT_EQ(get("/acme/private/resolve/main/f.txt", ada_).body, "private");
  EXPECT_EQ(get("/api/models/acme/private/auth-check", ada_).body, "OK");
}

TEST_F(Access, A4PrivateReposAreListedForTheirReadersOnly) {
  const auto anonymous = column(get("/api/models").body, "id");
  EXPECT_EQ(anonymous, (std::vector<std::string>{"acme/gated", "acme/off", "acme/public"}));
  EXPECT_EQ(column(get("/api/models", bob_).body, "id"), anonymous);
  EXPECT_EQ(column(get("/api/models", ada_).body, "id").size(), 4u);
}

TEST_F(Access, E2GatedContentByCaller) {
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

TEST_F(Access, E2GatedAllowListIsPublicAndItsAbsenceIs404) {
  EXPECT_EQ(get("/acme/gated/resolve/main/README.md").body, "read me");
  expect(get("/acme/gated/resolve/main/LICENSE"), 404, "EntryNotFound", "Entry not found");
  expect(get("/acme/gated/resolve/main/LICENSE.txt", bob_), 404, "EntryNotFound",
         "Entry not found");
}

TEST_F(Access, C2GatedListingsMaskLfsIdsOnly) {
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

TEST_F(Access, E2DisabledRepoRefusesWithTheExactText) {
  expect(get("/api/models/acme/off"), 403, "", "Access to this resource is disabled.");
  expect(get("/acme/off/resolve/main/f.txt", ada_), 403, "",
         "Access to this resource is disabled.");
}

TEST_F(Access, E2UnknownRoute) {
  for (const char* target : {"/", "/api/nonsense", "/acme", "/api/models/acme/public/nonsense"}) {
    expect(get(target), 404, "", "Sorry, we can't find the page you are looking for.");
  }
  expect(post("/api/repos/create", "application/json", "{}"), 404, "",
         "Sorry, we can't find the page you are looking for.");
}

TEST_F(Access, A5Whoami) {
  expect(get("/api/whoami-v2"), 401, "", kBadCredentials);
  auto ada = flat_json(get("/api/whoami-v2", ada_).body);
  EXPECT_EQ(ada["type"], "user");
  EXPECT_EQ(ada["name"], "ada");
  EXPECT_EQ(ada["auth.accessToken.role"], "read");
}

TEST_F(Access, E1EveryAnswerHasARequestIdThatEchoesATraceId) {
  const HttpReply plain = get("/api/models/acme/public");
  EXPECT_TRUE(plain.header("x-request-id").starts_with("Root=1-"));
  EXPECT_NE(plain.header("x-request-id"), get("/api/models/acme/public").header("x-request-id"));
  const HttpReply traced = get("/acme/nope/resolve/main/x", {{"X-Amzn-Trace-Id", "0f3a-trace"}});
  EXPECT_TRUE(traced.header("x-request-id").ends_with(";0f3a-trace"));
  const HttpReply odd = get("/api/models/acme/public", {{"X-Amzn-Trace-Id", "a; b=\"c\""}});
  EXPECT_EQ(odd.header("x-request-id").find('"'), std::string::npos);
}

TEST_F(Access, E4EveryAnswerHasRateLimitHeadersOfItsBucket) {
  EXPECT_TRUE(get("/api/models/acme/public").header("ratelimit").starts_with("\"api\";r="));
  EXPECT_TRUE(
      get("/acme/public/resolve/main/f.txt").header("ratelimit").starts_with("\"resolvers\";r="));
  EXPECT_TRUE(get("/api/models/acme/none")
                  .header("ratelimit-policy")
                  .starts_with("\"fixed window\";\"api\";q="));
}

TEST_F(Access, MakingARepoPrivateTakesEffectAtOnceWhateverItsFilesDo) {
  EXPECT_EQ(get("/api/models/acme/public").status, 200);
  put("acme/public/.hubvfs-repo.json", R"({"private": true})");
  later();
  EXPECT_EQ(get("/api/models/acme/public").status, 401);
}

TEST_F(Access, MalformedSettingsWithholdTheRepoFromEverybody) {
  put("acme/public/.hubvfs-repo.json", R"({"privat": true})");
  later();
  EXPECT_EQ(get("/api/models/acme/public").status, 401);
  EXPECT_EQ(get("/acme/public/resolve/main/f.txt", ada_).status, 404);
  EXPECT_EQ(column(get("/api/models").body, "id").size(), 2u);
  EXPECT_NE(log_.text().find("serve: acme/public is not served to anybody: .hubvfs-repo.json"),
            std::string::npos);
  put("acme/public/.hubvfs-repo.json", R"({})");
  later();
  EXPECT_TRUE(eventually([&] { return get("/api/models/acme/public").status == 200; }));
}

TEST_F(Access, SettingsThatAreNoRegularFileWithholdTheRepo) {
  write_file(root_ / "acme/public/.hubvfs-repo.json/x", "a directory");
  ASSERT_EQ(::symlink("../private/.hubvfs-repo.json", (root_ / "acme/gated/y").c_str()), 0);
  later();
  EXPECT_EQ(get("/api/models/acme/public").status, 401);
}

TEST_F(Access, TokenFileThatIsWrongStopsTheStart) {
  server_.reset();
  write_file(other_ / "tokens", "hf_of_ada\n");
  const auto started = HubServer::start(options_, log_, clock_);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(started.error().context.find("line 1"), std::string::npos);
  EXPECT_EQ(started.error().context.find("hf_of"), std::string::npos);
  options_.token_file = other_ / "absent";
  EXPECT_FALSE(HubServer::start(options_, log_, clock_));
}

}  // namespace
}  // namespace hubvfs::hub::server
