# SPDX-License-Identifier: Apache-2.0
"""What the tests of `hubvfs cache export` and `import` share: two repos, and a machine far away."""

import json
import os
import shutil

import support
from commands import CommandTestCase
from support import MIB, content

SIZE = 11 * MIB + 5


def snapshot_of(folder: str) -> dict:
    """Every file and link below it with what a change would change."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(base, name)
            info = os.lstat(path)
            found[path] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode, info.st_nlink)
    return found


class TransferTestCase(CommandTestCase):
    REPOS = ("org/model", "org/other")

    @classmethod
    def make_tree(cls, folder):
        cls.weights = content("weights", SIZE)
        support.write_file(folder, "org/model/weights.safetensors", cls.weights)
        support.write_file(folder, "org/model/config.json", b'{"a": 1}\n')
        support.write_file(folder, "org/model/sub/dir/tokens.txt", b"tokens\n")
        support.write_file(folder, "org/model/empty", b"")
        support.write_file(folder, "org/other/README.md", b"other\n")
        support.write_file(folder, "org/other/SHA256SUMS.new", b"of its own\n")

    def setUp(self):
        super().setUp()
        self.dir = self.place("dir")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.commit = json.loads(self.server.get("/api/models/org/model")[1])["sha"]

    def other_cache(self):
        """From now on commands work on another, empty cache: that of the machine far away."""
        self.cache = self.place("far-cache")
        self.addCleanup(shutil.rmtree, self.cache, ignore_errors=True)

    def export(self, *arguments, **more):
        return self.told("cache", "export", "org/model", self.dir, *arguments, **more)

    def text(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as file:
            return file.read()

    def assert_read_offline(self, repo="org/model"):
        mount = self.mounted(arguments=("--offline",))
        self.assert_reads_as_served(mount / repo)
        self.assert_reads_as_served(mount / f"{repo}@{self.commit}")
        self.assertEqual(mount.status()["hub"]["requests"], 0)
        self.assertEqual(mount.stop(), 0, mount.log())
