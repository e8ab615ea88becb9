// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_errors.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

using std::chrono::seconds;

const Asked kAsked{"info of acme/x", "https://hub.org/acme/x"};
const Url kUrl{"https", "hub.org", 443, "/api/models/acme/x", "Signature=secret"};
const std::string kToken = "the token from HF_TOKEN";

HttpHead head_of(int status, const std::string& code = "", const std::string& message = "") {
  HttpHead head;
  head.status = status;
  head.error_code = code;
  head.error_message = message;
  return head;
}

Error answer(int status, const std::string& code = "", const std::string& token = "",
             const std::string& message = "") {
  return error_of_answer(head_of(status, code, message), kAsked, kUrl, token);
}

void expect_has(const Error& error, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(error.context.find(part), std::string::npos) << part << " in: " << error.context;
  }
  EXPECT_EQ(error.context.find('\n'), std::string::npos);
  EXPECT_EQ(error.context.find("secret"), std::string::npos) << error.context;
}

TEST(HubProtocolE2, EachRowOfTheMatrixHasItsCode) {
  const auto code = [](int status, const std::string& error, bool token) {
    return answer(status, error, token ? kToken : "").code;
  };
  EXPECT_EQ(code(401, "", false), ErrorCode::kNotFound);
  EXPECT_EQ(code(401, "", true), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code(401, "GatedRepo", false), ErrorCode::kGated);
  EXPECT_EQ(code(403, "GatedRepo", true), ErrorCode::kGated);
  EXPECT_EQ(code(403, "", true), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code(404, "RepoNotFound", true), ErrorCode::kNotFound);
  EXPECT_EQ(code(404, "RevisionNotFound", false), ErrorCode::kNotFound);
  EXPECT_EQ(code(404, "EntryNotFound", false), ErrorCode::kNotFound);
  EXPECT_EQ(code(404, "", false), ErrorCode::kBadAnswer);
  EXPECT_EQ(code(400, "", false), ErrorCode::kBadAnswer);
  EXPECT_EQ(code(429, "", false), ErrorCode::kRateLimited);
  EXPECT_EQ(code(408, "", false), ErrorCode::kUnavailable);
  EXPECT_EQ(code(503, "", false), ErrorCode::kUnavailable);
  EXPECT_EQ(code(204, "", false), ErrorCode::kBadAnswer);
}

TEST(HubProtocolE2, NotFoundSaysWhichOfThem) {
  expect_has(answer(404, "RevisionNotFound", "", "Invalid rev id: nope"),
             {"info of acme/x", "HTTP 404 RevisionNotFound", "Invalid rev id: nope"});
  expect_has(answer(401, "", "", "Invalid username or password."),
             {"HTTP 401", "Invalid username or password.", "HF_TOKEN"});
}

TEST(HubProtocolE2, GatedNamesThePageWhereAccessIsAsked) {
  expect_has(answer(403, "GatedRepo", kToken), {"ask for access at https://hub.org/acme/x"});
  const Error anonymous = answer(401, "GatedRepo");
  expect_has(anonymous, {"ask for access at https://hub.org/acme/x", "set HF_TOKEN"});
}

TEST(HubProtocolE2, ADisabledRepoIsNobodysToken) {
  const Error error = answer(403, "", kToken, "Access to this resource is disabled.");
  EXPECT_EQ(error.code, ErrorCode::kPermissionDenied);
  expect_has(error, {"disabled this repo"});
  EXPECT_EQ(error.context.find("log in"), std::string::npos) << error.context;
}

TEST(HubErrors, ADenialNamesTheTokenAndTheNextStep) {
  expect_has(answer(401, "", kToken), {"the token from HF_TOKEN was refused", "log in anew"});
  expect_has(answer(403, "", kToken), {"the token from HF_TOKEN was refused", "log in anew"});
  expect_has(answer(403), {"set HF_TOKEN"});
}

TEST(HubErrors, TroubleOfTheServerNamesIt) {
  expect_has(answer(503), {"HTTP 503 from https://hub.org:443", "ask again later"});
  expect_has(answer(404), {"no Hub", "check the endpoint"});
}

TEST(HubErrors, ForeignWordsAreEscapedAndCut) {
  const Error error = answer(403, "", "", "no\x1b[31m\n" + std::string(5000, 'x'));
  expect_has(error, {"no\\x1b[31m\\x0a"});
  EXPECT_LT(error.context.size(), 600u);
}

TEST(HubProtocolE4, ALimitIsToldWithItsReset) {
  HttpHead head = head_of(429);
  head.rate_limit = "\"api\";r=0;t=42";
  head.rate_policy = "\"fixed window\";\"api\";q=500;w=300";
  EXPECT_EQ(limit_of(head), "the limit of 500 \"api\" requests in 300 s is used up");
  const Error error = error_of_limit(kAsked, kUrl, limit_of(head), seconds(43), true);
  EXPECT_EQ(error.code, ErrorCode::kRateLimited);
  expect_has(error, {"info of acme/x", "HTTP 429 from https://hub.org:443",
                     "500 \"api\" requests in 300 s", "wait 43 s for its reset", "set HF_TOKEN"});
  EXPECT_EQ(error_of_limit(kAsked, kUrl, "x", seconds(1), false).context.find("HF_TOKEN"),
            std::string::npos);
  EXPECT_EQ(limit_of(head_of(429)), "the limit of requests is used up");
}

TEST(HubProtocolD4, AContentHostThatRefusesHugeFilesIsUnderstood) {
  expect_has(error_of_content_host(head_of(400), kAsked, kUrl), {"HTTP 400", "hub.org", "Xet"});
  EXPECT_EQ(error_of_content_host(head_of(400), kAsked, kUrl).code, ErrorCode::kBadAnswer);
  EXPECT_EQ(error_of_content_host(head_of(403), kAsked, kUrl).code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(error_of_content_host(head_of(404), kAsked, kUrl).code, ErrorCode::kBadAnswer);
}

TEST(HubErrors, ABrokenTransferNamesItsHopAndTheNextStep) {
  const auto at = [](Hop hop, bool untrusted = false) {
    TransferEnd end;
    end.hop = hop;
    end.untrusted = untrusted;
    end.failure = "libcurl's words";
    return error_of_transfer(end, kAsked, kUrl, "http://me:secret@proxy.lan:3128");
  };
  expect_has(at(Hop::kName), {"DNS", "hub.org", "check the network"});
  expect_has(at(Hop::kConnect), {"cannot connect to https://hub.org:443", "check the network"});
  expect_has(at(Hop::kProxy), {"proxy http://proxy.lan:3128", "check HTTPS_PROXY and NO_PROXY"});
  expect_has(at(Hop::kTls, true), {"TLS with https://hub.org:443", "SSL_CERT_FILE"});
  expect_has(at(Hop::kTls), {"TLS with https://hub.org:443", "firewall"});
  expect_has(at(Hop::kAnswer), {"https://hub.org:443 broke off", "libcurl's words"});
  EXPECT_EQ(at(Hop::kAnswer).code, ErrorCode::kUnavailable);
}

TEST(HubErrors, OfflineSaysBecauseOfWhat) {
  EXPECT_EQ(offline_error("HF_HUB_OFFLINE").code, ErrorCode::kOffline);
  expect_has(offline_error("HF_HUB_OFFLINE"), {"offline because of HF_HUB_OFFLINE"});
  expect_has(offline_error(""), {"offline"});
}

}  // namespace
}  // namespace hubvfs::hub
