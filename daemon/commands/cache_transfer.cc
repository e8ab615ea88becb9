// SPDX-License-Identifier: Apache-2.0
// Export to a folder, and import from one.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <ostream>

#include "base/digest.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/bundle.h"
#include "daemon/commands/ask_worker.h"
#include "daemon/mountinfo.h"
#include "daemon/signature.h"
#include "daemon/user_folder.h"

namespace hubvfs::daemon {
namespace {

void print_exported(const std::vector<JsonValues>&, const JsonValues& v, std::ostream& out) {
  out << v.text("repo") << " at " << v.text("commit") << ": " << v.number("files") << " files, "
      << human_bytes(v.number("bytes")) << ", written with SHA256SUMS\n";
}

void print_imported(const std::vector<JsonValues>& items, const JsonValues& v, std::ostream& out) {
  for (const JsonValues& item : items) {
    out << item.text("file") << ": " << item.text("problem") << "\n";
  }
  out << v.number("files") << " files of " << v.number("commits") << " commits, "
      << human_bytes(v.number("bytes")) << ", are in the cache; "
      << human_bytes(v.number("bytes_copied")) << " copied just now";
  if (v.number("files_of_no_commit") != 0) {
    out << "; " << v.number("files_of_no_commit") << " files are of no commit and were left";
  }
  if (v.number("problem_count") != 0) out << "; " << v.number("problem_count") << " were not taken";
  out << "\n";
}

Result<UniqueFd> open_folder(const std::string& dir) {
  UniqueFd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return system_error(errno, escape_for_log(dir, 1024));
  return fd;
}

// Why root, who may do anything, may not.
void explain_to_root(int folder, const std::string& dir, const Io& io) {
  struct stat info {};
  if (::geteuid() != 0 || ::fstat(folder, &info) != 0 || info.st_uid == 0) return;
  io.err
      << "hubvfs: " << escape_for_log(dir, 1024) << " belongs to uid " << info.st_uid
      << ", and what works there gives up root's special rights: where it may not read or write, "
         "run the command as that user\n";
}

// The worker would read from itself, and what it waits for there is not to be interrupted.
Result<void> check_is_no_mount_of_ours(int folder, const std::string& dir) {
  struct stat info {};
  auto mounts = read_mountinfo();
  if (!mounts || ::fstat(folder, &info) != 0) return {};
  const std::string device =
      std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
  const bool ours = std::any_of(mounts->begin(), mounts->end(), [&](const MountEntry& mount) {
    return mount.is_hubvfs() && mount.device == device;
  });
  if (!ours) return {};
  return {ErrorCode::kUnsupported,
          escape_for_log(dir, 1024) +
              " lies in a mount of hubvfs: `hubvfs prefetch` brings what is there into the cache"};
}

// A text file of the folder; kNotFound: there is none.
Result<std::string> read_file(int folder, const char* name) {
  auto opened = UserFolder::of(folder);
  if (!opened) return opened.error();
  return opened->read_text(name, kMostManifest);
}

Result<void> sign_sums(int folder, const std::string& key, const std::string& hash,
                       mode_t file_mode) {
  auto sums = read_file(folder, kSumsName);
  if (!sums) return sums.error();
  if (sha256_hex(as_bytes(*sums)) != hash) {
    return {ErrorCode::kCorrupt,
            std::string(kSumsName) + " has changed just now; it is not signed"};
  }
  auto signature = sign(*sums, key);
  if (!signature) return signature.error();
  auto opened = UserFolder::of(folder);
  if (!opened) return opened.error();
  auto written = opened->replace_file(kSignatureName, kPartialName, *signature, file_mode);
  return written ? opened->sync() : written;
}

std::string shown(const Signer& signer) {
  return signer.fingerprint + (signer.name.empty() ? "" : " " + signer.name);
}

// Who signed the sums, and what their hash was when that was found good. None: nobody did.
struct SignedSums {
  Signer signer;
  std::string hash;
};
Result<std::optional<SignedSums>> check_sums(int folder, const std::string& signed_by) {
  auto signature = read_file(folder, kSignatureName);
  const bool none = !signature && signature.error().code == ErrorCode::kNotFound;
  if (none && signed_by.empty()) return std::optional<SignedSums>();
  if (none) {
    return Error{ErrorCode::kNotFound,
                 std::string("the folder is not signed: it has no ") + kSignatureName};
  }
  if (!signature) return signature.error();
  auto sums = read_file(folder, kSumsName);
  if (!sums) return sums.error();
  auto signer = check_signature(*sums, *signature, signed_by);
  if (!signer) return signer.error().within(kSignatureName);
  return std::optional(SignedSums{*signer, sha256_hex(as_bytes(*sums))});
}

mode_t own_umask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

}  // namespace

int cache_export_command(const ExportCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.options = command.options;
  asked.asks_hub = true;
  asked.makes_cache = true;
  asked.request.kind = CommandRequest::Kind::kExport;
  asked.request.include = command.include;
  asked.request.exclude = command.exclude;
  asked.request.file_mode = 0666 & ~own_umask();
  asked.print = print_exported;
  if (auto read = read_repo(command.repo, asked.request); !read) return fail(io, read.error());
  if (!command.sign_by.empty()) {
    // Before hours of work, and not after them.
    auto signer = find_signing_key(command.sign_by);
    if (!signer) return fail(io, signer.error().within("--sign"));
    asked.more_json = "\"signed_by\":\"" + signer->fingerprint + "\"";
  }
  const bool made = ::mkdir(command.dir.c_str(), 0777) == 0;
  auto folder = open_folder(command.dir);
  if (!folder) return fail(io, folder.error());
  asked.fd = folder->get();
  if (!command.sign_by.empty()) {
    asked.then = [&](const JsonValues& v) {
      return sign_sums(folder->get(), command.sign_by, v.text("sha256sums"),
                       static_cast<mode_t>(asked.request.file_mode));
    };
  }
  const int status = ask_worker(asked, io);
  if (status != kExitOk) explain_to_root(folder->get(), command.dir, io);
  if (status != kExitOk && made) ::rmdir(command.dir.c_str());  // where nothing was written
  return status;
}

int cache_import_command(const ImportCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.options = command.options;
  asked.asks_hub = true;
  asked.makes_cache = true;
  asked.request.kind = CommandRequest::Kind::kImport;
  asked.items = "problems";
  asked.print = print_imported;
  asked.status = [](const JsonValues& v) {
    return v.number("problem_count") == 0 ? kExitOk : kExitFailed;
  };
  if (!command.repo.empty()) {
    if (auto read = read_repo(command.repo, asked.request); !read) return fail(io, read.error());
  }
  auto folder = open_folder(command.dir);
  if (!folder) return fail(io, folder.error());
  if (auto other = check_is_no_mount_of_ours(folder->get(), command.dir); !other) {
    return fail(io, other.error());
  }
  auto sums = check_sums(folder->get(), command.signed_by);
  if (!sums) return fail(io, sums.error());
  if (*sums) {
    const Signer& signer = (*sums)->signer;
    asked.request.sums_hash = (*sums)->hash;
    asked.more_json = "\"signed_by\":\"" + signer.fingerprint + "\"";
    io.err << "hubvfs: signed by " << shown(signer)
           << (signer.trusted || !command.signed_by.empty()
                   ? ""
                   : ", a key that nobody you trust has certified: compare the fingerprint")
           << "\n";
  }
  asked.fd = folder->get();
  const int status = ask_worker(asked, io);
  if (status != kExitOk) explain_to_root(folder->get(), command.dir, io);
  return status;
}

}  // namespace hubvfs::daemon
