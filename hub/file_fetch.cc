// SPDX-License-Identifier: Apache-2.0
#include "hub/file_fetch.h"

#include <algorithm>

#include "base/text.h"
#include "hub/hub_answers.h"
#include "hub/hub_routes.h"
#include "hub/names.h"

namespace hubvfs::hub {
namespace {

constexpr std::uint64_t kProgress = 64u << 10;  // bytes that make an attempt worth the next
constexpr int kMaxTrickles = 8;

std::string key_of(const FileRef& file) {
  return std::string(api_segment(file.repo.type)) + "/" + file.repo.name + "@" + file.commit + "/" +
         file.path;
}

Asked asked_of(const Url& endpoint, const FileRef& file) {
  return {"fetch of " + file.repo.name + "/" + escape_for_log(file.path, 200),
          at_route(endpoint, page_route(file.repo)).text()};
}

// "X-Repo-Commit is A, not B".
std::string differs(const char* field, const std::string& said, const std::string& expected) {
  return std::string(field) + " is " + (said.empty() ? "missing" : escape_for_log(said, 80)) +
         ", not " + expected;
}

// Errors that the next to ask would get as well.
bool is_final(ErrorCode code) {
  return code == ErrorCode::kNotFound || code == ErrorCode::kGated ||
         code == ErrorCode::kPermissionDenied || code == ErrorCode::kBadAnswer;
}

}  // namespace

Result<void> check_fetch(const FetchRequest& request) {
  const FileRef& file = request.file;
  const auto bad = [](const char* what) { return Error{ErrorCode::kInvalidArgument, what}; };
  if (!is_repo_name(file.repo.name)) return bad("fetch: malformed repo id");
  if (!is_commit_id(file.commit)) return bad("fetch: malformed commit id");
  if (!is_repo_path(file.path)) return bad("fetch: malformed path");
  if (file.content.size() > kMaxFileSize) return bad("fetch: file too large");
  if (request.range.begin > request.range.end || request.range.end > file.content.size()) {
    return bad("fetch: range outside the file");
  }
  return {};
}

FileFetch::FileFetch(CallContext& context, Locations& locations, FetchRequest request,
                     std::function<void()> ended)
    : HttpCall(context, Kind::kFile, request.priority, request.deadline,
               asked_of(context.policy.endpoint, request.file)),
      locations_(locations),
      request_(std::move(request)),
      ended_callback_(std::move(ended)),
      key_(key_of(request_.file)),
      next_(request_.range.begin),
      attempt_start_(next_) {}

FileFetch::~FileFetch() {
  if (waiting_) locations_.stop_waiting(key_, *this);
}

void FileFetch::begin() {
  arm_deadline();
  look_up();
}

void FileFetch::raise(Priority priority) {
  raise_priority(priority);
  if (waiting_) locations_.raise(key_, priority);
}

void FileFetch::restart() {
  if (trickles_ <= kMaxTrickles) return look_up();
  conclude({ErrorCode::kTimedOut, what() + ": it comes in by drops only: check the network"});
}

void FileFetch::location_ready() {
  waiting_ = false;
  look_up();
}

void FileFetch::location_failed(const Error& error) {
  waiting_ = false;
  conclude(error);
}

void FileFetch::look_up() {
  attempt_start_ = next_;
  (void)context_.token.ask();
  locations_.belong_to(context_.token.changes());
  if (leading_) return resolve();  // again, after a retry: the others still wait
  if (const auto known = locations_.find(key_)) {
    location_ = *known;
    resolving_ = false;
    commit_seen_ = content_seen_ = true;  // when it was found
    return start_chain(location_.url);
  }
  if (!locations_.lead(key_, *this, priority_)) {
    waiting_ = true;
    return;
  }
  leading_ = true;
  resolve();
}

void FileFetch::resolve() {
  location_ = {};
  resolving_ = true;
  commit_seen_ = content_seen_ = false;
  const FileRef& file = request_.file;
  start_chain(at_route(context_.policy.endpoint, resolve_route(file.repo, file.commit, file.path)));
}

void FileFetch::ask_for_range(TransferSpec& spec) const {
  spec.range = range();
  spec.bytes = request_.range.end - next_;
  spec.hedged = request_.hedged;
  spec.flow = std::hash<std::string>()(request_.file.content.hex()) | 1;
}

std::string FileFetch::range() const {
  return std::to_string(next_) + "-" + std::to_string(request_.range.end - 1);
}

// What the endpoint says about the file must be what the listing said. Only what it says: the
// redirect of a renamed repo says nothing.
Result<void> FileFetch::check_identity(const HttpHead& head) {
  const FileRef& file = request_.file;
  if (!head.repo_commit.empty()) {
    if (head.repo_commit != file.commit) {
      return bad_answer(differs("X-Repo-Commit", head.repo_commit, file.commit));
    }
    commit_seen_ = true;
  }
  if (!head.linked_etag.empty()) {
    if (normalize_etag(head.linked_etag) != file.content.hex()) {
      return bad_answer(differs("X-Linked-ETag", head.linked_etag, file.content.hex()));
    }
    content_seen_ = true;
  }
  if (!head.linked_size.empty() && parse_decimal(head.linked_size) != file.content.size()) {
    return bad_answer(
        differs("X-Linked-Size", head.linked_size, std::to_string(file.content.size())));
  }
  return {};
}

Result<void> FileFetch::check_hop(const HttpHead& head, const Url& target) {
  if (!at_endpoint()) return {};
  if (auto checked = check_identity(head); !checked) return checked;
  if (target.same_origin(context_.policy.endpoint)) return {};
  // The content host knows neither: this was the last chance to hear them.
  if (!commit_seen_) return bad_answer("no X-Repo-Commit before the content host");
  if (!content_seen_) return bad_answer("no X-Linked-ETag before the content host");
  publish(target);
  return {};
}

Result<void> FileFetch::check_range(const HttpHead& head) const {
  const std::uint64_t size = request_.file.content.size();
  const std::uint64_t expected = request_.range.end - next_;
  if (!head.content_encoding.empty() && to_lower(head.content_encoding) != "identity") {
    return bad_answer("Content-Encoding on a range");
  }
  if (to_lower(head.content_type).starts_with("multipart/")) {
    return bad_answer("a multipart answer to a single range");
  }
  if (head.status == 200) {
    if (expected != size) return bad_answer("200 instead of 206");
  } else {
    const auto range = parse_content_range(head.content_range);
    if (!range || range->range != ByteRange{next_, request_.range.end}) {
      return bad_answer(differs("Content-Range", head.content_range, "bytes " + this->range()));
    }
    if (range->total != size) return bad_answer("Content-Range names another file size");
  }
  if (!head.content_length.empty() && parse_decimal(head.content_length) != expected) {
    return bad_answer("Content-Length is not that of the range");
  }
  return {};
}

// The content host's ETag is no hash of ours, but it must stay the same for the same URL.
Result<void> FileFetch::check_host_etag(const HttpHead& head) {
  if (head.etag.empty() || location_.serial == 0) return {};
  if (location_.etag.empty()) {
    location_.etag = head.etag;
    locations_.note_etag(key_, location_.serial, head.etag);
  }
  if (location_.etag != head.etag) return bad_answer("the content host's ETag has changed");
  return {};
}

Result<void> FileFetch::check_success(const HttpHead& head) {
  if (auto checked = check_range(head); !checked) return checked;
  if (!at_endpoint()) return check_host_etag(head);
  if (auto checked = check_identity(head); !checked) return checked;
  if (!commit_seen_) return bad_answer("no X-Repo-Commit");
  if (!head.etag.empty() || head.linked_etag.empty()) {
    if (normalize_etag(head.etag) != request_.file.content.hex()) {
      return bad_answer(differs("ETag", head.etag, request_.file.content.hex()));
    }
  }
  if (resolving_ && location_.serial == 0) publish(url());
  return {};
}

void FileFetch::publish(const Url& target) {
  location_.url = target;
  location_.expires = Locations::expiry(target, context_.clock.now(), context_.clock.unix_now());
  leading_ = false;
  location_.serial = locations_.put(key_, location_);
}

bool FileFetch::take_body(ByteView bytes) {
  if (bytes.size() > request_.range.end - next_) {
    return refuse(bad_answer("more bytes than were asked for"));
  }
  const std::uint64_t offset = next_;
  next_ += bytes.size();
  move_deadline();
  request_.on_bytes(offset, bytes);
  return true;
}

bool FileFetch::made_progress() {
  const std::uint64_t got = next_ - attempt_start_;
  if (got < kProgress) {
    if (got > 0) ++trickles_;
    return false;
  }
  trickles_ = 0;
  resolved_again_ = false;
  return true;
}

void FileFetch::completed(const HttpHead&) {
  if (body_is_whole()) return conclude({});
  // A body without a length that ended early: libcurl takes it for whole.
  retry_later({ErrorCode::kUnavailable,
               what() + ": the body from " + url().origin() + " ended early: check the network"},
              made_progress());
}

// Gives up the location in use and resolves again, once: a signed URL expires and is revoked
// without notice, and that is nobody's error (hub-protocol D.4).
bool FileFetch::recover(const HttpHead& head, const Error& error) {
  if (body_is_whole()) return false;  // and then came more
  (void)made_progress();
  if (location_.serial != 0 && !resolved_again_) {
    locations_.drop(key_, location_.serial);
    resolved_again_ = true;
    ++context_.counters.retries;
    restart();
    return true;
  }
  if (at_endpoint() || error.code == ErrorCode::kBadAnswer || head.status == 0) return false;
  conclude(error_of_content_host(head, asked(), url()));
  return true;
}

void FileFetch::stop_leading(const Result<void>& result) {
  if (!leading_) return;
  leading_ = false;
  if (!result && is_final(result.error().code)) {
    locations_.fail(key_, result.error());
  } else {
    locations_.leave(key_);
  }
}

void FileFetch::concluded(Result<void> result) {
  if (waiting_) locations_.stop_waiting(key_, *this);
  waiting_ = false;
  stop_leading(result);
  const auto done = std::move(request_.on_done);
  done(std::move(result));
  ended_callback_();
}

}  // namespace hubvfs::hub
