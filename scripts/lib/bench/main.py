#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures rows of the benchmark; scripts/bench calls it when everything is built.

usage: main.py ROOT WORK CLIENTS [--quick] [--resume] [--list | --table | --document] [ROW...]
"""

import os
import pathlib
import shutil
import signal
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import links  # noqa: E402
import report  # noqa: E402
import svg  # noqa: E402
from bench import Bench  # noqa: E402
from measure import ROWS, Target  # noqa: E402
import rows_warm, rows_cold, rows_bytes, rows_tree, rows_model, rows_links  # noqa: E401, E402, F401


def plot_ratios(results: list) -> str:
    entries = []
    for result in results:
        for line in map(report.line_from_json, result["lines"]):
            ratios, target = line.ratios(), line.target or Target()
            if not ratios or not line.target:
                continue
            entries.append(
                svg.Bar(
                    f"{result['row']}: {line.what}"[:66],
                    min(ratios),
                    line.value(),
                    max(ratios),
                    target.at_least or target.at_most,
                    line.is_met(),
                )
            )
    return svg.bars(entries, "hubvfs: figures and ratios to peers; the mark is the target")


def show(results_folder: str) -> None:
    """The table and plot of all that was ever kept there."""
    results = report.load(results_folder, ROWS)
    print(report.text_table(results))
    with open(f"{results_folder}/table.md", "w", encoding="utf-8") as file:
        file.write(report.markdown_table(results) + "\n")
    with open(f"{results_folder}/ratios.svg", "w", encoding="utf-8") as file:
        file.write(plot_ratios(results))
    print(f"\n{report.machine_text()}, load {os.getloadavg()[0]:.1f}; kept in {results_folder}")


def document(root: str, results_folder: str) -> None:
    """Puts the table and the plots into docs/."""
    path = pathlib.Path(root, "docs/PERFORMANCE.md")
    text = report.put_into(path.read_text(encoding="utf-8"), report.load(results_folder, ROWS))
    path.write_text(text, encoding="utf-8")
    for name in ("ratios", "links"):
        plot = pathlib.Path(results_folder, f"{name}.svg")
        if plot.exists():
            shutil.copy(plot, f"{root}/docs/{name}.svg")


def measure(bench: Bench, names: list, results: str, command: str) -> int:
    """Each row, kept as soon as it is there: what is interrupted goes on with the rows that lack."""
    failed = 0
    for name in names:
        row = ROWS[name]
        print(f"{name}: {row.title}", flush=True)
        bench.notes = {}
        try:
            lines = row.measure(bench)
        except Exception as error:  # whatever it was, the other rows are measured
            traceback.print_exception(error)
            print(f"    FAILED: {error}", flush=True)
            failed += 1
            continue
        report.keep(results, bench.root, row, lines, command, bench.notes)
    return failed


def main(root: str, work: str, clients: str, *words: str) -> int:
    options = {word for word in words if word.startswith("--")}
    names = [word for word in words if not word.startswith("--")]
    if "--list" in options:
        print("\n".join(f"{row.name:16} {row.title}" for row in ROWS.values()))
        return 0
    known = {"--quick", "--resume", "--table", "--document"}
    unknown = [name for name in names if name not in ROWS] + sorted(options - known)
    if unknown:
        print(
            f"bench: no row or option {', '.join(unknown)}; see scripts/bench --list", file=sys.stderr
        )
        return 2
    results = f"{root}/bench/results" + ("/quick" if "--quick" in options else "")
    os.makedirs(results, exist_ok=True)
    failed = 0
    if options <= {"--quick", "--resume"}:
        bench = Bench(work, root, "--quick" in options, clients, results)
        links.remove_abandoned()
        command = " ".join(["scripts/bench", *words])
        names = names or list(ROWS)
        if "--resume" in options:
            names = [name for name in names if name not in report.measured(results, root, ROWS)]
        failed = measure(bench, names, results, command)
        print()
    show(results)
    if "--document" in options:
        document(root, results)
    return 1 if failed else 0


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))  # so that everything is closed
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
