// SPDX-License-Identifier: Apache-2.0
// A hub and a content host, scripted, with one LFS and one regular file.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/text.h"
#include "hub/curl_hub_client.h"
#include "hub/http_head.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/hub_calls.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"
#include "tests/support/scripted_http_server.h"
#include "tests/support/temp_dir.h"

namespace hubvfs {

inline const std::string kCommit = "28061c75e6a9e6e5d8a8b96182cf09a937444067";
inline const std::string kToken = "hf_CANARYcanaryCANARY";
inline const std::string kSignature = "s3cretSignature";
inline const hub::RepoId kRepo{hub::RepoType::kModel, "acme/tiny-llm"};
inline constexpr std::chrono::seconds kAmple{10};

class FaultyHub : public ::testing::Test {
 protected:
  using Then = ScriptedAnswer::Then;
  // `nth` counts this server's requests, from 1.
  using Script = std::function<ScriptedAnswer(const ScriptedRequest&, int nth)>;

  void TearDown() override {
    const hub::HubStats stats = client_ ? client_->stats() : hub::HubStats();
    client_.reset();
    // Neither the token nor a signature may reach a log line, `status` or another origin.
    for (const std::string& text : {log_.text(), stats.last_failure, stats.health.outage}) {
      expect_no_secret(text);
    }
    expect_no_token(content_.requests());
    expect_no_token(elsewhere_.requests());
  }
  static void expect_no_secret(const std::string& text) {
    EXPECT_EQ(text.find(kToken), std::string::npos) << text;
    EXPECT_EQ(text.find(kSignature), std::string::npos) << text;
  }
  static void expect_no_token(const std::vector<ScriptedRequest>& requests) {
    for (const ScriptedRequest& request : requests) {
      EXPECT_EQ(request.target.find(kToken), std::string::npos) << request.target;
      for (const auto& [name, value] : request.headers) {
        EXPECT_EQ(value.find(kToken), std::string::npos) << name;
      }
    }
  }

  hub::HubClient& client() {
    if (!client_) make_client({});
    return *client_;
  }
  void make_client(hub::HubClientOptions options) {
    if (options.endpoint.starts_with("https://huggingface")) options.endpoint = hub_.origin();
    auto made = hub::make_curl_hub_client(options, log_, clock_);
    ASSERT_TRUE(made) << made.error().context;
    client_ = std::move(*made);
  }
  void make_client_with_token(const std::string& token = kToken) {
    hub::HubClientOptions options;
    options.token = [token] { return token; };
    options.token_origin = "HF_TOKEN";
    make_client(options);
  }

  static void script(ScriptedHttpServer& server, Script script) {
    auto nth = std::make_shared<std::atomic<int>>(0);
    server.set_handler(
        [script, nth](const ScriptedRequest& request) { return script(request, ++*nth); });
  }
  void on_hub(Script answers) { script(hub_, std::move(answers)); }
  void on_content(Script answers) { script(content_, std::move(answers)); }
  // The engine takes the content host for one that is far away: it begins with eight connections.
  void answer_from_afar() {
    on_content([this](const ScriptedRequest& request, int) { return far_content(request); });
  }
  // Every fetch is sent on to `location`.
  void redirect_to(const std::string& location) {
    on_hub([this, location](const ScriptedRequest&, int) {
      ScriptedAnswer answer = to_content();
      answer.headers[0].second = location;
      return answer.header("Set-Cookie", "session=" + kToken);
    });
  }
  // Every request is refused so.
  void refuse_all(int status, const std::string& code = "") {
    on_hub([status, code](const ScriptedRequest&, int) { return refusal(status, code); });
  }

  hub::FileRef lfs_file() const {
    return {kRepo, kCommit, "model.safetensors", true, content_id_of(weights_, true)};
  }
  hub::FileRef regular_file() const {
    return {kRepo, kCommit, "config.json", false, content_id_of(config_, false)};
  }

  static ScriptedAnswer json(const std::string& text) {
    ScriptedAnswer answer;
    answer.body = text;
    return answer.header("Content-Type", "application/json; charset=utf-8");
  }
  static std::string info_text() {
    return R"({"id":"acme/tiny-llm","private":false,"sha":")" + kCommit + "\"}";
  }
  static std::string entry(const std::string& path, const std::string& size = "1") {
    return R"({"type":"file","oid":")" + kCommit + R"(","size":)" + size + R"(,"path":")" + path +
           "\"}";
  }
  static ScriptedAnswer& next(ScriptedAnswer& answer, const std::string& url) {
    return answer.header("Link", "<" + url + ">; rel=\"next\"");
  }
  static ScriptedAnswer refusal(int status, const std::string& code = "") {
    ScriptedAnswer answer;
    answer.status = status;
    if (!code.empty()) answer.header("X-Error-Code", code);
    return answer.header("X-Error-Message", "Invalid username or password.");
  }
  // What the real Hub answers.
  ScriptedAnswer to_content(const std::string& path = "/blob") const {
    ScriptedAnswer answer;
    answer.status = 302;
    answer.header("Location",
                  content_.origin() + path + "?Expires=4000000000&Signature=" + kSignature);
    answer.header("X-Linked-ETag", "\"" + lfs_file().content.hex() + "\"");
    answer.header("X-Linked-Size", std::to_string(weights_.size()));
    answer.header("X-Repo-Commit", kCommit);
    answer.body = "Found. Redirecting";
    return answer;
  }
  static ScriptedAnswer range_of(const std::string& content, const ScriptedRequest& request) {
    ScriptedAnswer answer;
    const std::string asked = request.header("range");
    const std::string size = std::to_string(content.size());
    const auto range = hub::parse_content_range(
        "bytes " + asked.substr(std::min<std::size_t>(6, asked.size())) + "/" + size);
    if (!range) {
      answer.status = 416;
      return answer;
    }
    answer.status = 206;
    answer.header("Content-Range", "bytes " + asked.substr(6) + "/" + size);
    answer.body = content.substr(range->range.begin, range->range.size());
    return answer;
  }
  ScriptedAnswer good_content(const ScriptedRequest& request) const {
    return range_of(weights_, request).header("ETag", "\"host\"");
  }
  ScriptedAnswer far_content(const ScriptedRequest& request) const {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return good_content(request);
  }
  ScriptedAnswer good_regular(const ScriptedRequest& request) const {
    return range_of(config_, request)
        .header("ETag", "\"" + regular_file().content.hex() + "\"")
        .header("X-Repo-Commit", kCommit);
  }

  // Deadlines are made of real time, and clock_ may be ahead of it.
  Duration from_now(Duration time) const { return time + clock_.suspended(); }
  Result<hub::RepoInfo> info(Duration time = kAmple) {
    return info_of(client(), kRepo, "", from_now(time));
  }
  Error info_error(Duration time = kAmple) {
    const auto answer = info(time);
    return answer ? Error{ErrorCode::kInternal, "it was answered"} : answer.error();
  }
  Listed list(Duration time = kAmple) {
    return tree_of(client(), kRepo, kCommit, "", true, from_now(time));
  }
  std::vector<std::string> authorizations() {
    std::vector<std::string> all;
    for (const auto& request : hub_.requests()) all.push_back(request.header("authorization"));
    return all;
  }

  // Fetches and expects exactly these bytes.
  void expect_bytes(const hub::FileRef& file, ByteRange range, Duration time = kAmple) {
    Fetching fetching(client(), file, range, from_now(time));
    const auto done = fetching.wait();
    ASSERT_TRUE(done) << done.error().context;
    EXPECT_TRUE(fetching.contiguous());
    const std::string& content = file.is_lfs ? weights_ : config_;
    EXPECT_EQ(fetching.bytes(), content.substr(range.begin, range.size()));
  }
  // Fetches and expects this error, whose text holds no secret.
  void expect_error(ErrorCode code, const hub::FileRef& file, ByteRange range,
                    Duration time = kAmple) {
    Fetching fetching(client(), file, range, from_now(time));
    const auto done = fetching.wait();
    ASSERT_FALSE(done);
    EXPECT_EQ(to_string(done.error().code), std::string(to_string(code))) << done.error().context;
    expect_no_secret(done.error().context);
    EXPECT_TRUE(fetching.contiguous());
    EXPECT_LE(fetching.bytes().size(), range.size());
    failed_bytes_ = fetching.bytes();
    failure_ = done.error().context;
  }

  const std::string weights_ = random_bytes(500'000, 3);
  const std::string config_ = "{\"model_type\": \"bert\", \"n\": 12}\n";
  std::string failed_bytes_;
  std::string failure_;
  ListLogger log_;
  SuspendingClock clock_;
  ScriptedHttpServer content_{
      [this](const ScriptedRequest& request) { return good_content(request); }};
  // Another host than the hub's.
  ScriptedHttpServer elsewhere_{
      [this](const ScriptedRequest& request) { return good_content(request); }, "127.0.0.2"};
  ScriptedHttpServer hub_{[this](const ScriptedRequest&) { return to_content(); }};
  std::unique_ptr<hub::HubClient> client_;
};

}  // namespace hubvfs
