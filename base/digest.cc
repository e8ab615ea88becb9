// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "base/result.h"
#include "base/text.h"

namespace hubvfs {

struct Digest::Context {
  explicit Context(const EVP_MD* type) : md(EVP_MD_CTX_new()) {
    if (md == nullptr || EVP_DigestInit_ex(md, type, nullptr) != 1) bug("EVP_DigestInit_ex");
  }
  ~Context() { EVP_MD_CTX_free(md); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  EVP_MD_CTX* md;
};

Digest::Digest(std::unique_ptr<Context> context) : context_(std::move(context)) {}
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
Digest::~Digest() = default;

Digest Digest::sha256() { return Digest(std::make_unique<Context>(EVP_sha256())); }
Digest Digest::sha1() { return Digest(std::make_unique<Context>(EVP_sha1())); }

Digest Digest::for_content(const ContentId& id) {
  if (id.algorithm() == ContentId::Algorithm::kSha256) return sha256();
  Digest digest = sha1();
  const std::string header = "blob " + std::to_string(id.size());
  digest.update(as_bytes({header.c_str(), header.size() + 1}));  // with its NUL
  return digest;
}

void Digest::update(ByteView bytes) {
  if (EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) != 1) bug("EVP_DigestUpdate");
}

std::string Digest::finish_hex() {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  if (EVP_DigestFinal_ex(context_->md, hash.data(), &size) != 1) bug("EVP_DigestFinal_ex");
  return to_hex({hash.data(), size});
}

std::string sha256_hex(ByteView bytes) {
  Digest digest = Digest::sha256();
  digest.update(bytes);
  return digest.finish_hex();
}

std::string hmac_sha256_hex(ByteView key, ByteView message) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), mac.data(),
           &size) == nullptr) {
    bug("HMAC");
  }
  return to_hex({mac.data(), size});
}

}  // namespace hubvfs
