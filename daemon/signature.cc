// SPDX-License-Identifier: Apache-2.0
#include "daemon/signature.h"

#include <gpgme.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "daemon/wording.h"

namespace hubvfs::daemon {
namespace {

struct ReleaseContext {
  void operator()(gpgme_ctx_t context) const { ::gpgme_release(context); }
};
struct ReleaseData {
  void operator()(gpgme_data_t data) const { ::gpgme_data_release(data); }
};
struct ReleaseKey {
  void operator()(gpgme_key_t key) const { ::gpgme_key_unref(key); }
};
using Context = std::unique_ptr<gpgme_context, ReleaseContext>;
using Data = std::unique_ptr<gpgme_data, ReleaseData>;
using Key = std::unique_ptr<_gpgme_key, ReleaseKey>;

std::string shown(const char* text) { return text == nullptr ? "" : escape_for_log(text); }

Error gpg_error(ErrorCode code, const std::string& what, gpgme_error_t error) {
  return {code, what + ": " + shown(::gpgme_strerror(error)) + " (GnuPG)"};
}

Result<Context> make_context() {
  ::gpgme_check_version(nullptr);  // initialises the library; nothing works without it
  gpgme_ctx_t raw = nullptr;
  if (const auto error = ::gpgme_engine_check_version(GPGME_PROTOCOL_OpenPGP); error != 0) {
    return gpg_error(ErrorCode::kUnsupported,
                     "there is no GnuPG to sign or check with (package gnupg)", error);
  }
  if (const auto error = ::gpgme_new(&raw); error != 0) {
    return gpg_error(ErrorCode::kUnsupported, "GnuPG cannot be used", error);
  }
  Context context(raw);
  ::gpgme_set_armor(context.get(), 1);
  return context;
}

Result<Data> data_of(std::string_view text) {
  gpgme_data_t raw = nullptr;
  if (const auto error = ::gpgme_data_new_from_mem(&raw, text.data(), text.size(), 0); error != 0) {
    return gpg_error(ErrorCode::kOutOfMemory, "a text for GnuPG", error);
  }
  return Data(raw);
}

Result<Key> find_key(gpgme_ctx_t context, const std::string& key, bool secret) {
  gpgme_key_t raw = nullptr;
  const auto error = ::gpgme_get_key(context, key.c_str(), &raw, secret ? 1 : 0);
  if (error == 0) return Key(raw);
  const std::string what = "key " + escape_for_log(key);
  if (::gpgme_err_code(error) == GPG_ERR_AMBIGUOUS_NAME) {
    return Error{ErrorCode::kNotFound,
                 what + " is more than one; name it by its fingerprint (gpg --list-keys)"};
  }
  return gpg_error(ErrorCode::kNotFound,
                   what + (secret ? " is none to sign with (gpg --list-secret-keys)"
                                  : " is not in the keyring (gpg --list-keys)"),
                   error);
}

Signer signer_of(const Key& key) {
  Signer signer;
  signer.fingerprint = shown(key->fpr);
  if (key->uids != nullptr) signer.name = shown(key->uids->uid);
  return signer;
}

Result<Key> find_key_to_sign(gpgme_ctx_t context, const std::string& name) {
  auto key = find_key(context, name, true);
  if (!key || (*key)->can_sign != 0) return key;
  return Error{ErrorCode::kNotFound, "key " + escape_for_log(name) +
                                         " cannot sign: it is revoked, expired or for another use"};
}

// Of a signature that is not good.
Error why_bad(gpgme_signature_t signature) {
  const std::string key = " by key " + shown(signature->fpr);
  switch (::gpgme_err_code(signature->status)) {
    case GPG_ERR_NO_PUBKEY:
      return {ErrorCode::kNotFound,
              "the signature is" + key +
                  ", which is not in your keyring: get that key from whom you "
                  "trust and `gpg --import` it"};
    case GPG_ERR_BAD_SIGNATURE:
      return {ErrorCode::kCorrupt, "the signature" + key + " is of another text"};
    case GPG_ERR_SIG_EXPIRED:
    case GPG_ERR_KEY_EXPIRED:
    case GPG_ERR_CERT_REVOKED:
      return gpg_error(ErrorCode::kPermissionDenied, "the signature" + key + " does not count",
                       signature->status);
    default:
      return gpg_error(ErrorCode::kCorrupt, "the signature" + key, signature->status);
  }
}

}  // namespace

Result<Signer> find_signing_key(const std::string& key) {
  auto context = make_context();
  if (!context) return context.error();
  auto found = find_key_to_sign(context->get(), key);
  if (!found) return found.error();
  return signer_of(*found);
}

Result<std::string> sign(std::string_view text, const std::string& key) {
  auto context = make_context();
  if (!context) return context.error();
  auto signing = find_key_to_sign(context->get(), key);
  if (!signing) return signing.error();
  auto in = data_of(text);
  if (!in) return in.error();
  gpgme_data_t raw = nullptr;
  gpgme_error_t error = ::gpgme_data_new(&raw);
  const Data out(raw);
  if (error == 0) error = ::gpgme_signers_add(context->get(), signing->get());
  if (error == 0) {
    error = ::gpgme_op_sign(context->get(), in->get(), out.get(), GPGME_SIG_MODE_DETACH);
  }
  if (error != 0) {
    return gpg_error(ErrorCode::kPermissionDenied, "signing by key " + escape_for_log(key), error);
  }
  std::string signature;
  char buffer[4096];
  ::gpgme_data_seek(out.get(), 0, SEEK_SET);
  for (;;) {
    const ssize_t got = ::gpgme_data_read(out.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    signature.append(buffer, static_cast<std::size_t>(got));
  }
  if (signature.empty()) return {ErrorCode::kIo, "GnuPG gave no signature"};
  return signature;
}

Result<Signer> check_signature(std::string_view text, std::string_view signature,
                               const std::string& by) {
  auto context = make_context();
  if (!context) return context.error();
  auto signed_text = data_of(text);
  if (!signed_text) return signed_text.error();
  auto detached = data_of(signature);
  if (!detached) return detached.error();
  const auto error =
      ::gpgme_op_verify(context->get(), detached->get(), signed_text->get(), nullptr);
  if (error != 0) return gpg_error(ErrorCode::kCorrupt, "it is no signature", error);
  const auto result = ::gpgme_op_verify_result(context->get());
  gpgme_signature_t first = result == nullptr ? nullptr : result->signatures;
  if (first == nullptr) return {ErrorCode::kCorrupt, "it is no signature"};
  // The keys are looked up after this: with the context's next operation the result is gone.
  for (gpgme_signature_t one = first; one != nullptr; one = one->next) {
    if (one->status != 0) return why_bad(one);
  }
  std::vector<std::pair<std::string, bool>> good;  // fingerprint, trusted
  for (gpgme_signature_t one = first; one != nullptr; one = one->next) {
    good.emplace_back(shown(one->fpr), one->validity >= GPGME_VALIDITY_FULL);
  }
  std::string wanted;
  if (!by.empty()) {
    auto key = find_key(context->get(), by, false);
    if (!key) return key.error();
    wanted = signer_of(*key).fingerprint;
  }
  std::vector<Signer> others;
  for (const auto& [fingerprint, trusted] : good) {
    auto key = find_key(context->get(), fingerprint, false);
    if (!key) return key.error();
    Signer signer = signer_of(*key);
    signer.trusted = trusted;
    if (wanted.empty() || wanted == signer.fingerprint) return signer;
    others.push_back(std::move(signer));
  }
  return {ErrorCode::kPermissionDenied,
          "the signature is by " +
              some_of(others,
                      [](const Signer& signer) { return signer.fingerprint + " " + signer.name; }) +
              ", not by " + escape_for_log(by)};
}

}  // namespace hubvfs::daemon
