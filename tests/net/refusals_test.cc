// SPDX-License-Identifier: Apache-2.0
// The Hub's matrix of refusals (hub-protocol E.2), and the one more try without the token.
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using HubProtocolD2 = FaultyHub;
using HubProtocolE2 = FaultyHub;
using HubProtocolF = FaultyHub;

TEST_F(HubProtocolE2, WithoutATokenA401MeansNotFound) {
  refuse_all(401);
  EXPECT_EQ(info_error().code, ErrorCode::kNotFound);
  expect_error(ErrorCode::kNotFound, lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 2u);
  EXPECT_EQ(client().stats().failures, 0u);
}

TEST_F(HubProtocolF, WithATokenA401IsAskedOnceMoreWithoutIt) {
  make_client_with_token();
  refuse_all(401);
  EXPECT_EQ(info_error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(authorizations(), (std::vector<std::string>{"Bearer " + kToken, ""}));
  expect_error(ErrorCode::kPermissionDenied, lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 4u);
}

TEST_F(HubProtocolF, AStaleTokenDoesNotSpoilPublicRepos) {
  make_client_with_token();
  on_hub([&](const ScriptedRequest& request, int) {
    if (!request.header("authorization").empty()) return refusal(401);
    return request.target.starts_with("/api/") ? json(info_text()) : to_content();
  });
  EXPECT_TRUE(info_of(client(), kRepo, "", kAmple));
  EXPECT_EQ(hub_.requests().size(), 2u);
  // It is not sent again at once: that would double every request.
  EXPECT_TRUE(info_of(client(), kRepo, "", kAmple));
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_EQ(authorizations(), (std::vector<std::string>{"Bearer " + kToken, "", "", ""}));
}

TEST_F(HubProtocolF, AStaleTokensFileIsFetchedWithoutIt) {
  make_client_with_token();
  on_hub([&](const ScriptedRequest& request, int) {
    return request.header("authorization").empty() ? to_content() : refusal(401);
  });
  expect_bytes(lfs_file(), {0, 10});
}

TEST_F(HubProtocolE2, WithATokenA403IsAskedOnceMoreWithoutIt) {
  make_client_with_token();
  on_hub([&](const ScriptedRequest& request, int) {
    return request.header("authorization").empty() ? json(info_text()) : refusal(403);
  });
  EXPECT_TRUE(info_of(client(), kRepo, "", kAmple));
  refuse_all(403);
  EXPECT_EQ(info_error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(authorizations(),
            (std::vector<std::string>{"Bearer " + kToken, "", "Bearer " + kToken, ""}));
}

TEST_F(HubProtocolE2, GatedIsGatedAndNotAskedAgain) {
  make_client_with_token();
  refuse_all(403, "GatedRepo");
  expect_error(ErrorCode::kGated, lfs_file(), {0, 10});
  refuse_all(401, "GatedRepo");
  expect_error(ErrorCode::kGated, lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolE2, NotFoundIsNotRetried) {
  for (const char* code : {"RepoNotFound", "RevisionNotFound", "EntryNotFound"}) {
    refuse_all(404, code);
    EXPECT_EQ(info_error().code, ErrorCode::kNotFound);
    expect_error(ErrorCode::kNotFound, lfs_file(), {0, 10});
  }
  EXPECT_EQ(hub_.requests().size(), 6u);
}

TEST_F(HubProtocolE2, A404WithoutACodeIsNoHub) {
  refuse_all(404);
  EXPECT_EQ(info_error().code, ErrorCode::kBadAnswer);
}

TEST_F(HubProtocolE2, ABadRequestIsNotRetried) {
  refuse_all(400);
  EXPECT_EQ(info_error().code, ErrorCode::kBadAnswer);
  EXPECT_EQ(hub_.requests().size(), 1u);
}

TEST_F(HubProtocolF, AMalformedTokenIsNotSent) {
  for (const std::string& token : {std::string("hf_x\r\nX-Evil: 1"), std::string("short"),
                                   std::string("hf_with blank"), std::string(600, 'x')}) {
    make_client_with_token(token);
    on_hub([&](const ScriptedRequest&, int) { return json(info_text()); });
    EXPECT_TRUE(info_of(client(), kRepo, "", kAmple));
  }
  for (const auto& request : hub_.requests()) {
    EXPECT_EQ(request.header("authorization"), "");
    EXPECT_EQ(request.header("x-evil"), "");
  }
}

TEST_F(HubProtocolD2, ARefusalOfACachedPlaceIsResolvedAgain) {
  on_hub([&](const ScriptedRequest& request, int nth) {
    if (nth == 3) return refusal(404);  // the cached place has gone
    if (request.target.starts_with("/api/resolve-cache/")) return good_regular(request);
    ScriptedAnswer answer;
    answer.status = 307;
    return answer.header("Location", "/api/resolve-cache/x").header("X-Repo-Commit", kCommit);
  });
  expect_bytes(regular_file(), {0, 10});
  expect_bytes(regular_file(), {10, 20});
  EXPECT_EQ(hub_.count("/resolve/"), 2u);
}

}  // namespace
}  // namespace hubvfs
