# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current frameworks load a real model by its id out of MOUNT/.hf-cache, offline and
with no network, with the same output as out of huggingface_hub's own layout on the disk; what each
call fetched is shown."""

import os
import pathlib
import shutil

import client_case
from client_case import REPO

FOLDER = "models--sentence-transformers--all-MiniLM-L6-v2"
CASES = ("transformers", "pipeline", "sentence_transformers", "download", "snapshot", "scan")


class ById(client_case.ClientTestCase):
    PROGRAM = "load_by_id.py"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain = os.path.join(cls.work, "plain-cache")
        os.makedirs(os.path.join(cls.plain, FOLDER, "refs"))

    def load_from(self, case, cache):
        return self.load(case, REPO, HF_HUB_CACHE=str(cache))

    def plain_cache(self, commit):
        """huggingface_hub's layout on the disk, as it leaves it where links cannot be made."""
        snapshot = os.path.join(self.plain, FOLDER, "snapshots", commit)
        if not os.path.exists(snapshot):
            os.makedirs(os.path.dirname(snapshot), exist_ok=True)
            shutil.copytree(os.path.join(self.served, REPO), snapshot)
            with open(os.path.join(self.plain, FOLDER, "refs/main"), "w", encoding="ascii") as ref:
                ref.write(commit)
        return self.plain

    def check(self, case):
        mount, mark = self.mount(), self.server.mark()  # cold: a cache of its own
        cache = pathlib.Path(mount / ".hf-cache")
        if case == "scan":  # it lists what is known here
            os.stat(cache / FOLDER)
        there = self.load_from(case, cache)
        entries = self.server.settled_since(mark)
        plain = self.plain_cache((cache / FOLDER / "refs/main").read_text())
        self.compare(there, self.load_from(case, plain), entries)


ById.add_cases(CASES)

if __name__ == "__main__":
    client_case.main()
