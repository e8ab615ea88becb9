// SPDX-License-Identifier: Apache-2.0
#include "cache/lmdb_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/blocking.h"
#include "cache/lmdb_handles.h"

namespace hubvfs::cache {
namespace {

enum class Verdict : char { kSound = 's', kNoDatabase = 'n', kUnreadable = 'u', kChecksum = 'c' };

// What can be checked of the pages without LMDB's own knowledge of them.
//
// Each page begins with its own number, so that a pointer into the map tells which page it is in,
// and where the map must begin; and a page cannot be free and in use.
class Pages {
 public:
  Pages(std::uint64_t count, std::uint64_t page_size) : free_(count), page_size_(page_size) {}

  std::uint64_t free_count() const { return free_count_; }

  // One record of the free list: a count, then page numbers, falling.
  bool take_free(const MDB_val& list) {
    std::vector<std::uint64_t> words(list.mv_size / 8);
    if (words.empty() || list.mv_size % 8 != 0) return false;
    std::memcpy(words.data(), list.mv_data, list.mv_size);
    if (words[0] != words.size() - 1) return false;
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (words[i] < 2 || words[i] >= free_.size() || free_[words[i]]) return false;
      if (i > 1 && words[i] >= words[i - 1]) return false;
      free_[words[i]] = true;
      ++free_count_;
    }
    return true;
  }

  bool is_in_use(const MDB_val& key) {
    const auto address = reinterpret_cast<std::uintptr_t>(key.mv_data) / page_size_ * page_size_;
    if (address == last_) return true;
    last_ = address;
    std::uint64_t number = 0;
    std::memcpy(&number, reinterpret_cast<const void*>(address), sizeof number);
    if (number < 2 || number >= free_.size() || free_[number]) return false;
    const std::uintptr_t base = address - number * page_size_;
    if (base_ == 0) base_ = base;
    return base == base_;
  }

 private:
  std::vector<bool> free_;
  std::uint64_t free_count_ = 0;
  const std::uint64_t page_size_;
  std::uintptr_t base_ = 0;
  std::uintptr_t last_ = 0;
};

std::uint64_t pages_of(const MDB_stat& stat) {
  return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

// Calls visit(key, value) for each record. False: it did, or the tree cannot be walked.
template <typename Visit>
bool walk_tree(MDB_txn* txn, MDB_dbi tree, Visit&& visit) {
  MDB_cursor* raw_cursor = nullptr;
  if (mdb_cursor_open(txn, tree, &raw_cursor) != 0) return false;
  const lmdb::Cursor cursor(raw_cursor);
  MDB_val key{};
  MDB_val value{};
  int rc = mdb_cursor_get(raw_cursor, &key, &value, MDB_FIRST);
  for (; rc == 0; rc = mdb_cursor_get(raw_cursor, &key, &value, MDB_NEXT)) {
    if (!visit(key, value)) return false;
  }
  return rc == MDB_NOTFOUND;
}

Verdict check_trees(MDB_txn* txn, MDB_dbi records, std::uint64_t page_count) {
  constexpr MDB_dbi kFreeList = 0;
  MDB_stat used{};
  MDB_stat list{};
  if (mdb_stat(txn, records, &used) != 0 || mdb_stat(txn, kFreeList, &list) != 0) {
    return Verdict::kUnreadable;
  }
  if (page_count > (1ull << 40) || used.ms_psize < 512) return Verdict::kUnreadable;
  Pages pages(page_count, used.ms_psize);
  std::size_t seen = 0;
  const bool list_right = walk_tree(txn, kFreeList, [&](const MDB_val&, const MDB_val& value) {
    return ++seen <= list.ms_entries && pages.take_free(value);
  });
  if (!list_right || seen != list.ms_entries) return Verdict::kUnreadable;
  if (2 + pages_of(used) + pages_of(list) + pages.free_count() > page_count) {
    return Verdict::kUnreadable;
  }
  seen = 0;
  std::string last;
  Verdict verdict = Verdict::kUnreadable;
  const bool right = walk_tree(txn, records, [&](const MDB_val& key, const MDB_val& value) {
    const std::string_view name = lmdb::to_text(key);
    if (!pages.is_in_use(key) || (seen > 0 && name <= last)) return false;
    if (!lmdb::unseal(name, lmdb::to_text(value))) {
      verdict = Verdict::kChecksum;
      return false;
    }
    last = name;
    return ++seen <= used.ms_entries;
  });
  return right && seen == used.ms_entries ? Verdict::kSound : verdict;
}

Verdict walk(const char* path) {
  MDB_env* raw_env = nullptr;
  if (mdb_env_create(&raw_env) != 0) return Verdict::kUnreadable;
  const lmdb::Env env(raw_env);
  // NOLOCK: nobody else has it open, and the reader table may be what is damaged.
  const int opened = mdb_env_open(raw_env, path, MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600);
  if (opened == ENOENT) return Verdict::kNoDatabase;
  if (opened != 0) return Verdict::kUnreadable;
  MDB_envinfo info{};
  if (mdb_env_info(raw_env, &info) != 0) return Verdict::kUnreadable;
  MDB_txn* raw_txn = nullptr;
  if (mdb_txn_begin(raw_env, nullptr, MDB_RDONLY, &raw_txn) != 0) return Verdict::kUnreadable;
  const lmdb::Txn txn(raw_txn);
  MDB_dbi records = 0;
  if (mdb_dbi_open(raw_txn, nullptr, 0, &records) != 0) return Verdict::kUnreadable;
  return check_trees(raw_txn, records, info.me_last_pgno + 1);
}

// Closes all but the standard ones and these two: the cache's lock, sockets and /dev/fuse are not
// the child's to hold.
void close_others(int one, int other) {
  if (std::min(one, other) < 3)
    return;  // standard descriptors were closed: nothing is safe to close
  const auto low = static_cast<unsigned>(std::min(one, other));
  const auto high = static_cast<unsigned>(std::max(one, other));
  const auto close_from_to = [](unsigned first, unsigned last) {
    if (first <= last) ::syscall(SYS_close_range, first, last, 0u);
  };
  close_from_to(3, low - 1);
  close_from_to(low + 1, high - 1);
  close_from_to(high + 1, ~0u);
}

// The child: whatever handlers the parent installed, a fault here must end it, quietly.
[[noreturn]] void run_child(int index, int report, unsigned limit, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  close_others(index, report);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM, SIGTERM}) {
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) ::dup2(null, STDERR_FILENO);
  ::alarm(limit);
  const std::string path = "/proc/self/fd/" + std::to_string(index);
  const char verdict = static_cast<char>(walk(path.c_str()));
  const bool told = ::write(report, &verdict, 1) == 1;
  ::_exit(told ? 0 : 1);
}

std::string why_not(char verdict, int status) {
  if (verdict == static_cast<char>(Verdict::kChecksum)) return "a record with a wrong checksum";
  if (verdict == static_cast<char>(Verdict::kUnreadable)) return "it cannot be read";
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return "reading it took too long";
  if (WIFSIGNALED(status)) return "reading it ends in signal " + std::to_string(WTERMSIG(status));
  return "reading it failed";
}

}  // namespace

bool probe_index(const Directory& index, std::chrono::seconds limit, std::string& why) {
  assert_may_block("the index probe");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    why = system_error(errno, "pipe").context;
    return false;
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    why = system_error(errno, "fork").context;
    return false;
  }
  if (child == 0) {
    run_child(index.fd(), theirs.get(), static_cast<unsigned>(limit.count()), self);
  }
  theirs.reset();

  // The report comes by the pipe: the exit status may have been taken by whoever handles SIGCHLD.
  char verdict = 0;
  ssize_t got = 0;
  do {
    got = ::read(ours.get(), &verdict, 1);
  } while (got < 0 && errno == EINTR);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (got == 1 && (verdict == static_cast<char>(Verdict::kSound) ||
                   verdict == static_cast<char>(Verdict::kNoDatabase))) {
    return true;
  }
  why = why_not(got == 1 ? verdict : 0, status);
  return false;
}

}  // namespace hubvfs::cache
