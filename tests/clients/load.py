# SPDX-License-Identifier: Apache-2.0
"""One load of a model by path, as a user's program does it; run by test_by_path.py in the clients'
environment. usage: load.py CASE FOLDER. Prints {"client", "version", "call", "output"} as JSON; the
output is a digest of all the numbers that came out, and a few of them to look at."""

import hashlib
import json
import os
import sys
from importlib.metadata import version

SENTENCES = ["A model file is read a block at a time.", "Ein Dateisystem für Modelle.", "🤗"]
WEIGHTS = "model.safetensors"
TABLE = "embeddings.word_embeddings.weight"


def digest(*arrays) -> str:
    import numpy
    total = hashlib.sha256()
    for array in arrays:
        array = numpy.ascontiguousarray(array)
        total.update(str((array.dtype.str, array.shape)).encode() + array.tobytes())
    first = numpy.asarray(arrays[0]).ravel()[:3]
    return f"{total.hexdigest()[:16]} {[float(x) for x in first]}"


def quiet_torch():
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the same order of additions every time
    return torch


def transformers_case(folder):
    torch = quiet_torch()
    from transformers import AutoModel, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        answer = model(**tokenizer(SENTENCES, padding=True, return_tensors="pt"))
    return ("transformers", "AutoTokenizer, AutoModel .from_pretrained(DIR), forward",
            digest(answer.last_hidden_state.numpy(), answer.pooler_output.numpy()))


def sentence_transformers_case(folder):
    quiet_torch()
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(folder, device="cpu")
    return ("sentence-transformers", "SentenceTransformer(DIR).encode", digest(model.encode(SENTENCES)))


def safetensors_slice_case(folder):
    from safetensors import safe_open
    with safe_open(os.path.join(folder, WEIGHTS), framework="numpy") as tensors:
        rows = tensors.get_slice(TABLE)[1000:1010]
        bias = tensors.get_tensor("encoder.layer.5.output.dense.bias")
    return "safetensors", "safe_open: 10 rows of a table, one bias", digest(rows, bias)


def safetensors_all_case(folder):
    from safetensors.numpy import load_file
    tensors = load_file(os.path.join(folder, WEIGHTS))
    return ("safetensors", "numpy.load_file, every tensor",
            digest(*(tensors[name] for name in sorted(tensors))))


def torch_case(folder):
    quiet_torch()
    from safetensors.torch import load_file
    tensors = load_file(os.path.join(folder, WEIGHTS), device="cpu")
    return ("torch", "safetensors.torch.load_file, every tensor",
            digest(*(tensors[name].numpy() for name in sorted(tensors))))


def tokenizers_case(folder):
    import numpy
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    ids = [tokenizer.encode(sentence).ids for sentence in SENTENCES]
    return "tokenizers", "Tokenizer.from_file", digest(numpy.array(sum(ids, [])))


def numpy_case(folder):
    import numpy
    path = os.path.join(folder, WEIGHTS)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        place = json.loads(file.read(length))[TABLE]
    begin, _ = place["data_offsets"]
    table = numpy.memmap(path, "<f4", "r", 8 + length + begin, tuple(place["shape"]))
    return "numpy", "memmap of a table, every 1000th row", digest(table[::1000])


def fastsafetensors_case(folder):
    quiet_torch()
    from fastsafetensors import fastsafe_open
    with fastsafe_open([os.path.join(folder, WEIGHTS)], nogds=True, device="cpu") as tensors:
        found = {name: tensors.get_tensor(name).clone() for name in tensors.keys()}
    return ("fastsafetensors", "fastsafe_open, every tensor",
            digest(*(found[name].numpy() for name in sorted(found))))


def runai_model_streamer_case(folder):
    quiet_torch()
    from runai_model_streamer import SafetensorsStreamer
    with SafetensorsStreamer() as streamer:
        streamer.stream_file(os.path.join(folder, WEIGHTS))
        found = {name: tensor.clone() for name, tensor in streamer.get_tensors()}
    return ("runai-model-streamer", "SafetensorsStreamer.stream_file, every tensor",
            digest(*(found[name].numpy() for name in sorted(found))))


def main(names: dict) -> None:
    """Runs the case that the command line names: the function CASE_case of a program's `globals()`."""
    case, where = sys.argv[1:]
    client, call, output = names[case + "_case"](where)
    print(json.dumps({"client": client, "version": version(client), "call": call, "output": output}))


if __name__ == "__main__":
    main(globals())
