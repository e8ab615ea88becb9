// SPDX-License-Identifier: Apache-2.0
#include "fs/killed_caller.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <string>

#include "base/text.h"
#include "base/unique_fd.h"

namespace hubvfs::fs {

bool tells_of_a_kill(std::string_view status) {
  constexpr std::string_view kPending = "\nSigPnd:\t";
  constexpr std::size_t kDigits = 16;
  const std::size_t at = status.find(kPending);
  if (at == std::string_view::npos) return false;
  const std::string_view mask = status.substr(at + kPending.size(), kDigits);
  if (mask.size() != kDigits || !is_lower_hex(mask)) return false;
  std::uint64_t signals = 0;
  for (const char digit : mask) signals = signals << 4 | hex_digit(digit);
  return (signals >> (SIGKILL - 1) & 1) != 0;
}

bool is_being_killed(pid_t thread) {
  if (thread <= 0) return false;
  const std::string path = "/proc/" + std::to_string(thread) + "/status";
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  std::array<char, 4096> text{};
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  return size > 0 && tells_of_a_kill({text.data(), static_cast<std::size_t>(size)});
}

}  // namespace hubvfs::fs
