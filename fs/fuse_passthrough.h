// SPDX-License-Identifier: Apache-2.0
// Passthrough in the words of libfuse where it has them (from 3.17 on), else in those of the kernel
// (Linux 6.9).
#pragma once

#include <cstdint>

struct fuse_conn_info;
struct fuse_file_info;
struct fuse_init_out;
struct fuse_req;

namespace hubvfs::fs {

// While INIT is negotiated: has libfuse ask for it, if that can.
void want_passthrough(fuse_conn_info& conn);

// Before the reply to INIT is sent: asks for it, if libfuse did not. One file system may lie
// beneath ours: a second would keep overlayfs from being put on top of it.
void complete_init_reply(fuse_init_out& init);

// As fuse_reply_open; the kernel reads what is registered as `backing_id` by itself.
int reply_passed_open(fuse_req* request, const fuse_file_info& info, std::int32_t backing_id);

}  // namespace hubvfs::fs
