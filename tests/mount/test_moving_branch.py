# SPDX-License-Identifier: Apache-2.0
"""A branch that moves while it is read: a long load has one commit, later walks see the new one."""

import json
import os
import time

import support
from support import MountTestCase, content, run, wait_for

SHARDS = 40
SIZE = 20_000
SETTLE = 4  # seconds; metadata.settle
OPTIONS = f"metadata.ttl=1s,metadata.settle={SETTLE}s"
OLD, NEW = "old", "new"


def shard(number: int) -> str:
    return f"model-{number + 1:05}-of-{SHARDS:05}.bin"


class MovingBranch(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        for commit in (OLD, NEW):
            base = f"org/model/.hubvfs-revisions/{commit}"
            for number in range(SHARDS):
                support.write_file(folder, f"{base}/{shard(number)}", content(commit + shard(number), SIZE))
            support.write_file(folder, f"{base}/which.txt", commit.encode())
        cls.write_branch(folder, OLD)

    @classmethod
    def write_branch(cls, folder, commit):
        """As README says: renamed over the old one, and the branch moves at once."""
        support.write_file(folder, "org/model/.next.json", json.dumps({"branches": {"main": commit}}).encode())
        os.rename(f"{folder}/org/model/.next.json", f"{folder}/org/model/.hubvfs-repo.json")

    def move(self, commit):
        before = self.commit_at_server()
        self.write_branch(self.served, commit)
        wait_for(lambda: self.commit_at_server() != before, "serve to show the branch moved")

    def commit_at_server(self):
        status, body = self.server.get("/api/models/org/model/revision/main")
        return json.loads(body)["sha"] if status == 200 else None

    def setUp(self):
        super().setUp()
        if self.read_at_server() != OLD:
            self.move(OLD)

    def read_at_server(self):
        return self.server.get("/org/model/resolve/main/which.txt")[1].decode()

    def await_other_commit(self, root):
        """Without an open: each would put it off."""
        commit = os.getxattr(root, "user.hubvfs.commit")
        wait_for(lambda: os.getxattr(root, "user.hubvfs.commit") != commit,
                 "the new commit to be shown", 60)

    def which(self, root):
        with open(os.path.join(root, "which.txt"), "rb", buffering=0) as file:
            return file.read().decode()

    def test_a_long_load_has_one_commit_and_then_the_new_one_is_seen(self):
        mount = self.mount(options=OPTIONS)
        root = mount / "org/model"
        kept = open(os.path.join(root, shard(0)), "rb", buffering=0)
        self.addCleanup(kept.close)
        for number in range(SHARDS):
            if number == 5:
                self.move(NEW)
            with open(os.path.join(root, shard(number)), "rb") as file:
                self.assertEqual(file.read(), content(OLD + shard(number), SIZE), shard(number))
            time.sleep(0.2)  # eight seconds in all: beyond metadata.ttl and metadata.settle
        self.await_other_commit(root)
        self.assertEqual(self.which(root), NEW)
        for number in (0, SHARDS - 1):
            with open(os.path.join(root, shard(number)), "rb") as file:
                self.assertEqual(file.read(), content(NEW + shard(number), SIZE))
        self.assertEqual(kept.read(), content(OLD + shard(0), SIZE), "an open file keeps its bytes")

    def test_a_name_with_the_commit_stays(self):
        mount = self.mount(options=OPTIONS)
        commit = os.getxattr(mount / "org/model", "user.hubvfs.commit").decode()
        pinned = mount / f"org/model@{commit}"
        self.assertEqual(self.which(pinned), OLD)
        self.move(NEW)
        self.await_other_commit(mount / "org/model")
        self.assertEqual(self.which(mount / "org/model"), NEW)
        self.assertEqual(self.which(pinned), OLD)
        with open(os.path.join(pinned, shard(7)), "rb") as file:
            self.assertEqual(file.read(), content(OLD + shard(7), SIZE))

    def test_by_id_a_load_names_its_commit_once(self):
        """huggingface_hub reads refs/main, then goes by the commit: it may not even be open."""
        mount = self.mount(options=OPTIONS)
        cache = mount / ".hf-cache/models--org--model"
        with open(cache + "/refs/main") as file:
            commit = file.read()
        self.move(NEW)
        time.sleep(SETTLE + 2)
        run("ls", "-R", cache)
        for number in range(SHARDS):
            with open(f"{cache}/snapshots/{commit}/{shard(number)}", "rb") as file:
                self.assertEqual(file.read(), content(OLD + shard(number), SIZE))


if __name__ == "__main__":
    support.main()
