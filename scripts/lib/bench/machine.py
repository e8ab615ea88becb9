# SPDX-License-Identifier: Apache-2.0
"""What the benchmark does to the machine: processes and their figures, mounts, the page cache."""

import ctypes
import json
import mmap
import os
import pathlib
import re
import signal
import subprocess
import time

PATIENCE = 120  # seconds until what should have answered counts as hung


class Failed(Exception):
    """Something that was to be measured did not work; says what."""


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Process:
    """A program in the background with its output in a file; ended by close(), or with this one."""

    def __init__(self, words: list, log: str, env: dict | None = None):
        self.log = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_until(self, condition, what: str):
        """The first true value of condition(); Failed when the program ends before, or hangs."""
        end = time.monotonic() + PATIENCE
        while not (value := condition()):
            if self.popen.poll() is not None or time.monotonic() > end:
                said = pathlib.Path(self.log).read_text(errors="replace")[-2000:]
                raise Failed(f"{what} in vain; it said: {said}")
            time.sleep(0.02)
        return value

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(20)


def run(words: list, timeout: float = PATIENCE, env: dict | None = None) -> str:
    """What it printed; Failed where it fails or takes longer than `timeout` seconds."""
    try:
        done = subprocess.run(
            words,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env=env,
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{words[0]}: more than {timeout:.0f} s") from error
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))[:200]}: {(done.stderr or done.stdout)[-500:]}")
    return done.stdout


def timed(words: list, timeout: float = PATIENCE, env: dict | None = None) -> float:
    begin = time.monotonic()
    run(words, timeout, env)
    return time.monotonic() - begin


def environment(home: str, **more: str) -> dict:
    """One of the benchmark's own: no token, endpoint, proxy or cache of the user's."""
    os.makedirs(home, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "LANG": "C.UTF-8",
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_STATE_HOME": f"{home}/.state",
        "XDG_CONFIG_HOME": f"{home}/.config",
        **more,
    }


def with_children(pid: int) -> list:
    found = [pid]
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return found
    for child in children:
        found += with_children(int(child))
    return found


def cpu_seconds(pids: list) -> float:
    """User and system time of all their threads so far."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_mib(pids: list) -> float:
    """The sum of the most memory that each had (VmHWM)."""
    status = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(re.search(r"VmHWM:\s+(\d+)", text)[1]) for text in status) / 1024


def mounts_below(folder: str) -> list:
    """Mount points in `folder`, the deepest first; read without touching them."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    return sorted((p for p in points if (p + "/").startswith(folder + "/")), key=len, reverse=True)


def is_mounted(path: str) -> bool:
    return path in mounts_below(path)


def detach(folder: str) -> None:
    for point in mounts_below(folder):
        subprocess.run(["umount", "-l", point], timeout=PATIENCE, capture_output=True, check=False)


def forget(*folders: str) -> None:
    """Writes what is below these, and takes it out of the page cache, as far as the kernel can."""
    for folder in folders:
        for base, _, names in os.walk(folder):
            for name in names:
                forget_file(os.path.join(base, name))


def forget_file(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return  # a socket, or gone
    try:
        os.fdatasync(fd)
    except OSError:
        pass  # a mount has nothing to write
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def touch_memory(gib: int) -> None:
    """Has the kernel find that much memory, and gives it back. A hypervisor takes back what its guest
    has free (free page reporting) and finds it anew at the first touch, for up to 1.2 s/GiB here: the
    side whose turn finds more of it would be the slower one."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = min(gib << 30, free // 2)
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, size, flags=kind).close()


def reader(program: str, *words, timeout: float = 600) -> dict:
    """One reading by bench_reader."""
    return json.loads(run([program, *map(str, words)], timeout))
