// SPDX-License-Identifier: Apache-2.0
#include "hub/server/hash_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "base/digest.h"
#include "base/text.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kChecksumDigits = 16;
constexpr std::size_t kUnusedWorthDropping = 10'000;

std::string checksum(std::string_view text) {
  return sha256_hex(as_bytes(text)).substr(0, kChecksumDigits);
}

// Decimal with an optional '-': times before 1970 exist.
std::optional<std::int64_t> parse_signed(std::string_view text) {
  const bool negative = text.starts_with('-');
  const auto value = parse_decimal(negative ? text.substr(1) : text);
  if (!value || *value > static_cast<std::uint64_t>(INT64_MAX)) return {};
  return negative ? -static_cast<std::int64_t>(*value) : static_cast<std::int64_t>(*value);
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

Result<std::string> read_all(int fd) {
  std::string text;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "read");
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace

Result<std::unique_ptr<HashCache>> HashCache::open(const std::string& directory, Logger& log) {
  std::unique_ptr<HashCache> cache(new HashCache(directory, log));
  if (directory.empty()) return cache;
  if (::mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return system_error(errno, "state folder " + escape_for_log(directory));
  }
  if (auto loaded = cache->load(); !loaded) return loaded.error();
  return cache;
}

std::string HashCache::line_of(const Key& key, const std::string& hex) {
  const FileIdentity& file = key.file;
  std::string line = std::to_string(file.device) + " " + std::to_string(file.inode) + " " +
                     std::to_string(file.size) + " " + std::to_string(file.mtime_ns) + " " +
                     std::to_string(file.ctime_ns) + " " + hex;
  line += " " + checksum(line) + "\n";
  return line;
}

bool HashCache::parse_line(std::string_view line, Hashes& into) {
  const std::size_t end = line.rfind(' ');
  if (end == std::string_view::npos || checksum(line.substr(0, end)) != line.substr(end + 1)) {
    return false;
  }
  const auto fields = split(line.substr(0, end), ' ');
  if (fields.size() != 6 || !is_lower_hex(fields[5])) return false;
  const auto device = parse_decimal(fields[0]);
  const auto inode = parse_decimal(fields[1]);
  const auto size = parse_decimal(fields[2]);
  const auto mtime = parse_signed(fields[3]);
  const auto ctime = parse_signed(fields[4]);
  const std::size_t digits = fields[5].size();
  if (!device || !inode || !size || !mtime || !ctime || (digits != 40 && digits != 64)) {
    return false;
  }
  const auto algorithm =
      digits == 64 ? ContentId::Algorithm::kSha256 : ContentId::Algorithm::kGitSha1;
  into[{{*device, *inode, *size, *mtime, *ctime}, algorithm}].hex = fields[5];
  return true;
}

Result<void> HashCache::load() {
  const std::string path = directory_ + "/hashes";
  file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                     S_IRUSR | S_IWUSR));
  if (!file_) return system_error(errno, escape_for_log(path));
  const auto text = read_all(file_.get());
  if (!text) return text.error().within(escape_for_log(path));
  Hashes hashes;
  std::size_t damaged = 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos || !parse_line(rest.substr(0, end), hashes)) ++damaged;
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  if (damaged > 0) {
    log_.warning("serve: " + std::to_string(damaged) + " damaged lines dropped from " +
                 escape_for_log(path) + "; these files are hashed again");
    if (auto written = rewrite(hashes); !written) return written;
  }
  const MutexLock lock(mutex_);
  hashes_ = std::move(hashes);
  return {};
}

Result<void> HashCache::rewrite(const Hashes& hashes) {
  std::string text;
  for (const auto& [key, known] : hashes) text += line_of(key, known.hex);
  const std::string path = directory_ + "/hashes";
  const std::string fresh = path + ".new";
  UniqueFd fd(::open(fresh.c_str(),
                     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                     S_IRUSR | S_IWUSR));
  if (!fd) return system_error(errno, escape_for_log(fresh));
  if (!write_all(fd.get(), text) || ::fdatasync(fd.get()) != 0 ||
      ::rename(fresh.c_str(), path.c_str()) != 0) {
    return system_error(errno, escape_for_log(fresh));
  }
  file_ = std::move(fd);
  return {};
}

std::string HashCache::find(const FileIdentity& file, ContentId::Algorithm algorithm) const {
  const MutexLock lock(mutex_);
  const auto found = hashes_.find({file, algorithm});
  if (found == hashes_.end()) return "";
  found->second.used = true;
  return found->second.hex;
}

void HashCache::add(const FileIdentity& file, ContentId::Algorithm algorithm,
                    const std::string& hex) {
  const Key key{file, algorithm};
  {
    const MutexLock lock(mutex_);
    hashes_[key] = {hex, true};
  }
  if (file_ && !write_all(file_.get(), line_of(key, hex))) {
    log_.warning("serve: cannot keep a hash in " + escape_for_log(directory_) +
                 "; it is computed again at the next start");
  }
}

void HashCache::compact() {
  if (!file_) return;
  Hashes used;
  {
    const MutexLock lock(mutex_);
    const auto count = static_cast<std::size_t>(std::count_if(
        hashes_.begin(), hashes_.end(), [](const auto& entry) { return entry.second.used; }));
    if (hashes_.size() - count < std::max(kUnusedWorthDropping, count)) return;
    for (const auto& entry : hashes_) {
      if (entry.second.used) used.insert(entry);
    }
    hashes_ = used;
  }
  if (auto written = rewrite(used); !written) {
    log_.warning("serve: " + written.error().context);
  }
}

}  // namespace hubvfs::hub::server
