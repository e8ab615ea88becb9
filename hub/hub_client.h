// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "hub/types.h"

namespace hubvfs::hub {

// What is fetched first when not everything can be (design, section 5).
enum class Priority { kDemand, kReadAhead, kPrefetch, kVerify };

// How the endpoint does, for `status`. Times are the wall clock's, 0 for none.
struct HubHealth {
  std::string outage;  // why it cannot be reached; "" while it can
  UnixSeconds outage_since = 0;
  UnixSeconds next_probe = 0;     // until then lookups fail unasked
  UnixSeconds limited_until = 0;  // a 429 holds requests back
  int crawl_waiting = 0;          // requests of crawls that wait for their share of the API quota
  UnixSeconds crawl_until = 0;    // when they go on
  std::string refused_token;  // whose token it refused last (never the token); "" once it took one
  std::string mirror;  // which is asked instead of a first that is down, and why that is; else ""
};

// How content is best asked for as the link is now. It changes by the second: ask again each time.
struct FetchAdvice {
  // Of one request for what nobody waits for yet: so much that the wait for its first byte costs
  // little. 1 to 16 MiB. A demand should ask for what it needs and no more.
  std::uint64_t part_bytes = 8u << 20;
  // So many bytes before those that a demand is for take longer than asking for them apart.
  std::uint64_t detour_bytes = 128u << 10;
  // Such requests to have under way or waiting, so that no connection is ever idle. From 2.
  int parallel = 8;
  // It brings 256 MB/s or more: hashing what came takes long beside that, and a request more holds
  // nobody up.
  bool fast = false;
};

// What the link is taken for, and what was done about it since the client was made.
struct LinkState {
  int connections = 0;  // transfers of content at a time
  int running = 0;      // those under way
  std::uint64_t part_bytes = 0;
  std::uint64_t detour_bytes = 0;
  bool fast = false;             // as FetchAdvice
  Duration round_trip{};         // to a first byte at best; 0: nothing came yet
  std::uint64_t rate = 0;        // bytes a second, of all together; 0: not measured yet
  std::uint64_t hedged = 0;      // requests sent twice, since the answer was far past its time
  std::uint64_t hedges_won = 0;  // of these: the second was answered first
  std::uint64_t stalled = 0;     // transfers that were begun anew, on a new connection
  std::uint64_t preempted = 0;   // that made room for a demand
  friend bool operator==(const LinkState&, const LinkState&) = default;
};

// Counted since the client was made.
struct HubStats {
  std::uint64_t requests = 0;           // HTTP requests sent, redirect hops and retries included
  std::uint64_t metadata_requests = 0;  // of these: info, refs, tree, lists
  std::uint64_t resolve_requests = 0;   // of these: first hops to /resolve/
  std::uint64_t retries = 0;
  std::uint64_t bytes_received = 0;  // response body bytes, whatever became of them
  std::uint64_t failures = 0;  // calls that ended in an error other than kNotFound, kCancelled
  std::string last_failure;    // "" when none
  UnixSeconds last_failure_at = 0;
  HubHealth health;
  LinkState link;
};

using FetchId = std::uint64_t;

// The bytes of one range of one file.
struct FetchRequest {
  FileRef file;
  ByteRange range;  // within the file, not empty
  Priority priority = Priority::kDemand;
  TimePoint deadline;  // without progress: it moves on by as much whenever bytes arrive
  bool hedged = true;  // a demand may be asked for a second time when its answer is late

  // Bytes as they arrive: first at range.begin, then without gap or overlap. The view is valid
  // during the call only.
  std::function<void(std::uint64_t offset, ByteView bytes)> on_bytes;
  // Once, last. Success means that exactly range.size() bytes were given.
  std::function<void(Result<void>)> on_done;
};

template <typename T>
using Done = std::function<void(Result<T>)>;

// Marks what is asked only since somebody lists directories (find, updatedb): such requests go last
// and get a quarter of the API quota, beyond which they wait (hub/crawl_share.h). One for each
// thing asked.
struct Crawl {
  // It goes on as a demand, though it still counts as a crawl's. Set by HubClient::raise(), or
  // before it is asked.
  std::atomic<bool> raised{false};
};
using CrawlPtr = std::shared_ptr<Crawl>;

// On what terms metadata is asked for: mostly a time alone.
struct Terms {
  // NOLINTNEXTLINE(google-explicit-constructor): a time alone says it all for most
  Terms(TimePoint by, CrawlPtr listing = nullptr) : deadline(by), crawl(std::move(listing)) {}
  TimePoint deadline;  // of a crawl: what it waits for its share comes on top
  CrawlPtr crawl;      // null: somebody waits for the answer itself
};

// The Hub as a client sees it: read-only, asynchronous, for one endpoint (or several that mirror
// it) and one token.
//
// Every call returns at once and never blocks; its callback runs exactly once, later, on the
// client's own thread, with no lock held, and must not block either. Callbacks may call the client.
// Thread-safe. When the client is destroyed, what is under way ends with kCancelled.
//
// Errors of all calls: kNotFound (404 with a code, 401 without one: missing or not visible),
// kGated, kPermissionDenied (403, token rejected, and not to be had without it either),
// kRateLimited, kUnavailable, kOffline, kTimedOut, kBadAnswer, kCancelled, kInvalidArgument (a name
// that must not be sent; nothing was). Each says in one line what failed, why and what to do next.
// Retries (hub-protocol E.5, honouring RateLimit and Retry-After) happen inside, within the
// deadline, which a suspend of the machine does not use up. A crawl has no kRateLimited of a quota
// that is used up: it waits.
class HubClient {
 public:
  virtual ~HubClient() = default;

  // `revision` "" asks for the default branch. The answer's id is the canonical one.
  virtual void repo_info(const RepoId& repo, const std::string& revision, Terms terms,
                         Done<RepoInfo> done) = 0;

  virtual void list_refs(const RepoId& repo, Terms terms, Done<RepoRefs> done) = 0;

  // One listing, page after page. `directory` "" is the root. `on_page` gets each page as it comes
  // and returns false to stop early (then `done` succeeds with true: there was more). `done` gets
  // false when everything was listed. Entries come in the Hub's order, unchecked but for form.
  virtual void list_tree(const RepoId& repo, const std::string& commit,
                         const std::string& directory, bool recursive, Terms terms,
                         std::function<bool(std::vector<TreeEntry>)> on_page, Done<bool> done) = 0;

  // One page of the repos of `owner`, or, with owner "", of the most downloaded ones.
  virtual void list_repos(RepoType type, const std::string& owner, const std::string& next,
                          Terms terms, Done<RepoPage> done) = 0;

  // Somebody waits now for what was asked as this.
  virtual void raise(const CrawlPtr& crawl) = 0;

  // Starts a ranged GET. Checks made before a byte is passed on: 206 and a Content-Range equal to
  // what was asked and to the known size (or 200 where the whole file was asked), no
  // Content-Encoding, X-Repo-Commit and the ETag or X-Linked-ETag equal to file's. A broken
  // transfer goes on at the next byte; a signed URL is reused until it expires or says 403.
  virtual FetchId fetch(FetchRequest request) = 0;
  // Its on_done then runs with kCancelled, unless it ran before. Unknown ids are ignored.
  virtual void cancel(FetchId id) = 0;
  // For a read-ahead that a reader now waits for.
  virtual void raise_priority(FetchId id, Priority priority) = 0;

  // `changed` is called, as callbacks are, when calls go out with another token than before: a
  // second after a login or a logout at the latest. It takes the place of the one before; {} ends
  // that.
  virtual void on_token_change(std::function<void()> changed) = 0;

  // Cheap: may be asked for each read. Of several mirrors, that of the one asked first now.
  virtual FetchAdvice advice() const = 0;

  virtual HubStats stats() const = 0;
};

}  // namespace hubvfs::hub
