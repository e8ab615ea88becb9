# SPDX-License-Identifier: Apache-2.0
"""Writes the models and the data that the client tests use and no package ships; run by them in the
clients' environment. usage: make_models.py MODEL KIND:FOLDER...; MODEL is all-MiniLM-L6-v2 in a
folder, and KIND one of the functions below."""

import os
import random
import shutil
import sys

TABLE = "embeddings.word_embeddings.weight"
DENSE = "pooler.dense.weight"
LETTERS = ["▁"] + [chr(code) for code in range(ord("!"), ord("~") + 1)]
WIDTH, HIDDEN, HEADS, BLOCKS = 512, 1024, 8, 3  # of the llama: 31 MB


def tensors_of(model: str) -> dict:
    from safetensors.numpy import load_file
    return load_file(os.path.join(model, "model.safetensors"))


def copy_tokenizer(model: str, folder: str) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(model, name), folder)


def sharded(model: str, folder: str) -> None:
    """The model as transformers writes a large one: shards of 16 MB, and the table alone in one."""
    from transformers import AutoModel, AutoTokenizer
    AutoModel.from_pretrained(model).save_pretrained(folder, max_shard_size="16MB")
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)


def checkpoint(model: str, folder: str) -> None:
    """The weights as torch.save writes them."""
    import torch
    weights = {name: torch.from_numpy(value) for name, value in tensors_of(model).items()}
    torch.save(weights, os.path.join(folder, "pytorch_model.bin"))


def onnx(model: str, folder: str) -> None:
    """A small network of the model's own weights: words looked up in its table, a dense layer of it,
    tanh. Once in one file, and once with the weights in a file beside it."""
    import onnx as package
    from onnx import TensorProto, helper, numpy_helper
    weights = tensors_of(model)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["words"]),
             helper.make_node("MatMul", ["words", "dense"], ["mixed"]),
             helper.make_node("Tanh", ["mixed"], ["last_hidden_state"])]
    width = weights[TABLE].shape[1]
    graph = helper.make_graph(
        nodes, "words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
         for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT,
                                       ["batch", "length", width])],
        [numpy_helper.from_array(weights[TABLE], "table"),
         numpy_helper.from_array(weights[DENSE].T.copy(), "dense")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    package.checker.check_model(made)
    os.makedirs(os.path.join(folder, "onnx"))
    package.save(made, os.path.join(folder, "onnx/model.onnx"))
    package.save(made, os.path.join(folder, "onnx/model_external.onnx"), save_as_external_data=True,
                 location="model_external.onnx_data", size_threshold=1024)
    copy_tokenizer(model, folder)


def gguf(_model: str, folder: str) -> None:
    """A llama with random weights, small enough to make and whole enough to generate text with."""
    import numpy
    from gguf import GGUFWriter, TokenType
    numbers = numpy.random.default_rng(7)
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + LETTERS
    kinds = [TokenType.UNKNOWN] + 2 * [TokenType.CONTROL] + 256 * [TokenType.BYTE] \
        + len(LETTERS) * [TokenType.NORMAL]
    writer = GGUFWriter(os.path.join(folder, "tiny-llama.gguf"), "llama")
    writer.add_name("tiny llama")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(0)  # all of it in float32
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(at) for at in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    def add(name, *shape):
        weights = numpy.ones(shape) if len(shape) == 1 else numbers.normal(0, 0.05, shape)
        writer.add_tensor(f"{name}.weight", weights.astype(numpy.float32))

    add("token_embd", len(tokens), WIDTH)
    for block in range(BLOCKS):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{block}.{name}", WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{block}.{name}", WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            add(f"blk.{block}.{name}", HIDDEN, WIDTH)
        add(f"blk.{block}.ffn_down", WIDTH, HIDDEN)
    add("output_norm", WIDTH)
    add("output", len(tokens), WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def diffusion(_model: str, folder: str) -> None:
    """A pipeline with random weights: a scheduler and a small U-Net."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
    torch.manual_seed(7)
    net = UNet2DModel(sample_size=16, layers_per_block=1, block_out_channels=(64, 128),
                      down_block_types=("DownBlock2D", "AttnDownBlock2D"),
                      up_block_types=("AttnUpBlock2D", "UpBlock2D"))
    DDPMPipeline(net, DDPMScheduler()).save_pretrained(folder)


def parquet(_model: str, folder: str) -> None:
    """80 MB of rows in four groups: two columns of numbers, and one of images with nearly all the
    bytes."""
    import pyarrow
    import pyarrow.parquet
    chance = random.Random(7)
    rows = 20_000
    table = pyarrow.table({
        "id": pyarrow.array(range(rows), pyarrow.int64()),
        "label": pyarrow.array([chance.randrange(10) for _ in range(rows)], pyarrow.int8()),
        "image": [chance.randbytes(4000) for _ in range(rows)]})
    os.makedirs(os.path.join(folder, "data"))
    pyarrow.parquet.write_table(table, os.path.join(folder, "data/train-00000-of-00001.parquet"),
                                row_group_size=rows // 4, use_dictionary=False)
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as card:
        card.write("---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
                   "    path: data/train-*\n---\nMade.\n")


KINDS = {"sharded": sharded, "checkpoint": checkpoint, "onnx": onnx, "gguf": gguf,
         "diffusion": diffusion, "parquet": parquet}


def main(model: str, *wanted: str) -> None:
    for what in wanted:
        kind, _, folder = what.partition(":")
        os.makedirs(folder)
        KINDS[kind](model, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
