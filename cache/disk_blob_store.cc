// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_blob_store.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "base/blocking.h"
#include "base/text.h"
#include "cache/file_stamp.h"
#include "cache/index_records.h"
#include "cache/names.h"
#include "cache/store_loader.h"
#include "cache/store_verify.h"

namespace hubvfs::cache {
namespace {

// Changes with every boot: tells a process that died from a machine that did.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

class DiskBlobStore::Handle final : public Blob {
 public:
  Handle(DiskBlobStore& store, EntryPtr entry, const EndpointId& endpoint)
      : store_(store), entry_(std::move(entry)), endpoint_(endpoint) {}
  ~Handle() override { store_.close(entry_, endpoint_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  const BlobKey& key() const override { return entry_->key(); }
  bool has(std::uint64_t block) const override { return entry_->has(block, endpoint_); }
  std::uint64_t cached_bytes() const override { return entry_->cached_bytes(endpoint_); }
  bool complete() const override { return entry_->complete(endpoint_); }
  bool verified() const override { return entry_->verified(); }
  bool sealed() const override { return entry_->seal() && store_.disk_can_be_read(); }
  Result<std::string> sealed_file() override { return store_.sealed_file(entry_); }
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return store_.read(entry_, endpoint_, offset, out);
  }
  bool put(std::uint64_t block, std::shared_ptr<const Bytes> bytes) override {
    return store_.put(entry_, endpoint_, block, std::move(bytes));
  }
  void drop() override { store_.drop(entry_); }

 private:
  DiskBlobStore& store_;
  const EntryPtr entry_;
  const EndpointId endpoint_;
};

DiskBlobStore::DiskBlobStore(const Directory& blobs, SmallBlobs& small, MetaIndex& index,
                             const DiskBlobStoreOptions& options, Logger& log, const Clock& clock)
    : options_(options),
      index_(index),
      context_(blobs, small, options.block_size, options.eviction, log, clock),
      reader_(context_,
              [this](const EntryPtr& entry, std::vector<std::uint64_t> blocks) {
                writer_.drop(entry, std::move(blocks));
              }),
      committer_(context_, index,
                 [this](const EntryPtr& entry, std::vector<std::uint64_t> blocks) {
                   writer_.drop(entry, std::move(blocks));
                 }),
      writer_(context_, committer_),
      verifier_(context_, reader_, writer_, committer_, options.pending_limit / kHeldShare),
      scrubber_(context_, clock,
                [this](const EntryPtr& entry, std::vector<std::uint64_t> blocks) {
                  writer_.drop(entry, std::move(blocks));
                }),
      housekeeper_(clock, {[this] { writer_.keep_house(); }, [this] { committer_.write_uses(); },
                           [this] { scrubber_.step(); }}) {
  context_.disk.on_failure([this] { committer_.disk_failed(); });
  context_.index.on_failure([this] { committer_.disk_failed(); });
}

Result<std::unique_ptr<DiskBlobStore>> DiskBlobStore::open(const Directory& blobs,
                                                           SmallBlobs& small, MetaIndex& index,
                                                           const DiskBlobStoreOptions& options,
                                                           Logger& log, const Clock& clock) {
  std::unique_ptr<DiskBlobStore> store(new DiskBlobStore(blobs, small, index, options, log, clock));
  if (auto loaded = store->load(); !loaded) return loaded.error();
  return store;
}

Result<void> DiskBlobStore::load() {
  auto state_text = index_.get(state_index_key());
  if (!state_text) return state_text.error();
  std::optional<StateRecord> state;
  if (state_text->has_value()) state = decode_state_record(**state_text);
  const std::string boot = boot_id();
  const bool clean = state && state->clean;
  context_.whole_blobs = !options_.punch_holes || !can_punch_holes(context_.blobs);
  load_small(context_);
  if (state) {
    const bool power_kept = clean || (!boot.empty() && state->boot_id == boot);
    if (auto loaded = load_index(index_, context_, power_kept); !loaded) return loaded;
  } else if (auto rebuilt = rebuild_index(index_, context_); !rebuilt) {
    return rebuilt;
  }
  auto space = context_.blobs.space();
  if (!space) return space.error();
  context_.quota.set_limit(options_.size_limit, space->available);

  const std::vector<IndexChange> dirty = {{state_index_key(), encode(StateRecord{boot, false})}};
  if (auto noted = index_.apply(dirty); !noted) {
    // A full disk: what is cached is served all the same.
    if (noted.error().code == ErrorCode::kCorrupt) return noted;
    context_.index.failed(noted.error());
  }
  start(!clean);
  return {};
}

void DiskBlobStore::start(bool sweep) {
  started_ = true;
  committer_.start();
  context_.swept = !sweep;
  const auto take_off = [this](const EntryPtr& entry) { writer_.drop(entry, {}); };
  writer_.start(sweep ? std::make_unique<OrphanSweep>(context_, committer_, take_off) : nullptr);
  verifier_.start();
  housekeeper_.start();
  if (sweep) return;  // which finds them, too
  for (const EntryPtr& entry : context_.table.snapshot()) {
    if (entry->idle()) take_off(entry);
  }
}

DiskBlobStore::~DiskBlobStore() {
  if (handles_ != 0) bug("the cache is closed before the blobs that are open in it");
  housekeeper_.stop();
  verifier_.stop();
  writer_.stop();
  committer_.stop();
  if (!started_) return;
  if (auto compacted = context_.small.compact(); !compacted) {
    context_.log.warning("cache: compaction: " + compacted.error().context);
  }
  // After a failure there may be files that nobody knows: the next start looks for them.
  const bool is_clean = context_.index.reason().empty() && !context_.disk.ever_failed();
  const std::vector<IndexChange> clean = {
      {state_index_key(), encode(StateRecord{boot_id(), is_clean})}};
  if (auto noted = index_.apply(clean); !noted) {
    context_.log.warning("cache: " + noted.error().context);
  }
}

std::uint64_t DiskBlobStore::block_size() const { return options_.block_size; }

Result<std::shared_ptr<Blob>> DiskBlobStore::open(const BlobKey& key, const std::string& endpoint) {
  if (!is_namespace(key.space)) {
    return {ErrorCode::kInvalidArgument, "no namespace: " + escape_for_log(key.space)};
  }
  if (endpoint.empty()) return {ErrorCode::kInvalidArgument, "a blob without an endpoint"};
  const EndpointId id = EndpointId::of(endpoint);
  EntryPtr entry = context_.table.open(key, id);
  // The sweep has yet to come by.
  if (!context_.swept && !entry->all_here()) {
    take_in_sidecar(context_, committer_, entry);
  }
  check_stamp(entry);
  if (entry->all_here() && !entry->verified()) {
    entry->expect_verdict();
    verifier_.look(entry);
  }
  ++handles_;
  return std::shared_ptr<Blob>(std::make_shared<Handle>(*this, std::move(entry), id));
}

// The worker alone writes the file: one that looks as it did when it was verified is so still.
void DiskBlobStore::check_stamp(const EntryPtr& entry) {
  const auto expected = entry->stamp_to_check();
  if (!expected) return;
  bool same = false;
  if (auto file = context_.files.open(entry->number(), blob_file_name(entry->key())); file) {
    auto stamp = stamp_of((*file)->get());
    same = stamp && *stamp == *expected;
  }
  entry->stamp_checked(same);
}

// While it fails, files are read here, where what is lost is fetched again.
bool DiskBlobStore::disk_can_be_read() const {
  const auto disk = context_.disk.status();
  return disk || disk.error().code != ErrorCode::kIo;
}

// Each time it is to be passed through: what others did to the file meanwhile shows in its stamp.
Result<std::string> DiskBlobStore::sealed_file(const EntryPtr& entry) {
  const std::string name = blob_file_name(entry->key());
  const auto seal = entry->seal();
  if (!seal) return {ErrorCode::kNotFound, name + " is not complete and verified"};
  if (!disk_can_be_read()) return {ErrorCode::kNotFound, "the cache's disk is failing"};
  const auto file = context_.files.open(entry->number(), name);
  const auto stamp = file ? stamp_of((*file)->get()) : Result<FileStamp>(file.error());
  if (stamp && *stamp == *seal) {
    entry->use_all();
    return name;
  }
  if (entry->break_seal(*seal)) {
    context_.log.warning("cache: " + name + " was changed by others: its hash is checked again");
    verifier_.look(entry);
  }
  return {ErrorCode::kNotFound, name + " was changed by others"};
}

Result<void> DiskBlobStore::read(const EntryPtr& entry, const EndpointId& viewer,
                                 std::uint64_t offset, std::span<std::byte> out) {
  if (!lies_within(offset, out.size(), entry->size())) {
    return {ErrorCode::kInvalidArgument, "read beyond the end of a blob"};
  }
  while (!out.empty()) {
    const std::uint64_t block = offset / options_.block_size;
    const std::uint64_t within = offset % options_.block_size;
    const std::size_t size = std::min<std::size_t>(out.size(), entry->length(block) - within);
    auto read = reader_.read(entry, block, within, out.first(size), &viewer);
    if (!read) {
      ++context_.counters.misses;
      return read;
    }
    ++context_.counters.hits;
    out = out.subspan(size);
    offset += size;
  }
  return {};
}

bool DiskBlobStore::put(const EntryPtr& entry, const EndpointId& endpoint, std::uint64_t block,
                        std::shared_ptr<const Bytes> bytes) {
  if (!is_whole_block(entry->key().content, options_.block_size, block, bytes)) {
    bug("a block of the wrong size for " + entry->key().content.to_string());
    return false;
  }
  if (context_.counters.pending_bytes + bytes->size() > options_.pending_limit) {
    ++context_.counters.unstored;
    return false;
  }
  BlobEntry::Put put = entry->put(block, bytes, endpoint);
  if (!put.dropped.empty()) writer_.drop(entry, std::move(put.dropped));
  if (put.what == BlobEntry::Put::kKnown) return put.whole;
  const bool own = put.what == BlobEntry::Put::kPending;
  // A small blob is judged before it is stored: the verifier hands it to the writer.
  if (!own || !entry->small()) writer_.write(entry, block, put.fill, own);
  if (!own) return false;
  if (put.in_order || put.early) verifier_.take(entry, block, put, std::move(bytes));
  if (!put.in_order && (put.whole || entry->small())) verifier_.look(entry);
  return put.whole;
}

void DiskBlobStore::drop(const EntryPtr& entry) { writer_.drop(entry, entry->drop_all()); }

void DiskBlobStore::close(const EntryPtr& entry, const EndpointId& endpoint) {
  --handles_;
  if (entry->remove_handle(endpoint) && entry->idle()) writer_.drop(entry, {});
}

void DiskBlobStore::on_verdict(OnVerdict callback) { verifier_.on_verdict(std::move(callback)); }

void DiskBlobStore::on_sealed(OnSealed callback) { context_.on_sealed.set(std::move(callback)); }

Result<void> DiskBlobStore::flush() {
  assert_may_block("the cache's flush");
  verifier_.drain();
  writer_.drain();
  auto flushed = committer_.flush();
  if (!flushed) return flushed;
  return context_.disk.status();
}

StoreStats DiskBlobStore::stats() const {
  const StoreCounters& counters = context_.counters;
  StoreStats stats;
  stats.size_limit = context_.quota.limit();
  stats.bytes_used = context_.quota.used();
  stats.blobs = counters.blobs;
  stats.blocks = counters.blocks;
  stats.hits = counters.hits;
  stats.misses = counters.misses;
  stats.evicted_blocks = counters.evicted;
  stats.corrupt_blocks = counters.corrupt;
  stats.pending_bytes = counters.pending_bytes;
  stats.unstored_blocks = counters.unstored;
  stats.degraded = context_.disk.reason();
  if (stats.degraded.empty()) stats.degraded = context_.index.reason();
  stats.policy = to_string(context_.eviction.policy);
  if (context_.eviction.policy == EvictionPolicy::kTtl) {
    stats.ttl_seconds = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(context_.eviction.ttl).count());
  }
  stats.whole_blobs = context_.whole_blobs;
  stats.pinned_bytes = counters.pinned_bytes;
  stats.expired_blocks = counters.expired;
  stats.index_writes = counters.index_writes;
  if (const auto space = context_.blobs.space()) {
    stats.disk_free = space->available;
    stats.min_free = context_.quota.min_free(*space);
  }
  return stats;
}

void DiskBlobStore::for_each_blob(const std::function<void(const BlobInfo&)>& visit) const {
  assert_may_block("the list of cached blobs");
  for (const EntryPtr& entry : context_.table.snapshot()) {
    const BlobInfo info = entry->info();
    if (info.blocks > 0) visit(info);
  }
}

void DiskBlobStore::set_pinned(const std::vector<BlobKey>& keys) {
  context_.table.set_pinned({keys.begin(), keys.end()});
}

void DiskBlobStore::set_passthrough_check(InPassthrough check) {
  context_.in_passthrough.set(std::move(check));
}

Result<std::uint64_t> DiskBlobStore::evict(const BlobKey& key) {
  assert_may_block("evicting a blob");
  if (context_.table.is_pinned(key)) {
    return {ErrorCode::kBusy, key.content.to_string() + " is pinned; unpin it first"};
  }
  const EntryPtr entry = context_.table.find(key);
  if (entry != nullptr && context_.in_use(*entry)) {
    return {ErrorCode::kBusy, key.content.to_string() + " is open; close it first"};
  }
  return entry == nullptr ? 0 : writer_.evict(entry);
}

Result<std::uint64_t> DiskBlobStore::prune(const PruneOptions& options) {
  assert_may_block("pruning the cache");
  return writer_.prune(options);
}

Result<VerifyReport> DiskBlobStore::verify(bool repair, const VerifyProgress& progress) {
  assert_may_block("verifying the cache");
  BlockReader::OnDamage on_lost;
  if (repair) {
    on_lost = [this](const EntryPtr& entry, std::vector<std::uint64_t> blocks) {
      writer_.drop(entry, std::move(blocks));
    };
  }
  auto report = verify_store(context_, reader_, on_lost, progress);
  if (repair) writer_.drain();
  return report;
}

}  // namespace hubvfs::cache
