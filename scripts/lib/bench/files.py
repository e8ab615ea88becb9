# SPDX-License-Identifier: Apache-2.0
"""What is read: folders of ORG/NAME/..., of incompressible bytes, made when a row first wants them."""

import json
import os
import struct

MIB = 1 << 20
GIB = 1 << 30


def write_random(file, size: int) -> None:
    while size > 0:
        piece = os.urandom(min(size, 16 * MIB))
        file.write(piece)
        size -= len(piece)


def random_file(path: str, size: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        write_random(file, size)


def safetensors(path: str, tensors: int, tensor_size: int) -> None:
    """A valid file of so many byte tensors t0000, t0001, ...: header length, header, data."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    header = {
        f"t{i:04}": {
            "dtype": "U8",
            "shape": [tensor_size],
            "data_offsets": [i * tensor_size, (i + 1) * tensor_size],
        }
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        write_random(file, tensors * tensor_size)


def read_header(path: str) -> dict:
    """As the safetensors library does: 8 bytes, then the header; offsets from the file's start."""
    with open(path, "rb", buffering=0) as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {name: [8 + length + at for at in about["data_offsets"]] for name, about in header.items()}


def small_files(folder: str, count: int, in_each: int) -> list:
    """So many files of some bytes, `in_each` in a folder; their paths below `folder`."""
    paths = [f"d{i // in_each:04}/f{i:06}.txt" for i in range(count)]
    for path in paths:
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(path)
    return paths
