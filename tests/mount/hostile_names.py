# SPDX-License-Identifier: Apache-2.0
"""Paths as a hostile repo gives them, and what a directory tree may show of a listing with them.

A path is the bytes between the quotes of a JSON string, so that it can be what no text is.
"""

import itertools
import json
import random

# Components that no directory may hold, as JSON has them: (a name for people, its bytes).
BAD = {
    "empty": b"",
    "dot": b".",
    "dot dot": b"..",
    "NUL": b"\\u0000",
    "NUL within": b"a\\u0000b",
    "256 bytes": b"x" * 256,
    "128 characters of two bytes": "\u00e9".encode() * 128,
    "not UTF-8": b"caf\xe9",
    "overlong": b"\xc0\xae\xc0\xae",
    "surrogate in UTF-8": b"\xed\xa0\x80",
    "half a pair": b"\\ud83d",
    "the other half": b"\\ude00",
    "a slash, escaped": b"\\u002f",
}
GOOD_PLACES = (b"%s", b"%s/in", b"%s/in/deep", b"good/%s", b"good/%s/in", b"good/deep/%s",
               b"new/%s", b"new/%s/in")
KINDS = ("file", "lfs", "directory")

# Odd, but names: they are shown.
ODD = [b"\\n", b"a\\nb", b"\\t", b"\\u001b[31mred", b"\\u0001", b"\\u007f", b"\\u0085", b"back\\\\slash",
       b"\\\\", b"..\\\\..\\\\x", b"...", b"....", b" ", b"  ", b" lead", b"trail ", b"trail.", b"-rf", b"--help",
       b"~", b"~root", b"$HOME", b"`id`", b"$(id)", b"*", b"?", b"[a]", b"a;b", b"a|b", b"a&b", b"<a>",
       b"\\\"quoted\\\"", b"'", b"%", b"%2e%2e", b"%2F", b"%00", b"#", b"?x=1", b"@", b"a@main", b":", b"C:",
       b"C:\\\\x", b"CON", b"aux.txt", b"NUL", b"COM1", b"lost+found", b".git", b".gitattributes",
       b".hubvfs", b".hf-cache", b".DS_Store", b"Thumbs.db", b".Trash-1000", b"desktop.ini",
       b"\\u202egpj.exe", b"\\u200b", b"\\ufeffbom", b"\\ud83d\\ude00", "\u65e5\u672c\u8a9e".encode(),
       "e\u0301".encode(), "\u00e9".encode(), b"README.md", b"readme.md", b"README.MD", b"x" * 255,
       "\u00e9".encode() * 127, "\U0001f600".encode() * 63, b"/".join([b"n"] * 120), b"a\\/b", b"core",
       b"con/aux", b"http:", b"file", b"0", b"-", b"--", b"_", b"=", b"+", b",", b"!", b"{}", b"()"]

# Whole paths that are too much, and what two entries make of one name.
LONG = [b"/".join([b"y" * 250] * 17), b"/".join([b"n"] * 129), b"/".join([b"n"] * 1000)]


def fixed() -> list:
    """(path, kind) of each case."""
    cases = [(place % bad, kind) for bad, place, kind in itertools.product(
        BAD.values(), GOOD_PLACES, KINDS)]
    cases += [(odd, "file") for odd in ODD]
    cases += [(path, kind) for path in LONG for kind in KINDS]
    cases += [(b"/absolute", "file"), (b"slash/", "file"), (b"slash/", "directory"), (b"//", "file"),
              (b"two//slashes", "file"), (b"/", "directory")]
    cases += [(b"both", "file"), (b"both/in", "file"), (b"first/in", "file"), (b"first", "file"),
              (b"twice", "file"), (b"twice", "lfs"), (b"folder", "directory"), (b"folder", "file"),
              (b"folder", "directory"), (b"good", "file")]
    return cases


def generated(seed: int, count: int) -> list:
    """As many more, put together by chance."""
    chance = random.Random(seed)
    pieces = [*BAD.values(), b"good", b"new", b"deep", b"in", b"a", b"A", b"b c", *ODD[:12]]
    return [(b"/".join(chance.choice(pieces) for _ in range(chance.randint(1, 5))), chance.choice(KINDS))
            for _ in range(count)]


def entry_json(path: bytes, kind: str) -> bytes:
    """As the tree answer of the Hub has it."""
    if kind == "directory":
        return b'{"type":"directory","oid":"%s","size":0,"path":"%s"}' % (b"d" * 40, path)
    lfs = b',"lfs":{"oid":"%s","size":7,"pointerSize":126}' % (b"e" * 64) if kind == "lfs" else b""
    return b'{"type":"file","oid":"%s","size":7%s,"path":"%s"}' % (b"f" * 40, lfs, path)


def text_of(path: bytes):
    """What the JSON says, as the bytes of a path; None: no text."""
    try:
        return json.loads(b'"%s"' % path, strict=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return None


def may_be_shown(path) -> bool:
    if path is None or not 0 < len(path) <= 4096:
        return False
    components = path.split(b"/")
    return len(components) <= 128 and all(
        0 < len(part) <= 255 and part not in (b".", b"..") and b"\0" not in part
        for part in components)


def shown(cases: list) -> tuple:
    """The files and the directories that a tree has of them, and how many entries it leaves out."""
    files, directories, hidden = [], set(), 0
    for path, kind in ((text_of(path), kind) for path, kind in cases):
        if not may_be_shown(path):
            hidden += 1
            continue
        parts = path.split(b"/")
        inner = parts if kind == "directory" else parts[:-1]
        directories.update(b"/".join(inner[:size]) for size in range(1, len(inner) + 1))
        if kind != "directory":
            files.append(path)
    kept = set(files) - directories
    return kept, directories, hidden + len(files) - len(kept)
