// SPDX-License-Identifier: Apache-2.0
#include "cache/lmdb_meta_index.h"

#include <cerrno>

#include "base/blocking.h"
#include "cache/lmdb_handles.h"

namespace hubvfs::cache {
namespace {

using lmdb::to_text;
using lmdb::to_val;

constexpr unsigned kFlags = MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMETASYNC | MDB_NOLOCK;
constexpr mdb_mode_t kMode = 0600;
constexpr std::size_t kMaxKey = 500;
constexpr std::uint64_t kSmallestMap = 64u << 20;

}  // namespace

struct LmdbMetaIndex::Environment {
  lmdb::Env env;
  MDB_dbi records = 0;
  bool read_only = false;  // the disk was when it was opened
};

namespace {

Error lmdb_error(int rc, const Directory& index) {
  const std::string what = std::string("cache index: ") + mdb_strerror(rc);
  switch (rc) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
      return {ErrorCode::kCorrupt, what};
    case EIO: {
      // LMDB says EIO for a short write: a full disk is told apart here.
      const auto space = index.space();
      if (space && space->available < (1u << 20)) return {ErrorCode::kNoSpace, what};
      return {ErrorCode::kIo, what};
    }
    default:
      return rc > 0 ? system_error(rc, "cache index") : Error{ErrorCode::kIo, what};
  }
}

int open_environment(const std::string& path, std::uint64_t map_size, unsigned flags,
                     lmdb::Env& env) {
  MDB_env* raw = nullptr;
  if (const int rc = mdb_env_create(&raw); rc != 0) return rc;
  env.reset(raw);
  if (const int rc = mdb_env_set_mapsize(raw, map_size); rc != 0) return rc;
  return mdb_env_open(raw, path.c_str(), kFlags | flags, kMode);
}

}  // namespace

LmdbMetaIndex::LmdbMetaIndex(const Directory& index, LmdbMetaIndexOptions options)
    : index_(index), options_(options) {}

LmdbMetaIndex::~LmdbMetaIndex() {
  // What NOMETASYNC left unsynced.
  if (environment_ != nullptr && !environment_->read_only) {
    mdb_env_sync(environment_->env.get(), 1);
  }
}

Result<std::unique_ptr<LmdbMetaIndex>> LmdbMetaIndex::open(const Directory& index,
                                                           const LmdbMetaIndexOptions& options) {
  std::unique_ptr<LmdbMetaIndex> made(new LmdbMetaIndex(index, options));
  if (auto opened = made->reopen(); !opened) return opened.error();
  return made;
}

Result<void> LmdbMetaIndex::reopen() {
  environment_.reset();  // never two at once: LMDB allows it and breaks
  auto environment = std::make_unique<Environment>();
  const std::string path = "/proc/self/fd/" + std::to_string(index_.fd());
  const auto open = [&](unsigned flags) {
    const int done = open_environment(path, options_.map_size, flags, environment->env);
    environment->read_only = flags != 0;
    return done;
  };
  int rc = open(0);
  while (rc == ENOMEM && options_.map_size > kSmallestMap) {  // an address space limit
    options_.map_size /= 2;
    rc = open(0);
  }
  if (rc == EROFS) rc = open(MDB_RDONLY);
  if (rc != 0) return lmdb_error(rc, index_);

  // The handle of a database counts only once a transaction that opened it is committed.
  MDB_txn* raw = nullptr;
  const unsigned flags = environment->read_only ? MDB_RDONLY : 0u;
  if (rc = mdb_txn_begin(environment->env.get(), nullptr, flags, &raw); rc != 0) {
    return lmdb_error(rc, index_);
  }
  lmdb::Txn txn(raw);
  if (rc = mdb_dbi_open(raw, nullptr, 0, &environment->records); rc != 0) {
    return lmdb_error(rc, index_);
  }
  if (rc = mdb_txn_commit(txn.release()); rc != 0) return lmdb_error(rc, index_);
  environment_ = std::move(environment);
  return {};
}

int LmdbMetaIndex::apply_once(std::span<const IndexChange> changes) {
  MDB_txn* raw = nullptr;
  if (const int rc = mdb_txn_begin(environment_->env.get(), nullptr, 0, &raw); rc != 0) return rc;
  lmdb::Txn txn(raw);
  for (const IndexChange& change : changes) {
    MDB_val key = to_val(change.key);
    int rc = 0;
    if (change.value) {
      const std::string sealed = lmdb::seal(change.key, *change.value);
      MDB_val value = to_val(sealed);
      rc = mdb_put(raw, environment_->records, &key, &value, 0);
    } else {
      rc = mdb_del(raw, environment_->records, &key, nullptr);
      if (rc == MDB_NOTFOUND) rc = 0;
    }
    if (rc != 0) return rc;
  }
  return mdb_txn_commit(txn.release());
}

Result<void> LmdbMetaIndex::apply(std::span<const IndexChange> changes) {
  assert_may_block("an index transaction");
  for (const IndexChange& change : changes) {
    if (change.key.empty() || change.key.size() > kMaxKey) {
      return {ErrorCode::kInvalidArgument, "an index key has 1 to 500 bytes"};
    }
  }
  if (environment_ == nullptr || environment_->read_only) {
    if (auto opened = reopen(); !opened) return opened;
  }
  if (environment_->read_only) return system_error(EROFS, "cache index");
  int rc = apply_once(changes);
  while (rc == MDB_MAP_FULL) {
    options_.map_size *= 2;
    // Allowed: this is the only thread that uses the environment, and its transaction is aborted.
    if (rc = mdb_env_set_mapsize(environment_->env.get(), options_.map_size); rc != 0) break;
    rc = apply_once(changes);
  }
  if (rc == 0) return {};
  const Error failure = lmdb_error(rc, index_);
  // After a failed write of its meta page LMDB refuses everything until it is opened again.
  if (rc == MDB_PANIC || rc == EIO || rc == ENOSPC || rc == EROFS) environment_.reset();
  return failure;
}

Result<std::optional<std::string>> LmdbMetaIndex::get(std::string_view key) {
  std::optional<std::string> found;
  auto walked = for_each(key, [&](std::string_view at, std::string_view value) {
    if (at == key) found = std::string(value);
    return false;
  });
  if (!walked) return walked.error();
  return found;
}

Result<void> LmdbMetaIndex::for_each(
    std::string_view prefix,
    const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  if (environment_ == nullptr) {
    if (auto opened = reopen(); !opened) return opened;
  }
  MDB_txn* raw_txn = nullptr;
  int rc = mdb_txn_begin(environment_->env.get(), nullptr, MDB_RDONLY, &raw_txn);
  if (rc != 0) return lmdb_error(rc, index_);
  const lmdb::Txn txn(raw_txn);
  MDB_cursor* raw_cursor = nullptr;
  rc = mdb_cursor_open(raw_txn, environment_->records, &raw_cursor);
  if (rc != 0) return lmdb_error(rc, index_);
  const lmdb::Cursor cursor(raw_cursor);

  MDB_val key = to_val(prefix);
  MDB_val value{};
  rc = mdb_cursor_get(raw_cursor, &key, &value, prefix.empty() ? MDB_FIRST : MDB_SET_RANGE);
  for (; rc == 0; rc = mdb_cursor_get(raw_cursor, &key, &value, MDB_NEXT)) {
    const std::string_view name = to_text(key);
    if (!name.starts_with(prefix)) return {};
    const auto plain = lmdb::unseal(name, to_text(value));
    if (!plain) return {ErrorCode::kCorrupt, "cache index: a record with a wrong checksum"};
    if (!visit(name, *plain)) return {};
  }
  if (rc == MDB_NOTFOUND) return {};
  return lmdb_error(rc, index_);
}

}  // namespace hubvfs::cache
