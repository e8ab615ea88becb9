// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace hubvfs {

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
  // Ends it. What it had printed and nobody has read.
  std::string end() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    wait();
    std::string text;
    for (char c = 0; ::read(out_.get(), &c, 1) == 1;) text += c;
    return text;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd out_;
};

// A self-signed certificate and its key, made by the openssl command as PATH.crt and PATH.key.
// False where there is no such command. `names`: "IP:127.0.0.1,DNS:hub.example.org".
inline bool make_certificate(const std::string& path, const std::string& names) {
  Child made({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
              "-nodes", "-days", "2", "-subj", "/CN=hubvfs test", "-addext",
              "subjectAltName=" + names, "-keyout", path + ".key", "-out", path + ".crt"});
  return made.started() && made.wait() == 0;
}

}  // namespace hubvfs
