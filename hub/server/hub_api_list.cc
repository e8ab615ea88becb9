// SPDX-License-Identifier: Apache-2.0
// Lists of repos (hub-protocol A.4).
#include <algorithm>
#include <tuple>

#include "base/text.h"
#include "hub/names.h"
#include "hub/server/hub_api.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::uint64_t kMaxListPage = 1000;

// Place of a repo in a list: by `rank`, then by name. It is the cursor too, so that a page goes on
// behind it even when that repo is gone.
struct Place {
  UnixSeconds rank = 0;
  std::string name;
  bool operator<(const Place& other) const {
    return std::tie(rank, name) < std::tie(other.rank, other.name);
  }
};

std::string to_cursor(const Place& place) {
  const std::string text = std::to_string(place.rank) + " " + place.name;
  return to_hex({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::optional<Place> from_cursor(std::string_view cursor) {
  if (cursor.size() % 2 != 0 || !is_lower_hex(cursor)) return {};
  std::string text;
  for (std::size_t i = 0; i < cursor.size(); i += 2) {
    text += static_cast<char>(hex_digit(cursor[i]) << 4 | hex_digit(cursor[i + 1]));
  }
  const std::size_t blank = text.find(' ');
  if (blank == std::string::npos) return {};
  const bool negative = text.starts_with('-');
  const auto rank = parse_decimal(std::string_view(text).substr(negative, blank - negative));
  if (!rank || *rank > static_cast<std::uint64_t>(INT64_MAX)) return {};
  const auto value = static_cast<UnixSeconds>(*rank);
  return Place{negative ? -value : value, text.substr(blank + 1)};
}

// Dates sort newest first unless direction=1; whatever else there is to sort by is equal for all.
Place place_of(const RepoSnapshot& snapshot, const std::string& sort, bool ascending) {
  UnixSeconds rank = 0;
  if (sort == "lastModified") rank = snapshot.last_modified();
  if (sort == "createdAt") rank = snapshot.created();
  return {ascending ? rank : -rank, snapshot.repo().name};
}

bool fits(const ServedRepo& repo, const std::string& user, const HttpParameters& parameters) {
  const std::string& name = repo.revisions->main()->repo().name;
  if (!repo.settings->may_see(user)) return false;
  const auto author = parameter(parameters, "author");
  if (author && !author->empty() && !name.starts_with(*author + "/")) return false;
  const auto search = parameter(parameters, "search");
  if (search && to_lower(name).find(to_lower(*search)) == std::string::npos) return false;
  // No repo here has tags, so a filter on them leaves none.
  const auto filter = parameter(parameters, "filter");
  return !filter || filter->empty();
}

}  // namespace

HttpAnswer HubApi::list(const Call& call) {
  std::uint64_t limit = kMaxListPage;
  if (const auto asked = parameter(call.parameters, "limit")) {
    const auto number = parse_decimal(*asked);
    if (!number || *number == 0) return error(call, 400, "", "* Invalid number * at limit");
    limit = std::min(limit, *number);
  }
  limit = std::max<std::uint64_t>(1, std::min(limit, options_.page_size));
  std::optional<Place> behind;
  if (const auto cursor = parameter(call.parameters, "cursor")) {
    behind = from_cursor(*cursor);
    if (!behind) return error(call, 400, "", "* Invalid cursor * at cursor");
  }
  const std::string sort = parameter(call.parameters, "sort").value_or("");
  const bool ascending = parameter(call.parameters, "direction").value_or("") == "1";
  std::vector<std::pair<Place, ServedRepo>> found;
  for (ServedRepo& repo : catalog_.list(call.route.repo.type)) {
    if (!fits(repo, call.user, call.parameters)) continue;
    Place place = place_of(*repo.revisions->main(), sort, ascending);
    if (!behind || *behind < place) found.emplace_back(std::move(place), std::move(repo));
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  const std::size_t count = std::min<std::size_t>(found.size(), limit);
  JsonWriter page;
  page.begin_array();
  for (std::size_t i = 0; i < count; ++i) {
    const ServedRepo& repo = found[i].second;
    add_list_item(page, *repo.revisions->main(), *repo.settings, call.flag("full"));
  }
  page.end_array();
  HttpAnswer answer = json(call, page.text());
  if (count < found.size()) {
    std::string next = call.urls.hub + "/api/" + api_segment(call.route.repo.type) + "?";
    for (const auto& [name, value] : call.parameters) {
      if (name != "cursor") next += percent_encode(name) + "=" + percent_encode(value) + "&";
    }
    answer.add("Link",
               "<" + next + "cursor=" + to_cursor(found[count - 1].first) + ">; rel=\"next\"");
  }
  return answer;
}

}  // namespace hubvfs::hub::server
