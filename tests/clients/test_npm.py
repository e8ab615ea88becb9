# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current npm packages load models that make_models.py makes out of a mount, with the
same output as from the plain folder; the vocabulary of a GGUF alone fetches a part of it."""

import os

import client_case
from client_case import environment

ONNX, GGUF = "made/onnx", "made/gguf"
CASES = {"transformers": (ONNX, 0.6), "llama": (GGUF, 1.1), "llama_vocabulary": (GGUF, 0.5)}


class Npm(client_case.ClientTestCase):
    REPOS = (ONNX, GGUF)

    @classmethod
    def make_tree(cls, folder):
        cls.make_models(folder, f"onnx:{ONNX}", f"gguf:{GGUF}")

    @classmethod
    def program(cls):
        return [environment.node(), os.path.join(environment.HERE, "model_npm/load.mjs")]

    @classmethod
    def variables(cls, **more):
        return super().variables(HUBVFS_MODEL_NPM=environment.model_npm(), **more)

    def check(self, case):
        self.check_path(case, *CASES[case])


Npm.add_cases(CASES)

if __name__ == "__main__":
    client_case.main("" if environment.node() and environment.model_npm()
                     else environment.why_no_npm_client())
