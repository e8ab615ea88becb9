// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_answers.h"

#include <variant>

#include "base/json.h"
#include "base/text.h"
#include "hub/http_head.h"
#include "hub/listing_bounds.h"
#include "hub/names.h"

namespace hubvfs::hub {
namespace {

JsonLimits page_limits() {
  JsonLimits limits;
  limits.max_bytes = kMaxPageBytes;
  return limits;
}

Error bad(const std::string& what) { return {ErrorCode::kBadAnswer, "answer of the Hub: " + what}; }

// Takes the text out of `value`: "" when it is none.
std::string text_of(JsonScalar& value) {
  auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? std::string() : std::move(*text);
}

Gate gate_of(const JsonScalar& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? Gate::kManual : Gate::kNone;
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return Gate::kNone;
  return *text == "auto" ? Gate::kAuto : Gate::kManual;
}

class InfoVisitor final : public JsonVisitor {
 public:
  explicit InfoVisitor(RepoType type) { info.id.type = type; }
  bool begin_array(const std::string& path) override { return !path.empty(); }
  bool scalar(const std::string& path, JsonScalar&& value) override {
    if (path.empty()) return false;  // the document is no object
    if (path == "id") info.id.name = text_of(value);
    if (path == "sha") info.commit = text_of(value);
    if (path == "lastModified") {
      info.last_modified = parse_iso_date(text_of(value)).value_or(0);
    }
    if (path == "gated") info.gate = gate_of(value);
    if (path == "private") info.is_private = !is_false(value);
    if (path == "disabled") info.disabled = !is_false(value);
    return true;
  }
  RepoInfo info = private_by_default();

 private:
  static bool is_false(const JsonScalar& value) {
    const auto* flag = std::get_if<bool>(&value);
    return flag != nullptr && !*flag;
  }
  static RepoInfo private_by_default() {
    RepoInfo info;
    info.is_private = true;
    return info;
  }
};

class RefsVisitor final : public JsonVisitor {
 public:
  bool begin_array(const std::string& path) override { return !path.empty(); }
  bool scalar(const std::string& path, JsonScalar&& value) override {
    if (path.ends_with("[].name")) ref_.name = text_of(value);
    if (path.ends_with("[].ref")) ref_.ref = text_of(value);
    if (path.ends_with("[].targetCommit")) ref_.commit = text_of(value);
    return !path.empty();
  }
  bool begin_object(const std::string&) override {
    ref_ = {};
    return true;
  }
  bool end_object(const std::string& path) override {
    std::vector<Ref>* list = list_of(path);
    if (list == nullptr) return true;
    if (is_revision(ref_.name) && is_revision(ref_.ref) && is_commit_id(ref_.commit)) {
      list->push_back(ref_);
    }
    return ++seen_ <= ListingBounds::kMaxEntries;
  }
  RepoRefs refs;

 private:
  std::vector<Ref>* list_of(const std::string& path) {
    if (path == "branches[]") return &refs.branches;
    if (path == "tags[]") return &refs.tags;
    if (path == "converts[]") return &refs.converts;
    return path == "pullRequests[]" ? &refs.pull_requests : nullptr;
  }
  Ref ref_;
  std::size_t seen_ = 0;
};

// A page that is an array of objects: one call of `end_item` for each.
class ItemsVisitor : public JsonVisitor {
 public:
  bool begin_array(const std::string& path) override {
    in_array_ = true;
    return !path.empty() || ++roots_ == 1;
  }
  bool begin_object(const std::string& path) override {
    if (path.empty()) return false;
    if (path == "[]") begin_item();
    sub_object(path);
    return true;
  }
  bool end_object(const std::string& path) override { return path != "[]" || end_item(); }
  bool scalar(const std::string& path, JsonScalar&& value) override {
    if (!in_array_ || path == "[]") return false;  // items are objects
    return field(path, std::move(value));
  }

 protected:
  virtual void begin_item() = 0;
  virtual bool end_item() = 0;
  virtual void sub_object(const std::string& /*path*/) {}
  virtual bool field(const std::string& path, JsonScalar&& value) = 0;

 private:
  bool in_array_ = false;
  int roots_ = 0;
};

// A size as the Hub may give it: an unsigned integer up to kMaxFileSize.
bool take_size(const JsonScalar& value, std::optional<std::uint64_t>& size) {
  const auto* number = std::get_if<std::uint64_t>(&value);
  if (number == nullptr || *number > kMaxFileSize) return false;
  size = *number;
  return true;
}

class TreeVisitor final : public ItemsVisitor {
 public:
  std::vector<TreeEntry> entries;

 private:
  struct Item {
    std::string type, oid, lfs_oid;
    std::optional<std::string> path;
    std::optional<std::uint64_t> size, lfs_size;
    bool is_lfs = false;
  };
  void begin_item() override { item_ = {}; }
  void sub_object(const std::string& path) override {
    if (path == "[].lfs") item_.is_lfs = true;
  }
  bool field(const std::string& path, JsonScalar&& value) override {
    if (path == "[].type") item_.type = text_of(value);
    if (path == "[].path" && std::holds_alternative<std::string>(value)) {
      item_.path = text_of(value);
    }
    if (path == "[].oid") item_.oid = text_of(value);
    if (path == "[].size") return take_size(value, item_.size);
    if (path == "[].lfs.oid") item_.lfs_oid = text_of(value);
    if (path == "[].lfs.size") return take_size(value, item_.lfs_size);
    return true;
  }
  bool end_item() override {
    if (!item_.path || item_.type.empty()) return false;
    if (item_.type != "file" && item_.type != "directory") return true;
    TreeEntry entry;
    entry.path = std::move(*item_.path);
    if (item_.type == "directory") {
      entry.kind = TreeEntry::Kind::kDirectory;
    } else {
      // Of an LFS file's two sizes the one beside the hash belongs to it.
      const auto size = item_.is_lfs ? item_.lfs_size : item_.size;
      if (!size) return false;
      entry.is_lfs = item_.is_lfs;
      entry.size = *size;
      const auto id =
          item_.is_lfs ? ContentId::create(ContentId::Algorithm::kSha256, item_.lfs_oid, entry.size)
                       : ContentId::create(ContentId::Algorithm::kGitSha1, item_.oid, entry.size);
      if (id) entry.content = *id;
    }
    entries.push_back(std::move(entry));
    return entries.size() <= ListingBounds::kMaxEntries;
  }
  Item item_;
};

class RepoPageVisitor final : public ItemsVisitor {
 public:
  explicit RepoPageVisitor(RepoType type) : type_(type) {}
  RepoPage page;

 private:
  void begin_item() override { item_ = {{type_, ""}, 0, false}; }
  bool field(const std::string& path, JsonScalar&& value) override {
    if (path == "[].id") item_.id.name = text_of(value);
    if (path == "[].private") item_.is_private = std::get_if<bool>(&value) && std::get<bool>(value);
    if (path == "[].lastModified") {
      item_.last_modified = parse_iso_date(text_of(value)).value_or(0);
    }
    return true;
  }
  bool end_item() override {
    if (is_repo_name(item_.id.name)) page.repos.push_back(item_);
    return page.repos.size() <= ListingBounds::kMaxEntries;
  }
  RepoType type_;
  RepoSummary item_;
};

// One name that is no text must not cost the others: with a NUL in it, it is left out later.
template <typename Visitor>
Result<Visitor> read_answer(std::string_view text, const Visitor& empty) {
  Visitor visitor = empty;
  const auto parsed = parse_json(text, visitor, page_limits());
  if (parsed) return visitor;
  const std::string mended = with_nul_for_bad_text(text, kMaxPageBytes);
  if (mended == text) return parsed.error();
  visitor = empty;
  if (const auto again = parse_json(mended, visitor, page_limits()); !again) return again.error();
  return visitor;
}

}  // namespace

Result<RepoInfo> parse_repo_info(std::string_view text, RepoType type) {
  auto answer = read_answer(text, InfoVisitor(type));
  if (!answer) return answer.error();
  if (!is_repo_name(answer->info.id.name)) return bad("repo info without a valid id");
  if (!is_commit_id(answer->info.commit)) return bad("repo info without a commit");
  return std::move(answer->info);
}

Result<RepoRefs> parse_repo_refs(std::string_view text) {
  auto answer = read_answer(text, RefsVisitor());
  if (!answer) return answer.error();
  return std::move(answer->refs);
}

Result<std::vector<TreeEntry>> parse_tree_page(std::string_view text) {
  auto answer = read_answer(text, TreeVisitor());
  if (!answer) return answer.error();
  return std::move(answer->entries);
}

Result<RepoPage> parse_repo_page(std::string_view text, RepoType type) {
  auto answer = read_answer(text, RepoPageVisitor(type));
  if (!answer) return answer.error();
  return std::move(answer->page);
}

}  // namespace hubvfs::hub
