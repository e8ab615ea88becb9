// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_revisions.h"

#include <gtest/gtest.h>

#include "hub/server/git_objects.h"
#include "hub/server/repo_settings.h"

namespace hubvfs::hub::server {
namespace {

using Wanted = std::map<std::string, std::string>;
using Folders = RepoRevisions::Folders;

RepoRevisions::Snapshot snapshot(const std::string& text, const std::string& folder = "acme/m") {
  const auto id =
      ContentId::create(ContentId::Algorithm::kGitSha1, git_object_oid("blob", text), text.size());
  return RepoSnapshot::make({RepoType::kModel, "acme/m"}, folder,
                            {{"f", {1, 2, text.size(), 3, 4}}}, {*id});
}

TEST(RepoRevisions, MainIsTheReposOwnFolderUnlessARefSaysOtherwise) {
  const auto own = snapshot("own");
  const auto other = snapshot("other");
  const RepoRevisions plain({}, {{"", own}, {"x", other}}, nullptr);
  EXPECT_EQ(plain.main(), own);
  EXPECT_EQ(plain.find(""), own);
  EXPECT_EQ(plain.find("HEAD"), own);
  EXPECT_EQ(plain.find("refs/heads/main"), own);
  const RepoRevisions named({{kMainRef, "x"}}, {{"", own}, {"x", other}}, nullptr);
  EXPECT_EQ(named.main(), other);
  EXPECT_EQ(named.find("main"), other);
  EXPECT_EQ(named.find(own->commit()), own) << "still there";
}

TEST(RepoRevisions, FoldersWithoutARefAreFoundByCommitOnly) {
  const auto old = snapshot("old");
  const RepoRevisions revisions({}, {{"", snapshot("own")}, {"old", old}}, nullptr);
  EXPECT_EQ(revisions.find(old->commit()), old);
  EXPECT_EQ(revisions.find("old"), nullptr);
}

TEST(RepoRevisions, ARefWhoseFolderIsMissingIsNone) {
  const RepoRevisions revisions({{"refs/heads/dev", "gone"}, {"refs/tags/v1", "x"}},
                                {{"", snapshot("own")}, {"x", snapshot("v1")}}, nullptr);
  EXPECT_EQ(revisions.missing(), std::vector<std::string>{"refs/heads/dev"});
  EXPECT_EQ(revisions.find("dev"), nullptr);
  EXPECT_NE(revisions.find("v1"), nullptr);
}

TEST(RepoRevisions, ARefStaysWhileItsNewFolderIsHashed) {
  const auto old = snapshot("old");
  const RepoRevisions before({{kMainRef, "a"}}, {{"", snapshot("own")}, {"a", old}}, nullptr);
  const Folders folders = {{"", snapshot("own")}, {"b", nullptr}};
  const RepoRevisions moving({{kMainRef, "b"}, {"refs/tags/v1", "b"}}, folders, &before);
  EXPECT_EQ(moving.main(), old);
  EXPECT_EQ(moving.find(old->commit()), old);
  EXPECT_EQ(moving.find("v1"), nullptr) << "it has never been anywhere";
  EXPECT_TRUE(moving.missing().empty());
  const RepoRevisions first({{kMainRef, "b"}}, folders, nullptr);
  EXPECT_EQ(first.main(), nullptr);
}

TEST(RepoRevisions, ABranchComesBeforeACommitThatStartsLikeIt) {
  const auto own = snapshot("own");
  const auto other = snapshot("other");
  const std::string name = own->commit().substr(0, 8);
  const RepoRevisions revisions({{"refs/heads/" + name, "x"}}, {{"", own}, {"x", other}}, nullptr);
  EXPECT_EQ(revisions.find(name), other);
  EXPECT_EQ(revisions.find(own->commit()), own);
  EXPECT_EQ(revisions.find(own->commit().substr(0, 9)), own);
}

TEST(RepoRevisions, FirstDigitsThatTwoCommitsShareAreNeither) {
  const auto one = snapshot("15832");
  const auto other = snapshot("31903");
  ASSERT_EQ(one->commit().substr(0, 7), other->commit().substr(0, 7));
  const RepoRevisions revisions({}, {{"", one}, {"x", other}}, nullptr);
  EXPECT_EQ(revisions.find(one->commit().substr(0, 7)), nullptr);
  EXPECT_EQ(revisions.find(one->commit().substr(0, 8)), one);
  EXPECT_EQ(revisions.find(other->commit().substr(0, 8)), other);
}

TEST(RepoRevisions, TwoFoldersOfOneCommitAreOneRevision) {
  const auto own = snapshot("own");
  const RepoRevisions revisions({}, {{"", own}, {"copy", snapshot("own", "acme/m/copy")}}, nullptr);
  EXPECT_EQ(revisions.find(own->commit().substr(0, 7)), own);
  EXPECT_EQ(revisions.find("0000000"), nullptr);
  EXPECT_EQ(revisions.commits().size(), 2u) << "either may lose its files first";
}

}  // namespace
}  // namespace hubvfs::hub::server
