# SPDX-License-Identifier: Apache-2.0
"""An ordinary user mounts through fusermount3; nobody else gets in."""

import os
import shutil
import unittest

import support
from as_user import node_for_everybody
from support import MIB, MountTestCase, all_files, content, run, sha256_of

NOBODY = 65534


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"),
                     "needs root and setpriv, to become an ordinary user")
class OrdinaryUser(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/config.json", b'{"a": 1}\n')
        support.write_file(folder, "org/model/weights.safetensors", content("w", 12 * MIB))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Where that user may go: a home of their own, and the binary where they can run it.
        cls.theirs = os.path.join(cls.work, "theirs")
        os.makedirs(cls.theirs)
        shutil.copy2(support.binary(), os.path.join(cls.work, "hubvfs"))
        support.clean_environment(cls.theirs, cls.tag)
        for folder, _, _ in os.walk(cls.theirs):
            os.chown(folder, NOBODY, NOBODY)

    def as_user(self, *command, **more):
        return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command)

    def hubvfs(self, *arguments, check=True):
        return run(*self.as_user(os.path.join(self.work, "hubvfs"), *arguments), check=check,
                   cwd=self.theirs, env=support.clean_environment(
                       self.theirs, self.tag, HF_ENDPOINT=self.server.url))

    def test_mount_read_and_umount(self):
        point = os.path.join(self.theirs, "models")
        self.addCleanup(support.abort, point)
        self.hubvfs("mount", point, "-o", f"cache.path={self.theirs}/cache")
        listed = run(*self.as_user("ls", f"{point}/org/model")).stdout.split()
        self.assertEqual(listed, all_files(self.repo()))
        digest = run(*self.as_user("sha256sum", f"{point}/org/model/weights.safetensors")).stdout
        self.assertEqual(digest.split()[0], sha256_of(self.repo() + "/weights.safetensors"))
        owner = run(*self.as_user("stat", "-c", "%u %g", f"{point}/org/model/config.json")).stdout
        self.assertEqual(owner.split(), [str(NOBODY), str(NOBODY)])
        # The kernel itself keeps everybody else out, root included.
        done = run("cat", f"{point}/org/model/config.json", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Permission denied", done.stderr)
        self.assertIn('"hub"', self.hubvfs("status", point, "--json").stdout)
        self.hubvfs("umount", point)
        self.assertEqual(support.mounts_below(point), [])
        support.wait_for(lambda: not support.processes_naming(point), "its processes to end")

    def test_a_folder_of_somebody_else_is_refused(self):
        point = os.path.join(self.work, "not-theirs")
        os.makedirs(point, mode=0o755)
        done = self.hubvfs("mount", point, "-o", f"cache.path={self.theirs}/cache2", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(point, done.stderr)
        self.assertEqual(support.mounts_below(point), [])


if __name__ == "__main__":
    node_for_everybody()
    support.main()
