# SPDX-License-Identifier: Apache-2.0
"""The links between client and Hub: loopback, or two network namespaces with delay_line between."""

import os
import pathlib
import subprocess

import machine

SPACES = pathlib.Path("/run/netns")
PREFIX = "hubvfs-bench-"


class Loopback:
    """Both ends on this machine's own loopback."""

    name, round_trip = "loopback", 0.0
    address = "127.0.0.1"
    client: list = []  # what a command is prefixed with to run at the client's end
    hub: list = []  # and at the Hub's

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Shaped:
    """A link with a delay (ms, one way), a rate of all and of each connection (MB/s), and stalls.

    Only the network of a command is at an end of it: files and mounts are everybody's.
    """

    address = "10.77.0.2"

    def __init__(self, bench, name: str, delay: float, rate: float, **more: float):
        self.name, self.round_trip, self.rate = name, 2 * delay / 1000, rate
        shape = {"delay": delay, "rate": rate, **more}
        self._spaces = [f"{PREFIX}{os.getpid()}-{end}" for end in ("client", "hub")]
        self._words = [bench.delay_line, *self._spaces, *(f"{k}={v}" for k, v in shape.items())]
        self._log = os.path.join(bench.work, "delay_line.log")
        self._line = None
        self.client, self.hub = [["nsenter", f"--net={SPACES / s}"] for s in self._spaces]

    def __enter__(self):
        remove_spaces(str(os.getpid()))
        try:
            for space in self._spaces:
                machine.run(["ip", "netns", "add", space])
            pathlib.Path(self._log).unlink(missing_ok=True)
            self._line = machine.Process(self._words, self._log)
            self._line.wait_until(
                lambda: "ready" in pathlib.Path(self._log).read_text(), "waited for delay_line"
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        if self._line is not None:
            self._line.close()
        remove_spaces(str(os.getpid()))


def remove_spaces(pid: str) -> None:
    for space in SPACES.glob(f"{PREFIX}{pid}-*"):
        subprocess.run(
            ["ip", "netns", "delete", space.name], timeout=60, check=False, capture_output=True
        )


def remove_abandoned() -> None:
    """What benchmarks left that were killed."""
    for space in SPACES.glob(f"{PREFIX}*"):
        pid = space.name.removeprefix(PREFIX).split("-")[0]
        if not os.path.exists(f"/proc/{pid}"):
            remove_spaces(pid)
