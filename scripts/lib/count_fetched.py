#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums up an access log of `hubvfs serve`. usage: count_fetched.py LOG [FIRST_LINE]

Prints: requests, bytes of file content sent, answers that carried content, lines read in all.
"""

import json
import sys


def main(path: str, first: int = 0) -> None:
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")[:-1]
    entries = [json.loads(line) for line in lines[first:]]
    content = [e for e in entries if e["status"] in (200, 206)
               and (not e["path"].startswith("/api/") or "/resolve-cache/" in e["path"])]
    print(len(entries), sum(e["bytes"] for e in content), len(content), len(lines))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
