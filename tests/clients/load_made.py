# SPDX-License-Identifier: Apache-2.0
"""One load of a made model by path, as a user's program does it; run by test_made.py as load.py is."""

import json
import os

from load import SENTENCES, TABLE, digest, main, quiet_torch

BIAS = "encoder.layer.5.output.dense.bias"
TENSOR = "blk.1.attn_q.weight"


def answer_of(model, folder):
    torch = quiet_torch()
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        answer = model.eval()(**tokenizer(SENTENCES, padding=True, return_tensors="pt"))
    return digest(answer.last_hidden_state.numpy(), answer.pooler_output.numpy())


def accelerate_device_map_case(folder):
    from transformers import AutoModel
    model = AutoModel.from_pretrained(folder, device_map="cpu")
    assert {str(weight.device) for weight in model.parameters()} == {"cpu"}
    return ("accelerate", 'AutoModel.from_pretrained(DIR, device_map="cpu"), 4 shards, forward',
            answer_of(model, folder))


def accelerate_dispatch_case(folder):
    from accelerate import init_empty_weights, load_checkpoint_and_dispatch
    from transformers import AutoConfig, AutoModel
    with init_empty_weights():
        model = AutoModel.from_config(AutoConfig.from_pretrained(folder))
    model = load_checkpoint_and_dispatch(model, folder, device_map={"": "cpu"})
    return ("accelerate", "load_checkpoint_and_dispatch(DIR), 4 shards, forward",
            answer_of(model, folder))


def one_shard_case(folder):
    from safetensors import safe_open
    with open(os.path.join(folder, "model.safetensors.index.json"), encoding="utf-8") as file:
        shard = json.load(file)["weight_map"][BIAS]
    with safe_open(os.path.join(folder, shard), framework="numpy") as tensors:
        return "safetensors", "safe_open of 1 shard of 4: one bias", digest(tensors.get_tensor(BIAS))


def torch_all_case(folder):
    torch = quiet_torch()
    weights = torch.load(os.path.join(folder, "pytorch_model.bin"), weights_only=True)
    return ("torch", "torch.load(FILE), every tensor",
            digest(*(weights[name].numpy() for name in sorted(weights))))


def torch_mmap_case(folder):
    torch = quiet_torch()
    weights = torch.load(os.path.join(folder, "pytorch_model.bin"), weights_only=True, mmap=True)
    return ("torch", "torch.load(FILE, mmap=True): 10 rows of a table, one bias",
            digest(weights[TABLE][1000:1010].numpy(), weights[BIAS].numpy()))


def torch_mmap_offsets_case(folder):
    torch = quiet_torch()
    from torch.utils.serialization import config
    config.load.calculate_storage_offsets = True
    _, _, output = torch_mmap_case(folder)
    return "torch", "torch.load(FILE, mmap=True), calculate_storage_offsets: the same", output


def run_onnx(folder, name):
    import numpy
    import onnxruntime
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.path.join(folder, "onnx", name), options,
                                           providers=["CPUExecutionProvider"])
    answers = []
    for sentence in SENTENCES:
        found = tokenizer.encode(sentence)
        fed = {"input_ids": numpy.array([found.ids], numpy.int64),
               "attention_mask": numpy.array([found.attention_mask], numpy.int64)}
        answers += session.run(None, fed)
    return digest(*answers)


def onnxruntime_case(folder):
    return ("onnxruntime", "InferenceSession(FILE).run", run_onnx(folder, "model.onnx"))


def onnxruntime_external_case(folder):
    return ("onnxruntime", "InferenceSession(FILE).run, external data",
            run_onnx(folder, "model_external.onnx"))


def gguf_reader(folder):
    from gguf import GGUFReader
    return GGUFReader(os.path.join(folder, "tiny-llama.gguf"))


def gguf_header_case(folder):
    reader = gguf_reader(folder)
    fields = sorted(field.name for field in reader.fields.values())
    tensors = [[tensor.name, tensor.shape.tolist(), int(tensor.data_offset)]
               for tensor in reader.tensors]
    return "gguf", "GGUFReader(FILE): fields, places of tensors", [fields, tensors]


def gguf_tensor_case(folder):
    found, = [tensor for tensor in gguf_reader(folder).tensors if tensor.name == TENSOR]
    return "gguf", "GGUFReader(FILE): one tensor of 30", digest(found.data)


if __name__ == "__main__":
    main(globals())
