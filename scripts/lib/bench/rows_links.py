# SPDX-License-Identifier: Apache-2.0
"""How fetching adapts: connections, request size and rate over time, on four links. A plot each."""

import json
import os
import pathlib
import threading
import time

import links
import svg
from files import MIB
from hub import Hub
from measure import Line, row
from mounts import Hubvfs

EVERY = 0.2  # seconds between two looks


def shapes(bench) -> list:
    """The links, and how much of a file is read on each: for about 20 s."""
    part = 4 if bench.quick else 1
    return [
        (links.Shaped(bench, "1 ms, 1 GB/s", delay=0.5, rate=1000, mtu=60000), 3072 // part),
        (links.Shaped(bench, "30 ms, 100 MB/s", delay=15, rate=100, flow=20), 1536 // part),
        (links.Shaped(bench, "150 ms, 10 MB/s", delay=75, rate=10), 192 // part),
        (
            links.Shaped(
                bench,
                "300 ms, 1 MB/s, stalls",
                delay=150,
                rate=1,
                stall_every=8,
                stall_for=4,
                queue=400,
            ),
            24 // part,
        ),
    ]


def connections(pid: int) -> int:
    """Established TCP connections in the network of a process."""
    lines = pathlib.Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(1 for line in lines if line.split()[3] == "01")


def received(pid: int) -> int:
    """Bytes that came over the link so far, headers and all."""
    for line in pathlib.Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines():
        if line.strip().startswith("delay0:"):
            return int(line.split(":")[1].split()[0])
    return 0


class Sampler(threading.Thread):
    """Looks at a mount's connections and at what it says of the Hub until ended."""

    def __init__(self, mount: Hubvfs):
        super().__init__(daemon=True)
        self._mount = mount
        self._begin, self._ended = time.monotonic(), threading.Event()
        self.samples: list = []

    def run(self) -> None:
        while not self._ended.wait(EVERY):
            pid = self._mount.processes[0].pid
            self.samples.append(
                {
                    "at": time.monotonic() - self._begin,
                    "received": received(pid),
                    "connections": connections(pid),
                    "hub": json.loads(self._mount.status() or "{}").get("hub", {}),
                }
            )

    def end(self) -> list:
        self._ended.set()
        self.join()
        return self.samples


def watch(bench, link, folder: str, name: str, size: int) -> dict:
    """Reads the first `size` bytes of a cold file; the samples, and the requests' sizes over time."""
    with link, Hub(bench, link, folder) as hub, Hubvfs(bench, link, hub) as mount:
        os.stat(mount.path(name))
        mark = hub.mark()
        sampler = Sampler(mount)
        begin, begin_wall, read = time.monotonic(), time.time(), 0
        sampler.start()
        with open(mount.path(name), "rb", buffering=0) as file:
            while read < size and (piece := file.read(MIB)):
                read += len(piece)
        seconds = time.monotonic() - begin
        samples = sampler.end()
        requests = hub.content_since(mark)
    return {
        "link": link.name,
        "limit": link.rate,
        "seconds": seconds,
        "bytes": read,
        "begin": begin_wall,
        "samples": samples,
        "requests": requests,
    }


def rates(samples: list, width: float) -> list:
    """MB/s that came over the link, in windows of `width` seconds."""
    points, begin, bytes_begin = [], samples[0]["at"], samples[0]["received"]
    for sample in samples:
        if sample["at"] - begin >= width:
            points.append(
                (sample["at"], (sample["received"] - bytes_begin) / (sample["at"] - begin) / 1e6)
            )
            begin, bytes_begin = sample["at"], sample["received"]
    return points


def column(run: dict) -> list:
    """The panels of one link."""
    asked = [(max(e["at"] / 1e6 - run["begin"], 0), e["bytes"] / MIB) for e in run["requests"]]
    samples, width = run["samples"], max(0.5, run["seconds"] / 60)
    told = [(s["at"], s["hub"]["link"]) for s in samples if "link" in s["hub"]]
    return [
        svg.Panel(
            run["link"],
            "MB/s",
            [
                svg.Series("received", rates(samples, width)),
                svg.Series("estimated", [(at, link["rate"] / 1e6) for at, link in told]),
            ],
            run["limit"],
        ),
        svg.Panel(
            "",
            "connections",
            [
                svg.Series("open", [(s["at"], s["connections"]) for s in samples], True),
                svg.Series("wanted", [(at, link["connections"]) for at, link in told], True),
            ],
        ),
        svg.Panel(
            "",
            "MiB",
            [
                svg.Series("of a request", sorted(asked)),
                svg.Series("wanted", [(at, link["part_bytes"] / MIB) for at, link in told], True),
            ],
        ),
    ]


@row("links", "Fetching over time on four links")
def over_time(bench) -> list:
    folder, name = bench.stream(), "bench/stream/data.bin"
    runs = []
    for link, size in shapes(bench):
        runs.append(watch(bench, link, folder, name, size * MIB))
        bench.say(f"    {link.name}: {runs[-1]['bytes'] / runs[-1]['seconds'] / 1e6:.4g} MB/s")
    bench.keep_plot("links", svg.panels([column(run) for run in runs], "seconds"))
    bench.notes["runs"] = runs
    return [
        Line(
            f"one reader, {run['link']}",
            "MB/s",
            {"hubvfs": [run["bytes"] / run["seconds"] / 1e6], "link": [run["limit"]]},
            None,
            ("link",),
        )
        for run in runs
    ]
