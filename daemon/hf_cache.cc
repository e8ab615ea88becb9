// SPDX-License-Identifier: Apache-2.0
#include "daemon/hf_cache.h"

#include <sys/stat.h>

#include <array>
#include <map>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kMostTree = 256u << 20;
constexpr std::size_t kMostRef = 256;
constexpr std::size_t kLongestPath = 4096;
constexpr std::string_view kSeparator = "--";
constexpr std::array<std::pair<std::string_view, hub::RepoType>, 3> kKinds = {
    {{"models--", hub::RepoType::kModel},
     {"datasets--", hub::RepoType::kDataset},
     {"spaces--", hub::RepoType::kSpace}}};

// "models--ORG--NAME", or "models--NAME" for a legacy id: no id has "--" in it.
std::optional<hub::RepoId> repo_of(std::string_view folder) {
  for (const auto& [prefix, type] : kKinds) {
    if (!folder.starts_with(prefix)) continue;
    const std::string_view id = folder.substr(prefix.size());
    std::string name(id);
    if (const std::size_t at = id.find(kSeparator); at != std::string_view::npos) {
      name = std::string(id.substr(0, at)) + '/' + std::string(id.substr(at + kSeparator.size()));
    }
    if (!hub::is_repo_name(name)) return {};
    return hub::RepoId{type, std::move(name)};
  }
  return {};
}

// {"format_version": 1, "files": {PATH: {"size", "blob_id"[, "lfs_sha256", "lfs_size"]}}}
class TreeReader final : public JsonVisitor {
 public:
  bool scalar(const std::string& path, JsonScalar&& value) override {
    const auto* number = std::get_if<std::uint64_t>(&value);
    if (path == "format_version") return number != nullptr && (format = *number, true);
    if (!is_of_file(path)) return true;
    const std::size_t dot = path.rfind('.');  // a path may have dots, the fields' names have none
    if (files.size() > kMostFiles) return false;
    Fields& file = files[path.substr(kFiles.size(), dot - kFiles.size())];
    const std::string_view field = std::string_view(path).substr(dot + 1);
    const auto* text = std::get_if<std::string>(&value);
    if (field == "size" || field == "lfs_size") {
      const bool none = std::holds_alternative<std::nullptr_t>(value);
      if (number != nullptr && field == "size") file.size = *number;
      if (number != nullptr && field == "lfs_size") file.lfs_size = *number;
      return number != nullptr || (none && field == "lfs_size");
    }
    if (field == "blob_id" && text != nullptr) file.blob_id = *text;
    if (field == "lfs_sha256" && text != nullptr) file.lfs_sha256 = *text;
    return true;
  }

  struct Fields {
    std::uint64_t size = 0;
    std::optional<std::uint64_t> lfs_size;
    std::string blob_id;
    std::string lfs_sha256;
  };
  std::uint64_t format = 0;
  std::map<std::string, Fields> files;

 private:
  static constexpr std::string_view kFiles = "files.";
  static bool is_of_file(const std::string& path) {
    return path.starts_with(kFiles) && path.rfind('.') > kFiles.size();
  }
};

// Which commit each ref names; nested for refs/pr/1.
std::map<std::string, std::string> read_refs(const UserFolder& cache, const std::string& folder) {
  std::map<std::string, std::string> refs;
  auto names = cache.files_below(folder);
  if (!names) return refs;  // none
  for (const std::string& name : *names) {
    auto text = cache.read_text(folder + "/" + name, kMostRef);
    if (!text || !hub::is_revision(name)) continue;
    const std::string commit(trim(*text));
    if (is_commit_id(commit)) refs[name] = commit;
  }
  return refs;
}

// When the ref was written: until then the Hub named no newer commit.
UnixSeconds written_at(const UserFolder& cache, const std::string& path) {
  auto fd = cache.open_file(path);
  struct stat info {};
  if (!fd || ::fstat(fd->get(), &info) != 0) return 0;
  return info.st_mtim.tv_sec;
}

std::shared_ptr<fs::Snapshot> read_listing(const UserFolder& cache, const std::string& path) {
  auto json = cache.read_text(path, kMostTree);
  if (!json) return nullptr;
  auto entries = read_hf_tree(*json);
  if (!entries) return nullptr;
  return std::make_shared<fs::Snapshot>(fs::Snapshot::build(*entries));
}

}  // namespace

Result<std::vector<HfRepoFolder>> hf_repo_folders(const UserFolder& cache) {
  auto entries = cache.list("");
  if (!entries) return entries.error();
  std::vector<HfRepoFolder> repos;
  for (const UserFolder::Entry& entry : *entries) {
    if (entry.kind != UserFolder::Kind::kFolder) continue;
    if (auto repo = repo_of(entry.name)) repos.push_back({std::move(*repo), entry.name});
  }
  return repos;
}

Result<std::vector<hub::TreeEntry>> read_hf_tree(std::string_view json) {
  TreeReader reader;
  JsonLimits limits;
  limits.max_bytes = kMostTree;
  limits.max_key_bytes = kLongestPath;
  if (auto parsed = parse_json(json, reader, limits); !parsed) return parsed.error();
  if (reader.format != 1) {
    return {ErrorCode::kBadAnswer, "a listing of huggingface_hub in a format that is not known"};
  }
  std::vector<hub::TreeEntry> entries;
  for (const auto& [path, file] : reader.files) {
    hub::TreeEntry entry;
    entry.path = path;
    entry.is_lfs = !file.lfs_sha256.empty();
    entry.size = entry.is_lfs ? file.lfs_size.value_or(file.size) : file.size;
    auto id = entry.is_lfs
                  ? ContentId::create(ContentId::Algorithm::kSha256, file.lfs_sha256, entry.size)
                  : ContentId::create(ContentId::Algorithm::kGitSha1, file.blob_id, entry.size);
    if (id) entry.content = *id;
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::vector<ImportCommit>> hf_commits(const UserFolder& cache, const HfRepoFolder& repo) {
  const std::string snapshots = repo.folder + "/snapshots";
  auto entries = cache.list(snapshots);
  if (!entries && entries.error().code == ErrorCode::kNotFound) return std::vector<ImportCommit>();
  if (!entries) return entries.error();
  const auto refs = read_refs(cache, repo.folder + "/refs");
  std::vector<ImportCommit> commits;
  for (const UserFolder::Entry& entry : *entries) {
    if (entry.kind != UserFolder::Kind::kFolder || !is_commit_id(entry.name)) continue;
    ImportCommit commit;
    commit.info.id = repo.repo;
    commit.info.commit = entry.name;
    commit.info.is_private = true;
    for (const auto& [name, named] : refs) {
      if (named != entry.name) continue;
      if (name == "main") commit.revisions.emplace_back();  // what a repo's plain name shows
      commit.revisions.push_back(name);
      commit.info.last_modified =
          std::max(commit.info.last_modified, written_at(cache, repo.folder + "/refs/" + name));
    }
    commit.listing = read_listing(cache, repo.folder + "/trees/" + entry.name + ".json");
    const std::string snapshot = snapshots + "/" + entry.name;
    auto files = cache.files_below(snapshot);
    if (!files) return files.error();
    for (const std::string& path : *files) {
      ImportFile file{path, snapshot + "/" + path, "", ""};
      if (const auto target = cache.link_target(file.source)) {
        file.etag = target->substr(target->rfind('/') + 1);
      }
      commit.files.push_back(std::move(file));
    }
    commits.push_back(std::move(commit));
  }
  return commits;
}

}  // namespace hubvfs::daemon
