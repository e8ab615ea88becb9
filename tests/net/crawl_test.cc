// SPDX-License-Identifier: Apache-2.0
// What a crawl may have of the Hub's API quota (hub-protocol E.4), from a server that keeps one.
#include <algorithm>
#include <mutex>
#include <vector>

#include "base/mutex.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class CrawlQuota : public FaultyHub {
 protected:
  // The Hub counts `quota` requests in a window whose end stays `reset` seconds away.
  void serve(int quota, int reset, Script answers) {
    on_hub([quota, reset, answers](const ScriptedRequest& request, int nth) {
      ScriptedAnswer answer = answers(request, nth);
      const int left = std::max(0, quota - nth);
      answer.header("RateLimit-Policy",
                    "\"fixed window\";\"api\";q=" + std::to_string(quota) + ";w=300");
      return answer.header("RateLimit",
                           "\"api\";r=" + std::to_string(left) + ";t=" + std::to_string(reset));
    });
  }
  void serve_info(int quota, int reset) {
    serve(quota, reset, [](const ScriptedRequest&, int) { return json(info_text()); });
  }

  struct Asking {
    hub::CrawlPtr crawl = std::make_shared<hub::Crawl>();
    Answer<hub::RepoInfo> answer;
  };
  // One question of a crawl, whose answer may take `time`.
  std::unique_ptr<Asking> ask(Duration time = kAmple) {
    auto asking = std::make_unique<Asking>();
    client().repo_info(kRepo, "", {deadline_in(from_now(time)), asking->crawl},
                       asking->answer.callback());
    return asking;
  }
  std::vector<std::unique_ptr<Asking>> ask_many(int count) {
    std::vector<std::unique_ptr<Asking>> all;
    for (int i = 0; i < count; ++i) all.push_back(ask());
    return all;
  }
  static int answered(const std::vector<std::unique_ptr<Asking>>& all) {
    return static_cast<int>(std::count_if(
        all.begin(), all.end(), [](const auto& asking) { return asking->answer.calls() > 0; }));
  }
  hub::HubHealth health() { return client().stats().health; }
};

TEST_F(CrawlQuota, ACrawlStopsAtAQuarterAndReadersGoOn) {
  serve_info(40, 299);
  ASSERT_TRUE(ask()->answer.wait()) << "names the quota";
  const auto crawl = ask_many(12);
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(crawl[static_cast<std::size_t>(i)]->answer.wait());
  EXPECT_EQ(hub_.requests().size(), 10u);
  for (int reader = 0; reader < 5; ++reader) EXPECT_TRUE(info());
  EXPECT_EQ(hub_.requests().size(), 15u);
  EXPECT_EQ(answered(crawl), 9);
  EXPECT_EQ(health().crawl_waiting, 3);
  EXPECT_GT(health().crawl_until, clock_.unix_now() + 290);
  EXPECT_LE(health().crawl_until, clock_.unix_now() + 301);

  clock_.suspend(seconds(301));
  EXPECT_TRUE(info());
  for (std::size_t i = 9; i < crawl.size(); ++i) EXPECT_TRUE(crawl[i]->answer.wait());
  EXPECT_EQ(health().crawl_waiting, 0);
  EXPECT_EQ(health().crawl_until, 0);
}

TEST_F(CrawlQuota, WhatSomebodyWaitsForIsACrawlsNoMore) {
  serve_info(8, 299);
  ASSERT_TRUE(ask()->answer.wait());
  const auto crawl = ask_many(3);
  EXPECT_TRUE(crawl[0]->answer.wait());
  EXPECT_TRUE(info());
  client().raise(crawl[2]->crawl);
  EXPECT_TRUE(crawl[2]->answer.wait());
  EXPECT_EQ(crawl[1]->answer.calls(), 0);
  EXPECT_EQ(health().crawl_waiting, 1);
  client().raise(crawl[2]->crawl);  // too late, and no harm
  const auto raised = std::make_shared<hub::Crawl>();
  client().raise(raised);  // before it is asked
  Answer<hub::RepoInfo> answer;
  client().repo_info(kRepo, "", {deadline_in(kAmple), raised}, answer.callback());
  EXPECT_TRUE(answer.wait());
}

TEST_F(CrawlQuota, WhatMayBeACrawlsDoesNotWaitAndCounts) {
  serve_info(8, 299);
  ASSERT_TRUE(ask()->answer.wait());
  for (int i = 0; i < 3; ++i) {
    const auto perhaps = std::make_shared<hub::Crawl>();
    perhaps->raised = true;
    Answer<hub::RepoInfo> answer;
    client().repo_info(kRepo, "", {deadline_in(kAmple), perhaps}, answer.callback());
    EXPECT_TRUE(answer.wait());
  }
  const auto crawl = ask();
  EXPECT_TRUE(info());
  EXPECT_EQ(health().crawl_waiting, 1);
}

TEST_F(CrawlQuota, TheWaitIsNotOfItsTime) {
  serve_info(4, 1);
  ASSERT_TRUE(ask()->answer.wait());
  const auto waits = ask(milliseconds(500));
  const TimePoint start = clock_.now();
  EXPECT_TRUE(waits->answer.wait()) << "though its time was up before its turn came";
  EXPECT_GE(clock_.now() - start, Duration(seconds(1)));
}

TEST_F(CrawlQuota, ButAnAnswerThatDoesNotComeIs) {
  serve(8, 1, [](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    answer.stall_first = nth > 2;
    return answer;
  });
  for (const auto& asking : ask_many(2)) ASSERT_TRUE(asking->answer.wait());
  EXPECT_EQ(ask(milliseconds(500))->answer.wait().error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(health().crawl_waiting, 0);
}

TEST_F(CrawlQuota, EveryPageOfAListingCounts) {
  serve(8, 299, [this](const ScriptedRequest&, int nth) {
    ScriptedAnswer page = json("[" + entry("file-" + std::to_string(nth)) + "]");
    if (nth < 4) next(page, hub_.origin() + "/page-" + std::to_string(nth));
    return page;
  });
  const auto crawl = std::make_shared<hub::Crawl>();
  Answer<bool> listed;
  auto pages = std::make_shared<std::atomic<int>>(0);
  client().list_tree(
      kRepo, kCommit, "", true, {deadline_in(kAmple), crawl},
      [pages](const std::vector<hub::TreeEntry>&) { return ++*pages > 0; }, listed.callback());
  ASSERT_TRUE(hub_.await_requests(2));
  while (health().crawl_waiting == 0) std::this_thread::yield();
  EXPECT_EQ(*pages, 2);
  client().raise(crawl);
  EXPECT_TRUE(listed.wait());
  EXPECT_EQ(*pages, 4);
}

TEST_F(CrawlQuota, A429MakesACrawlWaitThatWouldEndAReader) {
  on_hub([](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 429;
    return answer.header("RateLimit", "\"api\";r=0;t=200");
  });
  const auto crawl = ask();
  EXPECT_EQ(info_error().code, ErrorCode::kRateLimited);
  while (health().crawl_waiting == 0) std::this_thread::yield();
  EXPECT_EQ(crawl->answer.calls(), 0);
  on_hub([](const ScriptedRequest&, int) { return json(info_text()); });
  clock_.suspend(seconds(202));
  EXPECT_TRUE(info());
  EXPECT_TRUE(crawl->answer.wait());
}

TEST_F(CrawlQuota, TheEndOfTheClientEndsItsWaitAtOnce) {
  serve_info(4, 299);
  ASSERT_TRUE(ask()->answer.wait());
  const auto waits = ask();
  EXPECT_TRUE(info());
  EXPECT_EQ(health().crawl_waiting, 1);
  client_.reset();
  EXPECT_EQ(waits->answer.wait().error().code, ErrorCode::kCancelled);
}

TEST_F(CrawlQuota, AHubThatNamesNoQuotaIsCrawledFreely) {
  on_hub([](const ScriptedRequest&, int) { return json(info_text()); });
  ASSERT_TRUE(info());
  for (const auto& asking : ask_many(200)) EXPECT_TRUE(asking->answer.wait());
}

}  // namespace
}  // namespace hubvfs
