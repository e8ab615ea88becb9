// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>

#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {

// acme/m with a ref of each kind, a folder each; nothing is served yet. Each revision has a f.txt
// that says which one it is, and a w.bin that is LFS.
class RevisionRepo : public ServedFolder {
 protected:
  static constexpr char kSettings[] =
      R"({"branches": {"dev": "dev-2", "feat/x": "feature"}, "tags": {"v1.0": "one"},
          "pulls": {"1": "pull"}, "converts": {"parquet": "parquet"}})";

  void SetUp() override {
    fill("acme/m", "main");
    for (const char* name : {"dev-1", "dev-2", "feature", "one", "pull", "parquet"}) {
      fill(revision(name), name);
    }
    settings(kSettings);
  }
  static std::string revision(const std::string& name) {
    return "acme/m/.hubvfs-revisions/" + name;
  }
  void fill(const std::string& folder, const std::string& what) {
    put(folder + "/.gitattributes", "*.bin filter=lfs\n");
    put(folder + "/f.txt", what);
    put(folder + "/sub/" + what, what);
    put(folder + "/w.bin", "weights of " + what);
  }
  // As an operator does it: written beside, then renamed.
  void settings(const std::string& text) {
    write_file(root_ / "acme/m/.hubvfs-repo.json.new", text);
    ASSERT_EQ(std::rename((root_ / "acme/m/.hubvfs-repo.json.new").c_str(),
                          (root_ / "acme/m/.hubvfs-repo.json").c_str()),
              0);
  }
  // The commit of a revision, given as it stands in a URL; "" when there is none.
  std::string sha(const std::string& revision) const {
    const HttpReply reply = get("/api/models/acme/m/revision/" + revision);
    return reply.status == 200 ? flat_json(reply.body)["sha"] : "";
  }
  // The text of f.txt there, by whatever hops; "STATUS CODE" when it is not served.
  std::string text(const std::string& revision) const {
    HttpReply reply = get("/acme/m/resolve/" + revision + "/f.txt");
    if (reply.status == 307) reply = get(reply.header("location"));
    if (reply.status == 200) return reply.body;
    return std::to_string(reply.status) + " " + reply.header("x-error-code");
  }
};

}  // namespace hubvfs::hub::server
