// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "fs/operations.h"
#include "tests/fs/waiting.h"

namespace hubvfs::fs {

inline constexpr NodeId kRoot{false, 0, kRootEntry};

// What programs ask of a mount, each question waited for.
class SyncMount {
 public:
  SyncMount() = default;
  explicit SyncMount(std::shared_ptr<Operations> operations) : fs_(std::move(operations)) {}
  Operations* operator->() const { return fs_.get(); }
  void reset() { fs_.reset(); }

  Result<Entry> lookup(NodeId parent, const std::string& name) const {
    Answer<Entry> answer;
    fs_->lookup(parent, name, answer.callback());
    return answer.get();
  }
  Result<Entry> getattr(NodeId node) const {
    Answer<Entry> answer;
    fs_->getattr(node, answer.callback());
    return answer.get();
  }
  // The node at a path that must exist.
  NodeId walk(const std::string& path) const {
    NodeId node = kRoot;
    for (std::size_t at = 0; at < path.size();) {
      const std::size_t end = std::min(path.find('/', at), path.size());
      const auto entry = lookup(node, path.substr(at, end - at));
      EXPECT_TRUE(entry && entry->exists) << path << " at " << path.substr(at, end - at);
      if (!entry || !entry->exists) return {};
      node = entry->attributes.node;
      at = end + 1;
    }
    return node;
  }
  Result<OpenFlags> open(NodeId node, Handle handle = {2}) const {
    Answer<OpenFlags> answer;
    fs_->open(node, handle, answer.callback());
    return answer.get();
  }
  Result<OpenFlags> opendir(NodeId node) const {
    Answer<OpenFlags> answer;
    fs_->opendir(node, answer.callback());
    return answer.get();
  }
  // A read that is not waited for; its bytes are copied.
  void start_read(NodeId node, std::uint64_t offset, std::size_t size, Answer<std::string>& answer,
                  Handle handle = {2}) const {
    fs_->read(node, handle, offset, size, 0,
              [callback = answer.callback()](const Result<ByteView>& bytes) {
                if (!bytes) return callback(bytes.error());
                callback(std::string(as_text(*bytes)));
              });
  }
  Result<std::string> read(NodeId node, std::uint64_t offset, std::size_t size,
                           Handle handle = {2}) const {
    Answer<std::string> answer;
    start_read(node, offset, size, answer, handle);
    return answer.get();
  }
  // All of a directory, `batch` items a call, by name.
  std::map<std::string, Entry> list(NodeId node, std::size_t batch = 1000) const {
    EXPECT_TRUE(opendir(node));
    std::map<std::string, Entry> all;
    std::uint64_t cookie = 0;
    for (bool more = true; more;) {
      std::size_t taken = 0;
      more = false;
      Answer<bool> done;
      fs_->readdir(
          node, cookie,
          [&](const DirectoryItem& item) {
            if (taken == batch) return !(more = true);
            ++taken;
            cookie = item.cookie;
            EXPECT_TRUE(all.emplace(item.name, item.entry).second) << item.name << " twice";
            return true;
          },
          [callback = done.callback()](const Result<void>& result) {
            callback(result ? Result<bool>(true) : Result<bool>(result.error()));
          });
      const auto result = done.get();
      EXPECT_TRUE(result) << result.error().context;
    }
    return all;
  }
  std::string xattr(NodeId node, const std::string& name) const {
    Answer<std::string> answer;
    fs_->getxattr(node, name, answer.callback());
    const auto got = answer.get();
    return got ? *got : std::string("error ") + to_string(got.error().code);
  }
  // None: all is well.
  std::optional<Error> check_root() const {
    Answer<bool> answer;
    fs_->check_root([callback = answer.callback()](const Result<void>& result) {
      callback(result ? Result<bool>(true) : Result<bool>(result.error()));
    });
    const auto got = answer.get();
    if (got) return {};
    return got.error();
  }

 private:
  std::shared_ptr<Operations> fs_;
};

}  // namespace hubvfs::fs
