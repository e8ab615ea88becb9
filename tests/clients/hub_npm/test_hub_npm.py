# SPDX-License-Identifier: Apache-2.0
"""Current npm @huggingface/hub, unchanged, with hubUrl at `hubvfs serve`: every call that reads.

What comes back is compared with the served folder. A table shows each call, what came of it and what
it asked of the server. What the client cannot do for a reason of its own has a test that says so.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import environment  # noqa: E402
from hub_folder import (ASKER, DATASET, MODEL, ODD, PLAIN, READER, REFS, SPACE, STRANGER, TOKENS,
                        WEIGHTS, HubFolder, Matrix, blob_id, digest, digests, is_lfs, pointer,
                        revision, support)

NODE = os.environ.get("HUBVFS_CLIENT_NODE") or environment.node()
CLIENT = os.environ.get("HUBVFS_NPM_CLIENT") or environment.npm_client()
STARS = "*" * 64
DENIED = "Access to model acme/manual is restricted"


def expected_entry(path: str, data: bytes) -> list:
    return [path, "file", len(data), blob_id(pointer(data) if is_lfs(path) else data),
            digest(data) if is_lfs(path) else None]


class HubNpm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = os.path.realpath(tempfile.mkdtemp(prefix="hubvfs-clients-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.hub = HubFolder(cls.work, "hub-npm")
        cls.addClassCleanup(cls.hub.server.close)
        cls.matrix = Matrix(cls.hub.server)
        cls.addClassCleanup(cls.matrix.print)

    @classmethod
    def answer(cls, name: str, repo: str = "", token: str = "", **parameters) -> dict:
        mark = cls.matrix.mark()
        more = {"hubUrl": cls.hub.server.url}
        if repo:
            more["name" if name.endswith("Info") and name not in ("pathsInfo", "fileDownloadInfo")
                 else "repo"] = repo
        if token:
            more["accessToken"] = token
        done = subprocess.run(
            [NODE, os.path.join(HERE, "calls.mjs"), name, json.dumps({**more, **parameters})],
            capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": cls.work, "LANG": "C.UTF-8",
                 "HUBVFS_NPM_CLIENT": CLIENT}, preexec_fn=support.die_with_parent)
        if done.returncode != 0:
            raise AssertionError(f"{name} {parameters} exited {done.returncode}:\n{done.stderr}")
        answer = json.loads(done.stdout.splitlines()[-1])
        what = " ".join(filter(None, [repo, *(str(v) for k, v in parameters.items()
                                              if k != "cacheDir")]))
        who = f" as {TOKENS.get(token, 'an unknown token')}" if token else ""
        result = answer.get("value")
        if "error" in answer:
            result = f"{answer['status'] or answer['error']}: {answer['message']}"
        if name == "snapshotDownload" and "value" in answer:
            result = next(iter(result.values()))
        cls.matrix.add(name, what[:60] + who, result, mark)
        return answer

    def call(self, name: str, *arguments, **parameters):
        answer = self.answer(name, *arguments, **parameters)
        self.assertIn("value", answer, (name, arguments, parameters, answer))
        return answer["value"]

    def refused(self, status: int, message: str, name: str, *arguments, **parameters) -> None:
        answer = self.answer(name, *arguments, **parameters)
        self.assertEqual(answer.get("status"), status, answer)
        self.assertTrue(answer["message"].startswith(message), answer)

    def cache(self) -> str:
        return tempfile.mkdtemp(prefix="cache-", dir=self.work)

    # --- files

    def test_download_info_of_regular_and_lfs_files(self):
        for path in ("config.json", "tokenizer/deep/more.txt"):
            self.assertEqual(self.call("fileDownloadInfo", "acme/tiny", path=path),
                             [len(MODEL[path]), f'"{blob_id(MODEL[path])}"'])
        # It sees the last hop only: the etag is the content store's.
        for path in ("model.safetensors", "small.bin"):
            size, etag = self.call("fileDownloadInfo", "acme/tiny", path=path)
            self.assertEqual(size, len(MODEL[path]))
            self.assertRegex(etag, '^"[0-9a-f]{64}"$')
        text = pointer(WEIGHTS)
        self.assertEqual(self.call("fileDownloadInfo", "acme/tiny", path="model.safetensors", raw=True),
                         [len(text), f'"{blob_id(text)}"'])
        self.assertIsNone(self.call("fileDownloadInfo", "acme/tiny", path="absent"))

    def test_download_of_regular_and_lfs_files(self):
        for path in ("config.json", "model.safetensors", "small.bin"):
            self.assertEqual(self.call("downloadFile", "acme/tiny", path=path),
                             [len(MODEL[path]), digest(MODEL[path])])
        self.assertIsNone(self.call("downloadFile", "acme/tiny", path="absent"))

    def test_slices_of_a_file_fetch_no_more_than_they_need(self):
        mark = self.matrix.mark()
        slices = [[5 << 20, (5 << 20) + 1000], [0, 8], [len(WEIGHTS) - 3, len(WEIGHTS)]]
        self.assertEqual(self.call("downloadFile slice", "acme/tiny", path="model.safetensors",
                                   slices=slices), [digest(WEIGHTS[a:b]) for a, b in slices])
        fetched = sum(e["bytes"] for e in self.hub.server.since(mark) if e["origin"] == "content")
        self.assertLess(fetched, 2000)

    def test_names_with_blanks_and_letters(self):
        path = "sub dir/ünï cödé+.txt"
        self.assertEqual(self.call("downloadFile", "acme/plain", path=path),
                         [len(PLAIN[path]), digest(PLAIN[path])])
        self.assertTrue(self.call("fileExists", "acme/plain", path=path))
        self.assertEqual([row[0] for row in self.call("listFiles", "acme/plain", path="sub dir")],
                         [path])
        self.assertEqual(self.call("pathsInfo", "acme/tiny", paths=[ODD])[0][:5],
                         expected_entry(ODD, MODEL[ODD]), "any name, since it is not in the URL")

    def test_what_it_does_not_escape_it_cannot_name(self):
        """'#' and '%' go out as they are: a reason of the client's own."""
        self.assertIsNone(self.call("downloadFile", "acme/tiny", path=ODD))
        encoded = ODD.replace("%", "%25").replace("#", "%23")
        self.assertEqual(self.call("downloadFile", "acme/tiny", path=encoded)[1], digest(MODEL[ODD]))

    def test_empty_files_it_cannot_describe(self):
        """It asks for a first byte, which an empty file has not: a reason of the client's own."""
        self.refused(416, "Range not satisfiable", "fileDownloadInfo", "acme/tiny", path="empty.txt")

    def test_file_exists(self):
        self.assertTrue(self.call("fileExists", "acme/tiny", path="model.safetensors"))
        self.assertTrue(self.call("fileExists", "acme/tiny", path="empty.txt"))
        self.assertFalse(self.call("fileExists", "acme/tiny", path="absent"))
        self.assertFalse(self.call("fileExists", "acme/tiny", path="config.json", revision="absent"))

    # --- listings

    def test_list_files_over_pages(self):
        rows = self.call("listFiles", "acme/tiny", recursive=True)
        self.assertEqual([row[:5] for row in rows if row[1] == "file"],
                         sorted(expected_entry(path, data) for path, data in MODEL.items()))
        self.assertEqual([row[0] for row in rows if row[1] == "directory"],
                         ["sub dir", "tokenizer", "tokenizer/deep"])
        expanded = self.call("listFiles", "acme/tiny", path="tokenizer/deep", expand=True)
        path = "tokenizer/deep/more.txt"
        self.assertEqual(expanded, [[*expected_entry(path, MODEL[path]), self.hub.sha]])

    def test_paths_info(self):
        rows = self.call("pathsInfo", "acme/tiny", paths=["config.json", "absent", "tokenizer"],
                         expand=True)
        self.assertEqual(rows[0], [*expected_entry("config.json", MODEL["config.json"]), self.hub.sha])
        self.assertEqual(rows[1][:3], ["tokenizer", "directory", 0])

    def test_info_of_each_type(self):
        self.assertEqual(self.call("modelInfo", "acme/tiny"),
                         {"id": "acme/tiny", "sha": self.hub.sha, "private": False, "gated": False,
                          "author": "acme", "filePaths": sorted(MODEL)})
        self.assertRegex(self.call("datasetInfo", "acme/set"), "^[0-9a-f]{40}$")
        self.assertRegex(self.call("spaceInfo", "acme/app"), "^[0-9a-f]{40}$")
        self.refused(401, "Invalid username or password.", "modelInfo", "acme/absent")

    def test_lists_of_an_owner_over_pages(self):
        public = ["acme/auto", "acme/manual", "acme/moving", "acme/other", "acme/plain", "acme/tiny"]
        owner = {"search": {"owner": "acme"}}
        self.assertEqual(self.call("listModels", **owner), public)
        self.assertEqual(self.call("listModels", token=READER, **owner),
                         sorted([*public, "acme/private"]))
        self.assertEqual(self.call("listDatasets", **owner), ["acme/set"])
        self.assertEqual(self.call("listSpaces", **owner), ["acme/app"])
        self.assertEqual(self.call("listModels", search={"owner": "nobody"}), [])

    # --- whole repos

    def test_snapshot_of_each_type(self):
        for repo, tree, folder in (("acme/plain", PLAIN, "models--acme--plain"),
                                   ("datasets/acme/set", DATASET, "datasets--acme--set"),
                                   ("spaces/acme/app", SPACE, "spaces--acme--app")):
            (where, found), = self.call("snapshotDownload", repo, cacheDir=self.cache()).items()
            self.assertEqual(found, digests(tree))
            self.assertEqual(where.split("/")[:2], [folder, "snapshots"])

    def test_snapshot_with_an_empty_file_it_cannot_download(self):
        """As with fileDownloadInfo: a reason of the client's own."""
        self.refused(416, "Range not satisfiable", "snapshotDownload", "acme/other",
                     cacheDir=self.cache())

    # --- revisions

    def test_each_kind_of_revision(self):
        for ref, folder in REFS.items():
            commit, tree = self.hub.commit("acme/tiny", ref), revision(folder)
            for path in ("which.txt", "which.bin"):
                self.assertEqual(self.call("downloadFile", "acme/tiny", path=path, revision=ref),
                                 [len(tree[path]), digest(tree[path])])
            self.assertEqual(self.call("modelInfo", "acme/tiny", revision=ref)["sha"], commit)
            self.assertEqual(self.call("pathsInfo", "acme/tiny", paths=["which.bin"], expand=True,
                                       revision=ref),
                             [[*expected_entry("which.bin", tree["which.bin"]), commit]])
            self.assertTrue(self.call("fileExists", "acme/tiny", path="which.txt", revision=ref))

    def test_listings_of_a_revision(self):
        for ref in ("dev", "v1.0", "refs/pr/1", "refs/convert/parquet"):
            tree = revision(REFS[ref])
            self.assertEqual([row[:5] for row in self.call("listFiles", "acme/tiny", revision=ref)],
                             sorted(expected_entry(path, data) for path, data in tree.items()))
            if not ref.startswith("refs/"):
                self.assertEqual(self.call("listCommits", "acme/tiny", revision=ref),
                                 [self.hub.commit("acme/tiny", ref)])

    def test_a_branch_with_a_slash_it_cannot_list(self):
        """listFiles does not encode the revision: a reason of the client's own."""
        self.refused(404, "Invalid rev id: feat", "listFiles", "acme/tiny", revision="feat/x")
        tree = revision("feature")
        self.assertEqual(len(self.call("listFiles", "acme/tiny", revision="feat%2Fx")), len(tree))

    def test_snapshot_of_a_branch_and_of_a_commit(self):
        commit, tree = self.hub.commit("acme/tiny", "v1.0"), revision("one")
        for spelt in ("v1.0", commit, "refs/pr/1", "feat/x"):
            tree = revision(REFS.get(spelt, "one"))
            (where, found), = self.call("snapshotDownload", "acme/tiny", revision=spelt,
                                        cacheDir=self.cache()).items()
            self.assertEqual(found, digests(tree), spelt)
            self.assertEqual(where.split("/")[-1], self.hub.commit("acme/tiny", spelt))

    def test_a_revision_that_is_absent(self):
        for name, more in (("listFiles", {}), ("pathsInfo", {"paths": ["x"]}), ("modelInfo", {}),
                           ("downloadFile", {"path": "config.json"})):
            self.refused(404, "Invalid rev id: absent", name, "acme/tiny", revision="absent", **more)

    def test_a_renamed_repo_is_found_by_its_old_name(self):
        self.assertEqual(self.call("modelInfo", "acme/old-name")["id"], "acme/tiny")
        self.assertEqual(len(self.call("listFiles", "acme/old-name", recursive=True)), 12)
        self.assertEqual(self.call("downloadFile", "acme/old-name", path="small.bin")[1],
                         digest(MODEL["small.bin"]))
        self.assertEqual(self.call("pathsInfo", "acme/old-name", paths=["small.bin"])[0][0],
                         "small.bin", "a POST is sent again as one")

    # --- access

    def test_who_may_see_a_private_repo(self):
        self.assertEqual(self.call("checkRepoAccess", "acme/private", token=READER), "may")
        self.assertEqual(self.call("modelInfo", "acme/private", token=READER)["private"], True)
        self.assertEqual(self.call("downloadFile", "acme/private", path="small.bin", token=READER)[1],
                         digest(MODEL["small.bin"]))
        self.refused(401, "Invalid username or password.", "checkRepoAccess", "acme/private")
        self.refused(404, "Repository not found", "checkRepoAccess", "acme/private", token=STRANGER)
        self.assertEqual([self.call("repoExists", "acme/private", token=token)
                          for token in (READER, STRANGER, "")], [True, False, False])

    def test_gated_content_with_a_grant(self):
        for repo, token in (("acme/manual", READER), ("acme/auto", READER), ("acme/auto", ASKER)):
            for path in ("config.json", "small.bin"):
                self.assertEqual(self.call("downloadFile", repo, path=path, token=token)[1],
                                 digest(MODEL[path]))

    def test_gated_content_without_a_grant(self):
        asked = {"path": "config.json"}
        self.refused(401, DENIED + ". You must", "downloadFile", "acme/manual", **asked)
        self.refused(403, DENIED + " and you are not", "downloadFile", "acme/manual", token=STRANGER,
                     **asked)
        self.refused(403, "Your request to access model acme/manual is awaiting", "downloadFile",
                     "acme/manual", token=ASKER, **asked)
        self.refused(401, DENIED, "fileDownloadInfo", "acme/manual", path="small.bin")
        self.assertEqual(self.call("downloadFile", "acme/manual", path="README.md")[1],
                         digest(MODEL["README.md"]))
        self.assertEqual(self.call("checkRepoAccess", "acme/manual"), "may",
                         "it asks for the repo's info, which is public")
        rows = self.call("listFiles", "acme/manual", recursive=True)
        self.assertEqual({row[4] for row in rows}, {None, STARS})
        self.assertEqual(self.call("modelInfo", "acme/auto")["gated"], "auto")

    def test_who_am_i(self):
        self.assertEqual(self.call("whoAmI", token=READER), ["user", "ada", [], "read"])
        self.refused(401, "Invalid credentials in Authorization header", "whoAmI",
                     token="hf_unknownunknown")

    def test_zz_no_request_failed_on_the_servers_side(self):
        self.assertFalse([e for e in self.hub.server.entries() if e["status"] >= 500])


if __name__ == "__main__":
    if not NODE or not CLIENT:
        print("SKIPPED:", environment.why_no_npm_client())
        raise SystemExit(support.SKIP_EXIT)
    support.binary()
    unittest.main(verbosity=2)
