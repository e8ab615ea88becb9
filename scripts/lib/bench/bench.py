# SPDX-License-Identifier: Apache-2.0
"""What every row is given: the programs, sizes, links, and files that are made once."""

import os

import files
import links
import machine
from files import MIB


class Bench:
    """The benchmark's own folder, and how much is to be read and how often."""

    def __init__(self, work: str, root: str, quick: bool, clients: str, results: str):
        self.work, self.root, self.quick = work, root, quick
        self.clients = clients  # the folder of the Python clients' environment, or ""
        self._results = results
        build = os.path.join(root, "build/release")
        self.server = f"{build}/daemon/hubvfs"
        self.hubvfs = os.environ.get("HUBVFS_BIN", self.server)  # another build's mounts
        self.delay_line = f"{build}/tests/bench/delay_line"
        self.reader_program = f"{build}/tests/bench/bench_reader"
        self.turns = 2 if quick else 5  # of what takes a second or two
        self.long_turns = 1 if quick else 3  # of what takes ten times that
        self.size = (192 if quick else 768) * MIB
        self.notes: dict = {}  # of the row that runs, kept with its lines

    def say(self, words: str) -> None:
        print(words, flush=True)

    def keep_plot(self, name: str, plot: str) -> None:
        with open(f"{self._results}/{name}.svg", "w", encoding="utf-8") as file:
            file.write(plot)

    def without_passthrough(self) -> str:
        """The mount option that has complete files served by the daemon's reads."""
        return (
            "passthrough=off" if "passthrough" in machine.run([self.hubvfs, "mount", "--help"]) else ""
        )

    # --- links -------------------------------------------------------------------------------

    def loopback(self) -> links.Loopback:
        return links.Loopback()

    def far_link(self) -> links.Shaped:
        """30 ms there and back, 100 MB/s."""
        return links.Shaped(self, "30 ms, 100 MB/s", delay=15, rate=100)

    def capped_link(self) -> links.Shaped:
        """The same, and 20 MB/s a connection."""
        return links.Shaped(self, "30 ms, 100 MB/s, 20 MB/s a connection", delay=15, rate=100, flow=20)

    # --- reading -----------------------------------------------------------------------------

    def read(self, *words, timeout: float = 600) -> dict:
        return machine.reader(self.reader_program, *words, timeout=timeout)

    def rate(self, *words, timeout: float = 600) -> float:
        """MB/s of such a reading."""
        done = self.read(*words, timeout=timeout)
        return done["bytes"] / done["seconds"] / 1e6

    # --- files -------------------------------------------------------------------------------

    def _folder(self, name: str, fill) -> str:
        """work/served/NAME, filled by fill(folder) the first time."""
        folder = os.path.join(self.work, "served", name)
        if not os.path.exists(f"{folder}.complete"):
            os.makedirs(folder, exist_ok=True)
            fill(folder)
            with open(f"{folder}.complete", "w", encoding="utf-8"):
                pass
        return folder

    def one_file(self) -> str:
        """bench/one: data.bin of `size`, quarter.bin of a quarter, small.bin, new-00.bin to -29."""

        def fill(folder: str) -> None:
            files.random_file(f"{folder}/bench/one/data.bin", self.size)
            files.random_file(f"{folder}/bench/one/quarter.bin", self.size // 4)
            for name in ("small", *(f"new-{i:02}" for i in range(30))):
                files.random_file(f"{folder}/bench/one/{name}.bin", 12 * MIB)

        return self._folder("one", fill)

    def giant(self) -> str:
        """bench/giant: data.bin of 1 GiB."""
        return self._folder(
            "giant", lambda folder: files.random_file(f"{folder}/bench/giant/data.bin", 1024 * MIB)
        )

    def stream(self) -> str:
        """bench/stream: data.bin of 3 GiB."""
        size = (768 if self.quick else 3072) * MIB
        return self._folder(
            "stream", lambda folder: files.random_file(f"{folder}/bench/stream/data.bin", size)
        )

    def model(self) -> str:
        """bench/model: model.safetensors of 2 GiB, 100 tensors of 1% each."""
        size = (512 if self.quick else 2048) * MIB
        return self._folder(
            "model",
            lambda folder: files.safetensors(
                f"{folder}/bench/model/model.safetensors", 100, size // 100
            ),
        )

    def shards(self) -> str:
        """bench/shards: 50 safetensors of 32 MiB."""
        size = (8 if self.quick else 32) * MIB

        def fill(folder: str) -> None:
            for i in range(50):
                files.safetensors(f"{folder}/bench/shards/model-{i:05}.safetensors", 200, size // 200)

        return self._folder("shards", fill)

    def many_readers(self) -> str:
        """bench/readers: 32 files."""
        size = (4 if self.quick else 24) * MIB

        def fill(folder: str) -> None:
            for i in range(32):
                files.random_file(f"{folder}/bench/readers/r{i:02}.bin", size)

        return self._folder("readers", fill)

    def entries(self) -> str:
        """bench/ten: 10,000 files in 100 folders. bench/hundred0 to 4: 20,000 each in 20."""

        def fill(folder: str) -> None:
            files.small_files(f"{folder}/bench/ten", 10_000, 100)
            for i in range(1 if self.quick else 5):
                files.small_files(f"{folder}/bench/hundred{i}", 19_000, 1000)

        return self._folder("entries", fill)
