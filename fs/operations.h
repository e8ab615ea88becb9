// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"
#include "fs/kernel_notifier.h"
#include "fs/node_id.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

struct OperationsOptions {
  hub::RepoType type = hub::RepoType::kModel;
  std::string endpoint;  // as configured, without trailing '/': part of every metadata key
  uid_t uid = 0;         // owner of every node, and of the namespace for private and gated repos
  gid_t gid = 0;
  bool shared = false;   // allow_other: modes 0444 and 0555, public repos only; else 0400 and 0500
  bool offline = false;
  Duration metadata_ttl = std::chrono::minutes(5);
  Duration metadata_deadline = std::chrono::seconds(30);
  Duration read_deadline = std::chrono::seconds(120);  // without progress
  std::uint64_t memory_budget = 256u << 20;  // bytes of fetch buffers
};

struct Attributes {
  enum class Kind { kFile, kDirectory, kSymlink };
  NodeId node;
  Kind kind = Kind::kFile;
  mode_t mode = 0;  // with the type bits
  uid_t uid = 0;
  gid_t gid = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;  // of 512 bytes: what is on this host, never 0 for a non-empty file
  UnixSeconds modified = 0;
};

// An answer to LOOKUP. `attributes.node` all zero: the name does not exist, for `entry_timeout`.
struct Entry {
  Attributes attributes;
  Duration entry_timeout{};
  Duration attribute_timeout{};
  bool exists = true;
};

struct DirectoryItem {
  std::string_view name;
  std::uint64_t cookie = 0;  // continues after this item
  Entry entry;
};

struct OpenFlags {
  bool keep_cache = false;   // the kernel's pages stay valid: the content never changes
  bool direct_io = false;    // made when read
  bool cache_listing = false;
};

struct FilesystemSpace {
  std::uint64_t block_size = 0;
  std::uint64_t blocks = 0;
  std::uint64_t free_blocks = 0;
};

// The filesystem, without libfuse: what each request means and when it is answered.
//
// An interface so that the kernel's side can be tested against another filesystem.
// Thread-safe, and no call blocks: where the answer is not on this host the reply runs later, on the
// Hub client's thread. Each reply runs exactly once, with no lock held, within the deadline of its
// request. Node ids are those of fs/node_id.h; one that means nothing any more is kStale.
class Operations {
 public:
  template <typename T>
  using Reply = std::function<void(const Result<T>&)>;
  using Done = std::function<void(const Result<void>&)>;
  // False: no room, stop (the item is asked for again).
  using Fill = std::function<bool(const DirectoryItem&)>;

  // All borrowed. To end: close() this, destroy the hub, let go of this, then the store and meta.
  // Errors: the metadata cannot be read.
  static Result<std::shared_ptr<Operations>> create(const OperationsOptions& options,
                                                    hub::HubClient& hub, cache::BlobStore& store,
                                                    cache::MetaStore& meta,
                                                    KernelNotifier& notifier, Logger& log,
                                                    const Clock& clock);
  virtual ~Operations() = default;
  // Parked requests are answered with kCancelled, and so is what comes later. Once, before the end.
  virtual void close() = 0;

  virtual void lookup(NodeId parent, const std::string& name, Reply<Entry> reply) = 0;
  virtual void getattr(NodeId node, Reply<Entry> reply) = 0;
  virtual void readlink(NodeId node, Reply<std::string> reply) = 0;
  virtual void opendir(NodeId node, Reply<OpenFlags> reply) = 0;
  // Calls `fill` for each item after `cookie` (0: from the start) until it says stop, then `reply`.
  virtual void readdir(NodeId node, std::uint64_t cookie, Fill fill, Done reply) = 0;
  virtual void open(NodeId node, Reply<OpenFlags> reply) = 0;
  virtual void release(NodeId node) = 0;
  // At most `size` bytes, fewer only at the end of the file; the view is valid during the reply.
  virtual void read(NodeId node, std::uint64_t offset, std::size_t size,
                    std::function<void(const Result<ByteView>&)> reply) = 0;
  virtual void getxattr(NodeId node, const std::string& name, Reply<std::string> reply) = 0;
  virtual void listxattr(NodeId node, Reply<std::vector<std::string>> reply) = 0;
  virtual FilesystemSpace space() const = 0;
  // The text of .hubvfs/status.json.
  virtual std::string status_json() const = 0;
};

}  // namespace hubvfs::fs
