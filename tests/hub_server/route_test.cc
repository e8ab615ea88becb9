// SPDX-License-Identifier: Apache-2.0
#include "hub/server/route.h"

#include <gtest/gtest.h>

namespace hubvfs::hub::server {
namespace {

using Kind = Route::Kind;

void expect_route(const std::string& path, Kind kind, RepoType type, const std::string& name,
                  const std::string& revision = "", const std::string& in_repo = "") {
  const Route route = parse_route(path);
  EXPECT_EQ(route.kind, kind) << path;
  EXPECT_EQ(route.repo.type, type) << path;
  EXPECT_EQ(route.repo.name, name) << path;
  EXPECT_EQ(route.revision, revision) << path;
  EXPECT_EQ(route.path, in_repo) << path;
}

constexpr auto kModel = RepoType::kModel;
constexpr auto kDataset = RepoType::kDataset;

TEST(Route, InfoOfEveryType) {
  expect_route("/api/models/acme/a", Kind::kInfo, kModel, "acme/a");
  expect_route("/api/datasets/acme/a", Kind::kInfo, kDataset, "acme/a");
  expect_route("/api/spaces/acme/a/revision/HEAD", Kind::kInfo, RepoType::kSpace, "acme/a", "HEAD");
  expect_route("/api/models", Kind::kList, kModel, "");
}

TEST(Route, RevisionIsOneEncodedSegment) {
  expect_route("/api/models/a/b/revision/refs%2Fpr%2F1", Kind::kInfo, kModel, "a/b", "refs/pr/1");
  expect_route("/a/b/resolve/feat%2Fx/f.txt", Kind::kResolve, kModel, "a/b", "feat/x", "f.txt");
}

TEST(Route, PullRequestAndConvertRefsAreTakenUnencodedToo) {
  expect_route("/api/models/a/b/tree/refs/pr/7/sub/dir", Kind::kTree, kModel, "a/b", "refs/pr/7",
               "sub/dir");
  expect_route("/datasets/a/b/resolve/refs/convert/parquet/x.parquet", Kind::kResolve, kDataset,
               "a/b", "refs/convert/parquet", "x.parquet");
}

TEST(Route, TreeDirectoryIsTakenEncodedAndPlain) {
  expect_route("/api/models/a/b/tree/main/x%2Fy", Kind::kTree, kModel, "a/b", "main", "x/y");
  expect_route("/api/models/a/b/tree/main/x/y", Kind::kTree, kModel, "a/b", "main", "x/y");
  expect_route("/api/models/a/b/tree/main/", Kind::kTree, kModel, "a/b", "main", "");
}

TEST(Route, FileRoutesAndTheirPrefixes) {
  expect_route("/a/b/raw/main/sub%20dir/a%23.txt", Kind::kRaw, kModel, "a/b", "main",
               "sub dir/a#.txt");
  expect_route("/api/resolve-cache/datasets/a/b/0123/d/f", Kind::kResolveCache, kDataset, "a/b",
               "0123", "d/f");
  expect_route("/spaces/a/b/resolve/main/app.py", Kind::kResolve, RepoType::kSpace, "a/b", "main",
               "app.py");
}

TEST(Route, BareLegacyIds) {
  expect_route("/api/models/gpt2", Kind::kInfo, kModel, "gpt2");
  expect_route("/api/models/gpt2/tree/main", Kind::kTree, kModel, "gpt2", "main");
  expect_route("/gpt2/resolve/main/config.json", Kind::kResolve, kModel, "gpt2", "main",
               "config.json");
  expect_route("/api/models/acme/tree/tree/main", Kind::kTree, kModel, "acme/tree", "main");
}

TEST(Route, DotsStayInThePathAndAreNotResolved) {
  expect_route("/a/b/resolve/main/x/../../../etc/passwd", Kind::kResolve, kModel, "a/b", "main",
               "x/../../../etc/passwd");
  expect_route("/a/b/resolve/main/%2e%2e%2f%2e%2e/x", Kind::kResolve, kModel, "a/b", "main",
               "../../x");
  expect_route("/a/b/resolve/main//x", Kind::kResolve, kModel, "a/b", "main", "/x");
}

TEST(Route, WhatIsNoRouteIsUnknown) {
  for (const char* path : {"/", "", "/api", "/api/agent-harnesses", "/api/models/a/b/nonsense",
                           "/a/b", "/a/b/blob/main/x", "/api/models/a/b/tree", "/a/b/resolve/main",
                           "/api/whoami-v2/x", "/api/kernels/a/b", "/api/models/a/b/refs/x"}) {
    EXPECT_EQ(parse_route(path).kind, Kind::kUnknown) << path;
  }
}

TEST(Route, BrokenEscapesAreMalformed) {
  EXPECT_EQ(parse_route("/a/b/resolve/main/%zz").kind, Kind::kMalformed);
  EXPECT_EQ(parse_route("/api/models/a/b%2").kind, Kind::kMalformed);
}

}  // namespace
}  // namespace hubvfs::hub::server
