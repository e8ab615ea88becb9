# SPDX-License-Identifier: Apache-2.0
"""How much is fetched for what is read: bytes and requests as the server counted them."""

import hashlib
import os
import threading

import support
from support import BLOCK, MIB, MountTestCase, content, content_bytes, drop_caches, ranges_asked

BLOCKS = 64
SIZE = BLOCKS * BLOCK


class Fetching(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/weights.safetensors", content("w", SIZE))
        for number in range(4):
            support.write_file(folder, f"org/model/shard-{number}.bin", content(f"s{number}", 9 * MIB))

    def setUp(self):
        super().setUp()
        self.m = self.mount()
        self.path = self.m / "org/model/weights.safetensors"
        os.stat(self.path)
        self.mark = self.server.mark()

    def fetched(self):
        return self.server.settled_since(self.mark)

    def test_a_piece_of_a_file_costs_little_more_than_the_piece(self):
        with open(self.path, "rb", buffering=0) as file:
            got = os.pread(file.fileno(), MIB, SIZE // 2)
        self.assertEqual(got, content("w", SIZE)[SIZE // 2:][:MIB])
        cost = content_bytes(self.fetched())
        print(f"1 MiB from the middle: {cost} bytes fetched")
        self.assertLessEqual(cost, 4 * MIB)

    def test_sixteen_cold_readers_cost_one_fetch_of_each_block(self):
        start, sums = threading.Barrier(16), []

        def read_all():
            start.wait()
            sums.append(support.sha256_of(self.path))

        threads = [threading.Thread(target=read_all) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = support.sha256_of(os.path.join(self.repo(), "weights.safetensors"))
        self.assertEqual(sums, [wanted] * 16)
        self.assertEqual(content_bytes(self.fetched()), SIZE)

    def test_sixteen_readers_of_one_cold_block_cost_one_request(self):
        start, wrong = threading.Barrier(16), []
        wanted = content("w", SIZE)[40 * BLOCK:][:4096]

        def read_one():
            fd = os.open(self.path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            start.wait()
            if os.pread(fd, 4096, 40 * BLOCK) != wanted:
                wrong.append(fd)
            os.close(fd)

        threads = [threading.Thread(target=read_one) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertLessEqual(content_bytes(self.fetched()), 4 * MIB)

    def test_a_cold_file_read_in_order_is_not_a_request_a_block(self):
        # However slow a machine is, what is read ahead is asked for by 1 MiB: four of these blocks.
        # The kernel does not read ahead here: it would ask for as much, and hide that we do not.
        block = 256 << 10
        mount = self.mount(options="cache.block_size=256K")
        path = mount / "org/model/weights.safetensors"
        os.stat(path)
        self.mark = self.server.mark()
        found = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            while piece := file.read(64 << 10):
                found.update(piece)
        entries = self.fetched()
        print(f"{SIZE // block} blocks in order: {ranges_asked(entries)} range requests, "
              f"{content_bytes(entries)} bytes")
        self.assertEqual(found.hexdigest(),
                         support.sha256_of(os.path.join(self.repo(), "weights.safetensors")))
        self.assertLess(ranges_asked(entries), SIZE // block // 2)
        self.assertEqual(content_bytes(entries), SIZE)

    def test_a_fetched_block_is_kept(self):
        with open(self.path, "rb", buffering=0) as file:
            os.pread(file.fileno(), 4096, 10 * BLOCK)
            before = len(self.fetched())
            for _ in range(5):
                drop_caches(self.path)
                os.pread(file.fileno(), 4096, 10 * BLOCK)
            self.assertEqual(len(self.fetched()), before)

    def test_a_signed_url_is_used_again(self):
        with open(self.path, "rb", buffering=0) as file:
            for block in (5, 25, 45, 60):
                os.pread(file.fileno(), 4096, block * BLOCK)
        resolves = [e for e in self.fetched() if "/resolve/" in e["path"] and e["status"] == 302]
        self.assertEqual(len(resolves), 1)


if __name__ == "__main__":
    support.main()
