# SPDX-License-Identifier: Apache-2.0
"""Names that no filesystem may show are left out of a listing, and hide nothing else."""

import json
import os
import random
import unittest

import hostile_names
import support
from proxy import FaultyProxy
from support import MountTestCase, content, run

OWN = {b"config.json": b"{}\n", b"good/weights.bin": content("weights", 70_000)}
REPO_IDS = ("../x", "org/..", "org/a/b", "", "org/", "/abs", "org/a b", "org/x" * 40, "org/\n", "org/.git",
            "org/a--b", "org/-a", "org/nul\0", ".", "..", "org/model@main", "org/\ud800")


class HostileNames(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        for path, data in OWN.items():
            support.write_file(folder, "org/model/" + path.decode(), data)

    def setUp(self):
        super().setUp()
        self.proxy = FaultyProxy(self.server.url)
        self.addCleanup(self.proxy.close)

    def serve(self, cases: list) -> list:
        """Puts them into the listing of the repo, between its own entries; all that it then has."""
        own = [(path, "file") for path in OWN] + [(b"good", "directory")]
        listing = [*cases[:len(cases) // 2], *own, *cases[len(cases) // 2:]]

        def rewrite(path: str, body: bytes) -> bytes:
            if "/tree/" not in path:
                return body
            real = {entry["path"].encode(): json.dumps(entry).encode() for entry in json.loads(body)}
            return b"[" + b",".join(
                real[name] if (name, kind) in own and name in real else hostile_names.entry_json(name, kind)
                for name, kind in listing) + b"]"

        self.proxy.rewrite = rewrite
        return listing

    def check(self, cases: list) -> None:
        files, directories, hidden = hostile_names.shown(self.serve(cases))
        self.assertGreater(hidden, 0)
        mount = self.mount(url=self.proxy.url)
        root = os.fsencode(mount / "org/model")
        found_files, found_directories, counted = set(), set(), 0
        for base, _, names in os.walk(root, onerror=self.fail):
            below = os.path.relpath(base, root)
            if below != b".":
                found_directories.add(below)
            found_files.update(os.path.normpath(os.path.join(below, name)) for name in names)
            counted += int(os.getxattr(base, "user.hubvfs.hidden"))
            self.assertEqual(len(os.listdir(base)), len(set(os.listdir(base))))
        self.assertEqual(found_files ^ files, set())
        self.assertEqual(found_directories ^ directories, set())
        self.assertEqual(counted, hidden)
        for path in files:
            self.assertTrue(os.path.isfile(os.path.join(root, path)), path)
        for path, data in OWN.items():
            with open(os.path.join(root, path), "rb") as file:
                self.assertEqual(file.read(), data)
        run("ls", "-lR", root)
        told = [line for line in mount.log_lines() if "left out" in line]
        self.assertEqual(len(told), 1, told)
        self.assertEqual(mount.stop(), 0)

    def test_fixed_cases(self):
        cases = hostile_names.fixed()
        self.assertGreaterEqual(len(cases), 300)
        self.check(cases)

    def test_each_kind_of_bad_name_by_itself(self):
        """So that none is hidden by what another does to the whole answer."""
        for what, bad in hostile_names.BAD.items():
            with self.subTest(what):
                self.check([(b"good/" + bad, "file"), (b"fine", "file")])

    def test_names_made_by_chance(self):
        seed = int(os.environ.get("HUBVFS_SEED", random.randrange(1 << 30)))
        print(f"HUBVFS_SEED={seed}")
        self.check(hostile_names.generated(seed, 4000 if support.FULL else 1000))

    def test_repos_with_such_names(self):
        def rewrite(path: str, body: bytes) -> bytes:
            if not path.startswith("/api/models?"):
                return body
            return json.dumps([*({"id": name} for name in REPO_IDS), *json.loads(body),
                               {"id": "org/later", "private": False}]).encode()

        self.proxy.rewrite = rewrite
        mount = self.mount(url=self.proxy.url)
        self.assertEqual(sorted(os.listdir(mount / "org")), ["later", "model"])
        self.assertEqual([name for name in os.listdir(mount.path) if not name.startswith(".")], ["org"])
        with open(mount / "org/model/config.json", "rb") as file:
            self.assertEqual(file.read(), OWN[b"config.json"])


if __name__ == "__main__":
    support.main()
