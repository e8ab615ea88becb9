// SPDX-License-Identifier: Apache-2.0
#include "hub/server/route.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "base/text.h"

namespace hubvfs::hub::server {
namespace {

using Kind = Route::Kind;

struct Word {
  std::string_view text;
  Kind kind;
};
constexpr std::array<Word, 7> kApiWords = {{{"revision", Kind::kInfo},
                                            {"refs", Kind::kRefs},
                                            {"tree", Kind::kTree},
                                            {"paths-info", Kind::kPathsInfo},
                                            {"treesize", Kind::kTreeSize},
                                            {"commits", Kind::kCommits},
                                            {"auth-check", Kind::kAuthCheck}}};
constexpr std::array<Word, 2> kFileWords = {{{"resolve", Kind::kResolve}, {"raw", Kind::kRaw}}};

template <std::size_t N>
std::optional<Kind> kind_of(const std::array<Word, N>& words, std::string_view text) {
  for (const Word& word : words) {
    if (word.text == text) return word.kind;
  }
  return {};
}

std::optional<RepoType> type_of(std::string_view segment) {
  for (RepoType type : {RepoType::kModel, RepoType::kDataset, RepoType::kSpace}) {
    if (segment == api_segment(type)) return type;
  }
  return {};
}

// The segments of a path not yet read, each still encoded.
class Segments {
 public:
  explicit Segments(std::string_view path) : path_(path) {
    if (path.starts_with('/')) path.remove_prefix(1);
    if (path.ends_with('/')) path.remove_suffix(1);
    if (!path.empty()) all_ = split(path, '/');
  }
  std::size_t left() const { return all_.size() - next_; }
  std::string_view peek(std::size_t ahead = 0) const {
    return ahead < left() ? all_[next_ + ahead] : std::string_view();
  }
  void skip() { ++next_; }
  std::string take() { return decode(left() > 0 ? all_[next_++] : std::string_view()); }
  // The rest, decoded and joined.
  std::string take_path() {
    std::string path;
    for (bool first = true; left() > 0; first = false) {
      if (!first) path += '/';
      path += take();
    }
    return path;
  }
  std::string take_revision() {
    const bool unencoded_ref =
        peek() == "refs" && (peek(1) == "pr" || peek(1) == "convert") && left() >= 3;
    std::string revision = take();
    for (int i = 0; unencoded_ref && i < 2; ++i) revision += "/" + take();
    return revision;
  }
  // Where in the path the next segment begins, and where the last one taken ended.
  std::size_t begin() const {
    return left() > 0 ? static_cast<std::size_t>(all_[next_].data() - path_.data()) : path_.size();
  }
  std::size_t end() const {
    const std::string_view last = all_[next_ - 1];
    return static_cast<std::size_t>(last.data() + last.size() - path_.data());
  }
  bool malformed() const { return malformed_; }

 private:
  std::string decode(std::string_view segment) {
    auto plain = percent_decode(segment);
    if (!plain) malformed_ = true;
    return std::move(plain).value_or("");
  }

  const std::string_view path_;
  std::vector<std::string_view> all_;
  std::size_t next_ = 0;
  bool malformed_ = false;
};

// "owner/name", or a bare name when the word that must follow a repo id comes right after it. Two
// such words: the first is the name.
template <std::size_t N>
void take_repo(Segments& segments, const std::array<Word, N>& words, Route& route) {
  if (segments.left() == 0) return;
  route.id_begin = segments.begin();
  route.repo.name = segments.take();
  if (segments.left() > 0 &&
      (!kind_of(words, segments.peek()) || kind_of(words, segments.peek(1)))) {
    route.repo.name += "/" + segments.take();
  }
  route.id_end = segments.end();
}

Route api_route(Segments& segments) {
  Route route;
  if (segments.peek() == "whoami-v2" && segments.left() == 1) route.kind = Kind::kWhoami;
  const bool cached = segments.peek() == "resolve-cache";
  if (cached) segments.skip();
  const auto type = type_of(segments.peek());
  if (!type) return route;
  segments.skip();
  route.repo.type = *type;
  if (cached) {
    if (segments.left() < 4) return route;
    route.kind = Kind::kResolveCache;
    take_repo(segments, std::array<Word, 0>{}, route);
    route.revision = segments.take_revision();
    route.path = segments.take_path();
    return route;
  }
  if (segments.left() == 0) {
    route.kind = Kind::kList;
    return route;
  }
  take_repo(segments, kApiWords, route);
  if (segments.left() == 0) {
    route.kind = Kind::kInfo;
    return route;
  }
  const auto kind = kind_of(kApiWords, segments.peek());
  if (!kind) return route;
  segments.skip();
  const bool takes_revision = *kind != Kind::kRefs && *kind != Kind::kAuthCheck;
  if (takes_revision && segments.left() == 0) return route;
  if (takes_revision) route.revision = segments.take_revision();
  if (*kind == Kind::kTree || *kind == Kind::kTreeSize) route.path = segments.take_path();
  if (segments.left() == 0) route.kind = *kind;
  return route;
}

Route file_route(Segments& segments) {
  Route route;
  if (const auto type = type_of(segments.peek()); type && *type != RepoType::kModel) {
    route.repo.type = *type;
    segments.skip();
  }
  take_repo(segments, kFileWords, route);
  const auto kind = kind_of(kFileWords, segments.peek());
  if (!kind || segments.left() < 3) return route;
  segments.skip();
  route.kind = *kind;
  route.revision = segments.take_revision();
  route.path = segments.take_path();
  return route;
}

}  // namespace

std::string with_repo_name(std::string_view raw_path, const Route& route, const std::string& name) {
  std::string path(raw_path.substr(0, route.id_begin));
  path += name;
  path += raw_path.substr(route.id_end);
  return path;
}

Route parse_route(std::string_view raw_path) {
  Segments segments(raw_path);
  Route route;
  if (segments.peek() == "api") {
    segments.skip();
    route = api_route(segments);
  } else {
    route = file_route(segments);
  }
  if (segments.malformed()) route.kind = Kind::kMalformed;
  return route;
}

}  // namespace hubvfs::hub::server
