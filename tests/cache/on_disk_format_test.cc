// SPDX-License-Identifier: Apache-2.0
// The example records in ARCHITECTURE.md ("On-disk format") are what is written, byte for byte.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "base/text.h"
#include "cache/block_checksum.h"
#include "cache/index_records.h"
#include "cache/lmdb_handles.h"
#include "cache/record_format.h"
#include "cache/record_log.h"
#include "cache/sidecar.h"
#include "tests/cache/blobs.h"

namespace hubvfs::cache {
namespace {

constexpr const char* kEndpointOfExample = "https://huggingface.co";

// 300,000 times "A", in blocks of 256 KiB.
TestBlob example() {
  const std::string content(300'000, 'A');
  return {content, {"public", sha256_id(content)}};
}

// As `xxd -g 1` shows it, without the text beside.
std::string dump(ByteView bytes) {
  std::string text;
  for (std::size_t line = 0; line < bytes.size(); line += 16) {
    const std::array<std::uint8_t, 2> offset = {static_cast<std::uint8_t>(line >> 8),
                                                static_cast<std::uint8_t>(line)};
    text += to_hex(offset) + ":";
    for (const std::byte byte :
         bytes.subspan(line, std::min<std::size_t>(16, bytes.size() - line))) {
      const auto value = static_cast<std::uint8_t>(byte);
      text += " " + to_hex({&value, 1});
    }
    text += "\n";
  }
  return text;
}

// The block of ARCHITECTURE.md that is fenced as "```text NAME".
std::string documented(const std::string& name) {
  const std::string page = read_file(HUBVFS_SOURCE_DIR "/ARCHITECTURE.md");
  const std::string fence = "```text " + name + "\n";
  const std::size_t begin = page.find(fence);
  if (begin == std::string::npos) return "<no block " + name + ">";
  const std::size_t end = page.find("```\n", begin + fence.size());
  return page.substr(begin + fence.size(), end - begin - fence.size());
}

TEST(OnDiskFormat, ASidecarIsAsDocumented) {
  TempDir dir;
  const TestBlob blob = example();
  const UniqueFd fd(::open((dir / "map").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  std::vector<SidecarBlock> blocks;
  for (std::uint64_t i = 0; i < blob.blocks(); ++i) {
    const auto bytes = blob.block(i);
    blocks.push_back({i, i == 0, static_cast<std::uint32_t>(bytes->size()),
                      block_checksum(blob.key, i, *bytes)});
  }
  const SidecarHeader header{blob.key.content, kTestBlock, EndpointId::of(kEndpointOfExample)};
  ASSERT_TRUE(write_sidecar(fd.get(), header, blocks));
  const std::string bytes = read_file(dir / "map");
  EXPECT_EQ(documented("sidecar"), dump(as_bytes(bytes)));
}

TEST(OnDiskFormat, ARecordLogIsAsDocumented) {
  TempDir dir;
  const Directory directory(
      UniqueFd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  NullLogger logger;
  // Its salt is random: here one that can be written down.
  constexpr std::uint64_t kSalt = 0x0123'4567'89ab'cdef;
  ByteWriter header;
  header.integer(kLogMagic);
  header.integer(kSalt);
  header.integer(checksum64(0, header.bytes()));
  Bytes bytes = header.take();
  bytes.resize(kLogHeaderSize);
  write_file(dir / "log", std::string(as_text(bytes)));
  {
    auto log = RecordLog::open(directory, "log", logger);
    ASSERT_TRUE(log);
    ASSERT_TRUE((*log)->put("key", as_bytes("value")));
    ASSERT_TRUE((*log)->erase("key"));
    ASSERT_TRUE((*log)->sync());
    EXPECT_EQ((*log)->damaged(), 0u);
  }
  const std::string written = read_file(dir / "log");
  EXPECT_EQ(documented("record-log"), dump(as_bytes(written)));
}

TEST(OnDiskFormat, TheIndexsRecordsAreAsDocumented) {
  const TestBlob blob = example();
  const auto show = [](const std::string& key, const std::string& value) {
    return "key\n" + dump(as_bytes(key)) + "value\n" + dump(as_bytes(lmdb::seal(key, value)));
  };
  const FileStamp stamp{0x1234, 300'000, 1'760'000'000'123'456'789, 1'760'000'000'123'456'790};
  EXPECT_EQ(documented("index-blob"),
            show(blob_index_key(blob.key),
                 encode(BlobRecord{7, EndpointId::of(kEndpointOfExample), 41, stamp})));
  const auto last = blob.block(1);
  EXPECT_EQ(documented("index-block"),
            show(block_index_key("public", 7, 1),
                 encode(BlockRecord{static_cast<std::uint32_t>(last->size()),
                                    block_checksum(blob.key, 1, *last), 41, 1007})));
  EXPECT_EQ(
      documented("index-state"),
      show(state_index_key(), encode(StateRecord{"1b4e28ba-2fa1-4d2b-9f7c-9a5b1c3d7e10", true})));
}

TEST(OnDiskFormat, ADataFileIsNamedAsDocumented) {
  EXPECT_EQ(documented("data-file"), "blobs/" + blob_file_name(example().key) + "\n");
}

}  // namespace
}  // namespace hubvfs::cache
