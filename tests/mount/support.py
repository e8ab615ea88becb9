# SPDX-License-Identifier: Apache-2.0
"""What the mount tests share: a served folder, a mount of it, and their end whatever happens.

Each test class has a private folder and a watchdog: a process of its own, since a thread here may be
stuck in a page fault on the mount with the interpreter's lock held. It frees readers of a test that
takes too long by killing what serves the mount, and clears up when this process itself is killed.
Nothing is left behind: processes are ended by pid, mounts detached lazily.
"""

import ctypes
import hashlib
import json
import os
import random
import select
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

BLOCK = 1 << 20
MIB = 1 << 20
FULL = os.environ.get("HUBVFS_TEST_FULL") == "1"
PATIENCE = 60  # seconds until anything of ours that should have answered counts as hung
SKIP_EXIT = 77


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


# --- processes and mounts ---------------------------------------------------------------------


def die_with_parent() -> None:
    """In a child about to run: SIGTERM when this test is killed, so that it leaves nothing."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def processes_naming(text: str) -> dict:
    """The processes, this one left out, whose command line or environment has `text`."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read()
            with open(f"/proc/{pid}/environ", "rb") as file:
                words = command + file.read()
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue  # gone, or not ours to look at
        if text.encode() in words and state != "Z" and b"--watch" not in command.split(b"\0"):
            found[int(pid)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def mounts_below(folder: str) -> list:
    """Mount points in or below `folder`, the deepest first; read without touching them."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            point = line.split()[4].encode().decode("unicode_escape")
            if (point + "/").startswith(folder + "/"):
                found.append(point)
    return sorted(found, key=len, reverse=True)


def detach(folder: str) -> None:
    for point in mounts_below(folder):
        tool = ["umount", "-l", point] if os.geteuid() == 0 else ["fusermount3", "-uz", point]
        subprocess.run(tool, timeout=PATIENCE, capture_output=True, check=False)


def kill_and_wait(pids) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    end = time.monotonic() + 10
    while time.monotonic() < end and any(os.path.exists(f"/proc/{p}/fd") for p in pids):
        reap()
        time.sleep(0.01)


def reap() -> None:
    """Collects dead children that nobody waits for, so that they do not look alive."""
    for process in list(subprocess._active):  # those whose Popen object was dropped
        process.poll()


def wait_for(condition, what: str, patience: float = PATIENCE):
    """The first true value of condition(); not a timed assertion, only an end to waiting."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.02)


def drop_caches(*paths: str) -> None:
    """Page cache, and where we are root names and attributes too, forgotten by the kernel."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
    if os.geteuid() == 0:
        try:
            with open("/proc/sys/vm/drop_caches", "w") as file:
                file.write("3")
        except OSError:
            pass  # a container without it: the advice above is what can be had


def run(*command: str, timeout: float = PATIENCE, check: bool = True, **more):
    """A command that cannot hang the test, its output as text."""
    done = subprocess.run(command, timeout=timeout, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done


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

    def get(self, path: str) -> tuple:
        """Status and body; asked from here, not through the mount."""
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                    self.url + path, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wait_ready(self, *repos: str) -> None:
        """Until each repo (ORG/NAME) is hashed and served."""
        for repo in repos:
            wait_for(lambda: self.get(f"/api/models/{repo}")[0] == 200, f"{repo} to be served", 120)

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
        if name in os.environ:
            environment[name] = os.environ[name]
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


def abort(mount_point: str) -> None:
    """Kills what serves the mount and detaches it: readers stuck there get an error."""
    servers = [pid for pid, words in processes_naming(mount_point).items()
               if os.path.basename(words.split(" ")[0]) == "hubvfs"]
    kill_and_wait(servers)
    detach(mount_point)


class Watchdog:
    """The process that ends a test's processes and mounts where the test cannot."""

    def __init__(self, work: str, tag: str):
        self._process = subprocess.Popen(
            [sys.executable, "-B", os.path.abspath(__file__), "--watch", work, tag],
            stdin=subprocess.PIPE, start_new_session=True)
        self._process.wait(PATIENCE)  # it goes on as nobody's child, out of reach of ctest's kill

    def start(self, name: str, limit: float) -> None:
        self._say(f"{time.monotonic() + limit} {name}")

    def stop(self) -> None:
        self._say("inf -")

    def end(self) -> None:
        self._say("end -")
        self._process.stdin.close()

    def _say(self, line: str) -> None:
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()


def watch(work: str, tag: str) -> None:
    """The watchdog's life; see Watchdog."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    deadline, name, text = float("inf"), "", ""
    while True:
        left = max(0.0, min(deadline - time.monotonic(), 3600.0))
        if not select.select([0], [], [], left)[0]:
            if time.monotonic() >= deadline:
                bite(work, tag, name)
                deadline = float("inf")
            continue
        piece = os.read(0, 4096)
        if not piece:
            break  # the test was killed
        text += piece.decode()
        *lines, text = text.split("\n")
        for line in lines:
            word, name = line.split(" ", 1)
            if word == "end":
                return
            deadline = float(word)
    kill_and_wait(processes_naming(tag))
    detach(work)
    shutil.rmtree(work, ignore_errors=True)


def bite(work: str, tag: str, name: str) -> None:
    print(f"{name} takes too long: its mounts are aborted", file=sys.stderr)
    for pid, command in processes_naming(tag).items():
        try:
            with open(f"/proc/{pid}/wchan") as file:
                print(f"pid {pid} waits in {file.read()}: {command}", file=sys.stderr)
        except OSError:
            pass
    for point in mounts_below(work):
        abort(point)


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


if __name__ == "__main__" and sys.argv[1:2] == ["--watch"]:
    watch(*sys.argv[2:])
