# SPDX-License-Identifier: Apache-2.0
"""The worker is killed over and over under readers of every kind, and none of them notices.

Each kill is made while at least one request is unanswered: the worker is stopped, the kernel's own
count of waiting requests is read, and only then it dies. Twenty kills; two hundred with
HUBVFS_TEST_FULL=1.
"""

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
import unittest

import support
from machine import die_with_parent
from support import MIB, MountTestCase, content, run, wait_for

KILLS = 200 if support.FULL else 20
WARM, COLD = 8 * MIB, 48 * MIB
PAGE = 4096


def kernel_resends() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(c for c in minor if c.isdigit()))) >= (6, 9)


# --- readers: processes of their own, until their standard input is closed ----------------------


class Reader:
    """What one reader did: every byte compared with the plain file, every error kept."""

    def __init__(self, mounted: str, plain: str):
        self.mounted, self.plain = mounted, plain
        self.done = {"passes": 0, "bytes": 0, "errors": [], "wrong": 0, "longest": 0.0}
        self.random = random.Random(os.getpid())

    def timed(self, call):
        start = time.monotonic()
        try:
            return call()
        finally:
            self.done["longest"] = max(self.done["longest"], time.monotonic() - start)

    def compare(self, got: bytes, plain: int, offset: int, size: int) -> None:
        self.done["bytes"] += len(got)
        if got != os.pread(plain, size, offset):
            self.done["wrong"] += 1

    def open_both(self, name: str):
        return (self.timed(lambda: os.open(os.path.join(self.mounted, name), os.O_RDONLY)),
                os.open(os.path.join(self.plain, name), os.O_RDONLY))

    def sequential(self, name: str) -> None:
        fd, plain = self.open_both(name)
        try:
            size = os.fstat(plain).st_size
            for offset in range(0, size, MIB):
                wanted = min(MIB, size - offset)
                self.compare(self.timed(lambda: os.pread(fd, wanted, offset)), plain, offset, wanted)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
            os.close(plain)

    def scattered(self, name: str) -> None:
        for _ in range(12):  # each with an open of its own
            fd, plain = self.open_both(name)
            try:
                offset = self.random.randrange(os.fstat(plain).st_size - PAGE)
                self.compare(self.timed(lambda: os.pread(fd, PAGE, offset)), plain, offset, PAGE)
            finally:
                os.close(fd)
                os.close(plain)

    def mapped(self, name: str) -> None:
        fd, plain = self.open_both(name)
        try:
            with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as view:
                for offset in range(0, len(view), MIB):
                    piece = self.timed(lambda: view[offset:offset + MIB])
                    self.compare(piece, plain, offset, len(piece))
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
            os.close(plain)

    def walk(self, _: str) -> None:
        for base, _, names in self.timed(lambda: list(os.walk(self.mounted))):
            for name in names:
                path = os.path.join(base, name)
                found = self.timed(lambda: os.stat(path))
                wanted = os.path.getsize(path.replace(self.mounted, self.plain, 1))
                if found.st_size != wanted:
                    self.done["wrong"] += 1
                try:
                    os.stat(path + ".absent")
                    self.done["wrong"] += 1
                except FileNotFoundError:
                    pass

    def work(self, how: str, name: str) -> None:
        os.set_blocking(0, False)
        while True:
            try:
                getattr(self, how)(name)
                self.done["passes"] += 1
            except OSError as error:
                self.done["errors"].append(str(error))
            try:
                if os.read(0, 1) == b"":
                    break
            except BlockingIOError:
                pass
        print(json.dumps(self.done))


def read_as_told() -> None:
    how, name, mounted, plain = sys.argv[2:]
    Reader(mounted, plain).work(how, name)


# --- the test --------------------------------------------------------------------------------


@unittest.skipUnless(kernel_resends(), f"Linux 6.9 or newer is needed to send requests again; this "
                                       f"is {os.uname().release}")
class KilledWorkers(MountTestCase):
    LIMIT = 1800

    @classmethod
    def make_tree(cls, folder):
        for name in ("warm-1.bin", "warm-2.bin"):
            support.write_file(folder, f"org/model/{name}", content(name, WARM + 77))
        for name in ("cold-1.bin", "cold-2.bin"):
            support.write_file(folder, f"org/model/{name}", content(name, COLD + 99))
        for i in range(300):
            support.write_file(folder, f"org/model/many/{i % 7}/file-{i}.json", b"{}" * i)

    def setUp(self):
        super().setUp()
        # Small, so that what is read of the cold files is evicted before it is read again.
        self.m = self.mount(options="cache.size=48M")
        self.keeper = self.m.process.pid
        self.waiting = self.connection() + "/waiting"
        if not os.access(self.waiting, os.R_OK):
            self.skipTest("the kernel's count of waiting requests (fusectl) cannot be read")

    def connection(self) -> str:
        control = "/sys/fs/fuse/connections"
        if not os.listdir(control) and os.geteuid() == 0:
            control = os.path.join(self.work, "fusectl")
            os.makedirs(control, exist_ok=True)
            run("mount", "-t", "fusectl", "fusectl", control)
            self.addCleanup(run, "umount", "-l", control)
        with open("/proc/self/mountinfo") as file:
            device = next(line.split()[2] for line in file if f" {self.m.path} " in line)
        return os.path.join(control, device.split(":")[1])

    def worker(self) -> int:
        def child():
            with open(f"/proc/{self.keeper}/task/{self.keeper}/children") as file:
                pids = file.read().split()
            return int(pids[0]) if pids else 0

        return wait_for(child, "a worker")

    def unanswered(self) -> int:
        with open(self.waiting) as file:
            return int(file.read())

    def kill_while_asked(self) -> float:
        """Kills the worker with a request unanswered; how long it took until another one answered."""
        while True:
            worker = self.worker()
            pidfd = os.pidfd_open(worker)
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
                if self.unanswered() == 0:  # nobody asks anything just now
                    signal.pidfd_send_signal(pidfd, signal.SIGCONT)
                    continue
                start = time.monotonic()
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)
            # Never cached, so that it has to be answered by the next worker.
            run("cat", f"{self.m.path}/.hubvfs/version")
            return time.monotonic() - start

    def start(self, how: str, name: str):
        reader = subprocess.Popen(
            [sys.executable, "-B", os.path.abspath(__file__), "--read", how, name,
             self.m / "org/model", self.repo()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.addCleanup(lambda: (reader.kill(), reader.wait()))
        return reader

    def status(self) -> dict:
        return json.loads(run(support.binary(), "status", self.m.path, "--json").stdout)

    def descriptors(self, pid: int) -> list:
        """What it has open; nothing where we may not look: an ordinary user's is sealed against them."""
        if os.geteuid() != 0:
            return []
        found = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0])
            except FileNotFoundError:
                pass
        return sorted(found)

    def held(self, pid: int) -> list:
        """Of a worker: what it holds for its whole life, not connections and files of the cache."""
        return [d for d in self.descriptors(pid)
                if d.startswith(("/dev", "/memfd", "anon_inode")) or d.endswith(".mdb")]

    def numbers(self) -> dict:
        return {path: os.stat(self.m / f"org/model/{path}").st_ino
                for path in support.all_files(self.repo())}

    def test_nobody_notices(self):
        run("sha256sum", self.m / "org/model/warm-1.bin", self.m / "org/model/warm-2.bin")
        numbers, keeper_had = self.numbers(), self.descriptors(self.keeper)
        worker_had = self.held(self.worker())
        readers = {
            "sequential, cached": self.start("sequential", "warm-1.bin"),
            "mmap, cached": self.start("mapped", "warm-2.bin"),
            "sequential, not fetched": self.start("sequential", "cold-1.bin"),
            "opens and 4 KiB, not fetched": self.start("scattered", "cold-2.bin"),
            "mmap, not fetched": self.start("mapped", "cold-2.bin"),
            "ls, stat": self.start("walk", ""),
        }
        pauses = []
        for kill in range(KILLS):
            # Not five in a second: then the next start waits, as it is meant to.
            time.sleep(max(0.0, 0.3 - (pauses[-1] if pauses else 0)))
            pauses.append(self.kill_while_asked())
            if kill % 5 == 4:
                support.drop_caches()  # names and attributes too
        if self.status()["keeper"]["passthrough"]["in_force"]:  # the warm ones go in and out of it
            support.wait_for(lambda: self.status()["status"]["passthrough"]["opens"] > 0,
                             "an open in passthrough by the last worker")
        results = {name: json.loads(reader.communicate("", timeout=300)[0])
                   for name, reader in readers.items()}
        facts = self.status()["keeper"]
        pauses.sort()
        print(f"\n{KILLS} kill -9 of the worker, each with a request unanswered: "
              f"{facts['requests_resent']} requests sent again, {facts['workers_died']} workers died; "
              f"pause until the next one answers: median {pauses[len(pauses) // 2] * 1000:.0f} ms, "
              f"longest {pauses[-1] * 1000:.0f} ms")
        for name, done in results.items():
            print(f"  {name:30} {done['passes']:5} passes {done['bytes'] / MIB:8.0f} MiB, "
                  f"{len(done['errors'])} errors, {done['wrong']} wrong, "
                  f"longest call {done['longest'] * 1000:.0f} ms")
        for name, done in results.items():
            self.assertEqual(done["errors"], [], name)
            self.assertEqual(done["wrong"], 0, name)
            self.assertGreater(done["passes"], 0, name)
        self.assertEqual(facts["workers_died"], KILLS)
        self.assertGreater(facts["requests_resent"], 0)
        self.assertEqual(facts["requests_refused"], 0)
        self.assert_nothing_leaked(numbers, keeper_had, worker_had)

    def assert_nothing_leaked(self, numbers, keeper_had, worker_had):
        support.drop_caches()
        wait_for(lambda: self.unanswered() == 0, "every request to be answered")
        self.assertEqual(self.numbers(), numbers, "a file has another inode number")
        self.assertEqual(self.descriptors(self.keeper), keeper_had)
        # Exactly none, whenever the workers died: the last RELEASEs may still be on their way.
        wait_for(lambda: self.status()["status"]["open_files"] == 0,
                 "files opened by dead workers to be closed")
        self.assertEqual(self.held(self.worker()), worker_had)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read_as_told()
    else:
        support.main()
