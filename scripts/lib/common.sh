# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts beside this folder; sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache_home=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/hubvfs-dev
# Debian's own python3: another one earlier in PATH may lack venv or be of a version not locked for.
python=/usr/bin/python3

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# step NAME COMMAND...: runs it with its output kept in a log; prints one line with the time it took,
# and the whole log when it fails, with which the script ends.
step() {
  local name=$1 log start rc=0
  shift
  log=${step_logs:?}/${name//[^A-Za-z0-9.-]/_}.log
  start=$(date +%s)
  "$@" >"$log" 2>&1 </dev/null || rc=$?
  if ((rc != 0)); then
    cat "$log"
    die "$name failed (exit status $rc); its output is above and in $log"
  fi
  printf '%-46s %5ds\n' "$name" "$(($(date +%s) - start))"
}

# Where what was made from lock file $2 lies; $1 says what: venv or npm.
made_from() {
  printf '%s/%s-%s\n' "$cache_home" "$1" "$(sha256sum <"$2" | cut -c1-16)"
}
venv_of() { made_from venv "$1"; }

# The number of compilations to run at once: a core each, as far as 1.5 GiB of memory each goes.
jobs_here() {
  local cores mib
  cores=$(nproc)
  mib=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
  local by_memory=$((mib / 1536))
  ((by_memory < 1)) && by_memory=1
  printf '%s\n' "$((cores < by_memory ? cores : by_memory))"
}

# Arguments for cmake that compile through ccache, where it is installed: one a line. What it kept
# from one checkout serves any other.
ccache_arguments() {
  command -v ccache >/dev/null || return 0
  printf '%s\n' -DCMAKE_CXX_COMPILER_LAUNCHER=ccache
}
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
