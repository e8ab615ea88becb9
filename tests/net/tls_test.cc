// SPDX-License-Identifier: Apache-2.0
// Certificates are checked: against `openssl s_server`, with certificates made here.
#include <cstdlib>

#include "tests/net/child.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

class Tls : public FaultyHub {
 protected:
  void SetUp() override {
    if (!make_certificate(dir_ / "good", "IP:127.0.0.1")) GTEST_SKIP() << "no openssl command";
  }
  void TearDown() override {
    ::unsetenv("SSL_CERT_FILE");
    FaultyHub::TearDown();
  }
  // What repo_info ends with against a TLS server that answers everything with a page of HTML.
  Error ask(const std::string& certificate, const std::string& trusted,
            const std::vector<std::string>& more = {}) {
    std::vector<std::string> command = {"openssl",
                                        "s_server",
                                        "-accept",
                                        "127.0.0.1:0",
                                        "-www",
                                        "-cert",
                                        dir_ / (certificate + ".crt"),
                                        "-key",
                                        dir_ / (certificate + ".key")};
    command.insert(command.end(), more.begin(), more.end());
    Child server(command);
    std::string line;
    do {
      line = server.line();
    } while (!line.empty() && !line.starts_with("ACCEPT "));
    EXPECT_NE(line, "");
    if (!trusted.empty()) ::setenv("SSL_CERT_FILE", (dir_ / (trusted + ".crt")).c_str(), 1);
    hub::HubClientOptions options;
    options.endpoint = "https://127.0.0.1:" + line.substr(line.rfind(':') + 1);
    make_client(options);
    const auto info = info_of(client(), kRepo, "", std::chrono::milliseconds(2500));
    return info ? Error{ErrorCode::kInternal, "it was taken"} : info.error();
  }
  TempDir dir_;
};

TEST_F(Tls, ATrustedServerIsHeard) {
  const Error error = ask("good", "good");
  EXPECT_EQ(error.code, ErrorCode::kBadAnswer) << error.context;  // the page is no JSON
  EXPECT_NE(error.context.find("JSON"), std::string::npos) << error.context;
}

TEST_F(Tls, AnUnknownIssuerIsRefused) {
  const Error error = ask("good", "");
  EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error.context;
  EXPECT_NE(error.context.find("TLS with https://127.0.0.1"), std::string::npos) << error.context;
  EXPECT_NE(error.context.find("SSL_CERT_FILE"), std::string::npos) << error.context;
  EXPECT_EQ(client().stats().requests, 1u);  // asking again would not help
}

TEST_F(Tls, AFileOfCasThatCannotBeReadIsNamed) {
  ::setenv("SSL_CERT_FILE", (dir_ / "none.crt").c_str(), 1);
  const Error error = ask("good", "");
  EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error.context;
  EXPECT_NE(error.context.find("none.crt"), std::string::npos) << error.context;
  EXPECT_EQ(client().stats().requests, 1u);
}

TEST_F(Tls, ACertificateOfAnotherHostIsRefused) {
  ASSERT_TRUE(make_certificate(dir_ / "other", "DNS:hub.example.org,IP:127.0.0.9"));
  const Error error = ask("other", "other");
  EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error.context;
  EXPECT_NE(error.context.find("SSL"), std::string::npos) << error.context;
}

TEST_F(Tls, OldVersionsAreRefused) {
  const Error error = ask("good", "good", {"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"});
  EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error.context;
}

}  // namespace
}  // namespace hubvfs
