# SPDX-License-Identifier: Apache-2.0
"""The table of errors (design, section 9) as a user meets it: what a program gets, what the log says, once
however often the program tries, and what to do next. Prints the table.

What `hubvfs serve` can refuse it refuses itself; what no Hub does on purpose comes from a faulty
way to it.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import unittest

import support
from proxy import FaultyProxy, HangUp, closed_port
from support import MIB, MountTestCase, content, wait_for

DEADLINES = "read.deadline=2s,metadata.deadline=2s"
SHORT = "read.deadline=1s,metadata.deadline=1s"
TIMES = 100  # a program that loops
LARGE = 3 * MIB + 77
READER, WAITING, OTHER = "hf_tokenOfReader", "hf_tokenOfWaiting", "hf_tokenOfOther"
REVOKED = "hf_tokenThatWasRevoked"
SECRETS = (READER, WAITING, OTHER, REVOKED, "Signature=", "Expires=")
GATED = {"gated": "manual", "readers": ["reader"], "pending": ["waiting"]}
PRIVATE = {"private": True, "readers": ["reader"]}

TABLE = []  # of rows, as they were seen


def print_table() -> None:
    head = ("row", "situation", "errno", "log line", "what to do next")
    rows = sorted(TABLE, key=lambda row: row[0])
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(5)]
    print()
    for row in [head, tuple("-" * w for w in widths), *rows]:
        print(" | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(flush=True)


def shortened(line: str, most: int = 120) -> str:
    line = re.sub(r"^\S+ ", "", line)  # its time
    return line if len(line) <= most else line[:most - 3] + "..."


def read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        got = b""
        while piece := file.read(131072):
            got += piece
        return got


def error_of(call) -> str:
    """The name of the errno it fails with; "" if it does not."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""


def replace(path: str, text: str) -> None:
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


class Errors(MountTestCase):
    """What the rows share: a served tree with repos of each kind, and how a row is looked at."""

    @classmethod
    def make_tree(cls, folder):
        files = {"README.md": b"read me\n", "LICENSE": b"MIT\n", "config.json": content("c", 9000),
                 "other.json": content("o", 5000), "weights.bin": content("w", LARGE),
                 ".gitattributes": b"*.bin filter=lfs\n"}
        cls.settings = {"org/model": {}, "org/more": {}, "org/gated": GATED, "org/secret": PRIVATE,
                        "org/off": {"disabled": True}}
        for repo, settings in cls.settings.items():
            for path, data in files.items():
                if path.endswith((".json", ".bin")):  # the same content is cached once for all
                    data = data[:-len(repo)] + repo.encode()
                support.write_file(folder, f"{repo}/{path}", data)
            support.write_file(folder, f"{repo}/.hubvfs-repo.json", json.dumps(settings).encode())
        cls.token_file = os.path.join(cls.work, "tokens")
        cls.users = {READER: "reader", WAITING: "waiting", OTHER: "other"}
        cls.write_tokens()
        cls.SERVE_OPTIONS = ("--token-file", cls.token_file)

    @classmethod
    def write_tokens(cls):
        replace(cls.token_file, "".join(f"{t} {user}\n" for t, user in cls.users.items()))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.wait_ready("org/more", "org/gated")
        cls.server.wait_ready("org/secret", token=READER)
        wait_for(lambda: cls.server.get("/api/models/org/off")[0] == 403, "org/off to be served")

    def source(self, path: str) -> bytes:
        with open(os.path.join(self.served, path), "rb") as file:
            return file.read()

    def broken_way(self) -> FaultyProxy:
        proxy = FaultyProxy(self.server.url)
        self.addCleanup(proxy.close)
        return proxy

    def lines_since(self, mount, mark: int) -> list:
        lines = mount.log_lines()[mark:]
        for line in lines:
            for secret in SECRETS:
                self.assertNotIn(secret, line)
        return lines

    def check(self, mount, row: int, situation: str, call, expected: int, says, next_step: str,
              level: str = "warning", lines: int = 1, times: int = TIMES) -> None:
        """The call fails so each time, and the log tells it in one line (`lines` where it is told of
        each of several): what `says` finds in it, and what to do next."""
        mark = len(mount.log_lines())
        name = errno.errorcode[expected]
        for _ in range(times):
            self.assertEqual(error_of(call), name, mount.log())
        found = [line for line in self.lines_since(mount, mark)
                 if all(re.search(part, line) for part in says)]
        self.assertEqual(len(found), lines, f"{says} in\n" + "\n".join(mount.log_lines()[mark:]))
        self.assertIn(f" {level} ", found[0])
        hint = re.search(next_step, found[0])
        self.assertTrue(hint, found[0])
        TABLE.append((row, situation, name, shortened(found[0]), hint.group()))


class WhatTheHubRefuses(Errors):
    def test_1_what_does_not_exist(self):
        anonymous, proxy = self.mount(options=DEADLINES), self.broken_way()
        signed_in = self.mount(url=proxy.url, options=DEADLINES, HF_TOKEN=OTHER)
        no_entry = "No such file or directory"
        for call, name in ((os.stat, "nope"), (os.listdir, "nope2"), (open, "nope3")):
            path = anonymous / f"org/{name}"
            self.check(anonymous, 1, f"401, no token: {call.__name__} of a missing or private repo",
                       lambda c=call, p=path: c(p), errno.ENOENT,
                       ["lookup: " + no_entry, f"info of org/{name}: HTTP 401"],
                       r"it takes a token \(HF_TOKEN\)", level="info")
        self.check(signed_in, 1, "404 RepoNotFound: stat", lambda: os.stat(signed_in / "org/nope"),
                   errno.ENOENT, [no_entry, "RepoNotFound"], "check its name", level="info")
        self.check(signed_in, 1, "404 RevisionNotFound: open below REPO@nope",
                   lambda: open(signed_in / "org/model@nope/config.json"), errno.ENOENT,
                   [no_entry, "org/model@nope", "RevisionNotFound"], "check its name", level="info")
        proxy.set_fault("status", status=404, headers={"X-Error-Code": "EntryNotFound"})
        self.check(signed_in, 1, "404 EntryNotFound: read of a file that is listed",
                   lambda: read(signed_in / "org/model/config.json"), errno.ENOENT,
                   [no_entry, "org/model/config.json", "EntryNotFound"], "check its name",
                   level="info")

    def test_1_names_that_programs_probe_for_cost_no_request_and_no_line(self):
        mount = self.mount(options=DEADLINES)
        os.listdir(mount / "org/model")
        requests, mark = self.server.mark(), len(mount.log_lines())
        for name in (".git", "HEAD", "node_modules", "autorun.inf"):
            self.assertEqual(error_of(lambda n=name: os.stat(mount / f"org/model/{n}")), "ENOENT")
        for path in (".git", ".Trash-0", "org/.git", "org/model/config.json/x"):
            self.assertIn(error_of(lambda p=path: os.stat(mount / p)), ("ENOENT", "ENOTDIR"))
        self.assertEqual(self.server.since(requests), [])
        self.assertEqual(self.lines_since(mount, mark), [])

    def check_gated(self, who: str, server_says: str, **environment):
        mount = self.mount(options=DEADLINES, **environment)
        page = self.server.url + "/org/gated"
        for name in self.source_names("org/gated"):
            size = os.path.getsize(os.path.join(self.served, "org/gated", name))
            self.assertEqual(os.stat(mount / f"org/gated/{name}").st_size, size, name)
        for name in ("README.md", "LICENSE"):
            self.assertEqual(read(mount / f"org/gated/{name}"), self.source(f"org/gated/{name}"))
        self.check(mount, 2, f"gated, {who}: open of a regular file",
                   lambda: open(mount / "org/gated/config.json"), errno.EACCES,
                   ["open: Permission denied", "GatedRepo", server_says, re.escape(page)],
                   "ask for access at " + re.escape(page))
        again = self.mount(options=DEADLINES, **environment)
        self.check(again, 2, f"gated, {who}: open of an LFS file",
                   lambda: open(again / "org/gated/weights.bin"), errno.EACCES,
                   ["open: Permission denied", "org/gated is gated"],
                   "ask for access at " + re.escape(page) + r"[^:]*$")

    def source_names(self, repo: str) -> list:
        return [name for name in os.listdir(os.path.join(self.served, repo))
                if name != ".hubvfs-repo.json"]

    def test_2_gated_anonymous(self):
        self.check_gated("no token", "Please log in")

    def test_2_gated_signed_in(self):
        self.check_gated("not asked for yet", "not in the authorized list", HF_TOKEN=OTHER)

    def test_2_gated_pending(self):
        self.check_gated("asked and waiting", "awaiting a review", HF_TOKEN=WAITING)

    def test_2_gated_on_a_mount_for_everybody(self):
        try:
            mount = self.mount(options=DEADLINES + ",allow_other", HF_TOKEN=READER)
        except AssertionError as error:
            if os.geteuid() != 0 and "allow_other" in str(error):
                self.skipTest("this user may not mount with allow_other (fuse.conf)")
            raise
        self.check(mount, 2, "gated, allow_other: lookup of the repo",
                   lambda: os.stat(mount / "org/gated"), errno.EACCES,
                   ["lookup: Permission denied", "org/gated is gated", "public repos only"],
                   "ask for access at " + self.server.url + "/org/gated and mount it for yourself")
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))

    def check_revoked(self, where: str, **environment):
        mount = self.mount(options=DEADLINES, **environment)
        for name in ("config.json", "weights.bin"):
            self.assertEqual(read(mount / f"org/model/{name}"), self.source(f"org/model/{name}"))
        self.check(mount, 3, f"401, a revoked token from {os.path.basename(where)}: a private repo",
                   lambda: os.stat(mount / "org/secret"), errno.EACCES,
                   ["lookup: Permission denied", "HTTP 401",
                    re.escape(f"the token from {where} was refused")],
                   r"log in anew \(hf auth login\) or set one that may")
        told = [line for line in mount.log_lines() if "public repos go on without it" in line]
        self.assertEqual(len(told), 1, "that it is not needed for these is told once")
        status = support.run(support.binary(), "status", mount.path).stdout
        self.assertIn(f"refuses the token from {where}: log in anew", status)
        self.assertNotIn(REVOKED, status)

    def test_3_a_revoked_token_of_the_environment(self):
        self.check_revoked("HF_TOKEN", HF_TOKEN=REVOKED)

    def test_3_a_revoked_token_of_a_file(self):
        path = os.path.join(self.work, "revoked")
        replace(path, REVOKED + "\n")
        self.check_revoked(path, HF_TOKEN_PATH=path)

    def test_3_403(self):
        proxy = self.broken_way()
        mount = self.mount(url=proxy.url, options=DEADLINES, HF_TOKEN=OTHER)
        self.check(mount, 3, "403, disabled: ls", lambda: os.listdir(mount / "org/off"),
                   errno.EACCES, ["list: Permission denied", "HTTP 403", "Access to this resource is disabled"], "ask its owner")
        self.assertNotIn("refuses the token", support.run(support.binary(), "status",
                                                          mount.path).stdout)
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))
        proxy.set_fault("status", status=403, where="all",
                        headers={"X-Error-Message": "You have no permission"})
        asked = len(proxy.seen)
        self.check(mount, 3, "403: read", lambda: read(mount / "org/model/other.json"),
                   errno.EACCES, ["Permission denied", "You have no permission", "HF_TOKEN"],
                   r"log in anew \(hf auth login\) or set one that may")
        resolves = [with_token for path, with_token in proxy.seen[asked:] if "/resolve/" in path]
        self.assertEqual(resolves, [True, False], "once more anonymously, and not each time anew")
        self.check(mount, 3, "403: lookup", lambda: os.stat(mount / "org/nope"), errno.EACCES,
                   ["lookup: Permission denied", "info of org/nope", "HF_TOKEN"], "log in anew")


class WhatTheHubCannotDo(Errors):
    def test_4_a_limit(self):
        proxy = self.broken_way()
        mount = self.mount(url=proxy.url, options="read.deadline=6s,metadata.deadline=6s")
        soon = {"RateLimit": '"api";r=0;t=1', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
        late = {**soon, "RateLimit": '"api";r=0;t=200'}
        proxy.set_fault("status", status=429, where="metadata", headers=soon, times=1)
        self.assertEqual(len(os.listdir(mount / "org/model")), 6, "it waits as long as it is told")
        proxy.set_fault("status", status=429, headers=soon, times=1)
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))
        says = r'HTTP 429 from [^ ]+, the limit of 500 "api" requests in 300 s is used up: wait 2 s'
        told = [line for line in self.lines_since(mount, 0) if re.search(says, line)]
        self.assertEqual(len(told), 2, "once for lookups, once for content")
        TABLE.append((4, "429, reset within the deadline: waits, then reads", "-",
                      shortened(told[0]), "wait 2 s for its reset"))
        proxy.set_fault("status", status=429, where="metadata", headers=late)
        self.check(mount, 4, "429, reset after the deadline: lookup",
                   lambda: os.stat(mount / "org/nope"), errno.EIO,
                   ["lookup: Input/output error", 'limit of 500 "api" requests in 300 s'],
                   "wait 20. s for its reset, or set HF_TOKEN for a higher one")
        self.assertIn("it takes more in", support.run(support.binary(), "status",
                                                      mount.path).stdout)
        proxy.set_fault("status", status=429, headers=late)
        self.check(mount, 4, "429, reset after the deadline: read",
                   lambda: read(mount / "org/model/other.json"), errno.EIO,
                   ["read: Input/output error", "HTTP 429"], "wait 20. s for its reset")

    def test_5_trouble_of_a_known_hub(self):
        proxy = self.broken_way()
        mount = self.mount(url=proxy.url, options=SHORT + ",metadata.ttl=1s")
        names = os.listdir(mount / "org/model")
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))
        for kind, name, situation, says, hint in (
                ("status", "other.json", "503", "HTTP 503 from " + proxy.url, "ask again later"),
                ("refuse", "weights.bin", "connection cut", " broke off ", "check the network")):
            proxy.set_fault(kind, status=503)
            self.check(mount, 5, situation + ": read of what is not cached",
                       lambda n=name: read(mount / f"org/model/{n}"), errno.EIO,
                       ["read: Input/output error", says], hint)
        proxy.set_fault("refuse", where="all")
        stale = r"what is known of org/model is shown: info of org/model: .* broke off"
        wait_for(lambda: os.listdir(mount / "org/model") == names and any(
            re.search(stale, line) for line in mount.log_lines()), "a check of the branch to fail")
        support.drop_caches(mount / "org/model/config.json")
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))
        line = next(line for line in mount.log_lines() if re.search(stale, line))
        TABLE.append((5, "connection cut: what is known and cached is served", "-",
                      shortened(line), "check the network"))
        status = support.run(support.binary(), "status", mount.path).stdout
        self.assertIn("cannot be reached for", status)

    def test_5_the_next_mirror(self):
        folder = os.path.join(self.work, "first")
        first = support.Server(self.served, folder, self.tag, *self.SERVE_OPTIONS)
        self.addCleanup(first.close)
        first.wait_ready("org/model", "org/more")
        first.wait_ready("org/secret", token=READER)
        second = self.broken_way()
        options = f"endpoints={first.url} {second.url},read.deadline=4s,metadata.deadline=4s"
        mount = self.mount(options=options, HF_TOKEN=READER)
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))
        os.listdir(mount / "org/secret")
        self.assertEqual(second.seen, [], "the first answers")
        first.close()
        mark = len(mount.log_lines())
        self.assertEqual(os.listdir(mount / "org/more"), os.listdir(mount / "org/model"))
        for name in ("org/model/weights.bin", "org/model/other.json", "org/more/config.json"):
            self.assertTrue(read(mount / name) == self.source(name), name)
        told = [line for line in self.lines_since(mount, mark) if "gives no answer" in line]
        self.assertIn(f"{first.url} gives no answer, {second.url} is asked: ", told[0])
        self.assertIn(f"cannot connect to {first.url}", told[0])
        TABLE.append((5, "the first is stopped, the next mirror answers: reads", "-",
                      shortened(told[0]), "check the network"))
        status = support.run(support.binary(), "status", mount.path).stdout
        self.assertIn(f"asked is {second.url} instead of {first.url}", status)
        # The token is not the mirror's, so what it cannot show is not known to be absent.
        self.check(mount, 5, "the first is stopped, a private file: read",
                   lambda: read(mount / "org/secret/other.json"), errno.EIO,
                   ["read: Input/output error", "no mirror answers", first.url, second.url],
                   "check the network", times=3)
        self.assertTrue(second.seen)
        self.assertFalse(any(with_token for _, with_token in second.seen))

    def check_hop(self, situation: str, url: str, says, next_step: str, **environment):
        """Nothing is known of this Hub: a lookup."""
        mount = self.mount(url=url, options=SHORT, **environment)
        self.check(mount, 5, situation + ": lookup", lambda: os.stat(mount / "org"), errno.EIO,
                   ["lookup: Input/output error", *says], next_step)

    def hang_up(self, answer: bytes = b"") -> int:
        server = HangUp(answer)
        self.addCleanup(server.close)
        return server.port

    def test_5_hops(self):
        proxy = self.broken_way()
        proxy.set_fault("status", status=502, where="all")
        self.check_hop("502", proxy.url, ["HTTP 502 from " + proxy.url], "ask again later")
        closed = closed_port()
        self.check_hop("connection refused", f"http://127.0.0.1:{closed}",
                       [f"cannot connect to http://127.0.0.1:{closed}"],
                       "check the network, and that the server is up")
        hangs_up = self.hang_up()
        self.check_hop("TLS: the server hangs up", f"https://127.0.0.1:{hangs_up}",
                       [f"TLS with https://127.0.0.1:{hangs_up} failed"],
                       "check for a proxy or firewall in between")
        self.check_hop("DNS", "https://hub.invalid", ["DNS has no address for hub.invalid"],
                       "check the network and the endpoint's name")
        self.check_hop("proxy refuses connections", "https://hub.invalid",
                       [f"the proxy http://127.0.0.1:{closed} does not lead to https://hub.invalid"],
                       "check HTTPS_PROXY and NO_PROXY", HTTPS_PROXY=f"http://127.0.0.1:{closed}")
        refuses = self.hang_up(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        self.check_hop("proxy wants a password", "https://hub.invalid",
                       [f"the proxy http://127.0.0.1:{refuses} does not lead to"],
                       "check HTTPS_PROXY and NO_PROXY",
                       HTTPS_PROXY=f"http://user:{REVOKED}@127.0.0.1:{refuses}")

    @unittest.skipUnless(shutil.which("openssl"), "openssl is missing")
    def test_5_a_certificate_that_is_not_trusted(self):
        key, crt = (os.path.join(self.work, "tls." + end) for end in ("key", "crt"))
        support.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt, "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
        server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-cert",
                                   crt, "-key", key], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        line = next(line for line in server.stdout if line.startswith("ACCEPT "))
        url = "https://127.0.0.1:" + line.rsplit(":", 1)[1].strip()
        self.check_hop("TLS: certificate not trusted", url, [f"TLS with {url} failed", "certificate"],
                       "check the clock, or name its CA in SSL_CERT_FILE")

    def test_6_wrong_content(self):
        proxy = self.broken_way()
        mount = self.mount(url=proxy.url, options=DEADLINES)
        hashes = r"expected (git-sha1|sha256):\w+, found (git-sha1|sha256):\w+"
        small, large = mount / "org/model/config.json", mount / "org/model/weights.bin"
        # The first time a program that reads it to its end is stopped; the next gets it right.
        proxy.set_fault("garble", times=1)
        self.assertEqual(error_of(lambda: read(large)), "EIO", "a whole file, partly wrong")
        self.assertTrue(read(large) == self.source("org/model/weights.bin"))
        told = [line for line in mount.log_lines() if re.search(hashes, line)]
        self.assertTrue(told, mount.log())
        proxy.set_fault("garble")
        asked = len(proxy.seen)
        for name, situation in (("config.json", "a small file"), ("weights.bin", "a large file")):
            self.check(mount, 6, f"content is not what its hash says, {situation}: read",
                       lambda n=name: read(mount / f"org/more/{n}"), errno.EIO,
                       ["Input/output error: org/more/" + name, hashes, "came wrong twice"],
                       "look for what changes it on its way, then mount anew")
        fetched = [path for path, _ in proxy.seen[asked:] if path.startswith("/org/more/resolve/")]
        self.assertLessEqual(len(fetched), 4, "fetched again once")
        with open(small, "rb", buffering=0) as file, self.assertRaises(OSError):
            self.assertIsNone(file.read(1), "a wrong byte of a small file")
        proxy.set_fault()
        again = self.mount(cache=os.path.basename(mount.cache), url=proxy.url, options=DEADLINES)
        for name in ("config.json", "weights.bin"):  # as the log advises, though the daemon goes on
            self.assertEqual(read(again / f"org/more/{name}"), self.source(f"org/more/{name}"))

    def test_7_offline(self):
        mount = self.mount(options=DEADLINES)
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))
        os.listdir(mount / "org")
        requests = self.server.mark()
        mount = self.remount(mount, options=DEADLINES, arguments=("--offline",))
        self.assertEqual(read(mount / "org/model/config.json"), self.source("org/model/config.json"))
        self.check(mount, 7, "offline: read of what is not cached",
                   lambda: read(mount / "org/model/other.json"), errno.EIO,
                   ["read: Input/output error", "offline because of --offline"],
                   "mount without it to go online")
        self.check(mount, 7, "offline: lookup of a name nobody listed",
                   lambda: os.stat(mount / "elsewhere"), errno.EIO,
                   ["lookup: Input/output error", "offline because of --offline"],
                   "mount without it to go online")
        mark = len(mount.log_lines())
        self.assertEqual(error_of(lambda: os.stat(mount / "org/nope")), "ENOENT", "org was listed")
        self.assertEqual(error_of(lambda: os.stat(mount / "org/model/nope")), "ENOENT")
        self.assertEqual(self.lines_since(mount, mark), [])
        other = self.mount(options=DEADLINES, HF_HUB_OFFLINE="1")
        self.check(other, 7, "offline by the environment: lookup", lambda: os.stat(other / "org"),
                   errno.EIO, ["lookup: Input/output error", "offline because of HF_HUB_OFFLINE"],
                   "mount without it to go online")
        self.assertEqual(self.server.since(requests), [])


class AccessThatChanges(Errors):
    """No remount after a login, a grant, or another token."""

    def opens(self, path: str) -> bool:
        return error_of(lambda: read(path)) == ""

    def home_with(self, token: str) -> str:
        home = os.path.join(self.work, "home-" + self._testMethodName)
        os.makedirs(home, exist_ok=True)
        if token:
            replace(os.path.join(home, "token"), token + "\n")
        return home

    def test_a_token_that_arrives_after_the_mount(self):
        home = self.home_with("")
        mount = self.mount(options=DEADLINES, HF_HOME=home)
        self.assertNotIn("secret", os.listdir(mount / "org"))
        for _ in range(2):  # the kernel remembers
            self.assertEqual(error_of(lambda: os.stat(mount / "org/secret")), "ENOENT")
        for name in ("weights.bin", "config.json"):
            self.assertEqual(error_of(lambda n=name: open(mount / f"org/gated/{n}")), "EACCES")
        self.home_with(READER)
        for path in ("org/secret/config.json", "org/gated/config.json", "org/gated/weights.bin"):
            wait_for(lambda p=path: self.opens(mount / p), path + " to open")
            self.assertEqual(read(mount / path), self.source(path))
        self.assertIn("secret", os.listdir(mount / "org"))

    def test_access_that_is_granted_while_mounted(self):
        mount = self.mount(options=DEADLINES + ",metadata.ttl=1s", HF_TOKEN=OTHER)
        self.assertEqual(error_of(lambda: os.stat(mount / "org/secret")), "ENOENT")
        self.assertEqual(error_of(lambda: open(mount / "org/gated/weights.bin")), "EACCES")
        for repo, settings in (("org/gated", GATED), ("org/secret", PRIVATE)):
            granted = {**settings, "readers": ["reader", "other"]}
            path = os.path.join(self.served, repo, ".hubvfs-repo.json")
            self.addCleanup(replace, path, json.dumps(settings))
            replace(path, json.dumps(granted))
        for path in ("org/secret/config.json", "org/gated/config.json", "org/gated/weights.bin"):
            wait_for(lambda p=path: self.opens(mount / p), path + " to open")
            self.assertEqual(read(mount / path), self.source(path))

    def test_a_token_that_is_revoked_while_mounted(self):
        home = self.home_with(READER)
        mount = self.mount(options=DEADLINES, HF_HOME=home)
        cached, other = mount / "org/secret/config.json", mount / "org/secret/other.json"
        read(cached)
        self.addCleanup(self.write_tokens)
        self.addCleanup(self.users.update, dict(self.users))
        del self.users[READER]
        self.write_tokens()
        wait_for(lambda: self.server.get("/api/whoami-v2", READER)[0] == 401, "it to be revoked")
        support.drop_caches(cached)
        self.assertEqual(read(cached), self.source("org/secret/config.json"),
                         "what is cached is the user's own")
        self.check(mount, 3, "401, a token revoked while mounted: read of what is not cached",
                   lambda: read(other), errno.EACCES,
                   ["read: Permission denied", "HTTP 401",
                    re.escape(f"the token from {home}/token was refused")],
                   r"log in anew \(hf auth login\) or set one that may")
        self.users["hf_anotherOfReader"] = "reader"
        self.write_tokens()
        self.home_with("hf_anotherOfReader")
        wait_for(lambda: self.opens(other), "the new token to count")
        self.assertEqual(read(other), self.source("org/secret/other.json"))
        self.assertEqual(read(mount / "org/secret/weights.bin"), self.source("org/secret/weights.bin"))


def tearDownModule():
    print_table()


if __name__ == "__main__":
    support.main()
