// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "fs/handle.h"
#include "fs/node_id.h"

namespace hubvfs::fs {

// A kernel timeout of what never changes.
inline constexpr Duration kForever = std::chrono::hours(24 * 365);

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
  bool keep_cache = false;  // the kernel's pages stay valid: the content never changes
  bool direct_io = false;   // made when read
  bool cache_listing = false;
  // The kernel reads the file registered as this by itself; goes with none of the above.
  std::optional<std::int32_t> backing_id;
};

struct FilesystemSpace {
  std::uint64_t block_size = 0;
  std::uint64_t blocks = 0;
  std::uint64_t free_blocks = 0;
};

// One mount, without libfuse: what each request means and when it is answered. Made by
// Backend::mount.
//
// An interface so that the kernel's side can be tested against another filesystem.
// Thread-safe, and no call blocks: where the answer is not on this host the reply runs later, on
// the Hub client's thread. Each reply runs exactly once, with no lock held, within the deadline of
// its request. Node ids are those of fs/node_id.h; one that means nothing any more is kStale.
class Operations {
 public:
  template <typename T>
  using Reply = std::function<void(const Result<T>&)>;
  using Done = std::function<void(const Result<void>&)>;
  // False: no room, stop (the item is asked for again).
  using Fill = std::function<bool(const DirectoryItem&)>;

  virtual ~Operations() = default;
  // What is parked here is answered with kCancelled, and so is what comes later; the notifier is
  // not used any more. Other mounts go on, and so do fetches that were begun. When it returns, no
  // reply is running and none will run: what they refer to may go. Not to be called from a reply.
  virtual void close() = 0;

  // Whether there is what the mount is to show; for the command that makes it. A whole tree:
  // success at once. One repo: resolves it and its folder, from what is known or from the Hub, a
  // refusal that is remembered being asked again. The error's context tells the user what is wrong:
  // kNotFound (no such repo, or not to be seen; no such revision; no such folder), kNotDirectory
  // (FOLDER is a file), kGated, kPermissionDenied, or why the Hub did not answer.
  virtual void check_root(Done reply) = 0;

  virtual void lookup(NodeId parent, const std::string& name, Reply<Entry> reply) = 0;
  virtual void getattr(NodeId node, Reply<Entry> reply) = 0;
  virtual void readlink(NodeId node, Reply<std::string> reply) = 0;
  virtual void opendir(NodeId node, Reply<OpenFlags> reply) = 0;
  // Calls `fill` for each item after `cookie` (0: from the start) until it says stop, then `reply`.
  virtual void readdir(NodeId node, std::uint64_t cookie, Fill fill, Done reply) = 0;
  // From before the reply, if that is a success, `handle` is open; it may be already, where this is
  // asked again since the worker before died unanswered.
  virtual void open(NodeId node, Handle handle, Reply<OpenFlags> reply) = 0;
  // `handle`, of this worker or of an earlier one, is not open any more; it may not be already. To
  // be called before the RELEASE is answered, which then comes again if the worker dies. Also for
  // an open that was asked again and ends in an error: the worker before may have had it open.
  virtual void release(NodeId node, Handle handle) = 0;
  // At most `size` bytes, fewer only at the end of the file; the view is valid during the reply.
  // The node says what is read, to a later worker too; a text of .hubvfs or of a ref is as it was
  // when `handle` was opened by this one. `thread`: who reads, by the kernel's number (0: not
  // known), a hint for read-ahead.
  virtual void read(NodeId node, Handle handle, std::uint64_t offset, std::size_t size,
                    std::uint32_t thread, std::function<void(const Result<ByteView>&)> reply) = 0;
  virtual void getxattr(NodeId node, const std::string& name, Reply<std::string> reply) = 0;
  virtual void listxattr(NodeId node, Reply<std::vector<std::string>> reply) = 0;
  virtual FilesystemSpace space() const = 0;
  // Whether complete files are passed through to the kernel; where not, why, for people.
  virtual void set_passthrough(bool on, const std::string& why_not) = 0;
  // The text of .hubvfs/status.json.
  virtual std::string status_json() const = 0;
};

}  // namespace hubvfs::fs
