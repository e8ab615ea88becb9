# SPDX-License-Identifier: Apache-2.0
"""Rows of a file that is complete here: beside the disk, and without privilege beside rclone."""

import json
from contextlib import ExitStack

import machine
from hub import Hub
from measure import Line, Target, interleave, row
from mounts import Hubvfs, Rclone, RcloneServer

FILE = "bench/one/data.bin"
VERBS = ("sequential", "mmap", "random 4 KiB")
UNITS = {"sequential": "MB/s", "mmap": "MB/s", "random 4 KiB": "1/s"}


def read_all_ways(bench, path: str, forget, random_cold: int, random_warm: int) -> dict:
    """Each way with nothing of the file in the page cache, and again with all of it there."""
    figures = {}
    for pages in ("cold", "warm"):
        count = random_cold if pages == "cold" else random_warm
        if pages == "warm":
            bench.read("read", path)
        for verb, words in (
            ("sequential", ("read", path)),
            ("mmap", ("map", path, 1)),
            ("random 4 KiB", ("random", path, count, 7)),
        ):
            if pages == "cold":
                forget()
                machine.touch_memory(2)
            done = bench.read(*words)
            amount = done["calls"] or done["bytes"] / 1e6
            figures[f"{verb}, page cache {pages}"] = amount / done["seconds"]
    return figures


def lines_of(runs, against: tuple, target: Target) -> list:
    return [
        Line(
            f"{verb}, page cache {pages}",
            UNITS[verb],
            runs.of(f"{verb}, page cache {pages}"),
            target,
            against,
        )
        for verb in VERBS
        for pages in ("cold", "warm")
    ]


def fill(mount: Hubvfs, bench) -> None:
    bench.read("read", mount.path(FILE))
    mount.wait_verified(FILE)


@row("warm", "A complete file, beside the same file on the disk")
def warm(bench) -> list:
    folder = bench.one_file()
    plain = f"{folder}/{FILE}"
    with Hub(bench, bench.loopback(), folder) as hub, Hubvfs(bench, bench.loopback(), hub) as mount:
        fill(mount, bench)
        bench.notes["passthrough"] = json.loads(mount.status())["passthrough"]

        def forget_plain() -> None:
            machine.forget_file(plain)

        def forget_mount() -> None:
            machine.forget_file(mount.path(FILE))
            mount.forget()

        sides = {"hubvfs": (mount.path(FILE), forget_mount), "ext4": (plain, forget_plain)}
        # Turns differ by the disk's pace and by where in memory a file comes to lie, more than is measured.
        runs = interleave(
            6 * bench.turns,
            {
                name: lambda path=path, forget=forget: read_all_ways(bench, path, forget, 3000, 100_000)
                for name, (path, forget) in sides.items()
            },
        )
    return lines_of(runs, ("ext4",), Target(at_least=0.95))


@row("daemon", "A complete file, through the daemon's reads, beside rclone")
def daemon(bench) -> list:
    folder = bench.one_file()
    with ExitStack() as stack:
        link = bench.loopback()
        hub = stack.enter_context(Hub(bench, link, folder))
        mount = stack.enter_context(Hubvfs(bench, link, hub, bench.without_passthrough()))
        server = stack.enter_context(RcloneServer(bench, link, folder))
        other = stack.enter_context(Rclone(bench, link, server))
        fill(mount, bench)
        bench.read("read", other.path(FILE))

        def measure(which) -> dict:
            def forget() -> None:
                machine.forget_file(which.path(FILE))
                which.forget()

            return read_all_ways(bench, which.path(FILE), forget, 3000, 20_000)

        runs = interleave(
            bench.turns, {"hubvfs": lambda: measure(mount), "rclone": lambda: measure(other)}
        )
    return lines_of(runs, ("rclone",), Target(at_least=2))
