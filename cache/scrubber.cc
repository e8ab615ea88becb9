// SPDX-License-Identifier: Apache-2.0
#include "cache/scrubber.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "base/text.h"
#include "cache/block_checksum.h"
#include "cache/index_records.h"

namespace hubvfs::cache {
namespace {

constexpr const char* kProgressFile = "scrub";
constexpr std::chrono::minutes kSaveEvery{1};
constexpr std::uint64_t kPage = 4096;  // what a read past the page cache has to be aligned to

std::uint64_t to_whole_pages(std::uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

void Scrubber::Free::operator()(std::byte* memory) const {
  ::operator delete(memory, std::align_val_t(kPage));
}

// "BEGUN NAME": in a pass, and up to where; "BEGUN": it is done.
void Scrubber::load_progress() {
  loaded_ = true;
  const auto text = context_.blobs.read_small_file(kProgressFile);
  const std::string_view line = text ? trim(*text) : std::string_view();
  const std::size_t space = line.find(' ');
  const auto begun = parse_decimal(line.substr(0, space));
  if (!begun) {
    begun_ = clock_.unix_now();  // what was just verified need not be read again
    return save_progress();
  }
  begun_ = static_cast<UnixSeconds>(*begun);
  in_pass_ = space != std::string_view::npos;
  if (in_pass_) at_ = line.substr(space + 1);
}

void Scrubber::save_progress() {
  saved_at_ = clock_.now();
  const std::string text = std::to_string(begun_) + (in_pass_ ? " " + at_ : "") + "\n";
  (void)context_.blobs.replace_file(kProgressFile, text).has_value();  // else it is read once more
}

bool Scrubber::begin_or_go_on() {
  if (!in_pass_) {
    const UnixSeconds now = clock_.unix_now();
    begun_ = std::min(begun_, now);  // the clock may have been wrong
    if (now - begun_ < std::chrono::seconds(kEvery).count()) return false;
    begun_ = now;
    in_pass_ = true;
    at_ = "-";  // before every name
    save_progress();
  }
  if (!listed_) list_files();
  return true;
}

void Scrubber::list_files() {
  listed_ = true;
  files_.clear();
  next_ = next_block_ = 0;
  for (const EntryPtr& entry : context_.table.snapshot()) {
    if (!entry->seal()) continue;
    std::string name = blob_file_name(entry->key());
    if (name > at_) files_.push_back({std::move(name), entry});
  }
  std::sort(files_.begin(), files_.end(),
            [](const File& one, const File& other) { return one.name < other.name; });
}

void Scrubber::step() {
  const TimePoint now = clock_.now();
  if (!last_step_) last_step_ = now;
  constexpr auto kMost = static_cast<std::int64_t>(kBytesPerSecond);
  const Duration passed = std::min<Duration>(now - *last_step_, std::chrono::seconds(1));
  last_step_ = now;
  budget_ = std::min(kMost, budget_ + kMost * passed.count() / std::nano::den);
  if (budget_ <= 0) return;
  if (!loaded_) load_progress();
  if (!begin_or_go_on()) return;
  while (budget_ > 0 && next_ < files_.size()) {
    if (!look_at_next_block()) finish_file();
  }
  if (next_ == files_.size()) {
    in_pass_ = listed_ = false;
    save_progress();
  } else if (now - saved_at_ >= kSaveEvery) {
    save_progress();
  }
}

void Scrubber::finish_file() {
  at_ = files_[next_++].name;
  next_block_ = 0;
}

bool Scrubber::look_at_next_block() {
  const File& file = files_[next_];
  const EntryPtr entry = file.entry.lock();
  if (entry == nullptr || !entry->seal() || next_block_ >= entry->block_count()) return false;
  const std::uint64_t block = next_block_++;
  const BlobEntry::Found found = entry->peek(block);
  if (found.where != BlobEntry::Found::kDisk) return false;
  const std::uint64_t length = entry->length(block);
  budget_ -= static_cast<std::int64_t>(length);
  auto read = read_block(file.name, block * context_.block_size, length);
  const ByteView bytes(buffer_.get(), length);
  if (read && block_checksum(entry->key(), block, bytes) == found.checksum) return true;
  if (read) read = Error{ErrorCode::kCorrupt, "its checksum is wrong"};
  if (read.error().code != ErrorCode::kCorrupt && read.error().code != ErrorCode::kIo) return false;
  if (!entry->drop_block(found)) return false;  // it went away while it was read
  entry->mark_all_unchecked();  // where one is damaged others may be: readers look again
  ++context_.counters.corrupt;
  context_.log.error("cache: block " + std::to_string(block) + " of " + file.name +
                     " is damaged on the disk (" + read.error().context +
                     "): it is fetched again; who has the file open may read wrong bytes");
  on_damage_(entry, {block});
  return true;
}

Result<void> Scrubber::read_block(const std::string& name, std::uint64_t offset,
                                  std::uint64_t length) {
  if (buffer_ == nullptr) {
    const std::uint64_t room = to_whole_pages(context_.block_size);
    buffer_.reset(static_cast<std::byte*>(::operator new(room, std::align_val_t(kPage))));
  }
  auto file = context_.blobs.open_file(name, O_RDONLY | O_DIRECT);
  if (!file) file = context_.blobs.open_file(name, O_RDONLY);
  if (!file) return file.error();
  const ssize_t got =
      ::pread(file->get(), buffer_.get(), to_whole_pages(length), static_cast<off_t>(offset));
  if (got >= static_cast<ssize_t>(length)) return {};
  if (got < 0 && errno != EINVAL) return system_error(errno, "reading " + name);
  file = context_.blobs.open_file(name, O_RDONLY);  // that file system wants more aligned reads
  if (!file) return file.error();
  return read_fully(file->get(), {buffer_.get(), length}, offset);
}

}  // namespace hubvfs::cache
