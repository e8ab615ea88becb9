# SPDX-License-Identifier: Apache-2.0
"""Every byte of a served tree comes out of the mount, however it is read and however often."""

import mmap
import os
import random
import threading

import support
from support import BLOCK, MIB, MountTestCase, all_files, content, drop_caches, sha256_of

SIZES = {
    "empty.bin": 0,
    "one.bin": 1,
    "record-1.bin": 64 * 1024 - 1,  # at 64 KiB a blob stops being a record and becomes a file
    "record.bin": 64 * 1024,
    "record+1.bin": 64 * 1024 + 1,
    "block-1.bin": BLOCK - 1,
    "block.bin": BLOCK,
    "block+1.bin": BLOCK + 1,
    "two-blocks.bin": 2 * BLOCK,
    "odd.bin": 3 * BLOCK + 12345,
    "lfs-1.bin": 10 * MIB - 1,  # at 10 MiB a file is served as LFS
    "lfs.bin": 10 * MIB,
    "model.safetensors": 200 * MIB,
}
NAMES = (
    "a name with spaces.txt", "#hash.txt", "100%.txt", "%41.txt", "a b+c#d%e?f&g=h;i.txt",
    "ñandú.txt", "模型 — 权重.txt", "\U0001f917.txt", "'quoted' \"twice\".txt", "back\\slash.txt",
    ".hidden", "-dash", "~tilde", "@at@", "two  blanks", "[brackets]{braces}.txt", "comma,semi;.txt",
    "n" * 255, "sub/dir/deep/er/file.txt", "sub/dir with space/#/%/x.txt", "sub/模型/y.txt",
    "sub.dir/a:b.txt", "tab\there.txt",
)


class Reading(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        for name, size in SIZES.items():
            support.write_file(folder, f"org/model/{name}", content(name, size))
        for name in NAMES:
            support.write_file(folder, f"org/model/{name}", content(name, 100 + len(name)))

    def setUp(self):
        super().setUp()
        self.plain = self.repo()
        self.files = all_files(self.plain)
        self.assertEqual(len(self.files), len(SIZES) + len(NAMES))

    def mounted(self, mount):
        return mount / "org/model"

    def assert_same_tree(self, mount):
        root = self.mounted(mount)
        self.assertEqual(all_files(root), self.files)
        for name in self.files:
            with self.subTest(file=name):
                self.assertEqual(os.path.getsize(os.path.join(root, name)),
                                 os.path.getsize(os.path.join(self.plain, name)))
                self.assertEqual(sha256_of(os.path.join(root, name)),
                                 sha256_of(os.path.join(self.plain, name)))

    def test_sequential_reads(self):
        self.assert_same_tree(self.mount())

    def test_random_reads(self):
        mount, rng = self.mount(), random.Random(20)
        for name in self.files:
            size = os.path.getsize(os.path.join(self.plain, name))
            with (open(os.path.join(self.mounted(mount), name), "rb", buffering=0) as there,
                  open(os.path.join(self.plain, name), "rb", buffering=0) as here):
                for turn in range(400 if size > MIB else 20):
                    offset = rng.randrange(size + 2)
                    length = rng.choice((1, 511, 4096, 70_000, MIB + 7))
                    got = os.pread(there.fileno(), length, offset)
                    self.assertEqual(got, os.pread(here.fileno(), length, offset),
                                     f"{name}: {length} bytes at {offset}, turn {turn}")
                    if turn % 100 == 99:
                        drop_caches(there.name)

    def test_mapped_reads(self):
        mount, rng = self.mount(), random.Random(21)
        for name in self.files:
            size = os.path.getsize(os.path.join(self.plain, name))
            if size == 0:
                continue  # nothing to map
            with (open(os.path.join(self.mounted(mount), name), "rb") as there,
                  open(os.path.join(self.plain, name), "rb") as here,
                  mmap.mmap(there.fileno(), 0, access=mmap.ACCESS_READ) as far,
                  mmap.mmap(here.fileno(), 0, access=mmap.ACCESS_READ) as near):
                for _ in range(100 if size > MIB else 10):
                    offset = rng.randrange(size)
                    end = min(size, offset + rng.choice((1, 4096, 300_000)))
                    self.assertEqual(far[offset:end], near[offset:end], f"{name} at {offset}")
                self.assertTrue(far[:] == near[:], name)

    def test_sixteen_threads_at_once(self):
        mount = self.mount()
        large = [n for n in self.files if os.path.getsize(os.path.join(self.plain, n)) > 4096]
        wrong = []

        def read_about(seed):
            rng = random.Random(seed)
            try:
                for _ in range(60):
                    name = rng.choice(large)
                    size = os.path.getsize(os.path.join(self.plain, name))
                    offset, length = rng.randrange(size), rng.choice((4096, 131072, 2 * MIB))
                    with (open(os.path.join(self.mounted(mount), name), "rb", buffering=0) as there,
                          open(os.path.join(self.plain, name), "rb", buffering=0) as here):
                        got = os.pread(there.fileno(), length, offset)
                        if got != os.pread(here.fileno(), length, offset):
                            wrong.append(f"{name}: {length} bytes at {offset}")
            except OSError as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=read_about, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            drop_caches(os.path.join(self.mounted(mount), "model.safetensors"))
            threads[0].join(0.3)
            for thread in threads:
                if not thread.is_alive():
                    thread.join()
        self.assertEqual(wrong, [])

    def test_what_was_read_once_is_never_asked_for_again(self):
        mount = self.mount()
        self.assert_same_tree(mount)
        mark = self.server.mark()
        asked = mount.status()["hub"]["requests"]
        drop_caches(*(os.path.join(self.mounted(mount), name) for name in self.files))
        self.assert_same_tree(mount)
        self.assertEqual(self.server.since(mark), [])
        self.assertEqual(mount.status()["hub"]["requests"], asked)

    def test_reading_at_and_past_the_end_gives_nothing(self):
        mount = self.mount()
        for name, size in SIZES.items():
            with open(os.path.join(self.mounted(mount), name), "rb", buffering=0) as file:
                self.assertEqual(os.pread(file.fileno(), 10, size), b"")
                self.assertEqual(os.pread(file.fileno(), 10, size + 10_000_000), b"")
                self.assertEqual(len(os.pread(file.fileno(), 10, max(0, size - 3))), min(3, size))


class Offline(MountTestCase):
    """Needs a server of its own: it is stopped."""

    @classmethod
    def make_tree(cls, folder):
        for name, size in (("empty.bin", 0), ("small.json", 700), ("block+1.bin", BLOCK + 1),
                           ("sub/odd.bin", 3 * BLOCK + 5), ("model.safetensors", 24 * MIB + 3)):
            support.write_file(folder, f"org/model/{name}", content(name, size))

    def test_a_restarted_daemon_serves_all_it_read_with_the_server_stopped(self):
        plain, mount = self.repo(), self.mount()
        wanted = {name: sha256_of(os.path.join(plain, name)) for name in all_files(plain)}
        seen = {name: sha256_of(mount / f"org/model/{name}") for name in wanted}
        self.assertEqual(seen, wanted)
        self.assertEqual(mount.stop(), 0, mount.log())

        port = self.server.port
        self.server.close()
        dead = support.DeadPort(port)
        self.addCleanup(dead.close)
        again = self.mount(cache=os.path.basename(mount.cache))
        root = again / "org/model"
        self.assertEqual(all_files(root), sorted(wanted))
        self.assertEqual({n: sha256_of(os.path.join(root, n)) for n in wanted}, wanted)
        with self.assertRaises(FileNotFoundError):
            os.stat(os.path.join(root, "absent.bin"))
        self.assertEqual(dead.calls, 0)
        self.assertEqual(again.status()["hub"]["requests"], 0)


if __name__ == "__main__":
    support.main()
