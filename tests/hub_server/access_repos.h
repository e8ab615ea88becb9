// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {

// A repo of each kind of access, served; ada reads all, bob nothing of them, eve asked for the
// gated.
class AccessRepos : public ServedFolder {
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
    put("acme/auto/f.txt", "auto");
    put("acme/auto/.hubvfs-repo.json",
        R"({"gated": "auto", "readers": ["ada"], "pending": ["eve"]})");
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

inline constexpr char kBadCredentials[] = "Invalid username or password.";

}  // namespace hubvfs::hub::server
