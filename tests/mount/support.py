# SPDX-License-Identifier: Apache-2.0
"""What the mount tests share: a served folder, a mount of it, and their end whatever happens.

Each test class has a private folder and a watchdog: a process of its own, since a thread here may be
stuck in a page fault on the mount with the interpreter's lock held. It frees readers of a test that
takes too long by killing what serves the mount, and clears up when this process itself is killed.
Nothing is left behind: processes are ended by pid, mounts detached lazily.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from machine import (PATIENCE, Watchdog, abort, detach, die_with_parent, drop_caches, kill_and_wait,
                     mounts_below, processes_naming, run, wait_for)

__all__ = ["PATIENCE", "abort", "drop_caches", "mounts_below", "processes_naming", "run", "wait_for"]

BLOCK = 1 << 20
MIB = 1 << 20
FULL = os.environ.get("HUBVFS_TEST_FULL") == "1"
SKIP_EXIT = 77
SANITIZER_REPORTS = [""]  # where the class that runs now wants them


def binary() -> str:
    path = os.environ.get("HUBVFS_BIN", "")
    if not os.access(path, os.X_OK):
        raise SystemExit("HUBVFS_BIN must name the hubvfs binary")
    return path


def why_no_fuse() -> str:
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse is missing"
    if not shutil.which("fusermount3"):
        return "fusermount3 is missing"
    return ""


def main() -> None:
    """Runs the calling file's tests; skips it as a whole where nothing can be mounted."""
    reason = why_no_fuse()
    if reason:
        print("SKIPPED:", reason)
        raise SystemExit(SKIP_EXIT)
    binary()
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    for test, why in result.skipped:
        print(f"SKIPPED: {why} ({test})")
    if not result.wasSuccessful():
        raise SystemExit(1)
    if result.testsRun == len(result.skipped):
        raise SystemExit(SKIP_EXIT)


# --- the served side --------------------------------------------------------------------------


def content(seed: str, size: int) -> bytes:
    """Incompressible bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def write_file(root: str, path: str, data: bytes) -> None:
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as file:
        file.write(data)


class Server:
    """`hubvfs serve` over a folder, with its access log."""

    def __init__(self, folder: str, work: str, tag: str, *options: str, port: int = 0):
        self.folder, self.log_path = folder, os.path.join(work, "access.log")
        self._fences = 0
        url_file = os.path.join(work, "url")
        os.makedirs(work, exist_ok=True)
        self._output = open(os.path.join(work, "serve.out"), "ab")
        self.process = subprocess.Popen(
            [binary(), "serve", folder, "--listen", f"127.0.0.1:{port}", "--url-file", url_file,
             "--access-log", self.log_path, "--state-dir", os.path.join(work, "state"), *options],
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
            env=clean_environment(work, tag), start_new_session=True, preexec_fn=die_with_parent)
        try:
            self.url = wait_for(lambda: self._url(url_file), f"serve to write {url_file}")
        except BaseException:
            self.close()
            raise

    def _url(self, url_file: str) -> str:
        if self.process.poll() is not None:
            with open(self._output.name) as file:
                raise AssertionError(f"serve exited {self.process.returncode}: {file.read()}")
        try:
            with open(url_file) as file:
                text = file.read()
        except FileNotFoundError:
            return ""
        return text.strip() if text.endswith("\n") else ""

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def get(self, path: str, token: str = "") -> tuple:
        """Status and body; asked from here, not through the mount."""
        request = urllib.request.Request(self.url + path)
        if token:
            request.add_header("Authorization", "Bearer " + token)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                    request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wait_ready(self, *repos: str, token: str = "") -> None:
        """Until each repo (ORG/NAME) is hashed and served, to whoever has this token."""
        for repo in repos:
            wait_for(lambda: self.get(f"/api/models/{repo}", token)[0] == 200,
                     f"{repo} to be served", 120)

    def entries(self) -> list:
        """Every request answered so far; the fence that makes sure of it is left out."""
        self._fences += 1
        fence = f"/api/fence-{self._fences}"
        self.get(fence)
        wait_for(lambda: any(fence in e["path"] for e in self._read()), "the fence in the log")
        return [e for e in self._read() if "/api/fence-" not in e["path"]]

    def _read(self) -> list:
        try:
            with open(self.log_path) as file:
                lines = file.read().split("\n")[:-1]  # what follows the last newline is not whole
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def mark(self) -> int:
        return len(self.entries())

    def since(self, mark: int) -> list:
        return self.entries()[mark:]

    def settled_since(self, mark: int) -> list:
        """The same, once nothing has come for a while: read-ahead goes on after a read's answer."""
        entries, quiet = self.since(mark), 0
        while quiet < 10:
            time.sleep(0.05)
            now = self.since(mark)
            quiet = quiet + 1 if len(now) == len(entries) else 0
            entries = now
        return entries

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._output.close()


def is_metadata(entry: dict) -> bool:
    return entry["path"].startswith("/api/") and not entry["path"].startswith("/api/resolve-cache/")


def content_bytes(entries: list) -> int:
    """Bytes of file content in these answers; a redirect's body is none."""
    return sum(e["bytes"] for e in entries if not is_metadata(e) and e["status"] in (200, 206))


def ranges_asked(entries: list) -> int:
    """How many answers carried file content."""
    return sum(1 for e in entries if not is_metadata(e) and e["status"] in (200, 206))


class DeadPort:
    """A listener in the place of a stopped server: counts who still calls, and hangs up."""

    def __init__(self, port: int):
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(64)
        self.calls = 0
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            peer.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


# --- the mounted side -------------------------------------------------------------------------


def clean_environment(work: str, tag: str, **more: str) -> dict:
    """An environment of our own: no token, endpoint, proxy or cache of the user's."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "HOME": os.path.join(work, "home"),
        "XDG_CACHE_HOME": os.path.join(work, "home/.cache"),
        "XDG_STATE_HOME": os.path.join(work, "home/.state"),
        "XDG_CONFIG_HOME": os.path.join(work, "home/.config"),
        "LANG": "C.UTF-8",
        "HUBVFS_TEST_TAG": tag,
        **more,
    }
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
        if name in os.environ:  # into a file of the test's: a worker that aborts is replaced unseen
            # No look for leaks: the processes are sealed, against their own tracer too.
            environment[name] = (f"{os.environ[name]}:log_path={SANITIZER_REPORTS[0]}"
                                 + (":detect_leaks=0" if name == "ASAN_OPTIONS" else ""))
    for name in ("home/.cache", "home/.state", "home/.config"):
        os.makedirs(os.path.join(work, name), exist_ok=True)
    return environment


class Mount:
    """`hubvfs mount DIR -f`, ended by close()."""

    def __init__(self, work: str, tag: str, url: str, name: str = "mnt", cache: str = "cache",
                 options: str = "", arguments=(), prefix=(), **environment: str):
        self.work, self.tag = work, tag
        self.path = os.path.join(work, name)
        self.cache = os.path.join(work, cache)
        settings = f"cache.path={self.cache}" + (f",{options}" if options else "")
        self.log_path = os.path.join(work, f"{name}.log")
        self._log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [*prefix, binary(), "mount", self.path, "-f", "-o", settings, *arguments],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, cwd=work,
            env=clean_environment(work, tag, HF_ENDPOINT=url, **environment),
            start_new_session=True, preexec_fn=die_with_parent)
        try:
            wait_for(self._usable, f"the mount {self.path}: {self.log()}")
        except BaseException:
            self.close()
            raise

    def _usable(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"mount exited {self.process.returncode}: {self.log()}")
        return self.is_mounted() and self._status_text() != ""

    def _status_text(self) -> str:
        return run("cat", f"{self.path}/.hubvfs/status.json", check=False, timeout=10).stdout

    def is_mounted(self) -> bool:
        return self.path in mounts_below(self.path)

    def log(self) -> str:
        with open(self.log_path, errors="replace") as file:
            return file.read()[-4000:]

    def log_lines(self) -> list:
        """Every line so far."""
        with open(self.log_path, errors="replace") as file:
            return file.read().split("\n")[:-1]

    def status(self) -> dict:
        return json.loads(self._status_text())

    def __truediv__(self, path: str) -> str:
        return os.path.join(self.path, path)

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Asks it to end, as a user does; the exit status."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """Ends it, gently if it can be, and whatever it left."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                pass
        abort(self.path)
        self._log.close()


class MountTestCase(unittest.TestCase):
    """One served tree and one private folder a class; what a test adds ends with the test."""

    LIMIT = 240  # seconds a test may take before its mounts are aborted
    REPOS = ("org/model",)
    SERVE_OPTIONS = ()

    @classmethod
    def make_tree(cls, folder: str) -> None:
        """Fills the served folder: REPOS below it."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.mkdtemp(prefix="hubvfs-test-")
        os.chmod(cls.work, 0o755)
        reports = tempfile.mkdtemp(prefix="hubvfs-reports-")
        os.chmod(reports, 0o777)
        SANITIZER_REPORTS[0] = os.path.join(reports, "report")
        cls.addClassCleanup(cls._read_reports, reports)
        cls.tag = os.path.basename(cls.work)
        cls.watchdog = Watchdog(cls.work, cls.tag)
        cls.addClassCleanup(cls.watchdog.end)
        cls.addClassCleanup(cls._remove_work)
        cls.served = os.path.join(cls.work, "served")
        os.makedirs(cls.served)
        cls.make_tree(cls.served)
        cls.server = Server(cls.served, os.path.join(cls.work, "server"), cls.tag,
                            *cls.SERVE_OPTIONS)
        cls.addClassCleanup(cls.server.close)
        cls.server.wait_ready(*cls.REPOS)

    @classmethod
    def _read_reports(cls, folder):
        found = []
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), errors="replace") as file:
                found.append(file.read())
        shutil.rmtree(folder, ignore_errors=True)
        if found:
            raise AssertionError("a sanitizer's report:\n" + "\n".join(found)[:20000])

    @classmethod
    def _remove_work(cls):
        left = processes_naming(cls.tag)
        kill_and_wait(left)
        points = mounts_below(cls.work)
        detach(cls.work)
        shutil.rmtree(cls.work, ignore_errors=True)
        if left or points:
            raise AssertionError(f"left behind: processes {left}, mounts {points}")

    def setUp(self):
        self.watchdog.start(self.id(), self.LIMIT)
        self.addCleanup(self.watchdog.stop)
        self._mounts = 0
        self._bad_before = self._bad()

    def _bad(self) -> int:
        result = self._outcome.result
        return len(result.failures) + len(result.errors)

    def mount(self, cache: str = "", url: str = "", **more) -> Mount:
        """A mount of the class's server, with a cache of its own unless `cache` names one."""
        self._mounts += 1
        name = f"mnt-{self._testMethodName}-{self._mounts}"
        mount = Mount(self.work, self.tag, url or self.server.url, name=name,
                      cache=cache or f"cache-{self._testMethodName}-{self._mounts}", **more)
        self.addCleanup(self._end, mount)
        return mount

    def _end(self, mount: Mount) -> None:
        mount.close()
        if self._bad() > self._bad_before:
            print(f"log of {mount.path}:\n{mount.log()}", file=sys.stderr)
        shutil.rmtree(mount.cache, ignore_errors=True)

    def remount(self, mount: Mount, url: str = "", **more) -> Mount:
        """The same cache under a new daemon."""
        self.assertEqual(mount.stop(), 0, mount.log())
        return self.mount(cache=os.path.basename(mount.cache), url=url, **more)

    def repo(self, name: str = "") -> str:
        """The plain folder that a repo is served from."""
        return os.path.join(self.served, name or self.REPOS[0])


def all_files(folder: str) -> list:
    found = []
    for base, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(base, name), folder) for name in names]
    return sorted(found)


def sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
