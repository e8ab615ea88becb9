# SPDX-License-Identifier: Apache-2.0
"""The folder that the clients of the Hub's API are tried on, `hubvfs serve` on it, and the table of
what each call did."""

import hashlib
import json
import os
import re
import sys
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../mount"))
import support  # noqa: E402

READER, STRANGER, ASKER = "hf_readerreader", "hf_strangerstranger", "hf_askerasker"
TOKENS = {READER: "ada", STRANGER: "bob", ASKER: "eve"}
SETTINGS, FOLDERS = ".hubvfs-repo.json", ".hubvfs-revisions"

WEIGHTS = support.content("weights", 12 << 20)
ATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
ODD = "sub dir/a b+c#%ä.txt"
MODEL = {
    ".gitattributes": ATTRIBUTES,
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
SPACE = {"app.py": b"print()\n"}
# What a client that encodes only what URLs must have encoded can name.
PLAIN = {"sub dir/ünï cödé+.txt": b"blanks and letters", "config.json": b"{}\n",
         ".gitattributes": ATTRIBUTES, "w.bin": b"small LFS file"}


def revision(which: str) -> dict:
    return {".gitattributes": ATTRIBUTES, "README.md": b"read me\n",
            "which.txt": f"the revision {which}\n".encode(),
            "which.bin": f"weights of {which}".encode()}


# Of acme/tiny: each ref as a client names it, and its folder.
REFS = {"dev": "dev", "feat/x": "feature", "v1.0": "one", "refs/pr/1": "pull",
        "refs/convert/parquet": "parquet"}
TINY = {"aliases": ["acme/old-name"], "branches": {"dev": "dev", "feat/x": "feature"},
        "tags": {"v1.0": "one"}, "pulls": {"1": "pull"}, "converts": {"parquet": "parquet"}}


def with_revisions(tree: dict, settings: dict, *names: str) -> dict:
    below = {f"{FOLDERS}/{name}/{path}": data for name in names
             for path, data in revision(name).items()}
    return {**tree, **below, SETTINGS: json.dumps(settings).encode()}


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


class HubFolder:
    """The folder, served; every repo in it is ready."""

    def __init__(self, work: str, tag: str):
        self._folder = os.path.join(work, "served")
        self._token_file = os.path.join(work, "tokens")
        gated = {"readers": ["ada"], "pending": ["eve"]}
        trees = {
            "acme/tiny": with_revisions(MODEL, TINY, *REFS.values()),
            "acme/plain": PLAIN, "acme/other": {"f": b"x", "empty.txt": b""},
            "acme/private": {**MODEL, SETTINGS: b'{"private": true, "readers": ["ada"]}'},
            "acme/auto": {**MODEL, SETTINGS: json.dumps({"gated": "auto", **gated}).encode()},
            "acme/manual": {**MODEL, SETTINGS: json.dumps({"gated": "manual", **gated}).encode()},
            "acme/moving": with_revisions({}, {"branches": {"main": "before"}}, "before", "after"),
            "datasets/acme/set": DATASET, "spaces/acme/app": SPACE}
        for repo, tree in trees.items():
            for path, data in tree.items():
                support.write_file(os.path.join(self._folder, repo), path, data)
        self.set_tokens(TOKENS)
        self.server = support.Server(self._folder, os.path.join(work, "serve"), tag, "--page-size",
                                     "3", "--token-file", self._token_file)
        try:
            for repo in trees:
                self._wait_ready(repo if "/acme/" in repo else "models/" + repo)
        except BaseException:
            self.server.close()
            raise
        self.sha = self.commit("acme/tiny", "main")

    def set_tokens(self, tokens: dict) -> None:
        self._replace(self._token_file, "".join(f"{t} {user}\n" for t, user in tokens.items()))

    def set_settings(self, repo: str, settings: dict) -> None:
        self._replace(os.path.join(self._folder, repo, SETTINGS), json.dumps(settings))

    @staticmethod
    def _replace(path: str, text: str) -> None:
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def get(self, path: str, token: str = READER) -> tuple:
        """Status and body, asked from here."""
        request = urllib.request.Request(self.server.url + path,
                                         headers={"Authorization": "Bearer " + token})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                    request, timeout=support.PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _wait_ready(self, route: str) -> None:
        support.wait_for(lambda: self.get("/api/" + route)[0] == 200, f"{route} to be served", 120)
        if route.endswith("/tiny"):
            for ref in REFS:
                support.wait_for(lambda r=ref: self.commit("acme/tiny", r), ref, 120)

    def commit(self, repo: str, ref: str) -> str:
        status, body = self.get(f"/api/models/{repo}/revision/{ref.replace('/', '%2F')}")
        return json.loads(body)["sha"] if status == 200 else ""


class Matrix:
    """One row a call: what it was, what came of it, what it asked of the server."""

    def __init__(self, server: support.Server):
        self._server = server
        self._rows = [("call", "what", "result", "requests", "content", "bytes")]

    def mark(self) -> int:
        return self._server.mark()

    def add(self, call: str, what: str, result, mark: int) -> None:
        seen = self._server.since(mark)
        self._rows.append((call, what, self.summary(result), str(len(seen)),
                           str(sum(e["origin"] == "content" for e in seen)),
                           str(sum(e["bytes"] for e in seen if e["status"] in (200, 206)))))

    @staticmethod
    def summary(result) -> str:
        kinds = {type(item) for item in result} if isinstance(result, list) else set()
        if isinstance(result, dict):
            text = "commit " + result["sha"] if "sha" in result else f"{len(result)} files"
        elif len(kinds) == 1 and kinds <= {list, str} and len(result) > 3:
            text = f"{len(result)} entries"
        else:
            text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        text = re.sub(r"([0-9a-f]{8})[0-9a-f]{32,}", r"\1", text)
        return text if len(text) <= 70 else text[:67] + "..."

    def print(self) -> None:
        width = [max(len(row[i]) for row in self._rows) for i in range(len(self._rows[0]))]
        for row in self._rows:
            print("  ".join(cell.ljust(w) for cell, w in zip(row, width)).rstrip())
