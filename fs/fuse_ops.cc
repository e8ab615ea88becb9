// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_ops.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "fs/errno_map.h"
#include "fs/fuse_device.h"
#include "fs/fuse_loop.h"
#include "fs/fuse_passthrough.h"
#include "fs/killed_caller.h"
#include "fs/operations.h"

namespace hubvfs::fs {
namespace {

// One request of the kernel. Whoever answers first answers; one that is dropped unanswered, which
// would hang its caller, is answered EIO.
class Request {
 public:
  explicit Request(fuse_req_t req) : req_(req) {}
  ~Request() {
    if (take()) {
      fuse_reply_err(req_, EIO);
      bug("a FUSE request was dropped");
    }
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // It may take minutes: its caller, who cannot be killed before the answer, is answered EINTR when
  // somebody tries. For an operation as it begins; not for reads, whose answer others see as well,
  // in the page cache.
  void end_if_killed() {
    watched_ = true;
    bool already = false;
    interrupted_already = &already;
    fuse_req_interrupt_func(req_, &Request::interrupted, this);
    interrupted_already = nullptr;
    if (already && is_being_killed(fuse_req_ctx(req_)->pid)) fail(EINTR);
  }

  template <typename Send>
  void answer(Send&& send) {
    if (take()) send(req_);  // a reader that is gone makes it fail: no matter
  }
  void fail(int error) {
    answer([&](fuse_req_t req) { fuse_reply_err(req, error); });
  }
  void fail(const Error& error) { fail(to_errno(error.code)); }
  fuse_req_t raw() const { return req_; }

 private:
  // True: the caller is to answer. libfuse calls interrupted() with the request's lock, which is
  // taken here too, so that `this` is there until then.
  bool take() {
    if (answered_.exchange(true)) return false;
    if (watched_) fuse_req_interrupt_func(req_, nullptr, nullptr);
    return true;
  }
  static void interrupted(fuse_req_t req, void* request) {
    if (interrupted_already != nullptr) {  // libfuse goes on to use it: not the place to answer
      *interrupted_already = true;
      return;
    }
    if (!is_being_killed(fuse_req_ctx(req)->pid)) return;
    // Once it is answered, another thread may let go of the Request.
    if (!static_cast<Request*>(request)->answered_.exchange(true)) fuse_reply_err(req, EINTR);
  }

  static thread_local bool* interrupted_already;  // while this thread is in end_if_killed()
  fuse_req_t req_;
  bool watched_ = false;
  std::atomic<bool> answered_{false};
};
thread_local bool* Request::interrupted_already = nullptr;
using RequestPtr = std::shared_ptr<Request>;

// Runs one operation: the only place where an exception of others ends.
template <typename Op>
void run_op(fuse_req_t req, Op&& op) noexcept {
  RequestPtr request;
  try {
    request = std::make_shared<Request>(req);
  } catch (const std::bad_alloc&) {
    fuse_reply_err(req, ENOMEM);
    return;
  }
  try {
    op(*static_cast<Operations*>(FuseLoop::userdata_of(req)), request);
  } catch (const std::bad_alloc&) {
    request->fail(ENOMEM);
  } catch (...) {
    request->fail(EIO);
  }
}

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

struct stat to_stat(const Attributes& attributes) {
  struct stat st {};
  st.st_ino = attributes.node.ino();
  st.st_mode = attributes.mode;
  st.st_nlink = attributes.kind == Attributes::Kind::kDirectory ? 2 : 1;
  st.st_uid = attributes.uid;
  st.st_gid = attributes.gid;
  st.st_size = static_cast<off_t>(attributes.size);
  st.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  st.st_blksize = 1 << 20;
  st.st_atim.tv_sec = st.st_mtim.tv_sec = st.st_ctim.tv_sec = attributes.modified;
  return st;
}

fuse_entry_param to_param(const Entry& entry) {
  fuse_entry_param param{};
  param.entry_timeout = seconds(entry.entry_timeout);
  param.attr_timeout = seconds(entry.attribute_timeout);
  if (!entry.exists) return param;  // ino 0: a negative entry
  param.ino = entry.attributes.node.raw();
  param.attr = to_stat(entry.attributes);
  return param;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    request->end_if_killed();
    operations.lookup(NodeId::from_raw(parent), name, [request](const Result<Entry>& entry) {
      if (!entry) return request->fail(entry.error());
      // A negative entry that may not be kept is a plain ENOENT.
      if (!entry->exists && entry->entry_timeout == Duration::zero()) return request->fail(ENOENT);
      const fuse_entry_param param = to_param(*entry);
      request->answer([&](fuse_req_t r) { fuse_reply_entry(r, &param); });
    });
  });
}

void op_forget(fuse_req_t req, fuse_ino_t, std::uint64_t) { fuse_reply_none(req); }

void op_forget_multi(fuse_req_t req, std::size_t, fuse_forget_data*) { fuse_reply_none(req); }

void op_getattr(fuse_req_t req, fuse_ino_t node, fuse_file_info*) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    operations.getattr(NodeId::from_raw(node), [request](const Result<Entry>& entry) {
      if (!entry) return request->fail(entry.error());
      const struct stat st = to_stat(entry->attributes);
      request->answer(
          [&](fuse_req_t r) { fuse_reply_attr(r, &st, seconds(entry->attribute_timeout)); });
    });
  });
}

void op_readlink(fuse_req_t req, fuse_ino_t node) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    operations.readlink(NodeId::from_raw(node), [request](const Result<std::string>& target) {
      if (!target) return request->fail(target.error());
      request->answer([&](fuse_req_t r) { fuse_reply_readlink(r, target->c_str()); });
    });
  });
}

// What is read the node id says, to the next worker too; the handle is for counting, and for
// .hubvfs.
void reply_open(const RequestPtr& request, fuse_file_info info, Handle handle,
                const OpenFlags& flags) {
  info.fh = handle.number;
  if (flags.backing_id) {
    return request->answer([&](fuse_req_t r) { reply_passed_open(r, info, *flags.backing_id); });
  }
  info.keep_cache = flags.keep_cache ? 1 : 0;
  info.direct_io = flags.direct_io ? 1 : 0;
  info.cache_readdir = flags.cache_listing ? 1 : 0;
  request->answer([&](fuse_req_t r) { fuse_reply_open(r, &info); });
}

// Where the kernel does not take the answer, it has sent the request again, with the same handle:
// what becomes of that is decided by the other answer.
void op_open(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    if ((info->flags & O_ACCMODE) != O_RDONLY) return request->fail(EROFS);
    const NodeId id = NodeId::from_raw(node);
    const std::uint64_t unique = FuseLoop::unique_in_hand();
    const Handle handle{unique & ~kResentBit};
    const bool again = (unique & kResentBit) != 0;
    operations.open(
        id, handle,
        [request, id, handle, again, &operations, copy = *info](const Result<OpenFlags>& flags) {
          if (flags) return reply_open(request, copy, handle, *flags);
          if (again) operations.release(id, handle);
          request->fail(flags.error());
        });
  });
}

void op_release(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    operations.release(NodeId::from_raw(node), Handle{info->fh});
    request->fail(0);
  });
}

void op_read(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset,
             fuse_file_info* info) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    const auto thread = static_cast<std::uint32_t>(fuse_req_ctx(req)->pid);
    operations.read(NodeId::from_raw(node), {info->fh}, static_cast<std::uint64_t>(offset), size,
                    thread, [request](const Result<ByteView>& bytes) {
                      if (!bytes) return request->fail(bytes.error());
                      request->answer([&](fuse_req_t r) {
                        fuse_reply_buf(r, reinterpret_cast<const char*>(bytes->data()),
                                       bytes->size());
                      });
                    });
  });
}

void op_opendir(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    request->end_if_killed();
    operations.opendir(NodeId::from_raw(node),
                       [request, copy = *info](const Result<OpenFlags>& flags) {
                         if (!flags) return request->fail(flags.error());
                         reply_open(request, copy, Handle{}, *flags);
                       });
  });
}

void op_releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info*) { fuse_reply_err(req, 0); }

// One reply to READDIR or READDIRPLUS as it fills.
struct DirectoryBuffer {
  DirectoryBuffer(RequestPtr r, std::size_t room, bool with_entries)
      : request(std::move(r)), bytes(room), plus(with_entries) {}

  bool add(const DirectoryItem& item) {
    const std::string name(item.name);  // libfuse wants its NUL
    const auto cookie = static_cast<off_t>(item.cookie);
    const std::size_t room = bytes.size() - used;
    const fuse_entry_param param = to_param(item.entry);
    const std::size_t need = plus ? fuse_add_direntry_plus(request->raw(), bytes.data() + used,
                                                           room, name.c_str(), &param, cookie)
                                  : fuse_add_direntry(request->raw(), bytes.data() + used, room,
                                                      name.c_str(), &param.attr, cookie);
    if (need > room) return false;
    used += need;
    return true;
  }

  RequestPtr request;
  std::vector<char> bytes;
  std::size_t used = 0;
  bool plus;
};

void read_directory(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, bool plus) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    request->end_if_killed();
    auto buffer = std::make_shared<DirectoryBuffer>(request, size, plus);
    operations.readdir(
        NodeId::from_raw(node), static_cast<std::uint64_t>(offset),
        [buffer](const DirectoryItem& item) { return buffer->add(item); },
        [buffer](const Result<void>& done) {
          if (!done) return buffer->request->fail(done.error());
          buffer->request->answer(
              [&](fuse_req_t r) { fuse_reply_buf(r, buffer->bytes.data(), buffer->used); });
        });
  });
}

void op_readdir(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
  read_directory(req, node, size, offset, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset,
                    fuse_file_info*) {
  read_directory(req, node, size, offset, true);
}

// Answers GETXATTR and LISTXATTR: the length when asked with no room.
void reply_value(const RequestPtr& request, std::string_view value, std::size_t room) {
  if (room != 0 && value.size() > room) return request->fail(ERANGE);
  request->answer([&](fuse_req_t r) {
    if (room == 0) {
      fuse_reply_xattr(r, value.size());
    } else {
      fuse_reply_buf(r, value.data(), value.size());
    }
  });
}

// Of the system's kinds there are none: told so, `ls -l` asks once and not of each file.
void op_getxattr(fuse_req_t req, fuse_ino_t node, const char* name, std::size_t size) {
  if (!std::string_view(name).starts_with("user.")) {
    fuse_reply_err(req, EOPNOTSUPP);
    return;
  }
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    operations.getxattr(NodeId::from_raw(node), name,
                        [request, size](const Result<std::string>& value) {
                          if (!value) return request->fail(value.error());
                          reply_value(request, *value, size);
                        });
  });
}

void op_listxattr(fuse_req_t req, fuse_ino_t node, std::size_t size) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    operations.listxattr(NodeId::from_raw(node),
                         [request, size](const Result<std::vector<std::string>>& names) {
                           if (!names) return request->fail(names.error());
                           std::string joined;
                           for (const std::string& name : *names) joined += name + '\0';
                           reply_value(request, joined, size);
                         });
  });
}

void op_statfs(fuse_req_t req, fuse_ino_t) {
  run_op(req, [&](Operations& operations, const RequestPtr& request) {
    const FilesystemSpace space = operations.space();
    struct statvfs st {};
    st.f_bsize = st.f_frsize = space.block_size;
    st.f_blocks = space.blocks;
    st.f_bfree = st.f_bavail = space.free_blocks;
    st.f_namemax = 255;
    request->answer([&](fuse_req_t r) { fuse_reply_statfs(r, &st); });
  });
}

// default_permissions lets the kernel decide without asking; this is for a mount without it.
void op_access(fuse_req_t req, fuse_ino_t, int mask) {
  fuse_reply_err(req, (mask & W_OK) != 0 ? EROFS : 0);
}

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops{};
  ops.lookup = op_lookup;
  ops.forget = op_forget;
  ops.forget_multi = op_forget_multi;
  ops.getattr = op_getattr;
  ops.readlink = op_readlink;
  ops.open = op_open;
  ops.read = op_read;
  ops.release = op_release;
  ops.opendir = op_opendir;
  ops.readdir = op_readdir;
  ops.readdirplus = op_readdirplus;
  ops.releasedir = op_releasedir;
  ops.statfs = op_statfs;
  ops.getxattr = op_getxattr;
  ops.listxattr = op_listxattr;
  ops.access = op_access;
  // No FLUSH: once answered ENOSYS, no close waits for a worker (threats-and-faults, 7.6).
  return ops;
}

}  // namespace

const fuse_lowlevel_ops& fuse_operations() {
  static const fuse_lowlevel_ops kOperations = make_operations();
  return kOperations;
}

}  // namespace hubvfs::fs
