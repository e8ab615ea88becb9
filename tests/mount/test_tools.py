# SPDX-License-Identifier: Apache-2.0
"""The everyday tools behave on a mount, scans fetch no content, and nothing can be written."""

import errno
import os
import stat
import subprocess
import unittest

import support
from support import MIB, MountTestCase, all_files, content, is_metadata, run

README = b"# A model\n"


class Tools(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        for name, size in (("empty.bin", 0), ("config.json", 500), ("sub dir/a b#.txt", 77),
                           ("sub dir/deep/weights.safetensors", 11 * MIB + 1), ("vocab.txt", 200_000)):
            support.write_file(folder, f"org/model/{name}", content(name, size))
        support.write_file(folder, "org/model/README.md", README)
        support.write_file(folder, "org/other/config.json", b"{}\n")

    REPOS = ("org/model", "org/other")

    def setUp(self):
        super().setUp()
        self.m = self.mount()
        self.root = self.m / "org/model"
        self.plain = self.repo()

    def copy_target(self):
        return os.path.join(self.work, f"copy-{self._testMethodName}")

    def test_find_names_every_file_and_fetches_no_content(self):
        mark = self.server.mark()
        found = run("find", ".", "-type", "f", "-printf", "%P %s\n", cwd=self.root).stdout
        wanted = run("find", ".", "-type", "f", "-printf", "%P %s\n", cwd=self.plain).stdout
        self.assertEqual(sorted(found.splitlines()), sorted(wanted.splitlines()))
        run("du", "-a", self.root)
        run("stat", *(os.path.join(self.root, f) for f in all_files(self.plain)))
        self.assertTrue(all(is_metadata(e) for e in self.server.since(mark)))

    def test_tar_archives_the_same_content(self):
        command = ("tar c --sort=name --mtime=@0 --mode=a=r --owner=0 --group=0 --format=gnu -C %s . "
                   "| sha256sum")
        mounted = run("bash", "-o", "pipefail", "-c", command % self.root).stdout
        self.assertEqual(mounted, run("bash", "-o", "pipefail", "-c", command % self.plain).stdout)

    def test_cp_copies_the_tree(self):
        target = self.copy_target()
        run("cp", "-r", self.root, target)
        self.addCleanup(run, "chmod", "-R", "u+w", target)
        run("diff", "-r", target, self.plain)
        self.assertTrue(os.stat(os.path.join(target, "config.json")).st_mode & 0o400)

    @unittest.skipUnless(os.path.exists("/usr/bin/rsync"), "rsync is missing")
    def test_rsync_finds_no_difference(self):
        same = run("rsync", "-nrc", "--itemize-changes", f"{self.root}/", f"{self.plain}/").stdout
        self.assertEqual([line for line in same.splitlines() if line.startswith(">f")], [])
        os.makedirs(other := self.copy_target())
        new = run("rsync", "-nrc", "--itemize-changes", f"{self.root}/", f"{other}/").stdout
        self.assertEqual(sum(line.startswith(">f") for line in new.splitlines()),
                         len(all_files(self.plain)))

    def test_du_shows_what_is_cached(self):
        path = os.path.join(self.root, "sub dir/deep/weights.safetensors")
        cold = int(run("du", "-k", path).stdout.split()[0])
        self.assertGreater(os.stat(path).st_blocks, 0, "no non-empty file looks like a hole")
        support.sha256_of(path)
        warm = support.wait_for(lambda: int(run("du", "-k", path).stdout.split()[0]) >= 11 * 1024,
                                "du to show the cached blocks")
        self.assertTrue(warm)
        self.assertLess(cold, 1024)
        apparent = run("du", "-b", path).stdout.split()[0]
        self.assertEqual(int(apparent), 11 * MIB + 1)

    def test_df_shows_the_cache(self):
        line = run("df", "--output=fstype,size,used,avail", "-B1", self.root).stdout.splitlines()[1]
        kind, size, used, available = line.split()
        self.assertEqual(kind, "fuse.hubvfs")
        self.assertGreater(int(size), 0)
        self.assertLessEqual(int(used) + int(available), int(size))

    def test_stat_is_that_of_a_read_only_file(self):
        for name in all_files(self.plain):
            there, here = os.stat(f"{self.root}/{name}"), os.stat(f"{self.plain}/{name}")
            self.assertEqual(there.st_size, here.st_size, name)
            self.assertTrue(stat.S_ISREG(there.st_mode), name)
            self.assertEqual(there.st_mode & 0o7333, 0, f"{name} is {there.st_mode:o}")
            self.assertEqual(there.st_blksize, MIB, name)
        self.assertTrue(stat.S_ISDIR(os.stat(self.root).st_mode))
        self.assertEqual(os.stat(self.root).st_mode & 0o222, 0)
        inodes = [os.lstat(f"{self.root}/{name}").st_ino for name in all_files(self.plain)]
        self.assertEqual(len(set(inodes)), len(inodes))

    @unittest.skipUnless(os.path.exists("/usr/bin/getfattr"), "getfattr is missing")
    def test_getfattr_tells_repo_commit_and_oid(self):
        path = os.path.join(self.root, "sub dir/deep/weights.safetensors")
        text = run("getfattr", "-d", "--absolute-names", path).stdout
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        self.assertEqual(values["user.hubvfs.repo"].strip('"'), "org/model")
        self.assertRegex(values["user.hubvfs.commit"], '^"[0-9a-f]{40}"$')
        self.assertEqual(values["user.hubvfs.size"].strip('"'), str(11 * MIB + 1))
        oid = values["user.hubvfs.oid"].strip('"')
        self.assertEqual(oid.removeprefix("sha256:"), support.sha256_of(
            os.path.join(self.plain, "sub dir/deep/weights.safetensors")))
        with self.assertRaises(OSError) as caught:
            os.getxattr(path, "user.hubvfs.nonsense")
        self.assertEqual(caught.exception.errno, errno.ENODATA)

    def test_the_tree_shows_owners_and_repos(self):
        self.assertIn("org", os.listdir(self.m.path))
        self.assertEqual(sorted(os.listdir(self.m / "org")), ["model", "other"])
        with open(self.root + "/README.md", "rb") as file:
            self.assertEqual(file.read(), README)

    def test_status_is_a_file_that_can_be_read(self):
        self.assertGreater(self.m.status()["hub"]["requests"], -1)
        self.assertIn("cache", self.m.status())
        done = run(support.binary(), "status", self.m.path, "--json",
                   env=support.clean_environment(self.work, self.tag))
        self.assertIn('"requests"', done.stdout)

    def assert_read_only(self, what, call):
        with self.assertRaises(OSError, msg=what) as caught:
            call()
        self.assertEqual(caught.exception.errno, errno.EROFS, f"{what}: {caught.exception}")

    def test_every_write_is_refused(self):
        file, folder = self.root + "/config.json", self.root
        inside = folder + "/new"
        for what, call in {
            "open for writing": lambda: os.open(file, os.O_WRONLY),
            "open for both": lambda: os.open(file, os.O_RDWR),
            "append": lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
            "open to truncate": lambda: os.open(file, os.O_WRONLY | os.O_TRUNC),
            "create": lambda: os.open(inside, os.O_CREAT | os.O_WRONLY),
            "create at the root": lambda: os.open(self.m / "new", os.O_CREAT | os.O_WRONLY),
            "mkdir": lambda: os.mkdir(inside),
            "mkdir of an owner": lambda: os.mkdir(self.m / "new"),
            "mknod": lambda: os.mknod(inside),
            "symlink": lambda: os.symlink("x", inside),
            "link": lambda: os.link(file, inside),
            "unlink": lambda: os.unlink(file),
            "rmdir": lambda: os.rmdir(folder + "/sub dir"),
            "rename": lambda: os.rename(file, inside),
            "chmod": lambda: os.chmod(file, 0o600),
            "chown": lambda: os.chown(file, os.getuid(), os.getgid()),
            "truncate": lambda: os.truncate(file, 0),
            "utime": lambda: os.utime(file),
            "setxattr": lambda: os.setxattr(file, "user.x", b"y"),
            "removexattr": lambda: os.removexattr(file, "user.hubvfs.oid"),
        }.items():
            with self.subTest(what):
                self.assert_read_only(what, call)
        done = run("touch", inside, check=False)
        self.assertIn("Read-only file system", done.stderr)

    def test_access_says_that_it_can_be_read_and_not_written(self):
        file = self.root + "/config.json"
        self.assertTrue(os.access(file, os.R_OK))
        self.assertFalse(os.access(file, os.W_OK))
        self.assertTrue(os.access(self.root, os.R_OK | os.X_OK))

    def test_sendfile_and_direct_reads(self):
        path = self.root + "/vocab.txt"
        wanted = content("vocab.txt", 200_000)
        self.assertEqual(subprocess.run(["cat", path], capture_output=True, timeout=60,
                                        check=True).stdout, wanted)
        target = self.copy_target()
        run("dd", f"if={path}", f"of={target}", "iflag=direct", "bs=128k")
        with open(target, "rb") as file:
            self.assertEqual(file.read(), wanted)
        with open(path, "rb") as source, open(target, "wb") as sink:
            self.assertEqual(os.sendfile(sink.fileno(), source.fileno(), 0, 300_000), 200_000)
        with open(target, "rb") as file:
            self.assertEqual(file.read(), wanted)


if __name__ == "__main__":
    support.main()
