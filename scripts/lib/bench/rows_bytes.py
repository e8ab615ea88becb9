# SPDX-License-Identifier: Apache-2.0
"""Rows that count bytes fetched: headers of shards, two readers, one tensor; and 32 readers."""

import os
import subprocess

import files
import machine
from files import MIB
from hub import Hub
from measure import Line, Target, interleave, row
from mounts import Hubvfs, Nbd

MODEL = "bench/model/model.safetensors"


@row("headers", "The header of each of 50 shards, 30 ms")
def headers(bench) -> list:
    folder = bench.shards()
    names = [f"bench/shards/model-{i:05}.safetensors" for i in range(50)]
    with bench.capped_link() as link, Hub(bench, link, folder) as hub:

        def hubvfs() -> dict:
            with Hubvfs(bench, link, hub) as mount:
                mark = hub.mark()
                for name in names:
                    files.read_header(mount.path(name))
                return {"fetched": hub.bytes_since(mark) / len(names) / MIB}

        runs = interleave(bench.long_turns, {"hubvfs": hubvfs})
    return [Line("bytes fetched a shard", "MiB", runs.of("fetched"), Target(at_most=1.2))]


@row("two-readers", "Two processes that read one cold file, 30 ms")
def two_readers(bench) -> list:
    folder, name = bench.one_file(), "bench/one/quarter.bin"
    little = "bench/one/small.bin"  # nbd's link is slow
    with bench.capped_link() as link, Hub(bench, link, folder) as hub:

        def both(path: str, served: str) -> dict:
            mark, words = hub.mark(), [bench.reader_program, "read", path]
            readers = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(2)]
            if any([reader.wait(600) != 0 for reader in readers]):  # each is waited for
                raise machine.Failed(f"a reader of {path} failed")
            return {"fetched": hub.bytes_since(mark) / os.path.getsize(f"{folder}/{served}")}

        def hubvfs() -> dict:
            with Hubvfs(bench, link, hub) as mount:
                return both(mount.path(name), name)

        def nbd() -> dict:
            with Nbd(bench, link, hub.file_url(little)) as mount:
                return both(mount.file, little)

        runs = interleave(bench.long_turns, {"hubvfs": hubvfs, "nbd": nbd})
    return [Line("bytes fetched of the file's", "times", runs.of("fetched"), Target(at_most=1.005))]


@row("tensor", "One tensor of 1% of a cold safetensors, 30 ms")
def tensor(bench) -> list:
    folder = bench.model()
    with bench.capped_link() as link, Hub(bench, link, folder) as hub:

        def hubvfs() -> dict:
            with Hubvfs(bench, link, hub) as mount:
                mark = hub.mark()
                begin, end = files.read_header(mount.path(MODEL))["t0042"]
                with open(mount.path(MODEL), "rb", buffering=0) as file:
                    file.seek(begin)
                    file.read(end - begin)
                # A block for the header and one for the tensor's unaligned end are not counted.
                fetched = hub.bytes_since(mark)
                return {"fetched": (fetched - 2 * MIB) / (end - begin), "all": fetched / MIB}

        runs = interleave(bench.long_turns, {"hubvfs": hubvfs})
    return [
        Line(
            "bytes fetched of the tensor's, less two blocks",
            "times",
            runs.of("fetched"),
            Target(at_most=1.25),
        ),
        Line("bytes fetched", "MiB", runs.of("all")),
    ]


@row("readers", "32 sequential readers of cold files, 30 ms")
def readers(bench) -> list:
    folder = bench.many_readers()
    names = [f"bench/readers/r{i:02}.bin" for i in range(32)]
    with bench.capped_link() as link, Hub(bench, link, folder) as hub:

        def hubvfs() -> dict:
            with Hubvfs(bench, link, hub) as mount:
                for name in names:
                    os.stat(mount.path(name))
                done = bench.read("race", *map(mount.path, names))
                mean = sum(done["halfway"]) / len(names)
                return {
                    "unfair": max(abs(at - mean) for at in done["halfway"]) / mean,
                    "rate": done["bytes"] / done["seconds"] / 1e6,
                    "memory": machine.peak_mib(mount.pids()) / 256,
                }

        runs = interleave(bench.long_turns, {"hubvfs": hubvfs})
    return [
        Line(
            "furthest from the mean, when half was read",
            "of it",
            runs.of("unfair"),
            Target(at_most=0.2),
        ),
        Line("all together", "MB/s", runs.of("rate")),
        Line(
            "peak memory of the daemon",
            "of its budget of 256 MiB",
            runs.of("memory"),
            Target(at_most=1),
        ),
    ]
