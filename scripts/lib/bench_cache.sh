#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures the block cache. Prints a table and keeps the figures as JSON in bench/results/.
#
#   scripts/bench cache [--blocks N] [--blobs N] [--small N] [--records N]
#
# A cache of so many blocks (1,000,000, in 2,000 blobs, beside 20,000 small blobs and 50,000
# records of metadata): its index, its start, its memory, lookups, evictions, and a mount of it. The
# data files are holes: it takes about 500 MB of disk under ${TMPDIR:-/var/tmp} and a minute.
#
# Builds what it needs in the release build. Nothing is asserted: the figures are for people, and say
# nothing on a machine that does other work at the time.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
. "$(dirname "$0")/common.sh"

usage() { sed -n '3,12s/^# \{0,1\}//p' "$0"; }

blocks=1000000 blobs=2000 small=20000 records=50000
work='' server_pid=''
step_logs=$root/build/logs
bench=$root/build/release/tests/bench/cache_bench
hubvfs=$root/build/release/daemon/hubvfs

main() {
  [[ ${1:-} == -h || ${1:-} == --help ]] && usage && exit 0
  while (($#)); do
    [[ ${2:-} =~ ^[0-9]+$ ]] || { usage >&2 && exit 2; }
    case $1 in
      --blocks) blocks=$2 ;;
      --blobs) blobs=$2 ;;
      --small) small=$2 ;;
      --records) records=$2 ;;
      *) usage >&2 && exit 2 ;;
    esac
    shift 2
  done
  cd "$root"
  mkdir -p "$step_logs" bench/results
  build
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  local room
  room=$(df --output=avail -k "${TMPDIR:-/var/tmp}" | tail -n 1)
  ((room > 2000000)) || die "less than 2 GB are free under ${TMPDIR:-/var/tmp}"
  work=$(mktemp -d "${TMPDIR:-/var/tmp}/hubvfs-bench-XXXXXX")
  step "make a cache" "$bench" make "$work/cache" "$blocks" "$blobs" "$small" "$records"
  "$bench" start "$work/cache" "$blocks" >"$work/start.json"
  measure_mount >"$work/mount.json"
  "$bench" use "$work/cache" "$blocks" "$blobs" >"$work/use.json"
  "$python" scripts/lib/bench_report.py "bench/results/cache-$(date +%Y%m%d-%H%M%S).json" \
    "$work"/{start,mount,use}.json
}

build() {
  local args=(--preset release)
  mapfile -t -O "${#args[@]}" args < <(ccache_arguments)
  step "configure" cmake "${args[@]}"
  step "build" cmake --build --preset release --target cache_bench hubvfs -j "$(jobs_here)"
}

# How long `hubvfs mount` takes, which returns when the mount answers; and the worker's memory.
measure_mount() {
  [[ -e /dev/fuse ]] || { echo '{}' && return; }
  mkdir -p "$work/hub" "$work/mount"
  "$hubvfs" serve "$work/hub" --state-dir "$work/state" --url-file "$work/url" >/dev/null 2>&1 &
  server_pid=$!
  until [[ -s $work/url ]]; do
    kill -0 "$server_pid" || die "hubvfs serve ended"
    sleep 0.1
  done
  "$python" - "$hubvfs" "$work" "$((4 * blocks))M" <<'PYTHON'
import json, os, pathlib, re, subprocess, sys, time

hubvfs, work, size = sys.argv[1:]
figures = {}
environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUBVFS_"))}
environment.update(HOME=work, HF_ENDPOINT=pathlib.Path(work, "url").read_text().strip(),
                   XDG_STATE_HOME=f"{work}/state")

def run(*args):
    return subprocess.run([hubvfs, *args], env=environment, timeout=120, check=True, capture_output=True).stdout

for when in ("cold", "warm"):
    if when == "cold":
        with open(f"{work}/cache/index/data.mdb", "rb") as index:
            os.fsync(index.fileno())
            os.posix_fadvise(index.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begin = time.monotonic()
    run("mount", f"{work}/mount", "-o", f"cache.path={work}/cache,cache.size={size},cache.min_free=0")
    figures[f"mount_{when}_s"] = time.monotonic() - begin
    while json.loads(run("status", f"{work}/mount", "--json"))["status"]["cache"]["blocks"] == 0:
        if time.monotonic() - begin > 120:
            sys.exit("the mount does not load the cache's blocks")
        time.sleep(0.02)
    figures[f"mount_loaded_{when}_s"] = time.monotonic() - begin
    keeper = json.loads(run("status", f"{work}/mount", "--json"))["pid"]
    worker = pathlib.Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()[0]
    status = pathlib.Path(f"/proc/{worker}/status").read_text()
    figures[f"worker_rss_anon_{when}_mib"] = int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024
    run("umount", f"{work}/mount")
    while pathlib.Path(f"/proc/{worker}").exists():  # it holds the cache until it ends
        if time.monotonic() - begin > 120:
            sys.exit("the mount's worker does not end")
        time.sleep(0.02)
print(json.dumps(figures))
PYTHON
}

# Nothing in here may end it early: what is left then is left for good.
clean_up() {
  set +e
  if [[ -n $work ]]; then
    if mountpoint -q "$work/mount" 2>/dev/null; then
      HOME=$work XDG_STATE_HOME=$work/state "$hubvfs" umount "$work/mount" >/dev/null 2>&1 ||
        fusermount3 -uz "$work/mount" || umount -l "$work/mount"
    fi
  fi
  if [[ -n $server_pid ]]; then
    kill "$server_pid" 2>/dev/null
    wait "$server_pid" 2>/dev/null
  fi
  [[ -n $work ]] && rm -rf --one-file-system "$work"
}

main "$@"
