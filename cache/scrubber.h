// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cache/block_reader.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// Looks slowly for rot beneath the file system in sealed files: what the kernel reads by itself
// nobody else checks.
//
// A pass goes through all of them in the order of their names, past the page cache where the disk
// can, and begins a month after the one before began. The file "scrub" in the folder of the blobs
// says how far it is, so that restarts neither repeat nor skip much. A block whose checksum is
// wrong is dropped, as by a reader who finds it, and the log is told. For one thread.
class Scrubber {
 public:
  static constexpr std::chrono::hours kEvery{30 * 24};
  static constexpr std::uint64_t kBytesPerSecond = 16u << 20;

  Scrubber(StoreContext& context, const Clock& clock, BlockReader::OnDamage on_damage)
      : context_(context), clock_(clock), on_damage_(std::move(on_damage)) {}

  // Reads what may be read since the last call, of one second at most, and up to a block beyond. To
  // be called a few times a second.
  void step();

 private:
  using EntryPtr = std::shared_ptr<BlobEntry>;
  struct File {
    std::string name;
    std::weak_ptr<BlobEntry> entry;
  };
  struct Free {
    void operator()(std::byte* memory) const;
  };

  void load_progress();
  void save_progress();
  bool begin_or_go_on();
  void list_files();
  void finish_file();
  // False: that was the last one of the file, or it is not sealed any more.
  bool look_at_next_block();
  Result<void> read_block(const std::string& name, std::uint64_t offset, std::uint64_t length);

  StoreContext& context_;
  const Clock& clock_;
  const BlockReader::OnDamage on_damage_;

  bool loaded_ = false;
  UnixSeconds begun_ = 0;  // the last pass
  bool in_pass_ = false;   // it is not done
  std::string at_;         // what it has looked at, up to this name
  bool listed_ = false;
  std::vector<File> files_;  // what it has left, in order
  std::size_t next_ = 0;
  std::uint64_t next_block_ = 0;
  std::int64_t budget_ = 0;  // bytes; below 0: read in advance
  std::optional<TimePoint> last_step_;
  TimePoint saved_at_{};
  std::unique_ptr<std::byte, Free> buffer_;
};

}  // namespace hubvfs::cache
