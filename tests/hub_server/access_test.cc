// SPDX-License-Identifier: Apache-2.0
// What a change of a settings or token file does while it is served.
#include <unistd.h>

#include "tests/hub_server/access_repos.h"

namespace hubvfs::hub::server {
namespace {

using Access = AccessRepos;

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
  EXPECT_EQ(column(get("/api/models").body, "id").size(), 3u);
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

TEST_F(Access, TokensAddedAndRevokedWhileServingCountASecondLater) {
  write_file(other_ / "tokens", "hf_of_ada ada\nhf_of_carl carl\n");
  later();
  EXPECT_EQ(get("/api/whoami-v2", token("hf_of_carl")).status, 200);
  expect(get("/api/models/acme/public", bob_), 401, "",
         "Invalid credentials in Authorization header");
  write_file(other_ / "tokens", "hf_of_ada\n");
  later();
  EXPECT_EQ(get("/acme/private/resolve/main/f.txt", ada_).body, "private") << "as before";
  EXPECT_NE(log_.text().find("line 1 is not \"TOKEN USER\""), std::string::npos);
  EXPECT_EQ(log_.text().find("hf_of"), std::string::npos);
}

TEST_F(Access, AGrantTakesEffectWhileServing) {
  EXPECT_EQ(get("/acme/gated/resolve/main/f.txt", eve_).status, 403);
  put("acme/gated/.hubvfs-repo.json", R"({"gated": "manual", "readers": ["ada", "eve"]})");
  later();
  EXPECT_EQ(get("/acme/gated/resolve/main/f.txt", eve_).body, "gated");
}

}  // namespace
}  // namespace hubvfs::hub::server
