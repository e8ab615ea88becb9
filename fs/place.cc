// SPDX-License-Identifier: Apache-2.0
#include "fs/place.h"

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::fs {

std::string encode_revision(std::string_view revision) {
  std::string written;
  for (const char c : revision) written += c == '/' ? std::string("%2F") : std::string(1, c);
  return written;
}

std::string decode_revision(std::string_view written) {
  std::string revision;
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (written[i] == '%' && to_lower(written.substr(i, 3)) == "%2f") {
      revision += '/';
      i += 2;
    } else {
      revision += written[i];
    }
  }
  return revision;
}

std::optional<Place> Place::parse(std::string_view owner, std::string_view name) {
  const std::size_t at = name.find('@');
  const std::string_view repo = name.substr(0, at);
  Place place;
  if (at != std::string_view::npos) {
    place.revision = decode_revision(name.substr(at + 1));
    if (!hub::is_revision(place.revision)) return {};
  }
  place.repo = owner.empty() ? std::string(repo) : std::string(owner) + "/" + std::string(repo);
  if (!hub::is_repo_name(place.repo)) return {};
  return place;
}

std::string Place::name() const {
  const std::string written = repo.substr(repo.find('/') + 1);
  return revision.empty() ? written : written + "@" + encode_revision(revision);
}

std::string Place::owner() const {
  const std::size_t slash = repo.find('/');
  return slash == std::string::npos ? "" : repo.substr(0, slash);
}

bool Place::pinned() const { return is_commit_id(revision); }

}  // namespace hubvfs::fs
