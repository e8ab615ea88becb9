# SPDX-License-Identifier: Apache-2.0
"""Current huggingface_hub, unchanged, with HF_ENDPOINT at `hubvfs serve`: every call that reads.

What comes back is compared with the served folder. A table shows each call, what came of it and what
it asked of the server.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import environment  # noqa: E402
from hub_folder import (ASKER, DATASET, MODEL, ODD, READER, REFS, SPACE, STRANGER, TOKENS, WEIGHTS,
                        HubFolder, Matrix, blob_id, digest, digests, is_lfs, pointer, revision,
                        support)

PYTHON = os.environ.get("HUBVFS_CLIENT_PYTHON") or environment.python()
STARS = "*" * 64


def expected_entry(path: str, tree: dict = MODEL) -> list:
    data = tree[path]
    return [path, len(data), blob_id(pointer(data) if is_lfs(path) else data),
            digest(data) if is_lfs(path) else None]


class HubPython(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = os.path.realpath(tempfile.mkdtemp(prefix="hubvfs-clients-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.homes = 0
        cls.hub = HubFolder(cls.work, "hub-python")
        cls.server = cls.hub.server
        cls.addClassCleanup(cls.server.close)
        cls.sha = cls.hub.sha
        cls.matrix = Matrix(cls.server)
        cls.addClassCleanup(cls.matrix.print)

    @classmethod
    def client_environment(cls, home: str, token: str) -> dict:
        home = home or f"home-{cls.homes}"
        cls.homes += 1
        path = os.path.join(cls.work, home)
        os.makedirs(path, exist_ok=True)
        env = {"PATH": os.environ["PATH"], "HOME": path, "HF_HOME": os.path.join(path, "hf"),
               "LANG": "C.UTF-8", "HF_ENDPOINT": cls.server.url,
               "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
        if token:
            env["HF_TOKEN"] = token
        return env

    @classmethod
    def client(cls, command: list, home: str = "", token: str = "") -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False,
                              env=cls.client_environment(home, token), stdin=subprocess.DEVNULL,
                              preexec_fn=support.die_with_parent)
        if done.returncode != 0:
            raise AssertionError(f"{command[-4:]} exited {done.returncode}:\n{done.stderr}")
        return done.stdout

    @classmethod
    def call(cls, *words: str, token: str = "", home: str = ""):
        mark = cls.matrix.mark()
        text = cls.client([PYTHON, "-B", os.path.join(HERE, "calls.py"), *words], home, token)
        result = json.loads(text.splitlines()[-1])
        who = f" as {TOKENS.get(token, 'an unknown token')}" if token else ""
        name, *arguments = words[1:] if words[0] == "failure" else words
        cls.matrix.add(name, " ".join(arguments)[:60] + who, result, mark)
        return result

    def cli(self, *words: str, **more) -> str:
        hf = os.path.join(os.path.dirname(PYTHON), "hf")
        mark = self.matrix.mark()
        out = self.client([hf, *words], **more)
        self.matrix.add("hf " + words[0], " ".join(w for w in words[1:] if self.work not in w), "done",
                        mark)
        return out

    # --- downloads

    def test_snapshot_download_of_each_type(self):
        self.assertEqual(self.call("snapshot_download", "acme/tiny"), digests(MODEL))
        self.assertEqual(self.call("snapshot_download", "acme/set", "dataset"), digests(DATASET))
        self.assertEqual(self.call("snapshot_download", "acme/app", "space"),
                         digests(SPACE))

    def test_snapshot_download_again_fetches_no_content(self):
        self.call("snapshot_download", "acme/tiny", home="twice")
        mark = self.server.mark()
        self.call("snapshot_download", "acme/tiny", home="twice")
        seen = self.server.since(mark)
        self.assertFalse([e for e in seen if e["origin"] == "content"])

    def test_hf_hub_download_of_every_kind_of_file(self):
        names = ["config.json", "model.safetensors", "small.bin", "empty.txt", ODD]
        self.assertEqual(self.call("hf_hub_download", "acme/tiny", *names),
                         {name: digest(MODEL[name]) for name in names})

    def test_file_metadata_has_commit_etag_and_size(self):
        for name in ("config.json", "model.safetensors", "empty.txt", ODD):
            data = MODEL[name]
            etag = digest(data) if is_lfs(name) else blob_id(data)
            self.assertEqual(self.call("file_metadata", "acme/tiny", name),
                             [self.sha, etag, len(data)])

    def test_download_by_the_command(self):
        folder = os.path.join(self.work, "by-command")
        self.cli("download", "acme/tiny", "--local-dir", folder)
        for path, data in MODEL.items():
            with open(os.path.join(folder, path), "rb") as file:
                self.assertEqual(file.read(), data, path)
        out = self.cli("download", "acme/tiny", "config.json")
        self.assertIn(self.sha, out)
        self.cli("download", "--repo-type", "dataset", "acme/set", "--local-dir", folder + "-set")
        with open(os.path.join(folder + "-set", "data/test.csv"), "rb") as file:
            self.assertEqual(file.read(), DATASET["data/test.csv"])

    # --- the file system

    def test_filesystem_lists_finds_and_globs(self):
        self.assertEqual(self.call("filesystem_ls", "acme/tiny/tokenizer"),
                         [["acme/tiny/tokenizer/deep", "directory", 0],
                          ["acme/tiny/tokenizer/vocab.txt", "file", 8]])
        self.assertEqual(self.call("filesystem_find", "acme/tiny"),
                         sorted("acme/tiny/" + path for path in MODEL))
        self.assertEqual(self.call("filesystem_find", "datasets/acme/set"),
                         sorted("datasets/acme/set/" + path for path in DATASET))
        self.assertEqual(self.call("filesystem_glob", "acme/tiny/**/*.txt"),
                         sorted("acme/tiny/" + p for p in MODEL if p.endswith(".txt")))
        self.assertEqual(self.call("filesystem_exists", "acme/tiny/config.json",
                                   "acme/tiny/absent"), [True, False])

    def test_filesystem_reads_ranges_of_an_open_file(self):
        mark = self.server.mark()
        ranges = [(5 << 20, (5 << 20) + 1000), (0, 8), (len(WEIGHTS) - 3, len(WEIGHTS))]
        self.assertEqual(
            self.call("filesystem_read", "acme/tiny/model.safetensors",
                      *(f"{a}:{b}" for a, b in ranges)),
            [digest(WEIGHTS[a:b]) for a, b in ranges])
        fetched = sum(e["bytes"] for e in self.server.since(mark) if e["origin"] == "content")
        self.assertLess(fetched, len(WEIGHTS) // 2)
        self.assertEqual(self.call("filesystem_read", "acme/tiny/" + ODD, "3:6"),
                         [digest(MODEL[ODD][3:6])])

    # --- metadata

    def test_list_repo_tree_over_pages(self):
        rows = self.call("list_repo_tree", "acme/tiny")
        self.assertEqual([r[:4] for r in rows if r[1] is not None],
                         sorted(expected_entry(path) for path in MODEL))
        self.assertEqual([r[0] for r in rows if r[1] is None],
                         ["sub dir", "tokenizer", "tokenizer/deep"])
        below = self.call("list_repo_tree", "acme/tiny", "tokenizer/deep", "expand")
        self.assertEqual(below, [[*expected_entry("tokenizer/deep/more.txt"), self.sha]])

    def test_paths_info(self):
        names = [ODD, "config.json", "model.safetensors"]
        self.assertEqual(self.call("paths_info", "acme/tiny", "absent", *names),
                         sorted([*expected_entry(name), self.sha] for name in names))

    def test_repo_info_of_each_type(self):
        info = self.call("repo_info", "acme/tiny")
        self.assertEqual([info["id"], info["sha"], info["private"], info["gated"], info["author"]],
                         ["acme/tiny", self.sha, False, False, "acme"])
        self.assertEqual(info["files"], sorted(expected_entry(path)[:3] for path in MODEL))
        self.assertEqual(self.call("repo_info", "acme/tiny", "model", self.sha), info)
        self.assertEqual(self.call("repo_info", "acme/set", "dataset")["id"], "acme/set")
        self.assertEqual(self.call("repo_info", "acme/app", "space")["id"], "acme/app")
        self.assertEqual(self.call("repo_info_expand", "acme/tiny"),
                         {"sha": self.sha, "gated": False, "siblings": None})

    def test_refs_commits_and_files(self):
        self.assertEqual(self.call("list_repo_refs", "acme/tiny"), [
            ["main", "refs/heads/main", self.sha],
            *([name, ref, self.hub.commit("acme/tiny", ref)] for name, ref in (
                ("dev", "refs/heads/dev"), ("feat/x", "refs/heads/feat/x"), ("v1.0", "refs/tags/v1.0"),
                ("parquet", "refs/convert/parquet"), ("refs/pr/1", "refs/pr/1")))])
        self.assertEqual(self.call("list_repo_commits", "acme/tiny"), [self.sha])
        self.assertEqual(self.call("list_repo_files", "acme/tiny"), sorted(MODEL))

    def test_lists_of_an_owner_over_pages(self):
        public = ["acme/auto", "acme/manual", "acme/moving", "acme/other", "acme/plain", "acme/tiny"]
        self.assertEqual(self.call("list_models", "acme"), public)
        self.assertEqual(self.call("list_models", "acme", token=READER),
                         sorted([*public, "acme/private"]))
        self.assertEqual(self.call("list_datasets", "acme"), ["acme/set"])
        self.assertEqual(self.call("list_spaces", "acme"), ["acme/app"])
        self.assertEqual(self.call("list_models", "nobody"), [])

    # --- revisions

    def test_each_kind_of_revision(self):
        for ref, folder in REFS.items():
            commit, tree = self.hub.commit("acme/tiny", ref), revision(folder)
            self.assertEqual(self.call("download_at", "acme/tiny", ref, "which.txt"),
                             [commit, digest(tree["which.txt"])])
            self.assertEqual(self.call("download_at", "acme/tiny", ref, "which.bin"),
                             [commit, digest(tree["which.bin"])])
            self.assertEqual(self.call("repo_info", "acme/tiny", "model", ref)["sha"], commit)
            self.assertEqual(self.call("list_repo_files", "acme/tiny", ref), sorted(tree))

    def test_a_commit_whole_or_its_first_digits(self):
        commit = self.hub.commit("acme/tiny", "v1.0")
        for spelt in (commit, commit[:7]):
            self.assertEqual(self.call("download_at", "acme/tiny", spelt, "which.txt"),
                             [commit, digest(revision("one")["which.txt"])])

    def test_listings_and_downloads_of_a_revision(self):
        commit, tree = self.hub.commit("acme/tiny", "feat/x"), revision("feature")
        self.assertEqual(self.call("snapshot_download", "acme/tiny", "model", "feat/x"), digests(tree))
        self.assertEqual(self.call("list_repo_tree", "acme/tiny", "", "expand", "feat/x"),
                         sorted([*expected_entry(path, tree), commit] for path in tree))
        self.assertEqual(self.call("paths_info_at", "acme/tiny", "feat/x", "which.bin", "config.json"),
                         [[*expected_entry("which.bin", tree), commit]])
        self.assertEqual(self.call("list_repo_commits", "acme/tiny", "feat/x"), [commit])
        self.assertEqual(self.call("file_metadata", "acme/tiny", "which.txt", "feat/x"),
                         [commit, blob_id(tree["which.txt"]), len(tree["which.txt"])])
        self.assertEqual(self.call("existence", "acme/tiny", "which.txt", "feat/x", token=READER),
                         [True, True, False, True, False])

    def test_filesystem_paths_with_a_revision(self):
        for ref in ("dev", "feat%2Fx", "v1.0", "refs/pr/1", "refs/convert/parquet"):
            tree = revision(REFS[ref.replace("%2F", "/")])
            self.assertEqual(self.call("filesystem_read", f"acme/tiny@{ref}/which.bin", "0:100"),
                             [digest(tree["which.bin"])])
            self.assertEqual(len(self.call("filesystem_ls", f"acme/tiny@{ref}")), len(tree))

    def test_a_renamed_repo_is_found_by_its_old_name(self):
        self.assertEqual(self.call("repo_info", "acme/old-name")["id"], "acme/tiny")
        self.assertEqual(self.call("hf_hub_download", "acme/old-name", "config.json", "small.bin"),
                         {name: digest(MODEL[name]) for name in ("config.json", "small.bin")})
        self.assertEqual(self.call("download_at", "acme/old-name", "v1.0", "which.txt")[0],
                         self.hub.commit("acme/tiny", "v1.0"))
        self.assertEqual(self.call("snapshot_download", "acme/old-name"), digests(MODEL))

    def test_a_branch_moves_and_who_has_its_commit_goes_on(self):
        before = self.call("repo_info", "acme/moving")["sha"]
        self.assertEqual(self.call("snapshot_download", "acme/moving"), digests(revision("before")))
        self.hub.set_settings("acme/moving", {"branches": {"main": "after"}})
        support.wait_for(lambda: self.hub.commit("acme/moving", "main") != before, "main to move")
        self.assertNotEqual(self.call("repo_info", "acme/moving")["sha"], before)
        self.assertEqual(self.call("snapshot_download", "acme/moving"), digests(revision("after")))
        self.assertEqual(self.call("snapshot_download", "acme/moving", "model", before),
                         digests(revision("before")))

    # --- access

    def test_existence_for_a_signed_in_user(self):
        self.assertEqual(self.call("existence", "acme/tiny", ODD, token=READER),
                         [True, True, False, True, False])
        self.assertEqual(self.call("existence", "acme/private", "README.md", token=STRANGER),
                         [False] * 5)

    def test_private_and_gated_repos_for_those_with_a_grant(self):
        for repo, token in (("acme/private", READER), ("acme/manual", READER), ("acme/auto", READER),
                            ("acme/auto", ASKER)):
            self.assertEqual(self.call("snapshot_download", repo, token=token), digests(MODEL))
            self.assertEqual(self.call("auth_check", repo, token=token), "OK")
        self.assertEqual(self.call("repo_info", "acme/private", token=READER)["private"], True)

    def test_gated_repos_without_a_grant(self):
        self.assertEqual(self.call("hf_hub_download", "acme/manual", "README.md"),
                         {"README.md": digest(MODEL["README.md"])})
        for repo, gate in (("acme/manual", "manual"), ("acme/auto", "auto")):
            info = self.call("repo_info", repo)
            self.assertEqual([info["gated"], info["lfs"]], [gate, [STARS] * 2])
            rows = self.call("paths_info", repo, "small.bin", token=STRANGER)
            self.assertEqual(rows[0][:4], [*expected_entry("small.bin")[:3], STARS])
        rows = self.call("list_repo_tree", "acme/manual", token=ASKER)
        self.assertEqual({row[3] for row in rows}, {None, STARS})

    def test_whoami(self):
        self.assertEqual(self.call("whoami", token=READER), ["user", "ada", [], "read"])
        self.assertIn("ada", self.cli("auth", "whoami", token=READER))

    def test_errors_are_the_clients_own(self):
        denied = "Access to model acme/manual is restricted"
        for words, token, error, message in (
                (("hf_hub_download", "acme/tiny", "absent"), "", "RemoteEntryNotFoundError", "Entry not"),
                (("download_at", "acme/tiny", "absent", "f"), "", "RevisionNotFoundError",
                 "Invalid rev id: absent"),
                (("repo_info", "acme/tiny", "model", "absent"), "", "RevisionNotFoundError",
                 "Invalid rev id: absent"),
                (("list_repo_tree", "acme/tiny", "", "", "refs/pr/2"), "", "RevisionNotFoundError",
                 "Invalid rev id: refs/pr/2"),
                (("repo_info", "acme/absent"), STRANGER, "RepositoryNotFoundError", "Repository not"),
                (("repo_info", "acme/private"), STRANGER, "RepositoryNotFoundError", "Repository not"),
                (("repo_info", "acme/private"), "", "HfHubHTTPError", "Invalid username or password."),
                (("auth_check", "acme/manual"), STRANGER, "GatedRepoError", denied + " and you are not"),
                (("hf_hub_download", "acme/manual", "config.json"), "", "GatedRepoError",
                 denied + ". You must have access"),
                (("hf_hub_download", "acme/manual", "small.bin"), STRANGER, "GatedRepoError",
                 denied + " and you are not"),
                (("hf_hub_download", "acme/manual", "small.bin"), ASKER, "GatedRepoError",
                 "Your request to access model acme/manual is awaiting a review"),
                (("hf_hub_download", "acme/auto", "small.bin"), STRANGER, "GatedRepoError", ""),
                (("list_repo_tree", "acme/tiny", "absent"), "", "RemoteEntryNotFoundError",
                 'absent does not exist on "main"'),
                (("whoami",), "hf_unknownunknown", "HfHubHTTPError", "Invalid credentials"),
                (("repo_info", "acme/tiny"), "hf_unknownunknown", "HfHubHTTPError",
                 "Invalid credentials")):
            found = self.call("failure", *words, token=token)
            self.assertTrue(found.startswith(f"{error}: {message}"), (words, found))

    def test_a_token_revoked_while_serving(self):
        self.addCleanup(self.hub.set_tokens, TOKENS)
        self.assertEqual(self.call("whoami", token=ASKER)[1], "eve")
        self.hub.set_tokens({token: user for token, user in TOKENS.items() if token != ASKER})
        support.wait_for(lambda: self.hub.get("/api/whoami-v2", ASKER)[0] == 401, "the revocation")
        for words in (("whoami",), ("hf_hub_download", "acme/auto", "config.json")):
            self.assertIn("Invalid credentials in Authorization header",
                          self.call("failure", *words, token=ASKER))
        self.assertEqual(self.call("whoami", token=READER)[1], "ada")

    def test_zz_no_request_failed_on_the_servers_side(self):
        self.assertFalse([e for e in self.server.entries() if e["status"] >= 500])
        for entry in self.server.entries():
            self.assertNotIn("Signature", json.dumps(entry))
            self.assertNotIn(READER, urllib.parse.unquote(json.dumps(entry)))


def why_skipped() -> str:
    if not PYTHON:
        return environment.why_missing()
    done = subprocess.run([PYTHON, "-c", "import huggingface_hub, fsspec"], capture_output=True,
                          check=False, timeout=120)
    return "" if done.returncode == 0 else f"{PYTHON} has no huggingface_hub"


if __name__ == "__main__":
    skipped = why_skipped()
    if skipped:
        print("SKIPPED:", skipped)
        raise SystemExit(support.SKIP_EXIT)
    support.binary()
    unittest.main(verbosity=2)
