// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/blocking.h"
#include "base/bytes.h"
#include "base/text.h"

namespace hubvfs::cache {

Result<void> probe_disk(const Directory& directory, const Quota& quota, std::uint64_t block_size) {
  constexpr const char* kName = "probe";
  constexpr std::size_t kSize = 64u << 10;
  if (directory.removed()) {
    return {ErrorCode::kNotFound,
            "the cache folder was removed; unmount and mount again to have a new one"};
  }
  auto space = directory.space();
  if (!space) return space.error();
  if (quota.to_evict(*space, block_size) > 0) {
    return {ErrorCode::kNoSpace, "only " + human_bytes(space->available) + " are free"};
  }
  auto file = directory.open_file(kName, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file) return file.error();
  auto done = write_fully(file->get(), Bytes(kSize), 0);
  assert_may_block("fdatasync");
  if (done && ::fdatasync(file->get()) != 0) done = system_error(errno, "fdatasync of a probe");
  auto removed = directory.remove_file(kName);
  return done ? removed : done;
}

}  // namespace hubvfs::cache
