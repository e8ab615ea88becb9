// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace hubvfs::hub::server {

// Signs URLs of the content origin and checks them, with a key that lives as long as the process.
// Thread-safe.
class UrlSigner {
 public:
  static Result<UrlSigner> create();

  // "PATH?QUERY&Expires=EPOCH&Signature=HEX"; `query` may be "". Both are given as they will be
  // sent, encoded.
  std::string sign(std::string_view path, std::string_view query, UnixSeconds expires) const;

  enum class Verdict { kGood, kExpired, kForged };
  // `query` as received, signature included. It is good until the second `expires`, exclusive.
  Verdict check(std::string_view path, std::string_view query, UnixSeconds now) const;

 private:
  UrlSigner() = default;
  std::string signature(std::string_view signed_part) const;
  std::array<std::byte, 32> key_{};
};

}  // namespace hubvfs::hub::server
