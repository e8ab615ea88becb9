# SPDX-License-Identifier: Apache-2.0
"""A crawl has a quarter of the Hub's API quota, and waits; readers do not notice it."""

import os
import signal
import subprocess
import unittest

import support
from proxy import FaultyProxy, Quota
from support import MountTestCase, wait_for
from test_restart import kernel_resends

CRAWLED = [f"many/repo-{number:02}" for number in range(20)]  # two requests each: commit, listing
QUOTA = 40


class Crawl(MountTestCase):
    REPOS = (*CRAWLED, "other/model")

    @classmethod
    def make_tree(cls, folder):
        for repo in cls.REPOS:
            support.write_file(folder, f"{repo}/config.json", b'{"repo": "%s"}\n' % repo.encode())

    def way(self, window: float) -> FaultyProxy:
        proxy = FaultyProxy(self.server.url)
        proxy.quota = Quota(QUOTA, window)
        self.addCleanup(proxy.close)
        return proxy

    def crawl(self, mount) -> subprocess.Popen:
        """`find` over the repos, which waits once it has had its quarter."""
        find = subprocess.Popen(["find", mount / "many", "-type", "f"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(find.stdout.close)
        self.addCleanup(find.wait)
        self.addCleanup(find.kill)
        wait_for(lambda: mount.status()["hub"]["crawl_waiting"] > 0, "the crawl to wait")
        self.assertIsNone(find.poll())
        return find

    def test_readers_go_on_while_it_waits_and_status_says_so(self):
        proxy = self.way(window=300)
        mount = self.mount(url=proxy.url)
        os.stat(mount / "many")
        before = len(proxy.seen)
        find = self.crawl(mount)
        asked = [path for path, _ in proxy.seen[before:]]
        self.assertEqual(len(asked), QUOTA // 4, asked)
        self.assertEqual(support.run("cat", mount / "other/model/config.json").stdout,
                         '{"repo": "other/model"}\n')
        # The repo that it waits for is anybody's as well.
        self.assertEqual(support.run("cat", mount / CRAWLED[-1] + "/config.json").stdout,
                         '{"repo": "%s"}\n' % CRAWLED[-1])
        self.assertEqual(len(os.listdir(mount / "many")), len(CRAWLED), "what is known is listed")
        text = support.run(support.binary(), "status", mount.path).stdout
        self.assertRegex(text, r"1 listing waits: a crawl \(find, updatedb\) has used its quarter "
                               r"of the Hub's API quota; it goes on in \d+ s")
        self.assertEqual(mount.status()["hub"]["crawl_waiting"], 1)
        self.assertIsNone(find.poll())
        self.assertEqual(sum("waits for the next" in line for line in mount.log_lines()), 1)

    def test_it_can_be_killed_while_it_waits(self):
        mount = self.mount(url=self.way(window=300).url)
        for number in (signal.SIGINT, signal.SIGKILL):
            find = self.crawl(mount)
            find.send_signal(number)
            self.assertEqual(find.wait(support.PATIENCE), -number)
        self.assertEqual(support.run("cat", mount / "other/model/config.json").stdout,
                         '{"repo": "other/model"}\n')

    @unittest.skipUnless(kernel_resends(), "Linux 6.9 or newer is needed to send requests again")
    def test_the_next_worker_has_it_wait(self):
        mount = self.mount(url=self.way(window=300).url)
        find = self.crawl(mount)
        keeper = mount.process.pid

        def workers():
            with open(f"/proc/{keeper}/task/{keeper}/children") as file:
                return file.read().split()

        dead = workers()
        os.kill(int(dead[0]), signal.SIGKILL)
        wait_for(lambda: workers() not in ([], dead), "another worker")
        wait_for(lambda: mount.status()["hub"]["crawl_waiting"] > 0, "the crawl to wait again")
        self.assertIsNone(find.poll())
        find.send_signal(signal.SIGINT)
        self.assertEqual(find.wait(support.PATIENCE), -signal.SIGINT)

    def test_the_mount_ends_while_it_waits(self):
        mount = self.mount(url=self.way(window=300).url)
        find = self.crawl(mount)
        self.assertEqual(mount.stop(), 0, mount.log())
        self.assertFalse(mount.is_mounted())
        self.assertNotEqual(find.wait(support.PATIENCE), 0)

    def test_it_goes_on_with_each_window_and_ends(self):
        proxy = self.way(window=3)
        mount = self.mount(url=proxy.url)
        os.stat(mount / "many")
        find = self.crawl(mount)
        output, _ = find.communicate(timeout=support.PATIENCE)
        self.assertEqual(sorted(output.split()),
                         [mount / repo + "/config.json" for repo in CRAWLED])
        self.assertEqual(find.returncode, 0)
        self.assertEqual(mount.status()["hub"]["crawl_waiting"], 0)
        self.assertEqual(mount.status()["hub"]["failures"], 0)
        # Two were for the root and the owner's name. The client's windows are not quite the Hub's.
        self.assertLessEqual(max(proxy.quota.used.values()), 2 * QUOTA // 4 + 2)


if __name__ == "__main__":
    support.main()
