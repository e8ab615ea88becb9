// SPDX-License-Identifier: Apache-2.0
#include "hub/metadata_call.h"

#include "base/text.h"
#include "hub/hub_answers.h"

namespace hubvfs::hub {

MetadataCall::MetadataCall(CallContext& context, const Url& url, const Terms& terms, Asked asked,
                           std::function<void(Result<MetadataAnswer>)> done)
    : HttpCall(context, Kind::kMetadata,
               terms.crawl && !terms.crawl->raised ? Priority::kVerify : Priority::kDemand,
               terms.deadline, std::move(asked)),
      first_url_(url),
      crawl_(terms.crawl),
      done_(std::move(done)) {}

void MetadataCall::begin() {
  arm_deadline();
  restart();
}

void MetadataCall::restart() {
  answer_ = {};
  start_chain(first_url_);
}

Result<void> MetadataCall::check_success(const HttpHead& head) {
  if (head.status != 200) return bad_answer("HTTP " + std::to_string(head.status));
  if (!head.content_encoding.empty() && to_lower(head.content_encoding) != "identity") {
    return bad_answer("Content-Encoding, though none was accepted");
  }
  return {};
}

bool MetadataCall::take_body(ByteView bytes) {
  if (bytes.size() > kMaxPageBytes - answer_.body.size()) {
    return refuse(bad_answer("more than 32 MiB of JSON"));
  }
  answer_.body += as_text(bytes);
  return true;
}

void MetadataCall::completed(const HttpHead& head) {
  answer_.url = url();
  answer_.link = head.link;
  conclude({});
}

void MetadataCall::concluded(Result<void> result) {
  const auto done = std::move(done_);
  if (result) {
    done(std::move(answer_));
  } else {
    done(result.error());
  }
}

Result<std::string> next_page(const MetadataAnswer& answer, const Url& endpoint) {
  const std::string link = next_link(answer.link);
  if (link.empty()) return std::string();
  const auto url = resolve_url(answer.url, link);
  if (!url) return url.error().within("next page");
  if (!url->same_origin(endpoint)) {
    return Error{ErrorCode::kBadAnswer,
                 "next page at " + url->origin() + ", which is not the endpoint"};
  }
  return url->text();
}

}  // namespace hubvfs::hub
