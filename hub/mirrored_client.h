// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/failure_log.h"
#include "base/log.h"
#include "base/mutex.h"
#include "hub/hub_client.h"

namespace hubvfs::hub {

struct Mirror {
  std::string endpoint;  // for messages
  std::unique_ptr<HubClient> client;
  // It is sent what the first is sent. False where the first is sent a token and this one is not:
  // what it refuses it might have given to the user.
  bool knows_caller = true;
};

// Several endpoints as one HubClient: the first is asked, and where it gives no answer the next.
//
// No answer is kUnavailable and kTimedOut (5xx, connection, TLS, DNS, proxy, nothing in time); what
// a 4xx means ends the call, and so does all else that the first says. Of a later mirror, which may
// be behind the first or hold only a part of it, these are no answer either: kBadAnswer (a stale
// branch among them: each client checks commit and content itself), kNotFound of a call that
// names a commit, and any refusal where it does not know the caller. So a mirror never denies what
// the first would give; where none answers, the error has the first's code (or kTimedOut: no time
// was left for it) and names each mirror with its failure, in one line.
//
// Time: each mirror but the last gets an equal share of what is left of the caller's deadline; of a
// crawl, which may have waited for its quota at the one before, an equal share of all of it. One
// whose outage is known (Outage) fails a lookup at once.
// list_tree goes on only if no page was passed on yet, so nothing is given twice; the further pages
// of list_repos are asked of the mirror that gave the first. fetch goes on at the next byte, each
// mirror being asked once; those that are down, or failed a fetch less than kAvoided ago, are asked
// after the others, since a fetch waits for its whole share.
//
// It sends no token and opens no connection: that is each client's. Whoever makes them gives the
// user's token to the first endpoint's origin only (daemon/app.cc).
// Counters are sums: a call that the next mirror answered is a failure of the one before. Health is
// the first's, unless it is down and another is not: then that one's, and `mirror` says so; but
// refused_token is always the first's.
//
// Lock rank 6, held while a client is called, so that a cancel meets a fetch here or there and
// never in between.
class MirroredClient final : public HubClient {
 public:
  static constexpr Duration kAvoided = std::chrono::minutes(1);

  // `mirrors`: in order, not empty.
  MirroredClient(std::vector<Mirror> mirrors, Logger& log, const Clock& clock);
  ~MirroredClient() override;

  void repo_info(const RepoId& repo, const std::string& revision, Terms terms,
                 Done<RepoInfo> done) override EXCLUDES(mutex_);
  void list_refs(const RepoId& repo, Terms terms, Done<RepoRefs> done) override EXCLUDES(mutex_);
  void list_tree(const RepoId& repo, const std::string& commit, const std::string& directory,
                 bool recursive, Terms terms, std::function<bool(std::vector<TreeEntry>)> on_page,
                 Done<bool> done) override EXCLUDES(mutex_);
  void list_repos(RepoType type, const std::string& owner, const std::string& next, Terms terms,
                  Done<RepoPage> done) override EXCLUDES(mutex_);
  void raise(const CrawlPtr& crawl) override;
  FetchId fetch(FetchRequest request) override EXCLUDES(mutex_);
  void cancel(FetchId id) override EXCLUDES(mutex_);
  void raise_priority(FetchId id, Priority priority) override EXCLUDES(mutex_);
  void on_token_change(std::function<void()> changed) override;
  FetchAdvice advice() const override;
  HubStats stats() const override;

 private:
  // Whom a call may ask, and how far it has come. Touched by whoever starts it, then by the thread
  // of the client that is asked.
  struct Attempts {
    std::vector<std::size_t> order;  // of mirrors
    std::size_t at = 0;
    Duration allowance{};  // for all of them
    TimePoint since;       // awake: the call's begin, or its last byte
    bool names_commit = false;
    std::string failures;  // so far, for the last error
    std::string causes;    // the same; "" once one had none
    std::optional<ErrorCode> first_says;
  };
  template <typename T>
  struct Call;
  struct Fetch;

  Attempts attempts_for(TimePoint deadline) const REQUIRES(mutex_);
  Duration time_left(const Attempts& attempts) const;
  TimePoint next_deadline(const Attempts& attempts) const;
  bool is_no_answer(const Attempts& attempts, ErrorCode code) const;
  std::optional<Error> note_failure(Attempts& attempts, const Error& error);
  void add_failure(Attempts& attempts, std::size_t mirror, const Error& error) const;
  template <typename T>
  void begin(std::shared_ptr<Call<T>> call, const Terms& terms) EXCLUDES(mutex_);
  template <typename T>
  void ask(std::shared_ptr<Call<T>> call) REQUIRES(mutex_);
  template <typename T>
  void answered(std::shared_ptr<Call<T>> call, Result<T> answer) EXCLUDES(mutex_);
  void prefer_healthy(Attempts& attempts) const REQUIRES(mutex_);
  void start(FetchId id, const std::shared_ptr<Fetch>& fetch) REQUIRES(mutex_);
  void fetch_ended(FetchId id, const std::shared_ptr<Fetch>& fetch, Result<void> result)
      EXCLUDES(mutex_);

  const Clock& clock_;
  std::vector<Mirror> mirrors_;
  std::vector<HubClient*> clients_;  // of them; they go one by one when this is destroyed
  FailureLog switches_;

  mutable Mutex mutex_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  FetchId next_id_ GUARDED_BY(mutex_) = 1;
  std::unordered_map<FetchId, std::shared_ptr<Fetch>> fetches_ GUARDED_BY(mutex_);
  std::vector<TimePoint> avoided_until_ GUARDED_BY(mutex_);  // by mirror
};

}  // namespace hubvfs::hub
