// SPDX-License-Identifier: Apache-2.0
// Blobs for tests of the cache: content, its id, its blocks.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/content_id.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "cache/names.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {

inline constexpr std::uint64_t kTestBlock = 256u << 10;
inline constexpr const char* kEndpoint = "https://hub.example";
inline constexpr const char* kOtherEndpoint = "https://mirror.example";

// Content of a blob and the key it has in truth.
struct TestBlob {
  std::string content;
  BlobKey key;

  std::uint64_t blocks() const { return block_count(content.size(), kTestBlock); }
  std::shared_ptr<const Bytes> block(std::uint64_t number) const {
    const ByteView all = as_bytes(content);
    const std::uint64_t length = block_length(content.size(), kTestBlock, number);
    const ByteView part = all.subspan(number * kTestBlock, length);
    return std::make_shared<const Bytes>(part.begin(), part.end());
  }
};

inline ContentId sha256_id(const std::string& content) {
  return *ContentId::create(ContentId::Algorithm::kSha256, sha256_hex(as_bytes(content)),
                            content.size());
}

inline TestBlob make_blob(std::size_t size, unsigned seed, const Namespace& space = "public") {
  std::string content = random_bytes(size, seed);
  const ContentId id = sha256_id(content);
  return {std::move(content), {space, id}};
}

// A blob whose content does not have the hash it goes by.
inline TestBlob make_wrong_blob(std::size_t size, unsigned seed) {
  TestBlob blob = make_blob(size, seed);
  blob.content = random_bytes(size, seed + 1000);
  return blob;
}

inline void put_all(Blob& blob, const TestBlob& source) {
  for (std::uint64_t i = 0; i < source.blocks(); ++i) blob.put(i, source.block(i));
}

// Reads [offset, offset + size) as text; the error's name where that fails.
inline std::string read_text(Blob& blob, std::uint64_t offset, std::size_t size) {
  Bytes bytes(size);
  auto read = blob.read(offset, bytes);
  if (!read) return std::string("<") + to_string(read.error().code) + ">";
  return std::string(as_text(bytes));
}
inline std::string read_text(Blob& blob) { return read_text(blob, 0, blob.key().content.size()); }

// Long texts as their size and hash: a failed comparison is to be read by people.
inline std::string brief(const std::string& text) {
  if (text.size() <= 64) return text;
  return std::to_string(text.size()) + " bytes, sha256 " + sha256_hex(as_bytes(text));
}

// Keeps what was logged. Thread-safe.
class RecordingLogger final : public Logger {
 public:
  void write(LogLevel, std::string_view line) override {
    MutexLock lock(mutex_);
    text_.append(line).append("\n");
  }
  std::string text() const {
    MutexLock lock(mutex_);
    return text_;
  }

 private:
  mutable Mutex mutex_;  // Lock rank: leaf.
  std::string text_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::cache
