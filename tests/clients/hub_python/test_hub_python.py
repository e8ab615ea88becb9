# SPDX-License-Identifier: Apache-2.0
"""Current huggingface_hub, unchanged, with HF_ENDPOINT at `hubvfs serve`: every call that reads.

What comes back is compared with the served folder. A table shows what each call asked for.
"""

import hashlib
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
sys.path.insert(0, os.path.join(HERE, "../../mount"))
import environment  # noqa: E402
import support  # noqa: E402

PYTHON = os.environ.get("HUBVFS_CLIENT_PYTHON") or environment.python()
WEIGHTS = support.content("weights", 12 << 20)
ODD = "sub dir/a b+c#%ä.txt"
MODEL = {
    ".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "README.md": b"---\nlicense: mit\n---\nA model.\n",
    "config.json": b'{"model_type": "bert"}\n',
    "empty.txt": b"",
    "small.bin": b"marked as LFS, and small",
    "model.safetensors": WEIGHTS,
    "tokenizer/vocab.txt": b"one\ntwo\n",
    "tokenizer/deep/more.txt": b"three\n",
    ODD: b"an odd name",
}
DATASET = {"data/train.csv": b"a,b\n1,2\n", "data/test.csv": b"a,b\n3,4\n"}
READER, STRANGER = "hf_readerreader", "hf_strangerstranger"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digests(tree: dict) -> dict:
    return {path: digest(data) for path, data in tree.items()}


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(data: bytes) -> bytes:
    return (f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest(data)}\n"
            f"size {len(data)}\n").encode()


def is_lfs(path: str) -> bool:
    return path.endswith((".bin", ".safetensors"))


def expected_entry(path: str) -> list:
    data = MODEL[path]
    return [path, len(data), blob_id(pointer(data) if is_lfs(path) else data),
            digest(data) if is_lfs(path) else None]


class HubPython(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = os.path.realpath(tempfile.mkdtemp(prefix="hubvfs-clients-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.homes = 0
        folder = os.path.join(cls.work, "served")
        trees = {"acme/tiny": MODEL, "acme/other": {"f": b"x"}, "acme/third": {"f": b"y"},
                 "acme/private": {**MODEL, ".hubvfs-repo.json":
                                  b'{"private": true, "readers": ["ada"]}'},
                 "acme/gated": {**MODEL, ".hubvfs-repo.json":
                                b'{"gated": "auto", "readers": ["ada"]}'},
                 "datasets/acme/set": DATASET, "spaces/acme/app": {"app.py": b"print()\n"}}
        for repo, tree in trees.items():
            for path, data in tree.items():
                support.write_file(os.path.join(folder, repo), path, data)
        tokens = os.path.join(cls.work, "tokens")
        with open(tokens, "w") as file:
            file.write(f"{READER} ada\n{STRANGER} bob\n")
        cls.server = support.Server(folder, os.path.join(cls.work, "serve"), "hub-python",
                                    "--page-size", "3", "--token-file", tokens)
        cls.addClassCleanup(cls.server.close)
        for route in ("models/acme/tiny", "models/acme/other", "models/acme/third",
                      "models/acme/gated", "datasets/acme/set", "spaces/acme/app"):
            support.wait_for(lambda r=route: cls.server.get("/api/" + r)[0] == 200, route, 120)
        support.wait_for(lambda: cls.call("existence", "acme/private", "README.md", token=READER,
                                          label="")[0], "acme/private", 120)
        cls.sha = json.loads(cls.server.get("/api/models/acme/tiny")[1])["sha"]
        cls.rows = [("call", "requests", "of them content", "bytes", "errors answered")]

    @classmethod
    def tearDownClass(cls):
        width = [max(len(str(row[i])) for row in cls.rows) for i in range(len(cls.rows[0]))]
        for row in cls.rows:
            print("  ".join(str(cell).ljust(w) for cell, w in zip(row, width)).rstrip())

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
    def client(cls, command: list, label: str, home: str = "", token: str = "") -> str:
        mark = cls.server.mark()
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False,
                              env=cls.client_environment(home, token), stdin=subprocess.DEVNULL,
                              preexec_fn=support.die_with_parent)
        if done.returncode != 0:
            raise AssertionError(f"{command[-4:]} exited {done.returncode}:\n{done.stderr}")
        if label:
            seen = cls.server.since(mark)
            errors = sorted({e["status"] for e in seen if e["status"] >= 400 and
                             e["path"] != "/api/agent-harnesses"})  # 404 is its answer
            cls.rows.append((label, len(seen), sum(e["origin"] == "content" for e in seen),
                             sum(e["bytes"] for e in seen if e["status"] in (200, 206)),
                             ", ".join(map(str, errors))))
        return done.stdout

    @classmethod
    def call(cls, *words: str, label=None, **more):
        text = cls.client([PYTHON, "-B", os.path.join(HERE, "calls.py"), *words],
                          words[0] if label is None else label, **more)
        return json.loads(text.splitlines()[-1])

    def cli(self, *words: str, **more) -> str:
        hf = os.path.join(os.path.dirname(PYTHON), "hf")
        return self.client([hf, *words], "hf " + words[0], **more)

    # --- downloads

    def test_snapshot_download_of_each_type(self):
        self.assertEqual(self.call("snapshot_download", "acme/tiny"), digests(MODEL))
        self.assertEqual(self.call("snapshot_download", "acme/set", "dataset"), digests(DATASET))
        self.assertEqual(self.call("snapshot_download", "acme/app", "space"),
                         digests({"app.py": b"print()\n"}))

    def test_snapshot_download_again_fetches_no_content(self):
        self.call("snapshot_download", "acme/tiny", home="twice")
        mark = self.server.mark()
        self.call("snapshot_download", "acme/tiny", home="twice", label="the same again")
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
        self.assertEqual(self.call("list_repo_refs", "acme/tiny"),
                         [["main", "refs/heads/main", self.sha], [], [], []])
        self.assertEqual(self.call("list_repo_commits", "acme/tiny"), [self.sha])
        self.assertEqual(self.call("list_repo_files", "acme/tiny"), sorted(MODEL))

    def test_lists_of_an_owner_over_pages(self):
        public = ["acme/gated", "acme/other", "acme/third", "acme/tiny"]
        self.assertEqual(self.call("list_models", "acme"), public)
        self.assertEqual(self.call("list_models", "acme", token=READER),
                         sorted([*public, "acme/private"]))
        self.assertEqual(self.call("list_datasets", "acme"), ["acme/set"])
        self.assertEqual(self.call("list_spaces", "acme"), ["acme/app"])
        self.assertEqual(self.call("list_models", "nobody"), [])

    # --- access

    def test_existence_for_a_signed_in_user(self):
        self.assertEqual(self.call("existence", "acme/tiny", ODD, token=READER),
                         [True, True, False, True, False])
        self.assertEqual(self.call("existence", "acme/private", "README.md", token=STRANGER),
                         [False] * 5)

    def test_private_and_gated_repos_for_their_readers(self):
        for repo in ("acme/private", "acme/gated"):
            self.assertEqual(self.call("snapshot_download", repo, token=READER), digests(MODEL))
            self.assertEqual(self.call("auth_check", repo, token=READER), "OK")
        self.assertEqual(self.call("whoami", token=READER), "ada")
        self.assertEqual(self.call("hf_hub_download", "acme/gated", "README.md"),
                         {"README.md": digest(MODEL["README.md"])})

    def test_errors_are_the_clients_own(self):
        for words, token, error in (
                (("hf_hub_download", "acme/tiny", "absent"), "", "RemoteEntryNotFoundError"),
                (("repo_info", "acme/tiny", "model", "absent"), "", "RevisionNotFoundError"),
                (("repo_info", "acme/absent"), STRANGER, "RepositoryNotFoundError"),
                (("repo_info", "acme/private"), STRANGER, "RepositoryNotFoundError"),
                (("auth_check", "acme/gated"), STRANGER, "GatedRepoError"),
                (("hf_hub_download", "acme/gated", "config.json"), "", "GatedRepoError"),
                (("hf_hub_download", "acme/gated", "small.bin"), STRANGER, "GatedRepoError"),
                (("list_repo_tree", "acme/tiny", "absent"), "", "RemoteEntryNotFoundError"),
                (("whoami",), "hf_unknownunknown", "HfHubHTTPError")):
            self.assertEqual(self.call("failure", *words, token=token,
                                       label="failure: " + words[0]), error, words)

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
