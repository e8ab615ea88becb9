// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tests/support/fake_hub_client.h"
#include "tests/support/scripted_http_server.h"

namespace hubvfs {

// A FakeHubClient's world over HTTP, as hub-protocol.md says: LFS files by a 302 to a signed URL
// on a second origin, others by a 307 to /api/resolve-cache, pages by Link. It is there to run the
// contract of HubClient on the curl client; `hubvfs serve` is the real server.
class HttpFakeHub {
 public:
  explicit HttpFakeHub(FakeHubClient& world);

  const std::string& endpoint() const { return hub_.origin(); }
  ScriptedHttpServer& hub() { return hub_; }
  ScriptedHttpServer& content() { return content_; }

 private:
  ScriptedAnswer answer_hub(const ScriptedRequest& request);
  ScriptedAnswer answer_api(const ScriptedRequest& request);
  ScriptedAnswer answer_resolve(const ScriptedRequest& request, bool cached);
  ScriptedAnswer answer_content(const ScriptedRequest& request);
  ScriptedAnswer give_file(const ScriptedRequest& request, const hub::FileRef& file);
  ScriptedAnswer give_tree(const ScriptedRequest& request, const hub::RepoId& repo,
                           const std::string& commit, const std::string& directory);

  FakeHubClient& world_;
  ScriptedHttpServer content_;
  ScriptedHttpServer hub_;
};

}  // namespace hubvfs
