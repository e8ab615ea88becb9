#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the figures of a benchmark as a table and keeps them.

usage: bench_report.py RESULT.json FIGURES.json...   each an object of numbers
"""

import json
import os
import pathlib
import platform
import sys

# What is wanted of the cache at a million blocks.
WANTED = {"start_cold_s": 1.0, "metadata_cold_s": 1.0, "mount_cold_s": 1.0, "mount_warm_s": 1.0,
          "rss_anon_cold_mib": 150.0, "rss_anon_most_mib": 150.0, "worker_rss_anon_cold_mib": 150.0,
          "lookup_p99_us": 20.0}


def main() -> int:
    result, *inputs = sys.argv[1:]
    figures = {}
    for name in inputs:
        figures.update(json.loads(pathlib.Path(name).read_text(encoding="utf-8")))
    load = os.getloadavg()[0]
    for name, value in figures.items():
        shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"
        wanted = f"below {WANTED[name]:g}" if name in WANTED else ""
        print(f"{name:32} {shown:>16}   {wanted}".rstrip())
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, load {load:.1f}")
    kept = {"cores": os.cpu_count(), "kernel": platform.release(), "load": load, "figures": figures}
    pathlib.Path(result).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"kept in {result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
