# SPDX-License-Identifier: Apache-2.0
"""How fetching adapts: connections, request size and rate over time, on four links. A plot each."""

import json
import os
import pathlib
import threading
import time

import links
import machine
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
        (links.Shaped(bench, "300 ms, 1 MB/s, stalls", delay=150, rate=1, stall_every=8, stall_for=4, queue=400),
         24 // part)]


def connections(pid: int) -> int:
    """Established TCP connections in the network of a process."""
    lines = pathlib.Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(1 for line in lines if line.split()[3] == "01")


class Sampler(threading.Thread):
    """Looks at a mount's connections and at what it says of the Hub until ended."""

    def __init__(self, mount: Hubvfs):
        super().__init__(daemon=True)
        self._mount = mount
        self._begin, self._ended = time.monotonic(), threading.Event()
        self.samples: list = []

    def run(self) -> None:
        while not self._ended.wait(EVERY):
            engine = json.loads(self._mount.status() or "{}").get("hub", {})
            self.samples.append({"at": time.monotonic() - self._begin,
                                 "connections": connections(self._mount.processes[0].pid),
                                 "hub": engine})

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
        progress = []
        sampler.start()
        with open(mount.path(name), "rb", buffering=0) as file:
            while read < size and (piece := file.read(MIB)):
                read += len(piece)
                progress.append((time.monotonic() - begin, read))
        seconds = time.monotonic() - begin
        samples = sampler.end()
        requests = hub.content_since(mark)
    return {"link": link.name, "limit": link.rate, "seconds": seconds, "bytes": read, "begin": begin_wall,
            "samples": samples, "progress": progress, "requests": requests}


def rates(progress: list, width: float) -> list:
    """MB/s of what the reader got, over windows of `width` seconds."""
    points, window_begin, bytes_begin = [], 0.0, 0
    for at, done in progress:
        if at - window_begin >= width:
            points.append((at, (done - bytes_begin) / (at - window_begin) / 1e6))
            window_begin, bytes_begin = at, done
    return points


def column(run: dict) -> list:
    """The panels of one link."""
    asked = [(e["begin"] - run["begin"], e["bytes"] / MIB) for e in run["requests"] if "begin" in e]
    if not asked:  # the log has no times: in the order of the answers, spread over the run
        sizes = [e["bytes"] / MIB for e in run["requests"]]
        asked = [(run["seconds"] * (i + 0.5) / len(sizes), size) for i, size in enumerate(sizes)]
    opened = [(s["at"], s["connections"]) for s in run["samples"]]
    width = max(0.25, run["seconds"] / 60)
    return [svg.Panel(run["link"], "MB/s read", [svg.Series("", rates(run["progress"], width))], run["limit"]),
            svg.Panel("", "connections", [svg.Series("", opened, True)]),
            svg.Panel("", "MiB a request", [svg.Series("", sorted(asked))])]


@row("links", "Fetching over time on four links")
def over_time(bench) -> list:
    folder, name = bench.stream(), "bench/stream/data.bin"
    runs = []
    for link, size in shapes(bench):
        runs.append(watch(bench, link, folder, name, size * MIB))
        bench.say(f"    {link.name}: {runs[-1]['bytes'] / runs[-1]['seconds'] / 1e6:.4g} MB/s")
    bench.keep_plot("links", svg.panels([column(run) for run in runs], "seconds"))
    bench.notes["runs"] = runs
    return [Line(f"one reader, {run['link']}", "MB/s",
                 {"hubvfs": [run["bytes"] / run["seconds"] / 1e6], "link": [run["limit"]]}, None, ("link",))
            for run in runs]
