#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo's repo: a small model with a large embedding table. usage: sample_repo.py FOLDER

The table is int8 with one scale, the way quantized embeddings are kept; its bytes are random, so
nothing can be compressed away and every byte read is a byte that was fetched.
"""

import array
import json
import os
import random
import struct
import sys

VOCABULARY, WIDTH, HIDDEN = 53_248, 4096, 64
WORDS = ("the", "model", "is", "read", "a", "block", "at", "time", "and", "kept", "here", ".")

CARD = """---
license: apache-2.0
---
# tiny-embedder

Made by `scripts/demo`: an embedding table of {size} MB and a small network on top of it.
"""


def floats(rng: random.Random, count: int) -> bytes:
    return array.array("f", (rng.uniform(-0.1, 0.1) for _ in range(count))).tobytes()


def write_safetensors(path: str, tensors: list) -> None:
    """The format: header length (8 bytes, little endian), header (JSON), the tensors' bytes."""
    header, offset = {"__metadata__": {"format": "np"}}, 0
    for name, kind, shape, data in tensors:
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, data in tensors:
            file.write(data)


def write_json(path: str, value) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def main(folder: str) -> None:
    os.makedirs(folder)
    rng = random.Random("hubvfs")
    write_safetensors(os.path.join(folder, "model.safetensors"), [
        ("embedding.weight", "I8", [VOCABULARY, WIDTH], rng.randbytes(VOCABULARY * WIDTH)),
        ("embedding.scale", "F32", [1], struct.pack("<f", 1 / 128)),
        ("up.weight", "F32", [HIDDEN, WIDTH], floats(rng, HIDDEN * WIDTH)),
        ("up.bias", "F32", [HIDDEN], floats(rng, HIDDEN)),
        ("down.weight", "F32", [len(WORDS), HIDDEN], floats(rng, len(WORDS) * HIDDEN)),
    ])
    write_json(os.path.join(folder, "config.json"), {
        "model_type": "tiny-embedder", "vocab_size": VOCABULARY, "hidden_size": WIDTH,
        "intermediate_size": HIDDEN, "torch_dtype": "int8"})
    ids = sorted(rng.sample(range(VOCABULARY), len(WORDS)))
    write_json(os.path.join(folder, "vocab.json"), dict(zip(WORDS, ids)))
    write_json(os.path.join(folder, "tokenizer_config.json"), {"split": "whitespace"})
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write(CARD.format(size=VOCABULARY * WIDTH // 1_000_000))


if __name__ == "__main__":
    main(sys.argv[1])
