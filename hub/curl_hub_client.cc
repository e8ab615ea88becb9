// SPDX-License-Identifier: Apache-2.0
#include "hub/curl_hub_client.h"

#include <curl/curl.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <unordered_map>

#include "base/text.h"
#include "hub/curl_engine.h"
#include "hub/file_fetch.h"
#include "hub/hub_answers.h"
#include "hub/hub_routes.h"
#include "hub/listing_bounds.h"
#include "hub/metadata_call.h"
#include "hub/names.h"

namespace hubvfs::hub {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::uint64_t random_seed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

// The endpoint with its path less trailing slashes: routes are added to it.
Result<Url> parse_endpoint(const std::string& text) {
  const auto bad = [&](const std::string& why) {
    return Error{ErrorCode::kInvalidArgument, "endpoint " + escape_for_log(text, 200) + ": " + why +
                                                  "; it must look like https://HOST[:PORT]"};
  };
  auto url = parse_url(text);
  if (!url) return bad(url.error().context);
  if (!url->query.empty()) return bad("it has a query");
  while (url->path.ends_with('/')) url->path.pop_back();
  return url;
}

Error invalid(const std::string& what) { return {ErrorCode::kInvalidArgument, what}; }

// One list_tree under way, from page to page.
struct TreeListing {
  Asked asked;
  Duration allowance{};  // for each page
  CrawlPtr crawl;
  std::function<bool(std::vector<TreeEntry>)> on_page;
  Done<bool> done;
  ListingBounds bounds;
};

class CurlHubClient final : public HubClient {
 public:
  CurlHubClient(const HubClientOptions& options, const Url& endpoint,
                std::unique_ptr<CurlEngine> engine, Logger& log, const Clock& clock)
      : offline_(options.offline),
        offline_because_(options.offline_because),
        clock_(clock),
        failures_(log, clock),
        engine_(std::move(engine)),
        context_{*engine_,
                 clock,
                 log,
                 failures_,
                 counters_,
                 {endpoint, options.redirect_hosts},
                 ProxySettings::from_environment(),
                 TokenState(options.token, options.token_origin, clock),
                 Backoff(random_seed())},
        locations_(clock) {}

  ~CurlHubClient() override {
    engine_->stop([this] { end_all(); });
  }

  void repo_info(const RepoId& repo, const std::string& revision, Terms terms,
                 Done<RepoInfo> done) override;
  void list_refs(const RepoId& repo, Terms terms, Done<RepoRefs> done) override;
  void list_tree(const RepoId& repo, const std::string& commit, const std::string& directory,
                 bool recursive, Terms terms, std::function<bool(std::vector<TreeEntry>)> on_page,
                 Done<bool> done) override;
  void list_repos(RepoType type, const std::string& owner, const std::string& next, Terms terms,
                  Done<RepoPage> done) override;
  void raise(const CrawlPtr& crawl) override;
  FetchId fetch(FetchRequest request) override;
  void cancel(FetchId id) override;
  void raise_priority(FetchId id, Priority priority) override;
  void on_token_change(std::function<void()> changed) override;
  FetchAdvice advice() const override { return engine_->advice(); }
  HubStats stats() const override;

 private:
  using CallId = std::uint64_t;
  using Answered = std::function<void(Result<MetadataAnswer>)>;

  Url route(const std::string& path_and_query) const {
    return at_route(context_.policy.endpoint, path_and_query);
  }
  Asked asked(const char* what, const RepoId& repo) const {
    return {what + repo.name, route(page_route(repo)).text()};
  }
  template <typename T>
  bool refuse(const Result<void>& valid, const Done<T>& done);
  void ask(const Url& url, const Terms& terms, Asked asked, Answered answered);
  void ask_now(const Url& url, const Terms& terms, Asked asked, Answered answered);
  void take_tree_page(const std::shared_ptr<TreeListing>& listing, Result<MetadataAnswer> answer);
  Result<std::string> read_tree_page(TreeListing& listing, const MetadataAnswer& answer,
                                     bool& stopped);
  Result<RepoPage> read_repo_page(const MetadataAnswer& answer, RepoType type,
                                  const std::string& this_page);
  template <typename T>
  Result<T> checked(Result<T> read, const std::string& what);
  void begin_fetch(FetchId id, FetchRequest& request);
  void watch_token();
  void retire(std::unique_ptr<HttpCall> call);
  void end_all();

  const bool offline_;
  const std::string offline_because_;
  const Clock& clock_;
  FailureLog failures_;
  HubCounters counters_;
  std::atomic<FetchId> next_fetch_{1};

  // Of the engine's thread alone.
  std::unique_ptr<CurlEngine> engine_;
  CallContext context_;
  Locations locations_;
  std::unordered_map<CallId, std::unique_ptr<MetadataCall>> asks_;
  std::unordered_map<FetchId, std::unique_ptr<FileFetch>> fetches_;
  std::vector<std::unique_ptr<HttpCall>> ended_;  // destroyed when no call of theirs is running
  CallId next_ask_ = 1;
  std::function<void()> on_token_change_;
  std::uint64_t token_changes_ = 0;  // those that it was told of
  bool token_watched_ = false;
  bool ending_ = false;
};

// True when the call ends here; `done` will be told so.
template <typename T>
bool CurlHubClient::refuse(const Result<void>& valid, const Done<T>& done) {
  if (valid && !offline_) return false;
  const Error error = valid ? offline_error(offline_because_) : valid.error();
  engine_->post([done, error] { done(error); });
  return true;
}

// What was read from an answer that came whole; a failure is the Hub's, and counted.
template <typename T>
Result<T> CurlHubClient::checked(Result<T> read, const std::string& what) {
  if (read) return read;
  const Error error{read.error().code, what + ": " + read.error().context + ": check the endpoint"};
  counters_.note_end(error, clock_.unix_now());
  return error;
}

void CurlHubClient::ask(const Url& url, const Terms& terms, Asked asked, Answered answered) {
  engine_->post([this, url, terms, asked = std::move(asked), answered = std::move(answered)] {
    ask_now(url, terms, asked, answered);
  });
}

void CurlHubClient::ask_now(const Url& url, const Terms& terms, Asked asked, Answered answered) {
  if (ending_) return answered(Error{ErrorCode::kCancelled, asked.what + ": the client ends"});
  const CallId id = next_ask_++;
  auto call = std::make_unique<MetadataCall>(
      context_, url, terms, std::move(asked),
      [this, id, answered = std::move(answered)](Result<MetadataAnswer> answer) {
        answered(std::move(answer));
        const auto found = asks_.find(id);
        std::unique_ptr<HttpCall> ended = std::move(found->second);
        asks_.erase(found);
        retire(std::move(ended));
      });
  MetadataCall& started = *call;
  asks_.emplace(id, std::move(call));
  started.begin();
}

void CurlHubClient::retire(std::unique_ptr<HttpCall> call) {
  if (ended_.empty()) engine_->post([this] { ended_.clear(); });
  ended_.push_back(std::move(call));
}

void CurlHubClient::end_all() {
  ending_ = true;
  const Error error{ErrorCode::kCancelled, "the Hub client ends"};
  while (!asks_.empty()) asks_.begin()->second->conclude(error);
  while (!fetches_.empty()) fetches_.begin()->second->conclude(error);
}

void CurlHubClient::raise(const CrawlPtr& crawl) {
  crawl->raised = true;
  engine_->post([this, crawl] {
    for (const auto& [id, call] : asks_) {
      if (call->crawl() == crawl.get()) return call->end_crawl();
    }
  });
}

void CurlHubClient::repo_info(const RepoId& repo, const std::string& revision, Terms terms,
                              Done<RepoInfo> done) {
  Result<void> valid;
  if (!is_repo_name(repo.name)) valid = invalid("info: malformed repo id");
  if (!revision.empty() && !is_revision(revision)) valid = invalid("info: malformed revision");
  if (refuse(valid, done)) return;
  Asked about = asked("info of ", repo);
  if (!revision.empty()) about.what += "@" + revision;
  ask(route(info_route(repo, revision)), terms, about,
      [this, type = repo.type, done = std::move(done), about](Result<MetadataAnswer> answer) {
        if (!answer) return done(answer.error());
        done(checked(parse_repo_info(answer->body, type), about.what));
      });
}

void CurlHubClient::list_refs(const RepoId& repo, Terms terms, Done<RepoRefs> done) {
  Result<void> valid;
  if (!is_repo_name(repo.name)) valid = invalid("refs: malformed repo id");
  if (refuse(valid, done)) return;
  const Asked about = asked("refs of ", repo);
  ask(route(refs_route(repo)), terms, about,
      [this, done = std::move(done), about](Result<MetadataAnswer> answer) {
        if (!answer) return done(answer.error());
        done(checked(parse_repo_refs(answer->body), about.what));
      });
}

void CurlHubClient::list_tree(const RepoId& repo, const std::string& commit,
                              const std::string& directory, bool recursive, Terms terms,
                              std::function<bool(std::vector<TreeEntry>)> on_page,
                              Done<bool> done) {
  Result<void> valid;
  if (!is_repo_name(repo.name)) valid = invalid("tree: malformed repo id");
  if (!is_commit_id(commit)) valid = invalid("tree: malformed commit id");
  if (!directory.empty() && !is_repo_path(directory)) valid = invalid("tree: malformed path");
  if (refuse(valid, done)) return;
  const Url url = route(tree_route(repo, commit, directory, recursive));
  auto listing = std::make_shared<TreeListing>(
      TreeListing{asked("tree of ", repo), terms.deadline - clock_.now(), terms.crawl,
                  std::move(on_page), std::move(done), ListingBounds(url.text())});
  ask(url, terms, listing->asked, [this, listing](Result<MetadataAnswer> answer) {
    take_tree_page(listing, std::move(answer));
  });
}

// Reads one page and passes it on. Gives the next page's URL, "" after the last or when stopped.
Result<std::string> CurlHubClient::read_tree_page(TreeListing& listing,
                                                  const MetadataAnswer& answer, bool& stopped) {
  auto entries = parse_tree_page(answer.body);
  if (!entries) return entries.error();
  const auto taken = listing.bounds.take(entries->size(), answer.body.size());
  if (!taken) return taken.error();
  auto next = next_page(answer, context_.policy.endpoint);
  if (!next) return next.error();
  stopped = !listing.on_page(std::move(*entries));
  if (next->empty() || stopped) return std::string();
  if (const auto turned = listing.bounds.turn_to(*next); !turned) return turned.error();
  return next;
}

void CurlHubClient::take_tree_page(const std::shared_ptr<TreeListing>& listing,
                                   Result<MetadataAnswer> answer) {
  if (!answer) return listing->done(answer.error());
  bool stopped = false;
  const auto next = checked(read_tree_page(*listing, *answer, stopped), listing->asked.what);
  if (!next) return listing->done(next.error());
  // Stopped at the last page, there was no more after all.
  if (stopped) return listing->done(!next_link(answer->link).empty());
  if (next->empty()) return listing->done(false);
  const auto url = parse_url(*next);
  if (!url) return listing->done(url.error());
  ask_now(
      *url, {clock_.now() + listing->allowance, listing->crawl}, listing->asked,
      [this, listing](Result<MetadataAnswer> page) { take_tree_page(listing, std::move(page)); });
}

void CurlHubClient::list_repos(RepoType type, const std::string& owner, const std::string& next,
                               Terms terms, Done<RepoPage> done) {
  Result<void> valid;
  if (!owner.empty() && !is_repo_name_part(owner)) valid = invalid("list: malformed owner");
  Url url = route(list_route(type, owner));
  if (!next.empty()) {
    const auto given = parse_url(next);
    if (given && given->same_origin(url)) {
      url = *given;
    } else {
      valid = invalid("list: malformed next page");
    }
  }
  if (refuse(valid, done)) return;
  const Asked about{"list of " + (owner.empty() ? "repos" : owner), ""};
  ask(url, terms, about,
      [this, type, done = std::move(done), about,
       page = url.text()](Result<MetadataAnswer> answer) {
        if (!answer) return done(answer.error());
        done(checked(read_repo_page(*answer, type, page), about.what));
      });
}

Result<RepoPage> CurlHubClient::read_repo_page(const MetadataAnswer& answer, RepoType type,
                                               const std::string& this_page) {
  auto page = parse_repo_page(answer.body, type);
  if (!page) return page;
  auto next = next_page(answer, context_.policy.endpoint);
  if (!next) return next.error();
  if (*next == this_page) return Error{ErrorCode::kBadAnswer, "a page leads back to itself"};
  page->next = std::move(*next);
  return page;
}

FetchId CurlHubClient::fetch(FetchRequest request) {
  const FetchId id = next_fetch_++;
  // Shared only because std::function wants to be copyable.
  auto shared = std::make_shared<FetchRequest>(std::move(request));
  engine_->post([this, id, shared] { begin_fetch(id, *shared); });
  return id;
}

void CurlHubClient::begin_fetch(FetchId id, FetchRequest& request) {
  if (ending_) return request.on_done(Error{ErrorCode::kCancelled, "the Hub client ends"});
  if (const auto valid = check_fetch(request); !valid) return request.on_done(valid);
  if (request.range.empty()) return request.on_done({});  // never a Range of nothing (D.3)
  if (offline_) return request.on_done(offline_error(offline_because_));
  auto call = std::make_unique<FileFetch>(context_, locations_, std::move(request), [this, id] {
    const auto found = fetches_.find(id);
    std::unique_ptr<HttpCall> ended = std::move(found->second);
    fetches_.erase(found);
    retire(std::move(ended));
  });
  FileFetch& started = *call;
  fetches_.emplace(id, std::move(call));
  started.begin();
}

void CurlHubClient::on_token_change(std::function<void()> changed) {
  if (offline_) return;
  engine_->post([this, changed = std::move(changed)]() mutable {
    on_token_change_ = std::move(changed);
    if (token_watched_) return;
    token_watched_ = true;
    (void)context_.token.ask();
    token_changes_ = context_.token.changes();
    watch_token();
  });
}

// Where everything is answered from what is known, no request would notice a login.
void CurlHubClient::watch_token() {
  constexpr Duration kWatchEvery = std::chrono::seconds(1);
  (void)context_.token.ask();
  if (context_.token.changes() != token_changes_) {
    token_changes_ = context_.token.changes();
    if (on_token_change_) on_token_change_();
  }
  engine_->after(clock_.now() + kWatchEvery, [this] { watch_token(); });
}

void CurlHubClient::cancel(FetchId id) {
  engine_->post([this, id] {
    const auto found = fetches_.find(id);
    if (found == fetches_.end()) return;
    found->second->conclude({ErrorCode::kCancelled, "fetch cancelled"});
  });
}

void CurlHubClient::raise_priority(FetchId id, Priority priority) {
  engine_->post([this, id, priority] {
    const auto found = fetches_.find(id);
    if (found != fetches_.end()) found->second->raise(priority);
  });
}

HubStats CurlHubClient::stats() const {
  HubStats stats = counters_.snapshot();
  stats.link = engine_->link();
  return stats;
}

}  // namespace

Result<std::unique_ptr<HubClient>> make_curl_hub_client(const HubClientOptions& options,
                                                        Logger& log, const Clock& clock) {
  const auto endpoint = parse_endpoint(options.endpoint);
  if (!endpoint) return endpoint.error();
  CurlEngine::Options engine_options;
  engine_options.user_agent = options.user_agent;
  engine_options.max_transfers = options.max_connections;
  engine_options.ca_file = environment("SSL_CERT_FILE");
  engine_options.ca_path = environment("SSL_CERT_DIR");
  auto engine = CurlEngine::create(engine_options, clock, log);
  if (!engine) return engine.error();
  return std::unique_ptr<HubClient>(
      new CurlHubClient(options, *endpoint, std::move(*engine), log, clock));
}

std::string libcurl_version() { return curl_version(); }

}  // namespace hubvfs::hub
