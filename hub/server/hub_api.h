// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "hub/server/http_message.h"
#include "hub/server/hub_answers.h"
#include "hub/server/repo_catalog.h"
#include "hub/server/repo_snapshot.h"
#include "hub/server/route.h"
#include "hub/server/token_file.h"
#include "hub/server/url_signer.h"

namespace hubvfs::hub::server {

// How the server's two origins are called from outside: "http://HOST:PORT", no slash at the end.
struct PublicUrls {
  std::string hub;
  std::string content;
};

// Answers the Hub's routes. Who may see what follows hub-protocol E.2: token, then repo, then gate,
// then revision, then entry. Thread-safe; it keeps nothing between requests.
class HubApi {
 public:
  struct Options {
    std::uint64_t page_size = 1000;
    std::uint64_t url_lifetime_seconds = 3600;
  };
  HubApi(const Options& options, RepoCatalog& catalog, TokenFile& tokens, const UrlSigner& signer,
         Logger& log, const Clock& clock);

  HttpAnswer answer(const HttpRequest& request, const Route& route, const PublicUrls& urls);

 private:
  // One request, with what was found out about it.
  struct Call {
    const HttpRequest& request;
    const Route& route;
    const PublicUrls& urls;
    HttpParameters parameters;
    std::string user;      // "" when anonymous
    ServedRepo repo;       // of repo routes
    bool granted = false;  // may read content
    // At the revision asked for; none: there is no such revision.
    std::shared_ptr<const RepoSnapshot> snapshot;

    bool flag(std::string_view name) const;  // true or 1
  };

  HttpAnswer dispatch(Call& call);
  HttpAnswer about_repo(Call& call);
  HttpAnswer about_revision(const Call& call) const;
  // To the same route of the repo that was asked for by another name, if the caller may see it.
  std::optional<HttpAnswer> redirect_to_canonical(const Call& call);
  HttpAnswer info(const Call& call) const;
  HttpAnswer commits(const Call& call) const;

  // hub_api_tree.cc
  HttpAnswer tree(const Call& call) const;
  // A page of the entries [begin, end) of a commit.
  struct TreePage {
    std::shared_ptr<const RepoSnapshot> snapshot;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::uint64_t limit = 0;
  };
  HttpAnswer tree_page(const Call& call, const TreePage& wanted) const;
  HttpAnswer missing_directory(const Call& call) const;
  HttpAnswer tree_size(const Call& call) const;
  HttpAnswer paths_info(const Call& call) const;

  // hub_api_list.cc
  HttpAnswer list(const Call& call);

  // hub_api_files.cc
  HttpAnswer file(const Call& call);
  HttpAnswer redirect_to_cache(const Call& call, const SnapshotEntry& entry) const;
  HttpAnswer redirect_to_content(const Call& call, const SnapshotEntry& entry) const;
  HttpAnswer content(const Call& call, const SnapshotEntry& entry);

  HttpAnswer json(const Call& call, std::string text) const;
  HttpAnswer error(const Call& call, unsigned status, const char* code,
                   const std::string& message) const;
  HttpAnswer gate_error(const Call& call) const;
  HttpAnswer unknown_revision(const Call& call) const;

  const Options options_;
  RepoCatalog& catalog_;
  TokenFile& tokens_;
  const UrlSigner& signer_;
  Logger& log_;
  const Clock& clock_;
};

// A path as a client sent it, made fit for a header: what may not stand in a URL is encoded.
std::string url_path(std::string_view path);

// What both origins say of a file's bytes: Content-Type, Content-Disposition and so on are the
// caller's. Answers 206, 416 or 200 by the request's Range and If-Range; `etag` without quotes.
HttpAnswer range_answer(const HttpRequest& request, std::uint64_t size, const std::string& etag);

// "inline; filename*=UTF-8''NAME; filename="NAME";" for the last component of `path`.
std::string content_disposition(std::string_view path, bool attachment);

}  // namespace hubvfs::hub::server
