# SPDX-License-Identifier: Apache-2.0
"""calls.py NAME [ARGUMENT...]: one call of unmodified huggingface_hub, its result as JSON.

Runs in the client's environment, one process a call: the library reads its settings at import.
"""

import hashlib
import json
import os
import sys

import huggingface_hub as hub
from huggingface_hub import errors


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digests_below(folder: str) -> dict:
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            relative = os.path.relpath(path, folder)
            if not relative.startswith(".cache"):
                with open(path, "rb") as file:
                    found[relative] = digest(file.read())
    return found


def version():
    return hub.__version__


def snapshot_download(repo, repo_type="model", revision=""):
    return digests_below(hub.snapshot_download(repo, repo_type=repo_type, revision=revision or None))


def hf_hub_download(repo, *names):
    found = {}
    for name in names:
        with open(hub.hf_hub_download(repo, name), "rb") as file:
            found[name] = digest(file.read())
    return found


def download_at(repo, revision, name):
    """The commit that it is stored under, and the digest of its content."""
    path = hub.hf_hub_download(repo, name, revision=revision)
    with open(path, "rb") as file:
        return [os.path.relpath(path, hub.constants.HF_HUB_CACHE).split(os.sep)[2],
                digest(file.read())]


def file_metadata(repo, name, revision="main"):
    data = hub.get_hf_file_metadata(hub.hf_hub_url(repo, name, revision=revision))
    return [data.commit_hash, data.etag, data.size]


def filesystem_ls(path):
    return sorted([e["name"], e["type"], e["size"]] for e in hub.HfFileSystem().ls(path))


def filesystem_find(path):
    return sorted(hub.HfFileSystem().find(path))


def filesystem_glob(pattern):
    return sorted(hub.HfFileSystem().glob(pattern))


def filesystem_exists(*paths):
    return [hub.HfFileSystem().exists(path) for path in paths]


def filesystem_read(path, *ranges):
    """The digest of each BEGIN:END range, by seek and read on one open file."""
    found = []
    with hub.HfFileSystem().open(path, "rb", block_size=1 << 20) as file:
        for text in ranges:
            begin, end = map(int, text.split(":"))
            file.seek(begin)
            found.append(digest(file.read(end - begin)))
    return found


def entries(found):
    rows = []
    for entry in found:
        lfs = getattr(entry, "lfs", None)
        commit = entry.last_commit.oid if entry.last_commit else None
        rows.append([entry.path, getattr(entry, "size", None),
                     getattr(entry, "blob_id", None) or entry.tree_id,
                     lfs.sha256 if lfs else None, commit])
    return sorted(rows)


def list_repo_tree(repo, folder="", expand="", revision=""):
    return entries(hub.HfApi().list_repo_tree(repo, folder or None, recursive=True,
                                              expand=bool(expand), revision=revision or None))


def paths_info(repo, *paths, revision=None):
    return entries(hub.HfApi().get_paths_info(repo, list(paths), expand=True, revision=revision))


def paths_info_at(repo, revision, *paths):
    return paths_info(repo, *paths, revision=revision)


def repo_info(repo, repo_type="model", revision=""):
    info = hub.HfApi().repo_info(repo, repo_type=repo_type, revision=revision or None,
                                 files_metadata=True)
    return {"id": info.id, "sha": info.sha, "private": info.private, "gated": info.gated,
            "author": info.author, "modified": info.last_modified.isoformat(),
            "files": sorted([s.rfilename, s.size, s.blob_id] for s in info.siblings),
            "lfs": sorted(s.lfs.sha256 for s in info.siblings if s.lfs)}


def repo_info_expand(repo):
    info = hub.HfApi().model_info(repo, expand=["sha", "gated"])
    return {"sha": info.sha, "gated": info.gated, "siblings": info.siblings}


def list_repo_refs(repo):
    refs = hub.HfApi().list_repo_refs(repo, include_pull_requests=True)
    return [[r.name, r.ref, r.target_commit]
            for r in refs.branches + refs.tags + refs.converts + refs.pull_requests]


def list_repo_commits(repo, revision=""):
    return [c.commit_id for c in hub.HfApi().list_repo_commits(repo, revision=revision or None)]


def list_repo_files(repo, revision=""):
    return sorted(hub.HfApi().list_repo_files(repo, revision=revision or None))


def list_models(author):
    return [model.id for model in hub.HfApi().list_models(author=author)]


def list_datasets(author):
    return [data.id for data in hub.HfApi().list_datasets(author=author)]


def list_spaces(author):
    return [space.id for space in hub.HfApi().list_spaces(author=author)]


def existence(repo, name, revision="main"):
    api = hub.HfApi()
    return [api.repo_exists(repo), api.file_exists(repo, name, revision=revision),
            api.file_exists(repo, "absent", revision=revision), api.revision_exists(repo, revision),
            api.revision_exists(repo, "absent")]


def whoami():
    user = hub.HfApi().whoami()
    return [user["type"], user["name"], user["orgs"], user["auth"]["accessToken"]["role"]]


def auth_check(repo):
    hub.HfApi().auth_check(repo)
    return "OK"


def failure(name, *arguments):
    """The error that another call here ends with, and what the server said."""
    try:
        globals()[name](*arguments)
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as error:
        response = getattr(error, "response", None)
        return f"{type(error).__name__}: {response.headers.get('x-error-message', '')}"
    return "no error"


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
