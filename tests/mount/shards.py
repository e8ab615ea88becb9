# SPDX-License-Identifier: Apache-2.0
"""A checkpoint in several safetensors files, written and loaded with Python's own means.

    shards.py FOLDER [NAME...]    loads these tensors, or all: prints the SHA-256 of each
"""

import hashlib
import json
import mmap
import os
import struct
import sys

INDEX = "model.safetensors.index.json"


def shard_name(number: int, count: int) -> str:
    return f"model-{number + 1:05}-of-{count:05}.safetensors"


def write(folder: str, shards: int, tensors: int, tensor_bytes: int, content) -> dict:
    """SHARDS files of TENSORS tensors each, of content(name, size); the SHA-256 of each by name."""
    os.makedirs(folder)
    digests, weight_map = {}, {}
    for number in range(shards):
        names = [f"layer.{number}.weight.{i}" for i in range(tensors)]
        header = json.dumps({name: {"dtype": "U8", "shape": [tensor_bytes],
                                    "data_offsets": [i * tensor_bytes, (i + 1) * tensor_bytes]}
                             for i, name in enumerate(names)}).encode()
        with open(os.path.join(folder, shard_name(number, shards)), "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for name in names:
                data = content(name, tensor_bytes)
                file.write(data)
                digests[name] = hashlib.sha256(data).hexdigest()
                weight_map[name] = shard_name(number, shards)
    with open(os.path.join(folder, INDEX), "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)
    return digests


def load(folder: str, wanted) -> dict:
    """As loaders do: the index, the header of each file that is needed, a mapping, tensor by tensor."""
    with open(os.path.join(folder, INDEX)) as file:
        weight_map = json.load(file)["weight_map"]
    digests = {}
    for shard in dict.fromkeys(weight_map[name] for name in wanted or weight_map):
        with open(os.path.join(folder, shard), "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            size = struct.unpack("<Q", mapped[:8])[0]
            header = json.loads(mapped[8:8 + size])
            for name, entry in header.items():
                if wanted and name not in wanted:
                    continue
                begin, end = entry["data_offsets"]
                digest = hashlib.sha256()
                for at in range(begin, end, 1 << 20):
                    digest.update(mapped[8 + size + at:8 + size + min(end, at + (1 << 20))])
                digests[name] = digest.hexdigest()
    return digests


if __name__ == "__main__":
    print(json.dumps(load(sys.argv[1], sys.argv[2:])))
