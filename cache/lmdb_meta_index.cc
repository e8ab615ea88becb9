// SPDX-License-Identifier: Apache-2.0
#include "cache/lmdb_meta_index.h"

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/blocking.h"
#include "cache/lmdb_handles.h"
#include "cache/map_guard.h"

namespace hubvfs::cache {
namespace {

using lmdb::to_val;

constexpr unsigned kFlags = MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMETASYNC | MDB_NOLOCK;
constexpr mdb_mode_t kMode = 0600;
constexpr std::size_t kMaxKey = 500;
constexpr std::uint64_t kSmallestMap = 64u << 20;

}  // namespace

struct LmdbMetaIndex::Environment {
  ~Environment() {
    MDB_env* const closed = env.release();
    guarded([closed] { return mdb_env_close(closed), 0; });
  }
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
  return guarded([&] { return mdb_env_open(raw, path.c_str(), kFlags | flags, kMode); });
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
  MDB_txn* txn = nullptr;
  const unsigned flags = environment->read_only ? MDB_RDONLY : 0u;
  rc = guarded([&] {
    const int begun = mdb_txn_begin(environment->env.get(), nullptr, flags, &txn);
    if (begun != 0) return begun;
    const int opened = mdb_dbi_open(txn, nullptr, 0, &environment->records);
    if (opened == 0) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return opened;
  });
  if (rc != 0) return lmdb_error(rc, index_);
  environment_ = std::move(environment);
  return {};
}

int LmdbMetaIndex::apply_once(std::span<const IndexChange> changes) {
  std::vector<std::string> sealed;
  for (const IndexChange& change : changes) {
    sealed.push_back(change.value ? lmdb::seal(change.key, *change.value) : std::string());
  }
  return guarded([&] {
    MDB_txn* txn = nullptr;
    int rc = mdb_txn_begin(environment_->env.get(), nullptr, 0, &txn);
    if (rc != 0) return rc;
    for (std::size_t i = 0; rc == 0 && i < changes.size(); ++i) {
      MDB_val key = to_val(changes[i].key);
      MDB_val value = to_val(sealed[i]);
      rc = changes[i].value ? mdb_put(txn, environment_->records, &key, &value, 0)
                            : mdb_del(txn, environment_->records, &key, nullptr);
      if (rc == MDB_NOTFOUND && !changes[i].value) rc = 0;
    }
    if (rc == 0) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
  });
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
  return failed(rc);
}

// After a failed write of its meta page LMDB refuses everything until it is opened again, and after
// a page of its map that could not be read nobody knows.
Error LmdbMetaIndex::failed(int rc) {
  Error failure = lmdb_error(rc, index_);
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
  MDB_cursor* raw_cursor = nullptr;
  int rc = guarded([&] {
    const int begun = mdb_txn_begin(environment_->env.get(), nullptr, MDB_RDONLY, &raw_txn);
    return begun != 0 ? begun : mdb_cursor_open(raw_txn, environment_->records, &raw_cursor);
  });
  lmdb::Txn txn(raw_txn);
  lmdb::Cursor cursor(raw_cursor);
  MDB_val key = to_val(prefix);
  MDB_val value{};
  std::string name;
  std::string sealed;
  for (MDB_cursor_op op = prefix.empty() ? MDB_FIRST : MDB_SET_RANGE; rc == 0; op = MDB_NEXT) {
    rc = guarded([&] { return mdb_cursor_get(raw_cursor, &key, &value, op); });
    if (rc == 0) {
      name.resize(key.mv_size);
      sealed.resize(value.mv_size);
      rc = guarded([&] {
        std::memcpy(name.data(), key.mv_data, name.size());
        std::memcpy(sealed.data(), value.mv_data, sealed.size());
        return 0;
      });
    }
    if (rc != 0) break;
    if (!name.starts_with(prefix)) return {};
    const auto plain = lmdb::unseal(name, sealed);
    if (!plain) return {ErrorCode::kCorrupt, "cache index: a record with a wrong checksum"};
    if (!visit(name, *plain)) return {};
  }
  if (rc == MDB_NOTFOUND) return {};
  cursor.reset();
  txn.reset();
  return failed(rc);
}

}  // namespace hubvfs::cache
