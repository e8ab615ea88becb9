// SPDX-License-Identifier: Apache-2.0
// OpenPGP signatures by the user's own GnuPG: its keyring, its agent and its pinentry. So only in a
// command's process, never in the worker, which has none of these and reads bytes from outside.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace hubvfs::daemon {

struct Signer {
  std::string fingerprint;  // of the primary key
  std::string name;         // as the keyring has it; "" where it has none
  bool trusted = false;     // the user, or somebody the user trusts in this, has certified the key
};

// That `key` (fingerprint, key id or mail address) is one key that can sign. kNotFound: it is not;
// kUnsupported: there is no GnuPG.
Result<Signer> find_signing_key(const std::string& key);
// A detached signature in ASCII. Errors as above; kPermissionDenied: GnuPG would not (no
// passphrase, an expired key).
Result<std::string> sign(std::string_view text, const std::string& key);

// Who made the signature; of several, which must all be good, the first. With `by`, that key must
// be one of theirs. kNotFound: the keyring does not have the key; kCorrupt: it is of another text,
// or no signature; kPermissionDenied: of another key than `by`, or of one that is expired or
// revoked.
Result<Signer> check_signature(std::string_view text, std::string_view signature,
                               const std::string& by);

}  // namespace hubvfs::daemon
