// SPDX-License-Identifier: Apache-2.0
// The part of WorkerCommands that tells what is in the cache.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/json.h"
#include "daemon/worker_commands.h"

namespace hubvfs::daemon {
namespace {

using Present = std::map<cache::BlobKey, cache::BlobInfo>;

Present present_blobs(const cache::BlobStore& store) {
  Present present;
  store.for_each_blob([&present](const cache::BlobInfo& info) { present.emplace(info.key, info); });
  return present;
}

std::string as_item(const fs::KnownCommit& commit, const fs::ListingParts& listing,
                    const Present& present, bool pinned) {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t cached = 0;
  UnixSeconds last_used = 0;
  for (const fs::Snapshot& part : listing) {
    for (std::uint32_t i = 0; i < part.size(); ++i) {
      const fs::Snapshot::Entry& entry = part.entry(i);
      files += entry.is_directory ? 0 : 1;
      if (!entry.content) bytes += entry.size;  // masked
    }
  }
  for (const cache::BlobKey& blob : fs::blobs_of(commit.space, listing)) {
    bytes += blob.content.size();
    const auto here = present.find(blob);
    if (here == present.end()) continue;
    cached += here->second.bytes;
    last_used = std::max(last_used, here->second.last_used);
  }
  JsonWriter out;
  out.begin_object();
  out.key("type").string(hub::api_segment(commit.repo.type));
  out.key("repo").string(commit.repo.name);
  out.key("commit").string(commit.commit);
  out.key("revisions").begin_array();
  std::set<std::string> revisions;  // a place without one and "main" are the same to people
  for (const std::string& name : commit.revisions) revisions.insert(name.empty() ? "main" : name);
  for (const std::string& revision : revisions) out.string(revision);
  out.end_array();
  out.key("endpoint").string(commit.endpoint);
  out.key("namespace").string(commit.space);
  out.key("files").number(files);
  out.key("bytes").number(bytes);
  out.key("bytes_cached").number(cached);
  out.key("complete").boolean(cached == bytes && !commit.partial);
  out.key("partial").boolean(commit.partial);
  out.key("pinned").boolean(pinned);
  out.key("last_used").number(static_cast<std::uint64_t>(last_used));
  out.end_object();
  return out.text();
}

}  // namespace

Result<std::string> WorkerCommands::list(CommandCaller& caller) const {
  const Present present = present_blobs(parts_.store);
  auto pins = pins_.all();
  if (!pins) return pins.error();
  const auto is_pinned = [&pins](const fs::KnownCommit& commit) {
    return std::any_of(pins->begin(), pins->end(), [&commit](const fs::Pin& pin) {
      return pin.endpoint == commit.endpoint && pin.repo == commit.repo &&
             pin.commit == commit.commit && pin.space == commit.space;
    });
  };
  // Collected first: an item waits for a caller that reads slowly.
  std::vector<std::string> items;
  auto read = fs::for_each_known_commit(
      parts_.meta, parts_.own, [&](const fs::KnownCommit& commit, const fs::ListingParts& listing) {
        items.push_back(as_item(commit, listing, present, is_pinned(commit)));
      });
  if (!read) return read.error();
  for (const std::string& item : items) {
    if (auto sent = caller.item(item); !sent) return sent.error();
  }
  const cache::StoreStats stats = parts_.store.stats();
  JsonWriter out;
  out.begin_object();
  out.key("bytes_used").number(stats.bytes_used);
  out.key("size_limit").number(stats.size_limit);
  out.end_object();
  return out.text();
}

Result<std::string> WorkerCommands::usage(CommandCaller& caller) const {
  using RepoName = std::tuple<cache::Namespace, std::string, hub::RepoId>;  // space, endpoint
  std::map<RepoName, std::set<cache::BlobKey>> repos;
  std::map<cache::BlobKey, std::uint64_t> users;  // of what is here: how many repos
  const Present present = present_blobs(parts_.store);
  auto read = fs::for_each_known_commit(
      parts_.meta, parts_.own, [&](const fs::KnownCommit& commit, const fs::ListingParts& listing) {
        std::set<cache::BlobKey>& of_repo = repos[{commit.space, commit.endpoint, commit.repo}];
        for (const cache::BlobKey& blob : fs::blobs_of(commit.space, listing)) {
          if (present.contains(blob) && of_repo.insert(blob).second) ++users[blob];
        }
      });
  if (!read) return read.error();
  for (const auto& [name, blobs] : repos) {
    if (blobs.empty()) continue;
    const auto& [space, endpoint, repo] = name;
    std::uint64_t bytes = 0;
    std::uint64_t alone = 0;
    for (const cache::BlobKey& blob : blobs) {
      const std::uint64_t here = present.at(blob).bytes;
      bytes += here;
      if (users.at(blob) == 1) alone += here;
    }
    JsonWriter out;
    out.begin_object();
    out.key("type").string(hub::api_segment(repo.type));
    out.key("repo").string(repo.name);
    out.key("endpoint").string(endpoint);
    out.key("namespace").string(space);
    out.key("bytes_cached").number(bytes);
    out.key("bytes_of_it_alone").number(alone);
    out.end_object();
    if (auto sent = caller.item(out.text()); !sent) return sent.error();
  }
  std::map<cache::Namespace, std::uint64_t> spaces;
  std::uint64_t total = 0;
  std::uint64_t unknown = 0;
  for (const auto& [blob, info] : present) {
    spaces[blob.space] += info.bytes;
    total += info.bytes;
    if (!users.contains(blob)) unknown += info.bytes;
  }
  JsonWriter out;
  out.begin_object();
  out.key("namespaces").begin_object();
  for (const auto& [space, bytes] : spaces) out.key(space).number(bytes);
  out.end_object();
  out.key("bytes_cached").number(total);
  out.key("bytes_of_no_known_repo").number(unknown);
  out.key("size_limit").number(parts_.store.stats().size_limit);
  out.end_object();
  return out.text();
}

}  // namespace hubvfs::daemon
