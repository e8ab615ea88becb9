#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads a model by transformers, in the clients' environment; prints {"seconds": S}, imports not counted.

usage: load_model.py path FOLDER | download REPO     the latter by snapshot_download first
"""

import json
import sys
import time

import torch  # noqa: F401  imported here so that it does not count
from huggingface_hub import snapshot_download
from transformers import AutoModel, AutoTokenizer
from transformers.models.bert import BertModel, BertTokenizerFast  # noqa: F401


def main(how: str, what: str) -> None:
    begin = time.monotonic()
    folder = snapshot_download(what) if how == "download" else what
    AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder)
    sum(float(parameter.sum()) for parameter in model.parameters())  # every weight is there
    print(json.dumps({"seconds": time.monotonic() - begin}))


if __name__ == "__main__":
    main(*sys.argv[1:])
