// SPDX-License-Identifier: Apache-2.0
// The cache at a million blocks: how large, how fast to start, to ask and to shrink.
//
//   cache_bench make PATH BLOCKS BLOBS SMALL_BLOBS RECORDS   makes a cache of that shape
//   cache_bench start PATH BLOCKS                            opens it; its figures as JSON
//   cache_bench use PATH BLOCKS BLOBS                        asks it, evicts from it
//
// scripts/bench cache runs all three, each in a process of its own, so that memory is what a daemon
// would have.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <thread>

#include "base/log.h"
#include "cache/disk_cache.h"
#include "tests/bench/cache_maker.h"
#include "tests/bench/measuring.h"

namespace hubvfs::bench {
namespace {

using cache::Blob;
using Clock = std::chrono::steady_clock;

constexpr const char* kEndpoint = "https://bench.example";
constexpr std::uint64_t kEvicted = 100'000;  // blocks
constexpr std::uint64_t kChecked = 4;        // blocks of each blob that can be read
constexpr std::uint64_t kRoom = 4;           // times as large as what it holds

[[noreturn]] void fail(const Error& error) {
  std::cerr << "cache_bench: " << error.context << "\n";
  std::exit(1);
}

std::unique_ptr<cache::DiskCache> open_cache(const std::string& path, Logger& log,
                                             const hubvfs::Clock& clock, std::uint64_t limit) {
  cache::DiskCacheOptions options;
  options.path = path;
  options.size_limit = limit;
  options.eviction.min_free.bytes = 0;
  options.start_patience = std::chrono::milliseconds(300);  // as the daemon has
  auto opened = cache::DiskCache::open(options, log, clock);
  if (!opened) fail(opened.error());
  return std::move(*opened);
}

// The most anonymous memory there is while it lives.
class MemoryWatch {
 public:
  MemoryWatch() : thread_([this] { run(); }) {}
  ~MemoryWatch() { stop(); }
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;
  double stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return most_ / 1024;
  }

 private:
  void run() {
    while (!stopping_) {
      most_ = std::max(most_, status_kib("RssAnon"));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  std::atomic<bool> stopping_{false};
  double most_ = 0;
  std::thread thread_;
};

int start(const std::string& path, std::uint64_t limit) {
  std::unique_ptr<Logger> log = make_stderr_logger(LogLevel::kWarning);
  const SystemClock clock;
  Figures figures;
  const std::string index = path + "/index/data.mdb";
  figures.add("index_bytes", static_cast<double>(std::filesystem::file_size(index)));
  for (const bool cold : {true, false}) {
    if (cold) forget_pages(index);
    const std::string when = cold ? "cold" : "warm";
    const double before = status_kib("RssAnon");
    const Stopwatch watch;
    const auto cache = open_cache(path, *log, clock, limit);
    figures.add("start_" + when + "_s", watch.seconds());
    auto meta = cache->meta().get("public", "bench 1");
    if (!meta || !meta->has_value()) fail({ErrorCode::kCorrupt, "the metadata is not there"});
    figures.add("metadata_" + when + "_s", watch.seconds());
    if (auto flushed = cache->blobs().flush(); !flushed) fail(flushed.error());
    figures.add("loaded_" + when + "_s", watch.seconds());
    figures.add("rss_anon_" + when + "_mib", (status_kib("RssAnon") - before) / 1024);
    figures.add("blocks", static_cast<double>(cache->blobs().stats().blocks));
  }
  std::cout << figures.json() << "\n";
  return 0;
}

class Use {
 public:
  Use(cache::BlobStore& store, const CacheShape& shape) : store_(store), keys_(blob_keys(shape)) {}

  // As a LOOKUP or a READ comes in: which blob, is that block here.
  Latencies lookups(std::size_t count) {
    Latencies latencies;
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < count; ++i) {
      const auto& key = keys_[random() % keys_.size()];
      const std::uint64_t block = random() % blocks_of(key);
      const auto begin = Clock::now();
      const auto blob = store_.open(key, kEndpoint);
      if (!blob || !(*blob)->has(block)) fail({ErrorCode::kNotFound, "a block is missing"});
      latencies.add(Clock::now() - begin);
    }
    return latencies;
  }

  // Reads 4 KiB here and there until told to stop. What was evicted is not there, and that is that.
  Latencies reads(const std::atomic<bool>& stop, unsigned seed) {
    Latencies latencies;
    std::mt19937_64 random(seed);
    Bytes bytes(4096);
    std::vector<std::shared_ptr<Blob>> open;
    for (std::size_t i = 0; i < 200; ++i) {
      open.push_back(std::move(*store_.open(keys_[random() % keys_.size()], kEndpoint)));
    }
    while (!stop) {
      Blob& blob = *open[random() % open.size()];
      const std::uint64_t limit =
          std::min(kChecked, blocks_of(blob.key())) * store_.block_size() - bytes.size();
      const std::uint64_t offset = random() % limit;
      const auto begin = Clock::now();
      const auto read = blob.read(offset, bytes);
      latencies.add(Clock::now() - begin);
      if (!read && read.error().code != ErrorCode::kNotFound) fail(read.error());
    }
    return latencies;
  }

  template <typename During>
  Latencies reads_during(During&& during) {
    std::atomic<bool> stop{false};
    Latencies latencies;
    std::thread reader([&] { latencies = reads(stop, 2); });
    during();
    stop = true;
    reader.join();
    return latencies;
  }

 private:
  std::uint64_t blocks_of(const cache::BlobKey& key) const {
    return key.content.size() / store_.block_size();
  }
  cache::BlobStore& store_;
  const std::vector<cache::BlobKey> keys_;
};

int use(const std::string& path, const CacheShape& shape) {
  std::unique_ptr<Logger> log = make_stderr_logger(LogLevel::kError);
  const SystemClock clock;
  Figures figures;
  const std::uint64_t limit = kRoom * shape.blocks * shape.block_size;
  MemoryWatch memory;
  auto cache = open_cache(path, *log, clock, limit);
  cache::BlobStore& store = cache->blobs();
  if (auto flushed = store.flush(); !flushed) fail(flushed.error());
  Use use(store, shape);
  use.lookups(10'000);
  Latencies lookups = use.lookups(200'000);
  figures.add_quantiles("lookup", lookups);

  const std::uint64_t writes = store.stats().index_writes;
  Latencies idle = use.reads_during([] { std::this_thread::sleep_for(std::chrono::seconds(3)); });
  figures.add_quantiles("read_4k_idle", idle);
  figures.add("index_writes_of_reads", static_cast<double>(store.stats().index_writes - writes));

  double evict_seconds = 0;
  const std::uint64_t before = store.stats().blocks;
  Latencies evicting = use.reads_during([&] {
    const Stopwatch watch;
    const std::uint64_t used = store.stats().bytes_used;
    auto freed = store.prune({std::nullopt, used - kEvicted * shape.block_size});
    if (!freed) fail(freed.error());
    evict_seconds = watch.seconds();
  });
  figures.add("evicted_blocks", static_cast<double>(before - store.stats().blocks));
  figures.add("evict_s", evict_seconds);
  figures.add_quantiles("read_4k_evicting", evicting);
  figures.add("rss_anon_most_mib", memory.stop());
  figures.add("rss_anon_end_mib", status_kib("RssAnon") / 1024);
  const Stopwatch watch;
  cache.reset();
  figures.add("close_s", watch.seconds());
  std::cout << figures.json() << "\n";
  return 0;
}

int run(const std::vector<std::string>& args) {
  const auto number = [&](std::size_t at) { return std::stoull(args.at(at)); };
  CacheShape shape;
  if (args.size() == 6 && args[0] == "make") {
    shape = {number(2), number(3), number(4), number(5)};
    if (auto made = make_cache(args[1], shape, kChecked); !made) fail(made.error());
    return 0;
  }
  if (args.size() == 3 && args[0] == "start") {
    return start(args[1], kRoom * number(2) * shape.block_size);
  }
  if (args.size() == 4 && args[0] == "use") {
    shape.blocks = number(2);
    shape.blobs = number(3);
    return use(args[1], shape);
  }
  std::cerr << "usage: cache_bench make|start|use ..., as scripts/bench does\n";
  return 2;
}

}  // namespace
}  // namespace hubvfs::bench

int main(int argc, char** argv) { return hubvfs::bench::run({argv + 1, argv + argc}); }
