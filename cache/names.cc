// SPDX-License-Identifier: Apache-2.0
#include "cache/names.h"

#include <algorithm>

#include "base/text.h"

namespace hubvfs::cache {

bool is_namespace(std::string_view text) {
  if (text == "public") return true;
  if (text.size() < 2 || text.size() > 11 || text.front() != 'u') return false;
  return std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<void> check_meta_key(const Namespace& space, std::string_view key) {
  if (!is_namespace(space)) {
    return {ErrorCode::kInvalidArgument, "no namespace: " + escape_for_log(space)};
  }
  if (key.empty() || key.size() > 4096) {
    return {ErrorCode::kInvalidArgument,
            "a metadata key has 1 to 4096 bytes, not " + std::to_string(key.size())};
  }
  return {};
}

std::uint64_t block_count(std::uint64_t blob_size, std::uint64_t block_size) {
  return blob_size / block_size + (blob_size % block_size != 0 ? 1 : 0);
}

std::uint64_t block_length(std::uint64_t blob_size, std::uint64_t block_size, std::uint64_t block) {
  if (block >= block_count(blob_size, block_size)) return 0;
  return std::min(block_size, blob_size - block * block_size);
}

bool is_whole_block(const ContentId& content, std::uint64_t block_size, std::uint64_t block,
                    const std::shared_ptr<const Bytes>& bytes) {
  const std::uint64_t length = block_length(content.size(), block_size, block);
  return bytes != nullptr && length != 0 && bytes->size() == length;
}

bool lies_within(std::uint64_t offset, std::size_t size, std::uint64_t blob_size) {
  return offset <= blob_size && size <= blob_size - offset;
}

Error wrong_hash(const ContentId& expected, const std::string& found_hex) {
  const char* prefix =
      expected.algorithm() == ContentId::Algorithm::kSha256 ? "sha256:" : "git-sha1:";
  return {ErrorCode::kCorrupt, "content does not match its hash: expected " + expected.to_string() +
                                   ", found " + prefix + found_hex};
}

}  // namespace hubvfs::cache
