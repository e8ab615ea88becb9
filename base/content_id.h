// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace hubvfs {

// What a blob is: the hash the Hub names it by, and its exact size. The same content has the same
// id whatever repo, revision or path it is seen at (hub-protocol D.6).
class ContentId {
 public:
  enum class Algorithm : std::uint8_t {
    kSha256 = 1,   // LFS files: SHA-256 of the content
    kGitSha1 = 2,  // regular files: SHA-1 of "blob SIZE\0" and the content
  };

  ContentId() = default;
  // `hex`: 64 (kSha256) or 40 (kGitSha1) lower-case hex digits, else kInvalidArgument. So the
  // masked ids of gated listings ("****") never become a key.
  static Result<ContentId> create(Algorithm algorithm, std::string_view hex, std::uint64_t size);

  // The same from the raw hash: 32 or 20 bytes, else kInvalidArgument.
  static Result<ContentId> from_hash(Algorithm algorithm, ByteView hash, std::uint64_t size);

  Algorithm algorithm() const { return algorithm_; }
  std::uint64_t size() const { return size_; }
  std::string hex() const;
  // "sha256:HEX" or "git-sha1:HEX": the form in xattrs, log lines and file names' origin.
  std::string to_string() const;
  // Raw hash, 32 or 20 bytes used.
  const std::array<std::uint8_t, 32>& hash() const { return hash_; }
  std::size_t hash_size() const { return algorithm_ == Algorithm::kSha256 ? 32 : 20; }

  auto operator<=>(const ContentId&) const = default;

 private:
  Algorithm algorithm_ = Algorithm::kSha256;
  std::array<std::uint8_t, 32> hash_{};
  std::uint64_t size_ = 0;
};

}  // namespace hubvfs

template <>
struct std::hash<hubvfs::ContentId> {
  std::size_t operator()(const hubvfs::ContentId& id) const noexcept {
    std::size_t h = 0;
    for (std::size_t i = 0; i < sizeof h; ++i) h = h << 8 | id.hash()[i];
    return h ^ id.size();
  }
};
