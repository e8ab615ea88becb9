# SPDX-License-Identifier: Apache-2.0
"""What programs that sit on a mount fetch: overlays, bind mounts, scans, copies, editors.

Each row of the table in docs/TOOLS.md is one test here: what it must not read stays where it is. The
table of the run is printed at its end.
"""

import ctypes
import errno
import hashlib
import mmap
import os
import subprocess
import unittest

import support
from support import MIB, MountTestCase, all_files, content, run

FILES = {"config.json": 500, "tokenizer.json": 200_000, "model.safetensors": 24 * MIB + 5,
         "sub/other.bin": 12 * MIB, "sub/README.md": 900}
BIG = "model.safetensors"
ALL = sum(FILES.values())
# What the first touch of a file may cost: the block it lies in and what a first reader gets ahead.
TOUCH = 4 * MIB
IN_ALL_EVENTS = 0xFFF

needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root to mount")


class LowerLayer(MountTestCase):
    rows: list = []

    @classmethod
    def make_tree(cls, folder):
        for name, size in FILES.items():
            support.write_file(folder, f"org/model/{name}", content(name, size))

    @classmethod
    def tearDownClass(cls):
        print("\n| what | requests | bytes of content |\n| --- | --- | --- |")
        for row in sorted(cls.rows):
            print("| {} | {} | {:,} |".format(*row))

    def setUp(self):
        super().setUp()
        self.m = self.mount()
        self.root = self.m / "org/model"
        self.plain = self.repo()
        run("ls", "-lR", self.root)  # the listing is known: what follows is the content's
        self.begin = self.server.mark()

    def fetched(self, what: str, at_most: int, at_least: int = 0) -> None:
        """What was fetched since the listing; the row of this test."""
        entries = self.server.settled_since(self.begin)
        got = support.content_bytes(entries)
        self.rows.append((what, support.ranges_asked(entries), got))
        self.assertLessEqual(got, at_most, [(e["path"], e.get("range")) for e in entries])
        self.assertGreaterEqual(got, at_least)

    def folder(self, name: str) -> str:
        path = os.path.join(self.work, f"{self._testMethodName}-{name}")
        os.makedirs(path)
        return path

    def bytes_of(self, name: str) -> bytes:
        return content(name, FILES[name])

    def mounted(self, *command: str) -> None:
        """Its last word is the mount point."""
        run(*command)
        self.addCleanup(run, "umount", "-l", command[-1])

    def assert_same(self, folder: str, name: str) -> None:
        with open(os.path.join(folder, name), "rb") as file:
            self.assertEqual(file.read(), self.bytes_of(name), name)

    # --- scans: nothing of any file -----------------------------------------------------------

    def test_find_by_size_and_date(self):
        found = run("find", self.root, "-type", "f", "-size", "+1M", "-newermt", "1990-01-01").stdout
        self.assertEqual(len(found.splitlines()), 2)
        self.fetched("`find -type f -size +1M -newermt`", 0)

    def test_du_stat_getfattr_and_access(self):
        run("du", "-a", "--apparent-size", self.root)
        for name in FILES:
            run("stat", os.path.join(self.root, name))
            run("test", "-r", os.path.join(self.root, name))
            self.assertIn("user.hubvfs.oid", os.listxattr(os.path.join(self.root, name)))
            os.getxattr(os.path.join(self.root, name), "user.hubvfs.oid")
        self.fetched("`du`, `stat`, `test -r`, all xattrs", 0)

    def test_rsync_by_size_and_date(self):
        if not os.path.exists("/usr/bin/rsync"):
            self.skipTest("rsync is missing")
        run("rsync", "-anv", self.root + "/", self.folder("copy") + "/")
        self.fetched("`rsync -an`", 0)

    def test_git_status(self):
        if not os.path.exists("/usr/bin/git"):
            self.skipTest("git is missing")
        git = ("git", "-c", "safe.directory=*", "--git-dir", self.folder("git"), "--work-tree", self.root)
        run(*git, "init", "-q")
        told = run(*git, "status", "--porcelain", "-uall").stdout
        self.assertEqual(len(told.splitlines()), len(FILES))
        self.fetched("`git status -uall`", 0)

    def test_a_file_manager(self):
        """Stats everything, sorts by kind of name, watches the folder."""
        libc = ctypes.CDLL(None, use_errno=True)
        watch = libc.inotify_init1(os.O_NONBLOCK)
        self.addCleanup(os.close, watch)
        self.assertGreaterEqual(libc.inotify_add_watch(watch, os.fsencode(self.root), IN_ALL_EVENTS), 0)
        for base, _, names in os.walk(self.root):
            with os.scandir(base) as entries:
                for entry in entries:
                    entry.stat()
                    entry.is_dir()
            for name in names:
                self.assertTrue(os.access(os.path.join(base, name), os.R_OK))
        self.assertNotEqual(os.read(watch, 4096), b"")  # what the walk itself did
        self.fetched("a file manager: scandir, stat, access, inotify", 0)

    def test_tar_to_nowhere(self):
        run("tar", "cf", "/dev/null", "-C", self.root, ".")
        self.fetched("`tar cf /dev/null` (GNU tar reads nothing then)", 0)

    # --- a part of a file ---------------------------------------------------------------------

    def test_file_looks_at_the_beginning(self):
        if not os.path.exists("/usr/bin/file"):
            self.skipTest("file is missing")
        run("file", "-P", "bytes=65536", os.path.join(self.root, BIG))
        self.fetched("`file -P bytes=65536` (without that it reads 7 MiB at each end)", TOUCH, 1)

    def test_an_editor_that_is_left_at_once(self):
        """Opens, stats, reads a screen, tries to write beside it."""
        path = os.path.join(self.root, BIG)
        with open(path, "rb", buffering=4096) as file:
            self.assertEqual(file.read(4096), self.bytes_of(BIG)[:4096])
        with self.assertRaises(OSError):
            os.open(path + ".swp", os.O_CREAT | os.O_WRONLY)
        self.fetched("the first screen of a large file", TOUCH, 1)

    def test_direct_read(self):
        out = run("bash", "-c", f"dd if='{self.root}/{BIG}' iflag=direct bs=4k count=1 skip=3000 "
                                "status=none | sha256sum").stdout
        wanted = self.bytes_of(BIG)[3000 * 4096:3001 * 4096]
        self.assertEqual(out.split()[0], hashlib.sha256(wanted).hexdigest())
        self.fetched("`dd iflag=direct`, 4 KiB", TOUCH, 1)

    def test_one_page_of_a_mapping(self):
        with open(os.path.join(self.root, BIG), "rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                at = 13 * MIB
                self.assertEqual(mapped[at:at + 4096], self.bytes_of(BIG)[at:at + 4096])
        self.fetched("`mmap`, one page", TOUCH, 1)

    def test_sendfile_of_a_part(self):
        source = os.open(os.path.join(self.root, BIG), os.O_RDONLY)
        self.addCleanup(os.close, source)
        with open(os.path.join(self.folder("to"), "part"), "w+b") as target:
            self.assertEqual(os.sendfile(target.fileno(), source, 9 * MIB, 65536), 65536)
            target.seek(0)
            self.assertEqual(target.read(), self.bytes_of(BIG)[9 * MIB:9 * MIB + 65536])
        self.fetched("`sendfile`, 64 KiB", TOUCH, 1)

    def test_copy_file_range_of_a_part(self):
        """Linux copies so within one kind of filesystem only; who asks for it copies by itself then."""
        source = os.open(os.path.join(self.root, BIG), os.O_RDONLY)
        self.addCleanup(os.close, source)
        with open(os.path.join(self.folder("to"), "part"), "w+b") as target:
            with self.assertRaises(OSError) as caught:
                os.copy_file_range(source, target.fileno(), MIB, 9 * MIB, 0)
        self.assertEqual(caught.exception.errno, errno.EXDEV)
        self.fetched("`copy_file_range` (EXDEV: its caller reads instead)", 0)

    # --- whole files, each once ---------------------------------------------------------------

    def test_cp_with_reflink(self):
        target = self.folder("copy")
        run("cp", "--reflink=auto", os.path.join(self.root, "sub/other.bin"), target)
        with open(os.path.join(target, "other.bin"), "rb") as file:
            self.assertEqual(file.read(), self.bytes_of("sub/other.bin"))
        self.fetched("`cp --reflink=auto` of 12 MiB", FILES["sub/other.bin"], FILES["sub/other.bin"])

    def test_tar_of_everything(self):
        run("bash", "-o", "pipefail", "-c", f"tar c -C '{self.root}' . | cat > /dev/null")
        self.fetched("`tar c` of everything", ALL, ALL)

    def test_rsync_with_checksums(self):
        if not os.path.exists("/usr/bin/rsync"):
            self.skipTest("rsync is missing")
        told = run("rsync", "-nrc", "--itemize-changes", self.root + "/", self.plain + "/").stdout
        self.assertEqual([line for line in told.splitlines() if line.startswith(">f")], [])
        self.fetched("`rsync -nrc` of everything", ALL, ALL)

    # --- on top of it -------------------------------------------------------------------------

    @needs_root
    def test_bind_mount(self):
        point = self.folder("bind")
        self.mounted("mount", "--bind", self.root, point)
        self.assert_same(point, "tokenizer.json")
        self.fetched("bind mount, one small file read", FILES["tokenizer.json"], 1)

    @needs_root
    def test_a_container_that_has_only_a_bind_mount(self):
        point = self.folder("bind")
        script = (f"mount --make-rprivate / && mount --bind '{self.root}' '{point}' && "
                  f"sha256sum '{point}/tokenizer.json' && ls -lR '{point}' > /dev/null")
        out = run("unshare", "--mount", "--pid", "--fork", "bash", "-e", "-c", script).stdout
        self.assertEqual(out.split()[0], support.sha256_of(os.path.join(self.plain, "tokenizer.json")))
        self.fetched("container (`unshare`) with a bind mount, one small file read",
                     FILES["tokenizer.json"], 1)

    def overlay(self) -> str:
        upper, work, merged = (self.folder(name) for name in ("upper", "work", "merged"))
        self.mounted("mount", "-t", "overlay", "overlay", "-o",
                     f"lowerdir={self.root},upperdir={upper},workdir={work}", merged)
        return merged

    @needs_root
    def test_overlay_is_lazy(self):
        merged = self.overlay()
        self.assertEqual(all_files(merged), sorted(FILES))
        run("ls", "-lR", merged)
        with open(os.path.join(merged, BIG), "rb", buffering=0) as file:
            file.seek(20 * MIB)
            self.assertEqual(file.read(4096), self.bytes_of(BIG)[20 * MIB:20 * MIB + 4096])
        self.fetched("overlay: `ls -lR`, 4 KiB of a large file", TOUCH, 1)

    @needs_root
    def test_overlay_takes_writes_above(self):
        merged = self.overlay()
        support.write_file(merged, "sub/new/adapter.bin", b"new")
        os.remove(os.path.join(merged, "tokenizer.json"))
        os.rename(os.path.join(merged, "sub/new"), os.path.join(merged, "moved"))
        self.assertEqual(all_files(merged), sorted(
            {*FILES, "moved/adapter.bin"} - {"tokenizer.json"}))
        self.assertEqual(all_files(self.root), sorted(FILES))
        self.fetched("overlay: a file made, one removed, a folder renamed", 0)

    @needs_root
    def test_overlay_copies_up_what_is_changed(self):
        merged = self.overlay()
        with open(os.path.join(merged, "sub/other.bin"), "ab") as file:
            file.write(b"more")
        with open(os.path.join(merged, "sub/other.bin"), "rb") as file:
            self.assertEqual(file.read(), self.bytes_of("sub/other.bin") + b"more")
        self.assert_same(self.root, "sub/other.bin")
        self.fetched("overlay: appended to a file of 12 MiB (it is copied up)",
                     FILES["sub/other.bin"], FILES["sub/other.bin"])

    @needs_root
    def test_overlay_reads_what_is_passed_through(self):
        support.sha256_of(os.path.join(self.root, "sub/other.bin"))
        merged = self.overlay()
        for _ in range(2):
            self.assert_same(merged, "sub/other.bin")
            with open(os.path.join(merged, "sub/other.bin"), "rb") as file:
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                    self.assertEqual(mapped[:], self.bytes_of("sub/other.bin"))
            support.drop_caches()
        self.fetched("overlay: a complete file, read and mapped", FILES["sub/other.bin"],
                     FILES["sub/other.bin"])

    def test_overlay_of_an_ordinary_user(self):
        """In a user namespace, as containers without root make it."""
        if os.geteuid() == 0:
            self.skipTest("is of an ordinary user")
        upper, work, merged = (self.folder(name) for name in ("upper", "work", "merged"))
        script = (f"mount -t overlay overlay -o userxattr,lowerdir='{self.root}',upperdir='{upper}',"
                  f"workdir='{work}' '{merged}' && echo new > '{merged}/new' && "
                  f"sha256sum '{merged}/tokenizer.json'")
        done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "bash", "-e", "-c", script],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0 and ("not permitted" in done.stderr or "denied" in done.stderr):
            self.skipTest(f"no overlay in a user namespace here: {done.stderr.strip()}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.split()[0],
                         support.sha256_of(os.path.join(self.plain, "tokenizer.json")))
        self.fetched("overlay in a user namespace, one small file read", FILES["tokenizer.json"], 1)


if __name__ == "__main__":
    support.main()
