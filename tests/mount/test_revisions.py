# SPDX-License-Identifier: Apache-2.0
"""Names of repos and revisions, each a path: branches, tags, pulls, commits, renamed ids, all types.

Mounts of one repo alone: test_many_mounts.py.
"""

import json
import os

import support
from support import MountTestCase

XATTRS = ("repo", "revision", "commit", "oid", "etag", "size", "cached", "verified", "namespace")


class Revisions(MountTestCase):
    REPOS = ("org/model", "org/Model", "org/other")

    @classmethod
    def make_tree(cls, folder):
        for path in ("org/model/which.txt", "org/model/.hubvfs-revisions/old/which.txt",
                     "org/model/.hubvfs-revisions/fix/which.txt", "org/Model/which.txt",
                     "org/other/which.txt", "datasets/org/data/which.txt",
                     "datasets/org/data/train/part/0.txt", "spaces/org/app/which.txt"):
            support.write_file(folder, path, path.encode())
        support.write_file(folder, "org/model/.hubvfs-repo.json", json.dumps({
            "branches": {"feat/x": "old"}, "tags": {"v1.0": "old"}, "pulls": {"1": "fix"},
            "aliases": ["org/former", "legacy-model"]}).encode())

    def setUp(self):
        super().setUp()
        self.server.wait_ready(*self.REPOS)

    def which(self, path):
        with open(os.path.join(path, "which.txt")) as file:
            return file.read()

    def test_each_revision_is_a_path(self):
        mount = self.mount()
        old = "org/model/.hubvfs-revisions/old/which.txt"
        self.assertEqual(self.which(mount / "org/model"), "org/model/which.txt")
        for name, wanted in {"main": "org/model/which.txt", "feat%2Fx": old, "v1.0": old,
                             "refs%2Fpr%2F1": "org/model/.hubvfs-revisions/fix/which.txt"}.items():
            path = mount / f"org/model@{name}"
            self.assertEqual(self.which(path), wanted, name)
            commit = os.getxattr(path, "user.hubvfs.commit").decode()
            self.assertEqual(os.getxattr(path, "user.hubvfs.revision").decode(), name.replace("%2F", "/"))
            self.assertEqual(self.which(mount / f"org/model@{commit}"), wanted, commit)
        for name in ("v2.0", "feat/x", "feat", "0" * 40, "refs%2Fpr%2F2", ""):
            with self.assertRaises(OSError, msg=name):
                self.which(mount / f"org/model@{name}")

    def test_a_name_it_had_before_is_a_link(self):
        mount = self.mount()
        self.assertEqual(os.readlink(mount / "org/former"), "../org/model")
        self.assertEqual(os.readlink(mount / "legacy-model"), "org/model")
        for name in ("org/former", "legacy-model"):
            self.assertEqual(self.which(mount / name), "org/model/which.txt")
            self.assertEqual(os.path.realpath(mount / name), os.path.realpath(mount / "org/model"))

    def test_case_is_kept(self):
        mount = self.mount()
        self.assertEqual(sorted(os.listdir(mount / "org")), ["Model", "model", "other"])
        self.assertEqual(self.which(mount / "org/Model"), "org/Model/which.txt")
        self.assertEqual(self.which(mount / "org/model"), "org/model/which.txt")
        with self.assertRaises(FileNotFoundError):
            os.stat(mount / "org/model/WHICH.TXT")
        # An id in another case is one that the Hub redirects.
        self.assertEqual(os.readlink(mount / "org/OTHER"), "../org/other")

    def test_datasets_and_spaces_are_mounts_of_their_own(self):
        for kind, repo in (("dataset", "org/data"), ("space", "org/app")):
            mount = self.mount(arguments=("--type", kind))
            self.assertEqual([n for n in os.listdir(mount.path) if not n.startswith(".")], ["org"])
            self.assertEqual(self.which(mount / repo), f"{kind}s/{repo}/which.txt")
            with self.assertRaises(FileNotFoundError):
                os.stat(mount / "org/model")

    def test_every_attribute_is_told(self):
        mount = self.mount()
        file = mount / "org/model@v1.0/which.txt"
        names = {name.removeprefix("user.hubvfs.") for name in os.listxattr(file)}
        self.assertEqual(names, set(XATTRS))
        values = {name: os.getxattr(file, "user.hubvfs." + name).decode() for name in XATTRS}
        self.assertEqual((values["repo"], values["revision"], values["namespace"], values["cached"]),
                         ("org/model", "v1.0", "public", "0"))
        self.assertEqual(values["size"], str(os.path.getsize(file)))
        self.assertIn(values["etag"].strip('"'), values["oid"])
        self.which(mount / "org/model@v1.0")
        support.wait_for(lambda: os.getxattr(file, "user.hubvfs.verified") == b"1", "it to be verified")
        self.assertEqual(os.getxattr(file, "user.hubvfs.cached"), values["size"].encode())
        self.assertEqual(os.getxattr(mount / "org/model", "user.hubvfs.hidden"), b"0")


if __name__ == "__main__":
    support.main()
