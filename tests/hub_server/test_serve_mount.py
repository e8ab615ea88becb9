# SPDX-License-Identifier: Apache-2.0
"""`hubvfs serve` and hubvfs mounts: revisions by their names; a mount served again, its ids taken from
the mount."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../mount"))
import support  # noqa: E402

ATTRIBUTES = b"*.bin filter=lfs\n"
SETTINGS = {"branches": {"feat/x": "feature"}, "tags": {"v1.0": "one"}, "pulls": {"1": "pull"}}
FILES = {"config.json": b'{"a": 1}\n', "empty": b"", "sub/small.bin": b"LFS by its name",
         "model.safetensors": support.content("weights", 11 << 20), "large.txt": b"x" * 100_000}


class ServeMount(support.MountTestCase):
    REPOS = ("org/model",)

    @classmethod
    def make_tree(cls, folder):
        tree = {**FILES, ".gitattributes": ATTRIBUTES,
                ".hubvfs-repo.json": json.dumps(SETTINGS).encode()}
        for name in ("feature", "one", "pull"):
            tree[f".hubvfs-revisions/{name}/which.txt"] = name.encode()
        for path, data in tree.items():
            support.write_file(os.path.join(folder, "org/model"), path, data)

    def test_branches_tags_and_pull_requests_are_mounted_by_their_names(self):
        mount = self.mount()
        route = "/api/models/org/model/revision/"
        for name, which in (("v1.0", "one"), ("feat%2Fx", "feature"), ("refs%2Fpr%2F1", "pull")):
            support.wait_for(lambda n=name: self.server.get(route + n)[0] == 200, name, 120)
            commit = json.loads(self.server.get(route + name)[1])["sha"]
            for shown in (name, commit):
                self.assertEqual(os.listdir(mount / f"org/model@{shown}"), ["which.txt"])
                with open(mount / f"org/model@{shown}/which.txt") as file:
                    self.assertEqual(file.read(), which)
        self.assertFalse(os.path.exists(mount / "org/model@v2.0"))

    def test_the_mounted_repo_is_served_with_the_same_ids_and_not_read_for_them(self):
        mount = self.mount()
        self.assertEqual(sorted(os.listdir(mount / "org/model")),
                         [".gitattributes", "config.json", "empty", "large.txt",
                          "model.safetensors", "sub"])
        mark = self.server.mark()
        again = support.Server(mount.path, os.path.join(self.work, "again"), self.tag)
        self.addCleanup(again.close)
        again.wait_ready("org/model")
        tree = "/api/models/org/model/tree/main?recursive=true"
        self.assertEqual(again.get(tree), self.server.get(tree))
        sha = json.loads(again.get("/api/models/org/model")[1])["sha"]
        self.assertEqual(sha, json.loads(self.server.get("/api/models/org/model")[1])["sha"])
        read = {e["path"] for e in self.server.since(mark) if e["status"] in (200, 206, 302, 307)
                and ("/resolve" in e["path"] or e["origin"] == "content")}
        self.assertTrue(all(path.endswith("/.gitattributes") for path in read), read)
        for path, data in FILES.items():
            self.assertEqual(again.get(f"/org/model/resolve/{sha}/{path}"), (200, data), path)


if __name__ == "__main__":
    support.main()
