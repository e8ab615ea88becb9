# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench computes and prints of given figures; nothing is measured here."""

import json
import os
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree as xml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../scripts/lib/bench"))
import files  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
import svg  # noqa: E402
from measure import Line, Target, interleave  # noqa: E402

QUIET = lambda words: None  # noqa: E731


class Ratios(unittest.TestCase):
    def test_the_best_peer_of_each_turn_counts(self):
        line = Line(
            "rate",
            "MB/s",
            {"hubvfs": [90, 80], "curl": [100, 50], "aria2": [60, 100]},
            Target(at_least=0.85),
            ("curl", "aria2"),
        )
        self.assertEqual(line.ratios(), [0.9, 0.8])
        self.assertAlmostEqual(line.value(), 0.85)
        self.assertTrue(line.is_met())

    def test_the_best_of_what_should_be_small_is_the_smallest(self):
        line = Line(
            "time",
            "s",
            {"hubvfs": [3], "download": [6], "other": [4]},
            Target(at_most=0.6),
            ("download", "other"),
            less=True,
        )
        self.assertEqual(line.ratios(), [0.75])
        self.assertFalse(line.is_met())

    def test_with_nobody_to_compare_with_the_figure_counts(self):
        line = Line(
            "bytes", "times", {"hubvfs": [1.0, 1.1, 1.3], "nbd": [5, 5, 5]}, Target(at_most=1.2)
        )
        self.assertEqual(line.value(), 1.1)
        self.assertTrue(line.is_met())

    def test_without_its_peer_a_line_says_nothing(self):
        line = Line("rate", "MB/s", {"hubvfs": [90]}, Target(at_least=4), ("rclone",))
        self.assertIsNone(line.is_met())
        self.assertEqual(report.cells(line)[3:], ["-", ">= 4", "-"])


class Turns(unittest.TestCase):
    def test_sides_take_turns(self):
        order = []
        sides = {name: lambda name=name: order.append(name) or {"n": len(order)} for name in "ab"}
        runs = interleave(3, sides, QUIET)
        self.assertEqual("".join(order), "abbaab")
        self.assertEqual(runs.of("n"), {"a": [1, 4, 5], "b": [2, 3, 6]})

    def test_a_peer_that_fails_is_left_out_and_hubvfs_is_not(self):
        def fail():
            raise machine.Failed("no")

        runs = interleave(2, {"hubvfs": lambda: {"n": 1}, "peer": fail}, QUIET)
        self.assertEqual(runs.of("n"), {"hubvfs": [1, 1]})
        self.assertEqual(runs.failures, {"peer": "no"})
        with self.assertRaises(machine.Failed):
            interleave(1, {"hubvfs": fail}, QUIET)


class Kept(unittest.TestCase):
    def test_a_row_is_kept_and_found_again(self):
        line = Line("rate", "MB/s", {"hubvfs": [90.5], "curl": [100]}, Target(at_least=0.9), ("curl",))
        row = types.SimpleNamespace(name="cold", title="A cold file")
        with tempfile.TemporaryDirectory() as folder:
            report.keep(folder, HERE, row, [line], "scripts/bench cold", {"more": 1})
            self.assertEqual(os.listdir(folder), ["cold.json"])
            results = report.load(folder, ["absent", "cold"])
            self.assertEqual(report.measured(folder, HERE, ["absent", "cold"]), ["cold"])
        self.assertEqual([report.line_from_json(kept) for kept in results[0]["lines"]], [line])
        self.assertEqual(results[0]["notes"], {"more": 1})
        text = report.text_table(results)
        self.assertIn("[cold] A cold file", text)
        self.assertRegex(text, r"rate, MB/s +90\.5 +curl 100 +0\.905 +>= 0\.9 +yes")
        self.assertIn(
            "| rate, MB/s | 90.5 | curl 100 | 0.905 | >= 0.9 | yes |", report.markdown_table(results)
        )

    def test_the_document_gets_the_newest_results(self):
        line = Line("rate", "MB/s", {"hubvfs": [90]}, None)
        row = types.SimpleNamespace(name="cold", title="A cold file")
        page = f"before\n{report.BEGIN}old\n{report.END}after\n"
        with tempfile.TemporaryDirectory() as folder:
            report.keep(folder, HERE, row, [line], "scripts/bench cold", {})
            made = report.put_into(page, report.load(folder, ["cold"]))
        self.assertTrue(made.startswith("before\n") and made.endswith("after\n"))
        self.assertIn("| **A cold file** |", made)
        self.assertNotIn("old\n", made)

    def test_a_spread_is_median_and_range(self):
        self.assertEqual(report.spread([3, 1, 2]), "2 (1 to 3)")
        self.assertEqual(report.spread([1234.5]), "1,234")


class Plots(unittest.TestCase):
    def points_of(self, plot):
        names = {"svg": "http://www.w3.org/2000/svg"}
        return [path.get("d") for path in xml.fromstring(plot).iterfind(".//svg:path", names)]

    def test_an_axis_maps_its_ends_and_its_middle(self):
        self.assertEqual([svg.Axis(0, 10, 100, 200).at(v) for v in (0, 5, 10)], [100, 150, 200])
        axis = svg.Axis(0.1, 10, 0, 100, logarithmic=True)
        self.assertEqual([round(axis.at(v)) for v in (0.1, 1, 10)], [0, 50, 100])
        self.assertEqual(axis.ticks(), [0.1, 1, 10])

    def test_ticks_are_round_numbers(self):
        self.assertEqual(svg.Axis(0, 97, 0, 1).ticks(), [0, 20, 40, 60, 80])
        self.assertEqual(
            [round(t, 3) for t in svg.Axis(0, 0.47, 0, 1).ticks()], [0, 0.1, 0.2, 0.3, 0.4]
        )

    def test_lines_and_steps_are_drawn(self):
        series = [
            svg.Series("a", [(0, 0), (1, 10)]),
            svg.Series("b", [(0, 0), (1, 10)], True),
            svg.Series("none", []),
        ]
        drawn = self.points_of(svg.panels([[svg.Panel("<title>", "y", series, 10)]], "s"))
        self.assertEqual(sorted(path.count("L") for path in drawn), [1, 2])

    def test_bars_survive_any_figure(self):
        plot = svg.bars(
            [svg.Bar("a & b", 0.5, 1, 2, 0.9, True), svg.Bar("c", 0, 0, 0, None, None)], "t"
        )
        self.assertIn("a &amp; b", plot)
        xml.fromstring(plot)


class Files(unittest.TestCase):
    def test_a_safetensors_file_is_valid(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.safetensors")
            files.safetensors(path, 3, 100)
            header = files.read_header(path)
            self.assertEqual(header["t0002"][1], os.path.getsize(path))
            with open(path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                self.assertEqual(
                    json.loads(file.read(length))["t0001"],
                    {"dtype": "U8", "shape": [100], "data_offsets": [100, 200]},
                )


if __name__ == "__main__":
    unittest.main(verbosity=2)
