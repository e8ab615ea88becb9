# SPDX-License-Identifier: Apache-2.0
"""Small disks for a cache, which can be full, read-only, failing or gone. Only root can have them."""

import fcntl
import os
import shutil
import struct
import subprocess

from machine import die_with_parent, run, wait_for

SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, _IOR('X', 125, __u32)
WITHOUT_LOG_FLUSH = 2


def why_no_disk() -> str:
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    if not shutil.which("mkfs.ext4"):
        return "mkfs.ext4 is missing (package e2fsprogs)"
    return ""


def why_no_failing_disk() -> str:
    for tool, package in (("nbdkit", "nbdkit"), ("nbdfuse", "libnbd-bin")):
        if not shutil.which(tool):
            return f"{tool} is missing (package {package})"
    return why_no_disk()


class Disk:
    """An ext4 in a file of the test's folder. What mounts_below() detaches is gone with its device."""

    def __init__(self, folder: str, size: int, options: str = "rw"):
        self.path = os.path.join(folder, "disk")
        self._image = os.path.join(folder, "disk.img")
        self._ballast = os.path.join(self.path, "ballast")
        os.makedirs(self.path)
        self._make_image(size)
        run("mkfs.ext4", "-q", "-F", *self._features(), self._image)
        self.mount(options)
        os.chmod(self.path, 0o700)

    def _make_image(self, size: int) -> None:
        with open(self._image, "wb") as file:
            file.truncate(size)

    def _features(self) -> tuple:
        return ()

    def mount(self, options: str = "rw") -> None:
        run("mount", "-o", f"loop,noatime,{options}", self._image, self.path)

    def remount(self, options: str) -> None:
        run("mount", "-o", f"remount,{options}", self.path)

    def unmount(self) -> None:
        run("umount", self.path)

    def use_up(self) -> None:
        """Leaves nothing for anybody."""
        with open(self._ballast, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def give_back(self) -> None:
        os.remove(self._ballast)

    def shut_down(self) -> None:
        """Every call fails from now on, as on a disk that was pulled out."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(folder)

    def close(self) -> None:
        run("umount", "-l", self.path, check=False)


class FailingDisk(Disk):
    """One whose every sector can be made unreadable and unwritable for a while, by nbdkit.

    Without a journal: an ext4 that cannot write its journal gives up for good.
    """

    def __init__(self, folder: str, size: int):
        self._folder, self._processes = folder, []
        self._failing = os.path.join(folder, "failing")
        super().__init__(folder, size)

    def _features(self) -> tuple:
        return ("-O", "^has_journal")

    def _make_image(self, size: int) -> None:
        socket, served = os.path.join(self._folder, "nbd"), os.path.join(self._folder, "served")
        os.makedirs(served)
        self._start("nbdkit", "-f", "-U", socket, "--filter=error", "memory", str(size), "error=EIO",
                    "error-rate=100%", f"error-file={self._failing}")
        wait_for(lambda: os.path.exists(socket), "nbdkit")
        self._image = os.path.join(served, "image")
        self._start("nbdfuse", self._image, "--unix", socket)
        wait_for(lambda: os.path.exists(self._image), "nbdfuse")

    def _start(self, *command: str) -> None:
        self._processes.append(subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent))

    def fail(self) -> None:
        with open(self._failing, "w"):
            pass

    def work(self) -> None:
        if os.path.exists(self._failing):
            os.remove(self._failing)

    def close(self) -> None:
        self.work()
        super().close()
        run("fusermount3", "-uz", os.path.dirname(self._image), check=False)
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)
