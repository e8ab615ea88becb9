// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "hub/http_call.h"

namespace hubvfs::hub {

// One answer of a JSON route, whole: at most kMaxPageBytes.
struct MetadataAnswer {
  std::string body;
  Url url;           // it came from, after redirects
  std::string link;  // the Link field
};

// One GET of a JSON route. Redirects within the endpoint's origin are followed (renamed repos).
class MetadataCall final : public HttpCall {
 public:
  // `done` is called once, last; the call may then be destroyed, after that call has returned.
  MetadataCall(CallContext& context, const Url& url, const Terms& terms, Asked asked,
               std::function<void(Result<MetadataAnswer>)> done);
  void begin();
  const Crawl* crawl() const override { return crawl_.get(); }

 private:
  void restart() override;
  Result<void> check_hop(const HttpHead&, const Url&) override { return {}; }
  Result<void> check_success(const HttpHead& head) override;
  bool take_body(ByteView bytes) override;
  void completed(const HttpHead& head) override;
  bool recover(const HttpHead&, const Error&) override { return false; }
  void concluded(Result<void> result) override;

  const Url first_url_;
  const CrawlPtr crawl_;
  std::function<void(Result<MetadataAnswer>)> done_;
  MetadataAnswer answer_;
};

// The next page of a list, as the Link field of `answer` names it: "" after the last. kBadAnswer
// when it leads away from the endpoint's origin.
Result<std::string> next_page(const MetadataAnswer& answer, const Url& endpoint);

}  // namespace hubvfs::hub
