// SPDX-License-Identifier: Apache-2.0
// Reads files the ways that programs do and prints how long it took, as one JSON object.
//
// usage: bench_reader read FILE               from the start to the end, 1 MiB a call
//        bench_reader map FILE THREADS        mmap, each thread every cache line of its own share
//        bench_reader random FILE COUNT SEED  4 KiB at random pages, one call after the other
//        bench_reader race FILE...            a thread each reads its file to the end; how far each
//                                             was when half of all bytes were read
//        bench_reader stat LIST               lstat of each path in the file LIST
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "tests/bench/measuring.h"

namespace hubvfs::bench {
namespace {

constexpr std::size_t kChunk = 1U << 20U;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kLine = 64;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "bench_reader: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

UniqueFd open_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) die(path);
  return fd;
}

std::size_t size_of(const UniqueFd& fd) {
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) die("fstat");
  return static_cast<std::size_t>(about.st_size);
}

// Reads to the end and counts in `done` as it goes.
void read_all(const std::string& path, std::atomic<std::size_t>& done) {
  const UniqueFd fd = open_file(path);
  std::vector<char> buffer(kChunk);
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0) die(path);
    if (got == 0) return;
    done.fetch_add(static_cast<std::size_t>(got), std::memory_order_relaxed);
  }
}

int report(const Stopwatch& watch, std::size_t bytes, std::size_t calls) {
  std::printf("{\"seconds\": %.6f, \"bytes\": %zu, \"calls\": %zu}\n", watch.seconds(), bytes,
              calls);
  return 0;
}

int read_file(const std::string& path) {
  const Stopwatch watch;
  std::atomic<std::size_t> done{0};
  read_all(path, done);
  return report(watch, done, 0);
}

int map_file(const std::string& path, std::size_t threads) {
  const Stopwatch watch;
  const UniqueFd fd = open_file(path);
  const std::size_t size = size_of(fd);
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) die("mmap");
  const auto* bytes = static_cast<const volatile char*>(mapped);
  std::atomic<unsigned> sum{0};
  std::vector<std::thread> all;
  for (std::size_t i = 0; i < threads; ++i) {
    const std::size_t begin = size / threads / kPage * kPage * i;
    const std::size_t end = i + 1 == threads ? size : size / threads / kPage * kPage * (i + 1);
    all.emplace_back([=, &sum] {
      unsigned own = 0;
      for (std::size_t at = begin; at < end; at += kLine)
        own += static_cast<unsigned char>(bytes[at]);
      sum += own;
    });
  }
  for (std::thread& thread : all) thread.join();
  const int result = report(watch, size, 0);
  ::munmap(mapped, size);
  return result;
}

int read_randomly(const std::string& path, std::size_t count, unsigned seed) {
  const UniqueFd fd = open_file(path);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::size_t> page(0, size_of(fd) / kPage - 1);
  std::vector<char> buffer(kPage);
  const Stopwatch watch;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<off_t>(page(random) * kPage);
    if (::pread(fd.get(), buffer.data(), kPage, at) != static_cast<ssize_t>(kPage)) die(path);
  }
  return report(watch, count * kPage, count);
}

int race(const std::vector<std::string>& paths) {
  std::vector<std::atomic<std::size_t>> done(paths.size());
  std::size_t all = 0;
  for (const std::string& path : paths) all += size_of(open_file(path));
  const Stopwatch watch;
  std::vector<std::thread> readers;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    readers.emplace_back([&, i] { read_all(paths[i], done[i]); });
  }
  const auto sum = [&] {
    std::size_t total = 0;
    for (const auto& one : done) total += one;
    return total;
  };
  while (sum() < all / 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::string halfway;
  for (const auto& one : done) halfway += (halfway.empty() ? "" : ", ") + std::to_string(one);
  for (std::thread& reader : readers) reader.join();
  std::printf("{\"seconds\": %.6f, \"bytes\": %zu, \"halfway\": [%s]}\n", watch.seconds(), sum(),
              halfway.c_str());
  return 0;
}

int stat_all(const std::string& list) {
  std::ifstream file(list);
  std::vector<std::string> paths;
  for (std::string line; std::getline(file, line);) paths.push_back(line);
  const Stopwatch watch;
  struct stat about {};
  for (const std::string& path : paths) {
    if (::lstat(path.c_str(), &about) != 0) die(path);
  }
  return report(watch, 0, paths.size());
}

int run(const std::vector<std::string>& words) {
  const std::string verb = words.empty() ? "" : words[0];
  const auto number = [&](std::size_t i) { return std::strtoul(words[i].c_str(), nullptr, 10); };
  if (verb == "read" && words.size() == 2) return read_file(words[1]);
  if (verb == "map" && words.size() == 3 && number(2) > 0) return map_file(words[1], number(2));
  if (verb == "random" && words.size() == 4) {
    return read_randomly(words[1], number(2), static_cast<unsigned>(number(3)));
  }
  if (verb == "race" && words.size() > 1) return race({words.begin() + 1, words.end()});
  if (verb == "stat" && words.size() == 2) return stat_all(words[1]);
  std::fprintf(stderr, "usage: bench_reader read|map|random|race|stat ...\n");
  return 2;
}

}  // namespace
}  // namespace hubvfs::bench

int main(int argc, char** argv) { return hubvfs::bench::run({argv + 1, argv + argc}); }
