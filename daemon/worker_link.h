// SPDX-License-Identifier: Apache-2.0
// What keeper and worker say to each other, over a SOCK_SEQPACKET pair.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "hub/types.h"

namespace hubvfs::daemon {

// The worker's descriptors, the same numbers always.
constexpr int kWorkerDeviceFd = 3;
constexpr int kWorkerLinkFd = 4;
// argv[1] of a worker; what follows it is only for people who read `ps`.
constexpr const char* kWorkerCommand = "internal-worker";

// Everything a worker needs to know. Tokens from the environment travel here, never in an
// environment or argv that other processes could read.
struct WorkerSettings {
  std::string mount_point;  // for messages only
  hub::RepoType type = hub::RepoType::kModel;
  std::string endpoint;
  bool allow_other = false;
  bool offline = false;
  std::string offline_because;  // what said so: "HF_HUB_OFFLINE"
  std::string cache_path;
  std::uint64_t cache_size = 0;  // 0: the cache's own default
  std::uint64_t block_size = 0;  // 0: the same
  std::uint64_t memory = 256u << 20;
  std::uint64_t metadata_ttl_seconds = 300;
  std::uint64_t metadata_deadline_seconds = 30;
  std::uint64_t read_deadline_seconds = 120;
  LogLevel log_level = LogLevel::kInfo;
  std::string log_file;                // "" for standard error
  std::string hf_token;                // HF_TOKEN
  std::string hugging_face_hub_token;  // HUGGING_FACE_HUB_TOKEN

  Bytes encode() const;
  // kBadAnswer: not what encode() of this version wrote.
  static Result<WorkerSettings> decode(ByteView bytes);
};

enum class MessageKind : std::uint8_t {
  kSettings = 1,  // to the worker: WorkerSettings
  kInit = 2,      // to the worker: the INIT request
  kStop = 3,      // to the worker: answer what is parked, write what is in memory, end
  kReady = 4,     // to the keeper: INIT is answered
  kFailed = 5,    // to the keeper: why it cannot serve, for people
};

struct Message {
  MessageKind kind = MessageKind::kFailed;
  Bytes body;
};

// Never waits, never raises SIGPIPE.
Result<void> send_message(int sock, MessageKind kind, ByteView body);
// Waits. kNotFound: the other side is gone; kBadAnswer: it said something unknown.
Result<Message> receive_message(int sock);

}  // namespace hubvfs::daemon
