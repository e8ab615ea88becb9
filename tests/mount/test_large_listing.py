# SPDX-License-Identifier: Apache-2.0
"""Repos too large to be listed at once are listed a directory at a time: requests and memory are counted."""

import json
import os
import re
import shutil
import signal
import threading
import time

import support
from support import MountTestCase, all_files, binary, clean_environment, drop_caches, run

FOLDERS, FILES_A_FOLDER = 300, 80
CROWD = 24_000 if os.environ.get("HUBVFS_SANITIZED") else 100_000  # there all of it is slow
PAGE = 1000
GIVEN_UP = 21  # pages of the recursive listing until it has more than 20,000 entries
DEEP = "part 007/a/b/c/deep.json"


def touch(root, path):
    os.close(os.open(os.path.join(root, path), os.O_CREAT | os.O_WRONLY, 0o644))


def inodes(folder):
    """Every path below and its inode number."""
    found, waiting = {}, [""]
    while waiting:
        at = waiting.pop()
        with os.scandir(os.path.join(folder, at)) as entries:
            for entry in entries:
                path = os.path.join(at, entry.name)
                found[path] = entry.stat(follow_symlinks=False).st_ino
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
    return found


class LargeListing(MountTestCase):
    LIMIT = 900  # sanitizers make so many of anything slow
    REPOS = ("org/wide", "org/crowd")

    @classmethod
    def make_tree(cls, folder):
        wide, crowd = os.path.join(folder, "org/wide"), os.path.join(folder, "org/crowd")
        for number in range(FOLDERS):
            os.makedirs(f"{wide}/part {number:03}")
            for file in range(FILES_A_FOLDER):
                touch(wide, f"part {number:03}/file-{file:03}.json")
        support.write_file(wide, DEEP, b"deep\n")
        support.write_file(crowd, "config.json", b"{}\n")
        os.makedirs(f"{crowd}/all")
        for number in range(CROWD):
            touch(crowd, f"all/{number:06}.txt")

    def tree_requests(self, mark):
        return [e["path"] for e in self.server.since(mark) if "/tree/" in e["path"]]

    def worker(self, mount):
        found = [pid for pid, words in support.processes_naming(mount.cache).items()
                 if " internal-worker " in words]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def rss_anon(self, pid):
        with open(f"/proc/{pid}/status") as file:
            return int(re.search(r"RssAnon:\s+(\d+)", file.read())[1]) * 1024

    def test_a_walk_costs_a_listing_of_each_directory_on_it(self):
        mount, mark = self.mount(), self.server.mark()
        self.assertEqual(len(os.listdir(mount / "org/wide")), FOLDERS)
        at_root = self.tree_requests(mark)
        print(f"ls of {FOLDERS} folders with {FOLDERS * FILES_A_FOLDER} files: {len(at_root)} tree pages")
        self.assertEqual(len(at_root), GIVEN_UP + 1, at_root)

        mark = self.server.mark()
        with open(mount / f"org/wide/{DEEP}", "rb") as file:
            self.assertEqual(file.read(), b"deep\n")
        walked = self.tree_requests(mark)
        self.assertEqual([path.split("/", 7)[7] for path in walked],
                         ["part%20007", "part%20007/a", "part%20007/a/b", "part%20007/a/b/c"])

        mark = self.server.mark()
        with self.assertRaises(FileNotFoundError):
            os.stat(mount / "org/wide/part 007/absent")
        with self.assertRaises(FileNotFoundError):
            os.stat(mount / "org/wide/absent/x")
        os.stat(mount / "org/wide/part 008")
        self.assertEqual(self.server.since(mark), [], "what is in part 008 was not looked for")

    def test_listing_all_of_it_again_costs_nothing_not_even_offline(self):
        mount = self.mount()
        mark = self.server.mark()
        text = run("ls", "-lR", mount / "org/wide").stdout
        self.assertEqual(text.count(".json"), FOLDERS * FILES_A_FOLDER + 1)
        asked = self.tree_requests(mark)
        self.assertEqual(len(asked), GIVEN_UP + 1 + FOLDERS + 3)
        before = inodes(mount / "org/wide")
        self.assertEqual(sorted(before), sorted(inodes(self.repo("org/wide"))))
        self.assertEqual(len(set(before.values())), len(before), "each has a number of its own")

        mark = self.server.mark()
        self.assertEqual(run("ls", "-lR", mount / "org/wide").stdout, text)
        drop_caches()  # so that the kernel asks the daemon, not only its own memory
        self.assertEqual(run("ls", "-lR", mount / "org/wide").stdout, text)
        offline = self.remount(mount, HUBVFS_OFFLINE="1")
        self.assertEqual(inodes(offline / "org/wide"), before)
        self.assertEqual(self.server.since(mark), [])

    def test_a_directory_of_100000_comes_with_bounded_memory(self):
        mount, mark = self.mount(), self.server.mark()
        self.assertEqual(os.listdir(mount / "org/crowd"), ["all", "config.json"])
        self.assertEqual(len(self.tree_requests(mark)), GIVEN_UP + 1)
        pid, mark = self.worker(mount), self.server.mark()
        before = self.rss_anon(pid)
        samples, ended = [before], threading.Event()

        def sample():
            while not ended.wait(0.005):
                samples.append(self.rss_anon(pid))

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            began = time.monotonic()
            first = run("sh", "-c", 'ls -U "$1" | wc -l', "sh", mount / "org/crowd/all").stdout
            cold = time.monotonic() - began
            drop_caches()
            began = time.monotonic()
            second = run("sh", "-c", 'ls -U "$1" | wc -l', "sh", mount / "org/crowd/all").stdout
            warm = time.monotonic() - began
        finally:
            ended.set()
            thread.join()
        self.assertEqual((int(first), int(second)), (CROWD, CROWD))
        asked = self.tree_requests(mark)
        mib = 1 << 20
        print(f"ls -U of {CROWD}: {len(asked)} tree pages, {cold:.2f} s, again {warm:.2f} s; worker RssAnon "
              f"{before / mib:.1f} MiB before, {max(samples) / mib:.1f} at most, "
              f"{self.rss_anon(pid) / mib:.1f} after")
        self.assertEqual(len(asked), CROWD // PAGE)
        if not os.environ.get("HUBVFS_SANITIZED"):
            self.assertLess(max(samples) - before, 64 * mib)

    def test_a_directory_goes_on_where_a_killed_worker_was(self):
        mount = self.mount()
        with os.scandir(mount / "org/crowd/all") as entries:
            names = [next(entries).name for _ in range(10)]
            known = os.stat(mount / f"org/crowd/all/{names[-1]}").st_ino
            pid, mark = self.worker(mount), self.server.mark()
            os.kill(pid, signal.SIGKILL)
            names += [entry.name for entry in entries]
        self.assertEqual(len(names), CROWD)
        self.assertEqual(len(set(names)), CROWD)
        drop_caches()
        self.assertEqual(os.stat(mount / f"org/crowd/all/{names[9]}").st_ino, known)
        self.assertEqual(self.tree_requests(mark), [])

    def told(self, cache, *arguments, **environment):
        """What a command on that cache says."""
        environment = clean_environment(self.work, self.tag, HF_ENDPOINT=self.server.url, **environment)
        return json.loads(run(binary(), *arguments, "-o", f"cache.path={cache}", "--json",
                              env=environment).stdout)

    def test_a_prefetch_asks_for_all_of_it_at_once(self):
        mount = self.mount()
        self.assertEqual(len(os.listdir(mount / "org/wide/part 000")), FILES_A_FOLDER)
        before = inodes(mount / "org/wide/part 000")
        mark = self.server.mark()
        told = self.told(mount.cache, "prefetch", "org/wide")
        self.assertEqual(told["files"], FOLDERS * FILES_A_FOLDER + 1)
        entries = FOLDERS * (FILES_A_FOLDER + 1) + 4
        self.assertEqual(len(self.tree_requests(mark)), -(-entries // PAGE))
        mark = self.server.mark()
        offline = self.remount(mount, HUBVFS_OFFLINE="1")
        self.assertEqual(inodes(offline / "org/wide/part 000"), before)
        self.assertEqual(all_files(offline / "org/wide"), all_files(self.repo("org/wide")))
        with open(offline / f"org/wide/{DEEP}", "rb") as file:
            self.assertEqual(file.read(), b"deep\n")
        self.assertEqual(self.server.since(mark), [])

    def test_a_bundle_of_it_is_complete_where_there_is_no_hub(self):
        bundle, there = os.path.join(self.work, "bundle"), os.path.join(self.work, "there")
        for folder in (bundle, there):
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.told(os.path.join(self.work, "here"), "cache", "export", "org/wide", bundle)
        self.addCleanup(shutil.rmtree, os.path.join(self.work, "here"), ignore_errors=True)
        mark = self.server.mark()
        told = self.told(there, "cache", "import", bundle, HUBVFS_OFFLINE="1")
        self.assertEqual(told["files"], FOLDERS * FILES_A_FOLDER + 1)
        mount = self.mount(cache="there", HUBVFS_OFFLINE="1")
        self.assertEqual(all_files(mount / "org/wide"), all_files(self.repo("org/wide")))
        with open(mount / f"org/wide/{DEEP}", "rb") as file:
            self.assertEqual(file.read(), b"deep\n")
        self.assertEqual(self.server.since(mark), [])


if __name__ == "__main__":
    support.main()
