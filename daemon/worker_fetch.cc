// SPDX-License-Identifier: Apache-2.0
// The part of WorkerCommands that finds files of a repo and brings them into the cache.
#include <algorithm>
#include <unordered_set>

#include "base/json.h"
#include "base/text.h"
#include "daemon/awaited.h"
#include "daemon/wording.h"
#include "daemon/worker_commands.h"
#include "fs/file_patterns.h"
#include "fs/prefetcher.h"

namespace hubvfs::daemon {
namespace {

Error some_failed(const std::vector<fs::PrefetchFailure>& failed, std::size_t files) {
  return {failed.front().error.code,
          std::to_string(failed.size()) + " of " + std::to_string(files) +
              " files cannot be had, the others are here: " +
              some_of(failed, [](const fs::PrefetchFailure& failure) {
                return escape_for_log(failure.path) + " (" + failure.error.context + ")";
              })};
}

}  // namespace

// The commit to work on; asks the Hub, and takes what is known where that cannot be reached.
Result<fs::PlacedPtr> WorkerCommands::newest(const CommandRequest& request,
                                             CommandCaller& caller) const {
  auto catalog = parts_.backend.catalog(request.repo.type);
  if (!catalog) return catalog.error();
  fs::Place place{request.repo.name, request.revision};
  for (int names = 0; names < 2; ++names) {
    const Awaited<fs::Catalog::Resolved> answer;
    (*catalog)->refresh(place, answer.callback());
    auto resolved = answer.get([&caller] { return caller.cancelled(); });
    if (!resolved) return resolved.error();
    if (resolved->placed) return resolved->placed;
    place.repo = resolved->renamed;
  }
  return {ErrorCode::kBadAnswer,
          request.repo.name + " was renamed to " + escape_for_log(place.repo) + ", and that again"};
}

Error WorkerCommands::gated(const fs::Placed& placed, const std::string& path) const {
  return {ErrorCode::kGated, escape_for_log(path) + " of " + placed.info.id.name +
                                 " is gated, and not granted to this user: ask for access at " +
                                 parts_.endpoint + "/" + hub::route_prefix(placed.info.id.type) +
                                 placed.info.id.name};
}

Result<WorkerCommands::Selection> WorkerCommands::select(const CommandRequest& request,
                                                         CommandCaller& caller) const {
  auto placed = newest(request, caller);
  if (!placed) return placed.error();
  auto catalog = parts_.backend.catalog(request.repo.type);
  if (!catalog) return catalog.error();
  const Awaited<fs::SnapshotPtr> answer;
  (*catalog)->whole_listing(*placed, answer.callback());
  auto snapshot = answer.get([&caller] { return caller.cancelled(); });
  if (!snapshot) return snapshot.error();
  Selection made{*placed, *snapshot, {}, 0};
  const fs::FilePatterns patterns{request.include, request.exclude};
  std::unordered_set<ContentId> seen;
  for (std::uint32_t i = 0; i < made.snapshot->size(); ++i) {
    const fs::Snapshot::Entry& entry = made.snapshot->entry(i);
    if (entry.is_directory) continue;
    std::string path = made.snapshot->path(i);
    if (!patterns.choose(path)) continue;
    if (!entry.content) return gated(*made.placed, path);
    if (seen.insert(*entry.content).second) made.bytes += entry.size;
    made.files.push_back({made.placed->info.id, made.placed->info.commit, std::move(path),
                          entry.is_lfs, *entry.content});
  }
  if (made.files.empty() && made.snapshot->size() > 1) {
    return Error{ErrorCode::kNotFound,
                 "no file of " + made.placed->place.text() +
                     " is both included and not excluded; a pattern is for the "
                     "whole path, as in \"*.json\" or \"onnx/\""};
  }
  const std::uint64_t limit = parts_.store.stats().size_limit;
  if (made.bytes > limit) {
    return Error{
        ErrorCode::kNoSpace,
        made.placed->place.text() + " has " + exactly(made.bytes) +
            " of what is asked for, and the cache may hold " + exactly(limit) +
            " (cache.size): choose fewer files with --include and --exclude, or give it more "
            "with -o cache.size=SIZE"};
  }
  return made;
}

// Returns once all of it is here, with how many bytes were fetched for that.
Result<std::uint64_t> WorkerCommands::fetch(const Selection& selection, unsigned jobs,
                                            CommandCaller& caller) const {
  fs::Prefetcher prefetcher(parts_.backend.reader(), parts_.store, parts_.hub);
  const cache::Namespace& space = selection.placed->space;
  if (!parts_.offline_because.empty()) {
    auto missing = prefetcher.missing(space, selection.files);
    if (!missing) return missing.error();
    if (missing->empty()) return std::uint64_t{0};
    return Error{
        ErrorCode::kOffline,
        "offline because of " + parts_.offline_because + ", and " +
            std::to_string(missing->size()) + " of " + std::to_string(selection.files.size()) +
            " files of " + selection.placed->place.text() + " are not whole in the cache: " +
            some_of(*missing, [](const hub::FileRef& file) { return escape_for_log(file.path); })};
  }
  const auto outcome =
      prefetcher.run(space, selection.files, {jobs}, [&caller](const fs::PrefetchState& state) {
        caller.progress(
            {"fetching", state.bytes_here, state.bytes, state.files_here, state.files, state.now});
        return !caller.cancelled();
      });
  tell_kernels(selection);
  if (!outcome) return outcome.error();
  if (!outcome->failed.empty()) return some_failed(outcome->failed, selection.files.size());
  return outcome->state.bytes_fetched;
}

// What they keep of the attributes of files of which nothing was here.
void WorkerCommands::tell_kernels(const Selection& selection) const {
  auto catalog = parts_.backend.catalog(selection.placed->info.id.type);
  if (!catalog) return;  // it ends: so do they
  for (const hub::FileRef& file : selection.files) {
    (*catalog)->note_content_changed(selection.placed, file.path);
  }
}

fs::KnownCommit WorkerCommands::known(const fs::Placed& placed) const {
  return {parts_.endpoint, placed.info.id, placed.info.commit, placed.space, {},
          false,           placed.partial};
}

std::string WorkerCommands::summary(const Selection& selection, std::uint64_t fetched) const {
  const fs::Placed& placed = *selection.placed;
  JsonWriter out;
  out.begin_object();
  out.key("type").string(hub::api_segment(placed.info.id.type));
  out.key("repo").string(placed.info.id.name);
  out.key("revision").string(placed.place.revision);
  out.key("commit").string(placed.info.commit);
  out.key("endpoint").string(parts_.endpoint);
  out.key("files").number(static_cast<std::uint64_t>(selection.files.size()));
  out.key("bytes").number(selection.bytes);
  out.key("bytes_fetched").number(fetched);
  out.end_object();
  return out.text();
}

Result<std::string> WorkerCommands::prefetch(const CommandRequest& request, CommandCaller& caller) {
  auto selection = select(request, caller);
  if (!selection) return selection.error();
  auto fetched = fetch(*selection, request.jobs, caller);
  if (!fetched) return fetched.error();
  if (auto wanted = fs::note_evicted(parts_.meta, known(*selection->placed), false); !wanted) {
    parts_.log.warning(wanted.error().context);
  }
  return summary(*selection, *fetched);
}

}  // namespace hubvfs::daemon
