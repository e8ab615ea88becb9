# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current Python loaders of other formats than one safetensors file, on models that
make_models.py makes, by their paths in a mount: the same output as from the plain folder. Where a
program takes a part of a file, or one shard of several, no more than a part of it is fetched."""

import client_case

SHARDED, CHECKPOINT, ONNX, GGUF = "made/sharded", "made/checkpoint", "made/onnx", "made/gguf"
# What is loaded, and how much of the repo's bytes may come for it.
CASES = {
    "accelerate_device_map": (SHARDED, 1.1), "accelerate_dispatch": (SHARDED, 1.1),
    "one_shard": (SHARDED, 0.1),
    "torch_all": (CHECKPOINT, 1.1), "torch_mmap": (CHECKPOINT, 0.6),
    "torch_mmap_offsets": (CHECKPOINT, 0.2),
    "onnxruntime": (ONNX, 0.6), "onnxruntime_external": (ONNX, 0.4),
    "gguf_header": (GGUF, 0.2), "gguf_tensor": (GGUF, 0.2),
}


class Made(client_case.ClientTestCase):
    REPOS = (SHARDED, CHECKPOINT, ONNX, GGUF)
    PROGRAM = "load_made.py"

    @classmethod
    def make_tree(cls, folder):
        cls.make_models(folder, *(f"{repo.removeprefix('made/')}:{repo}" for repo in cls.REPOS))

    def check(self, case):
        self.check_path(case, *CASES[case])


Made.add_cases(CASES)

if __name__ == "__main__":
    client_case.main()
