// SPDX-License-Identifier: Apache-2.0
// A filesystem of a few files, to test what lies beneath any filesystem of ours.
#pragma once

#include <cstdint>
#include <string>

struct fuse_lowlevel_ops;

namespace hubvfs::tiny {

constexpr std::uint64_t kNumbersSize = 3u << 20;
constexpr std::uint64_t kFirstNode = 2;

// /numbers  kNumbersSize bytes, number_at(offset) each
// /slow     the same, each READ answered 100 ms later by another thread
// /parked   the same, no READ is ever answered
// /pid      the serving process, never cached
// /crash    opening it ends the serving process by SIGABRT
// /request  a READ of it gives its own size as text, never cached
// /counter  its size is the number of times that the kernel asked for it
// /forget-attributes, /forget-entry   opening them tells the kernel to forget those of /counter
// Its userdata is a KernelNotifier.
const fuse_lowlevel_ops& operations();

char number_at(std::uint64_t offset);
std::string numbers(std::uint64_t offset, std::size_t size);

}  // namespace hubvfs::tiny
