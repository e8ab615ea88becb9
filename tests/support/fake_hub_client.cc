// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_hub_client.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/digest.h"
#include "base/text.h"
#include "hub/names.h"

namespace hubvfs {

using hub::FetchId;
using hub::FetchRequest;
using hub::FileRef;
using hub::Priority;
using hub::RepoId;
using hub::RepoInfo;
using hub::RepoPage;
using hub::RepoRefs;
using hub::TreeEntry;

namespace {

constexpr UnixSeconds kFakeDate = 1'772'446'272;  // 2026-03-02T10:11:12Z

Error not_found(const std::string& what) { return {ErrorCode::kNotFound, "fake: " + what}; }

bool is_public_file_of_gated(const std::string& path) {
  return path == "README.md" || path == "LICENSE" || path == "LICENSE.md" || path == "LICENSE.txt";
}

bool may_be_asked(const FetchRequest& request) {
  const FileRef& file = request.file;
  return hub::is_repo_name(file.repo.name) && is_commit_id(file.commit) &&
         hub::is_repo_path(file.path) && request.range.end <= file.content.size();
}

// The name a ref of the Hub is shown by.
std::string short_name(const std::string& ref) {
  for (const char* prefix : {"refs/heads/", "refs/tags/", "refs/convert/"}) {
    if (ref.starts_with(prefix)) return ref.substr(std::string(prefix).size());
  }
  return ref;
}

TreeEntry file_entry(const std::string& path, const FakeHubClient::File& file, bool masked) {
  TreeEntry entry;
  entry.path = path;
  entry.size = file.content.size();
  entry.is_lfs = file.lfs;
  if (!masked || !file.lfs) entry.content = content_id_of(file.content, file.lfs);
  return entry;
}

// Files and directories right below `prefix` ("" or "a/b/"), or all below it.
std::vector<TreeEntry> list_below(const FakeHubClient::Files& files, const std::string& prefix,
                                  bool recursive, bool masked) {
  std::map<std::string, TreeEntry> directories;
  std::vector<TreeEntry> below;
  for (const auto& [path, file] : files) {
    if (!path.starts_with(prefix)) continue;
    bool direct = true;
    for (std::size_t at = path.find('/', prefix.size()); at != std::string::npos;
         at = path.find('/', at + 1)) {
      direct = false;
      TreeEntry entry;
      entry.kind = TreeEntry::Kind::kDirectory;
      entry.path = path.substr(0, at);
      directories.emplace(entry.path, entry);
      if (!recursive) break;
    }
    if (direct || recursive) below.push_back(file_entry(path, file, masked));
  }
  std::vector<TreeEntry> entries;
  for (auto& [path, entry] : directories) entries.push_back(std::move(entry));
  for (TreeEntry& entry : below) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace

ContentId content_id_of(const std::string& content, bool lfs) {
  const ByteView bytes = as_bytes(content);
  if (lfs) {
    auto id = ContentId::create(ContentId::Algorithm::kSha256, sha256_hex(bytes), content.size());
    if (!id) std::abort();
    return *id;
  }
  Digest digest = Digest::sha1();
  digest.update(as_bytes("blob " + std::to_string(content.size()) + std::string(1, '\0')));
  digest.update(bytes);
  auto id = ContentId::create(ContentId::Algorithm::kGitSha1, digest.finish_hex(), content.size());
  if (!id) std::abort();
  return *id;
}

FakeHubClient::FakeHubClient() : thread_([this] { serve(); }) {}

FakeHubClient::~FakeHubClient() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::string FakeHubClient::commit(const RepoId& repo, const Files& files,
                                  const std::string& branch) {
  MutexLock lock(mutex_);
  Digest digest = Digest::sha1();
  digest.update(as_bytes(repo.name + " " + std::to_string(++commits_made_)));
  for (const auto& [path, file] : files) digest.update(as_bytes("\n" + path + "\n" + file.content));
  std::string id = digest.finish_hex();
  Repo& made = repos_[repo];
  made.commits[id].files = files;
  made.refs["refs/heads/" + branch] = id;
  return id;
}

void FakeHubClient::set_ref(const RepoId& repo, const std::string& ref, const std::string& commit) {
  MutexLock lock(mutex_);
  repos_[repo].refs[ref.starts_with("refs/") ? ref : "refs/heads/" + ref] = commit;
}

void FakeHubClient::set_private(const RepoId& repo, bool is_private) {
  MutexLock lock(mutex_);
  repos_[repo].is_private = is_private;
}

void FakeHubClient::set_gate(const RepoId& repo, hub::Gate gate, bool granted) {
  MutexLock lock(mutex_);
  repos_[repo].gate = gate;
  repos_[repo].granted = granted;
}

void FakeHubClient::set_visible(const RepoId& repo, bool visible) {
  MutexLock lock(mutex_);
  repos_[repo].visible = visible;
}

void FakeHubClient::rename(const RepoId& from, const std::string& to) {
  MutexLock lock(mutex_);
  RepoId renamed{from.type, to};
  repos_[renamed] = std::move(repos_[from]);
  repos_.erase(from);
  renames_[from] = to;
}

FileRef FakeHubClient::file(const RepoId& repo, const std::string& commit,
                            const std::string& path) {
  MutexLock lock(mutex_);
  const auto found = find_commit(repo, commit);
  if (!found) std::abort();
  const auto file = (*found)->files.find(path);
  if (file == (*found)->files.end()) std::abort();
  return {repo, commit, path, file->second.lfs,
          content_id_of(file->second.content, file->second.lfs)};
}

void FakeHubClient::set_page_size(std::size_t entries) {
  MutexLock lock(mutex_);
  page_size_ = entries;
}

void FakeHubClient::set_piece_size(std::size_t bytes) {
  MutexLock lock(mutex_);
  piece_size_ = bytes;
}

void FakeHubClient::set_offline(bool offline) {
  MutexLock lock(mutex_);
  offline_ = offline;
  changed_.notify_all();
}

void FakeHubClient::hold_fetches(bool hold) {
  MutexLock lock(mutex_);
  hold_fetches_ = hold;
  changed_.notify_all();
}

void FakeHubClient::hold_metadata(bool hold) {
  MutexLock lock(mutex_);
  hold_metadata_ = hold;
  changed_.notify_all();
}

void FakeHubClient::hold_crawls(bool hold) {
  MutexLock lock(mutex_);
  hold_crawls_ = hold;
  changed_.notify_all();
}

bool FakeHubClient::release_one_fetch() {
  MutexLock lock(mutex_);
  PendingFetch* first = nullptr;
  for (PendingFetch& fetch : pending_) {
    if (fetch.released) continue;
    if (first == nullptr || fetch.request.priority < first->request.priority) first = &fetch;
  }
  if (first == nullptr) return false;
  first->released = true;
  changed_.notify_all();
  return true;
}

void FakeHubClient::fail_fetches(int count, const Error& error, std::uint64_t after_bytes) {
  MutexLock lock(mutex_);
  failing_fetches_ = count;
  fetch_error_ = error;
  fail_after_ = after_bytes;
}

void FakeHubClient::fail_metadata(int count, const Error& error) {
  MutexLock lock(mutex_);
  failing_metadata_ = count;
  metadata_error_ = error;
}

void FakeHubClient::corrupt_fetches(const std::string& path, int count) {
  MutexLock lock(mutex_);
  corrupt_[path] = count;
}

FakeCounts FakeHubClient::counts() {
  MutexLock lock(mutex_);
  return counts_;
}

std::vector<FakeFetch> FakeHubClient::fetches() {
  MutexLock lock(mutex_);
  return log_;
}

std::size_t FakeHubClient::held_fetches() {
  MutexLock lock(mutex_);
  return hold_fetches_ ? pending_.size() : 0;
}

bool FakeHubClient::await_fetches(std::uint64_t count) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  MutexLock lock(mutex_);
  while (counts_.fetches < count) {
    if (std::chrono::steady_clock::now() > end) return false;
    changed_.wait_for(mutex_, std::chrono::milliseconds(100));
  }
  return true;
}

const FakeHubClient::Repo* FakeHubClient::find(const RepoId& repo, RepoId& canonical) const {
  canonical = repo;
  for (auto renamed = renames_.find(canonical); renamed != renames_.end();
       renamed = renames_.find(canonical)) {
    canonical.name = renamed->second;
  }
  const auto found = repos_.find(canonical);
  return found == repos_.end() || !found->second.visible ? nullptr : &found->second;
}

Result<const FakeHubClient::Commit*> FakeHubClient::find_commit(const RepoId& repo,
                                                                const std::string& commit) const {
  RepoId canonical;
  const Repo* found = find(repo, canonical);
  if (found == nullptr) return not_found("no repo " + repo.name);
  const auto at = found->commits.find(commit);
  if (at == found->commits.end()) return not_found("no commit " + commit);
  return &at->second;
}

Result<RepoInfo> FakeHubClient::info_now(const RepoId& repo, const std::string& revision) {
  MutexLock lock(mutex_);
  RepoInfo info;
  const Repo* found = find(repo, info.id);
  if (found == nullptr) return not_found("no repo " + repo.name);
  const std::string name = revision.empty() || revision == "HEAD" ? "main" : revision;
  for (const std::string& ref : {name, "refs/heads/" + name, "refs/tags/" + name}) {
    if (found->commits.contains(ref)) info.commit = ref;
    const auto at = found->refs.find(ref);
    if (at != found->refs.end()) info.commit = at->second;
    if (!info.commit.empty()) break;
  }
  if (info.commit.empty()) return not_found("no revision " + revision);
  info.last_modified = kFakeDate;
  info.is_private = found->is_private;
  info.gate = found->gate;
  return info;
}

Result<RepoRefs> FakeHubClient::refs_now(const RepoId& repo) {
  MutexLock lock(mutex_);
  RepoId canonical;
  const Repo* found = find(repo, canonical);
  if (found == nullptr) return not_found("no repo " + repo.name);
  RepoRefs refs;
  for (const auto& [ref, commit] : found->refs) {
    std::vector<hub::Ref>& list = ref.starts_with("refs/heads/")     ? refs.branches
                                  : ref.starts_with("refs/tags/")    ? refs.tags
                                  : ref.starts_with("refs/convert/") ? refs.converts
                                                                     : refs.pull_requests;
    list.push_back({short_name(ref), ref, commit});
  }
  return refs;
}

Result<std::vector<TreeEntry>> FakeHubClient::tree_now(const RepoId& repo,
                                                       const std::string& commit,
                                                       const std::string& directory,
                                                       bool recursive) {
  MutexLock lock(mutex_);
  const auto found = find_commit(repo, commit);
  if (!found) return found.error();
  RepoId canonical;
  const Repo* owner = find(repo, canonical);
  const bool masked = owner->gate != hub::Gate::kNone && !owner->granted;
  const std::string prefix = directory.empty() ? "" : directory + "/";
  auto entries = list_below((*found)->files, prefix, recursive, masked);
  if (entries.empty() && !directory.empty()) return not_found(directory + " does not exist");
  return entries;
}

Result<RepoPage> FakeHubClient::list_now(hub::RepoType type, const std::string& owner,
                                         const std::string& next) {
  MutexLock lock(mutex_);
  const std::size_t skip = next.empty() ? 0 : parse_decimal(next).value_or(0);
  RepoPage page;
  std::size_t at = 0;
  for (const auto& [id, repo] : repos_) {
    if (id.type != type || !repo.visible) continue;
    if (!owner.empty() && !id.name.starts_with(owner + "/")) continue;
    if (at++ < skip) continue;
    if (page.repos.size() == page_size_) {
      page.next = std::to_string(skip + page_size_);
      break;
    }
    page.repos.push_back({id, kFakeDate, repo.is_private});
  }
  return page;
}

Result<std::string> FakeHubClient::content_now(const FetchRequest& request) {
  MutexLock lock(mutex_);
  const FileRef& file = request.file;
  const auto found = find_commit(file.repo, file.commit);
  if (!found) return found.error();
  RepoId canonical;
  const Repo* owner = find(file.repo, canonical);
  if (owner->gate != hub::Gate::kNone && !owner->granted && !is_public_file_of_gated(file.path)) {
    return Error{ErrorCode::kGated, "fake: access to " + file.repo.name + " is restricted"};
  }
  const auto at = (*found)->files.find(file.path);
  if (at == (*found)->files.end()) return not_found("no file " + file.path);
  if (content_id_of(at->second.content, at->second.lfs) != file.content) {
    return Error{ErrorCode::kBadAnswer, "fake: " + file.path + " is another content"};
  }
  std::string bytes = at->second.content.substr(request.range.begin, request.range.size());
  if (const auto bad = corrupt_.find(file.path); bad != corrupt_.end() && bad->second > 0) {
    --bad->second;
    bytes[0] = static_cast<char>(bytes[0] ^ 0x5a);
  }
  return bytes;
}

void FakeHubClient::queue_metadata(const hub::Terms& terms, Metadata run) {
  MutexLock lock(mutex_);
  if (terms.crawl) ++counts_.crawls;
  metadata_.push_back({std::move(run), terms.crawl});
  changed_.notify_all();
}

void FakeHubClient::raise(const hub::CrawlPtr& crawl) {
  MutexLock lock(mutex_);
  crawl->raised = true;
  changed_.notify_all();
}

void FakeHubClient::repo_info(const RepoId& repo, const std::string& revision, hub::Terms terms,
                              hub::Done<RepoInfo> done) {
  queue_metadata(terms, [this, repo, revision, done](std::optional<Error> failure) {
    if (!hub::is_repo_name(repo.name) || (!revision.empty() && !hub::is_revision(revision))) {
      return done(Error{ErrorCode::kInvalidArgument, "fake: bad repo or revision"});
    }
    if (failure) return done(*failure);
    {
      MutexLock lock(mutex_);
      ++counts_.info;
    }
    done(info_now(repo, revision));
  });
}

void FakeHubClient::list_refs(const RepoId& repo, hub::Terms terms, hub::Done<RepoRefs> done) {
  queue_metadata(terms, [this, repo, done](std::optional<Error> failure) {
    if (!hub::is_repo_name(repo.name)) {
      return done(Error{ErrorCode::kInvalidArgument, "fake: bad repo"});
    }
    if (failure) return done(*failure);
    {
      MutexLock lock(mutex_);
      ++counts_.refs;
    }
    done(refs_now(repo));
  });
}

Result<void> FakeHubClient::give_pages(std::vector<TreeEntry> entries,
                                       const std::function<bool(std::vector<TreeEntry>)>& on_page,
                                       bool& stopped) {
  std::size_t page_size = 0;
  {
    MutexLock lock(mutex_);
    page_size = page_size_;
  }
  std::size_t at = 0;
  do {
    {
      MutexLock lock(mutex_);
      if (stopping_) return {ErrorCode::kCancelled, "fake: the client ends"};
      ++counts_.tree_pages;
    }
    const std::size_t size = std::min(page_size, entries.size() - at);
    const auto first = entries.begin() + static_cast<std::ptrdiff_t>(at);
    at += size;
    if (!on_page({first, first + static_cast<std::ptrdiff_t>(size)})) {
      stopped = true;
      return {};
    }
  } while (at < entries.size());
  return {};
}

void FakeHubClient::list_tree(const RepoId& repo, const std::string& commit,
                              const std::string& directory, bool recursive, hub::Terms terms,
                              std::function<bool(std::vector<TreeEntry>)> on_page,
                              hub::Done<bool> done) {
  queue_metadata(terms, [this, repo, commit, directory, recursive, on_page,
                         done](std::optional<Error> failure) {
    if (!hub::is_repo_name(repo.name) || !is_commit_id(commit) ||
        (!directory.empty() && !hub::is_repo_path(directory))) {
      return done(Error{ErrorCode::kInvalidArgument, "fake: bad repo, commit or directory"});
    }
    if (failure) return done(*failure);
    {
      MutexLock lock(mutex_);
      ++counts_.tree;
    }
    auto entries = tree_now(repo, commit, directory, recursive);
    if (!entries) return done(entries.error());
    bool stopped = false;
    const auto given = give_pages(std::move(*entries), on_page, stopped);
    if (!given) return done(given.error());
    done(stopped);
  });
}

void FakeHubClient::list_repos(hub::RepoType type, const std::string& owner,
                               const std::string& next, hub::Terms terms,
                               hub::Done<RepoPage> done) {
  queue_metadata(terms, [this, type, owner, next, done](std::optional<Error> failure) {
    if (!owner.empty() && !hub::is_repo_name_part(owner)) {
      return done(Error{ErrorCode::kInvalidArgument, "fake: bad owner"});
    }
    if (failure) return done(*failure);
    {
      MutexLock lock(mutex_);
      ++counts_.lists;
    }
    done(list_now(type, owner, next));
  });
}

FetchId FakeHubClient::fetch(FetchRequest request) {
  MutexLock lock(mutex_);
  const FetchId id = next_id_++;
  if (!offline_ && may_be_asked(request)) {
    ++counts_.fetches;
    log_.push_back({request.file.path, request.range, request.priority, request.hedged});
  }
  pending_.push_back({id, std::move(request), false});
  changed_.notify_all();
  return id;
}

void FakeHubClient::cancel(FetchId id) {
  MutexLock lock(mutex_);
  for (auto at = pending_.begin(); at != pending_.end(); ++at) {
    if (at->id != id) continue;
    ++counts_.cancels;
    cancelled_.push_back(std::move(at->request.on_done));
    pending_.erase(at);
    changed_.notify_all();
    return;
  }
}

void FakeHubClient::raise_priority(FetchId id, Priority priority) {
  MutexLock lock(mutex_);
  for (PendingFetch& fetch : pending_) {
    if (fetch.id == id) fetch.request.priority = std::min(fetch.request.priority, priority);
  }
}

void FakeHubClient::on_token_change(std::function<void()> changed) {
  MutexLock lock(mutex_);
  on_token_change_ = std::move(changed);
}

void FakeHubClient::change_token() {
  MutexLock lock(mutex_);
  if (on_token_change_) token_news_.push_back(on_token_change_);
  changed_.notify_all();
}

void FakeHubClient::set_advice(const hub::FetchAdvice& advice) {
  MutexLock lock(mutex_);
  advice_ = advice;
}

hub::FetchAdvice FakeHubClient::advice() const {
  MutexLock lock(mutex_);
  return advice_;
}

hub::HubStats FakeHubClient::stats() const {
  MutexLock lock(mutex_);
  hub::HubStats stats;
  stats.metadata_requests = counts_.metadata();
  stats.resolve_requests = counts_.fetches;
  stats.requests = stats.metadata_requests + stats.resolve_requests;
  stats.bytes_received = counts_.bytes;
  stats.failures = failures_;
  stats.last_failure = last_failure_;
  return stats;
}

void FakeHubClient::answer_fetch(const PendingFetch& fetch) {
  const FetchRequest& request = fetch.request;
  std::optional<Error> failure;
  std::uint64_t sound = request.range.size();
  std::size_t piece = 1;
  {
    MutexLock lock(mutex_);
    piece = piece_size_;
    if (stopping_) {
      failure = Error{ErrorCode::kCancelled, "fake: the client ends"};
      sound = 0;
    } else if (offline_) {
      failure = Error{ErrorCode::kOffline, "fake: offline"};
      sound = 0;
    } else if (failing_fetches_ > 0) {
      --failing_fetches_;
      failure = fetch_error_;
      sound = std::min(sound, fail_after_);
      ++failures_;
      last_failure_ = failure->context;
    }
  }
  if (!may_be_asked(request)) {
    return request.on_done(Error{ErrorCode::kInvalidArgument, "fake: bad file or range"});
  }
  if (failure && sound == 0) return request.on_done(*failure);
  if (request.range.empty()) return request.on_done({});
  const auto content = content_now(request);
  if (!content) return request.on_done(content.error());
  const ByteView bytes = as_bytes(*content).first(sound);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const ByteView part = bytes.subspan(at, std::min(piece, bytes.size() - at));
    {
      MutexLock lock(mutex_);
      counts_.bytes += part.size();
    }
    request.on_bytes(request.range.begin + at, part);
  }
  request.on_done(failure ? Result<void>(*failure) : Result<void>());
}

std::deque<FakeHubClient::PendingFetch>::iterator FakeHubClient::next_fetch() {
  auto best = pending_.end();
  for (auto at = pending_.begin(); at != pending_.end(); ++at) {
    if (hold_fetches_ && !at->released && !stopping_ && !offline_) continue;
    if (best == pending_.end() || at->request.priority < best->request.priority) best = at;
  }
  return best;
}

std::deque<FakeHubClient::PendingMetadata>::iterator FakeHubClient::next_metadata() {
  if (stopping_ || offline_) return metadata_.begin();
  if (hold_metadata_) return metadata_.end();
  const bool held = hold_crawls_;
  return std::find_if(metadata_.begin(), metadata_.end(), [held](const PendingMetadata& call) {
    return !held || !call.crawl || call.crawl->raised;
  });
}

std::optional<Error> FakeHubClient::metadata_failure() {
  if (stopping_) return Error{ErrorCode::kCancelled, "fake: the client ends"};
  if (offline_) return Error{ErrorCode::kOffline, "fake: offline"};
  if (failing_metadata_ == 0) return {};
  --failing_metadata_;
  ++failures_;
  last_failure_ = metadata_error_.context;
  return metadata_error_;
}

std::function<void()> FakeHubClient::next_answer() {
  if (!token_news_.empty()) {
    auto changed = std::move(token_news_.front());
    token_news_.pop_front();
    return changed;
  }
  if (!cancelled_.empty()) {
    const auto done = std::move(cancelled_.front());
    cancelled_.pop_front();
    return [done] { done(Error{ErrorCode::kCancelled, "fake: fetch cancelled"}); };
  }
  if (const auto next = next_metadata(); next != metadata_.end()) {
    const Metadata run = std::move(next->run);
    metadata_.erase(next);
    return [run, failure = metadata_failure()] { run(failure); };
  }
  const auto best = next_fetch();
  if (best == pending_.end()) return {};
  PendingFetch fetch = std::move(*best);
  pending_.erase(best);
  return [this, fetch] { answer_fetch(fetch); };
}

void FakeHubClient::serve() {
  for (;;) {
    std::function<void()> answer;
    {
      MutexLock lock(mutex_);
      for (answer = next_answer(); !answer; answer = next_answer()) {
        if (stopping_) return;
        changed_.wait(mutex_);
      }
    }
    answer();
  }
}

}  // namespace hubvfs
