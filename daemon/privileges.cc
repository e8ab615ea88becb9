// SPDX-License-Identifier: Apache-2.0
#include "daemon/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace hubvfs::daemon {
namespace {

constexpr std::array kPassed = {
    std::string_view("HOME"),
    std::string_view("PATH"),
    std::string_view("USER"),
    std::string_view("LOGNAME"),
    std::string_view("LANG"),
    std::string_view("TZ"),
    std::string_view("TMPDIR"),
    std::string_view("XDG_CACHE_HOME"),
    std::string_view("XDG_STATE_HOME"),
    std::string_view("XDG_CONFIG_HOME"),
    std::string_view("HF_HOME"),
    std::string_view("HF_TOKEN_PATH"),
    std::string_view("HF_HUB_DISABLE_IMPLICIT_TOKEN"),
    std::string_view("http_proxy"),
    std::string_view("https_proxy"),
    std::string_view("HTTPS_PROXY"),
    std::string_view("all_proxy"),
    std::string_view("ALL_PROXY"),
    std::string_view("no_proxy"),
    std::string_view("NO_PROXY"),
    std::string_view("SSL_CERT_FILE"),
    std::string_view("SSL_CERT_DIR"),
    std::string_view("ASAN_OPTIONS"),
    std::string_view("UBSAN_OPTIONS"),
    std::string_view("TSAN_OPTIONS"),
};

using CapabilityWords = std::array<__user_cap_data_struct, 2>;

__user_cap_header_struct capability_header() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  return header;
}

}  // namespace

void seal_process() {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

bool drop_privileges() {
  const bool root = ::geteuid() == 0;
  bool done = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  // A container may lack CAP_SETGID or CAP_SETPCAP; then there is nothing to be given up by these.
  if (root && ::setgroups(0, nullptr) < 0 && errno != EPERM) done = false;
  for (unsigned long c = 0; root && ::prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; ++c) {
    if (::prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EPERM) done = false;
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  auto header = capability_header();
  const CapabilityWords none{};
  // With no_new_privs no later exec, not even root's, gives back what is missing here.
  return ::syscall(SYS_capset, &header, none.data()) == 0 && done;
}

WorkersRights::WorkersRights() {
  auto header = capability_header();
  CapabilityWords words{};
  if (::syscall(SYS_capget, &header, words.data()) != 0) return;
  for (auto& word : words) word.effective = 0;
  changed_ = ::syscall(SYS_capset, &header, words.data()) == 0;
}

WorkersRights::~WorkersRights() {
  if (!changed_) return;
  auto header = capability_header();
  CapabilityWords words{};
  if (::syscall(SYS_capget, &header, words.data()) != 0) return;
  for (auto& word : words) word.effective = word.permitted;
  ::syscall(SYS_capset, &header, words.data());
}

Result<void> check_unprivileged() {
  auto header = capability_header();
  CapabilityWords words{};
  if (::syscall(SYS_capget, &header, words.data()) < 0) {
    return system_error(errno, "reading this process's capabilities");
  }
  const bool some = std::any_of(words.begin(), words.end(), [](const auto& word) {
    return word.effective != 0 || word.permitted != 0 || word.inheritable != 0;
  });
  if (some || ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
    return {ErrorCode::kPermissionDenied,
            "the worker still has privileges; it is started by `hubvfs mount` only"};
  }
  return {};
}

std::vector<std::string> worker_environment(const char* const* environment) {
  std::vector<std::string> passed;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    const std::string_view name = entry.substr(0, entry.find('='));
    if (std::find(kPassed.begin(), kPassed.end(), name) != kPassed.end()) {
      passed.emplace_back(entry);
    }
  }
  return passed;
}

}  // namespace hubvfs::daemon
