# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current frameworks load a real model by its id out of MOUNT/.hf-cache, offline and
with no network, with the same output as out of huggingface_hub's own layout on the disk; what each
call fetched is shown."""

import json
import os
import shutil

import client_case
from client_case import REPO

DIFFUSION, DATASET = "made/diffusion", "made/table"
WHOLE = 1.1  # of the repo's bytes, at most
CASES = {"transformers": (REPO, WHOLE), "pipeline": (REPO, WHOLE),
         "sentence_transformers": (REPO, WHOLE), "download": (REPO, 0.02), "snapshot": (REPO, 0.02),
         "scan": (REPO, 0), "diffusers": (DIFFUSION, WHOLE)}


class ById(client_case.ClientTestCase):
    REPOS = (REPO, DIFFUSION)
    DATASETS = (DATASET,)
    PROGRAM = "load_by_id.py"

    @classmethod
    def make_tree(cls, folder):
        super().make_tree(folder)
        cls.make_models(folder, f"diffusion:{DIFFUSION}", f"parquet:datasets/{DATASET}")

    def check(self, case):
        repo, at_most = CASES[case]
        self.check_id(case, repo, at_most)

    def check_id(self, case, repo, at_most, kind="models", served=""):
        folder = f"{kind}--{repo.replace('/', '--')}"
        served = os.path.join(served, repo)
        plain, cache = self.plain_cache(kind, repo, served, folder), self.mount() / ".hf-cache"

        def load_mounted():
            if case == "scan":  # it lists what is known here
                os.stat(os.path.join(cache, folder))
            return self.load(case, repo, HF_HUB_CACHE=cache)
        self.compare(load_mounted, lambda: self.load(case, repo, HF_HUB_CACHE=plain),
                     self.tree_size(served), at_most)

    def plain_cache(self, kind, repo, served, folder):
        """huggingface_hub's layout on the disk, as it leaves it where links cannot be made."""
        commit = json.loads(self.server.get(f"/api/{kind}/{repo}")[1])["sha"]
        cache = os.path.join(self.work, "plain-cache")
        if not os.path.exists(os.path.join(cache, folder)):
            os.makedirs(os.path.join(cache, folder, "refs"))
            shutil.copytree(os.path.join(self.served, served),
                            os.path.join(cache, folder, "snapshots", commit))
            with open(os.path.join(cache, folder, "refs/main"), "w", encoding="ascii") as ref:
                ref.write(commit)
        return cache

    def test_a_dataset_by_the_folder_of_its_snapshot(self):
        self.check_id("dataset", DATASET, 0.9, kind="datasets", served="datasets")


ById.add_cases(CASES)

if __name__ == "__main__":
    client_case.main()
