// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hubvfs {

// A private directory (0700) under $TMPDIR or /tmp, removed with all it holds.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Whole files; they abort the test program on failure.
void write_file(const std::string& path, const std::string& text);  // parents are made
std::string read_file(const std::string& path);
// `size` bytes that do not compress, the same for the same seed.
std::string random_bytes(std::size_t size, unsigned seed);

}  // namespace hubvfs
