// SPDX-License-Identifier: Apache-2.0
// Errors as values. A function that can fail returns Result<T>; dropping one fails the build.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace hubvfs {

// What kind of failure a caller can act on. fs/errno_map turns each into an errno, and its switch
// has no default: a new enumerator warns there until it is mapped.
enum class ErrorCode {
  kNotFound,          // the Hub or the store says there is no such thing
  kGated,             // the repo asks for a grant that this caller does not have
  kPermissionDenied,  // refused for another reason: token rejected, 403, file mode
  kRateLimited,       // 429 beyond the deadline
  kUnavailable,       // connection, DNS, TLS, proxy or 5xx: worth asking again later
  kOffline,           // not asked, because the daemon is offline
  kTimedOut,          // a deadline passed
  kCancelled,         // the caller gave up, or the daemon is stopping
  kBadAnswer,         // the other side broke its protocol (wrong range, hostile redirect, bad JSON)
  kCorrupt,           // bytes do not match their hash
  kInvalidArgument,   // a name, option or value that can never be right
  kNameTooLong,
  kNotDirectory,
  kIsDirectory,
  kReadOnly,
  kNoAttribute,       // no such extended attribute
  kBufferTooSmall,
  kStale,             // a node id or handle whose meaning is gone
  kExists,
  kBusy,
  kNoSpace,
  kIo,                // the local disk or kernel failed
  kUnsupported,
  kOutOfMemory,
  kInternal,          // a broken invariant of ours
};

// Enumerator without its k, for log lines ("NotFound").
const char* to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string context;  // what failed, why and, where it helps, what to do next; never a secret
  // For logs, where many things fail of one cause: that, without what was asked. "" for none.
  std::string cause = {};

  // The same error seen from one level up: "CONTEXT: what it was".
  Error within(const std::string& outer) const { return {code, outer + ": " + context, cause}; }
};

template <typename T>
class [[nodiscard]] Result {
  static_assert(!std::is_same_v<T, Error>);

 public:  // NOLINTBEGIN(google-explicit-constructor): a value or an error is a Result
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  Result(ErrorCode code, std::string context) : Result(Error{code, std::move(context)}) {}

  bool has_value() const { return state_.index() == 0; }  // NOLINTEND(google-explicit-constructor)
  explicit operator bool() const { return has_value(); }
  // Only when has_value(). Rvalue forms move the value out.
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  // Only when !has_value().
  const Error& error() const { return *std::get_if<1>(&state_); }
  template <typename U>
  T value_or(U&& other) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(other));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:  // NOLINTBEGIN(google-explicit-constructor): the same
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}
  Result(ErrorCode code, std::string context) : error_(Error{code, std::move(context)}) {}

  bool has_value() const { return !error_.has_value(); }  // NOLINTEND(google-explicit-constructor)
  explicit operator bool() const { return has_value(); }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

// The last system call's failure as an Error: "CONTEXT: strerror(errno_value)". ENOSPC and EDQUOT
// become kNoSpace, ENOENT kNotFound, EACCES and EPERM kPermissionDenied, EROFS kReadOnly,
// EEXIST kExists, EBUSY kBusy, ENOMEM kOutOfMemory; everything else is kIo.
Error system_error(int errno_value, const std::string& context);

// A broken invariant. Logs and aborts in a debug build; logs and goes on in a release build, since
// a dead daemon leaves every reader a dead mount.
void bug(const std::string& what);

}  // namespace hubvfs
