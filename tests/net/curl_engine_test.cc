// SPDX-License-Identifier: Apache-2.0
#include "hub/curl_engine.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/support/scripted_http_server.h"

namespace hubvfs::hub {
namespace {

// Takes everything but, on demand, the peer.
class FakeObserver final : public TransferObserver {
 public:
  explicit FakeObserver(bool may_send) : may_send_(may_send) {}
  std::future<TransferEnd> ended() { return ended_.get_future(); }
  std::string peer;

 private:
  void on_transfer_started() override {}
  void on_hedged() override {}
  bool may_send_to(std::string_view address) override {
    peer = address;
    return may_send_;
  }
  bool on_head(const HttpHead&) override { return true; }
  bool on_body(ByteView) override { return true; }
  void on_transfer_end(const TransferEnd& end) override { ended_.set_value(end); }

  const bool may_send_;
  std::promise<TransferEnd> ended_;
};

class CurlEngineTest : public ::testing::Test {
 protected:
  TransferEnd get(const TransferSpec& spec, FakeObserver& observer) {
    auto ended = observer.ended();
    engine_->post([&] { engine_->start(spec, observer); });
    return ended.get();
  }
  ScriptedHttpServer server_{[](const ScriptedRequest&) { return ScriptedAnswer(); }};
  SystemClock clock_;
  NullLogger log_;
  std::unique_ptr<CurlEngine> engine_ = std::move(*CurlEngine::create({}, clock_, log_));
};

TEST_F(CurlEngineTest, APeerThatIsRefusedGetsNoRequest) {
  TransferSpec spec;
  spec.url = server_.origin() + "/x";
  spec.secure = false;
  FakeObserver strict(false);
  const TransferEnd end = get(spec, strict);
  EXPECT_TRUE(end.refused);
  EXPECT_FALSE(end.complete);
  EXPECT_EQ(strict.peer, "127.0.0.1");
  EXPECT_EQ(server_.connections(), 0u);  // not even a connection
  FakeObserver lenient(true);
  EXPECT_TRUE(get(spec, lenient).complete);
  EXPECT_EQ(server_.requests().size(), 1u);
  FakeObserver strict_again(false);  // also on the connection that is open now
  EXPECT_TRUE(get(spec, strict_again).refused);
  EXPECT_EQ(server_.requests().size(), 1u);
}

TEST_F(CurlEngineTest, OnlyTheProtocolNamedIsSpoken) {
  TransferSpec spec;
  spec.url = server_.origin() + "/x";
  spec.secure = true;  // https only
  FakeObserver observer(true);
  const TransferEnd end = get(spec, observer);
  EXPECT_FALSE(end.complete);
  EXPECT_TRUE(end.bad_answer);
  EXPECT_EQ(server_.requests().size(), 0u);
}

TEST_F(CurlEngineTest, TimersRunInOrderAndCanBeCancelled) {
  std::promise<std::string> order;
  engine_->post([&] {
    auto text = std::make_shared<std::string>();
    const TimePoint now = clock_.now();
    using std::chrono::milliseconds;
    engine_->after(now + milliseconds(30), [&order, text] { order.set_value(*text + "c"); });
    engine_->after(now + milliseconds(20), [text] { *text += "b"; });
    const TimerId never = engine_->after(now + milliseconds(15), [text] { *text += "x"; });
    engine_->after(now + milliseconds(10), [text] { *text += "a"; });
    engine_->cancel_timer(never);
  });
  EXPECT_EQ(order.get_future().get(), "abc");
}

TEST_F(CurlEngineTest, JobsPostedBeforeTheEndRun) {
  int ran = 0;
  for (int i = 0; i < 100; ++i) {
    engine_->post([&] { engine_->post([&] { ++ran; }); });
  }
  engine_->stop([&] { ++ran; });
  EXPECT_EQ(ran, 101);
}

TEST_F(CurlEngineTest, AnAbsurdLimitIsRefused) {
  CurlEngine::Options options;
  options.max_transfers = 0;
  EXPECT_FALSE(CurlEngine::create(options, clock_, log_));
}

}  // namespace
}  // namespace hubvfs::hub
