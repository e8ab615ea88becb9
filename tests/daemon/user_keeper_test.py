#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The keeper as an ordinary user, through fusermount3: mounts, restarts its worker, leaves nothing.

usage: user_keeper_test.py TINY_DAEMON       exit status 77: skipped

As root it becomes nobody, in a mount namespace of its own where /dev/fuse is everybody's.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NOBODY = 65534
PATIENCE = 60


def skip(reason):
    print("SKIPPED:", reason)
    sys.exit(77)


def own_namespace():
    """Runs this again in a mount namespace, with a device node that anybody may open."""
    os.environ["HUBVFS_TEST_NAMESPACE"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                          *sys.argv])


def open_device(folder):
    node = os.path.join(folder, "fuse")
    os.mknod(node, 0o600 | 0o020000, os.stat("/dev/fuse").st_rdev)
    os.chmod(node, 0o666)
    subprocess.run(["mount", "--bind", node, "/dev/fuse"], check=True)


def as_nobody(*command):
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]


def cat(path, user=True):
    command = ["cat", path]
    done = subprocess.run(as_nobody(*command) if user else command, capture_output=True,
                          timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.01)


def mounted(point):
    with open("/proc/self/mountinfo") as file:
        return next((line for line in file if f" {point} " in line), "")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def scenario(keeper, point):
    ready, _, _ = select.select([keeper.stdout], [], [], PATIENCE)
    check(ready and keeper.stdout.readline() == b"ready\n", "the mount did not get ready")
    line = mounted(point)
    check(f"user_id={NOBODY},group_id={NOBODY}" in line, line)
    check("ro,nosuid,nodev" in line and " - fuse.hubvfs hubvfs " in line, line)

    status, pid, errors = cat(f"{point}/pid")
    check(status == 0, errors)
    worker = int(pid)
    with open(f"/proc/{worker}/status") as file:
        text = file.read()
    check(f"Uid:\t{NOBODY}\t{NOBODY}" in text, text)
    check("CapEff:\t0000000000000000" in text and "NoNewPrivs:\t1" in text, text)
    # Another process of the same user sees neither its environment nor its descriptors.
    for secret in ("environ", "maps"):
        status, _, _ = cat(f"/proc/{worker}/{secret}")
        check(status != 0, f"{secret} of the worker can be read")

    status, _, errors = cat(f"{point}/pid", user=False)
    check(status != 0 and "Permission denied" in errors, f"root was let in: {errors}")

    slow = subprocess.Popen(as_nobody("sha256sum", f"{point}/slow"), stdout=subprocess.PIPE)
    os.kill(worker, signal.SIGKILL)
    status, pid, errors = cat(f"{point}/pid")
    check(status == 0 and int(pid) != worker, f"{pid} {errors}")
    digest = slow.communicate(timeout=PATIENCE)[0].split()[0]
    numbers = subprocess.run(as_nobody("sha256sum", f"{point}/numbers"), timeout=PATIENCE,
                             capture_output=True, check=True).stdout.split()[0]
    check(digest == numbers, "a read during the restart gave other bytes")

    keeper.send_signal(signal.SIGTERM)
    check(keeper.wait(PATIENCE) == 0, "the keeper failed")
    check(not mounted(point), "the mount is still there")
    wait_for(lambda: not os.path.exists(f"/proc/{int(pid)}"), "the worker's end")


def main():
    if os.geteuid() != 0:
        skip("needs root, to become somebody else")
    for tool in ("fusermount3", "setpriv", "unshare"):
        if not shutil.which(tool):
            skip(f"{tool} is missing")
    if not os.path.exists("/dev/fuse"):
        skip("/dev/fuse is missing")
    if "HUBVFS_TEST_NAMESPACE" not in os.environ:
        own_namespace()
    folder = tempfile.mkdtemp()
    point = os.path.join(folder, "theirs", "m")
    keeper = None
    try:
        os.chmod(folder, 0o755)
        open_device(folder)
        os.mkdir(os.path.dirname(point))
        os.chown(os.path.dirname(point), NOBODY, NOBODY)
        binary = os.path.join(folder, "tiny_daemon")  # where nobody can run it
        shutil.copy2(sys.argv[1], binary)
        keeper = subprocess.Popen(as_nobody(binary, point), stdout=subprocess.PIPE, cwd="/")
        scenario(keeper, point)
    finally:
        if keeper and keeper.poll() is None:
            keeper.kill()
            keeper.wait()
        if mounted(point):
            subprocess.run(["umount", "-l", point], timeout=PATIENCE, check=False)
        subprocess.run(["umount", "/dev/fuse"], timeout=PATIENCE, check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
