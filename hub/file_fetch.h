// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "hub/http_call.h"
#include "hub/locations.h"

namespace hubvfs::hub {

// kInvalidArgument when no request may be made of it.
Result<void> check_fetch(const FetchRequest& request);

// One FetchRequest: resolve (or wait for the one under way), then the bytes, checked and passed
// on as they come, resumed where a transfer broke.
class FileFetch final : public HttpCall, public LocationWaiter {
 public:
  // `request` has passed check_fetch and its range is not empty. `ended` is called last: the fetch
  // may then be destroyed, after that call has returned.
  FileFetch(CallContext& context, Locations& locations, FetchRequest request,
            std::function<void()> ended);
  ~FileFetch() override;

  void begin();
  void raise(Priority priority);

 private:
  // HttpCall
  void restart() override;
  void ask_for_range(TransferSpec& spec) const override;
  Result<void> check_hop(const HttpHead& head, const Url& target) override;
  Result<void> check_success(const HttpHead& head) override;
  bool take_body(ByteView bytes) override;
  bool body_is_whole() const override { return next_ == request_.range.end; }
  void completed(const HttpHead& head) override;
  bool recover(const HttpHead& head, const Error& error) override;
  bool is_resolve() const override { return resolving_; }
  bool made_progress() override;
  void concluded(Result<void> result) override;
  // LocationWaiter
  void location_ready() override;
  void location_failed(const Error& error) override;
  void raise_resolver(Priority priority) override { raise_priority(priority); }

  std::string range() const;
  void look_up();
  void resolve();
  Result<void> check_identity(const HttpHead& head);
  Result<void> check_range(const HttpHead& head) const;
  Result<void> check_host_etag(const HttpHead& head);
  void publish(const Url& url);
  void stop_leading(const Result<void>& result);

  Locations& locations_;
  FetchRequest request_;
  std::function<void()> ended_callback_;
  const std::string key_;
  std::uint64_t next_;           // offset of the next byte to pass on
  std::uint64_t attempt_start_;  // `next_` when the attempt began
  int trickles_ = 0;             // attempts that broke after a few bytes

  bool waiting_ = false;         // for another's resolve
  bool leading_ = false;         // others may wait for ours
  bool resolving_ = false;       // the chain began at /resolve/
  bool resolved_again_ = false;  // a location was given up already, without progress since
  bool commit_seen_ = false;     // X-Repo-Commit, equal to the file's
  bool content_seen_ = false;    // an ETag or X-Linked-ETag of the endpoint, equal to the file's
  Location location_;            // in use when serial is not 0
};

}  // namespace hubvfs::hub
