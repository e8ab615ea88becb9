# SPDX-License-Identifier: Apache-2.0
"""Complete files are read by the kernel itself: how they become so, and that they stay right.

Each way that programs read is tried on a file in passthrough, then what must not pull it away from
under them: eviction in every form, the death of a worker, and others who change the cache's files.
"""

import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

import support
from machine import die_with_parent
from support import MIB, MountTestCase, binary, clean_environment, content, run, wait_for

PAGE = 4096
BIG = 24 * MIB + 777


class PassthroughTestCase(MountTestCase):
    """A repo of large and small files; as an ordinary user there is no passthrough."""

    FILES = {"big.bin": BIG, "other.bin": 9 * MIB + 5, "same/big.bin": 0, "small.json": 3000}

    @classmethod
    def make_tree(cls, folder):
        for name, size in cls.FILES.items():
            data = content(name, size) if size else content("big.bin", BIG)
            support.write_file(folder, f"org/model/{name}", data)

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("passthrough takes root")
        self.m = self.mount(options=self.options())
        self.facts = self.status()["keeper"]["passthrough"]
        if not self.facts["in_force"]:
            if "kernel" in self.facts["why_not"] or "overlayfs" in self.facts["why_not"]:
                self.skipTest(self.facts["why_not"])
            self.fail(self.facts["why_not"])

    def options(self) -> str:
        return ""

    def path(self, name: str = "big.bin", mount=None) -> str:
        return (mount or self.m) / f"org/model/{name}"

    def plain(self, name: str = "big.bin") -> bytes:
        return content("big.bin", BIG) if name.endswith("big.bin") else content(
            name, self.FILES[name])

    def status(self, mount=None) -> dict:
        return json.loads(run(binary(), "status", (mount or self.m).path, "--json").stdout)

    def registered(self) -> int:
        return self.status()["keeper"]["passthrough"]["files"]

    def reads(self) -> int:
        """Of the kernel, of this mount."""
        return self.status()["status"]["mount_reads"]

    def passed_opens(self, mount=None) -> int:
        return self.status(mount)["status"]["passthrough"]["opens"]

    def complete(self, *names: str, mount=None) -> None:
        """Reads each file, and waits until the next who opens it has it from the kernel."""
        for name in names or ("big.bin",):
            self.assertEqual(self.read(name, mount), self.plain(name))
            self.await_passthrough(name, mount)

    def read(self, name: str = "big.bin", mount=None) -> bytes:
        with open(self.path(name, mount), "rb") as file:
            return file.read()

    def await_passthrough(self, name: str = "big.bin", mount=None) -> None:
        before = self.passed_opens(mount)

        def passed():
            os.close(os.open(self.path(name, mount), os.O_RDONLY))
            return self.passed_opens(mount) > before

        wait_for(passed, f"{name} to be passed through")

    def data_file(self, name: str = "big.bin") -> str:
        """Where the cache has it."""
        oid = os.getxattr(self.path(name), "user.hubvfs.oid").decode().replace(":", "-")
        space = os.getxattr(self.path(name), "user.hubvfs.namespace").decode()
        digest = oid.split("-", 1)[1]
        return os.path.join(self.m.cache, "blobs", space, digest[:2],
                            f"{oid}-{os.stat(self.path(name)).st_size}")

    def command(self, *arguments: str, check: bool = True):
        return run(binary(), *arguments, "-o", f"cache.path={self.m.cache}", check=check,
                   env=clean_environment(self.work, self.tag, HF_ENDPOINT=self.server.url))

    def worker(self) -> int:
        """Told also while no worker answers yet, with the exit status of something wrong."""
        told = run(binary(), "status", self.m.path, "--json", check=False).stdout
        return json.loads(told)["keeper"]["worker_pid"]

    def kill_worker(self) -> None:
        worker = self.worker()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: self.worker() not in (0, worker), "another worker")


class EveryWayToRead(PassthroughTestCase):
    def setUp(self):
        super().setUp()
        self.complete()
        self.fd = os.open(self.path(), os.O_RDONLY)
        self.addCleanup(lambda: os.close(self.fd))
        self.before = self.reads()

    def tearDown(self):
        self.assertEqual(self.reads(), self.before, "the daemon was asked to read")

    def test_read_and_pread(self):
        self.assertEqual(os.read(self.fd, BIG + 1), self.plain())
        self.assertEqual(os.pread(self.fd, 5000, BIG - 100), self.plain()[-100:])

    def test_mmap(self):
        with mmap.mmap(self.fd, 0, access=mmap.ACCESS_READ) as view:
            self.assertEqual(view[:], self.plain())

    def test_sendfile(self):
        got = bytearray()
        source, sink = os.pipe()
        with os.fdopen(sink, "wb"):
            for offset in range(0, BIG, 48 << 10):
                sent = os.sendfile(sink, self.fd, offset, 48 << 10)
                self.assertEqual(sent, min(48 << 10, BIG - offset))
                got += os.read(source, sent)
        os.close(source)
        self.assertEqual(bytes(got), self.plain())

    def test_direct_reads(self):
        fd = os.open(self.path(), os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, fd)
        with mmap.mmap(-1, MIB) as aligned:
            for offset in range(0, BIG, MIB):
                got = os.preadv(fd, [aligned], offset)
                self.assertEqual(aligned[:got], self.plain()[offset:offset + MIB])

    def test_sixty_four_threads(self):
        plain, wrong = self.plain(), []

        def read_some(number: int) -> None:
            fd = os.open(self.path(), os.O_RDONLY)
            try:
                for i in range(50):
                    offset = (number * 7919 + i * 104729) * PAGE % (BIG - PAGE)
                    if os.pread(fd, PAGE, offset) != plain[offset:offset + PAGE]:
                        wrong.append(offset)
            finally:
                os.close(fd)

        threads = [threading.Thread(target=read_some, args=(i,)) for i in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_a_second_name_of_the_content(self):
        """Another node, the same file: both by one id."""
        with open(self.path("same/big.bin"), "rb") as file:
            self.assertEqual(file.read(), self.plain())
        self.assertEqual(self.registered(), 1)


class HowAFileBecomesSo(PassthroughTestCase):
    def test_who_has_it_open_meanwhile_reads_on(self):
        """Open in one mode, it stays in it, and the other mode is opened beside it."""
        with open(self.path(), "rb") as reader:
            first = reader.read(MIB)
            number = os.fstat(reader.fileno()).st_ino
            self.complete()
            with open(self.path(), "rb") as passed:
                before = self.reads()
                self.assertEqual(passed.read(), self.plain())
                self.assertEqual(self.reads(), before)
                self.assertEqual(os.fstat(passed.fileno()).st_ino, number)
                self.assertEqual(os.stat(self.path()).st_ino, number)
            self.assertEqual(first + reader.read(), self.plain())
            again = os.open(f"/proc/self/fd/{reader.fileno()}", os.O_RDONLY)
            self.assertEqual(os.pread(again, 100, 0), self.plain()[:100])
            os.close(again)

    def test_a_small_file_is_read(self):
        for _ in range(3):
            self.assertEqual(self.read("small.json"), self.plain("small.json"))
        self.assertEqual(self.passed_opens(), 0)

    def test_the_next_mount_of_the_cache_passes_it_through_at_once(self):
        self.complete()
        self.m = self.remount(self.m)
        before = self.server.mark()
        self.assertEqual(self.read(), self.plain())
        self.assertEqual(self.passed_opens(), 1)
        self.assertEqual(support.ranges_asked(self.server.since(before)), 0)

    def test_a_mount_beside_it_is_passed_the_same_file(self):
        self.complete()
        other = self.mount(cache=os.path.basename(self.m.cache))
        self.assertEqual(self.read(mount=other), self.plain())
        self.assertEqual(self.passed_opens(other), 1)

    def test_listing_gives_the_same_nodes(self):
        self.complete()
        with os.scandir(self.m / "org/model") as entries:
            for entry in entries:
                self.assertEqual(entry.inode(), os.stat(entry.path).st_ino)
        before = self.passed_opens()
        self.assertEqual(self.read(), self.plain())
        self.assertEqual(self.passed_opens(), before + 1)

    def test_attributes_are_of_the_file(self):
        self.complete()
        with open(self.path(), "rb") as file:
            self.assertEqual(os.fstat(file.fileno()).st_size, BIG)
            self.assertEqual(os.getxattr(file.fileno(), "user.hubvfs.verified"), b"1")
            self.assertEqual(os.fstat(file.fileno()).st_mode & 0o777, 0o400)
        self.assertRaises(OSError, os.open, self.path(), os.O_RDWR)


class WhatMustNotBePulledAway(PassthroughTestCase):
    def setUp(self):
        super().setUp()
        self.complete()

    def refused(self, *arguments: str) -> None:
        done = self.command(*arguments, check=False)
        self.assertIn("open", done.stdout + done.stderr)

    def evict_repo(self):
        return self.command("evict", "org/model", check=False)

    def still_there(self) -> bool:
        try:
            return os.stat(self.data_file()).st_blocks * 512 >= BIG
        except FileNotFoundError:
            return False

    def assert_evicted_when_closed(self) -> None:
        def evicted():
            self.evict_repo()
            return not self.still_there()

        wait_for(evicted, "the file to be evicted once nobody has it open")
        self.assertEqual(self.read(), self.plain())  # fetched again

    def test_an_open_file(self):
        fd = os.open(self.path(), os.O_RDONLY)
        self.evict_repo()
        self.assertTrue(self.still_there())
        self.command("cache", "prune", "--to", "0")
        self.assertTrue(self.still_there())
        self.assertEqual(os.pread(fd, BIG, 0), self.plain())
        os.close(fd)
        self.assert_evicted_when_closed()

    def test_it_is_evicted_right_after_the_last_close(self):
        for _ in range(8):  # more often than the keeper is told of
            with open(self.path(), "rb"):
                pass
        wait_for(lambda: self.status()["status"]["open_files"] == 0, "the RELEASE")
        self.evict_repo()
        self.assertFalse(self.still_there())

    def test_a_mapping_whose_descriptor_is_closed(self):
        """No request tells of it: the kernel has let go of the handle, and of its RELEASE."""
        view = Mapping(self.path(), BIG)
        wait_for(lambda: self.status()["status"]["open_files"] == 0, "the RELEASE")
        wait_for(lambda: self.registered() == 0, "the keeper to let go of the file")
        self.evict_repo()
        self.command("cache", "prune", "--to", "0")
        self.assertTrue(self.still_there())
        self.assertEqual(view.bytes(), self.plain())
        self.kill_worker()
        self.evict_repo()
        self.assertTrue(self.still_there())
        self.assertEqual(view.bytes(), self.plain())
        view.close()
        self.assert_evicted_when_closed()

    def test_a_mapping_that_outlives_its_mount(self):
        view = Mapping(self.path(), BIG)
        data_file = self.data_file()
        self.m = self.remount(self.m)
        self.evict_repo()
        self.command("cache", "prune", "--to", "0")
        self.assertGreaterEqual(os.stat(data_file).st_blocks * 512, BIG)
        self.assertEqual(view.bytes(), self.plain())
        view.close()
        self.assert_evicted_when_closed()

    def test_what_a_dead_worker_opened(self):
        fd = os.open(self.path(), os.O_RDONLY)
        self.kill_worker()
        self.evict_repo()
        self.assertTrue(self.still_there())
        again = os.open(self.path(), os.O_RDONLY)  # by the same id, or the kernel says EIO
        self.assertEqual(os.pread(fd, BIG, 0), self.plain())
        self.assertEqual(os.pread(again, BIG, 0), self.plain())
        os.close(fd)
        os.close(again)
        self.assert_evicted_when_closed()


class UnderLoad(PassthroughTestCase):
    """Readers of every kind, each byte compared, while something else goes on."""

    LIMIT = 600

    def start_readers(self) -> list:
        readers = [subprocess.Popen(
            [sys.executable, "-B", os.path.abspath(__file__), "--read", how, self.path(name),
             os.path.join(self.repo(), name)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
            for how, name in (("sequential", "big.bin"), ("mapped", "big.bin"),
                              ("scattered", "other.bin"), ("mapped", "other.bin"))]
        for reader in readers:
            self.addCleanup(reader.wait)
            self.addCleanup(reader.kill)
        return readers

    def assert_all_right(self, readers: list) -> None:
        for reader in readers:
            done = json.loads(reader.communicate("", timeout=120)[0])
            print("  ", done)
            self.assertEqual((done["errors"], done["wrong"]), ([], 0))
            self.assertGreater(done["passes"], 0)

    def test_workers_are_killed(self):
        self.complete("big.bin", "other.bin")
        readers = self.start_readers()
        kills = 60 if support.FULL else 15
        for _ in range(kills):
            time.sleep(0.3)
            self.kill_worker()
        self.assert_all_right(readers)
        self.assertEqual(self.status()["keeper"]["workers_died"], kills)
        self.assertGreater(self.passed_opens(), 0)
        wait_for(lambda: self.status()["status"]["open_files"] == 0, "every file to be closed")
        wait_for(lambda: self.registered() == 0, "the keeper to let go of every file")

    def test_everything_is_evicted_over_and_over(self):
        self.complete("big.bin", "other.bin")
        readers = self.start_readers()
        before = self.server.mark()
        for _ in range(60 if support.FULL else 15):
            self.command("evict", "org/model", check=False)
            self.command("cache", "prune", "--to", "0", check=False)
            self.command("prefetch", "org/model")
        self.assert_all_right(readers)
        self.assertGreater(support.content_bytes(self.server.since(before)), BIG,
                           "nothing was ever evicted: the test is of nothing")


class FallsBack(MountTestCase):
    """Where files cannot be passed through they are read, and the status says why."""

    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/big.bin", content("big.bin", BIG))

    def assert_read(self, mount, why: str) -> None:
        for _ in range(3):
            with open(mount / "org/model/big.bin", "rb") as file:
                self.assertEqual(file.read(), content("big.bin", BIG))
            time.sleep(0.6)  # complete by now, and its name looked up again
        status = json.loads(run(binary(), "status", mount.path, "--json").stdout)
        for told in (status["keeper"]["passthrough"], status["status"]["passthrough"]):
            self.assertFalse(told["in_force"])
            self.assertIn(why, told["why_not"])
        self.assertEqual(status["status"]["passthrough"]["opens"], 0)
        self.assertIn(why, run(binary(), "status", mount.path).stdout)

    def test_for_an_ordinary_user(self):
        if os.geteuid() == 0:
            self.skipTest("this is root; see mount.as_user.passthrough")
        self.assert_read(self.mount(), "root")

    def test_with_the_cache_on_overlayfs(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to mount an overlayfs")
        base = os.path.join(self.work, "overlay")
        os.makedirs(base)
        run("mount", "-t", "tmpfs", "tmpfs", base)
        self.addCleanup(run, "umount", "-l", base)
        for name in ("lower", "upper", "working", "merged"):
            os.makedirs(os.path.join(base, name))
        merged = os.path.join(base, "merged")
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/working", merged)
        self.addCleanup(run, "umount", "-l", merged)
        mount = self.mount(cache="overlay/merged/cache")
        self.assert_read(mount, "overlayfs")

    def test_turned_off(self):
        self.assert_read(self.mount(options="passthrough=off"), "turned off")

    def test_another_word_than_auto_and_off_is_refused(self):
        done = run(binary(), "mount", os.path.join(self.work, "none"), "-o", "passthrough=maybe",
                   check=False, env=clean_environment(self.work, self.tag))
        self.assertEqual(done.returncode, 2)
        self.assertIn("auto or off", done.stderr)


class Mapping:
    """A file mapped, and its descriptor closed: as most loaders do, but not Python's own mmap."""

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def __init__(self, path: str, size: int):
        fd = os.open(path, os.O_RDONLY)
        self.size = size
        self.at = self.libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        os.close(fd)

    def bytes(self) -> bytes:
        return ctypes.string_at(self.at, self.size)

    def close(self) -> None:
        self.libc.munmap(self.at, self.size)


class Reader:
    """A process of its own that reads one file until its standard input is closed."""

    def __init__(self, mounted: str, plain: str):
        with open(plain, "rb") as file:
            self.plain = file.read()
        self.mounted = mounted
        self.done = {"passes": 0, "errors": [], "wrong": 0}

    def check(self, got: bytes, offset: int, size: int) -> None:
        self.done["wrong"] += got != self.plain[offset:offset + size]

    def sequential(self) -> None:
        with open(self.mounted, "rb", buffering=0) as file:
            for offset in range(0, len(self.plain), MIB):
                self.check(file.read(MIB), offset, MIB)

    def scattered(self) -> None:
        for i in range(20):
            fd = os.open(self.mounted, os.O_RDONLY)
            offset = (self.done["passes"] * 20 + i) * 104729 % (len(self.plain) - PAGE)
            self.check(os.pread(fd, PAGE, offset), offset, PAGE)
            os.close(fd)

    def mapped(self) -> None:
        view = Mapping(self.mounted, len(self.plain))
        self.check(view.bytes(), 0, len(self.plain))
        view.close()

    def work(self, how: str) -> None:
        os.set_blocking(0, False)
        while True:
            try:
                getattr(self, how)()
                self.done["passes"] += 1
            except OSError as error:
                self.done["errors"].append(str(error))
            try:
                if os.read(0, 1) == b"":
                    break
            except BlockingIOError:
                pass
        print(json.dumps(self.done))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        Reader(*sys.argv[3:]).work(sys.argv[2])
    else:
        support.main()
