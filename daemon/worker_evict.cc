// SPDX-License-Identifier: Apache-2.0
// The part of WorkerCommands that drops what is in the cache, by name, by age and because it is
// wrong.
#include <algorithm>
#include <map>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "daemon/worker_commands.h"

namespace hubvfs::daemon {
namespace {

// Why a blob stays, the strongest reason first.
enum class Kept { kPinned, kInUse, kShared, kNot };

bool is_meant(const fs::KnownCommit& commit, const CommandRequest& request,
              const std::string& endpoint) {
  if (commit.endpoint != endpoint || commit.repo != request.repo) return false;
  if (request.revision.empty() || request.revision == commit.commit) return true;
  const auto& names = commit.revisions;
  // The default branch is shown by a place without a revision.
  return std::find(names.begin(), names.end(), request.revision) != names.end() ||
         (request.revision == "main" && std::find(names.begin(), names.end(), "") != names.end());
}

bool is_pinned(const fs::KnownCommit& commit, const std::vector<fs::Pin>& pins) {
  return std::any_of(pins.begin(), pins.end(), [&commit](const fs::Pin& pin) {
    return pin.endpoint == commit.endpoint && pin.repo == commit.repo &&
           pin.commit == commit.commit && pin.space == commit.space;
  });
}

// What an eviction is about, and which of it others use.
class Eviction {
 public:
  Eviction(const CommandRequest& request, std::string endpoint, const std::vector<fs::Pin>& pins,
           const std::map<cache::BlobKey, std::uint64_t>& present)
      : request_(request), endpoint_(std::move(endpoint)), pins_(pins), present_(present) {}

  void find(const fs::KnownCommit& commit, const fs::ListingParts& listing) {
    if (!is_meant(commit, request_, endpoint_)) return;
    any_ = true;
    if (is_pinned(commit, pins_)) return;  // then it is one of the others
    targets.push_back(commit);
    for (const cache::BlobKey& blob : fs::blobs_of(commit.space, listing)) {
      if (present_.contains(blob)) blobs.emplace(blob, Kept::kNot);
    }
  }

  void spare(const fs::KnownCommit& commit, const fs::ListingParts& listing) {
    const bool pinned = is_pinned(commit, pins_);
    if (!pinned && is_meant(commit, request_, endpoint_)) return;
    const auto used = fs::blobs_of(commit.space, listing);
    // One that was evicted itself does not hold on to what it had in common with others, unless
    // something of it alone has been read again.
    const bool gone = commit.evicted && !pinned &&
                      std::none_of(used.begin(), used.end(), [this](const cache::BlobKey& blob) {
                        return !blobs.contains(blob) && present_.contains(blob);
                      });
    if (gone) return;
    for (const cache::BlobKey& blob : used) {
      const auto at = blobs.find(blob);
      if (at != blobs.end())
        at->second = std::min(at->second, pinned ? Kept::kPinned : Kept::kShared);
    }
  }

  bool found_any() const { return any_; }
  std::vector<fs::KnownCommit> targets;
  std::map<cache::BlobKey, Kept> blobs;  // of what is here

 private:
  const CommandRequest& request_;
  const std::string endpoint_;
  const std::vector<fs::Pin>& pins_;
  const std::map<cache::BlobKey, std::uint64_t>& present_;
  bool any_ = false;
};

std::string shown(const CommandRequest& request) {
  return request.repo.name +
         (request.revision.empty() ? "" : "@" + fs::encode_revision(request.revision));
}

}  // namespace

Result<std::string> WorkerCommands::evict(const CommandRequest& request, CommandCaller& caller) {
  std::map<cache::BlobKey, std::uint64_t> present;
  parts_.store.for_each_blob(
      [&present](const cache::BlobInfo& info) { present.emplace(info.key, info.bytes); });
  auto pins = pins_.all();
  if (!pins) return pins.error();
  Eviction eviction(request, parts_.endpoint, *pins, present);
  const auto find = [&](const auto& commit, const auto& listing) {
    eviction.find(commit, listing);
  };
  const auto spare = [&](const auto& commit, const auto& listing) {
    eviction.spare(commit, listing);
  };
  if (auto read = fs::for_each_known_commit(parts_.meta, parts_.own, find); !read) {
    return read.error();
  }
  if (!eviction.found_any()) {
    return Error{ErrorCode::kNotFound, "nothing is known of " + shown(request) + " at " +
                                           parts_.endpoint + "; `hubvfs cache ls` shows what is"};
  }
  if (eviction.targets.empty()) {
    return Error{ErrorCode::kBusy, shown(request) + " is pinned: `hubvfs unpin " + shown(request) +
                                       "` lets go of it"};
  }
  if (auto read = fs::for_each_known_commit(parts_.meta, parts_.own, spare); !read) {
    return read.error();
  }
  std::uint64_t freed = 0;
  std::map<Kept, std::uint64_t> kept;
  for (auto& [blob, why] : eviction.blobs) {
    if (caller.cancelled()) return Error{ErrorCode::kCancelled, "stopped"};
    if (why == Kept::kNot) {
      auto evicted = parts_.store.evict(blob);
      if (evicted) {
        freed += *evicted;
        continue;
      }
      if (evicted.error().code != ErrorCode::kBusy) return evicted.error();
      why = Kept::kInUse;
    }
    kept[why] += present.at(blob);
  }
  for (const fs::KnownCommit& commit : eviction.targets) {
    if (auto noted = fs::note_evicted(parts_.meta, commit, true); !noted) return noted.error();
  }
  JsonWriter out;
  out.begin_object();
  out.key("repo").string(request.repo.name);
  out.key("commits").begin_array();
  for (const fs::KnownCommit& commit : eviction.targets) out.string(commit.commit);
  out.end_array();
  out.key("bytes_freed").number(freed);
  out.key("bytes_kept_pinned").number(kept[Kept::kPinned]);
  out.key("bytes_kept_for_others").number(kept[Kept::kShared]);
  out.key("bytes_kept_in_use").number(kept[Kept::kInUse]);
  out.end_object();
  return out.text();
}

Result<std::string> WorkerCommands::prune(const CommandRequest& request) {
  const std::uint64_t limit = parts_.store.stats().size_limit;
  cache::PruneOptions options;
  if (request.older_than) options.older_than = std::chrono::seconds(*request.older_than);
  if (request.to_bytes) options.to_bytes = *request.to_bytes;
  if (request.to_percent) {
    options.to_bytes = limit / 100 * *request.to_percent + limit % 100 * *request.to_percent / 100;
  }
  auto freed = parts_.store.prune(options);
  if (!freed) return freed.error();
  const cache::StoreStats stats = parts_.store.stats();
  JsonWriter out;
  out.begin_object();
  out.key("bytes_freed").number(*freed);
  out.key("bytes_used").number(stats.bytes_used);
  out.key("bytes_pinned").number(stats.pinned_bytes);
  out.key("to_bytes").number(options.to_bytes.value_or(limit));
  out.key("size_limit").number(limit);
  out.end_object();
  return out.text();
}

// The store knows contents only: the files that have them are looked up where there is a problem.
Result<void> WorkerCommands::name_problems(const std::vector<std::string>& problems,
                                           CommandCaller& caller) const {
  std::map<std::string, std::string> files;  // "SPACE CONTENT" to where that is first found
  for (const std::string& problem : problems) files[problem.substr(0, problem.find(": "))];
  auto read = fs::for_each_known_commit(
      parts_.meta, parts_.own, [&](const fs::KnownCommit& commit, const fs::ListingParts& listing) {
        if (files.empty()) return;
        for (const fs::Snapshot& part : listing) {
          for (std::uint32_t i = 0; i < part.size(); ++i) {
            const auto& content = part.entry(i).content;
            if (!content) continue;
            const auto at = files.find(commit.space + " " + content->to_string());
            if (at == files.end() || !at->second.empty()) continue;
            at->second = commit.repo.name + "@" + commit.commit + "/" + part.path(i);
          }
        }
      });
  if (!read) return read;
  for (const std::string& problem : problems) {
    JsonWriter out;
    out.begin_object();
    out.key("file").string(files[problem.substr(0, problem.find(": "))]);
    out.key("problem").string(problem);
    out.end_object();
    if (auto sent = caller.item(out.text()); !sent) return sent;
  }
  return {};
}

Result<std::string> WorkerCommands::verify(const CommandRequest& request, CommandCaller& caller) {
  auto report =
      parts_.store.verify(request.repair, [&caller](std::uint64_t done, std::uint64_t total) {
        caller.progress({"checking", done, total, 0, 0, ""});
        return !caller.cancelled();
      });
  if (!report) return report.error();
  if (auto named = name_problems(report->problems, caller); !named) return named.error();
  JsonWriter out;
  out.begin_object();
  out.key("blobs").number(report->blobs);
  out.key("blocks").number(report->blocks);
  out.key("bytes").number(report->bytes);
  out.key("bad_blocks").number(report->bad_blocks);
  out.key("bad_blobs").number(report->bad_blobs);
  out.key("repaired").boolean(request.repair);
  out.end_object();
  return out.text();
}

}  // namespace hubvfs::daemon
