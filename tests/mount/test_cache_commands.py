# SPDX-License-Identifier: Apache-2.0
"""pin, unpin, evict and `hubvfs cache ...`: beside a mount, and alone."""

import os
import random

import support
from commands import CommandTestCase
from support import MIB, content

SIZE = 4 * MIB + 5


class CacheCommands(CommandTestCase):
    REPOS = ("org/model", "org/fork")

    @classmethod
    def make_tree(cls, folder):
        for repo in cls.REPOS:  # the weights are the same content
            support.write_file(folder, f"{repo}/weights.safetensors", content("weights", SIZE))
            support.write_file(folder, f"{repo}/config.json", f'{{"of": "{repo}"}}\n'.encode())
        cls.config = len('{"of": "org/model"}\n')

    def in_both_ways(self):
        """Once beside a mount of the cache and once without, each with a cache of its own."""
        for mounted in (True, False):
            self.cache = f"{self.place('cache')}-{mounted}"
            mount = self.mounted() if mounted else None
            yield mount
            if mount:
                self.assertEqual(mount.stop(), 0, mount.log())

    def used(self):
        return self.told("cache", "stats")["cache"]["bytes_used"]

    def commits(self):
        return {commit["repo"]: commit for commit in self.told("cache", "ls")["commits"]}

    def test_what_is_known_and_here_is_listed(self):
        for mount in self.in_both_ways():
            self.told("prefetch", "org/model")
            self.told("prefetch", "org/fork", "--include", "*.json")
            commits = self.commits()
            self.assertTrue(commits["org/model"]["complete"])
            self.assertEqual(commits["org/model"]["revisions"], ["main"])
            self.assertEqual(commits["org/model"]["bytes_cached"], SIZE + self.config)
            self.assertGreater(commits["org/model"]["last_used"], 0)
            self.assertTrue(commits["org/fork"]["bytes_cached"] > SIZE, "the weights are the model's")
            usage = self.told("cache", "du")
            alone = {repo["repo"]: repo["bytes_of_it_alone"] for repo in usage["repos"]}
            self.assertEqual(alone, {"org/model": self.config, "org/fork": self.config - 1})
            self.assertEqual(usage["bytes_cached"], SIZE + 2 * self.config - 1)
            self.assertIn("org/model @main", self.hubvfs("cache", "ls").stdout)
            self.assertIn("org/fork", self.hubvfs("cache", "du").stdout)
            if mount:
                self.assertEqual(mount.status()["cache"]["bytes_used"], usage["bytes_cached"])

    def test_pins_hold_over_restarts_until_they_are_let_go(self):
        self.told("pin", "org/model")
        self.assertTrue(self.commits()["org/model"]["pinned"])
        self.assertIn("hubvfs unpin org/model", self.refused("evict", "org/model"))
        mount = self.mounted()
        self.assertEqual(mount.status()["cache"]["pinned_bytes"], SIZE + self.config)
        self.assertEqual(self.told("cache", "prune", "--to", "0")["bytes_freed"], 0)
        self.told("prefetch", "org/fork")
        self.assertEqual(self.told("evict", "org/fork")["bytes_kept_pinned"], SIZE)
        self.assertIn("not pinned", self.refused("unpin", "org/fork"))
        self.assertEqual(self.told("unpin", "org/model")["unpinned"], ["org/model"])
        self.assertFalse(self.commits()["org/model"]["pinned"])
        self.assertEqual(self.told("evict", "org/model")["bytes_freed"], SIZE + self.config)

    def test_evict_keeps_what_others_use_and_readers_fetch_again(self):
        for mount in self.in_both_ways():
            self.told("prefetch", "org/model")
            self.told("prefetch", "org/fork")
            told = self.told("evict", "org/model")
            self.assertEqual((told["bytes_freed"], told["bytes_kept_for_others"]),
                             (self.config, SIZE))
            said = self.hubvfs("evict", "org/fork").stdout
            self.assertIn("freed 4.0 MiB", said)
            self.assertEqual(self.used(), 0)
            if mount:
                self.assert_reads_as_served(mount / "org/model")
            self.assertIn("nothing is known of org/absent", self.refused("evict", "org/absent"))

    def test_prune_by_size_and_by_age(self):
        for _ in self.in_both_ways():
            self.told("prefetch", "org/model")
            self.assertEqual(self.told("cache", "prune", "--older-than", "1d")["bytes_freed"], 0)
            self.assertLessEqual(self.told("cache", "prune", "--to", "2M")["bytes_used"], 2 * MIB)
            self.told("cache", "prune", "--older-than", "0s")
            self.assertEqual(self.used(), 0)
        for wrong in ((), ("--to", "much"), ("--to", "101%"), ("--older-than", "long")):
            done = self.hubvfs("cache", "prune", *wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn("--", done.stderr)

    def damage(self):
        """One flipped bit in the middle of the big file."""
        blobs = [os.path.join(folder, name)
                 for folder, _, names in os.walk(self.cache + "/blobs/public") for name in names]
        [path] = [path for path in blobs if not path.endswith(".map")]
        with open(path, "r+b") as file:
            file.seek(2 * MIB + random.Random(1).randrange(MIB))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x10]))

    def test_damage_is_found_named_and_repaired(self):
        for mount in self.in_both_ways():
            self.told("prefetch", "org/model")
            said = self.hubvfs("cache", "verify")
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertIn("0 blocks damaged", said.stdout)
            self.assertIn("checking: ", said.stdout)
            self.damage()
            found = self.hubvfs("cache", "verify", "--json")
            self.assertEqual(found.returncode, 1, found.stderr)
            self.assertIn('/weights.safetensors"', found.stdout)
            self.assertIn("org/model@", self.hubvfs("cache", "verify").stdout)
            told = self.told("cache", "verify", "--repair")
            self.assertEqual((told["bad_blocks"], told["repaired"]), (1, True))
            self.assertEqual(self.told("cache", "verify")["bad_blocks"], 0)
            self.assertEqual(self.told("prefetch", "org/model")["bytes_fetched"], MIB)
            if mount:
                self.assert_reads_as_served(mount / "org/model")

    def test_repos_go_by_the_endpoint_they_are_of(self):
        self.told("prefetch", "org/model")
        self.assertIn("nothing is known of org/model at https://huggingface.co",
                      self.refused("evict", "org/model", HF_ENDPOINT=""))


if __name__ == "__main__":
    support.main()
