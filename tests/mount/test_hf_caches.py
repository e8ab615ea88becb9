# SPDX-License-Identifier: Apache-2.0
"""`hubvfs cache import` of a cache of huggingface_hub, in every layout that it ever had."""

import hashlib
import json
import os
import shutil
import signal

import support
from support import all_files, content, sha256_of
from transfer import SIZE, TransferTestCase, snapshot_of


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class HfCaches(TransferTestCase):
    def hf_cache(self, trees=True, shared=False, links=True):
        """org/model as huggingface_hub keeps it; `shared`: in the store that repos share (2.x)."""
        hub = self.dir
        repo = hub + "/models--org--model"
        listing = {}
        for path in all_files(self.repo()):
            with open(os.path.join(self.repo(), path), "rb") as file:
                data = file.read()
            lfs = path.endswith(".safetensors")
            etag = hashlib.sha256(data).hexdigest() if lfs else git_sha1(data)
            listing[path] = {"size": len(data), "blob_id": git_sha1(data)}
            if lfs:
                listing[path] |= {"lfs_sha256": etag, "lfs_size": len(data), "xet_hash": "0" * 64}
            entry = f"models--org--model/snapshots/{self.commit}/{path}"
            if not links:
                support.write_file(hub, entry, data)
                continue
            blob = f"models--org--model/blobs/{etag}"
            if shared and lfs:
                xet = hashlib.sha256(b"xet" + data).hexdigest()
                store = f"blobs/{xet[:2]}/{xet}"
                support.write_file(hub, store, data)
                os.makedirs(os.path.dirname(os.path.join(hub, blob)), exist_ok=True)
                os.symlink(f"../../{store}", os.path.join(hub, blob))
            else:
                support.write_file(hub, blob, data)
            os.makedirs(os.path.dirname(os.path.join(hub, entry)), exist_ok=True)
            up = "../" * (2 + path.count("/"))
            os.symlink(f"{up}blobs/{etag}", os.path.join(hub, entry))
        support.write_file(repo, "refs/main", self.commit.encode())
        support.write_file(hub, f".locks/models--org--model/{'0' * 40}.lock", b"")
        support.write_file(hub, "CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n")
        if shared:
            support.write_file(hub, "blobs/.huggingface-shared-blobs", b"1")
        if trees:
            support.write_file(repo, f"trees/{self.commit}.json",
                               json.dumps({"format_version": 1, "files": listing}).encode())
        return hub

    def test_every_layout_of_a_cache_of_huggingface_hub(self):
        for layout in ({"trees": True}, {"trees": True, "shared": True},
                       {"trees": True, "links": False}, {"trees": False}):
            for mounted in (False, True):
                with self.subTest(layout, mounted=mounted):
                    shutil.rmtree(self.dir, ignore_errors=True)
                    shutil.rmtree(self.cache, ignore_errors=True)
                    hub = self.hf_cache(**layout)
                    before = snapshot_of(hub)
                    mount = self.mounted() if mounted else None
                    mark = self.server.mark()
                    told = self.told("cache", "import", hub)
                    self.assertEqual((told["commits"], told["files"], told["problem_count"]), (1, 4, 0))
                    self.assertEqual(support.content_bytes(self.server.settled_since(mark)), 0)
                    self.assertEqual(snapshot_of(hub), before, "the source was touched")
                    if mount:
                        self.assert_reads_as_served(mount / "org/model")
                        self.assertEqual(support.content_bytes(self.server.settled_since(mark)), 0)
                        self.assertEqual(mount.stop(), 0, mount.log())
                    else:
                        self.assert_read_offline()

    def test_a_cache_with_its_listings_is_taken_without_a_hub(self):
        hub = self.hf_cache(shared=True)
        told = self.told("cache", "import", hub, "--offline")
        self.assertEqual((told["files"], told["problem_count"]), (4, 0))
        self.assert_read_offline()

    def test_an_old_cache_is_read_without_a_hub_and_completed_by_one(self):
        hub = self.hf_cache(trees=False)
        os.unlink(f"{hub}/models--org--model/snapshots/{self.commit}/config.json")
        told = self.told("cache", "import", hub, "--offline")
        self.assertEqual((told["files"], told["problem_count"]), (3, 0))
        self.assertTrue(self.told("cache", "ls")["commits"][0]["partial"])
        self.assertIn("not all of its files are known", self.hubvfs("cache", "ls").stdout)
        mount = self.mounted(arguments=("--offline",))
        for name in ("org/model", f"org/model@{self.commit}"):
            there = [n for n in all_files(self.repo()) if n != "config.json"]
            self.assertEqual(all_files(mount / name), there)
            for path in there:
                self.assertEqual(sha256_of(mount / f"{name}/{path}"),
                                 sha256_of(os.path.join(self.repo(), path)))
        self.assertEqual(mount.stop(), 0, mount.log())
        mount = self.mounted()
        for name in ("org/model", f"org/model@{self.commit}"):
            support.wait_for(lambda name=name: all_files(mount / name) == all_files(self.repo()),
                             "the rest of the listing")
            self.assert_reads_as_served(mount / name)

    def test_what_a_cache_has_wrong_is_named_and_the_rest_is_taken(self):
        hub = self.hf_cache()
        snapshot = f"{hub}/models--org--model/snapshots/{self.commit}"
        with open(snapshot + "/config.json", "r+b") as file:
            file.write(b"X")
        os.unlink(snapshot + "/sub/dir/tokens.txt")
        os.symlink("/etc/hostname", snapshot + "/sub/dir/tokens.txt")
        done = self.hubvfs("cache", "import", hub, "--json")
        self.assertEqual(done.returncode, 1, done.stderr)
        told = json.loads(done.stdout)
        problems = {os.path.basename(p["file"]): p["problem"] for p in told["problems"]}
        self.assertEqual(sorted(problems), ["config.json", "tokens.txt"])
        self.assertIn("leads out of the folder", problems["tokens.txt"])
        self.assertIn("in the repo's listing", problems["config.json"])
        self.assertEqual(told["files"], 2)
        self.assertEqual(self.told("prefetch", "org/model")["bytes_fetched"], 9 + 7)

    def test_what_repos_share_counts_once_and_what_cannot_be_read_is_named(self):
        hub = self.hf_cache()
        shutil.copytree(hub + "/models--org--model", hub + "/models--org--copy", symlinks=True)
        os.makedirs(hub + "/models--org--closed/snapshots", mode=0o000)
        done = self.hubvfs("cache", "import", hub, "--offline", "--json")
        self.assertEqual(done.returncode, 1, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual([p["file"] for p in told["problems"]], ["models--org--closed"])
        self.assertEqual((told["commits"], told["files"]), (2, 8))
        self.assertEqual((told["bytes"], told["bytes_copied"]), (SIZE + 9 + 7, SIZE + 9 + 7))
        for commit in self.told("cache", "ls")["commits"]:
            self.assertEqual(commit["revisions"], ["main"])
        os.chmod(hub + "/models--org--closed/snapshots", 0o700)

    def test_a_file_is_what_the_old_cache_calls_it_however_large(self):
        hub = self.hf_cache(trees=False)
        data = content("plain", SIZE)
        support.write_file(hub, f"models--org--model/blobs/{git_sha1(data)}", data)
        os.symlink(f"../../blobs/{git_sha1(data)}",
                   f"{hub}/models--org--model/snapshots/{self.commit}/words.txt")
        self.assertEqual(self.told("cache", "import", hub, "--offline")["files"], 5)
        mount = self.mounted(arguments=("--offline",))
        oid = os.getxattr(mount / "org/model/words.txt", "user.hubvfs.oid").decode()
        self.assertEqual(oid, "git-sha1:" + git_sha1(data))

    def test_one_repo_of_a_cache(self):
        hub = self.hf_cache()
        shutil.copytree(hub + "/models--org--model", hub + "/models--org--absent", symlinks=True)
        self.assertIn("org/nothing", self.refused("cache", "import", hub, "--repo", "org/nothing"))
        told = self.told("cache", "import", hub, "--repo", "org/model@main")
        self.assertEqual((told["commits"], told["files"]), (1, 4))
        self.assertEqual([c["repo"] for c in self.told("cache", "ls")["commits"]], ["org/model"])

    def test_an_import_that_was_stopped_is_gone_on_with(self):
        hub = self.hf_cache()
        support.write_file(hub, "models--org--model/blobs/fifo", b"")
        command = self.start("cache", "import", hub)
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=support.PATIENCE)
        self.assertIn(command.returncode, (0, 1, -signal.SIGINT))
        support.wait_for(lambda: not self.workers(), "the command's worker to end")
        self.told("cache", "import", hub)
        self.assert_read_offline()


if __name__ == "__main__":
    support.main()
