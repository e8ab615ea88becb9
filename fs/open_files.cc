// SPDX-License-Identifier: Apache-2.0
// The part of HubFilesystem that opens and reads files.
#include <algorithm>

#include "fs/hub_filesystem.h"

namespace hubvfs::fs {
namespace {

constexpr std::size_t kUncountedOpenFiles = 4096;
constexpr std::size_t kControlTexts = 256;

}  // namespace

// What its listing masks is not to be had.
Error HubFilesystem::gated(const Located& at) const {
  const hub::RepoId& repo = at.placed->info.id;
  return {ErrorCode::kGated,
          repo.name + " is gated, and this user has no access to its files: ask for access at " +
              options_.endpoint + "/" + hub::route_prefix(repo.type) + repo.name +
              ", signed in (HF_TOKEN), or wait until it is granted"};
}

void HubFilesystem::open(NodeId node, Handle handle, Reply<OpenFlags> reply) {
  const OpenReply owed =
      pending_.owe<OpenFlags>(telling<OpenFlags>("open", node, std::move(reply)));
  if (!owed) return;
  if (node.passthrough) return owed->give(stale());  // looked up again, as the node that is read
  if (auto text = control_text(node)) {
    {
      MutexLock lock(mutex_);
      if (control_texts_.size() < kControlTexts) {
        control_texts_.insert_or_assign(handle.number, std::move(*text));
      }
    }
    OpenFlags flags;
    flags.direct_io = true;
    return owed->give(flags);
  }
  locate(node, [self = shared_from_this(), node, handle, owed](const Result<Located>& at) {
    if (!at) return owed->give(at.error());
    if (at->entry().is_directory) return owed->give(Error{ErrorCode::kIsDirectory, "a directory"});
    self->open_located(node, handle, *at, false, owed);
  });
}

void HubFilesystem::open_located(NodeId node, Handle handle, const Located& at, bool asked_again,
                                 const OpenReply& reply) {
  if (!at.entry().content) {
    if (asked_again) return reply->give(gated(at));
    return catalog(at.view).snapshot(
        at.placed, true,
        [self = shared_from_this(), node, handle, at, reply](const Result<SnapshotPtr>& again) {
          if (!again) return reply->give(again.error());
          if (at.number >= (*again)->size()) return reply->give(stale());
          self->open_located(node, handle, {at.placed, *again, at.number, at.view}, true, reply);
        });
  }
  auto blob = open_blob(at);
  if (!blob) return reply->give(blob.error());
  catalog(at.view).note_open(*at.placed);
  const auto opened = [self = shared_from_this(), node, handle, blob = *blob,
                       reply](const Result<ByteView>& first) {
    if (!first) return reply->give(first.error());
    // Counted before it is answered, and only if it is: a worker dies between, and it comes again.
    reply->run([&](const Reply<OpenFlags>& answer) {
      self->keep_open(node, blob, handle);
      OpenFlags flags;
      flags.keep_cache = self->pages_are_good(node, *blob);
      answer(flags);
    });
  };
  // Whoever may list a gated repo may not always read it: its first byte tells.
  const bool must_ask = at.placed->info.gate != hub::Gate::kNone && at.entry().size != 0 &&
                        !Reader::stored(**blob).complete();
  if (!must_ask) return opened(ByteView());
  parts_.reader->read(*blob, {0, 1}, opened);
}

Result<std::shared_ptr<OpenBlob>> HubFilesystem::open_blob(const Located& at) {
  const Snapshot::Entry& entry = at.entry();
  if (!entry.content) return gated(at);
  return parts_.reader->open(at.placed->space,
                             {at.placed->info.id, at.placed->info.commit,
                              at.snapshot->path(at.number), entry.is_lfs, *entry.content},
                             parts_.hub);
}

void HubFilesystem::keep_open(NodeId node, const std::shared_ptr<OpenBlob>& blob,
                              std::optional<Handle> opened) {
  MutexLock lock(mutex_);
  if (opened) parts_.table.open(mount_.number, node.raw(), *opened);
  const bool counted = opened || parts_.table.count(mount_.number, node.raw()) > 0;
  if (!counted && open_files_.size() > kUncountedOpenFiles) {
    std::erase_if(open_files_, [](const auto& item) { return !item.second.counted; });
  }
  OpenFile& file = open_files_[node.raw()];
  file.blob = blob;
  file.counted |= counted;
}

// Not so where the content came wrong since the kernel last let go of its pages, which it does at
// an open that does not keep them.
bool HubFilesystem::pages_are_good(NodeId node, const OpenBlob& blob) {
  const std::uint64_t wrong = parts_.reader->times_wrong(blob);
  if (wrong == 0) return true;
  MutexLock lock(mutex_);
  std::uint64_t& flushed = flushed_[node.raw()];
  if (flushed == wrong) return true;
  flushed = wrong;
  return false;
}

void HubFilesystem::release(NodeId node, Handle handle) {
  OpenFile last;  // let go after the lock
  MutexLock lock(mutex_);
  if (node.serial == 0) {  // a text, not counted
    control_texts_.erase(handle.number);
    return;
  }
  if (parts_.table.close(mount_.number, node.raw(), handle) > 0) return;
  const auto it = open_files_.find(node.raw());
  if (it == open_files_.end()) return;
  last = std::move(it->second);
  open_files_.erase(it);
}

void HubFilesystem::read(NodeId node, Handle handle, std::uint64_t offset, std::size_t size,
                         std::function<void(const Result<ByteView>&)> reply) {
  reply = hold<ByteView>("read", node, std::move(reply));
  if (!reply) return;
  reads_.fetch_add(1, std::memory_order_relaxed);
  if (node.serial == 0) {
    const auto text = control_text(node, handle);
    if (!text) return reply(Error{ErrorCode::kIsDirectory, "not a file"});
    const std::string_view rest = std::string_view(*text).substr(std::min(offset, text->size()));
    return reply(as_bytes(rest.substr(0, size)));
  }
  std::shared_ptr<OpenBlob> blob;
  {
    MutexLock lock(mutex_);
    const auto it = open_files_.find(node.raw());
    if (it != open_files_.end()) blob = it->second.blob;
  }
  const auto read_blob = [self = shared_from_this(), offset, size,
                          reply](const std::shared_ptr<OpenBlob>& opened) {
    const std::uint64_t length = Reader::stored(*opened).key().content.size();
    if (offset >= length || size == 0) return reply(ByteView());
    self->parts_.reader->read(
        opened, {offset, offset + std::min<std::uint64_t>(size, length - offset)}, reply);
  };
  if (blob) return read_blob(blob);
  // Opened in an earlier worker's life: found again from the node alone.
  locate(node, [self = shared_from_this(), node, read_blob, reply](const Result<Located>& at) {
    if (!at) return reply(at.error());
    const auto opened = self->open_blob(*at);
    if (!opened) return reply(opened.error());
    self->keep_open(node, *opened, std::nullopt);
    read_blob(*opened);
  });
}

FilesystemSpace HubFilesystem::space() const {
  const cache::StoreStats stats = parts_.store.stats();
  FilesystemSpace space;
  space.block_size = parts_.store.block_size();
  space.blocks = stats.size_limit / space.block_size;
  const std::uint64_t used = (stats.bytes_used + space.block_size - 1) / space.block_size;
  space.free_blocks = space.blocks - std::min(space.blocks, used);
  return space;
}

}  // namespace hubvfs::fs
