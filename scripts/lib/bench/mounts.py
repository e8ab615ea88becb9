# SPDX-License-Identifier: Apache-2.0
"""Mounts of the same content: hubvfs, and the peers. Each is ended by close(), whatever happens."""

import itertools
import os
import pathlib
import shutil
import socket

import machine

_numbers = itertools.count()


class Mount:
    """A process with a mount at `point`; the base of the mounts below."""

    def __init__(self, bench, kind: str):
        self.own = os.path.join(bench.work, f"{kind}-{next(_numbers)}")
        self.point = f"{self.own}/mount"
        os.makedirs(self.point)
        self.processes: list = []

    def start(self, words: list, **env: str) -> machine.Process:
        home = machine.environment(f"{self.own}/home", **env)
        self.processes.append(machine.Process(words, f"{self.own}/log", home))
        return self.processes[-1]

    def wait(self, condition) -> None:
        try:
            self.processes[-1].wait_until(condition, f"waited for the mount {self.point}")
        except BaseException:
            self.close()
            raise

    def path(self, name: str) -> str:
        return os.path.join(self.point, name)

    def pids(self) -> list:
        return [pid for process in self.processes for pid in machine.with_children(process.pid)]

    def forget(self) -> None:
        """Takes what the mount serves, and its cache, out of the page cache."""
        machine.forget(f"{self.own}/cache")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        machine.detach(self.own)
        for process in reversed(self.processes):
            process.close()
        machine.detach(self.own)
        if not machine.mounts_below(self.own):
            shutil.rmtree(self.own, ignore_errors=True)


class Hubvfs(Mount):
    """`hubvfs mount`, with an empty cache of its own."""

    def __init__(self, bench, link, hub, options: str = ""):
        super().__init__(bench, "hubvfs")
        settings = f"cache.path={self.own}/cache" + (f",{options}" if options else "")
        self.start(
            [*link.client, bench.hubvfs, "mount", self.point, "-f", "-o", settings], HF_ENDPOINT=hub.url
        )
        self.wait(lambda: machine.is_mounted(self.point) and self._status())

    def _status(self) -> str:
        try:
            return machine.run(["cat", f"{self.point}/.hubvfs/status.json"], 10)
        except machine.Failed:
            return ""

    def status(self) -> str:
        """The text of .hubvfs/status.json."""
        return self._status()

    def wait_verified(self, name: str) -> None:
        """Until the file is complete and its hash was checked."""
        self.processes[-1].wait_until(
            lambda: os.getxattr(self.path(name), "user.hubvfs.verified") in (b"1", b"true", b"yes"),
            f"waited for {name} to be verified",
        )


class RcloneServer:
    """`rclone serve http` on a folder: the static server, with ranges and index pages, that rclone reads."""

    def __init__(self, bench, link, folder: str):
        self._own = os.path.join(bench.work, f"rclone-server-{next(_numbers)}")
        port = free_port(link)
        self.url = f"http://{link.address}:{port}"
        self._process = machine.Process(
            [
                *link.hub,
                "rclone",
                "serve",
                "http",
                folder,
                "--addr",
                f"{link.address}:{port}",
                "--read-only",
                "--config",
                "/dev/null",
            ],
            f"{bench.work}/rclone-server.log",
            machine.environment(self._own),
        )
        try:
            self._process.wait_until(lambda: answers(link, self.url), "waited for rclone serve")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        self._process.close()
        shutil.rmtree(self._own, ignore_errors=True)


class Rclone(Mount):
    """`rclone mount --vfs-cache-mode full` of such a server, with an empty cache."""

    def __init__(self, bench, link, server: RcloneServer):
        super().__init__(bench, "rclone")
        self.start(
            [
                *link.client,
                "rclone",
                "mount",
                ":http:",
                self.point,
                "--http-url",
                server.url,
                "--vfs-cache-mode",
                "full",
                "--cache-dir",
                f"{self.own}/cache",
                "--read-only",
                "--dir-cache-time",
                "1h",
                "--config",
                "/dev/null",
            ]
        )
        self.wait(lambda: machine.is_mounted(self.point))


class Nbd(Mount):
    """`nbdkit curl`, with its read-ahead, and `nbdfuse`: one file, seen at `file`."""

    def __init__(self, bench, link, url: str):
        super().__init__(bench, "nbd")
        address = f"{self.own}/socket"
        server = self.start(
            [
                *link.client,
                "nbdkit",
                "--foreground",
                "--readonly",
                "--unix",
                address,
                "--filter=readahead",
                "curl",
                f"url={url}",
                "timeout=300",
            ]
        )
        self.file = self.path("file")
        try:
            server.wait_until(lambda: pathlib.Path(address).exists(), "waited for nbdkit")
        except BaseException:
            self.close()
            raise
        self.start(["nbdfuse", "--readonly", self.file, f"nbd+unix:///?socket={address}"])
        self.wait(lambda: machine.is_mounted(self.point))


def free_port(link) -> int:
    """One that is free at the Hub's end: namespaces are new, loopback is asked."""
    if link.hub:
        return 8081
    with socket.socket() as one:
        one.bind((link.address, 0))
        return one.getsockname()[1]


def answers(link, url: str) -> bool:
    try:
        machine.run([*link.hub, "curl", "-s", "-o", "/dev/null", url], 20)
        return True
    except machine.Failed:
        return False
