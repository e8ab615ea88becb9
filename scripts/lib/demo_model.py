#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads the demo's model from a folder and runs it once; prints its output. usage: demo_model.py DIR"""

import json
import os
import sys

import numpy
from safetensors import safe_open


def main(folder: str) -> None:
    with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as file:
        ids = json.load(file)
    words = "the model is read a block at a time and kept here .".split()
    with safe_open(os.path.join(folder, "model.safetensors"), framework="numpy") as tensors:
        table = tensors.get_slice("embedding.weight")
        scale = tensors.get_tensor("embedding.scale")
        hidden = numpy.stack([table[ids[word], :].astype(numpy.float32) * scale for word in words])
        hidden = hidden @ tensors.get_tensor("up.weight").T + tensors.get_tensor("up.bias")
        logits = numpy.tanh(hidden) @ tensors.get_tensor("down.weight").T
    scores = logits.mean(axis=0)
    names = list(ids)
    best = numpy.argsort(scores)[::-1][:3]
    print(", ".join(f"{names[i]} {scores[i]:+.6f}" for i in best), "| sum", repr(float(logits.sum())))


if __name__ == "__main__":
    main(sys.argv[1])
