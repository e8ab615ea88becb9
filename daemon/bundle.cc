// SPDX-License-Identifier: Apache-2.0
#include "daemon/bundle.h"

#include <array>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "daemon/user_folder.h"
#include "hub/names.h"

namespace hubvfs::daemon {
namespace {

constexpr std::uint64_t kFormat = 1;
constexpr std::size_t kHexDigits = 64;
constexpr std::array<std::pair<hub::Gate, const char*>, 3> kGates = {
    {{hub::Gate::kNone, "none"}, {hub::Gate::kAuto, "auto"}, {hub::Gate::kManual, "manual"}}};

std::string escaped(const std::string& path) {
  std::string text;
  for (const char c : path) {
    text += c == '\n' ? std::string("\\n") : c == '\\' ? std::string("\\\\") : std::string(1, c);
  }
  return text;
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      path += text[i];
      continue;
    }
    if (++i == text.size() || (text[i] != 'n' && text[i] != '\\')) return {};
    path += text[i] == 'n' ? '\n' : '\\';
  }
  return path;
}

// Hash and path of a line.
std::optional<std::pair<std::string, std::string>> read_line(std::string_view line) {
  const bool is_escaped = line.starts_with('\\');
  if (is_escaped) line.remove_prefix(1);
  if (line.size() < kHexDigits + 3 || line[kHexDigits] != ' ') return {};
  const std::string_view hash = line.substr(0, kHexDigits);
  const char mode = line[kHexDigits + 1];  // "*": read as binary, which changes nothing here
  if (!is_lower_hex(hash) || (mode != ' ' && mode != '*')) return {};
  const std::string_view written = line.substr(kHexDigits + 2);
  const auto path = is_escaped ? unescaped(written) : std::string(written);
  if (!path) return {};
  return std::pair(std::string(hash), *path);
}

std::optional<ContentId> read_content(const std::string& text, std::uint64_t size) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return {};
  const std::string algorithm = text.substr(0, colon);
  if (algorithm != "sha256" && algorithm != "git-sha1") return {};
  auto id = ContentId::create(
      algorithm == "sha256" ? ContentId::Algorithm::kSha256 : ContentId::Algorithm::kGitSha1,
      text.substr(colon + 1), size);
  if (!id) return {};
  return *id;
}

class ManifestReader final : public JsonVisitor {
 public:
  bool scalar(const std::string& path, JsonScalar&& value) override {
    const auto* text = std::get_if<std::string>(&value);
    const auto* number = std::get_if<std::uint64_t>(&value);
    const auto* flag = std::get_if<bool>(&value);
    if (path == "hubvfs_bundle") return number != nullptr && (format = *number, true);
    if (path == "type") return text != nullptr && (type = *text, true);
    if (path == "repo") return text != nullptr && (made.info.id.name = *text, true);
    if (path == "revision") return text != nullptr && (made.revision = *text, true);
    if (path == "commit") return text != nullptr && (made.info.commit = *text, true);
    if (path == "private") return flag != nullptr && (made.info.is_private = *flag, true);
    if (path == "gated") return text != nullptr && read_gate(*text);
    if (path == "last_modified") {
      return number != nullptr &&
             (made.info.last_modified = static_cast<UnixSeconds>(*number), true);
    }
    if (path == "files[].path") return text != nullptr && (file().path = *text, true);
    if (path == "files[].size") return number != nullptr && (file().size = *number, true);
    if (path == "files[].lfs") return flag != nullptr && (file().is_lfs = *flag, true);
    if (path == "files[].id") {
      if (text != nullptr) id = *text;
      return text != nullptr || std::holds_alternative<std::nullptr_t>(value);
    }
    return true;
  }
  bool begin_object(const std::string& path) override {
    if (path == "files[]") made.files.emplace_back();
    return made.files.size() <= kMostFiles;
  }
  bool end_object(const std::string& path) override {
    if (path != "files[]") return true;
    file().content = read_content(std::exchange(id, ""), file().size);
    return true;
  }

  bool read_gate(const std::string& text) {
    for (const auto& [gate, name] : kGates) {
      if (text == name) {
        made.info.gate = gate;
        return true;
      }
    }
    return false;
  }
  // Whole, with names that a repo can have.
  bool good() {
    for (const auto one : {hub::RepoType::kModel, hub::RepoType::kDataset, hub::RepoType::kSpace}) {
      made.info.id.type = one;
      if (type == hub::api_segment(one)) {
        return format == kFormat && hub::is_repo_name(made.info.id.name) &&
               is_commit_id(made.info.commit) &&
               (made.revision.empty() || hub::is_revision(made.revision));
      }
    }
    return false;
  }
  hub::TreeEntry& file() { return made.files.empty() ? nowhere : made.files.back(); }

  Manifest made;
  std::uint64_t format = 0;
  std::string type;
  std::string id;
  hub::TreeEntry nowhere;
};

}  // namespace

std::string write_sums(const Sums& sums) {
  std::string text;
  for (const auto& [path, hash] : sums) {
    const std::string written = escaped(path);
    text += (written == path ? "" : "\\") + hash + "  " + written + "\n";
  }
  return text;
}

Result<Sums> read_sums(std::string_view text) {
  Sums sums;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto line = read_line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (sums.size() > kMostFiles) {
      return {ErrorCode::kBadAnswer, std::string(kSumsName) + ": more than a million files"};
    }
    if (line && sums.emplace(line->second, line->first).second) continue;
    return {ErrorCode::kBadAnswer,
            std::string(kSumsName) + ": line " + std::to_string(number) +
                (line ? " is the second one for its file" : " is not what sha256sum writes")};
  }
  return sums;
}

Manifest Manifest::of(const hub::RepoInfo& info, const std::string& revision,
                      const fs::Snapshot& snapshot) {
  Manifest made{info, revision, {}};
  for (std::uint32_t i = 0; i < snapshot.size(); ++i) {
    const fs::Snapshot::Entry& entry = snapshot.entry(i);
    if (entry.is_directory) continue;
    made.files.push_back(
        {hub::TreeEntry::Kind::kFile, snapshot.path(i), entry.size, entry.is_lfs, entry.content});
  }
  return made;
}

std::string Manifest::to_json() const {
  JsonWriter out;
  out.begin_object();
  out.key("hubvfs_bundle").number(kFormat);
  out.key("type").string(hub::api_segment(info.id.type));
  out.key("repo").string(info.id.name);
  out.key("revision").string(revision);
  out.key("commit").string(info.commit);
  out.key("last_modified").number(static_cast<std::uint64_t>(info.last_modified));
  out.key("private").boolean(info.is_private);
  for (const auto& [gate, name] : kGates) {
    if (gate == info.gate) out.key("gated").string(name);
  }
  out.key("files").begin_array();
  for (const hub::TreeEntry& file : files) {
    out.begin_object();
    out.key("path").string(file.path);
    out.key("size").number(file.size);
    out.key("lfs").boolean(file.is_lfs);
    out.key("id");
    file.content ? out.string(file.content->to_string()) : out.null();
    out.end_object();
  }
  out.end_array();
  out.end_object();
  return out.text() + "\n";
}

Result<Manifest> Manifest::parse(std::string_view json) {
  ManifestReader reader;
  JsonLimits limits;
  limits.max_bytes = kMostManifest;
  if (auto parsed = parse_json(json, reader, limits); !parsed)
    return parsed.error().within(kManifestName);
  if (!reader.good()) {
    return {ErrorCode::kBadAnswer, std::string(kManifestName) +
                                       " is not of a bundle that this version of hubvfs can read"};
  }
  return std::move(reader.made);
}

}  // namespace hubvfs::daemon
