// SPDX-License-Identifier: Apache-2.0
// A token may be seen by the endpoint, and nowhere else: not in a log, an error, `status`, or any
// request of another origin (threats-and-faults, I8).
#include <cstdlib>

#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using std::chrono::milliseconds;

// FaultyHub looks at the log, at `status` and at what the other servers got when a test ends.
class TokenCanary : public FaultyHub {
 protected:
  void SetUp() override { make_client_with_token(); }
  // Every call there is; all that any of them says is looked at.
  void call_all(Duration time = milliseconds(250)) {
    note(info_of(client(), kRepo, "main", time));
    note(refs_of(client(), kRepo, time));
    note(tree_of(client(), kRepo, kCommit, "", true, time).more);
    note(list_of(client(), hub::RepoType::kModel, "acme", "", time));
    for (const hub::FileRef& file : {lfs_file(), regular_file()}) {
      note(Fetching(client(), file, {0, 20}, time).wait());
    }
    ASSERT_FALSE(hub_.requests().empty());
    EXPECT_EQ(hub_.requests()[0].header("authorization"), "Bearer " + kToken);
  }
  template <typename T>
  void note(const Result<T>& result) {
    if (!result) expect_no_secret(result.error().context);
  }
};

TEST_F(TokenCanary, OverEveryStatus) {
  for (const int status : {200, 204, 206, 304, 400, 401, 403, 404, 408, 416, 429, 500, 503}) {
    for (const char* code : {"", "GatedRepo", "EntryNotFound"}) {
      refuse_all(status, code);
      call_all(milliseconds(60));
      make_client_with_token();  // what one status taught must not hide the next
    }
  }
}

TEST_F(TokenCanary, OverEveryRedirect) {
  for (const int status : {301, 302, 303, 307, 308}) {
    for (const std::string& target :
         {elsewhere_.origin() + "/x?Signature=" + kSignature, content_.origin() + "/y",
          std::string("/again?Signature=") + kSignature, std::string("//127.0.0.2:1/"),
          std::string("https://127.0.0.2:1/z"),
          std::string("http://me:" + kSignature + "@127.0.0.2/"),
          std::string("file:///") + kSignature, std::string("http://10.0.0.1/?") + kSignature}) {
      on_hub([&](const ScriptedRequest&, int) {
        ScriptedAnswer answer = to_content();
        answer.status = status;
        answer.headers[0].second = target;
        return answer.header("Set-Cookie", "t=" + kToken)
            .header("WWW-Authenticate", "Basic realm=x");
      });
      call_all();
      make_client_with_token();
    }
  }
  EXPECT_FALSE(elsewhere_.requests().empty());
  EXPECT_FALSE(content_.requests().empty());
}

TEST_F(TokenCanary, OverAChainThatComesBack) {
  on_hub([&](const ScriptedRequest& request, int) {
    if (request.target == "/back") return good_regular(request);
    return to_content("/there");
  });
  on_content([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 302;
    return answer.header("Location", hub_.origin() + "/back");
  });
  call_all();
  EXPECT_GE(content_.count("/there"), 1u);
}

TEST_F(TokenCanary, OverA401AndTheSameOnceMore) {
  on_hub([&](const ScriptedRequest& request, int) {
    return request.header("authorization").empty() ? to_content() : refusal(401);
  });
  call_all();
  EXPECT_FALSE(content_.requests().empty());
}

TEST_F(TokenCanary, OverAServerThatEchoesWhatItGot) {
  on_hub([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = refusal(nth % 2 == 0 ? 403 : 500);
    const std::string echo = "you sent " + request.header("authorization");
    answer.headers[0].second = echo;
    answer.header("X-Error-Code", echo).header("X-HF-Warning", echo + "; x");
    answer.body = echo;
    return answer;
  });
  call_all();
  EXPECT_NE(log_.text().find("[token]"), std::string::npos);
}

TEST_F(TokenCanary, OverBrokenAnswersAndPages) {
  for (const std::string& raw : {std::string("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
                                 std::string("nonsense\r\n\r\n"),
                                 "HTTP/1.1 200 OK\r\nLink: <" + elsewhere_.origin() +
                                     "/next>; rel=\"next\"\r\nContent-Length: 2\r\n\r\n[]"}) {
    on_hub([&](const ScriptedRequest&, int) {
      ScriptedAnswer answer;
      answer.raw = raw;
      return answer;
    });
    call_all();
    make_client_with_token();
  }
  EXPECT_EQ(elsewhere_.connections(), 0u);
}

TEST_F(TokenCanary, WithEveryProxyVariableSet) {
  ScriptedHttpServer proxy([](const ScriptedRequest&) { return refusal(407); });
  const char* const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                               "ALL_PROXY"};
  for (const char* name : names) ::setenv(name, proxy.origin().c_str(), 1);
  make_client_with_token();
  on_hub([&](const ScriptedRequest&, int) { return to_content(); });
  call_all();
  hub::HubClientOptions options;
  options.endpoint = "https://hub.example.org";
  options.token = [] { return kToken; };
  make_client(options);
  note(info_of(client(), kRepo, "", milliseconds(300)));
  for (const char* name : names) ::unsetenv(name);
  ASSERT_FALSE(proxy.requests().empty());
  expect_no_token(proxy.requests());
}

}  // namespace
}  // namespace hubvfs
