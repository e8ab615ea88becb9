// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/clock.h"
#include "base/log.h"
#include "hub/server/http_message.h"
#include "hub/server/repo_catalog.h"
#include "hub/server/url_signer.h"

namespace hubvfs::hub::server {

// The second origin, where signed URLs lead: content of LFS files, to whoever has the URL. It knows
// no users: a request with an Authorization header is refused (400), as by the stores that the Hub
// redirects to. Expired or altered URLs get 403. Thread-safe.
class ContentOrigin {
 public:
  ContentOrigin(RepoCatalog& catalog, const UrlSigner& signer, Logger& log, const Clock& clock)
      : catalog_(catalog), signer_(signer), log_(log), clock_(clock) {}

  HttpAnswer answer(const HttpRequest& request);

 private:
  HttpAnswer content(const HttpRequest& request);
  // None: that file has changed since.
  std::optional<HttpAnswer> content_of(const HttpRequest& request, const RepoSnapshot& snapshot,
                                       const SnapshotEntry& entry);

  RepoCatalog& catalog_;
  const UrlSigner& signer_;
  Logger& log_;
  const Clock& clock_;
};

}  // namespace hubvfs::hub::server
