// SPDX-License-Identifier: Apache-2.0
#include "fs/snapshot.h"

#include <algorithm>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr std::uint32_t kDirectoryFormat = 2;
constexpr std::uint8_t kDirectoryFlag = 1;
constexpr std::uint8_t kLfsFlag = 2;
constexpr std::size_t kLongestName = 255;

std::string_view directory_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}
std::string_view name_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

// `path` from the repo root as it is seen from `directory`. None: it is not below that.
std::optional<std::string_view> path_below(std::string_view directory, std::string_view path) {
  if (directory.empty()) return path;
  if (!path.starts_with(directory) || path.size() <= directory.size()) return {};
  if (path[directory.size()] != '/') return {};
  return path.substr(directory.size() + 1);
}

}  // namespace

// A listing as it comes, checked: what is a directory wins over a file of that name, the first of
// two files of one name stays, and whatever is left out is counted where it would have stood. Paths
// are those from entry 0 on, in the memory of the listing.
class Snapshot::Collector {
 public:
  // A directory has no TreeEntry.
  using Item = std::pair<std::string_view, const hub::TreeEntry*>;

  // `directory`: only what is right in it; none: all there is.
  explicit Collector(std::optional<std::string> directory) : directory_(std::move(directory)) {}

  void add(const hub::TreeEntry& entry) {
    const auto path = place(entry.path);
    if (!path) {
      const std::string_view parent = directory_ ? "" : directory_of(entry.path);
      ++hidden_[hub::is_repo_path(parent) ? std::string(parent) : std::string()];
      return;
    }
    for (auto parent = directory_of(*path); !parent.empty(); parent = directory_of(parent)) {
      if (!directories_.insert(parent).second) break;  // nor are its parents new
    }
    if (entry.kind == hub::TreeEntry::Kind::kDirectory) {
      directories_.insert(*path);
    } else {
      files_.emplace_back(*path, &entry);
    }
  }

  // Once, after all were added: sorted by (directory, name).
  std::vector<Item> take_sorted() {
    const auto is_before = [](const Item& a, const Item& b) {
      const int order = directory_of(a.first).compare(directory_of(b.first));
      return order != 0 ? order < 0 : name_of(a.first) < name_of(b.first);
    };
    std::stable_sort(files_.begin(), files_.end(), is_before);
    std::string_view last;
    std::erase_if(files_, [&](const Item& file) {
      const bool again = file.first == last || directories_.contains(file.first);
      if (again) ++hidden_[std::string(directory_of(file.first))];
      last = file.first;
      return again;
    });
    const auto files = static_cast<std::ptrdiff_t>(files_.size());
    for (const std::string_view path : directories_) files_.emplace_back(path, nullptr);
    std::sort(files_.begin() + files, files_.end(), is_before);
    std::inplace_merge(files_.begin(), files_.begin() + files, files_.end(), is_before);
    return std::move(files_);
  }
  const std::optional<std::string>& directory() const { return directory_; }
  const std::unordered_map<std::string, std::uint32_t>& hidden() const { return hidden_; }

 private:
  // Where an entry is. None: no directory may hold it, or this one does not.
  std::optional<std::string_view> place(std::string_view path) const {
    if (!hub::is_repo_path(path)) return {};
    if (!directory_) return path;
    const auto below = path_below(*directory_, path);
    return below && below->find('/') == std::string_view::npos ? below : std::nullopt;
  }

  const std::optional<std::string> directory_;
  std::unordered_set<std::string_view> directories_;
  std::vector<Item> files_;
  std::unordered_map<std::string, std::uint32_t> hidden_;
};

Snapshot Snapshot::build(const std::vector<hub::TreeEntry>& listing) {
  Collector collector(std::nullopt);
  for (const hub::TreeEntry& entry : listing) collector.add(entry);
  return make(collector);
}

Snapshot Snapshot::build_directory(const std::string& directory,
                                   const std::vector<hub::TreeEntry>& listing) {
  Collector collector(directory);
  for (const hub::TreeEntry& entry : listing) collector.add(entry);
  return make(collector);
}

Snapshot Snapshot::make(Collector& collector) {
  const auto sorted = collector.take_sorted();
  Snapshot made;
  made.directory_ = collector.directory();
  made.entries_.resize(sorted.size() + 1);
  made.entries_[0].is_directory = true;
  std::unordered_map<std::string_view, std::uint32_t> directories = {{"", 0}};
  for (std::uint32_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i].second == nullptr) directories.emplace(sorted[i].first, i + 1);
  }
  for (std::uint32_t i = 0; i < sorted.size(); ++i) {
    const auto& [path, file] = sorted[i];
    Record& entry = made.entries_[i + 1];
    entry.parent = directories.at(directory_of(path));
    entry.is_directory = file == nullptr;
    if (file != nullptr) {
      entry.size = file->size;
      entry.is_lfs = file->is_lfs;
      set_content(entry, file->content);
      if (!file->content) made.masked_ = true;
    }
    Record& parent = made.entries_[entry.parent];
    if (parent.child_count++ == 0) parent.first_child = i + 1;
    made.set_name(entry, name_of(path));
  }
  for (const auto& [directory, count] : collector.hidden()) {
    const auto it = directories.find(directory);  // the root's, where all of it was left out
    made.entries_[it == directories.end() ? 0 : it->second].hidden += count;
  }
  made.names_.shrink_to_fit();
  return made;
}

Snapshot Snapshot::alone(std::uint32_t directory) const {
  const Record& whole = entries_[directory];
  Snapshot made;
  made.directory_ = path(directory);
  made.entries_.reserve(whole.child_count + 1);
  made.entries_.resize(1);
  made.entries_[0].is_directory = true;
  made.entries_[0].hidden = whole.hidden;
  made.entries_[0].child_count = whole.child_count;
  if (whole.child_count > 0) made.entries_[0].first_child = 1;
  for (std::uint32_t i = 0; i < whole.child_count; ++i) {
    const Record& child = entries_[whole.first_child + i];
    Record entry = child;
    entry.parent = entry.first_child = entry.child_count = entry.hidden = 0;
    made.set_name(entry, name(child));
    if (!entry.is_directory && entry.algorithm == ContentId::Algorithm{}) made.masked_ = true;
    made.entries_.push_back(entry);
  }
  return made;
}

const std::string& Snapshot::directory() const {
  static const std::string kRoot;
  return directory_ ? *directory_ : kRoot;
}

Snapshot::Entry Snapshot::entry(std::uint32_t number) const {
  const Record& record = entries_[number];
  Entry entry;
  entry.name = name(record);
  entry.parent = record.parent;
  entry.is_directory = record.is_directory;
  entry.is_lfs = record.is_lfs;
  entry.size = record.size;
  if (record.algorithm != ContentId::Algorithm{}) {
    const std::size_t size = record.algorithm == ContentId::Algorithm::kSha256 ? 32 : 20;
    const auto hash = std::as_bytes(std::span(record.hash)).first(size);
    const auto id = ContentId::from_hash(record.algorithm, hash, record.size);
    if (id) entry.content = *id;
  }
  entry.first_child = record.first_child;
  entry.child_count = record.child_count;
  entry.hidden = record.hidden;
  return entry;
}

// The name is a path component: 255 bytes at most.
void Snapshot::set_name(Record& record, std::string_view name) {
  record.name_at = static_cast<std::uint32_t>(names_.size());
  record.name_size = static_cast<std::uint8_t>(name.size());
  names_.insert(names_.end(), name.begin(), name.end());
}

void Snapshot::set_content(Record& record, const std::optional<ContentId>& content) {
  if (!content) return;
  record.algorithm = content->algorithm();
  record.hash = content->hash();
}

std::optional<std::uint32_t> Snapshot::child(std::uint32_t directory,
                                             std::string_view wanted) const {
  const Record& parent = entries_[directory];
  const auto first = entries_.begin() + parent.first_child;
  const auto last = first + parent.child_count;
  const auto it = std::lower_bound(
      first, last, wanted, [this](const Record& r, std::string_view n) { return name(r) < n; });
  if (it == last || name(*it) != wanted) return {};
  return static_cast<std::uint32_t>(it - entries_.begin());
}

std::optional<std::uint32_t> Snapshot::find(std::string_view path) const {
  std::uint32_t number = 0;
  if (path == directory()) return number;
  const auto below = path_below(directory(), path);
  if (!below) return {};
  for (const std::string_view component : split(*below, '/')) {
    const auto next = entries_[number].is_directory ? child(number, component) : std::nullopt;
    if (!next) return {};
    number = *next;
  }
  return number;
}

std::string Snapshot::path(std::uint32_t number) const {
  std::string path(name(entries_[number]));
  while (number != 0 && (number = entries_[number].parent) != 0) {
    path.insert(0, "/").insert(0, name(entries_[number]));
  }
  if (directory().empty()) return path;
  return path.empty() ? directory() : directory() + "/" + path;
}

std::uint32_t Snapshot::hidden_total() const {
  std::uint32_t total = 0;
  for (const Record& entry : entries_) total += entry.hidden;
  return total;
}

// Format: u32 format, of one directory its path, u32 count, then for each entry u8 flags, u32
// parent, u32 first child, u32 child count, u32 hidden, u64 size, name, u8 algorithm (0: no content
// id) and the raw hash.
Bytes Snapshot::encode() const {
  ByteWriter out;
  out.integer(directory_ ? kDirectoryFormat : kFormat);
  if (directory_) out.string(*directory_);
  out.integer(size());
  for (std::uint32_t i = 0; i < size(); ++i) {
    const Entry entry = this->entry(i);
    out.integer(static_cast<std::uint8_t>((entry.is_directory ? kDirectoryFlag : 0) |
                                          (entry.is_lfs ? kLfsFlag : 0)));
    out.integer(entry.parent);
    out.integer(entry.first_child);
    out.integer(entry.child_count);
    out.integer(entry.hidden);
    out.integer(entry.size);
    out.string(entry.name);
    out.integer(entry.content ? static_cast<std::uint8_t>(entry.content->algorithm())
                              : std::uint8_t{0});
    if (entry.content) {
      out.raw(std::as_bytes(std::span(entry.content->hash())).first(entry.content->hash_size()));
    }
  }
  return out.take();
}

Result<Snapshot> Snapshot::decode(ByteView bytes) {
  const Error corrupt{ErrorCode::kCorrupt, "stored listing is damaged"};
  ByteReader in(bytes);
  const auto format = in.integer<std::uint32_t>();
  if (format != kFormat && format != kDirectoryFormat) return corrupt;
  Snapshot made;
  if (format == kDirectoryFormat) made.directory_ = in.string();
  const auto count = in.integer<std::uint32_t>();
  if (count == 0 || count > bytes.size() || bytes.size() > UINT32_MAX) return corrupt;
  made.entries_.resize(count);
  for (Record& entry : made.entries_) {
    const auto flags = in.integer<std::uint8_t>();
    entry.is_directory = (flags & kDirectoryFlag) != 0;
    entry.is_lfs = (flags & kLfsFlag) != 0;
    entry.parent = in.integer<std::uint32_t>();
    entry.first_child = in.integer<std::uint32_t>();
    entry.child_count = in.integer<std::uint32_t>();
    entry.hidden = in.integer<std::uint32_t>();
    entry.size = in.integer<std::uint64_t>();
    const std::string_view name = in.string();
    if (name.size() > kLongestName) return corrupt;
    made.set_name(entry, name);
    const auto algorithm = static_cast<ContentId::Algorithm>(in.integer<std::uint8_t>());
    if (algorithm == ContentId::Algorithm::kSha256 || algorithm == ContentId::Algorithm::kGitSha1) {
      const ByteView hash = in.raw(algorithm == ContentId::Algorithm::kSha256 ? 32 : 20);
      auto id = ContentId::from_hash(algorithm, hash, entry.size);
      if (!id) return corrupt;
      set_content(entry, *id);
    } else if (algorithm != ContentId::Algorithm{}) {
      return corrupt;
    }
    if (!entry.is_directory && entry.algorithm == ContentId::Algorithm{}) {
      made.masked_ = true;
    }
  }
  made.names_.shrink_to_fit();
  if (!in.ok() || !in.at_end() || !made.structure_is_sound()) return corrupt;
  return made;
}

// So that no damaged record can make child() or path() leave the table or never end.
bool Snapshot::structure_is_sound() const {
  if (!entries_[0].is_directory) return false;
  if (!directory().empty() && !hub::is_repo_path(directory())) return false;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const Record& entry = entries_[i];
    if (static_cast<std::uint64_t>(entry.first_child) + entry.child_count > entries_.size()) {
      return false;
    }
    if (i == 0) continue;
    if (directory_ && (entry.parent != 0 || entry.child_count != 0)) return false;
    const Record& parent = entries_[entry.parent < entries_.size() ? entry.parent : 0];
    // A parent sorts before what is in it, since its own directory does.
    if (entry.parent >= i || !parent.is_directory || !hub::is_path_component(name(entry))) {
      return false;
    }
  }
  return true;
}

}  // namespace hubvfs::fs
