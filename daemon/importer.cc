// SPDX-License-Identifier: Apache-2.0
#include "daemon/importer.h"

#include <algorithm>
#include <utility>

#include "base/blocking.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mutex.h"
#include "base/text.h"
#include "daemon/awaited.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kPiece = 1u << 20;
constexpr std::size_t kSha1Digits = 40;
constexpr std::size_t kSha256Digits = 64;
constexpr std::uint64_t kMostInMemory = 8u << 20;  // of blocks on their way to the disk

}  // namespace

// So that the store is never handed more than it takes: it forgets what is too much. Shared with
// blocks that the store has not let go of yet.
class Importer::Allowance {
 public:
  void take(std::uint64_t bytes) EXCLUDES(mutex_) {
    assert_may_block("an import");
    MutexLock lock(mutex_);
    while (out_ != 0 && out_ + bytes > kMostInMemory) changed_.wait(mutex_);
    out_ += bytes;
  }
  void give_back(std::uint64_t bytes) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    out_ -= bytes;
    changed_.notify_one();
  }

 private:
  Mutex mutex_;  // lock rank: leaf
  CondVar changed_;
  std::uint64_t out_ GUARDED_BY(mutex_) = 0;
};

namespace {

// The Hub has said nothing about the commit.
bool is_no_answer(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kOffline ||
         code == ErrorCode::kTimedOut || code == ErrorCode::kRateLimited;
}

}  // namespace

Importer::Importer(ImportParts parts, const UserFolder& folder, UserFolder::Links links,
                   CommandCaller& caller)
    : parts_(std::move(parts)),
      folder_(folder),
      links_(links),
      caller_(caller),
      allowance_(std::make_shared<Allowance>()) {}

std::shared_ptr<const Bytes> Importer::counted(ByteView bytes) const {
  const std::uint64_t size = bytes.size();
  allowance_->take(size);
  return {new Bytes(bytes.begin(), bytes.end()), [allowance = allowance_, size](const Bytes* held) {
            delete held;
            allowance->give_back(size);
          }};
}

void Importer::expect(std::uint64_t files, std::uint64_t bytes) {
  progress_ = {"importing", 0, bytes, 0, files, ""};
}

void Importer::done(std::uint64_t bytes) {
  progress_.done += bytes;
  caller_.progress(progress_);
}

// How far a file is that is not done: read twice, once to be hashed and once to be copied, each of
// which counts for half of its bytes.
void Importer::show_half(std::uint64_t bytes) {
  CommandProgress within = progress_;
  within.done += bytes / 2;
  caller_.progress(within);
}

Result<void> Importer::problem(const std::string& what, const std::string& why) {
  ++counts_.problems;
  JsonWriter out;
  out.begin_object();
  out.key("file").string(what);
  out.key("problem").string(why);
  out.end_object();
  return caller_.item(out.text());
}

// By its own name, since what its branches show now may be another.
Result<Importer::Known> Importer::ask_hub(fs::Catalog& catalog, const ImportCommit& commit) const {
  const auto stop = [this] { return cancelled(); };
  const Awaited<fs::Catalog::Resolved> resolved;
  catalog.resolve({commit.info.id.name, commit.info.commit}, resolved.callback());
  auto placed = resolved.get(stop);
  if (!placed) return placed.error();
  if (!placed->placed)
    return Error{ErrorCode::kNotFound, "renamed to " + escape_for_log(placed->renamed)};
  const Awaited<fs::SnapshotPtr> listed;
  catalog.whole_listing(placed->placed, listed.callback());
  auto snapshot = listed.get(stop);
  if (!snapshot) return snapshot.error();
  return Known{placed->placed, *snapshot};
}

// The names that lead to the commit. Where the Hub answers, what it says holds.
Result<void> Importer::learn_revisions(fs::Catalog& catalog, const ImportCommit& commit,
                                       const Known& known) const {
  for (const std::string& revision : commit.revisions) {
    const fs::Place place{commit.info.id.name, revision};
    if (!parts_.offline && !place.pinned()) {
      const Awaited<fs::Catalog::Resolved> answer;
      catalog.refresh(place, answer.callback());
      auto resolved = answer.get([this] { return cancelled(); });
      if (!resolved && resolved.error().code == ErrorCode::kCancelled) return resolved.error();
      if (resolved || !is_no_answer(resolved.error().code)) continue;
    }
    hub::RepoInfo info = known.placed->info;
    info.last_modified = std::max(info.last_modified, commit.info.last_modified);
    const auto kind =
        known.placed->partial ? fs::Catalog::Listing::kPartial : fs::Catalog::Listing::kWhole;
    auto learnt = catalog.learn(place, info, *known.snapshot, kind);
    if (!learnt) return learnt.error();
  }
  return {};
}

// What the Hub calls a file, found out from the file itself where the folder does not tell.
Result<ContentId> Importer::id_of(const ImportFile& file) const {
  constexpr std::uint64_t kLeastLfs = 10u << 20;  // most are LFS files from here on
  auto fd = folder_.open_file(file.source, links_);
  if (!fd) return fd.error();
  auto size = size_of(fd->get());
  if (!size) return size.error();
  const bool is_lfs =
      file.etag.size() == kSha256Digits || (file.etag.size() != kSha1Digits && *size >= kLeastLfs);
  const auto algorithm = is_lfs ? ContentId::Algorithm::kSha256 : ContentId::Algorithm::kGitSha1;
  if (auto named = ContentId::create(algorithm, file.etag, *size)) return named;
  auto placeholder =
      ContentId::create(algorithm, std::string(is_lfs ? kSha256Digits : kSha1Digits, '0'), *size);
  if (!placeholder) return placeholder;
  Digest digest = Digest::for_content(*placeholder);
  auto read = read_all(fd->get(), kPiece, [&](ByteView bytes) -> Result<void> {
    digest.update(bytes);
    if (cancelled()) return {ErrorCode::kCancelled, "stopped"};
    return {};
  });
  if (!read) return read.error();
  return ContentId::create(algorithm, digest.finish_hex(), *size);
}

// The part of a commit's listing that its files give. Those that cannot be opened are told of
// later.
Result<fs::Snapshot> Importer::list_files(const ImportCommit& commit) const {
  std::vector<hub::TreeEntry> entries;
  for (const ImportFile& file : commit.files) {
    auto id = id_of(file);
    if (!id && id.error().code == ErrorCode::kCancelled) return id.error();
    if (!id) continue;
    const bool lfs = id->algorithm() == ContentId::Algorithm::kSha256;
    entries.push_back({hub::TreeEntry::Kind::kFile, file.path, id->size(), lfs, *id});
  }
  return fs::Snapshot::build(entries);
}

// From the folder alone.
Result<Importer::Known> Importer::learn(fs::Catalog& catalog, const ImportCommit& commit) const {
  const fs::Place place{commit.info.id.name, commit.info.commit};
  Result<fs::PlacedPtr> placed(ErrorCode::kInternal, "");
  if (commit.listing != nullptr) {
    placed = catalog.learn(place, commit.info, *commit.listing, fs::Catalog::Listing::kWhole);
  } else {
    auto listing = list_files(commit);
    if (!listing) return listing.error();
    placed = catalog.learn(place, commit.info, *listing, fs::Catalog::Listing::kPartial);
  }
  if (!placed) return placed.error();
  auto snapshot = catalog.stored_whole(*placed);
  if (snapshot == nullptr) return Error{ErrorCode::kIo, "the cache keeps no listings just now"};
  return Known{*placed, std::move(snapshot)};
}

Result<Importer::Known> Importer::find(const ImportCommit& commit) {
  auto catalog = parts_.backend.catalog(commit.info.id.type);
  if (!catalog) return catalog.error();
  auto known = ask_hub(**catalog, commit);
  if (!known && known.error().code == ErrorCode::kCancelled) return known;
  if (!known && commit.listing == nullptr && !is_no_answer(known.error().code)) {
    return known.error().within("the folder does not tell which files the commit has, and");
  }
  if (!known) known = learn(**catalog, commit);
  if (!known) return known;
  if (auto learnt = learn_revisions(**catalog, commit, *known); !learnt) return learnt.error();
  return known;
}

// Its files that the listing has, too.
std::vector<Importer::Wanted> Importer::choose(const ImportCommit& commit, const Known& known) {
  std::vector<Wanted> wanted;
  for (const ImportFile& file : commit.files) {
    const auto number = known.snapshot->find(file.path);
    const auto entry = number ? known.snapshot->entry(*number) : fs::Snapshot::Entry();
    if (!entry.content) {  // absent, a directory, or masked
      ++counts_.foreign;
      done(0);
      continue;
    }
    wanted.push_back({&file, *entry.content});
  }
  return wanted;
}

Result<void> Importer::check(const Wanted& wanted) {
  if (wanted.content.algorithm() == ContentId::Algorithm::kSha256 &&
      wanted.content.hex() == wanted.file->sha256) {
    return {};
  }
  auto fd = folder_.open_file(wanted.file->source, links_);
  if (!fd) return fd.error();
  auto size = size_of(fd->get());
  if (!size) return size.error();
  if (*size != wanted.content.size()) {
    return {ErrorCode::kCorrupt, "it has " + std::to_string(*size) + " bytes, and " +
                                     std::to_string(wanted.content.size()) +
                                     " in the repo's listing"};
  }
  Digest digest = Digest::for_content(wanted.content);
  std::uint64_t hashed = 0;
  auto read = read_all(fd->get(), kPiece, [&](ByteView bytes) -> Result<void> {
    digest.update(bytes);
    hashed += bytes.size();
    show_half(hashed);
    if (cancelled()) return {ErrorCode::kCancelled, "stopped"};
    return {};
  });
  if (!read) return read;
  const std::string found = digest.finish_hex();
  if (found == wanted.content.hex()) return {};
  return {ErrorCode::kCorrupt,
          "it is " + found + ", and " + wanted.content.to_string() + " in the repo's listing"};
}

// A file that was found right. Should it change now, the store finds that out by the hash.
Result<void> Importer::copy(const cache::Namespace& space, const Wanted& wanted) {
  auto fd = folder_.open_file(wanted.file->source, links_);
  if (!fd) return fd.error();
  auto blob = parts_.store.open({space, wanted.content}, parts_.endpoint);
  if (!blob) return blob.error();
  std::uint64_t block = 0;
  const std::uint64_t size = wanted.content.size();
  const std::uint64_t block_size = parts_.store.block_size();
  auto read = read_all(fd->get(), block_size, [&](ByteView bytes) -> Result<void> {
    if (cancelled()) return {ErrorCode::kCancelled, "stopped"};
    const std::uint64_t begin = block * block_size;
    if (begin >= size || bytes.size() != std::min(block_size, size - begin)) {
      return {ErrorCode::kCorrupt, "it has changed just now"};
    }
    if (!(*blob)->has(block)) {
      (*blob)->put(block, counted(bytes));
      counts_.bytes_copied += bytes.size();
    }
    ++block;
    show_half(size + std::min(size, block * block_size));
    return {};
  });
  if (!read || block * block_size >= size) return read;
  return {ErrorCode::kCorrupt, "it has changed just now"};
}

// Whether all of it has arrived.
Result<void> Importer::look(const cache::Namespace& space, const std::vector<Wanted>& wanted) {
  if (auto flushed = parts_.store.flush(); !flushed) return flushed;
  for (const Wanted& one : wanted) {
    auto blob = parts_.store.open({space, one.content}, parts_.endpoint);
    if (!blob) return blob.error();
    if (one.content.size() != 0 && !(*blob)->complete()) {
      auto told =
          problem(one.file->source,
                  "the cache has not kept all of it: it has changed just now, or the cache or "
                  "its disk is full (`hubvfs cache stats`)");
      if (!told) return told;
      continue;
    }
    ++counts_.files;
    if (here_.insert(one.content).second) counts_.bytes += one.content.size();
  }
  return {};
}

Result<void> Importer::take(const ImportCommit& commit) {
  auto known = find(commit);
  if (!known && known.error().code == ErrorCode::kCancelled) return known.error();
  if (!known) {
    return problem(commit.info.id.name + "@" + commit.info.commit, known.error().context);
  }
  ++counts_.commits;
  const cache::Namespace& space = known->placed->space;
  std::vector<Wanted> taken;
  for (const Wanted& one : choose(commit, *known)) {
    progress_.now = one.file->source;
    auto blob = parts_.store.open({space, one.content}, parts_.endpoint);
    if (!blob) return blob.error();
    Result<void> copied;
    if (one.content.size() != 0 && !(*blob)->complete()) {
      copied = check(one);
      if (copied) copied = copy(space, one);
    }
    if (!copied && copied.error().code == ErrorCode::kCancelled) return copied;
    if (copied) {
      taken.push_back(one);
    } else if (auto told = problem(one.file->source, copied.error().context); !told) {
      return told;
    }
    ++progress_.files_done;
    done(one.content.size());
  }
  return look(space, taken);
}

}  // namespace hubvfs::daemon
