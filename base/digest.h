// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/content_id.h"

namespace hubvfs {

// A hash computed as bytes arrive (OpenSSL). Not thread-safe.
class Digest {
 public:
  static Digest sha256();
  static Digest sha1();
  // The hash `id` is made of: SHA-256, or SHA-1 already fed with "blob SIZE\0" (git's blob id).
  static Digest for_content(const ContentId& id);

  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  ~Digest();

  void update(ByteView bytes);
  // Lower-case hex. Ends the digest: only once.
  std::string finish_hex();

 private:
  struct Context;
  explicit Digest(std::unique_ptr<Context> context);
  std::unique_ptr<Context> context_;
};

std::string sha256_hex(ByteView bytes);
// HMAC-SHA-256 in lower-case hex (RFC 2104).
std::string hmac_sha256_hex(ByteView key, ByteView message);

}  // namespace hubvfs
