// SPDX-License-Identifier: Apache-2.0
#include "cache/block_puncher.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "cache/index_records.h"
#include "cache/sidecar.h"

namespace hubvfs::cache {

void BlockPuncher::put_off(Drops& drops) {
  const auto is_open = [&](const auto& drop) { return context_.in_use(*drop.first); };
  const auto open = std::stable_partition(drops.begin(), drops.end(),
                                          [&](const auto& drop) { return !is_open(drop); });
  open_.insert(open_.end(), std::make_move_iterator(open), std::make_move_iterator(drops.end()));
  drops.erase(open, drops.end());
}

std::uint64_t BlockPuncher::punch(Drops drops) {
  put_off(drops);
  for (auto& [entry, blocks] : drops) blocks = entry->still_dropped(blocks);
  const bool any = std::any_of(drops.begin(), drops.end(), [](const auto& drop) {
    return !drop.first->small() && !drop.second.empty();
  });
  // If the index refuses, the holes are punched all the same: a record without its block is found
  // out by the checksum, a disk that stays full is not helped by anything else.
  if (any) (void)committer_.erase_now(drops).has_value();
  std::uint64_t freed = 0;
  for (const auto& [entry, blocks] : drops) {
    if (!blocks.empty()) punch(entry, blocks);
    const std::uint64_t bytes = entry->punched(blocks);
    context_.quota.give_back(bytes);
    freed += bytes;
    retire_if_idle(entry);
  }
  return freed;
}

std::uint64_t BlockPuncher::punch_closed() {
  return open_.empty() ? 0 : punch(std::exchange(open_, {}));
}

void BlockPuncher::punch_unindexed(const EntryPtr& entry, std::uint64_t block) {
  punch(entry, {block});
}

void BlockPuncher::punch(const EntryPtr& entry, const Blocks& blocks) {
  if (entry->small()) {
    if (auto dropped = context_.small.drop(entry->key()); !dropped) {
      context_.disk.failed(dropped.error());
    }
    return;
  }
  if (context_.whole_blobs && !entry->has_blocks()) return remove_files(entry);
  const std::string map = blob_file_name(entry->key()) + std::string(kSidecarSuffix);
  if (auto fd = context_.blobs.open_file(map, O_RDWR); fd) {
    if (auto cleared = clear_sidecar(fd->get(), blocks); !cleared) {
      context_.disk.failed(cleared.error());
    }
  }
  if (!context_.whole_blobs) punch_file(entry, blocks);
}

void BlockPuncher::punch_file(const EntryPtr& entry, const Blocks& blocks) {
  auto file = context_.files.open_to_write(entry->number(), blob_file_name(entry->key()));
  if (!file) return;
  for (std::size_t i = 0; i < blocks.size();) {
    const std::uint64_t first = blocks[i];
    std::uint64_t count = 0;
    while (i < blocks.size() && blocks[i] == first + count) ++i, ++count;
    const auto offset = static_cast<off_t>(first * context_.block_size);
    const auto length = static_cast<off_t>(count * context_.block_size);
    if (::fallocate((*file)->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) ==
        0) {
      continue;
    }
    context_.disk.failed(system_error(errno, "punching a hole"));
    return;
  }
}

void BlockPuncher::retire_if_idle(const EntryPtr& entry) {
  if (!entry->idle() || !context_.table.retire(*entry)) return;
  if (!entry->on_disk()) return;
  committer_.retired(entry->key());
  remove_files(entry);
}

void BlockPuncher::remove_files(const EntryPtr& entry) {
  const std::string name = blob_file_name(entry->key());
  entry->set_on_disk(false);
  context_.files.forget(entry->number());
  for (const std::string& file : {name, name + std::string(kSidecarSuffix)}) {
    if (auto removed = context_.blobs.remove_file(file); !removed) {
      context_.disk.failed(removed.error());
    }
  }
}

bool can_punch_holes(const Directory& directory) {
  constexpr const char* kName = "punch-probe";
  constexpr off_t kSize = 64 << 10;
  const auto file = directory.open_file(kName, O_RDWR | O_CREAT | O_TRUNC);
  if (!file) return true;
  bool can = true;
  if (::ftruncate(file->get(), kSize) == 0) {
    const int punched =
        ::fallocate(file->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kSize / 2);
    can = punched == 0 || (errno != EOPNOTSUPP && errno != ENOSYS);
  }
  (void)directory.remove_file(kName).has_value();
  return can;
}

}  // namespace hubvfs::cache
