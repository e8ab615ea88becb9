# SPDX-License-Identifier: Apache-2.0
"""Runs a mount test as an ordinary user, through fusermount3: as_user.py TEST.py [ARGUMENT...]

As root it becomes nobody, in a mount namespace of its own where /dev/fuse is as Debian makes it, for
everybody, and where the kernel's fusectl is there to be read. As anybody else there is nothing to do:
the test itself is run by that user already, and this one is skipped.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from typing import NoReturn

SKIP_EXIT = 77
NOBODY = 65534
IN_NAMESPACE = "HUBVFS_TEST_OWN_FUSE_NODE"
# Who mounts changes nothing about these but the way to /dev/fuse, which all others take too.
IN_FULL_ONLY = ("test_hostile_names.py", "test_large_listing.py", "test_low_memory.py", "test_moving_branch.py",
                "test_revisions.py")


def skip(reason: str) -> NoReturn:
    print("SKIPPED:", reason)
    raise SystemExit(SKIP_EXIT)


def node_for_everybody() -> None:
    """Goes on in a mount namespace where /dev/fuse is everybody's. fusermount3 opens it as its user."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        return
    if IN_NAMESPACE not in os.environ:
        os.environ[IN_NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--", sys.executable, "-B", *sys.argv])
    if os.stat("/dev/fuse").st_mode & 6 != 6:
        folder = tempfile.mkdtemp()
        call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
        node = os.path.join(folder, "fuse")
        os.mknod(node, stat.S_IFCHR | 0o666, os.stat("/dev/fuse").st_rdev)
        os.chmod(node, 0o666)
        call("mount", "--bind", node, "/dev/fuse")
        call("umount", "-l", folder)
        os.rmdir(folder)
    if os.path.isdir("/sys/fs/fuse/connections") and not os.listdir("/sys/fs/fuse/connections"):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections"],
                       check=False, capture_output=True, timeout=60)


def call(*command: str) -> None:
    subprocess.run(command, check=True, timeout=60)


BECOME_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
# The tests start processes of it: setpriv itself can still start what its user cannot.
STARTS_ITSELF = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"


def interpreter() -> str:
    """One that the ordinary user can run: this one may lie in somebody's home."""
    tried = []
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin")):
        if not python or python in tried:
            continue
        tried.append(python)
        if subprocess.run([*BECOME_NOBODY, python, "-c", STARTS_ITSELF], cwd="/", timeout=60,
                          capture_output=True, check=False).returncode == 0:
            return python
    skip(f"an ordinary user can run none of {', '.join(tried)}")


def main() -> None:
    if os.geteuid() != 0:
        skip("not root: the tests run as an ordinary user already")
    for tool in ("setpriv", "unshare", "fusermount3"):
        if not shutil.which(tool):
            skip(f"{tool} is missing")
    if not os.path.exists("/dev/fuse"):
        skip("/dev/fuse is missing")
    if sys.argv[1] in IN_FULL_ONLY and os.environ.get("HUBVFS_TEST_FULL") != "1":
        skip("in the short form as root alone: scripts/test --full runs it as an ordinary user too")
    node_for_everybody()
    python = interpreter()
    # Where that user may read it: a checkout may lie in somebody's home.
    folder = tempfile.mkdtemp(prefix="hubvfs-as-user-")
    try:
        os.chmod(folder, 0o755)
        here = os.path.dirname(os.path.abspath(__file__))
        tests = os.path.join(folder, "tests")
        shutil.copytree(here, tests, ignore=shutil.ignore_patterns("__pycache__", "CMake*"))
        program = os.path.join(folder, "hubvfs")
        shutil.copy2(os.environ["HUBVFS_BIN"], program)
        home = os.path.join(folder, "home")
        os.mkdir(home)
        os.chown(home, NOBODY, NOBODY)
        environment = {**os.environ, "HUBVFS_BIN": program, "HOME": home}
        environment.pop(IN_NAMESPACE)
        done = subprocess.run(
            [*BECOME_NOBODY, python, "-B", os.path.join(tests, sys.argv[1]), *sys.argv[2:]],
            env=environment, cwd=home, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
