// SPDX-License-Identifier: Apache-2.0
// The part of WorkerCommands that keeps what is to stay.
#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "daemon/wording.h"
#include "daemon/worker_commands.h"

namespace hubvfs::daemon {
namespace {

std::string shown(const fs::Pin& pin) {
  return pin.repo.name + (pin.revision.empty() ? "" : "@" + fs::encode_revision(pin.revision));
}

bool same_name(const fs::Pin& one, const fs::Pin& other) {
  return one.endpoint == other.endpoint && one.repo == other.repo && one.revision == other.revision;
}

std::uint64_t total_of(const std::vector<cache::BlobKey>& blobs) {
  std::uint64_t bytes = 0;
  for (const cache::BlobKey& blob : blobs) bytes += blob.content.size();
  return bytes;
}

}  // namespace

Result<std::vector<fs::Pin>> WorkerCommands::tell_store() {
  auto pins = pins_.all();
  if (!pins) return pins;
  auto blobs = pins_.blobs(*pins);
  if (!blobs) return blobs.error();
  parts_.store.set_pinned(*blobs);
  return pins;
}

void WorkerCommands::load_pins() {
  const MutexLock lock(pins_mutex_);
  if (auto told = tell_store(); !told) {
    parts_.log.error("what is pinned cannot be read, and may be evicted: " + told.error().context);
  }
}

// Pinned before it is fetched, so that no block of it goes while others come.
Result<void> WorkerCommands::keep(const fs::Pin& pin, const Selection& selection) {
  const MutexLock lock(pins_mutex_);
  auto pins = pins_.all();
  if (!pins) return pins.error();
  std::erase_if(*pins, [&pin](const fs::Pin& other) { return same_name(other, pin); });
  pins->push_back(pin);
  auto blobs = pins_.blobs(*pins);
  if (!blobs) return blobs.error();
  const std::uint64_t bytes = total_of(*blobs);
  const std::uint64_t limit = parts_.store.stats().size_limit;
  if (bytes > limit) {
    return {ErrorCode::kNoSpace,
            "with " + shown(pin) + " (" + human_bytes(selection.bytes) + ") " + exactly(bytes) +
                " would be pinned, and the cache may hold " + exactly(limit) +
                " (cache.size): unpin something, or give it more with -o cache.size=SIZE"};
  }
  if (auto put = pins_.put(pin); !put) return put;
  parts_.store.set_pinned(*blobs);
  return {};
}

Result<std::string> WorkerCommands::pin(const CommandRequest& request, CommandCaller& caller) {
  auto selection = select(request, caller);
  if (!selection) return selection.error();
  const fs::Placed& placed = *selection->placed;
  const fs::Pin pin{parts_.endpoint, placed.info.id, request.revision, placed.info.commit,
                    placed.space};
  if (auto kept = keep(pin, *selection); !kept) return kept.error();
  if (auto wanted = fs::note_evicted(parts_.meta, known(placed), false); !wanted) {
    parts_.log.warning(wanted.error().context);
  }
  auto fetched = fetch(*selection, request.jobs, caller);
  if (!fetched) return fetched.error().within(shown(pin) + " is pinned, but not all of it is here");
  return summary(*selection, *fetched);
}

// By the name it was pinned by, or by its commit.
Result<std::string> WorkerCommands::unpin(const CommandRequest& request) {
  const MutexLock lock(pins_mutex_);
  auto pins = pins_.all();
  if (!pins) return pins.error();
  std::vector<fs::Pin> gone;
  std::vector<fs::Pin> others;
  for (const fs::Pin& pin : *pins) {
    if (pin.endpoint != parts_.endpoint || pin.repo != request.repo) continue;
    const bool meant = pin.revision == request.revision || pin.commit == request.revision;
    (meant ? gone : others).push_back(pin);
  }
  if (gone.empty()) {
    const fs::Pin asked{parts_.endpoint, request.repo, request.revision, "", ""};
    return Error{ErrorCode::kNotFound,
                 shown(asked) + " is not pinned" +
                     (others.empty() ? "; `hubvfs cache ls` shows what is"
                                     : "; pinned is " + some_of(others, shown))};
  }
  for (const fs::Pin& pin : gone) {
    if (auto erased = pins_.erase(pin); !erased) return erased.error();
  }
  if (auto told = tell_store(); !told) return told.error();
  JsonWriter out;
  out.begin_object();
  out.key("unpinned").begin_array();
  for (const fs::Pin& pin : gone) out.string(shown(pin));
  out.end_array();
  out.key("commit").string(gone.front().commit);
  out.key("bytes_pinned").number(parts_.store.stats().pinned_bytes);
  out.end_object();
  return out.text();
}

}  // namespace hubvfs::daemon
