// SPDX-License-Identifier: Apache-2.0
// What a worker is told: the settings of the whole daemon, and of each mount it serves.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "base/result.h"
#include "cache/eviction_policy.h"
#include "hub/types.h"

namespace hubvfs::daemon {

// The worker's end of the socket to its keeper (messages.h): always this number.
constexpr int kWorkerLinkFd = 3;
// argv[1] of a worker; what follows it is only for people who read `ps`.
constexpr const char* kWorkerCommand = "internal-worker";

// What all mounts of a daemon share. Tokens from the environment travel here, never in an
// environment or argv that other processes could read.
struct WorkerSettings {
  std::string endpoint;              // what the cache knows blobs and metadata by
  std::vector<std::string> mirrors;  // asked after it, in order
  bool offline = false;
  std::string offline_because;  // what said so: "HF_HUB_OFFLINE"
  std::string cache_path;
  std::uint64_t cache_size = 0;  // 0: the cache's own default
  std::uint64_t block_size = 0;  // 0: the same
  std::uint32_t cache_mode = 0;  // of its folder; 0: the same
  cache::EvictionSettings eviction;
  std::uint64_t memory = 256u << 20;
  std::uint64_t metadata_ttl_seconds = 300;
  std::uint64_t metadata_settle_seconds = 60;
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

// What one mount shows, and to whom.
struct MountSettings {
  hub::RepoType type = hub::RepoType::kModel;
  bool allow_other = false;
  std::string repo;  // "hf://...": that repo alone; "": the whole Hub

  Bytes encode() const;
  static Result<MountSettings> decode(ByteView bytes);
};

// A mount as the keeper hands it to a worker.
struct ServeOrder {
  std::uint32_t number = 0;  // the keeper's name for it, the same for every worker
  bool again = false;        // another worker served it before
  bool passthrough = false;  // negotiate it, and pass files through until told otherwise
  std::string no_passthrough_because;
  Bytes settings;  // MountSettings::encode: the keeper does not read it
  Bytes init_request;

  Bytes encode() const;
  static Result<ServeOrder> decode(ByteView bytes);
};

}  // namespace hubvfs::daemon
