// SPDX-License-Identifier: Apache-2.0
#include "fs/name_table.h"

#include <algorithm>
#include <set>

#include "fs/node_id.h"

namespace hubvfs::fs {
namespace {

// Record: u32 number, u32 parent, u8 kind, u8 listed, u32 serial, u64 modified, name, target.
Bytes encode(const NameTable::Name& name) {
  ByteWriter out;
  out.integer(name.number);
  out.integer(name.parent);
  out.integer(static_cast<std::uint8_t>(name.kind));
  out.integer(static_cast<std::uint8_t>(name.listed));
  out.integer(name.serial);
  out.integer(static_cast<std::uint64_t>(name.modified));
  out.string(name.name);
  out.string(name.target);
  return out.take();
}

std::optional<NameTable::Name> decode(ByteView bytes) {
  ByteReader in(bytes);
  NameTable::Name name;
  name.number = in.integer<std::uint32_t>();
  name.parent = in.integer<std::uint32_t>();
  const auto kind = in.integer<std::uint8_t>();
  name.kind = static_cast<NameTable::Kind>(kind);
  name.listed = in.integer<std::uint8_t>() != 0;
  name.serial = in.integer<std::uint32_t>();
  name.modified = static_cast<UnixSeconds>(in.integer<std::uint64_t>());
  name.name = in.string();
  name.target = in.string();
  if (!in.ok() || !in.at_end() || kind < 1 || kind > 5 || name.number < kFirstName) return {};
  return name;
}

}  // namespace

NameTable::NameTable(cache::MetaStore& meta, cache::Namespace space, std::string prefix)
    : meta_(meta), space_(std::move(space)), prefix_(std::move(prefix)), next_(kFirstName) {}

Result<std::unique_ptr<NameTable>> NameTable::load(cache::MetaStore& meta,
                                                   const cache::Namespace& space,
                                                   const std::string& prefix) {
  std::unique_ptr<NameTable> table(new NameTable(meta, space, prefix));
  std::vector<Name> stored;
  auto read = meta.for_each(space, prefix, [&](std::string_view, ByteView value) {
    if (auto name = decode(value)) stored.push_back(std::move(*name));
  });
  if (!read) return read.error();
  std::sort(stored.begin(), stored.end(),
            [](const Name& a, const Name& b) { return a.number < b.number; });
  MutexLock lock(table->mutex_);
  for (const Name& name : stored) table->insert(name);
  return table;
}

void NameTable::insert(const Name& name) {
  names_[name.number] = name;
  by_name_[{name.parent, name.name}] = name.number;
  children_[name.parent].push_back(name.number);
  next_ = std::max(next_, name.number + 1);
}

Result<void> NameTable::store(const Name& name) {
  ByteWriter key;
  key.raw(as_bytes(prefix_));
  key.integer(name.number);
  return meta_.put(space_, as_text(key.bytes()), encode(name));
}

std::optional<NameTable::Name> NameTable::at(std::uint32_t number) const {
  MutexLock lock(mutex_);
  const auto it = names_.find(number);
  if (it == names_.end()) return {};
  return it->second;
}

std::optional<NameTable::Name> NameTable::find(std::uint32_t parent, std::string_view name) const {
  MutexLock lock(mutex_);
  const auto it = by_name_.find(std::pair(parent, std::string(name)));
  if (it == by_name_.end()) return {};
  return names_.at(it->second);
}

Result<NameTable::Name> NameTable::put(Name name) {
  std::optional<Name> replaced;
  name.number = 0;
  {
    MutexLock lock(mutex_);
    const auto it = by_name_.find(std::pair(name.parent, name.name));
    if (it != by_name_.end()) {
      Name& known = names_.at(it->second);
      if (known.kind == name.kind && known.target == name.target) {
        if (known.listed == name.listed &&
            (name.modified == 0 || known.modified == name.modified)) {
          return known;
        }
        known.listed = name.listed;
        if (name.modified != 0) known.modified = name.modified;
        name = known;
      } else {
        known.listed = false;
        replaced = known;
      }
    }
    if (name.number == 0) {
      name.number = next_;
      name.serial = 0;
      insert(name);
    }
  }
  // The record is written before the kernel hears of the number; two writers of one name differ
  // only in what the next listing sets right.
  auto stored = store(name);
  if (stored && replaced) stored = store(*replaced);
  if (!stored) return stored.error();
  return name;
}

Result<void> NameTable::bind(std::uint32_t number, std::uint32_t serial) {
  Name changed;
  {
    MutexLock lock(mutex_);
    Name& name = names_.at(number);
    if (name.serial != 0) return {};
    name.serial = serial;
    changed = name;
  }
  return store(changed);
}

void NameTable::retain_listed(std::uint32_t parent, const std::vector<std::string>& keep) {
  const std::set<std::string_view> kept(keep.begin(), keep.end());
  std::vector<Name> changed;
  {
    MutexLock lock(mutex_);
    for (const std::uint32_t number : children_[parent]) {
      Name& name = names_.at(number);
      if (!name.listed || kept.contains(name.name)) continue;
      name.listed = false;
      changed.push_back(name);
    }
  }
  // A record that cannot be written is listed again after a restart, until the next list.
  for (const Name& name : changed) (void)store(name).has_value();
}

std::vector<NameTable::Name> NameTable::children(std::uint32_t parent, std::uint32_t after,
                                                 std::size_t limit) const {
  std::vector<Name> found;
  MutexLock lock(mutex_);
  const auto it = children_.find(parent);
  if (it == children_.end()) return found;
  const std::vector<std::uint32_t>& numbers = it->second;  // rising
  for (auto at = std::upper_bound(numbers.begin(), numbers.end(), after);
       at != numbers.end() && found.size() < limit; ++at) {
    const Name& name = names_.at(*at);
    if (name.listed) found.push_back(name);
  }
  return found;
}

std::vector<NameTable::Name> NameTable::repos(std::uint32_t after, std::size_t limit) const {
  std::vector<Name> found;
  MutexLock lock(mutex_);
  for (auto at = names_.upper_bound(after); at != names_.end() && found.size() < limit; ++at) {
    const Name& name = at->second;
    if (name.listed && name.kind == Kind::kRepo) found.push_back(name);
  }
  return found;
}

}  // namespace hubvfs::fs
