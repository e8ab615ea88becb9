// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "base/log.h"
#include "base/mutex.h"
#include "hub/server/hub_server.h"
#include "tests/hub_server/http_client.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::hub::server {

using Names = std::vector<std::string>;

// Log lines, kept. Thread-safe.
class KeptLog final : public Logger {
 public:
  void write(LogLevel, std::string_view line) override {
    const MutexLock lock(mutex_);
    text_ += std::string(line) + "\n";
  }
  std::string text() const {
    const MutexLock lock(mutex_);
    return text_;
  }

 private:
  mutable Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
};

// A clock whose wall time is set by hand: ctimes come from the kernel's.
class WallClock final : public Clock {
 public:
  TimePoint now() const override { return manual.now(); }
  UnixSeconds unix_now() const override { return wall; }
  ManualClock manual;
  std::atomic<UnixSeconds> wall = 0;
};

// Waits for what other threads do; true as soon as `condition` is, false after 30 s.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// Every scalar of a JSON text as "path=value", with the index of array elements: "[0].path=a".
std::map<std::string, std::string> flat_json(const std::string& text);
// The values of one key of the objects in an array, in order.
std::vector<std::string> column(const std::string& json, const std::string& key);

// A folder and a HubServer on it. Files settle at once.
class ServedFolder : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) { write_file(root_ / path, text); }
  // Starts and waits until all that is there is hashed.
  void serve() {
    options_.root = root_.path();
    options_.settle_seconds = 0;
    auto started = HubServer::start(options_, log_, clock_);
    ASSERT_TRUE(started) << started.error().context;
    server_ = std::move(*started);
    ASSERT_TRUE(eventually([&] { return all_ready(); })) << log_.text();
  }
  bool all_ready() const {
    const auto progress = server_->progress();
    return progress.repos_ready == progress.repos_found;
  }
  HttpReply get(const std::string& target, const HttpHeaders& headers = {}) const {
    return ask(server_->url(), "GET", target, headers);
  }
  HttpReply head(const std::string& target, const HttpHeaders& headers = {}) const {
    return ask(server_->url(), "HEAD", target, headers);
  }
  HttpReply post(const std::string& target, const std::string& type,
                 const std::string& body) const {
    return ask(server_->url(), "POST", target, {{"Content-Type", type}}, body);
  }
  HttpReply get_content(const std::string& location, const HttpHeaders& headers = {}) const {
    return ask(server_->content_url(), "GET", target_of(location), headers);
  }
  std::string sha_of(const std::string& repo) const {
    return flat_json(get("/api/models/" + repo).body)["sha"];
  }
  // All pages of a listing; counts them.
  Names pages(const std::string& target, const std::string& key, int& count) const;
  // Lets a second pass, so that the next request looks at the folder again.
  void later() { clock_.advance(std::chrono::seconds(30)); }

  TempDir root_;
  TempDir other_;  // for state, tokens, logs: outside what is served
  KeptLog log_;
  ManualClock clock_;
  WallClock wall_clock_;  // where a test starts the server with it
  HubServerOptions options_;
  std::unique_ptr<HubServer> server_;
};

inline HttpHeaders token(const std::string& token) {
  return {{"Authorization", "Bearer " + token}};
}

}  // namespace hubvfs::hub::server
