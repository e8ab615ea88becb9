#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy on one source, unless it passed before with the same words.

usage: tidy_one.py BUILD_DIR CACHE_DIR SOURCE. A pass is remembered under the digest of the
preprocessed source (its comments kept: NOLINT is one), .clang-tidy and clang-tidy's version.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys

TIDY, CLANG = "clang-tidy-14", "clang++-14"


def digest_of(build: str, source: str) -> str:
    """"" where it cannot be told: then it is checked."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = {entry["file"]: entry for entry in json.load(file)}
    entry = commands.get(os.path.abspath(source))
    if entry is None:
        return ""
    words, kept = shlex.split(entry["command"]), []
    while words:
        word = words.pop(0)
        if word in ("-o", "-MT", "-MF"):
            words.pop(0)
        elif word.startswith("-") and word not in ("-c", "-MD"):
            kept.append(word)
            if word == "-isystem":
                kept.append(words.pop(0))
    done = subprocess.run([CLANG, *kept, "-E", "-C", entry["file"]], cwd=entry["directory"],
                          capture_output=True, check=False)
    if done.returncode != 0:
        return ""
    total = hashlib.sha256(done.stdout)
    total.update(subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout)
    rules = [".clang-tidy"] + (["tests/.clang-tidy"] if source.startswith("tests/") else [])
    for path in rules:
        with open(path, "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def main(build: str, cache: str, source: str) -> int:
    digest = digest_of(build, source)
    stamp = os.path.join(cache, digest)
    if digest and os.path.exists(stamp):
        os.utime(stamp)
        return 0
    done = subprocess.run([TIDY, "-p", build, "--quiet", source], capture_output=True, text=True,
                          check=False)
    sys.stdout.write(done.stdout)
    if done.returncode != 0:
        sys.stdout.write(done.stderr)
        return 1
    if digest:
        os.makedirs(cache, exist_ok=True)
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(source + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
