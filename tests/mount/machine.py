# SPDX-License-Identifier: Apache-2.0
"""The machine as the mount tests need it: processes and mounts found and ended, commands with a limit,
and the watchdog."""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time

PATIENCE = 60  # seconds until anything of ours that should have answered counts as hung


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
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue  # gone
        words = command
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                words += file.read()
        except OSError:
            pass  # another user's, or sealed against its own user
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


if __name__ == "__main__" and sys.argv[1:2] == ["--watch"]:
    watch(*sys.argv[2:])
