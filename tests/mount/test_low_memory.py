# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of several files on little memory and a thin link (README, "Large models, little
memory"): only what a program touches comes in, and what two of them want comes once."""

import json
import os
import subprocess
import sys
import unittest

import shards
import support
from support import MIB, MountTestCase, content

SHARDS = 6
TENSORS = 4
TENSOR = 4 * MIB
TOTAL = SHARDS * TENSORS * TENSOR  # of tensors
LIMIT = 64 * MIB  # of memory, for daemon and loader together: less than the checkpoint
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shards.py")


class ControlGroup:
    """One with a limit of memory, below this process' own; its prefix starts a program in it."""

    def __init__(self, name: str, limit: int):
        self.path = ""
        with open("/proc/self/cgroup") as file:
            groups = [line.strip().split(":", 2) for line in file]
        for root, names, knob in (("/sys/fs/cgroup/memory", ["memory"], "memory.limit_in_bytes"),
                                  ("/sys/fs/cgroup", [""], "memory.max")):
            for _, controllers, own in groups:
                if controllers.split(",") != names:
                    continue
                for parent in (root + own, root):  # in a container the path may be the host's
                    if self._make(os.path.join(parent, name), knob, limit):
                        return
        raise unittest.SkipTest("no control group with a limit of memory can be made here")

    def _make(self, path: str, knob: str, limit: int) -> bool:
        try:
            os.mkdir(path)
        except OSError:
            return False
        try:
            with open(os.path.join(path, knob), "w") as file:
                file.write(str(limit))
        except OSError:
            os.rmdir(path)
            return False
        self.path = path
        self.prefix = ("sh", "-c", f"echo $$ > '{path}/cgroup.procs' && exec \"$@\"", "sh")
        return True

    def killed(self) -> int:
        """How many processes the kernel has killed there for lack of memory."""
        for name in ("memory.oom_control", "memory.events"):
            try:
                with open(os.path.join(self.path, name)) as file:
                    return int(dict(line.split() for line in file)["oom_kill"])
            except OSError:
                continue
        raise AssertionError("the kernel tells nothing of the group")

    def close(self) -> None:
        support.wait_for(lambda: self._empty(), "the control group to be left")
        os.rmdir(self.path)

    def _empty(self) -> bool:
        with open(os.path.join(self.path, "cgroup.procs")) as file:
            return file.read() == ""


class LowMemory(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        cls.digests = shards.write(os.path.join(folder, "org/model"), SHARDS, TENSORS, TENSOR, content)

    def loader(self, root, *tensors, prefix=()):
        return subprocess.Popen([*prefix, sys.executable, "-B", SCRIPT, root, *tensors],
                                stdout=subprocess.PIPE, text=True)

    def digests_of(self, loader) -> dict:
        out, _ = loader.communicate(timeout=support.PATIENCE * 4)
        self.assertEqual(loader.returncode, 0)
        return json.loads(out)

    def test_only_what_is_touched_comes(self):
        mount = self.mount()
        wanted = {name: self.digests[name] for name in ("layer.1.weight.2", "layer.4.weight.0")}
        mark = self.server.mark()
        self.assertEqual(self.digests_of(self.loader(mount / "org/model", *wanted)), wanted)
        entries = self.server.settled_since(mark)
        got = support.content_bytes(entries)
        print(f"2 of {SHARDS * TENSORS} tensors, {2 * TENSOR:,} bytes: {got:,} fetched")
        # Each, its header's block, and what the kernel reads beyond its ends.
        self.assertLessEqual(got, 2 * (TENSOR + 4 * MIB))
        for number in (0, 2, 3, 5):
            name = shards.shard_name(number, SHARDS)
            self.assertFalse([e for e in entries if name in e["path"]], "a file that nobody opened")

    def test_small_blocks_cost_less(self):
        mount = self.mount(options="cache.block_size=256K")
        name = "layer.3.weight.1"
        mark = self.server.mark()
        self.assertEqual(self.digests_of(self.loader(mount / "org/model", name)),
                         {name: self.digests[name]})
        entries = self.server.settled_since(mark)
        got = support.content_bytes([e for e in entries if shards.INDEX not in e["path"]])
        print(f"1 tensor, {TENSOR:,} bytes, blocks of 256 KiB: {got:,} fetched")
        # By the kernel, 1 MiB at a time: the header's, and from half of one before the tensor to all of
        # the one behind that in which it ends, where memcpy goes forward (x86 "rep movsb").
        self.assertLessEqual(got, TENSOR + 3 * MIB)

    def test_two_loaders_share_one_download(self):
        mount = self.mount()
        mark = self.server.mark()
        loaders = [self.loader(mount / "org/model") for _ in range(2)]
        for loader in loaders:
            self.assertEqual(self.digests_of(loader), self.digests)
        got = support.content_bytes(self.server.settled_since(mark))
        size = sum(os.path.getsize(os.path.join(self.repo(), name)) for name in os.listdir(self.repo()))
        print(f"two loaders of {size:,} bytes: {got:,} fetched")
        self.assertEqual(got, size)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to make a control group")
    def test_a_checkpoint_larger_than_the_memory_there_is(self):
        if os.environ.get("HUBVFS_SANITIZED"):
            self.skipTest("a sanitizer takes more memory than that by itself")
        group = ControlGroup(self.tag, LIMIT)
        self.addCleanup(group.close)
        mount = self.mount(prefix=group.prefix)
        loader = self.loader(mount / "org/model", prefix=group.prefix)
        self.assertEqual(self.digests_of(loader), self.digests)
        self.assertEqual(group.killed(), 0)
        print(f"{TOTAL:,} bytes loaded within {LIMIT:,} of memory, by the daemon and its cache too")


if __name__ == "__main__":
    support.main()
