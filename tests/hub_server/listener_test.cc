// SPDX-License-Identifier: Apache-2.0
// The HTTP side of the server: connections, bounds, logs, counts, addresses.
#include <sys/stat.h>

#include "base/text.h"
#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {
namespace {

class Listener : public ServedFolder {
 protected:
  void SetUp() override {
    put("acme/m/f.txt", "regular");
    put("acme/m/.gitattributes", "*.bin filter=lfs\n");
    put("acme/m/w.bin", "weights");
    write_file(other_ / "tokens", "hf_of_ada ada\n");
    options_.token_file = other_ / "tokens";
    options_.access_log = other_ / "access.log";
  }
  std::vector<std::map<std::string, std::string>> logged() const {
    std::vector<std::map<std::string, std::string>> lines;
    const std::string text = read_file(other_ / "access.log");
    for (std::string_view line : split(text, '\n')) {
      if (!line.empty()) lines.push_back(flat_json(std::string(line)));
    }
    return lines;
  }
};

TEST_F(Listener, KeepsConnectionsAlive) {
  serve();
  HttpConnection connection(server_->url());
  for (int i = 0; i < 3; ++i) {
    connection.send("GET /api/models/acme/m HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(connection.reply().status, 200);
  }
  connection.send(
      "HEAD /acme/m/raw/main/f.txt HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /acme/m/raw/main/f.txt HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(connection.reply(true).header("content-length"), "7");
  EXPECT_EQ(connection.reply().body, "regular");
}

TEST_F(Listener, RequestHeadIsBounded) {
  serve();
  HttpConnection connection(server_->url());
  connection.send("GET /" + std::string(1'000'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n");
  const int status = connection.reply().status;
  EXPECT_TRUE(status == 414 || status == 431 || status == 0) << status;
  EXPECT_EQ(get("/api/models/acme/m").status, 200);
}

TEST_F(Listener, RequestBodyIsBounded) {
  serve();
  HttpConnection declared(server_->url());
  declared.send(
      "POST /api/models/acme/m/paths-info/main HTTP/1.1\r\nHost: x\r\n"
      "Content-Length: 99999999999\r\n\r\n");
  EXPECT_EQ(declared.reply().status, 413);
  HttpConnection chunked(server_->url());
  chunked.send(
      "POST /api/models/acme/m/paths-info/main HTTP/1.1\r\nHost: x\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "100000\r\n" + std::string(0x100000, 'x') + "\r\n";
  for (int i = 0; i < 12; ++i) chunked.send(chunk);
  chunked.send("0\r\n\r\n");
  EXPECT_EQ(chunked.reply().status, 0) << "closed without an answer";
}

TEST_F(Listener, WhatIsNotHttpIsNotAnswered200) {
  serve();
  for (const char* text : {"GET\r\n\r\n", "\x16\x03\x01\x02\x03\r\n\r\n",
                           "GET /api/models HTTP/9.9\r\nHost: x\r\n\r\n",
                           "GET /api/models HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
                           "GET /api/models HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"}) {
    HttpConnection connection(server_->url());
    connection.send(text);
    EXPECT_NE(connection.reply().status, 200) << text;
  }
  EXPECT_EQ(get("/api/models/acme/m").status, 200);
}

TEST_F(Listener, AccessLogHasALineForEachRequestBeforeItsAnswer) {
  serve();
  const std::string location =
      get("/acme/m/resolve/main/w.bin", token("hf_of_ada")).header("location");
  get_content(location, {{"Range", "bytes=1-3"}});
  get("/api/models/acme/m/tree/main?recursive=true&limit=2&secret=hf_of_ada");
  head("/acme/m/raw/main/f.txt");
  auto lines = logged();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0]["method"], "GET");
  EXPECT_EQ(lines[0]["path"], "/acme/m/resolve/main/w.bin");
  EXPECT_EQ(lines[0]["status"], "302");
  EXPECT_EQ(lines[0]["origin"], "hub");
  EXPECT_EQ(lines[1]["path"], target_of(location).substr(0, target_of(location).find('?')));
  EXPECT_EQ(lines[1]["status"], "206");
  EXPECT_EQ(lines[1]["bytes"], "3");
  EXPECT_EQ(lines[1]["range"], "bytes=1-3");
  EXPECT_EQ(lines[1]["origin"], "content");
  EXPECT_EQ(lines[2]["query"], "recursive=true&limit=2");
  EXPECT_EQ(lines[3]["method"], "HEAD");
  EXPECT_EQ(lines[3]["bytes"], "0");
  EXPECT_GE(std::stoull(lines[0]["at"]), 1'000'000ULL * 1'577'836'800ULL);  // 2020
  EXPECT_LE(std::stoull(lines[0]["at"]), std::stoull(lines[1]["at"]));
}

TEST_F(Listener, NeitherTokensNorSignaturesAreLogged) {
  serve();
  const std::string location =
      get("/acme/m/resolve/main/w.bin", token("hf_of_ada")).header("location");
  get_content(location);
  get("/api/models/acme/m?token=hf_of_ada", token("hf_of_ada"));
  const std::string text = read_file(other_ / "access.log") + log_.text();
  EXPECT_EQ(text.find("hf_of_ada"), std::string::npos);
  EXPECT_EQ(text.find("Signature"), std::string::npos);
  EXPECT_EQ(text.find(location.substr(location.find("Signature=") + 10)), std::string::npos);
  struct stat status {};
  ASSERT_EQ(::stat((other_ / "access.log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(Listener, CountsByKind) {
  serve();
  get("/api/models/acme/m");
  get("/api/models/acme/m/tree/main");
  post("/api/models/acme/m/paths-info/main", "application/json", R"({"paths": []})");
  get("/api/models");
  get(get("/acme/m/resolve/main/f.txt").header("location"));
  get_content(get("/acme/m/resolve/main/w.bin").header("location"), {{"Range", "bytes=0-1"}});
  head("/acme/m/raw/main/f.txt");
  const auto counts = server_->counts();
  EXPECT_EQ(counts.info, 1u);
  EXPECT_EQ(counts.tree, 2u);
  EXPECT_EQ(counts.lists, 1u);
  EXPECT_EQ(counts.resolve, 3u);
  EXPECT_EQ(counts.content, 1u);
  EXPECT_EQ(counts.requests, 9u);
  EXPECT_EQ(counts.body_bytes, 7u + 2u);
}

TEST_F(Listener, ListensOnIpv6) {
  options_.listen = "::1";
  options_.root = root_.path();
  auto started = HubServer::start(options_, log_, clock_);
  if (!started && started.error().code != ErrorCode::kInvalidArgument) {
    GTEST_SKIP() << "no IPv6 here: " << started.error().context;
  }
  ASSERT_TRUE(started) << started.error().context;
  server_ = std::move(*started);
  EXPECT_TRUE(server_->url().starts_with("http://[::1]:"));
  ASSERT_TRUE(eventually([&] { return get("/api/models/acme/m").status == 200; }));
  const std::string location = get("/acme/m/resolve/main/w.bin").header("location");
  EXPECT_TRUE(location.starts_with(server_->content_url() + "/"));
  EXPECT_EQ(get_content(location).body, "weights");
}

TEST_F(Listener, PublicUrlsAreWhatClientsAreSentTo) {
  options_.public_url = "https://hub.example:8443";
  options_.page_size = 1;
  serve();
  EXPECT_TRUE(get("/api/models/acme/m/tree/main")
                  .header("link")
                  .starts_with("<https://hub.example:8443/api/models/acme/m/tree/main?"));
  const std::string port = server_->content_url().substr(server_->content_url().rfind(':'));
  EXPECT_TRUE(get("/acme/m/resolve/main/w.bin")
                  .header("location")
                  .starts_with("https://hub.example" + port + "/content/"));
  server_.reset();
  options_.public_content_url = "https://cdn.example";
  serve();
  EXPECT_TRUE(get("/acme/m/resolve/main/w.bin")
                  .header("location")
                  .starts_with("https://cdn.example/content/"));
}

TEST_F(Listener, OnAllAddressesClientsAreSentToTheHostTheyUsed) {
  options_.listen = "0.0.0.0";
  serve();
  const auto location = [&](const std::string& host) {
    HttpConnection connection("http://127.0.0.1" +
                              server_->url().substr(server_->url().rfind(':')));
    connection.send("GET /acme/m/resolve/main/w.bin HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    return connection.reply().header("location");
  };
  const std::string port = server_->content_url().substr(server_->content_url().rfind(':'));
  EXPECT_TRUE(location("box.lan:1234").starts_with("http://box.lan" + port + "/content/"));
  EXPECT_TRUE(location("[::1]:1234").starts_with("http://[::1]" + port + "/content/"));
  EXPECT_TRUE(location("evil.example/x?").starts_with("http://0.0.0.0" + port + "/content/"));
}

TEST_F(Listener, PortInUseIsBusyAndABadAddressAnInvalidArgument) {
  serve();
  HubServerOptions second = options_;
  second.port = static_cast<std::uint16_t>(
      *parse_decimal(server_->url().substr(server_->url().rfind(':') + 1)));
  auto started = HubServer::start(second, log_, clock_);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kBusy);
  for (const char* address : {"localhost", "1.2.3", "", "127.0.0.1:80"}) {
    second.listen = address;
    started = HubServer::start(second, log_, clock_);
    ASSERT_FALSE(started) << address;
    EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument) << address;
  }
}

TEST_F(Listener, BadOptionsAreInvalidArguments) {
  options_.root = root_.path();
  for (const char* url : {"hub.example", "ftp://x", "http://x/", "http://x\r\ny"}) {
    HubServerOptions bad = options_;
    bad.public_url = url;
    const auto started = HubServer::start(bad, log_, clock_);
    ASSERT_FALSE(started) << url;
    EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument) << url;
  }
  HubServerOptions bad = options_;
  bad.page_size = 0;
  EXPECT_FALSE(HubServer::start(bad, log_, clock_));
}

TEST_F(Listener, StopsWithConnectionsOpen) {
  put("acme/m/big.bin", random_bytes(20u << 20, 1));
  serve();
  HttpConnection idle(server_->url());
  idle.send("GET /api/models/acme/m HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(idle.reply().status, 200);
  const std::string location = get("/acme/m/resolve/main/big.bin").header("location");
  HttpConnection slow(server_->content_url());
  slow.send("GET " + target_of(location) + " HTTP/1.1\r\nHost: x\r\n\r\n");
  server_.reset();
  EXPECT_TRUE(idle.at_end());
}

}  // namespace
}  // namespace hubvfs::hub::server
