// SPDX-License-Identifier: Apache-2.0
// LMDB's handles as types that close themselves, and the checksum that each value ends in.
#pragma once

#include <lmdb.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "cache/block_checksum.h"

namespace hubvfs::cache::lmdb {

struct CloseEnv {
  void operator()(MDB_env* env) const { mdb_env_close(env); }
};
struct AbortTxn {
  void operator()(MDB_txn* txn) const { mdb_txn_abort(txn); }
};
struct CloseCursor {
  void operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }
};
using Env = std::unique_ptr<MDB_env, CloseEnv>;
using Txn = std::unique_ptr<MDB_txn, AbortTxn>;
using Cursor = std::unique_ptr<MDB_cursor, CloseCursor>;

inline MDB_val to_val(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};  // LMDB only reads it
}
inline std::string_view to_text(const MDB_val& val) {
  return {static_cast<const char*>(val.mv_data), val.mv_size};
}

constexpr std::uint64_t kValueSeed = 0x6d65'7461'696e'6478;

inline std::string seal(std::string_view key, std::string_view value) {
  ByteWriter checksum;
  checksum.integer(checksum64(kValueSeed, as_bytes(key), as_bytes(value)));
  std::string sealed(value);
  sealed.append(as_text(checksum.bytes()));
  return sealed;
}

// The value without its checksum; none when that is wrong.
inline std::optional<std::string_view> unseal(std::string_view key, std::string_view sealed) {
  if (sealed.size() < 8) return std::nullopt;
  const std::string_view value = sealed.substr(0, sealed.size() - 8);
  ByteReader checksum(as_bytes(sealed.substr(value.size())));
  if (checksum.integer<std::uint64_t>() != checksum64(kValueSeed, as_bytes(key), as_bytes(value))) {
    return std::nullopt;
  }
  return value;
}

}  // namespace hubvfs::cache::lmdb
