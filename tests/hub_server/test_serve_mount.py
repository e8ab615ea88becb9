# SPDX-License-Identifier: Apache-2.0
"""`hubvfs serve` on a hubvfs mount: the same repo again, its ids taken from the mount."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../mount"))
import support  # noqa: E402

ATTRIBUTES = b"*.bin filter=lfs\n"
FILES = {"config.json": b'{"a": 1}\n', "empty": b"", "sub/small.bin": b"LFS by its name",
         "model.safetensors": support.content("weights", 11 << 20), "large.txt": b"x" * 100_000}


class ServeMount(support.MountTestCase):
    REPOS = ("org/model",)

    @classmethod
    def make_tree(cls, folder):
        for path, data in {**FILES, ".gitattributes": ATTRIBUTES}.items():
            support.write_file(os.path.join(folder, "org/model"), path, data)

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
