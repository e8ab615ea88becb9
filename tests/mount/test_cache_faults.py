# SPDX-License-Identifier: Apache-2.0
"""What happens to the cache is not the readers' affair.

Its index damaged, its files changed, its folder removed, its disk full, read-only or failing: programs
go on reading the right bytes, `status` says what is wrong, and what is repaired is used again.
"""

import errno
import hashlib
import os
import random
import shutil
import subprocess
import threading
import unittest

import support
from disks import Disk, FailingDisk, why_no_disk, why_no_failing_disk
from machine import die_with_parent
from proxy import FaultyProxy
from support import MIB, MountTestCase, Server, all_files, content, drop_caches, run, wait_for

SMALL = {f"small/file-{i}.json": 300 + 977 * i for i in range(25)}
LARGE = {"weights-1.safetensors": 12 * MIB + 7, "weights-2.safetensors": 3 * MIB,
         "tokenizer.bin": 900_000}
PAGE = 4096


class CacheFaults(MountTestCase):
    FILES = {**SMALL, **LARGE}

    @classmethod
    def make_tree(cls, folder):
        for name, size in cls.FILES.items():
            support.write_file(folder, f"org/model/{name}", content(name, size))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sums = {name: hashlib.sha256(content(name, size)).hexdigest()
                    for name, size in cls.FILES.items()}

    def assert_all_right(self, mount, names=()):
        """Every name and every byte, read by programs that stop at an error."""
        root = mount / "org/model"
        self.assertEqual(all_files(root), sorted(self.FILES))
        names = list(names or self.FILES)
        drop_caches(*(os.path.join(root, name) for name in names))
        done = run("sha256sum", *(os.path.join(root, name) for name in names), timeout=200)
        found = {line[66:].removeprefix(root + "/"): line[:64] for line in done.stdout.splitlines()}
        self.assertEqual(found, {name: self.sums[name] for name in names})

    def degraded(self, mount) -> str:
        return mount.status()["cache"]["degraded"]

    def worker(self, mount) -> int:
        keeper = mount.process.pid
        with open(f"/proc/{keeper}/task/{keeper}/children") as file:
            return int(file.read().split()[0])


class DamagedFiles(CacheFaults):
    def damage(self, path: str, how: str) -> None:
        size, dice = os.path.getsize(path), random.Random(how)
        with open(path, "r+b") as file:
            if how == "cut":
                file.truncate(size // 2 + 100)
            elif how == "empty":
                file.truncate(0)
            elif how == "noise":
                file.write(dice.randbytes(size))
            elif how == "zeroed page":
                file.seek(size // PAGE // 2 * PAGE)
                file.write(bytes(PAGE))
            elif how == "misplaced pages":
                for page in range(1, size // PAGE, 2):
                    file.seek(dice.randrange(size // PAGE) * PAGE)
                    bytes_of_another = file.read(PAGE)
                    file.seek(page * PAGE)
                    file.write(bytes_of_another)
            elif how == "flipped bits":
                for at in (dice.randrange(size) for _ in range(size // 500)):
                    file.seek(at)
                    byte = file.read(1)[0]
                    file.seek(at)
                    file.write(bytes([byte ^ 1 << dice.randrange(8)]))
        if how == "removed":
            os.remove(path)

    def test_after_any_damage_to_the_index_an_offline_mount_serves_all_that_was_served(self):
        server = Server(self.served, os.path.join(self.work, "mortal"), self.tag)
        self.addCleanup(server.close)
        server.wait_ready("org/model")
        mount = self.mount(url=server.url)
        self.assert_all_right(mount)
        self.assertEqual(mount.stop(), 0, mount.log())
        server.close()
        for how in ("cut", "empty", "noise", "zeroed page", "misplaced pages", "flipped bits",
                    "removed"):
            with self.subTest(how):
                self.damage(os.path.join(mount.cache, "index/data.mdb"), how)
                offline = self.mount(cache=os.path.basename(mount.cache), url=server.url,
                                     HUBVFS_OFFLINE="1")
                self.assert_all_right(offline)
                self.assertEqual(offline.status()["cache"]["corrupt_blocks"], 0)
                self.assertEqual(self.degraded(offline), "")
                self.assertEqual(offline.stop(), 0, offline.log())

    def test_an_index_that_is_ruined_under_the_daemon(self):
        mount = self.mount()
        self.assert_all_right(mount, ["weights-1.safetensors"])
        index = os.path.join(mount.cache, "index/data.mdb")
        for how in ("noise", "cut", "empty"):
            with self.subTest(how):
                self.damage(index, how)
                shutil.rmtree(os.path.join(mount.cache, "blobs/public"), ignore_errors=True)
                self.assert_all_right(mount)
        again = self.remount(mount)
        self.assert_all_right(again)  # fetched again, which the index is told
        offline = self.remount(again, HUBVFS_OFFLINE="1")
        self.assert_all_right(offline)

    def test_data_files_sidecars_and_logs_that_were_damaged(self):
        mount = self.mount()
        self.assert_all_right(mount)
        for how in ("flipped bits", "cut", "removed", "empty", "noise"):
            with self.subTest(how):
                self.assertEqual(mount.stop(), 0, mount.log())
                blobs = os.path.join(mount.cache, "blobs/public")
                for name in all_files(blobs)[::2]:
                    self.damage(os.path.join(blobs, name), how)
                self.damage(os.path.join(mount.cache, "meta/public/blobs.log"), how)
                mount = self.mount(cache=os.path.basename(mount.cache))
                self.assert_all_right(mount)
                self.assertEqual(self.degraded(mount), "")

    def assert_refused(self, path: str) -> None:
        with self.assertRaises(OSError) as refused:
            with open(path, "rb") as file:
                file.read()
        self.assertEqual(refused.exception.errno, errno.EIO)

    def test_content_that_is_wrong_is_fetched_once_more_then_refused_and_told_of(self):
        proxy = FaultyProxy(self.server.url)
        self.addCleanup(proxy.close)
        proxy.set_fault("garble")
        mount = self.mount(url=proxy.url)
        path = mount / "org/model/weights-2.safetensors"
        for times in (1, 2):
            mark = self.server.mark()
            self.assert_refused(path)
            wait_for(lambda: mount.status()["reads"]["corrupt_blobs"] == times, "the verdict")
            self.assertGreaterEqual(support.content_bytes(self.server.since(mark)),
                                    LARGE["weights-2.safetensors"])
            self.assertEqual(mount.status()["cache"]["blocks"], 0)
        mark = self.server.mark()
        self.assert_refused(path)
        self.assertEqual(support.content_bytes(self.server.since(mark)), 0)
        data = content("weights-2.safetensors", LARGE["weights-2.safetensors"])
        for true_or_not in (data, bytes(byte ^ 0x55 for byte in data)):
            header = b"blob %d\0" % len(data)
            self.assertIn(hashlib.sha1(header + true_or_not).hexdigest(), mount.log())
        proxy.release()
        mount = self.remount(mount, url=proxy.url)
        self.assert_all_right(mount)

    def test_a_folder_that_is_removed_under_the_daemon(self):
        mount = self.mount()
        self.assert_all_right(mount, ["weights-1.safetensors"])
        shutil.rmtree(mount.cache)
        self.assert_all_right(mount)
        wait_for(lambda: "was removed" in self.degraded(mount), "status to tell")
        self.assertIn("mount again", run(support.binary(), "status", mount.path).stdout)
        self.assert_all_right(mount)
        again = self.remount(mount)
        self.assert_all_right(again)
        self.assertEqual(self.degraded(again), "")
        self.assertGreater(again.status()["cache"]["blocks"], 0)


class Readers:
    """Programs that read the same files over and over until they are told to stop."""

    def __init__(self, paths: dict):
        self._stop = threading.Event()
        self.passes, self.wrong = 0, []
        self._threads = [threading.Thread(target=self._read, args=(path, wanted), daemon=True)
                         for path, wanted in paths.items()]
        for thread in self._threads:
            thread.start()

    def _read(self, path: str, wanted: str) -> None:
        while not self._stop.is_set():
            done = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=False,
                                  timeout=200, preexec_fn=die_with_parent)
            if done.returncode != 0 or not done.stdout.startswith(wanted):
                self.wrong.append(done.stdout + done.stderr)
                return
            drop_caches(path)
            self.passes += 1

    def passed(self, more: int) -> bool:
        """Waits until they have read so many files again; false once one of them failed."""
        goal = self.passes + more
        wait_for(lambda: self.passes >= goal or self.wrong, f"{more} more files to be read", 200)
        return not self.wrong

    def end(self) -> list:
        self._stop.set()
        for thread in self._threads:
            thread.join(200)
        return self.wrong


@unittest.skipIf(why_no_disk(), why_no_disk())
class CacheDisk(CacheFaults):
    MEMORY = 64 * MIB
    FILES = {"weights-1.safetensors": 70 * MIB + 7, "weights-2.safetensors": 60 * MIB,
             "tokenizer.bin": 900_000, "config.json": 700, "README.md": 5000}
    LIMIT = 600

    def small_disk(self, kind=Disk, size: int = 96 * MIB, **more):
        folder = os.path.join(self.work, f"disk-{self._testMethodName}")
        os.makedirs(folder)
        disk = kind(folder, size, **more)
        self.addCleanup(disk.close)
        return disk

    def mount_on(self, disk, passthrough="off", **more):
        """What the kernel reads by itself from such a disk is the disk's error, not ours to mend."""
        return self.mount(cache=os.path.relpath(os.path.join(disk.path, "cache"), self.work),
                          options=f"memory={self.MEMORY},passthrough={passthrough}", **more)

    def readers(self, mount):
        readers = Readers({mount / f"org/model/{name}": self.sums[name] for name in self.FILES})
        self.addCleanup(readers.end)
        return readers

    def anonymous_memory(self, mount) -> int:
        with open(f"/proc/{self.worker(mount)}/status") as file:
            return int(next(line.split()[1] for line in file if line.startswith("RssAnon"))) * 1024

    def assert_goes_on(self, mount, readers):
        """Readers meet no error, and what is fetched for them does not pile up."""
        most = 0
        for _ in range(3):
            self.assertTrue(readers.passed(len(self.FILES)), readers.wrong)
            most = max(most, self.anonymous_memory(mount))
        if not os.environ.get("HUBVFS_SANITIZED"):  # a sanitizer keeps what was freed
            self.assertLess(most, self.MEMORY + 96 * MIB)

    def assert_recovers(self, mount, readers):
        """By itself, and then what is read is stored."""
        wait_for(lambda: self.degraded(mount) == "", "the cache to be used again")
        self.assertTrue(readers.passed(2 * len(self.FILES)), readers.wrong)
        self.assertEqual(readers.end(), [])
        self.assertEqual(self.degraded(mount), "")
        self.assertGreater(mount.status()["cache"]["blocks"], 20)

    def test_a_disk_that_is_full(self):
        disk = self.small_disk()
        mount = self.mount_on(disk)
        readers = self.readers(mount)
        self.assertTrue(readers.passed(len(self.FILES)), readers.wrong)
        disk.use_up()
        wait_for(lambda: "full" in self.degraded(mount), "status to tell of a full disk")
        self.assertIn("storing nothing: cache", run(support.binary(), "status", mount.path).stdout)
        self.assert_goes_on(mount, readers)
        disk.give_back()
        self.assert_recovers(mount, readers)

    @unittest.skipIf(why_no_failing_disk(), why_no_failing_disk())
    def test_a_disk_that_fails_for_a_while(self):
        disk = self.small_disk(FailingDisk)
        mount = self.mount_on(disk)
        readers = self.readers(mount)
        self.assertTrue(readers.passed(len(self.FILES)), readers.wrong)
        disk.fail()
        wait_for(lambda: "failing" in self.degraded(mount), "status to tell of a failing disk")
        self.assert_goes_on(mount, readers)
        disk.work()
        self.assert_recovers(mount, readers)

    @unittest.skipIf(why_no_failing_disk(), why_no_failing_disk())
    def test_a_disk_that_is_known_to_fail_is_not_passed_through(self):
        disk = self.small_disk(FailingDisk, size=256 * MIB)
        mount = self.mount_on(disk, passthrough="auto")
        if not mount.status()["passthrough"]["in_force"]:
            self.skipTest(mount.status()["passthrough"]["why_not"])
        path = mount / "org/model/tokenizer.bin"

        def opens_after_a_read():
            self.assertEqual(support.sha256_of(path), self.sums["tokenizer.bin"])
            return mount.status()["passthrough"]["opens"]

        wait_for(opens_after_a_read, "the file to be passed through")
        disk.fail()
        self.assert_all_right(mount, ["weights-2.safetensors"])  # fetched, and cannot be stored
        wait_for(lambda: "failing" in self.degraded(mount), "status to tell of a failing disk")
        before = mount.status()["passthrough"]["opens"]
        self.assertEqual(opens_after_a_read(), before)
        disk.work()
        wait_for(lambda: self.degraded(mount) == "", "the cache to be used again")
        wait_for(lambda: opens_after_a_read() > before, "the file to be passed through again")

    def test_a_disk_that_is_gone_for_good(self):
        disk = self.small_disk()
        mount = self.mount_on(disk)
        readers = self.readers(mount)
        self.assertTrue(readers.passed(len(self.FILES)), readers.wrong)
        disk.shut_down()
        wait_for(lambda: "failing" in self.degraded(mount), "status to tell of a failing disk")
        self.assert_goes_on(mount, readers)
        self.assertEqual(readers.end(), [])

    def test_a_disk_that_turns_read_only(self):
        disk = self.small_disk(options="errors=remount-ro")
        mount = self.mount_on(disk)
        readers = self.readers(mount)
        self.assertTrue(readers.passed(len(self.FILES)), readers.wrong)
        device = os.path.basename(run("findmnt", "-no", "SOURCE", disk.path).stdout.strip())
        with open(f"/sys/fs/ext4/{device}/trigger_fs_error", "w") as file:
            file.write("1")
        wait_for(lambda: "Read-only" in self.degraded(mount), "status to tell of a read-only disk")
        self.assert_goes_on(mount, readers)
        self.assertEqual(readers.end(), [])

    def test_a_disk_that_is_read_only_at_the_start(self):
        disk = self.small_disk(size=256 * MIB)
        mount = self.mount_on(disk)
        self.assert_all_right(mount, ["weights-1.safetensors", "config.json"])
        self.assertEqual(mount.stop(), 0, mount.log())
        disk.remount("ro")
        mount = self.mount_on(disk)
        mark = self.server.mark()
        self.assert_all_right(mount, ["weights-1.safetensors", "config.json"])  # from the disk
        self.assertEqual(support.content_bytes(self.server.since(mark)), 0)
        self.assert_all_right(mount)
        wait_for(lambda: "Read-only" in self.degraded(mount), "status to tell of a read-only disk")
        disk.remount("rw")
        self.assert_recovers(mount, self.readers(mount))


if __name__ == "__main__":
    support.main()
