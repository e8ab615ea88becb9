// SPDX-License-Identifier: Apache-2.0
#include "fs/known_commits.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "fs/metadata_keys.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint32_t kPinFormat = 1;
// In the place of the endpoint, which is a URL: so that the pins of all endpoints are found at
// once.
constexpr std::string_view kPinPrefix = "pin";

using CommitName = std::tuple<std::string, hub::RepoType, std::string, std::string>;

// By which revisions places show commits, and which commits were evicted.
struct Names {
  std::map<CommitName, std::set<std::string>> revisions;
  std::set<std::pair<cache::Namespace, CommitName>> evicted;
};

CommitName name_of(const MetadataKey& key, std::string_view repo, std::string_view commit) {
  return {std::string(key.endpoint), key.type, std::string(repo), std::string(commit)};
}

Result<void> read_names(const cache::MetaStore& meta, const cache::Namespace& space, Names& names) {
  std::map<std::tuple<std::string, hub::RepoType, std::uint32_t>, PlacedRecord> serials;
  std::vector<std::tuple<std::string, hub::RepoType, std::uint32_t>> shown;
  auto read = meta.for_each(space, "", [&](std::string_view text, ByteView value) {
    const auto key = MetadataKey::parse(text);
    if (!key) return;
    const std::string endpoint(key->endpoint);
    if (key->kind == "serial") {
      const auto serial = parse_serial(as_bytes(key->rest));
      auto record = PlacedRecord::decode(value, key->type);
      if (serial && record) serials[{endpoint, key->type, *serial}] = std::move(*record);
    } else if (key->kind == "ref") {
      if (const auto serial = parse_serial(value)) shown.emplace_back(endpoint, key->type, *serial);
    } else if (key->kind == "evicted") {
      const auto commit = parse_commit_rest(key->rest);
      if (commit) names.evicted.emplace(space, name_of(*key, commit->first, commit->second));
    }
  });
  if (!read) return read;
  for (const auto& name : shown) {
    const auto at = serials.find(name);
    if (at == serials.end() || at->second.place.pinned()) continue;
    const PlacedRecord& record = at->second;
    names.revisions[{std::get<0>(name), std::get<1>(name), record.info.id.name, record.info.commit}]
        .insert(record.place.revision);
  }
  return {};
}

KnownCommit describe(const Names& names, const MetadataKey& key,
                     const std::pair<std::string_view, std::string_view>& commit,
                     const cache::Namespace& space) {
  const CommitName name = name_of(key, commit.first, commit.second);
  KnownCommit known;
  known.endpoint = std::string(key.endpoint);
  known.repo = {key.type, std::string(commit.first)};
  known.commit = std::string(commit.second);
  known.space = space;
  known.partial = key.kind == "partial";
  known.evicted = names.evicted.contains({space, name});
  if (const auto at = names.revisions.find(name); at != names.revisions.end()) {
    known.revisions.assign(at->second.begin(), at->second.end());
  }
  return known;
}

std::vector<cache::Namespace> namespaces(const cache::Namespace& own) {
  if (own == "public") return {own};
  return {"public", own};
}

}  // namespace

Result<void> for_each_known_commit(
    const cache::MetaStore& meta, const cache::Namespace& own,
    const std::function<void(const KnownCommit&, const ListingParts&)>& visit) {
  Names names;
  for (const cache::Namespace& space : namespaces(own)) {
    if (auto read = read_names(meta, space, names); !read) return read;
  }
  for (const cache::Namespace& space : namespaces(own)) {
    std::string seen;  // the key of the commit whose parts are being collected
    KnownCommit known;
    ListingParts parts;
    const auto give = [&] {
      known.partial |= !is_whole(parts);
      if (!parts.empty()) visit(known, parts);
      parts.clear();
    };
    auto read = meta.for_each(space, "", [&](std::string_view text, ByteView value) {
      const auto key = MetadataKey::parse(text);
      if (!key || (key->kind != "tree" && key->kind != "partial")) return;
      const auto commit = parse_listing_rest(key->rest);
      auto snapshot = Snapshot::decode(value);
      if (!commit || !snapshot) return;
      // The parts of one commit follow each other.
      const std::string rest = commit_rest(commit->first, commit->second);
      std::string its_key = MetadataKey{key->endpoint, key->type, key->kind, rest}.text();
      if (its_key != seen) {
        give();
        seen = std::move(its_key);
        known = describe(names, *key, *commit, space);
      }
      parts.push_back(std::move(*snapshot));
    });
    if (!read) return read;
    give();
  }
  return {};
}

std::vector<cache::BlobKey> blobs_of(const cache::Namespace& space, const ListingParts& listing) {
  std::vector<cache::BlobKey> blobs;
  std::unordered_set<ContentId> seen;
  for (const Snapshot& part : listing) {
    for (std::uint32_t i = 0; i < part.size(); ++i) {
      const auto& content = part.entry(i).content;
      if (content && content->size() != 0 && seen.insert(*content).second) {
        blobs.push_back({space, *content});
      }
    }
  }
  return blobs;
}

Result<void> note_evicted(cache::MetaStore& meta, const KnownCommit& commit, bool evicted) {
  const std::string rest = commit_rest(commit.repo.name, commit.commit);
  const std::string key = MetadataKey{commit.endpoint, commit.repo.type, "evicted", rest}.text();
  return evicted ? meta.put(commit.space, key, {}) : meta.erase(commit.space, key);
}

// "pin" NUL type NUL endpoint NUL repo NUL revision.
std::string Pins::key(const Pin& pin) {
  std::string rest = pin.repo.name;
  rest += '\0';
  rest += pin.revision;
  return MetadataKey{kPinPrefix, pin.repo.type, pin.endpoint, rest}.text();
}

Result<std::vector<Pin>> Pins::all() const {
  std::vector<Pin> pins;
  auto read = meta_.for_each(
      own_, std::string(kPinPrefix) + '\0', [&](std::string_view text, ByteView value) {
        const auto key = MetadataKey::parse(text);
        if (!key) return;
        const std::size_t end = key->rest.find('\0');
        ByteReader in(value);
        Pin pin;
        const bool known = in.integer<std::uint32_t>() == kPinFormat;
        pin.commit = in.string();
        pin.space = in.string();
        if (!known || !in.ok() || !in.at_end() || end == std::string_view::npos) return;
        pin.endpoint = std::string(key->kind);
        pin.repo = {key->type, std::string(key->rest.substr(0, end))};
        pin.revision = std::string(key->rest.substr(end + 1));
        pins.push_back(std::move(pin));
      });
  if (!read) return read.error();
  return pins;
}

Result<void> Pins::put(const Pin& pin) {
  ByteWriter value;
  value.integer(kPinFormat);
  value.string(pin.commit);
  value.string(pin.space);
  return meta_.put(own_, key(pin), value.bytes());
}

Result<void> Pins::erase(const Pin& pin) { return meta_.erase(own_, key(pin)); }

Result<std::vector<cache::BlobKey>> Pins::blobs(const std::vector<Pin>& pins) const {
  std::set<cache::BlobKey> all;
  for (const Pin& pin : pins) {
    const std::string rest = commit_rest(pin.repo.name, pin.commit);
    for (const char* kind : {"tree", "partial"}) {
      const MetadataKey key{pin.endpoint, pin.repo.type, kind, rest};
      ListingParts listing;
      auto read = meta_.for_each(pin.space, key.text(), [&](std::string_view, ByteView value) {
        if (auto part = Snapshot::decode(value)) listing.push_back(std::move(*part));
      });
      if (!read) return read.error();
      for (cache::BlobKey& blob : blobs_of(pin.space, listing)) all.insert(std::move(blob));
    }
  }
  return std::vector<cache::BlobKey>(all.begin(), all.end());
}

}  // namespace hubvfs::fs
