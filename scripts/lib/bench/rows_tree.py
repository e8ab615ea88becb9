# SPDX-License-Identifier: Apache-2.0
"""Rows of names and attributes that are known here, beside the disk."""

import glob
import os

import machine
from hub import Hub
from measure import Line, Target, interleave, row
from mounts import Hubvfs


def list_of(bench, name: str, root: str, repos: list) -> str:
    """A file with the path of every file of these repos, below `root`."""
    path = os.path.join(bench.work, name)
    with open(path, "w", encoding="utf-8") as out:
        for repo in repos:
            for base, _, names in sorted(os.walk(os.path.join(root, repo))):
                out.writelines(f"{base}/{name}\n" for name in sorted(names))
    return path


@row("tree", "ls -lR of 10,000 entries, stat of 100,000, warm")
def tree(bench) -> list:
    folder = bench.entries()
    repos = sorted(os.path.relpath(p, folder) for p in glob.glob(f"{folder}/bench/hundred*"))
    link = bench.loopback()
    with Hub(bench, link, folder) as hub, Hubvfs(bench, link, hub) as mount:
        lists = {
            root: list_of(bench, f"list-{i}", root, repos)
            for i, root in enumerate((mount.point, folder))
        }

        def measure(root: str) -> dict:
            words = ["ls", "-lR", f"{root}/bench/ten"]
            bench.read("stat", lists[root])
            done = bench.read("stat", lists[root])  # warm, whatever the machine forgot meanwhile
            machine.run(words)
            return {"ls": machine.timed(words), "stat": done["calls"] / done["seconds"]}

        runs = interleave(
            bench.turns, {"hubvfs": lambda: measure(mount.point), "ext4": lambda: measure(folder)}
        )
    rates = {side: [10_000 / s for s in seconds] for side, seconds in runs.of("ls").items()}
    return [
        Line("ls -lR of 10,000 entries", "entries/s", rates, Target(at_least=0.5), ("ext4",)),
        Line("stat of 100,000 files", "1/s", runs.of("stat"), Target(at_least=0.5), ("ext4",)),
    ]
