// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::tiny {

// A tiny_daemon and its mount, in a private folder. Whatever a test leaves, the destructor takes
// away.
class TinyMount {
 public:
  explicit TinyMount(const std::string& behaviour = "serve");
  ~TinyMount();
  TinyMount(const TinyMount&) = delete;
  TinyMount& operator=(const TinyMount&) = delete;

  bool wait_ready();  // false: it ended first
  const std::string& dir() const { return dir_; }
  std::string operator/(const std::string& name) const { return dir_ + "/" + name; }
  pid_t keeper() const { return keeper_; }
  // Where its control socket lies, and room for more mounts beside the first.
  std::string control_folder() const { return temp_ / "cache"; }
  std::string place(const std::string& name) const { return temp_ / name; }
  // Asked through the mount; 0: it does not answer.
  pid_t worker() const;
  void signal(int number) const;
  // Exit status of the keeper, 128 + signal; none: still running after `seconds`.
  std::optional<int> wait_end(int seconds = 20);
  // Standard error of keeper and workers so far.
  std::string log() const;
  bool mounted() const;

 private:
  TempDir temp_;
  std::string dir_;
  pid_t keeper_ = -1;
  UniqueFd out_;
  std::optional<int> status_;
};

// The file's bytes; none: an error, or no answer within `seconds`.
std::optional<std::string> read_through(const std::string& path, int seconds = 20);
bool is_alive(pid_t pid);
bool can_mount();  // root and /dev/fuse: else the test is skipped

bool eventually(const std::function<bool()>& condition);  // false: not within 20 s

// A process that opens a file, says so, reads it `rounds` times and compares every byte.
class Reader {
 public:
  explicit Reader(const std::string& path, int rounds = 1);  // returns when the file is open
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  // -1: still reading; 0: every byte was right; 2: open failed; 3: a read failed or ended early;
  // 4: a wrong byte.
  int poll();

 private:
  pid_t pid_ = 0;
  int status_ = -1;
};

}  // namespace hubvfs::tiny
