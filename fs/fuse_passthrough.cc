// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_passthrough.h"

#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#include <cstddef>
#include <cstring>

namespace hubvfs::fs {

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)

void want_passthrough(fuse_conn_info& conn) {
  conn.want |= FUSE_CAP_PASSTHROUGH & conn.capable;
  conn.max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;
}

void complete_init_reply(fuse_init_out&) {}

int reply_passed_open(fuse_req* request, const fuse_file_info& info, std::int32_t backing_id) {
  fuse_file_info passed = info;
  passed.backing_id = backing_id;
  return fuse_reply_open(request, &passed);
}

#else

void want_passthrough(fuse_conn_info&) {}

void complete_init_reply(fuse_init_out& init) {
  constexpr std::uint32_t kPassthrough2 = 1u << 5;  // bit 37
  constexpr std::uint32_t kMaxStackDepth = 1;
  constexpr std::size_t kMaxStackDepthAt = offsetof(fuse_init_out, flags2) + sizeof init.flags2;
  static_assert(sizeof init == 64);
  init.flags |= FUSE_INIT_EXT;
  init.flags2 |= kPassthrough2;
  std::memcpy(reinterpret_cast<char*>(&init) + kMaxStackDepthAt, &kMaxStackDepth,
              sizeof kMaxStackDepth);
}

int reply_passed_open(fuse_req* request, const fuse_file_info& info, std::int32_t backing_id) {
  struct {  // fuse_open_out as Linux 6.9 has it
    std::uint64_t handle;
    std::uint32_t flags;
    std::int32_t backing_id;
  } const out{info.fh, 1u << 7 /* FOPEN_PASSTHROUGH */, backing_id};
  static_assert(sizeof out == 16);
  return fuse_reply_buf(request, reinterpret_cast<const char*>(&out), sizeof out);
}

#endif

}  // namespace hubvfs::fs
