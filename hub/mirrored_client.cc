// SPDX-License-Identifier: Apache-2.0
#include "hub/mirrored_client.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/text.h"

namespace hubvfs::hub {
namespace {

Error client_ends() { return {ErrorCode::kCancelled, "the client of the Hub ends"}; }

bool is_trouble(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kTimedOut;
}

}  // namespace

template <typename T>
struct MirroredClient::Call {
  std::function<void(HubClient&, const Terms&, Done<T>)> send;
  Done<T> done;
  CrawlPtr crawl{};
  Attempts attempts{};
};

struct MirroredClient::Fetch {
  FetchRequest request;
  Attempts attempts;
  std::uint64_t next = 0;  // offset of the next byte; touched as `attempts` is
  // Guarded by the client's mutex_.
  HubClient* client = nullptr;  // that is asked
  FetchId id = 0;               // by its count
  Priority priority = Priority::kDemand;
  bool cancelled = false;
};

MirroredClient::MirroredClient(std::vector<Mirror> mirrors, Logger& log, const Clock& clock)
    : clock_(clock),
      mirrors_(std::move(mirrors)),
      switches_(log, clock),
      avoided_until_(mirrors_.size(), TimePoint()) {
  for (const Mirror& mirror : mirrors_) clients_.push_back(mirror.client.get());
}

MirroredClient::~MirroredClient() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;  // from here on nobody but the last is asked anything new
  }
  for (Mirror& mirror : mirrors_) mirror.client.reset();
}

MirroredClient::Attempts MirroredClient::attempts_for(TimePoint deadline) const {
  Attempts attempts;
  attempts.order.resize(clients_.size());
  std::iota(attempts.order.begin(), attempts.order.end(), 0);
  if (stopping_) attempts.order = {clients_.size() - 1};
  attempts.allowance = deadline - clock_.now();
  attempts.since = clock_.awake();
  return attempts;
}

Duration MirroredClient::time_left(const Attempts& attempts) const {
  return attempts.allowance - (clock_.awake() - attempts.since);
}

TimePoint MirroredClient::next_deadline(const Attempts& attempts) const {
  const auto rest = static_cast<Duration::rep>(attempts.order.size() - attempts.at);
  return clock_.now() + time_left(attempts) / rest;
}

bool MirroredClient::is_no_answer(const Attempts& attempts, ErrorCode code) const {
  const std::size_t mirror = attempts.order[attempts.at];
  if (is_trouble(code)) return true;
  if (mirror == 0) return false;
  const bool knows_caller = mirrors_[mirror].knows_caller;
  switch (code) {
    case ErrorCode::kBadAnswer:
      return true;
    case ErrorCode::kNotFound:
      return attempts.names_commit || !knows_caller;
    case ErrorCode::kGated:
    case ErrorCode::kPermissionDenied:
      return !knows_caller;
    default:
      return false;
  }
}

void MirroredClient::add_failure(Attempts& attempts, std::size_t mirror, const Error& error) const {
  const bool is_first = attempts.failures.empty();
  const std::string name = escape_for_log(mirrors_[mirror].endpoint);
  attempts.failures += (is_first ? "" : "; ") + name + ": " + error.context;
  const bool has_cause = !error.cause.empty() && (is_first || !attempts.causes.empty());
  attempts.causes = has_cause ? attempts.causes + (is_first ? "" : "; ") + error.cause : "";
  if (mirror == 0) attempts.first_says = error.code;
}

// None: the next is to be asked. Else what the call ends with.
std::optional<Error> MirroredClient::note_failure(Attempts& attempts, const Error& error) {
  if (attempts.order.size() == 1 || !is_no_answer(attempts, error.code)) return error;
  const std::size_t mirror = attempts.order[attempts.at++];
  add_failure(attempts, mirror, error);
  const bool in_time = time_left(attempts) > Duration::zero();
  if (attempts.at < attempts.order.size() && in_time) {
    const std::string from = escape_for_log(mirrors_[mirror].endpoint);
    const std::string to = escape_for_log(mirrors_[attempts.order[attempts.at]].endpoint);
    switches_.note(LogLevel::kWarning, from + " " + to_string(error.code) + " " + error.cause,
                   from + " gives no answer, " + to + " is asked: " + error.context);
    return std::nullopt;
  }
  for (; attempts.at < attempts.order.size(); ++attempts.at) {
    const std::size_t unasked = attempts.order[attempts.at];
    add_failure(attempts, unasked, {ErrorCode::kTimedOut, "not asked, no time was left"});
  }
  return Error{attempts.first_says.value_or(error.code), "no mirror answers: " + attempts.failures,
               attempts.causes};
}

template <typename T>
void MirroredClient::begin(std::shared_ptr<Call<T>> call, const Terms& terms) {
  const MutexLock lock(mutex_);
  const bool names_commit = call->attempts.names_commit;
  auto order = std::move(call->attempts.order);
  call->attempts = attempts_for(terms.deadline);
  call->attempts.names_commit = names_commit;
  call->crawl = terms.crawl;
  if (!order.empty() && !stopping_) call->attempts.order = std::move(order);
  ask(std::move(call));
}

template <typename T>
void MirroredClient::ask(std::shared_ptr<Call<T>> call) {
  HubClient& client = *clients_[call->attempts.order[call->attempts.at]];
  const Terms terms(next_deadline(call->attempts), call->crawl);
  const auto& send = call->send;
  send(client, terms, [this, call](Result<T> answer) { answered(call, std::move(answer)); });
}

template <typename T>
void MirroredClient::answered(std::shared_ptr<Call<T>> call, Result<T> answer) {
  if (answer) return call->done(std::move(answer));
  if (call->crawl) call->attempts.since = clock_.awake();
  auto end = note_failure(call->attempts, answer.error());
  if (!end) {
    const MutexLock lock(mutex_);
    if (!stopping_) return ask(std::move(call));
  }
  call->done(end ? std::move(*end) : client_ends());
}

void MirroredClient::raise(const CrawlPtr& crawl) {
  for (HubClient* client : clients_) client->raise(crawl);
}

void MirroredClient::repo_info(const RepoId& repo, const std::string& revision, Terms terms,
                               Done<RepoInfo> done) {
  auto call = std::make_shared<Call<RepoInfo>>();
  call->send = [repo, revision](HubClient& client, const Terms& by, Done<RepoInfo> answered) {
    client.repo_info(repo, revision, by, std::move(answered));
  };
  call->done = std::move(done);
  begin(std::move(call), terms);
}

void MirroredClient::list_refs(const RepoId& repo, Terms terms, Done<RepoRefs> done) {
  auto call = std::make_shared<Call<RepoRefs>>();
  call->send = [repo](HubClient& client, const Terms& by, Done<RepoRefs> answered) {
    client.list_refs(repo, by, std::move(answered));
  };
  call->done = std::move(done);
  begin(std::move(call), terms);
}

void MirroredClient::list_tree(const RepoId& repo, const std::string& commit,
                               const std::string& directory, bool recursive, Terms terms,
                               std::function<bool(std::vector<TreeEntry>)> on_page,
                               Done<bool> done) {
  auto call = std::make_shared<Call<bool>>();
  call->attempts.names_commit = true;
  call->send = [repo, commit, directory, recursive, on_page = std::move(on_page),
                attempts = &call->attempts](HubClient& client, const Terms& by,
                                            Done<bool> answered) {
    // The call outlives its answer, which comes after the pages.
    auto pass_on = [on_page, attempts](std::vector<TreeEntry> page) {
      attempts->order = {attempts->order[attempts->at]};  // nobody else from here on
      attempts->at = 0;
      return on_page(std::move(page));
    };
    client.list_tree(repo, commit, directory, recursive, by, std::move(pass_on),
                     std::move(answered));
  };
  call->done = std::move(done);
  begin(std::move(call), terms);
}

// A page's `next` is "MIRROR THAT-ONE'S-NEXT": it is an address there.
void MirroredClient::list_repos(RepoType type, const std::string& owner, const std::string& next,
                                Terms terms, Done<RepoPage> done) {
  auto call = std::make_shared<Call<RepoPage>>();
  std::string there = next;
  if (const std::size_t blank = next.find(' '); blank != std::string::npos) {
    const auto mirror = parse_decimal(std::string_view(next).substr(0, blank));
    if (mirror && *mirror < clients_.size()) {
      call->attempts.order = {static_cast<std::size_t>(*mirror)};
      there = next.substr(blank + 1);
    }
  }
  call->send = [type, owner, there](HubClient& client, const Terms& by, Done<RepoPage> answered) {
    client.list_repos(type, owner, there, by, std::move(answered));
  };
  call->done = [attempts = &call->attempts, done = std::move(done)](Result<RepoPage> page) {
    const std::size_t mirror = page ? attempts->order[attempts->at] : 0;
    if (page && !page->next.empty()) page->next = std::to_string(mirror) + " " + page->next;
    done(std::move(page));
  };
  begin(std::move(call), terms);
}

// Those that would let a fetch wait for nothing go last.
void MirroredClient::prefer_healthy(Attempts& attempts) const {
  const TimePoint now = clock_.now();
  std::vector<std::size_t> healthy;
  std::vector<std::size_t> others;
  for (const std::size_t mirror : attempts.order) {
    const bool is_down = !clients_[mirror]->stats().health.outage.empty();
    (is_down || now < avoided_until_[mirror] ? others : healthy).push_back(mirror);
  }
  healthy.insert(healthy.end(), others.begin(), others.end());
  attempts.order = std::move(healthy);
}

FetchId MirroredClient::fetch(FetchRequest request) {
  auto fetch = std::make_shared<Fetch>();
  fetch->next = request.range.begin;
  fetch->priority = request.priority;
  const MutexLock lock(mutex_);
  fetch->attempts = attempts_for(request.deadline);
  fetch->attempts.names_commit = true;
  fetch->request = std::move(request);
  if (!stopping_) prefer_healthy(fetch->attempts);
  const FetchId id = next_id_++;
  fetches_[id] = fetch;
  start(id, fetch);
  return id;
}

void MirroredClient::start(FetchId id, const std::shared_ptr<Fetch>& fetch) {
  fetch->client = clients_[fetch->attempts.order[fetch->attempts.at]];
  FetchRequest part;
  part.file = fetch->request.file;
  part.range = {fetch->next, fetch->request.range.end};
  part.priority = fetch->priority;
  part.deadline = next_deadline(fetch->attempts);
  part.hedged = fetch->request.hedged;
  part.on_bytes = [this, fetch](std::uint64_t offset, ByteView bytes) {
    fetch->next = offset + bytes.size();
    fetch->attempts.since = clock_.awake();
    fetch->request.on_bytes(offset, bytes);
  };
  part.on_done = [this, id, fetch](Result<void> result) {
    fetch_ended(id, fetch, std::move(result));
  };
  fetch->id = fetch->client->fetch(std::move(part));
}

void MirroredClient::fetch_ended(FetchId id, const std::shared_ptr<Fetch>& fetch,
                                 Result<void> result) {
  const std::size_t mirror = fetch->attempts.order[fetch->attempts.at];
  const bool failed = !result && is_trouble(result.error().code);
  std::optional<Error> end;
  if (failed && fetch->next == fetch->request.range.end) {
    result = {};  // every byte was checked and given before it broke off
  } else if (!result) {
    end = note_failure(fetch->attempts, result.error());
  }
  {
    const MutexLock lock(mutex_);
    avoided_until_[mirror] = failed ? clock_.now() + kAvoided : TimePoint();
    const bool goes_on = !result && !end && !fetch->cancelled;
    if (goes_on && !stopping_) return start(id, fetch);
    if (goes_on) end = client_ends();
    if (fetch->cancelled) end = Error{ErrorCode::kCancelled, "the fetch was cancelled"};
    fetches_.erase(id);
  }
  fetch->request.on_done(end ? Result<void>(std::move(*end)) : Result<void>());
}

void MirroredClient::cancel(FetchId id) {
  const MutexLock lock(mutex_);
  const auto at = fetches_.find(id);
  if (at == fetches_.end()) return;
  at->second->cancelled = true;
  at->second->client->cancel(at->second->id);
}

void MirroredClient::raise_priority(FetchId id, Priority priority) {
  const MutexLock lock(mutex_);
  const auto at = fetches_.find(id);
  if (at == fetches_.end()) return;
  Fetch& fetch = *at->second;
  fetch.priority = std::min(fetch.priority, priority);
  fetch.client->raise_priority(fetch.id, priority);
}

void MirroredClient::on_token_change(std::function<void()> changed) {
  clients_.front()->on_token_change(std::move(changed));
}

FetchAdvice MirroredClient::advice() const {
  for (const HubClient* client : clients_) {
    if (client->stats().health.outage.empty()) return client->advice();
  }
  return clients_.front()->advice();
}

HubStats MirroredClient::stats() const {
  HubStats sum = clients_.front()->stats();
  const bool first_is_down = !sum.health.outage.empty();
  for (std::size_t i = 1; i < clients_.size(); ++i) {
    const HubStats one = clients_[i]->stats();
    sum.requests += one.requests;
    sum.metadata_requests += one.metadata_requests;
    sum.resolve_requests += one.resolve_requests;
    sum.retries += one.retries;
    sum.bytes_received += one.bytes_received;
    sum.failures += one.failures;
    if (!one.last_failure.empty() &&
        (sum.last_failure.empty() || one.last_failure_at > sum.last_failure_at)) {
      sum.last_failure = one.last_failure;
      sum.last_failure_at = one.last_failure_at;
    }
    const bool takes_over = first_is_down && sum.health.mirror.empty() && one.health.outage.empty();
    if (!takes_over) continue;
    HubHealth health = one.health;
    health.mirror = escape_for_log(mirrors_[i].endpoint) + " instead of " +
                    escape_for_log(mirrors_.front().endpoint) + ": " + sum.health.outage;
    health.refused_token = sum.health.refused_token;
    sum.health = std::move(health);
  }
  return sum;
}

}  // namespace hubvfs::hub
