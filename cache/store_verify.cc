// SPDX-License-Identifier: Apache-2.0
#include "cache/store_verify.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {

using EntryPtr = std::shared_ptr<BlobEntry>;
constexpr std::size_t kMaxProblems = 1000;

class StoreVerify {
 public:
  StoreVerify(StoreContext& context, BlockReader& reader, const BlockReader::OnDamage& on_lost,
              const BlobStore::VerifyProgress& progress)
      : context_(context), reader_(reader), on_lost_(on_lost), progress_(progress) {}

  Result<VerifyReport> run() {
    const auto entries = context_.table.snapshot();
    for (const EntryPtr& entry : entries) total_ += entry->info().bytes;
    for (const EntryPtr& entry : entries) {
      if (auto looked = look_at(entry); !looked) return looked.error();
    }
    return std::move(report_);
  }

 private:
  Result<void> look_at(const EntryPtr& entry) {
    const std::vector<std::uint64_t> blocks = entry->blocks_on_disk();
    if (blocks.empty()) return {};
    ++report_.blobs;
    const std::uint64_t generation = entry->generation();
    const std::uint64_t bad_before = report_.bad_blocks;
    Digest digest = Digest::for_content(entry->key().content);
    std::uint64_t next = 0;  // everything before it was hashed
    for (const std::uint64_t block : blocks) {
      buffer_.resize(entry->length(block));
      if (look_at(entry, block) && block == next) {
        digest.update(buffer_);
        ++next;
      }
      if (progress_ && !progress_(report_.bytes, total_)) {
        return {ErrorCode::kCancelled, "stopped before everything was looked at"};
      }
    }
    const bool whole = next == entry->block_count() && report_.bad_blocks == bad_before;
    if (whole) judge(entry, generation, digest.finish_hex());
    return {};
  }

  // Whether buffer_ has the block now.
  bool look_at(const EntryPtr& entry, std::uint64_t block) {
    BlobEntry::Found found;
    auto read = reader_.examine(*entry, block, buffer_, found);
    if (!read && read.error().code == ErrorCode::kCancelled) return false;  // gone meanwhile
    ++report_.blocks;
    report_.bytes += buffer_.size();
    if (read) return true;
    ++report_.bad_blocks;
    problem(entry, "block " + std::to_string(block) + ": " + read.error().context);
    if (!on_lost_) {
      entry->mark_unchecked(found);
    } else if (entry->drop_block(found)) {
      ++context_.counters.corrupt;
      on_lost_(entry, {block});
    }
    return false;
  }

  void judge(const EntryPtr& entry, std::uint64_t generation, const std::string& found) {
    const ContentId& content = entry->key().content;
    // A block that went and came again may be another endpoint's: the digest is of neither.
    if (found == content.hex() || entry->generation() != generation) return;
    ++report_.bad_blobs;
    problem(entry, wrong_hash(content, found).context);
    if (!on_lost_) return;
    if (auto dropped = entry->drop_all_if(generation)) on_lost_(entry, std::move(*dropped));
  }

  void problem(const EntryPtr& entry, const std::string& what) {
    if (report_.problems.size() >= kMaxProblems) return;
    report_.problems.push_back(entry->key().space + " " + entry->key().content.to_string() + ": " +
                               what);
  }

  StoreContext& context_;
  BlockReader& reader_;
  const BlockReader::OnDamage& on_lost_;
  const BlobStore::VerifyProgress& progress_;
  VerifyReport report_;
  Bytes buffer_;
  std::uint64_t total_ = 0;
};

}  // namespace

Result<VerifyReport> verify_store(StoreContext& context, BlockReader& reader,
                                  const BlockReader::OnDamage& on_lost,
                                  const BlobStore::VerifyProgress& progress) {
  return StoreVerify(context, reader, on_lost, progress).run();
}

}  // namespace hubvfs::cache
