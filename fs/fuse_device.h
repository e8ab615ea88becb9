// SPDX-License-Identifier: Apache-2.0
// The few words of the kernel's FUSE protocol that are spoken beside libfuse: by the keeper, which
// reads INIT before any worker lives, and by the session that replays it.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace hubvfs::fs {

// Reads the INIT request of a connection just mounted. Once only: whoever reads it has to keep it,
// since the kernel does not send it again. kTimedOut: none came; kBadAnswer: something else did.
Result<Bytes> read_init_request(int dev_fd, Duration timeout);

// Of a request's `unique`: it was sent before (Linux 6.9). Without this bit it is what it was.
inline constexpr std::uint64_t kResentBit = std::uint64_t{1} << 63;

// Whether `request` is a whole INIT request, as read_init_request gives it.
bool is_init_request(ByteView request);

// Whether the kernel of this INIT can ask for several names of a directory at a time (Linux 4.7).
bool offers_parallel_lookups(ByteView init_request);

// Whether the kernel of this INIT sends unanswered requests again when asked (Linux 6.9).
bool offers_resend(ByteView init_request);

// Whether the kernel of this INIT can read another file in the place of asking (Linux 6.9).
bool offers_passthrough(ByteView init_request);

// Makes `fd`, open to read, a file that the kernel may read by itself on this connection, whose
// INIT was answered so. Returns its id there, good until unregister_backing() and for what is open
// then. kPermissionDenied: this process has no CAP_SYS_ADMIN; kUnsupported: the file lies on a file
// system that is itself stacked on another; kIo and others.
Result<std::int32_t> register_backing(int dev_fd, int fd);
void unregister_backing(int dev_fd, std::int32_t id);

// Asks for every unanswered request again (FUSE_NOTIFY_RESEND). Only after INIT was answered and
// the process that had taken the requests is dead.
Result<void> write_resend(int dev_fd);

// Answers EIO to every request that the kernel has or gets within `patience`, unanswered ones of a
// dead process among them. For a mount that ends with nobody to serve it.
void refuse_requests(int dev_fd, Duration patience);

// Whether the kernel waits for an answer to requests of this kind.
bool wants_answer(std::uint32_t opcode);

// "3.14.0".
std::string libfuse_version();

}  // namespace hubvfs::fs
