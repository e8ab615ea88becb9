// SPDX-License-Identifier: Apache-2.0
// The part of HubFilesystem that tells about files and itself: xattrs and .hubvfs.
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/json.h"
#include "fs/counters_json.h"
#include "fs/hub_filesystem.h"

namespace hubvfs::fs {
namespace {

constexpr std::string_view kPrefix = "user.hubvfs.";
constexpr std::array kFileAttributes = {"repo", "revision", "commit",   "oid",      "etag",
                                        "size", "cached",   "verified", "namespace"};
constexpr std::array kDirectoryAttributes = {"repo", "revision", "commit", "namespace", "hidden"};

}  // namespace

std::string HubFilesystem::blob_xattr(const Located& at, const std::string& name) const {
  const Snapshot::Entry& entry = at.entry();
  if (name == "size") return std::to_string(entry.size);
  if (!entry.content) return "";
  if (name == "oid") return entry.content->to_string();
  if (name == "etag") return entry.content->hex();
  const auto blob = parts_.store.open({at.placed->space, *entry.content}, options_.endpoint);
  if (!blob) return "";
  if (name == "cached") return std::to_string((*blob)->cached_bytes());
  return (*blob)->verified() ? "1" : "0";  // verified
}

void HubFilesystem::getxattr(NodeId node, const std::string& name, Reply<std::string> reply) {
  reply = hold<std::string>("getxattr", node, std::move(reply));
  if (!reply) return;
  const Error none{ErrorCode::kNoAttribute, "no such attribute"};
  if (!name.starts_with(kPrefix) || in_hf_cache(node)) return reply(none);
  if (in_tree(node)) {
    const auto repo = parts_.catalog->names().at(node.entry);
    if (!repo || repo->kind != NameTable::Kind::kRepo) return reply(none);
  }
  locate(node, [self = shared_from_this(), name = name.substr(kPrefix.size()), none,
                reply](const Result<Located>& at) {
    if (!at) return reply(at.error());
    const Placed& placed = *at->placed;
    const Snapshot::Entry& entry = at->entry();
    const auto known = [&](const auto& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (entry.is_directory ? !known(kDirectoryAttributes) : !known(kFileAttributes)) {
      return reply(none);
    }
    if (name == "repo") return reply(placed.info.id.name);
    if (name == "revision") {
      return reply(placed.place.revision.empty() ? "main" : placed.place.revision);
    }
    if (name == "commit") return reply(placed.info.commit);
    if (name == "namespace") return reply(placed.space);
    if (name == "hidden") {  // its own listing knows
      return self->enter(*at, [reply](const Result<Located>& inside) {
        if (!inside) return reply(inside.error());
        reply(std::to_string(inside->entry().hidden));
      });
    }
    const std::string value = self->blob_xattr(*at, name);
    if (value.empty()) return reply(none);
    reply(value);
  });
}

void HubFilesystem::listxattr(NodeId node, Reply<std::vector<std::string>> reply) {
  reply = hold<std::vector<std::string>>("listxattr", node, std::move(reply));
  if (!reply) return;
  // No question about a repo that was only listed: `ls -l` asks this of everything.
  std::vector<std::string> names;
  if (in_tree(node) || in_hf_cache(node)) return reply(names);
  locate(node, [names, reply](const Result<Located>& at) mutable {
    if (!at) return reply(at.error());
    const auto add = [&](const auto& all) {
      for (const char* name : all) names.push_back(std::string(kPrefix) + name);
    };
    if (at->entry().is_directory) {
      add(kDirectoryAttributes);
    } else if (at->entry().content) {
      add(kFileAttributes);
    }
    reply(names);
  });
}

std::optional<std::string> HubFilesystem::control_text(NodeId node) const {
  if (in_hf_cache(node)) return hf_->ref_text(node);
  if (!in_tree(node)) return {};
  if (node.entry == kStatusEntry) return status_json() + "\n";
  if (node.entry == kVersionEntry) return std::string(HUBVFS_VERSION) + "\n";
  return {};
}

std::optional<std::string> HubFilesystem::control_text(NodeId node, Handle handle) const {
  {
    MutexLock lock(mutex_);
    const auto it = control_texts_.find(handle.number);
    if (it != control_texts_.end()) return it->second;
  }
  return control_text(node);
}

Entry HubFilesystem::control_entry(std::uint32_t number) const {
  Entry entry = directory({false, 0, number}, started_, kForever);
  const auto text = control_text({false, 0, number});
  if (!text) return entry;
  entry.attributes.kind = Attributes::Kind::kFile;
  entry.attributes.mode = owner_.file_mode();
  entry.attributes.size = text->size();
  entry.attributes.blocks = 1;
  entry.attribute_timeout = Duration::zero();
  return entry;
}

void HubFilesystem::lookup_control(const std::string& name, const Reply<Entry>& reply) {
  if (name == "status.json") return reply(control_entry(kStatusEntry));
  if (name == "version") return reply(control_entry(kVersionEntry));
  reply(absent(kForever));
}

std::string HubFilesystem::status_json() const {
  // Of the client this mount asks by: what went wrong for the user's own token is not for
  // everybody.
  const hub::HubStats hub = parts_.hub.stats();
  const cache::StoreStats store = parts_.store.stats();
  const ReaderStats reads = parts_.reader->stats();
  JsonWriter out;
  const auto number = [&](std::string_view key, std::uint64_t value) {
    out.key(key).number(value);
  };
  out.begin_object();
  out.key("version").string(HUBVFS_VERSION);
  out.key("endpoint").string(options_.endpoint);
  out.key("type").string(hub::api_segment(mount_.repo ? mount_.repo->type : mount_.type));
  out.key("repo");
  mount_.repo ? out.string(mount_.repo->url()) : out.null();
  out.key("offline").boolean(options_.offline);
  const std::string why_not = parts_.passthrough->why_not();
  out.key("passthrough").begin_object();
  out.key("in_force").boolean(parts_.passthrough->on());
  out.key("why_not").string(why_not);
  number("opens", parts_.passthrough->opens());
  out.end_object();
  number("started", static_cast<std::uint64_t>(started_));
  number("open_files", parts_.table->total(mount_.number));
  number("mount_reads", reads_);
  out.key("hub");
  write_counters(out, hub);
  out.key("reads").begin_object();
  number("total", reads.reads);
  number("waited", reads.reads_waited);
  number("waiting_now", reads.waiting_now);
  number("blocks_fetched", reads.blocks_fetched);
  number("buffer_bytes", reads.buffer_bytes);
  number("buffer_limit", reads.buffer_limit);
  number("corrupt_blobs", reads.corrupt_blobs);
  out.end_object();
  out.key("cache");
  write_counters(out, store, parts_.store.block_size());
  out.end_object();
  return out.text();
}

}  // namespace hubvfs::fs
