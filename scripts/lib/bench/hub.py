# SPDX-License-Identifier: Apache-2.0
"""`hubvfs serve` at the far end of a link, and what it sent."""

import itertools
import json
import os
import pathlib
import shutil
import time

import machine

_numbers = itertools.count()


class Hub:
    """Serves a folder ORG/NAME/...; ready when all its repos are hashed."""

    def __init__(self, bench, link, folder: str):
        self._link, self.folder = link, folder
        self._own = os.path.join(bench.work, f"hub-{next(_numbers)}")
        env = machine.environment(self._own)
        self._log, url = f"{self._own}/access.log", pathlib.Path(f"{self._own}/url")
        self._serve = machine.Process(
            [
                *link.hub,
                bench.server,
                "serve",
                folder,
                "--listen",
                f"{link.address}:0",
                "--url-file",
                str(url),
                "--access-log",
                self._log,
                "--state-dir",
                f"{bench.work}/hashes",
            ],
            f"{self._own}/log",
            env,
        )
        self.url = ""
        try:
            self.url = self._serve.wait_until(
                lambda: url.exists() and url.read_text().strip(), "waited for hubvfs serve"
            )
            self._serve.wait_until(self._is_ready, "waited for the repos' hashes")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        self._serve.close()
        shutil.rmtree(self._own, ignore_errors=True)

    def file_url(self, path: str) -> str:
        repo, name = "/".join(path.split("/")[:2]), "/".join(path.split("/")[2:])
        return f"{self.url}/{repo}/resolve/main/{name}"

    def _status(self, path: str) -> str:
        return machine.run(
            [*self._link.hub, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", self.url + path]
        )

    def _is_ready(self) -> bool:
        repos = [f"{o.name}/{r.name}" for o in pathlib.Path(self.folder).iterdir() for r in o.iterdir()]
        ready = all(self._status(f"/api/models/{repo}") == "200" for repo in repos)
        if not ready:
            time.sleep(0.2)
        return ready

    def _entries(self) -> list:
        """Every answer so far; a request of our own makes sure that those before it are there."""
        fence = f"/api/fence-{time.monotonic_ns()}"
        self._status(fence)
        text = self._serve.wait_until(
            lambda: (t := pathlib.Path(self._log).read_text()) and fence in t and t,
            "waited for the log",
        )
        lines = text[: text.rindex("\n")].split("\n")
        return [e for e in map(json.loads, lines) if "/api/fence-" not in e["path"]]

    def mark(self) -> int:
        return len(self._entries())

    def content_since(self, mark: int) -> list:
        """The answers with file content, once nothing has come for a while."""
        entries, quiet = self._entries(), 0
        while quiet < 4:
            time.sleep(0.1)
            now = self._entries()
            quiet = quiet + 1 if len(now) == len(entries) else 0
            entries = now
        return [
            e
            for e in entries[mark:]
            if e["status"] in (200, 206)
            and (not e["path"].startswith("/api/") or "/resolve-cache/" in e["path"])
        ]

    def bytes_since(self, mark: int) -> int:
        return sum(e["bytes"] for e in self.content_since(mark))
