# SPDX-License-Identifier: Apache-2.0
"""What the tests of commands on a cache share: a cache for each test, and commands on it."""

import json
import os
import shutil
import subprocess

import support
from proxy import FaultyProxy
from support import MountTestCase, all_files, binary, clean_environment, run, sha256_of


class CommandTestCase(MountTestCase):
    def setUp(self):
        super().setUp()
        self.cache = self.place("cache")
        self.addCleanup(shutil.rmtree, self.cache, ignore_errors=True)

    def place(self, name):
        return os.path.join(self.work, f"{name}-{self._testMethodName}")

    def environment(self, url="", **more):
        return clean_environment(self.work, self.tag,
                                 **{"HF_ENDPOINT": url or self.server.url, **more})

    def hubvfs(self, *arguments, options="", **more):
        """A command on this test's cache, whatever comes of it."""
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
        told = [line for line in done.stdout.splitlines() if "%, " not in line]  # but for progress
        self.assertEqual(told, [])
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

    def proxy(self):
        proxy = FaultyProxy(self.server.url)
        self.addCleanup(proxy.close)
        return proxy

    def workers(self):
        return [pid for pid, words in support.processes_naming(self.cache).items()
                if " internal-worker " in words]

    def indexed(self):
        """Whether the blocks that came are found after a crash: what is written last is the index."""
        maps = [os.path.join(folder, name) for folder, _, names in os.walk(self.cache + "/blobs")
                for name in names if name.endswith(".map")]
        written = [os.stat(path).st_mtime_ns for path in maps]
        # The clock of files is coarse: all of it may be one instant.
        return written and os.stat(self.cache + "/index/data.mdb").st_mtime_ns >= max(written)

    def assert_reads_as_served(self, folder):
        self.assertEqual(all_files(folder), all_files(self.repo()))
        for name in all_files(folder):
            self.assertEqual(sha256_of(os.path.join(folder, name)),
                             sha256_of(os.path.join(self.repo(), name)), name)

    def mounted(self, **more):
        return self.mount(cache=os.path.basename(self.cache), **more)
