// SPDX-License-Identifier: Apache-2.0
#include "base/content_id.h"

#include <cstring>

#include "base/text.h"

namespace hubvfs {

Result<ContentId> ContentId::create(Algorithm algorithm, std::string_view hex, std::uint64_t size) {
  ContentId id;
  id.algorithm_ = algorithm;
  id.size_ = size;
  if (hex.size() != id.hash_size() * 2 || !is_lower_hex(hex)) {
    return {ErrorCode::kInvalidArgument, "not a content hash: " + escape_for_log(hex)};
  }
  for (std::size_t i = 0; i < id.hash_size(); ++i) {
    id.hash_[i] = static_cast<std::uint8_t>(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
  }
  return id;
}

Result<ContentId> ContentId::from_hash(Algorithm algorithm, ByteView hash, std::uint64_t size) {
  ContentId id;
  id.algorithm_ = algorithm;
  id.size_ = size;
  if (hash.size() != id.hash_size()) return {ErrorCode::kInvalidArgument, "not a content hash"};
  std::memcpy(id.hash_.data(), hash.data(), hash.size());
  return id;
}

std::string ContentId::hex() const { return to_hex({hash_.data(), hash_size()}); }

std::string ContentId::to_string() const {
  return (algorithm_ == Algorithm::kSha256 ? "sha256:" : "git-sha1:") + hex();
}

}  // namespace hubvfs
