# SPDX-License-Identifier: Apache-2.0
"""Where the Python clients are: the virtual environment that `scripts/setup --clients` made."""

import hashlib
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LOCK = os.path.join(HERE, "requirements.lock")
# Read at once: a test changes its own environment later.
_CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


def folder() -> str:
    with open(LOCK, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:16]
    return os.path.join(_CACHE, "hubvfs-dev", f"venv-{digest}")


def python() -> str:
    """Its interpreter, or "" where there is no complete one."""
    complete = os.path.exists(os.path.join(folder(), "complete"))
    return os.path.join(folder(), "bin/python") if complete else ""


def why_missing() -> str:
    return "" if python() else "the Python clients are missing: run scripts/setup --clients"


def site_packages() -> str:
    done = subprocess.run([python(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                          capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def without_network() -> list:
    """A prefix that runs a command in a network of its own, with nothing in it, where that works."""
    prefix = ["unshare", "--net", "--"]
    if not shutil.which("unshare"):
        return []
    works = subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=60)
    return prefix if works.returncode == 0 else []
