// SPDX-License-Identifier: Apache-2.0
// The part of WorkerCommands that writes a repo's files to a folder of the user's.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/digest.h"
#include "base/json.h"
#include "base/text.h"
#include "daemon/awaited.h"
#include "daemon/bundle.h"
#include "daemon/user_folder.h"
#include "daemon/worker_commands.h"

namespace hubvfs::daemon {
namespace {

constexpr std::uint64_t kPiece = 1u << 20;

// Who may read a file may enter the folders around it.
mode_t folder_mode(mode_t file) { return file | (file & 0444) >> 2; }

bool is_ours(const std::string& path) {
  const std::string top = path.substr(0, path.find('/'));
  return top == kSumsName || top == kSignatureName || top == kManifestName || top == kPartialName;
}

// Files one after the other; where one is there already from a run that was cut short, and is
// right, it stays.
class Export {
 public:
  Export(UserFolder folder, mode_t file_mode, CommandCaller& caller)
      : folder_(std::move(folder)), file_mode_(file_mode), caller_(caller) {}

  // Marks the folder as one of this commit. kExists: it holds something else.
  Result<void> begin(const Manifest& manifest, std::size_t files, std::uint64_t bytes) {
    auto entries = folder_.list("");
    if (!entries) return entries.error();
    // One that was cut short at its very beginning has only the last.
    const bool is_empty = std::all_of(entries->begin(), entries->end(),
                                      [](const auto& entry) { return entry.name == kPartialName; });
    if (!is_empty) {
      if (auto same = is_of(manifest.info); !same) return same;
    }
    progress_ = {"writing", 0, bytes, 0, files, ""};
    // Without its sums it is no whole bundle.
    for (const char* name : {kSumsName, kSignatureName}) {
      if (auto removed = folder_.remove_file(name); !removed) return removed;
    }
    const std::string json = manifest.to_json();
    sums_[kManifestName] = sha256_hex(as_bytes(json));
    return folder_.replace_file(kManifestName, kPartialName, json, file_mode_);
  }

  using Read = std::function<Result<void>(ByteRange, Bytes&)>;
  Result<void> add(const hub::FileRef& file, const Read& read) {
    progress_.now = file.path;
    if (is_there(file)) {
      progress_.done += file.content.size();
    } else if (auto written = write(file, read); !written) {
      return written.error().within(escape_for_log(file.path));
    }
    ++progress_.files_done;
    caller_.progress(progress_);
    return {};
  }

  // The hash of the sums, for whoever signs them.
  Result<std::string> end() {
    const std::string text = write_sums(sums_);
    // The files before the sums: else a power cut could leave sums of files that are not there.
    if (auto synced = folder_.sync(); !synced) return synced.error();
    auto written = folder_.replace_file(kSumsName, kPartialName, text, file_mode_);
    if (!written) return written.error();
    if (auto synced = folder_.sync(); !synced) return synced.error();
    return sha256_hex(as_bytes(text));
  }

 private:
  Result<void> is_of(const hub::RepoInfo& info) const {
    const std::string other = "the folder holds something else already; name an empty or a new one";
    auto text = folder_.read_text(kManifestName, kMostManifest);
    if (!text) return {ErrorCode::kExists, other};
    const auto manifest = Manifest::parse(*text);
    if (!manifest) return {ErrorCode::kExists, other};
    if (manifest->info.id == info.id && manifest->info.commit == info.commit) return {};
    return {ErrorCode::kExists, "the folder holds " + manifest->info.id.name + " at " +
                                    manifest->info.commit + ", and this is " + info.id.name +
                                    " at " + info.commit + "; name another folder"};
  }

  bool is_there(const hub::FileRef& file) {
    auto fd = folder_.open_file(file.path);
    if (!fd) return false;
    const auto size = size_of(fd->get());
    if (!size || *size != file.content.size()) return false;
    Digest content = Digest::for_content(file.content);
    Digest sum = Digest::sha256();
    CommandProgress here = progress_;
    auto read = read_all(fd->get(), kPiece, [&](ByteView bytes) -> Result<void> {
      content.update(bytes);
      sum.update(bytes);
      here.done += bytes.size();
      caller_.progress(here);
      if (caller_.cancelled()) return {ErrorCode::kCancelled, "stopped"};
      return {};
    });
    if (!read || content.finish_hex() != file.content.hex()) return false;
    sums_[file.path] = sum.finish_hex();
    return true;
  }

  Result<void> write(const hub::FileRef& file, const Read& read) {
    auto fd = folder_.create_file(kPartialName, file_mode_);
    if (!fd) return fd.error();
    Digest content = Digest::for_content(file.content);
    Digest sum = Digest::sha256();
    Bytes bytes;
    const std::uint64_t size = file.content.size();
    for (std::uint64_t at = 0; at < size; at += bytes.size()) {
      if (caller_.cancelled()) return {ErrorCode::kCancelled, "stopped"};
      if (auto got = read({at, std::min(size, at + kPiece)}, bytes); !got) return got;
      content.update(bytes);
      sum.update(bytes);
      if (auto put = put_all(fd->get(), bytes); !put) return put;
      progress_.done += bytes.size();
      caller_.progress(progress_);
    }
    // What the cache gave was checked block by block; this is of the whole, as it was written.
    if (content.finish_hex() != file.content.hex()) {
      return {ErrorCode::kCorrupt, "it is not what its hash says; see `hubvfs cache verify`"};
    }
    if (auto made = folder_.make_parents(file.path, folder_mode(file_mode_)); !made) return made;
    sums_[file.path] = sum.finish_hex();
    return folder_.rename(kPartialName, file.path);
  }

  static Result<void> put_all(int fd, ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(fd, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return system_error(errno, "writing");
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
    return {};
  }

  const UserFolder folder_;
  const mode_t file_mode_;
  CommandCaller& caller_;
  CommandProgress progress_;
  Sums sums_;
};

}  // namespace

// From the cache; what was evicted meanwhile is fetched once more.
Result<void> WorkerCommands::read_range(const std::shared_ptr<fs::OpenBlob>& blob, ByteRange range,
                                        Bytes& into, CommandCaller& caller) const {
  const auto bytes = std::make_shared<Bytes>();
  const Awaited<bool> answer;
  parts_.backend.reader().read(blob, range,
                               [bytes, done = answer.callback()](const Result<ByteView>& read) {
                                 if (!read) return done(read.error());
                                 bytes->assign(read->begin(), read->end());
                                 done(true);
                               });
  auto came = answer.get([&caller] { return caller.cancelled(); });
  if (!came) return came.error();
  into = std::move(*bytes);
  return {};
}

Result<std::string> WorkerCommands::export_files(const CommandRequest& request,
                                                 CommandCaller& caller) {
  auto folder = UserFolder::of(caller.extra_fd());
  if (!folder) return folder.error();
  auto selection = select(request, caller);
  if (!selection) return selection.error();
  for (const hub::FileRef& file : selection->files) {
    if (!is_ours(file.path)) continue;
    return Error{ErrorCode::kExists, selection->placed->place.text() + " has a file " +
                                         escape_for_log(file.path) +
                                         " of its own, where the export writes one: leave it out "
                                         "with --exclude " +
                                         escape_for_log(file.path)};
  }
  auto fetched = fetch(*selection, request.jobs, caller);
  if (!fetched) return fetched.error();
  const fs::Placed& placed = *selection->placed;
  std::uint64_t bytes = 0;
  for (const hub::FileRef& file : selection->files) bytes += file.content.size();
  Export out(std::move(*folder), static_cast<mode_t>(request.file_mode), caller);
  auto begun = out.begin(Manifest::of(placed.info, placed.place.revision, *selection->snapshot),
                         selection->files.size(), bytes);
  if (!begun) return begun.error();
  for (const hub::FileRef& file : selection->files) {
    auto blob = parts_.backend.reader().open(placed.space, file, parts_.hub);
    if (!blob) return blob.error();
    auto added = out.add(
        file, [&](ByteRange range, Bytes& into) { return read_range(*blob, range, into, caller); });
    if (!added) return added.error();
  }
  auto sums_hash = out.end();
  if (!sums_hash) return sums_hash.error();
  JsonWriter json;
  json.begin_object();
  json.key("type").string(hub::api_segment(placed.info.id.type));
  json.key("repo").string(placed.info.id.name);
  json.key("commit").string(placed.info.commit);
  json.key("files").number(static_cast<std::uint64_t>(selection->files.size()));
  json.key("bytes").number(bytes);
  json.key("bytes_fetched").number(*fetched);
  json.key("sha256sums").string(*sums_hash);
  json.end_object();
  return json.text();
}

}  // namespace hubvfs::daemon
