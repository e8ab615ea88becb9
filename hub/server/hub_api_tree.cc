// SPDX-License-Identifier: Apache-2.0
// Listings of files (hub-protocol C).
#include <algorithm>
#include <optional>

#include "base/text.h"
#include "hub/server/hub_api.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::uint64_t kMaxTreePage = 1000;
constexpr std::uint64_t kMaxExpandedPage = 100;

// Where a listing goes on: the entry at `index` of that commit, whatever its branch is at by then.
struct Cursor {
  std::string commit;
  std::size_t index = 0;
};
std::string to_text(const Cursor& cursor) {
  return cursor.commit + "-" + std::to_string(cursor.index);
}
std::optional<Cursor> parse_cursor(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos || !is_commit_id(text.substr(0, dash))) return {};
  const auto index = parse_decimal(text.substr(dash + 1));
  if (!index) return {};
  return Cursor{std::string(text.substr(0, dash)), *index};
}

}  // namespace

HttpAnswer HubApi::tree(const Call& call) const {
  const std::uint64_t most = call.flag("expand") ? kMaxExpandedPage : kMaxTreePage;
  std::uint64_t limit = most;
  if (const auto asked = parameter(call.parameters, "limit")) {
    const auto number = parse_decimal(*asked);
    if (!number || *number == 0) return error(call, 400, "", "* Invalid number * at limit");
    if (*number > most) {
      return error(call, 400, "",
                   "* Too big: expected number to be <=" + std::to_string(most) + " * at limit");
    }
    limit = *number;
  }
  limit = std::max<std::uint64_t>(1, std::min(limit, options_.page_size));
  TreePage page{call.snapshot, 0, 0, limit};
  std::optional<Cursor> cursor;
  if (const auto text = parameter(call.parameters, "cursor")) {
    cursor = parse_cursor(*text);
    page.snapshot = cursor ? call.repo.revisions->find(cursor->commit) : nullptr;
    if (!page.snapshot) return error(call, 400, "", "* Invalid cursor * at cursor");
  }
  page.end = page.snapshot->entries().size();
  if (!call.route.path.empty()) {
    const SnapshotEntry* directory = page.snapshot->find(call.route.path);
    if (directory == nullptr || !directory->is_directory) return missing_directory(call);
    page.begin = static_cast<std::size_t>(directory - page.snapshot->entries().data()) + 1;
    page.end = directory->subtree_end;
  }
  if (cursor && (cursor->index < page.begin || cursor->index > page.end)) {
    return error(call, 400, "", "* Invalid cursor * at cursor");
  }
  if (cursor) page.begin = cursor->index;
  return tree_page(call, page);
}

HttpAnswer HubApi::tree_page(const Call& call, const TreePage& wanted) const {
  const auto& entries = wanted.snapshot->entries();
  const bool recursive = call.flag("recursive");
  const bool expand = call.flag("expand");
  JsonWriter page;
  page.begin_array();
  std::size_t at = wanted.begin;
  for (std::uint64_t count = 0; at < wanted.end && count < wanted.limit; ++count) {
    add_entry(page, *wanted.snapshot, entries[at], {expand, !call.granted});
    at = recursive ? at + 1 : entries[at].subtree_end;
  }
  page.end_array();
  HttpAnswer answer = json(call, page.text());
  if (at < wanted.end) {
    answer.add("Link", "<" + call.urls.hub + url_path(call.request.path) +
                           "?recursive=" + (recursive ? "true" : "false") + "&expand=" +
                           (expand ? "true" : "false") + "&limit=" + std::to_string(wanted.limit) +
                           "&cursor=" + to_text({wanted.snapshot->commit(), at}) +
                           ">; rel=\"next\"");
  }
  return answer;
}

HttpAnswer HubApi::missing_directory(const Call& call) const {
  return error(call, 404, "EntryNotFound",
               call.route.path + " does not exist on \"" + call.route.revision + "\"");
}

HttpAnswer HubApi::tree_size(const Call& call) const {
  const RepoSnapshot& snapshot = *call.snapshot;
  std::uint64_t size = 0;
  for (const SnapshotEntry& entry : snapshot.entries()) {
    if (call.route.path.empty() || entry.path == call.route.path ||
        entry.path.starts_with(call.route.path + "/")) {
      size += entry.size;
    }
  }
  if (!call.route.path.empty() && snapshot.find(call.route.path) == nullptr) {
    return missing_directory(call);
  }
  JsonWriter answer;
  answer.begin_object().key("path").string(call.route.path).key("size").number(size).end_object();
  return json(call, answer.text());
}

HttpAnswer HubApi::paths_info(const Call& call) const {
  const auto asked = parse_paths_asked(call.request.header("content-type"), call.request.body);
  if (!asked) return error(call, 400, "", asked.error().context);
  JsonWriter found;
  found.begin_array();
  for (const std::string& path : asked->paths) {
    const SnapshotEntry* entry = call.snapshot->find(path);
    if (entry == nullptr) continue;
    add_entry(found, *call.snapshot, *entry, {asked->expand, !call.granted});
  }
  found.end_array();
  return json(call, found.text());
}

}  // namespace hubvfs::hub::server
