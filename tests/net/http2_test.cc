// SPDX-License-Identifier: Apache-2.0
// HTTP/2, against node's.
#include <fstream>
#include <set>

#include "tests/net/child.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

constexpr std::size_t kTogether = 4;

class Http2 : public FaultyHub {
 protected:
  void SetUp() override {
    if (!make_certificate(dir_ / "hub", "IP:127.0.0.1")) GTEST_SKIP() << "no openssl command";
    std::ofstream(dir_ / "file") << weights_;
    server_ = std::make_unique<Child>(std::vector<std::string>{
        "node", HUBVFS_H2_SERVER, dir_ / "hub.key", dir_ / "hub.crt", dir_ / "file",
        lfs_file().content.hex(), kCommit, std::to_string(kTogether)});
    const std::string port = server_->started() ? server_->line() : "";
    if (port.empty()) GTEST_SKIP() << "no node command";
    ::setenv("SSL_CERT_FILE", (dir_ / "hub.crt").c_str(), 1);
    hub::HubClientOptions options;
    options.endpoint = "https://127.0.0.1:" + port;
    make_client(options);
  }
  void TearDown() override {
    ::unsetenv("SSL_CERT_FILE");
    FaultyHub::TearDown();
  }
  TempDir dir_;
  std::unique_ptr<Child> server_;
};

TEST_F(Http2, EachTransferHasAConnectionAndIsWhole) {
  expect_bytes(lfs_file(), {0, 1000});  // the location is known
  EXPECT_EQ(server_->line(), "2.0 1");
  std::vector<std::unique_ptr<Fetching>> fetches;
  const auto range = [](std::uint64_t i) { return ByteRange{i * 100'000, i * 100'000 + 90'000}; };
  for (std::uint64_t i = 0; i < kTogether; ++i) {
    fetches.push_back(std::make_unique<Fetching>(client(), lfs_file(), range(i), kAmple,
                                                 hub::Priority::kReadAhead));
  }
  for (std::uint64_t i = 0; i < kTogether; ++i) {
    const auto done = fetches[i]->wait();
    ASSERT_TRUE(done) << done.error().context;
    EXPECT_EQ(fetches[i]->bytes(), weights_.substr(range(i).begin, range(i).size()));
  }
  std::set<std::string> connections;
  for (std::size_t i = 0; i < kTogether; ++i) connections.insert(server_->line());
  EXPECT_EQ(connections, (std::set<std::string>{"2.0 1", "2.0 2", "2.0 3", "2.0 4"}));
}

}  // namespace
}  // namespace hubvfs
