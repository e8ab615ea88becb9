// SPDX-License-Identifier: Apache-2.0
// Certificates are checked: against `openssl s_server`, with certificates made here.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/unique_fd.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

// A program that runs until this object ends. Its standard output can be read line by line.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command) {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) std::abort();
    out_.reset(fds[0]);
    const UniqueFd theirs(fds[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, theirs.get(), 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    if (::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) {
      pid_ = -1;
    }
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Child() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    wait();
  }
  bool started() const { return pid_ > 0; }
  int wait() {
    int status = -1;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  std::string line() {
    std::string text;
    char c = 0;
    while (::read(out_.get(), &c, 1) == 1 && c != '\n') text += c;
    return text;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd out_;
};

class Tls : public FaultyHub {
 protected:
  void SetUp() override {
    if (!make_certificate("good", "IP:127.0.0.1")) GTEST_SKIP() << "no openssl command";
  }
  void TearDown() override {
    ::unsetenv("SSL_CERT_FILE");
    FaultyHub::TearDown();
  }
  bool make_certificate(const std::string& name, const std::string& alternative) {
    Child made({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "2", "-subj", "/CN=" + name, "-addext",
                "subjectAltName=" + alternative, "-keyout", dir_ / (name + ".key"), "-out",
                dir_ / (name + ".crt")});
    return made.started() && made.wait() == 0;
  }
  // What repo_info ends with against a TLS server that answers everything with a page of HTML.
  Error ask(const std::string& certificate, const std::string& trusted,
            const std::vector<std::string>& more = {}) {
    std::vector<std::string> command = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-www",
                                        "-cert", dir_ / (certificate + ".crt"),
                                        "-key", dir_ / (certificate + ".key")};
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
  EXPECT_NE(error.context.find("certificate"), std::string::npos) << error.context;
  EXPECT_EQ(client().stats().requests, 1u);  // asking again would not help
}

TEST_F(Tls, ACertificateOfAnotherHostIsRefused) {
  ASSERT_TRUE(make_certificate("other", "DNS:hub.example.org,IP:127.0.0.9"));
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
