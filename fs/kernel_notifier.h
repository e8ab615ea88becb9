// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace hubvfs::fs {

// Tells the kernel to forget what it cached. Thread-safe; every call returns at once: the
// notification is sent later from a thread of its own that holds no lock and serves no request
// (threats-and-faults, finding 14). Nodes the kernel does not know are ignored.
class KernelNotifier {
 public:
  virtual ~KernelNotifier() = default;
  // The name's entry, positive or negative, and so its attributes.
  virtual void invalidate_entry(std::uint64_t parent, const std::string& name) = 0;
  // Attributes only; never a page range.
  virtual void invalidate_attributes(std::uint64_t node) = 0;
};

}  // namespace hubvfs::fs
