# SPDX-License-Identifier: Apache-2.0
"""What it costs to list a large repo, and what it costs again: requests are counted."""

import os
import subprocess

import support
from proxy import FaultyProxy
from support import MountTestCase, all_files, drop_caches, is_metadata, run, wait_for

FILES = 5000
FOLDERS = 50


class Listing(MountTestCase):
    REPOS = ("org/large",)

    @classmethod
    def make_tree(cls, folder):
        for number in range(FILES):
            support.write_file(folder, f"org/large/part {number % FOLDERS:02}/file-{number:05}.json",
                               b'{"number": %d}\n' % number)

    def setUp(self):
        super().setUp()
        # A recursive listing names the folders too; the Hub gives 1,000 entries a page.
        self.pages = -(-(FILES + FOLDERS) // 1000)

    def list_all(self, mount):
        text = run("ls", "-lR", mount / "org/large").stdout
        self.assertEqual(text.count(".json"), FILES)

    def test_listing_costs_its_pages_and_then_nothing(self):
        mount, mark = self.mount(), self.server.mark()
        self.list_all(mount)
        cold = self.server.since(mark)
        print(f"ls -lR of {FILES} files: {len(cold)} requests, {self.pages} pages")
        self.assertLessEqual(len(cold), self.pages + 3, [e["path"] for e in cold])
        self.assertTrue(all(is_metadata(e) for e in cold), "a listing fetches no content")

        mark = self.server.mark()
        self.list_all(mount)
        drop_caches()  # so that the kernel asks the daemon, not only its own memory
        self.list_all(mount)
        self.assertEqual(all_files(mount / "org/large"), all_files(self.repo()))
        self.assertEqual(self.server.since(mark), [])

    def test_a_restart_costs_no_request(self):
        mount = self.mount()
        self.list_all(mount)
        mark = self.server.mark()
        again = self.remount(mount)
        self.list_all(again)
        self.assertEqual(self.server.since(mark), [])

    def test_absent_names_cost_no_request_once_the_directory_is_known(self):
        mount = self.mount()
        os.listdir(mount / "org/large")
        mark = self.server.mark()
        for number in range(200):
            for path in (f"org/large/absent-{number}", f"org/large/part 07/absent-{number}.json",
                         f"org/large/no such folder {number}/x"):
                with self.assertRaises(FileNotFoundError):
                    os.stat(mount / path)
        drop_caches()
        for number in range(200):
            with self.assertRaises(FileNotFoundError):
                os.stat(mount / f"org/large/absent-{number}")
        self.assertEqual(self.server.since(mark), [])

    def test_absent_repos_are_remembered(self):
        mount = self.mount()
        with self.assertRaises(FileNotFoundError):
            os.stat(mount / "org/absent")
        mark = self.server.mark()
        for _ in range(20):
            with self.assertRaises(FileNotFoundError):
                os.stat(mount / "org/absent")
        drop_caches()
        with self.assertRaises(FileNotFoundError):
            os.stat(mount / "org/absent/config.json")
        self.assertEqual(self.server.since(mark), [])

    def test_names_that_the_hub_would_refuse_are_not_asked_for(self):
        mount = self.mount()
        os.listdir(mount / "org")  # to be walked through without a request
        mark = self.server.mark()
        for name in ("a--b", "-x", "x.git", "a..b", "with space", "ünï", "x" * 97, "org/a--b",
                     "org/.x", "org/x ", "org/x@a..b", "org/large@re?v"):
            with self.assertRaises(FileNotFoundError, msg=name):
                os.stat(mount / name)
        self.assertEqual(self.server.since(mark), [])

    def test_names_of_a_folder_are_looked_up_at_once(self):
        proxy = FaultyProxy(self.server.url)
        self.addCleanup(proxy.close)
        mount = self.mount(url=proxy.url)
        known = os.listdir(mount / "org/large")
        proxy.set_fault("stall", where="metadata")
        lookups = []
        for number in range(2):
            lookups.append(subprocess.Popen(
                ["stat", mount / f"org/absent-{number}"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            self.addCleanup(lookups[-1].wait)
            self.addCleanup(lookups[-1].kill)

        def asked(number):
            return any(f"absent-{number}" in path for path, _ in proxy.seen)

        wait_for(lambda: asked(0) and asked(1), "the second not to wait for the first")
        self.assertEqual(sorted(run("ls", mount / "org/large").stdout.splitlines()), sorted(known))
        self.assertEqual([lookup.poll() for lookup in lookups], [None, None])
        proxy.release()
        for lookup in lookups:
            self.assertIn("No such file", lookup.communicate(timeout=support.PATIENCE)[1])

    def test_a_commit_in_the_name_is_the_same_tree(self):
        mount = self.mount()
        commit = os.getxattr(mount / "org/large", "user.hubvfs.commit").decode()
        self.assertRegex(commit, "^[0-9a-f]{40}$")
        self.assertEqual(all_files(mount / f"org/large@{commit}"), all_files(self.repo()))
        with self.assertRaises(FileNotFoundError):
            os.stat(mount / f"org/large@{'0' * 40}")


if __name__ == "__main__":
    support.main()
