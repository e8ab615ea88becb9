#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tree against the rules of form: who may include what, sizes, licences, stray paths.

usage: check_layers.py [ROOT]   prints one line a finding; exit status 0 when there is none.

The tables below are the house style's. Include paths cannot enforce them: Debian's headers and ours
all lie on the search path of every target.
"""

import os
import re
import sys
from typing import Iterator, NamedTuple

LAYERS = ("base", "hub", "cache", "fs", "daemon")

# What each folder may include of ours; the longest matching prefix of a file's path counts.
MAY_INCLUDE = {
    "base/": ("base/",),
    "hub/": ("base/", "hub/"),
    "hub/server/": ("base/", "hub/"),
    "cache/": ("base/", "cache/"),
    "fs/": ("base/", "hub/", "cache/", "fs/"),
    "daemon/": ("base/", "hub/", "cache/", "fs/", "daemon/"),
    "tests/": ("base/", "hub/", "cache/", "fs/", "daemon/", "tests/"),
}
# The server of `hubvfs serve` is not part of the client: only the command and the tests reach it.
ONLY_FROM = {"hub/server/": ("hub/server/", "daemon/", "tests/")}

# Third-party headers: the pattern of the include, and the file prefixes that may have it.
# Tests may drive a library directly, each from the folder that mirrors its layer.
THIRD_PARTY = (
    (r"openssl/", ("base/digest", "tests/base/")),
    (r"nlohmann/", ("base/json",)),
    (r"spdlog/", ("base/log",)),
    (r"curl/", ("hub/curl_", "tests/hub/", "tests/net/")),
    (r"microhttpd\.h$", ("hub/server/",)),
    (r"lmdb\.h$", ("cache/lmdb_", "tests/cache/")),
    (r"xxhash\.h$", ("cache/block_checksum", "tests/cache/")),
    (r"(fuse3/|fuse\.h$|fuse_)", ("fs/fuse_", "tests/daemon/tiny_filesystem")),
    (r"CLI/", ("daemon/",)),
    (r"yaml-cpp/", ("daemon/",)),
    (r"prometheus/", ("daemon/",)),
    (r"gpgme", ("daemon/",)),
    (r"(gtest|gmock)/", ("tests/",)),
)
# Too dear to compile (9 to 51 seconds a file) for any header of ours.
NOT_IN_HEADERS = re.compile(r"(nlohmann/|spdlog/|CLI/|yaml-cpp/)")

# The C and POSIX headers that are no library of anybody's. C++ ones have no dot and no slash.
SYSTEM = re.compile(
    r"^(sys|linux|arpa|net|netinet|asm)/[a-z0-9_./]+\.h$"
    r"|^(dirent|dlfcn|endian|err|errno|fcntl|fnmatch|getopt|glob|grp|ifaddrs|langinfo|limits|locale"
    r"|malloc|mntent|netdb|poll|pthread|pwd|sched|semaphore|signal|spawn|stdio|stdlib|string"
    r"|strings|syscall|sysexits|syslog|termios|time|ucontext|unistd|utime|wait)\.h$"
    r"|^sanitizer/[a-z_]+\.h$|^valgrind/[a-z_]+\.h$|^cxxabi\.h$"
)
CPP_HEADER = re.compile(r"^[a-z_]+$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
MUTEX_HOME = ("base/mutex.h", "base/blocking.cc")  # the latter is CondVar's side of it
MOST_LINES = 800
AIM_LINES = 400

# Written in parts, so that this file does not find itself.
MACHINE_PATHS = re.compile(r"(?<![\w.*}$/-])/(wo" + r"rk|ro" + r"ot|opt/whe" + r"els)/(?=[\w.])")
REGISTRIES = re.compile(
    "|".join(
        (r"\bpypi\." + "org", "python" + "hosted", r"\bdeb\.debian\." + "org", r"debian\.org/" + "debian",
         "registry" + r"\.npmjs", r"\bcrates\." + "io", "proxy" + r"\.golang", "repo" + r"\.maven")))
RAW_MUTEX = re.compile(
    r"\bstd::(mutex|recursive_mutex|shared_mutex|timed_mutex|lock_guard|unique_lock|scoped_lock"
    r"|shared_lock|condition_variable\w*)\b")

SKIPPED_DIRS = {".git", "__pycache__", "node_modules", ".cache"}


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: [{self.rule}] {self.text}"


def files_of(root: str) -> Iterator[str]:
    """Paths of the tree's files, relative to root, build folders left out."""
    for folder, dirs, names in os.walk(root):
        top = folder == root
        dirs[:] = sorted(d for d in dirs
                         if d not in SKIPPED_DIRS and not (top and d.startswith("build")))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def strip_comments(text: str) -> str:
    """The code with comments and string literals blanked, line numbers kept."""
    def blank(match: re.Match) -> str:
        return re.sub(r"[^\n]", " ", match.group())
    pattern = r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\n]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, blank, text, flags=re.S)


def longest(prefixes, path: str):
    matching = [p for p in prefixes if path.startswith(p)]
    return max(matching, key=len) if matching else None


def check_our_include(path: str, line: int, header: str, root: str) -> Iterator[Finding]:
    if not os.path.exists(os.path.join(root, header)):
        yield Finding(path, line, "include-root", f'"{header}" is no path from the repository root')
        return
    layer = longest(MAY_INCLUDE, path)
    if layer and not header.startswith(MAY_INCLUDE[layer]):
        yield Finding(path, line, "layer", f'{layer} may not include "{header}"')
    for guarded, allowed in ONLY_FROM.items():
        if header.startswith(guarded) and not path.startswith(allowed):
            yield Finding(path, line, "layer", f'only {", ".join(allowed)} may include "{header}"')


def check_foreign_include(path: str, line: int, header: str) -> Iterator[Finding]:
    if NOT_IN_HEADERS.match(header) and path.endswith(".h"):
        yield Finding(path, line, "heavy-header", f"no header of ours includes <{header}>")
    for pattern, prefixes in THIRD_PARTY:
        if re.match(pattern, header):
            if not path.startswith(prefixes):
                yield Finding(path, line, "third-party",
                              f'only {", ".join(prefixes)} may include <{header}>')
            return
    if not CPP_HEADER.match(header) and not SYSTEM.match(header):
        yield Finding(path, line, "third-party",
                      f"<{header}> is no header of the system's; a new library goes into the table")


def check_includes(path: str, text: str, root: str) -> Iterator[Finding]:
    includes = [(line_of(text, m.start()), m.group(1), m.group(2)) for m in INCLUDE.finditer(text)]
    for line, quote, header in includes:
        if quote == '"':
            yield from check_our_include(path, line, header, root)
        else:
            yield from check_foreign_include(path, line, header)
    if path.endswith(".cc"):
        own = path[:-3] + ".h"
        if os.path.exists(os.path.join(root, own)) and (not includes or includes[0][2] != own):
            yield Finding(path, 1, "own-first", f'the first include is not "{own}"')
    if path.endswith(".h") and "#pragma once" not in text:
        yield Finding(path, 1, "pragma-once", "a header without #pragma once")


def check_code(path: str, text: str) -> Iterator[Finding]:
    code = strip_comments(text)
    for layer, other in (("hub/", "cache"), ("cache/", "hub")):
        if path.startswith(layer):
            for match in re.finditer(rf"\b{other}::|\bnamespace\s+(hubvfs::)?{other}\b", code):
                yield Finding(path, line_of(code, match.start()), "hub-cache",
                              f"{layer[:-1]} names {other}; fs joins the two")
    if path not in MUTEX_HOME and not path.startswith("tests/"):
        for match in RAW_MUTEX.finditer(code):
            yield Finding(path, line_of(code, match.start()), "mutex",
                          f"{match.group()}: use base/mutex.h, which clang checks")
    for match in re.finditer(r"\bTODO\b(?!\(#\d+\))", text):
        yield Finding(path, line_of(text, match.start()), "todo", "a TODO names its issue: TODO(#7)")
    if path.startswith("tests/"):
        for match in re.finditer(r"\bDISABLED_\w|^\s*//\s*(TEST|TEST_F|TEST_P)\(", text, re.M):
            yield Finding(path, line_of(text, match.start()), "disabled-test",
                          "a test is run or removed, never switched off")


def check_text(path: str, text: str) -> Iterator[Finding]:
    """What holds for every text file, documents and scripts too."""
    for match in MACHINE_PATHS.finditer(text):
        yield Finding(path, line_of(text, match.start()), "machine-path",
                      f"a path of one machine: {match.group()}")
    for match in REGISTRIES.finditer(text):
        yield Finding(path, line_of(text, match.start()), "registry", f"a registry: {match.group()}")
    first = text.split("\n", 4)[:4]
    is_source = path.endswith((".h", ".cc", ".py", ".sh")) or text.startswith("#!")
    if is_source and not any("SPDX-License-Identifier: Apache-2.0" in line for line in first):
        yield Finding(path, 1, "spdx", "no SPDX line at its top")
    lines = text.count("\n")
    if is_source and lines > MOST_LINES:
        yield Finding(path, lines, "size", f"{lines} lines, at most {MOST_LINES}: split it")


def without_cmake_comments(text: str) -> str:
    return re.sub(r"#[^\n]*", "", text)


def check_cmake(path: str, text: str) -> Iterator[Finding]:
    code = without_cmake_comments(text)
    for folder, other in (("hub/", "cache"), ("cache/", "hub")):
        if path.startswith(folder):
            for match in re.finditer(rf"\bhubvfs_{other}\b", code):
                yield Finding(path, line_of(code, match.start()), "hub-cache",
                              f"{folder[:-1]} links {other}")
    for match in re.finditer(r"file\s*\(\s*GLOB", code):
        yield Finding(path, line_of(code, match.start()), "glob", "sources are listed, not globbed")


def is_listed(path: str, lists: dict) -> bool:
    """Whether the CMakeLists.txt of the file's folder, or of one above, names it."""
    folder, name = os.path.split(path)
    while True:
        wanted = re.escape(os.path.relpath(path, folder or "."))
        text = lists.get(os.path.join(folder, "CMakeLists.txt"), "")
        if re.search(rf"(?<![\w.-]){wanted}(?![\w.-])", text):
            return True
        if not folder:
            return False
        folder = os.path.dirname(folder)


def check_listed(paths: list, lists: dict) -> Iterator[Finding]:
    """Every source is compiled, every test is run."""
    for path in paths:
        top = path.split("/")[0]
        is_python_test = re.search(r"^tests/.*(/test_[^/]*|_test)\.py$", path)
        if (path.endswith(".cc") and top in LAYERS + ("tests",)) or is_python_test:
            if not is_listed(path, lists):
                yield Finding(path, 1, "unlisted", "no CMakeLists.txt names it")


def check(root: str) -> list:
    findings, lists = [], {}
    paths = list(files_of(root))
    for path in paths:
        try:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                text = file.read()
        except (UnicodeDecodeError, OSError):
            continue  # a picture, a dangling link: nothing that these rules speak of
        findings += check_text(path, text)
        if path.endswith((".h", ".cc")):
            findings += check_includes(path, text, root)
            findings += check_code(path, text)
        if os.path.basename(path) == "CMakeLists.txt" or path.endswith(".cmake"):
            findings += check_cmake(path, text)
            lists[path] = without_cmake_comments(text)
    findings += check_listed(paths, lists)
    return findings


def long_files(root: str) -> Iterator[str]:
    for path in files_of(root):
        if path.endswith((".h", ".cc", ".py")):
            with open(os.path.join(root, path), encoding="utf-8") as file:
                lines = sum(1 for _ in file)
            if lines > AIM_LINES:
                yield f"{path}: {lines} lines; aim for {AIM_LINES}"


def main() -> int:
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../..")
    root = os.path.abspath(root)
    sources = [p for p in files_of(root) if p.endswith((".h", ".cc"))]
    if not sources:
        print(f"{root} has no source file: the wrong folder?")
        return 2
    findings = check(root)
    for line in long_files(root):
        print("note:", line)
    for finding in findings:
        print(finding)
    print(f"{len(sources)} source files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
