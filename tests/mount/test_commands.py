# SPDX-License-Identifier: Apache-2.0
"""Commands on a cache: while a daemon serves mounts of it, and when none runs."""

import json
import os
import shutil
import signal
import subprocess

import support
from support import MIB, MountTestCase, binary, clean_environment, content, run

SIZE = 12 * MIB + 5


class Commands(MountTestCase):
    REPOS = ("org/model",)

    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/config.json", b'{"a": 1}\n')
        support.write_file(folder, "org/model/weights.safetensors", content("weights", SIZE))

    def setUp(self):
        super().setUp()
        self.cache = self.place("cache")
        self.addCleanup(shutil.rmtree, self.cache, ignore_errors=True)

    def place(self, name):
        return os.path.join(self.work, f"{name}-{self._testMethodName}")

    def environment(self, url="", **more):
        return clean_environment(self.work, self.tag, HF_ENDPOINT=url or self.server.url, **more)

    def hubvfs(self, *arguments, options="", **more):
        """A command on this test's cache, ended or not."""
        return run(binary(), *arguments, "-o", f"cache.path={self.cache}{options}", check=False,
                   env=self.environment(**more))

    def told(self, *arguments, **more):
        """What a command that must succeed says with --json."""
        done = self.hubvfs(*arguments, "--json", **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refused(self, *arguments, **more):
        done = self.hubvfs(*arguments, **more)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def start(self, *arguments, options="", **more):
        """The same, under way; ended with the test."""
        process = subprocess.Popen(
            [binary(), *arguments, "-o", f"cache.path={self.cache}{options}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment(**more))
        self.addCleanup(process.communicate, timeout=support.PATIENCE)
        self.addCleanup(process.kill)
        return process

    def mounted(self, **more):
        return self.mount(cache=os.path.basename(self.cache), **more)

    def test_counters_with_a_daemon_and_without(self):
        self.assertIn("there is no cache at", self.refused("cache", "stats"))
        self.assertFalse(os.path.exists(self.cache), "a cache was made to be looked at")
        mount = self.mounted()
        run("cat", mount / "org/model/config.json")
        support.wait_for(lambda: self.told("cache", "stats")["cache"]["blobs"] == 1, "the file")
        with_daemon = self.told("cache", "stats")
        self.assertGreater(with_daemon["hub"]["requests"], 0)
        self.assertEqual(mount.stop(), 0, mount.log())
        alone = self.told("cache", "stats")
        self.assertEqual(alone["cache"]["bytes_used"], with_daemon["cache"]["bytes_used"])
        self.assertEqual(alone["hub"]["requests"], 0)
        self.assertIn(" of ", self.hubvfs("cache", "stats").stdout)
        self.assertEqual(support.processes_naming(self.cache), {})

    def test_wrong_usage(self):
        for arguments in (("cache",), ("cache", "nope"), ("cache", "stats", "extra")):
            done = self.hubvfs(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("hubvfs cache", done.stderr)
        done = run(binary(), "cache", "stats", "-o", "cache.sise=1", check=False,
                   env=self.environment())
        self.assertEqual(done.returncode, 2)
        self.assertIn("cache.sise", done.stderr)


if __name__ == "__main__":
    support.main()
