// SPDX-License-Identifier: Apache-2.0
// Small rules that every store of this folder shares: what a namespace, a key and a block are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/content_id.h"
#include "base/result.h"
#include "cache/blob_store.h"

namespace hubvfs::cache {

// "public", or "u" and 1 to 10 digits: safe as a folder's name.
bool is_namespace(std::string_view text);

// kInvalidArgument: no namespace, or a key that is not 1 to 4096 bytes long.
Result<void> check_meta_key(const Namespace& space, std::string_view key);

std::uint64_t block_count(std::uint64_t blob_size, std::uint64_t block_size);
// Bytes of one block of a blob; 0 past its end.
std::uint64_t block_length(std::uint64_t blob_size, std::uint64_t block_size, std::uint64_t block);
bool is_whole_block(const ContentId& content, std::uint64_t block_size, std::uint64_t block,
                    const std::shared_ptr<const Bytes>& bytes);
bool lies_within(std::uint64_t offset, std::size_t size, std::uint64_t blob_size);

// kCorrupt with both hashes.
Error wrong_hash(const ContentId& expected, const std::string& found_hex);

}  // namespace hubvfs::cache
