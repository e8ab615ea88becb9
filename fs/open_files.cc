// SPDX-License-Identifier: Apache-2.0
// The part of HubFilesystem that opens and reads files.
#include <algorithm>

#include "fs/hub_filesystem.h"
#include "fs/shard_name.h"

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
    if (node.passthrough) return self->open_passed(node, handle, *at, owed);
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
  read_begins(node, **blob);
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

// As what the node is, or not at all: the kernel then looks the name up again.
void HubFilesystem::open_passed(NodeId node, Handle handle, const Located& at,
                                const OpenReply& reply) {
  if (!at.entry().content) return reply->give(stale());
  const auto blob = parts_.store.open({at.placed->space, *at.entry().content}, options_.endpoint);
  if (!blob) return reply->give(stale());
  catalog(at.view).note_open(*at.placed);
  parts_.passthrough->open(node, handle, *blob, [reply](const Result<std::int32_t>& id) {
    if (!id) return reply->give(id.error());
    OpenFlags flags;
    flags.backing_id = *id;
    reply->give(flags);
  });
}

// Where it was opened to be read: other names the kernel keeps for a moment only.
void HubFilesystem::content_sealed(const cache::BlobKey& content) {
  if (!parts_.passthrough->on()) return;
  std::vector<NodeId> nodes;
  {
    MutexLock lock(mutex_);
    for (const auto& [raw, file] : open_files_) {
      if (Reader::stored(*file.blob).key() == content) nodes.push_back(NodeId::from_raw(raw));
    }
  }
  for (const NodeId node : nodes) forget_name_of(node);
}

void HubFilesystem::forget_name_of(NodeId node) {
  const PlacedPtr placed = placed_of(node);
  const SnapshotPtr snapshot = placed ? catalog(node.view).stored_snapshot(placed) : nullptr;
  if (!snapshot || node.entry >= snapshot->size()) return;
  const Snapshot::Entry file = snapshot->entry(node.entry);
  std::vector<NodeId> parents{{false, node.serial, file.parent, node.view}};
  if (file.parent == 0 && placed->parent) {  // a listing of its own, and a node of another
    parents = {{false, placed->parent->serial, placed->entry, node.view}};
  }
  if (mount_.repo) {
    if (snapshot->path(file.parent) == mount_.repo->sub) parents = {{false, 0, kRootEntry}};
  } else if (file.parent == 0 && !placed->parent && node.view == View::kTree) {
    if (const auto name = name_of(*placed)) parents.push_back({false, 0, name->number});
  }
  MutexLock lock(notifier_mutex_);
  if (notifier_ == nullptr) return;
  for (const NodeId parent : parents) {
    notifier_->invalidate_entry(parent.raw(), std::string(file.name));
  }
}

// The node of the repo as it was listed, where that stands for this commit too.
std::optional<NameTable::Name> HubFilesystem::name_of(const Placed& placed) const {
  const NameTable& names = parts_.catalog->names();
  const std::string owner = placed.place.owner();
  const auto above = owner.empty() ? std::nullopt : names.find(kRootEntry, owner);
  if (!owner.empty() && !above) return {};
  auto name = names.find(above ? above->number : kRootEntry, placed.place.name());
  if (!name || name->serial != placed.serial) return {};
  return name;
}

Result<std::shared_ptr<OpenBlob>> HubFilesystem::open_blob(const Located& at) {
  const Snapshot::Entry& entry = at.entry();
  if (!entry.content) return gated(at);
  const auto file = [&at](const std::string& path, const Snapshot::Entry& of) {
    return hub::FileRef{at.placed->info.id, at.placed->info.commit, path, of.is_lfs, *of.content};
  };
  const std::string path = at.snapshot->path(at.number);
  std::optional<hub::FileRef> next;
  const std::string next_path = next_shard(path);
  if (const auto number = next_path.empty() ? std::nullopt : at.snapshot->find(next_path)) {
    const Snapshot::Entry& following = at.snapshot->entry(*number);
    if (following.content) next = file(next_path, following);
  }
  return parts_.reader->open(at.placed->space, file(path, entry), parts_.hub, next);
}

void HubFilesystem::keep_open(NodeId node, const std::shared_ptr<OpenBlob>& blob,
                              std::optional<Handle> opened) {
  MutexLock lock(mutex_);
  if (opened) parts_.table->open(mount_.number, node.raw(), *opened);
  const bool counted = opened || parts_.table->count(mount_.number, node.raw()) > 0;
  if (!counted && open_files_.size() > kUncountedOpenFiles) {
    std::erase_if(open_files_, [](const auto& item) { return !item.second.counted; });
  }
  OpenFile& file = open_files_[node.raw()];
  file.blob = blob;
  file.counted |= counted;
}

void HubFilesystem::read_begins(NodeId node, const OpenBlob& blob) {
  if (Reader::stored(blob).cached_bytes() > 0) return;
  catalog(node.view).note_content_changed(node.serial, node.entry);
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
  if (node.passthrough) return parts_.passthrough->release(node, handle);
  OpenFile last;  // let go after the lock
  MutexLock lock(mutex_);
  if (node.serial == 0) {  // a text, not counted
    control_texts_.erase(handle.number);
    return;
  }
  if (parts_.table->close(mount_.number, node.raw(), handle) > 0) return;
  const auto it = open_files_.find(node.raw());
  if (it == open_files_.end()) return;
  last = std::move(it->second);
  open_files_.erase(it);
}

void HubFilesystem::read(NodeId node, Handle handle, std::uint64_t offset, std::size_t size,
                         std::uint32_t thread, std::function<void(const Result<ByteView>&)> reply) {
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
  const auto read_blob = [self = shared_from_this(), offset, size, thread,
                          reply](const std::shared_ptr<OpenBlob>& opened) {
    const std::uint64_t length = Reader::stored(*opened).key().content.size();
    if (offset >= length || size == 0) return reply(ByteView());
    self->parts_.reader->read(
        opened, {offset, offset + std::min<std::uint64_t>(size, length - offset)}, reply, thread);
  };
  if (blob) return read_blob(blob);
  // Opened in an earlier worker's life: found again from the node alone.
  locate(node, [self = shared_from_this(), node, read_blob, reply](const Result<Located>& at) {
    if (!at) return reply(at.error());
    const auto opened = self->open_blob(*at);
    if (!opened) return reply(opened.error());
    self->keep_open(node, *opened, std::nullopt);
    self->read_begins(node, **opened);
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
