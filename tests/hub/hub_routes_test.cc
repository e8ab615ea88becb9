// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_routes.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

const std::string kCommit = "28061c75e6a9e6e5d8a8b96182cf09a937444067";
const RepoId kModel{RepoType::kModel, "acme/tiny-llm"};

TEST(HubProtocolB, ARevisionIsOneSegment) {
  EXPECT_TRUE(info_route(kModel, "refs/pr/1")
                  .starts_with("/api/models/acme/tiny-llm/revision/refs%2Fpr%2F1?expand=sha"));
  EXPECT_TRUE(info_route(kModel, "").starts_with("/api/models/acme/tiny-llm?expand=sha"));
}

TEST(HubProtocolA2, ASpaceIsNotAskedForItsGate) {
  EXPECT_NE(info_route({RepoType::kDataset, "a/b"}, "").find("gated"), std::string::npos);
  EXPECT_EQ(info_route({RepoType::kSpace, "a/b"}, "").find("gated"), std::string::npos);
}

TEST(HubProtocolA2, OnlyTheFewFieldsNeededAreAskedFor) {
  EXPECT_EQ(info_route(kModel, kCommit),
            "/api/models/acme/tiny-llm/revision/" + kCommit +
                "?expand=sha&expand=lastModified&expand=private&expand=disabled&expand=gated");
}

TEST(HubProtocolB, ABranchOfTwoWordsIsOneSegmentToo) {
  EXPECT_TRUE(info_route(kModel, "feat/x").find("/revision/feat%2Fx?") != std::string::npos);
  EXPECT_EQ(refs_route(kModel), "/api/models/acme/tiny-llm/refs?include_prs=1");
}

TEST(HubProtocolC1, ATreeIsAskedForByCommitWithoutCostlyFields) {
  EXPECT_EQ(tree_route(kModel, kCommit, "", true),
            "/api/models/acme/tiny-llm/tree/" + kCommit + "?recursive=true&expand=false");
  EXPECT_EQ(tree_route(kModel, kCommit, "a/b", false),
            "/api/models/acme/tiny-llm/tree/" + kCommit + "/a/b?recursive=false&expand=false");
}

TEST(HubProtocolD1, APageForPeopleIsTheRepos) {
  EXPECT_EQ(page_route(kModel), "/acme/tiny-llm");
  EXPECT_EQ(page_route({RepoType::kDataset, "a/b"}), "/datasets/a/b");
}

TEST(HubProtocolD1, EveryOddByteOfAPathIsEscaped) {
  EXPECT_EQ(resolve_route(kModel, kCommit, "sub dir/a b+c#?%.t\xc3\xbc\x01"),
            "/acme/tiny-llm/resolve/" + kCommit + "/sub%20dir/a%20b%2Bc%23%3F%25.t%C3%BC%01");
  EXPECT_EQ(tree_route({RepoType::kDataset, "a/b"}, kCommit, "x y/z", true),
            "/api/datasets/a/b/tree/" + kCommit + "/x%20y/z?recursive=true&expand=false");
}

TEST(HubProtocolA1, TypesHaveTheirPrefixes) {
  EXPECT_TRUE(
      resolve_route({RepoType::kDataset, "a/b"}, kCommit, "f").starts_with("/datasets/a/b/"));
  EXPECT_TRUE(resolve_route({RepoType::kSpace, "a/b"}, kCommit, "f").starts_with("/spaces/a/b/"));
  EXPECT_TRUE(
      resolve_route({RepoType::kModel, "gpt2"}, kCommit, "f").starts_with("/gpt2/resolve/"));
}

TEST(HubProtocolA4, ListsAreByOwnerOrByDownloads) {
  EXPECT_TRUE(list_route(RepoType::kModel, "acme").starts_with("/api/models?author=acme&"));
  EXPECT_TRUE(list_route(RepoType::kSpace, "").starts_with("/api/spaces?sort=downloads&"));
}

}  // namespace
}  // namespace hubvfs::hub
