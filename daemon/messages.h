// SPDX-License-Identifier: Apache-2.0
// What the processes of one daemon say to each other: commands, keeper and worker, over
// SOCK_SEQPACKET sockets. A message is its kind (one byte) and a body, and may carry descriptors.
#pragma once

#include <chrono>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

enum class MessageKind : std::uint8_t {
  // Keeper to worker.
  kSettings = 1,   // WorkerSettings; descriptors: the request journal, the open table
  kServe = 2,      // ServeOrder (worker_link.h); descriptor: the mount's /dev/fuse
  kStopMount = 3,  // u32 number: answer what it parked, end it
  kStop = 4,       // the same for all, write what is in memory, end
  kReport = 5,   // u32 number; descriptor: who asked, and is answered kDone with the mount's status
  kBacking = 6,  // answers kOpenBacking: its u64; u32 backing id, 0: refused, and string why
  kPassthrough = 7,  // u32 number, u8 whether the mount has passthrough, string why not
  // Worker to keeper.
  kReady = 16,   // u32 number: INIT is answered, the mount can be used
  kFailed = 17,  // u32 number (kWholeWorker: all of them) and, for people, why it cannot be served
  // For an OPEN to be passed through, once its handle is in the open table: u32 number of the
  // mount,
  // u64 node id, u64 to be answered with, string name of the blob's file.
  kOpenBacking = 18,
  kClosedBacking = 19,  // some node has no handle any more
  // Command to keeper.
  kHello = 32,   // answered kDone with the daemon's Introduction (control_socket.h)
  kMount = 33,   // MountOrder; answered when the mount can be used, or why it cannot
  kStatus = 34,  // on a mount's own socket: answered kFacts by the keeper, then kDone by the worker
  // Command to keeper, and handed on to the worker as it is with the command's descriptor first:
  // CommandRequest (command_request.h), perhaps a descriptor. Answered by the worker: kProgress and
  // kItem any number of times, then kDone or kRefused. A command that hangs up cancels it.
  kCommand = 35,
  // To a command.
  kDone = 48,      // the answer
  kRefused = 49,   // for people: why not
  kFacts = 50,     // JSON object
  kProgress = 51,  // CommandProgress (command_request.h)
  kItem = 52,      // JSON object: one of the things asked for
};

constexpr std::uint32_t kWholeWorker = 0xffffffff;
// So long after kClosedBacking the keeper looks what was closed. A worker does not repeat it within
// half of that: whatever is closed meanwhile is seen by the same look.
constexpr std::chrono::milliseconds kClosedHintAge{100};
constexpr std::size_t kMostDescriptors = 2;  // of one message

struct Message {
  MessageKind kind = MessageKind::kFailed;
  Bytes body;
  std::vector<UniqueFd> fds;
};

// Never waits, never raises SIGPIPE. `fds` stay the caller's. kNotFound: the other side is gone;
// kTimedOut: it has not read what it was sent before.
Result<void> send_message(int sock, MessageKind kind, ByteView body,
                          const std::vector<int>& fds = {});
// Waits, unless the socket does not. kNotFound: the other side is gone; kTimedOut: nothing there
// now; kBadAnswer: it said something unknown. Descriptors come close-on-exec.
Result<Message> receive_message(int sock);

}  // namespace hubvfs::daemon
