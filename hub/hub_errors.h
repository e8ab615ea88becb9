// SPDX-License-Identifier: Apache-2.0
// The errors of a HubClient, in one line each: what failed, why, and what to do next (design,
// section 9). No text holds a token or the query of a URL; foreign words are escaped and cut.
#pragma once

#include <string>

#include "hub/curl_engine.h"
#include "hub/curl_url.h"
#include "hub/http_head.h"

namespace hubvfs::hub {

// What was asked for.
struct Asked {
  std::string what;  // "info of acme/tiny-llm"
  std::string page;  // the repo's, where a person asks for access; "" where it is about no repo
};

// What a status other than success means to the caller (hub_client.h). `token` names the token that
// is configured ("the token from HF_TOKEN"), "" for none: with one, a 401 means that it was
// refused.
Error error_of_answer(const HttpHead& head, const Asked& asked, const Url& url,
                      const std::string& token);

// The same of a content host: it knows no repos and no tokens, and its URL was a fresh one.
Error error_of_content_host(const HttpHead& head, const Asked& asked, const Url& url);

// A 429, its limit and its reset. `limit` is limit_of()'s; `token_helps`: a token has a higher one.
Error error_of_limit(const Asked& asked, const Url& url, const std::string& limit, Duration reset,
                     bool token_helps);
// `the limit of 500 "api" requests in 300 s is used up`, as far as the answer tells.
std::string limit_of(const HttpHead& head);

// An answer that no Hub gives: "200 instead of 206".
Error error_of_bad_answer(const Asked& asked, const Url& url, const std::string& why);

// Whether a 403 is about the repo, whoever asks.
bool is_disabled(const HttpHead& head);

// A transfer that broke: at which hop. `proxy` is the one it went through, "" for none.
Error error_of_transfer(const TransferEnd& end, const Asked& asked, const Url& url,
                        const std::string& proxy);

// `because`: what made us go offline ("HF_HUB_OFFLINE"), "" if nobody said.
Error offline_error(const std::string& because);

}  // namespace hubvfs::hub
