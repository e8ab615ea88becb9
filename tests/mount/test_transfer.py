# SPDX-License-Identifier: Apache-2.0
"""`hubvfs cache export` and `import`: bundles, their signatures, and plain folders."""

import hashlib
import json
import os
import shutil
import signal
import unittest

import support
from support import MIB, all_files, content, run, sha256_of
from transfer import SIZE, TransferTestCase, snapshot_of

OURS = ["SHA256SUMS", ".hubvfs-bundle.json"]


class Transfer(TransferTestCase):
    # --- bundles

    def test_a_bundle_is_plain_files_with_their_sums(self):
        for mounted in (False, True):
            if mounted:
                self.mounted()
            told = self.export()
            self.assertEqual((told["files"], told["commit"]), (4, self.commit))
            self.assertEqual(all_files(self.dir), sorted(all_files(self.repo()) + OURS))
            for name in all_files(self.repo()):
                self.assertEqual(sha256_of(os.path.join(self.dir, name)),
                                 sha256_of(os.path.join(self.repo(), name)))
            run("sha256sum", "-c", "--strict", "SHA256SUMS", cwd=self.dir)
            self.assertEqual(len(self.text("SHA256SUMS").splitlines()), 5)
            shutil.rmtree(self.dir)

    def test_what_was_exported_is_read_where_there_is_no_hub(self):
        self.export()
        self.other_cache()
        before = snapshot_of(self.dir)
        for mounted in (False, True):
            if mounted:
                shutil.rmtree(self.cache)
                mount = self.mounted(arguments=("--offline",))
            told = self.told("cache", "import", self.dir, *(() if mounted else ("--offline",)))
            self.assertEqual((told["files"], told["bytes_copied"]), (4, SIZE + 9 + 7))
            again = self.told("cache", "import", self.dir, *(() if mounted else ("--offline",)))
            self.assertEqual((again["files"], again["bytes_copied"]), (4, 0))
            if mounted:
                self.assert_reads_as_served(mount / "org/model")
            else:
                self.assert_read_offline()
        self.assertEqual(snapshot_of(self.dir), before, "the folder was touched")

    def test_a_part_of_a_repo(self):
        self.assertEqual(self.export("--exclude", "*.safetensors")["files"], 3)
        self.other_cache()
        self.told("cache", "import", self.dir, "--offline")
        mount = self.mounted(arguments=("--offline",))
        self.assertEqual(all_files(mount / "org/model"), all_files(self.repo()), "all are listed")
        self.assertEqual(run("cat", mount / "org/model/config.json").stdout, '{"a": 1}\n')
        self.assertNotEqual(run("cat", mount / "org/model/weights.safetensors", check=False).returncode, 0)

    def test_a_file_that_fails_is_named_and_nothing_is_taken(self):
        for name, change in (("sub/dir/tokens.txt", b"Tokens\n"), ("weights.safetensors", b"x"),
                             (".hubvfs-bundle.json", b"{}"), ("config.json", None)):
            with self.subTest(name):
                shutil.rmtree(self.dir, ignore_errors=True)
                shutil.rmtree(self.place("far-cache"), ignore_errors=True)
                self.cache = self.place("cache")
                self.export()
                path = os.path.join(self.dir, name)
                if change is None:
                    os.unlink(path)
                else:
                    with open(path, "r+b") as file:
                        file.write(change)
                self.other_cache()
                said = self.refused("cache", "import", self.dir, "--offline")
                self.assertIn(name, said)
                self.assertEqual(self.told("cache", "stats")["cache"]["bytes_used"], 0)
                self.assertEqual(self.told("cache", "ls")["commits"], [])

    def test_sums_that_were_changed_with_the_file_do_not_help(self):
        self.export()
        with open(self.dir + "/sub/dir/tokens.txt", "wb") as file:
            file.write(b"Tokens\n")
        text = self.text("SHA256SUMS")
        with open(self.dir + "/SHA256SUMS", "w") as file:
            file.write(text.replace(hashlib.sha256(b"tokens\n").hexdigest(),
                                    hashlib.sha256(b"Tokens\n").hexdigest()))
        self.other_cache()
        done = self.hubvfs("cache", "import", self.dir, "--offline")
        self.assertEqual(done.returncode, 1)
        self.assertIn("sub/dir/tokens.txt: it is ", done.stdout)

    def test_an_export_that_was_cut_short_is_no_bundle_and_is_gone_on_with(self):
        self.export()
        os.unlink(self.dir + "/SHA256SUMS")
        os.unlink(self.dir + "/config.json")
        with open(self.dir + "/weights.safetensors", "r+b") as file:
            file.truncate(MIB)
        kept = os.stat(self.dir + "/sub/dir/tokens.txt").st_ino
        cache = self.cache
        self.other_cache()
        self.assertIn("did not come to an end", self.refused("cache", "import", self.dir))
        self.cache = cache
        self.export()
        self.assertEqual(os.stat(self.dir + "/sub/dir/tokens.txt").st_ino, kept)
        run("sha256sum", "-c", "--strict", "SHA256SUMS", cwd=self.dir)

    def test_ctrl_c_in_an_export_and_on_again(self):
        for mounted in (False, True):
            with self.subTest(mounted=mounted):
                proxy = self.proxy()
                if mounted:
                    self.mounted(url=proxy.url)
                proxy.set_fault("stall", after=MIB)
                command = self.start("cache", "export", "org/model", self.dir, url=proxy.url)
                support.wait_for(lambda: proxy.stalled > 0, "the export to be under way")
                command.send_signal(signal.SIGINT)
                said = command.communicate(timeout=support.PATIENCE)[1]
                self.assertEqual(command.returncode, 1)
                self.assertIn("run the same command again", said)
                proxy.release()
                self.export(url=proxy.url)
                run("sha256sum", "-c", "--strict", "SHA256SUMS", cwd=self.dir)
                shutil.rmtree(self.dir)
                shutil.rmtree(self.cache, ignore_errors=True)

    def test_a_folder_with_something_else_is_left_alone(self):
        os.mkdir(self.dir)
        support.write_file(self.dir, "thesis.tex", b"x")
        self.assertIn("something else", self.refused("cache", "export", "org/model", self.dir))
        self.assertEqual(all_files(self.dir), ["thesis.tex"])
        os.unlink(self.dir + "/thesis.tex")
        self.export()
        said = self.refused("cache", "export", "org/other", self.dir)
        self.assertIn("org/model at " + self.commit, said)
        absent = self.place("absent") + "/deeper"
        self.assertIn(absent, self.refused("cache", "export", "org/model", absent))
        self.assertIn(absent, self.refused("cache", "import", absent))

    def test_no_file_of_a_repo_is_in_the_way_of_what_is_written_beside(self):
        os.mkdir(self.dir)
        support.write_file(self.dir, ".hubvfs-partial", b"cut short at its very beginning")
        self.told("cache", "export", "org/other", self.dir)
        self.assertEqual(all_files(self.dir), sorted(["README.md", "SHA256SUMS.new"] + OURS))
        run("sha256sum", "-c", "--strict", "SHA256SUMS", cwd=self.dir)

    def test_a_bundle_larger_than_the_cache_is_refused_before_it_is_read(self):
        self.export()
        os.truncate(self.dir + "/weights.safetensors", 1 << 40)
        self.other_cache()
        said = self.refused("cache", "import", self.dir, "--offline", options=",cache.size=16M")
        self.assertIn("the cache may hold 16.0 MiB", said)
        self.assertIn("1.0 TiB", said)

    @unittest.skipUnless(os.geteuid() == 0, "only root has others' folders")
    def test_root_is_told_why_it_may_not_read_or_write(self):
        os.mkdir(self.dir)
        os.chown(self.dir, 65534, 65534)
        for mode in (0o700, 0o755):
            os.chmod(self.dir, mode)
            said = self.refused("cache", "export", "org/model", self.dir)
            self.assertIn("Permission denied", said)
            self.assertIn("belongs to uid 65534", said)
        os.chmod(self.dir, 0o700)
        said = self.refused("cache", "import", self.dir)
        self.assertIn("the folder: Permission denied", said)
        self.assertIn("belongs to uid 65534", said)

    def test_a_mount_is_no_folder_to_import(self):
        mount = self.mounted()
        for folder in (mount.path, mount / "org/model"):
            said = self.refused("cache", "import", folder, "--repo", "org/model")
            self.assertIn("hubvfs prefetch", said)

    def test_nothing_is_left_of_an_export_that_never_began(self):
        self.assertIn("org/absent", self.refused("cache", "export", "org/absent", self.dir))
        self.assertFalse(os.path.exists(self.dir))

    # --- signatures

    def keyring(self, name, *keys):
        """A GnuPG home with keys of these mail addresses; its agent ends with the test."""
        home = os.path.join(self.work, f"gpg-{name}-{len(self._testMethodName)}")
        os.makedirs(home, mode=0o700)
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        self.addCleanup(run, "gpgconf", "--kill", "all", env=self.environment(GNUPGHOME=home))
        for key in keys:
            self.gpg(home, "--passphrase", "", "--quick-generate-key", key, "ed25519", "sign", "never")
        return home

    def gpg(self, home, *arguments):
        return run("gpg", "--batch", "--yes", "--pinentry-mode", "loopback", *arguments,
                   env=self.environment(GNUPGHOME=home))

    @unittest.skipUnless(shutil.which("gpg"), "needs gpg")
    def test_a_signature_is_made_checked_and_asked_for(self):
        ours = self.keyring("ours", "ann@example.org", "other@example.org")
        theirs = self.keyring("theirs", "far@example.org")
        told = self.export("--sign", "ann@example.org", GNUPGHOME=ours)
        self.gpg(ours, "--verify", self.dir + "/SHA256SUMS.asc", self.dir + "/SHA256SUMS")
        self.assertIn(told["signed_by"], self.gpg(ours, "--list-keys", "--with-colons").stdout)
        self.other_cache()
        said = self.refused("cache", "import", self.dir, "--offline", GNUPGHOME=theirs)
        self.assertIn("SHA256SUMS.asc", said)
        self.assertIn("gpg --import", said)
        public = os.path.join(self.work, "ann.asc")
        self.gpg(ours, "--armor", "--output", public, "--export", "ann@example.org", "other@example.org")
        self.gpg(theirs, "--import", public)
        done = self.hubvfs("cache", "import", self.dir, "--offline", GNUPGHOME=theirs)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("signed by " + told["signed_by"], done.stderr)
        self.assertIn("nobody you trust has certified", done.stderr)
        again = self.told("cache", "import", self.dir, "--offline", "--signed-by", "ann@example.org",
                          GNUPGHOME=theirs)
        self.assertEqual(again["signed_by"], told["signed_by"])
        self.assertIn("not by other@example.org",
                      self.refused("cache", "import", self.dir, "--signed-by", "other@example.org",
                                   GNUPGHOME=theirs))
        with open(self.dir + "/SHA256SUMS", "ab") as file:
            file.write(b"0" * 64 + b"  more\n")
        self.assertIn("of another text", self.refused("cache", "import", self.dir, GNUPGHOME=theirs))
        with open(self.dir + "/SHA256SUMS.asc", "wb") as file:
            file.write(b"no signature\n")
        self.assertIn("SHA256SUMS.asc", self.refused("cache", "import", self.dir, GNUPGHOME=theirs))

    @unittest.skipUnless(shutil.which("gpg"), "needs gpg")
    def test_one_of_several_signatures_may_be_asked_for(self):
        ours = self.keyring("ours", "ann@example.org", "ben@example.org", "eve@example.org")
        self.export()
        self.gpg(ours, "--armor", "--local-user", "ann@example.org", "--local-user", "ben@example.org",
                 "--output", self.dir + "/SHA256SUMS.asc", "--detach-sign", self.dir + "/SHA256SUMS")
        self.other_cache()
        signed = {self.told("cache", "import", self.dir, "--offline", "--signed-by", by,
                            GNUPGHOME=ours)["signed_by"] for by in ("ann@example.org", "ben@example.org")}
        self.assertEqual(len(signed), 2)
        said = self.refused("cache", "import", self.dir, "--signed-by", "eve@example.org", GNUPGHOME=ours)
        for part in (*signed, "not by eve@example.org"):
            self.assertIn(part, said)

    @unittest.skipUnless(shutil.which("gpg"), "needs gpg")
    def test_a_file_that_was_changed_after_the_signature_is_named(self):
        ours = self.keyring("ours", "ann@example.org")
        self.export("--sign", "ann@example.org", GNUPGHOME=ours)
        with open(self.dir + "/weights.safetensors", "r+b") as file:
            file.write(b"x")
        self.other_cache()
        self.assertIn("weights.safetensors",
                      self.refused("cache", "import", self.dir, "--offline", GNUPGHOME=ours))

    @unittest.skipUnless(shutil.which("gpg"), "needs gpg")
    def test_a_key_that_cannot_sign_is_said_before_anything_is_done(self):
        ours = self.keyring("ours")
        mark = self.server.mark()
        said = self.refused("cache", "export", "org/model", self.dir, "--sign", "nobody@example.org",
                            GNUPGHOME=ours)
        self.assertIn("nobody@example.org", said)
        self.assertFalse(os.path.exists(self.dir))
        self.assertEqual(self.server.since(mark), [])
        self.export()
        self.other_cache()
        self.assertIn("not signed", self.refused("cache", "import", self.dir, "--signed-by",
                                                 "ann@example.org", GNUPGHOME=ours))

    # --- plain folders

    def test_a_plain_folder_needs_a_name_and_only_what_matches_is_taken(self):
        shutil.copytree(self.repo(), self.dir)
        support.write_file(self.dir, "notes.txt", b"mine")
        self.assertIn("--repo", self.refused("cache", "import", self.dir))
        mark = self.server.mark()
        told = self.told("cache", "import", self.dir, "--repo", "org/model")
        self.assertEqual((told["files"], told["files_of_no_commit"]), (4, 1))
        self.assertEqual(support.content_bytes(self.server.settled_since(mark)), 0)
        self.assertEqual(self.told("prefetch", "org/model")["bytes_fetched"], 0)
        support.write_file(self.dir, "config.json", b'{"a": 2}\n')
        self.other_cache()
        done = self.hubvfs("cache", "import", self.dir, "--repo", "org/model", "--json")
        self.assertEqual(done.returncode, 1)
        told = json.loads(done.stdout)
        self.assertEqual([p["file"] for p in told["problems"]], ["config.json"])
        self.assertEqual(told["files"], 3)

    def test_more_than_the_cache_may_hold_is_refused_up_front(self):
        os.mkdir(self.dir)
        support.write_file(self.dir, "weights", content("huge", 17 * MIB))
        said = self.refused("cache", "import", self.dir, "--repo", "org/model",
                            options=",cache.size=16M")
        self.assertIn(f"{17 * MIB} bytes", said)
        self.assertIn(f"{16 * MIB} bytes", said)


if __name__ == "__main__":
    support.main()
