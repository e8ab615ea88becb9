# SPDX-License-Identifier: Apache-2.0
"""Results as JSON, one file a row, and as a table, of all rows that were ever measured here."""

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess

from measure import Line, Target


def machine_text() -> str:
    about = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next(
        (line.split(":")[1].strip() for line in about if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, Linux {platform.release()}"


def commit(root: str) -> str:
    done = subprocess.run(
        ["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def line_to_json(line: Line) -> dict:
    kept = line._asdict()
    kept["target"] = line.target._asdict() if line.target else None
    return kept


def line_from_json(kept: dict) -> Line:
    target = Target(**kept["target"]) if kept["target"] else None
    return Line(**{**kept, "target": target, "against": tuple(kept["against"])})


def keep(folder: str, root: str, row, lines: list, command: str, notes: dict) -> None:
    result = {
        "row": row.name,
        "title": row.title,
        "command": command,
        "commit": commit(root),
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "machine": machine_text(),
        "load": os.getloadavg()[0],
        "notes": notes,
        "lines": [line_to_json(line) for line in lines],
    }
    path = pathlib.Path(folder, f"{row.name}.json")
    path.with_suffix(".new").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".new").rename(path)


def load(folder: str, names) -> list:
    """What was kept of the rows of these names, in their order."""
    paths = [pathlib.Path(folder, f"{name}.json") for name in names]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def measured(folder: str, root: str, names) -> list:
    """The rows that were measured at the commit that is checked out."""
    now = commit(root)
    return [result["row"] for result in load(folder, names) if result["commit"] == now]


def number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: list) -> str:
    """Median and range."""
    middle = number(statistics.median(values))
    if len(values) < 2:
        return middle
    return f"{middle} ({number(min(values))} to {number(max(values))})"


def cells(line: Line) -> list:
    """What, hubvfs, peers, ratio, target, met: the columns of both tables."""
    peers = ", ".join(
        f"{name} {number(statistics.median(values))}"
        for name, values in line.samples.items()
        if name != line.ours and values
    )
    ratios, met = line.ratios(), line.is_met()
    mine = line.samples.get(line.ours, [])
    return [
        f"{line.what}, {line.unit}",
        spread(mine) if mine else "-",
        peers or "-",
        spread(ratios) if ratios and line.against else "-",
        str(line.target or "stated"),
        {True: "yes", False: "NO", None: "-"}[met],
    ]


HEAD = ["what", "hubvfs", "peers", "ratio to the best of those compared with", "target", "met"]


def text_table(results: list) -> str:
    rows = [HEAD[:3] + ["ratio"] + HEAD[4:]]
    for result in results:
        rows.append([f"[{result['row']}] {result['title']}"])
        rows += [["  " + c[0], *c[1:]] for c in map(cells, map(line_from_json, result["lines"]))]
    whole = [r for r in rows if len(r) > 1]
    width = [max(len(r[i]) for r in whole) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(r, width)).rstrip() if len(r) > 1 else r[0]
        for r in rows
    )


def markdown_table(results: list) -> str:
    out = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    for result in results:
        out.append(f"| **{result['title']}** |" + " |" * (len(HEAD) - 1))
        out += [f"| {' | '.join(c)} |" for c in map(cells, map(line_from_json, result["lines"]))]
    return "\n".join(out)


BEGIN, END = "<!-- results: scripts/bench --document -->\n", "<!-- end of results -->\n"


def described(results: list) -> str:
    """The table for the document, and when, where and of what it is."""
    machines = sorted({result["machine"] for result in results})
    dates = sorted(result["date"] for result in results)
    commits = sorted({result["commit"] for result in results})
    loads = [result["load"] for result in results]
    return (
        f"`{results[0]['command'].split()[0]}`, {dates[0]} to {dates[-1]}, commit {', '.join(commits)}, "
        f"release build; {'; '.join(machines)}; load at the end of a row {min(loads):.1f} to "
        f"{max(loads):.1f}.\n\n{markdown_table(results)}\n"
    )


def put_into(document: str, results: list) -> str:
    """The document with its results replaced."""
    before, rest = document.split(BEGIN)
    return before + BEGIN + described(results) + END + rest.split(END)[1]
