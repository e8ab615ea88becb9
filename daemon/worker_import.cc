// SPDX-License-Identifier: Apache-2.0
// The part of WorkerCommands that takes what is in a folder of the user's.
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/digest.h"
#include "base/json.h"
#include "base/text.h"
#include "daemon/bundle.h"
#include "daemon/hf_cache.h"
#include "daemon/importer.h"
#include "daemon/user_folder.h"
#include "daemon/wording.h"
#include "daemon/worker_commands.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kPiece = 1u << 20;

Error too_large(std::uint64_t bytes, std::uint64_t limit, const std::string& how) {
  return {ErrorCode::kNoSpace, "the folder has " + exactly(bytes) + ", and the cache may hold " +
                                   exactly(limit) + " (cache.size): " + how +
                                   "give the cache more with -o cache.size=SIZE"};
}

// A folder with sums: every file of these is read, and is what they say. The hashes are of what was
// read just now. kCorrupt: names the files that are not; kNoSpace: more than `limit` bytes, which
// is found before any is read; kCancelled.
class SumsCheck {
 public:
  SumsCheck(const UserFolder& folder, std::uint64_t limit, CommandCaller& caller)
      : folder_(folder), limit_(limit), caller_(caller) {}

  Result<Sums> run(const std::string& text) {
    auto sums = read_sums(text);
    if (!sums) return sums;
    progress_ = {"checking", 0, 0, 0, sums->size(), ""};
    for (const auto& [path, hash] : *sums) {
      auto fd = folder_.open_file(path);
      if (!fd) continue;
      progress_.total += size_of(fd->get()).value_or(std::uint64_t{0});
      // Sizes of sparse files add up to more than a number holds.
      if (progress_.total > limit_) return too_large(progress_.total, limit_, "");
    }
    for (const auto& [path, hash] : *sums) {
      progress_.now = path;
      auto found = hash_of(path);
      if (!found && found.error().code == ErrorCode::kCancelled) return found.error();
      if (!found) {
        wrong_.push_back(found.error().context);
      } else if (*found != hash) {
        wrong_.push_back(escape_for_log(path) + ": it is " + *found + ", and " + hash + " in " +
                         kSumsName);
      }
      ++progress_.files_done;
    }
    if (wrong_.empty()) return sums;
    return Error{ErrorCode::kCorrupt,
                 std::to_string(wrong_.size()) + " of " + std::to_string(sums->size()) +
                     " files are not what " + kSumsName + " says, and nothing was taken: " +
                     some_of(wrong_, [](const std::string& what) { return what; })};
  }

 private:
  Result<std::string> hash_of(const std::string& path) {
    auto fd = folder_.open_file(path);
    if (!fd) return fd.error();
    Digest digest = Digest::sha256();
    auto read = read_all(fd->get(), kPiece, [&](ByteView bytes) -> Result<void> {
      digest.update(bytes);
      progress_.done += bytes.size();
      caller_.progress(progress_);
      if (caller_.cancelled()) return {ErrorCode::kCancelled, "stopped"};
      return {};
    });
    if (!read) return read.error();
    return digest.finish_hex();
  }

  const UserFolder& folder_;
  const std::uint64_t limit_;
  CommandCaller& caller_;
  CommandProgress progress_;
  std::vector<std::string> wrong_;
};

bool is_ours(const std::string& path) {
  return path == kSumsName || path == kSignatureName || path == kManifestName ||
         path == kPartialName;
}

// What was exported: sums, and the manifest among the files that have one.
Result<ImportCommit> read_bundle(const UserFolder& folder, const std::string& sums_hash,
                                 std::uint64_t limit, CommandCaller& caller) {
  auto text = folder.read_text(kSumsName, kMostManifest);
  if (!text) {
    if (text.error().code != ErrorCode::kNotFound) return text.error();
    return Error{ErrorCode::kCorrupt, std::string("the bundle has no ") + kSumsName +
                                          ": its export did not come to an end; export it again"};
  }
  if (!sums_hash.empty() && sha256_hex(as_bytes(*text)) != sums_hash) {
    return Error{ErrorCode::kCorrupt, std::string(kSumsName) + " is not the one that was signed"};
  }
  auto sums = SumsCheck(folder, limit, caller).run(*text);
  if (!sums) return sums.error();
  if (!sums->contains(kManifestName)) {
    return Error{ErrorCode::kCorrupt, std::string(kManifestName) + " is not in " + kSumsName};
  }
  auto json = folder.read_text(kManifestName, kMostManifest);
  if (!json) return json.error();
  if (sha256_hex(as_bytes(*json)) != sums->at(kManifestName)) {
    return Error{ErrorCode::kCorrupt, std::string(kManifestName) + " has changed just now"};
  }
  auto manifest = Manifest::parse(*json);
  if (!manifest) return manifest.error();
  ImportCommit commit;
  commit.info = manifest->info;
  commit.revisions = {manifest->revision};  // "" too: what the plain name showed
  commit.listing = std::make_shared<fs::Snapshot>(fs::Snapshot::build(manifest->files));
  for (const auto& [path, hash] : *sums) {
    if (!is_ours(path)) commit.files.push_back({path, path, hash, ""});
  }
  return commit;
}

// What the files of all commits are together: as many as they name, and as they lie on the disk,
// where several names may lead to the same one.
struct Amount {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bytes_on_disk = 0;
};

Amount amount_of(const UserFolder& folder, UserFolder::Links links,
                 const std::vector<ImportCommit>& commits) {
  Amount amount;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const ImportCommit& commit : commits) {
    for (const ImportFile& file : commit.files) {
      ++amount.files;
      auto fd = folder.open_file(file.source, links);
      struct stat info {};
      if (!fd || ::fstat(fd->get(), &info) != 0) continue;
      const auto size = static_cast<std::uint64_t>(info.st_size);
      amount.bytes += size;
      if (seen.emplace(info.st_dev, info.st_ino).second) amount.bytes_on_disk += size;
    }
  }
  return amount;
}

bool is_meant(const ImportCommit& commit, const CommandRequest& request) {
  if (request.repo.name.empty()) return true;
  if (commit.info.id != request.repo) return false;
  const auto& names = commit.revisions;
  return request.revision.empty() || request.revision == commit.info.commit ||
         std::find(names.begin(), names.end(), request.revision) != names.end();
}

// The commits of a cache of huggingface_hub that the command means, and its repos that cannot be
// read. Both empty: it is no such cache.
Result<FolderContent> hf_cache(const UserFolder& folder, const CommandRequest& request) {
  auto repos = hf_repo_folders(folder);
  if (!repos) return repos.error();
  FolderContent found;
  for (const HfRepoFolder& repo : *repos) {
    if (!request.repo.name.empty() && repo.repo != request.repo) continue;
    auto commits = hf_commits(folder, repo);
    if (!commits) {
      found.unreadable.emplace_back(repo.folder, commits.error().context);
      continue;
    }
    for (ImportCommit& commit : *commits) {
      if (is_meant(commit, request)) found.commits.push_back(std::move(commit));
    }
  }
  if (found.commits.empty() && found.unreadable.empty() && !repos->empty()) {
    return Error{ErrorCode::kNotFound, request.repo.name.empty()
                                           ? std::string("the cache holds no commit of any repo")
                                           : "the cache holds nothing of " + request.repo.name};
  }
  return found;
}

std::string summary_of(const ImportCounts& counts) {
  JsonWriter out;
  out.begin_object();
  out.key("commits").number(counts.commits);
  out.key("files").number(counts.files);
  out.key("bytes").number(counts.bytes);
  out.key("bytes_copied").number(counts.bytes_copied);
  out.key("files_of_no_commit").number(counts.foreign);
  out.key("problem_count").number(counts.problems);
  out.end_object();
  return out.text();
}

}  // namespace

// A folder that tells nothing of itself: the files of the commit that the command names.
Result<ImportCommit> WorkerCommands::plain_folder(const UserFolder& folder,
                                                  const CommandRequest& request,
                                                  CommandCaller& caller) const {
  if (request.repo.name.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "the folder is neither a cache of huggingface_hub (the one named hub, as in "
                 "~/.cache/huggingface/hub) nor a bundle of `hubvfs cache export`: say whose files "
                 "it has with --repo ORG/NAME[@REVISION]"};
  }
  auto placed = newest(request, caller);
  if (!placed) {
    return placed.error().within("which files " + request.repo.name +
                                 " has is not known (a bundle of `hubvfs cache export` tells it)");
  }
  auto paths = folder.files_below("");
  if (!paths) return paths.error();
  ImportCommit commit;
  commit.info = (*placed)->info;
  commit.revisions = {(*placed)->place.revision};
  for (const std::string& path : *paths) {
    if (!is_ours(path)) commit.files.push_back({path, path, "", ""});
  }
  return commit;
}

// What the folder is: a bundle, a cache of huggingface_hub or plain files; and what is in it.
Result<FolderContent> WorkerCommands::look_into(const UserFolder& folder,
                                                const CommandRequest& request,
                                                CommandCaller& caller) const {
  if (folder.open_file(kManifestName)) {
    const std::uint64_t limit = parts_.store.stats().size_limit;
    auto bundle = read_bundle(folder, request.sums_hash, limit, caller);
    if (!bundle) return bundle.error();
    if (is_meant(*bundle, request)) return FolderContent{{std::move(*bundle)}, {}};
    return Error{ErrorCode::kNotFound, "the bundle is of " + bundle->info.id.name + " at " +
                                           bundle->info.commit + ", and that was not asked for"};
  }
  if (!request.sums_hash.empty()) {
    return Error{ErrorCode::kCorrupt, std::string("the folder is signed, but has no ") +
                                          kManifestName + " that would say what it is"};
  }
  auto cached = hf_cache(folder, request);
  if (!cached || !cached->commits.empty() || !cached->unreadable.empty()) return cached;
  auto plain = plain_folder(folder, request, caller);
  if (!plain) return plain.error();
  return FolderContent{{std::move(*plain)}, {}};
}

Result<std::string> WorkerCommands::import_folder(const CommandRequest& request,
                                                  CommandCaller& caller) {
  auto folder = UserFolder::of(caller.extra_fd());
  if (!folder) return folder.error();
  auto content = look_into(*folder, request, caller);
  if (!content) return content.error();
  // Only a cache of huggingface_hub has links.
  constexpr auto kLinks = UserFolder::Links::kInside;
  const Amount amount = amount_of(*folder, kLinks, content->commits);
  const std::uint64_t limit = parts_.store.stats().size_limit;
  if (amount.bytes_on_disk > limit) {
    return too_large(amount.bytes_on_disk, limit, "take one repo with --repo ORG/NAME, or ");
  }
  Importer importer(
      {parts_.backend, parts_.store, parts_.endpoint, !parts_.offline_because.empty()}, *folder,
      kLinks, caller);
  importer.expect(amount.files, amount.bytes);
  for (const auto& [what, why] : content->unreadable) {
    if (auto told = importer.problem(what, why); !told) return told.error();
  }
  for (const ImportCommit& commit : content->commits) {
    if (auto taken = importer.take(commit); !taken) return taken.error();
  }
  return summary_of(importer.counts());
}

}  // namespace hubvfs::daemon
