# SPDX-License-Identifier: Apache-2.0
"""MOUNT/.hf-cache is huggingface_hub's cache layout over the same content: what its library looks
for is there, and nothing can be written. tests/clients/test_by_id.py drives the library itself."""

import errno
import os
import pathlib

import support
from support import MountTestCase, content, content_bytes, is_metadata, run

WEIGHTS = content("weights", 12 << 20)


class HfCache(MountTestCase):
    REPOS = ("org/model",)

    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/config.json", b"{}\n")
        support.write_file(folder, "org/model/sub/model.safetensors", WEIGHTS)
        support.write_file(folder, "datasets/org/rows/train.csv", b"a,b\n")

    def setUp(self):
        super().setUp()
        support.wait_for(lambda: self.server.get("/api/datasets/org/rows")[0] == 200, "the dataset")
        self.m = self.mount()
        self.cache = pathlib.Path(self.m / ".hf-cache")
        self.model = self.cache / "models--org--model"

    def snapshot(self, repo):
        return self.cache / repo / "snapshots" / (self.cache / repo / "refs/main").read_text()

    def test_models_and_datasets_are_in_one_cache(self):
        self.assertRegex((self.model / "refs/main").read_text(), "^[0-9a-f]{40}$")
        self.assertEqual((self.snapshot("models--org--model") / "config.json").read_bytes(), b"{}\n")
        self.assertEqual((self.snapshot("datasets--org--rows") / "train.csv").read_bytes(), b"a,b\n")
        self.assertEqual(sorted(os.listdir(self.cache)),
                         ["datasets--org--rows", "models--org--model"])
        self.assertEqual(sorted(os.listdir(self.model)), ["blobs", "refs", "snapshots"])
        self.assertEqual(os.listdir(self.model / "blobs"), [])

    def test_it_is_the_content_of_the_tree(self):
        there = self.snapshot("models--org--model") / "sub/model.safetensors"
        mark = self.server.mark()
        self.assertEqual(there.read_bytes(), WEIGHTS)
        with open(self.m / "org/model/sub/model.safetensors", "rb") as file:
            self.assertEqual(file.read(), WEIGHTS)
        self.assertLessEqual(content_bytes(self.server.settled_since(mark)), 1.1 * len(WEIGHTS))
        self.assertNotEqual(os.stat(there).st_ino,
                            os.stat(self.m / "org/model/sub/model.safetensors").st_ino)

    def test_a_scan_fetches_no_content(self):
        self.snapshot("models--org--model")
        mark = self.server.mark()
        found = run("find", self.cache, "-type", "f", "-size", "+0", "-printf", "%P %s\n").stdout
        self.assertIn("sub/model.safetensors %d\n" % len(WEIGHTS), found)
        self.assertIn("models--org--model/refs/main 40\n", found)
        run("du", "-a", self.cache)
        self.assertTrue(all(is_metadata(entry) for entry in self.server.since(mark)))

    def test_what_the_library_would_write_is_refused(self):
        snapshot = self.snapshot("models--org--model")
        for what, call in {
            "a lock": lambda: os.makedirs(self.cache / ".locks"),
            "a ref": lambda: os.open(self.model / "refs/main", os.O_WRONLY | os.O_TRUNC),
            "a new ref": lambda: os.open(self.model / "refs/dev", os.O_WRONLY | os.O_CREAT),
            "a blob": lambda: os.open(self.model / "blobs/abc", os.O_WRONLY | os.O_CREAT),
            "what is absent": lambda: os.mkdir(self.model / ".no_exist"),
            "a commit": lambda: os.mkdir(self.model / "snapshots" / ("0" * 40)),
            "a file": lambda: os.symlink("x", snapshot / "x"),
        }.items():
            with self.subTest(what), self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.errno, errno.EROFS, what)
        os.makedirs(self.model / "blobs", exist_ok=True)  # as older releases do
        os.makedirs(self.model / "refs", exist_ok=True)

    def test_absent_files_ask_nothing(self):
        snapshot = self.snapshot("models--org--model")
        os.listdir(snapshot)
        mark = self.server.mark()
        for name in ("adapter_config.json", "model.safetensors.index.json", "sub/nothing"):
            self.assertFalse((snapshot / name).exists())
        self.assertFalse((self.cache / ".locks").exists())
        self.assertEqual(self.server.since(mark), [])
        self.assertFalse((self.cache / "models--org--absent").exists())
        self.assertFalse((self.model / "refs/absent").exists())

    def test_offline_it_serves_what_it_served(self):
        with open(self.snapshot("models--org--model") / "sub/model.safetensors", "rb") as file:
            file.read()
        again = self.remount(self.m, HUBVFS_OFFLINE="1")
        self.cache = pathlib.Path(again / ".hf-cache")
        there = self.snapshot("models--org--model") / "sub/model.safetensors"
        self.assertEqual(there.read_bytes(), WEIGHTS)
        self.assertIn("models--org--model", os.listdir(self.cache))


if __name__ == "__main__":
    support.main()
