# SPDX-License-Identifier: Apache-2.0
"""The table of what each client's call fetched. Each test file leaves its rows in the folder that
HUBVFS_CLIENT_ROWS names, one JSON list a line; this prints them all, and keeps docs/CLIENTS.md.
usage: table.py FOLDER [--check DOCUMENT | --write DOCUMENT]"""

import json
import os
import sys

SKIP_EXIT = 77
HEAD = ("client", "version", "call", "bytes fetched", "of", "requests", "equal")
NUMBERS = (3, 4, 5)
BEGIN, END = "<!-- rows: scripts/refresh-clients --table -->\n", "<!-- end of rows -->\n"


def own_file() -> str:
    """Of the test that runs now, or "" where rows are not kept."""
    folder = os.environ.get("HUBVFS_CLIENT_ROWS", "")
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0].removeprefix("test_")
    return os.path.join(folder, name + ".jsonl") if folder else ""


def forget() -> None:
    """What this test left before."""
    if (path := own_file()) and os.path.exists(path):
        os.remove(path)


class Rows:
    """What a test class adds is shown when it ends, and kept."""

    def __init__(self):
        self._rows = []

    def add(self, *row) -> None:
        self._rows.append(list(row))

    def close(self) -> None:
        print("\n".join(as_text(self._rows)))
        if path := own_file():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in self._rows)


def kept(folder: str) -> list:
    rows = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            rows += [json.loads(line) for line in file]
    return rows


def as_text(rows: list) -> list:
    cells = [list(HEAD)] + [[f"{cell:,}" if at in NUMBERS else cell for at, cell in enumerate(row)]
                            for row in rows]
    width = [max(len(row[at]) for row in cells) for at in range(len(HEAD))]
    return ["  ".join(cell.rjust(w) if at in NUMBERS else cell.ljust(w)
                      for at, (cell, w) in enumerate(zip(row, width))).rstrip() for row in cells]


def as_markdown(rows: list) -> str:
    def line(cells):
        return "| " + " | ".join(cells) + " |\n"
    return (line(HEAD) + line(["--:" if at in NUMBERS else "---" for at in range(len(HEAD))])
            + "".join(line([row[0], row[1], f"`{row[2]}`", *(f"{row[at]:,}" for at in NUMBERS), row[6]])
                      for row in rows))


def sections(document: str) -> tuple:
    with open(document, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    rows, _, after = rest.partition(END)
    return before, rows, after


def check(rows: list, document: str) -> None:
    """The document names the calls that were made, with the versions; bytes and requests vary."""
    def calls(markdown):
        return sorted(line.split("|")[1:4] for line in markdown.splitlines())
    _, written, _ = sections(document)
    if calls(written) != calls(as_markdown(rows)):
        raise SystemExit(f"{document} does not tell of these calls: scripts/refresh-clients --table")


def write(rows: list, document: str) -> None:
    before, _, after = sections(document)
    with open(document, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + as_markdown(rows) + END + after)


def without_rows(folder: str) -> list:
    """The tests that left none: they did not run here."""
    here = os.path.dirname(os.path.abspath(__file__))
    tests = [name[len("test_"):-len(".py")] for name in sorted(os.listdir(here))
             if name.startswith("test_") and name.endswith(".py")]
    return [name for name in tests if not os.path.exists(os.path.join(folder, name + ".jsonl"))]


def main(folder: str, what: str = "", document: str = "") -> None:
    rows = kept(folder)
    print("\n".join(as_text(rows)))
    if what and (absent := without_rows(folder)):
        print("SKIPPED: no rows of", ", ".join(absent))
        raise SystemExit(SKIP_EXIT)
    if what == "--write":
        write(rows, document)
    elif what == "--check":
        check(rows, document)


if __name__ == "__main__":
    main(*sys.argv[1:])
