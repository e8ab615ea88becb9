# SPDX-License-Identifier: Apache-2.0
"""Rows of one file that is not here yet: sequential, to the first byte, at random, by mmap."""

import os
import time
from contextlib import ExitStack

import files
import machine
import peers
from hub import Hub
from measure import Line, Target, interleave, row
from mounts import Hubvfs, Nbd, Rclone, RcloneServer

FILE = "bench/one/data.bin"
QUARTER = "bench/one/quarter.bin"
SMALL = "bench/one/small.bin"
MEMORY = 5  # GiB to touch: the largest file is in the page cache twice, as it is read and as it is kept


def measure_mount(bench, mount, path: str, timeout: float = 900) -> dict:
    """One cold sequential read, and what the mount's processes used for it."""
    os.stat(path)  # the directory is known
    machine.touch_memory(MEMORY)
    before = machine.cpu_seconds(mount.pids())
    done = bench.read("read", path, timeout=timeout)
    gib = done["bytes"] / files.GIB
    return {
        "rate": done["bytes"] / done["seconds"] / 1e6,
        "cpu": (machine.cpu_seconds(mount.pids()) - before) / gib,
        "memory": machine.peak_mib(mount.pids()),
    }


def cold_sides(bench, link, hub, server, path_of: dict) -> dict:
    """Each side reads its file cold, with a new mount; the files are given by side."""

    def hubvfs() -> dict:
        with Hubvfs(bench, link, hub) as mount:
            return measure_mount(bench, mount, mount.path(path_of["hubvfs"]))

    def rclone() -> dict:
        with Rclone(bench, link, server) as mount:
            return measure_mount(bench, mount, mount.path(path_of["rclone"]))

    def nbd() -> dict:
        with Nbd(bench, link, hub.file_url(path_of["nbd"])) as mount:
            return measure_mount(bench, mount, mount.file)

    def download(tool, name: str) -> dict:
        size = os.path.getsize(f"{hub.folder}/{path_of[name]}")
        machine.touch_memory(MEMORY)
        return {"rate": size / tool(bench, link, hub.file_url(path_of[name])) / 1e6}

    return {
        "hubvfs": hubvfs,
        "curl": lambda: download(peers.curl, "curl"),
        "curl, hashed": lambda: download(peers.curl_and_hash, "curl"),
        "aria2": lambda: download(peers.aria2, "aria2"),
        "rclone": rclone,
        "nbd": nbd,
    }


@row("cold-loopback", "A cold file, sequential, unshaped loopback")
def cold_loopback(bench) -> list:
    folder, link = bench.one_file(), bench.loopback()
    path_of = dict.fromkeys(("hubvfs", "curl", "aria2", "rclone", "nbd"), FILE)
    with Hub(bench, link, folder) as hub, RcloneServer(bench, link, folder) as server:
        runs = interleave(bench.turns, cold_sides(bench, link, hub, server, path_of))
    rates = runs.of("rate")
    return [
        Line(
            "cold sequential, beside curl and aria2",
            "MB/s",
            rates,
            Target(at_least=0.9),
            ("curl", "aria2"),
        ),
        Line("cold sequential, beside rclone", "MB/s", rates, Target(at_least=4), ("rclone",)),
        Line(
            "cold sequential, beside curl, tee and openssl dgst", "MB/s", rates, None, ("curl, hashed",)
        ),
        Line("CPU of the daemon", "s/GiB", runs.of("cpu"), Target(at_most=1), ("rclone",), True),
        Line(
            "peak memory of the daemon", "MiB", runs.of("memory"), Target(at_most=1), ("rclone",), True
        ),
    ]


@row("cold-link", "A cold file, sequential, 30 ms, 100 MB/s, 20 MB/s a connection")
def cold_link(bench) -> list:
    folder = bench.one_file()
    # Who has one connection reads less of it: a rate all the same, and minutes saved.
    path_of = {"hubvfs": FILE, "aria2": FILE, "curl": QUARTER, "rclone": QUARTER, "nbd": SMALL}
    with (
        bench.capped_link() as link,
        Hub(bench, link, folder) as hub,
        RcloneServer(bench, link, folder) as server,
    ):
        sides = cold_sides(bench, link, hub, server, path_of)
        del sides["curl, hashed"]  # the link is what limits
        runs = interleave(bench.long_turns, sides)
    rates = runs.of("rate")
    nominal = {
        "hubvfs": [rate / link.rate for rate in rates["hubvfs"]],
        "aria2": [rate / link.rate for rate in rates.get("aria2", [])],
    }
    return [
        Line(
            "cold sequential, beside curl and aria2",
            "MB/s",
            rates,
            Target(at_least=0.95),
            ("curl", "aria2"),
        ),
        Line("share of the link's 100 MB/s", "of it", nominal),
    ]


def first_4k(path: str, at: int = 0) -> float:
    """Seconds of open, one read and close."""
    begin = time.monotonic()
    fd = os.open(path, os.O_RDONLY)
    try:
        os.pread(fd, 4096, at)
        return time.monotonic() - begin
    finally:
        os.close(fd)


@row("first-byte", "The first byte of a file never seen, 30 ms")
def first_byte(bench) -> list:
    folder = bench.one_file()
    with ExitStack() as stack:
        link = stack.enter_context(bench.far_link())
        hub = stack.enter_context(Hub(bench, link, folder))
        mount = stack.enter_context(Hubvfs(bench, link, hub))
        other = stack.enter_context(
            Rclone(bench, link, stack.enter_context(RcloneServer(bench, link, folder)))
        )
        names = iter([f"bench/one/new-{i:02}.bin" for i in range(30)])
        later = 9 * files.MIB + 12345

        def measure(which) -> dict:
            name = next(names)
            os.listdir(which.path("bench/one"))
            first_4k(which.path(SMALL))  # connections are open, if it keeps them
            first_4k(which.path(SMALL), later)
            new = first_4k(which.path(name)) / link.round_trip
            return {"new": new, "known": first_4k(which.path(name), later) / link.round_trip}

        def curl() -> dict:
            name, small = hub.file_url(next(names)), hub.file_url(SMALL)
            return {"new": peers.first_byte(link, name, small) / link.round_trip}

        runs = interleave(
            bench.turns,
            {"hubvfs": lambda: measure(mount), "rclone": lambda: measure(other), "curl": curl},
        )
    # A tenth (3 ms) is for what is no round trip: two programs, and the bytes' own time on the line.
    return [
        Line("connections open", "round trips", runs.of("new"), Target(at_most=2.1)),
        Line("signed URL known", "round trips", runs.of("known"), Target(at_most=1.1)),
    ]


@row("random-cold", "100 random reads of 4 KiB in a cold file of 1 GiB, 30 ms")
def random_cold(bench) -> list:
    folder, name = bench.giant(), "bench/giant/data.bin"
    with (
        bench.far_link() as link,
        Hub(bench, link, folder) as hub,
        RcloneServer(bench, link, folder) as server,
    ):

        def measure(mount, path: str, sent: bool) -> dict:
            os.stat(path)
            first_4k(path)
            mark = hub.mark()
            done = bench.read("random", path, 100, 11)
            figures = {"round trips": done["seconds"] / 100 / link.round_trip}
            if sent:
                figures["fetched"] = hub.bytes_since(mark) / 100 / 1024
            return figures

        def hubvfs() -> dict:
            with Hubvfs(bench, link, hub) as mount:
                return measure(mount, mount.path(name), True)

        def rclone() -> dict:
            with Rclone(bench, link, server) as mount:
                return measure(mount, mount.path(name), False)

        def nbd() -> dict:
            with Nbd(bench, link, hub.file_url(name)) as mount:
                return measure(mount, mount.file, True)

        runs = interleave(bench.long_turns, {"hubvfs": hubvfs, "rclone": rclone, "nbd": nbd})
    return [
        Line("each read", "round trips", runs.of("round trips"), Target(at_most=1.2)),
        Line("bytes fetched for each", "KiB", runs.of("fetched")),
    ]


@row("storm", "8 threads page-faulting one mmap of a cold safetensors")
def storm(bench) -> list:
    folder, name = bench.model(), "bench/model/model.safetensors"
    size = os.path.getsize(f"{folder}/{name}")
    lines = []
    # On loopback turns differ by a fifth.
    for link, turns in ((bench.loopback(), 3 * bench.long_turns), (bench.capped_link(), bench.long_turns)):
        with link, Hub(bench, link, folder) as hub:

            def measure(*words) -> dict:
                with Hubvfs(bench, link, hub) as mount:
                    mark = hub.mark()
                    machine.touch_memory(MEMORY)
                    rate = bench.rate(words[0], mount.path(name), *words[1:])
                    return {"rate": rate, "fetched": hub.bytes_since(mark) / size}

            def aria2() -> dict:
                machine.touch_memory(MEMORY)
                return {"rate": size / peers.aria2(bench, link, hub.file_url(name)) / 1e6}

            runs = interleave(
                turns,
                {
                    "hubvfs": lambda: measure("map", 8),
                    "hubvfs sequential": lambda: measure("read"),
                    "aria2": aria2,
                },
            )
        lines += [
            Line(
                f"8 threads, {link.name}",
                "MB/s",
                runs.of("rate"),
                Target(at_least=0.9),
                ("hubvfs sequential",),
            ),
            Line(f"bytes fetched of the file's, {link.name}", "times", runs.of("fetched")),
        ]
    return lines
