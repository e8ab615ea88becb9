# SPDX-License-Identifier: Apache-2.0
"""Commands on a cache: while a daemon serves mounts of it, and when none runs."""

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import termios

import support
from commands import CommandTestCase
from support import MIB, binary, content, run

SIZE = 12 * MIB + 5


class Commands(CommandTestCase):
    REPOS = ("org/model", "org/big")

    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/config.json", b'{"a": 1}\n')
        support.write_file(folder, "org/model/weights.safetensors", content("weights", SIZE))
        support.write_file(folder, "org/model/onnx/model.onnx", content("onnx", 2 * MIB))
        support.write_file(folder, "org/model/empty", b"")
        support.write_file(folder, "org/big/weights.safetensors", content("big", 17 * MIB))

    def test_counters_with_a_daemon_and_without(self):
        self.assertIn("there is no cache at", self.refused("cache", "stats"))
        self.assertFalse(os.path.exists(self.cache), "a cache was made to be looked at")
        mount = self.mounted()
        run("cat", mount / "org/model/config.json")
        support.wait_for(lambda: self.told("cache", "stats")["cache"]["blobs"] == 1, "the file")
        with_daemon = self.told("cache", "stats")
        self.assertGreater(with_daemon["hub"]["requests"], 0)
        self.assertEqual(mount.stop(), 0, mount.log())
        alone = self.told("cache", "stats")
        self.assertEqual(alone["cache"]["bytes_used"], with_daemon["cache"]["bytes_used"])
        self.assertEqual(alone["hub"]["requests"], 0)
        self.assertIn(" of ", self.hubvfs("cache", "stats").stdout)
        self.assertEqual(support.processes_naming(self.cache), {})

    def test_wrong_usage(self):
        for arguments in (("cache",), ("cache", "nope"), ("cache", "stats", "extra")):
            done = self.hubvfs(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("hubvfs cache", done.stderr)
        for arguments in (("prefetch",), ("prefetch", "org/../model"), ("prefetch", "org/model/onnx"),
                          ("prefetch", "org/model", "--jobs", "0"),
                          ("prefetch", "org/model", "--jobs", "many")):
            done = self.hubvfs(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertNotEqual(done.stderr, "")
        self.assertFalse(os.path.exists(self.cache))
        done = run(binary(), "cache", "stats", "-o", "cache.sise=1", check=False,
                   env=self.environment())
        self.assertEqual(done.returncode, 2)
        self.assertIn("cache.sise", done.stderr)

    # --- prefetch

    def test_what_was_prefetched_is_read_offline(self):
        told = self.told("prefetch", "org/model")
        self.assertEqual((told["repo"], told["files"]), ("org/model", 4))
        self.assertEqual(told["bytes_fetched"], told["bytes"])
        mount = self.mounted(arguments=("--offline",))
        self.assert_reads_as_served(mount / "org/model")
        self.assertEqual(mount.status()["hub"]["requests"], 0)
        # And by the commit, which is how a script that needs certainty names it.
        self.assertEqual(run("cat", mount / f"org/model@{told['commit']}/config.json").stdout,
                         '{"a": 1}\n')

    def test_prefetch_beside_a_mount_fills_its_cache(self):
        mount = self.mounted()
        weights = mount / "org/model/weights.safetensors"
        self.assertLess(os.stat(weights).st_blocks * 512, MIB)
        self.assertEqual(self.told("prefetch", "org/model")["bytes_fetched"],
                         SIZE + 2 * MIB + len('{"a": 1}\n'))
        support.wait_for(lambda: os.stat(weights).st_blocks * 512 >= SIZE,
                         "the kernel to hear that it is here")
        mark = self.server.mark()
        self.assert_reads_as_served(mount / "org/model")
        self.assertEqual(support.content_bytes(self.server.settled_since(mark)), 0)
        self.assertEqual(self.told("prefetch", "hf://org/model@main")["bytes_fetched"], 0)

    def test_only_what_was_asked_for(self):
        self.assertEqual(self.told("prefetch", "org/model", "--include", "*.json")["files"], 1)
        self.assertEqual(self.told("prefetch", "org/model", "--include", "onnx/", "--include",
                                   "*.json")["files"], 2)
        self.assertEqual(self.told("prefetch", "org/model", "--exclude", "*.safetensors",
                                   "--exclude", "empty")["files"], 2)
        self.assertEqual(self.told("cache", "stats")["cache"]["bytes_used"], 2 * MIB + 9)
        self.assertIn("--offline, and 1 of 4 files",
                      self.refused("prefetch", "org/model", "--offline"))
        self.assertIn("no file of org/model", self.refused("prefetch", "org/model", "--include",
                                                           "*.gguf"))

    def test_what_the_hub_does_not_have(self):
        self.assertIn("org/absent", self.refused("prefetch", "org/absent"))
        self.assertIn("v9", self.refused("prefetch", "org/model@v9"))
        self.assertIn("cannot connect", self.refused("prefetch", "org/model", url="http://127.0.0.1:9",
                                                     options=",metadata.deadline=1s"))

    def test_more_than_the_cache_may_hold_is_refused_up_front(self):
        for mounted in (False, True):
            with self.subTest(mounted=mounted):
                if mounted:
                    self.mounted(options="cache.size=16M")
                mark = self.server.mark()
                said = self.refused("prefetch", "org/big", options=",cache.size=16M")
                self.assertIn(f"{17 * MIB} bytes", said)
                self.assertIn(f"{16 * MIB} bytes", said)
                self.assertEqual(support.content_bytes(self.server.settled_since(mark)), 0)

    def stopped_in_the_middle(self, how, mounted):
        """A prefetch that met `how` once some blocks had come, its words; and one that goes on."""
        proxy = self.proxy()
        if mounted:
            self.mounted(url=proxy.url)
        proxy.set_fault("stall", after=MIB + 100)
        command = self.start("prefetch", "org/model", "--include", "weights*", "--jobs", "1",
                             url=proxy.url)
        support.wait_for(lambda: proxy.stalled >= 2, "two parts to stall")
        how(command)
        out, said = command.communicate(timeout=support.PATIENCE)
        self.assertEqual(command.returncode, 1, out + said)
        self.assertIn("run the same command again", said)
        if not mounted:
            support.wait_for(lambda: not self.workers(), "the command's worker to end")
        proxy.release()
        told = self.told("prefetch", "org/model", url=proxy.url)
        self.assertLess(told["bytes_fetched"], told["bytes"])
        self.assertIn("fetching: ", out)
        return said

    def test_a_command_waits_for_the_next_worker(self):
        mount = self.mounted()
        for i in range(12):  # more than 5 in a second: then the keeper backs off
            os.path.exists(mount / f"org/model/absent-{i}")  # it answers, so the next may die too
            worker = self.workers()[0]
            os.kill(worker, signal.SIGKILL)
            # One that is dying, thread by thread, could still be given it, which would then say so.
            support.wait_for(lambda: not os.path.exists(f"/proc/{worker}"), "the worker to be gone")
            self.told("cache", "stats")

    def test_ctrl_c_and_on_again(self):
        for mounted in (False, True):
            with self.subTest(mounted=mounted):
                self.stopped_in_the_middle(lambda command: command.send_signal(signal.SIGINT), mounted)
                shutil.rmtree(self.cache, ignore_errors=mounted)

    def test_a_killed_worker_is_said_and_gone_on_from(self):
        def kill(_):
            support.wait_for(self.indexed, "blocks on the disk, and in the index")
            os.kill(self.workers()[0], signal.SIGKILL)

        for mounted in (False, True):
            with self.subTest(mounted=mounted):
                said = self.stopped_in_the_middle(kill, mounted)
                self.assertIn("the worker died", said)
                shutil.rmtree(self.cache, ignore_errors=mounted)

    def test_a_progress_bar_on_a_terminal_and_lines_elsewhere(self):
        primary, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        process = subprocess.Popen(
            [binary(), "prefetch", "org/model", "-o", f"cache.path={self.cache}"],
            stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=self.environment())
        os.close(terminal)
        shown = b""
        try:
            while piece := os.read(primary, 65536):
                shown += piece
        except OSError:
            pass  # the terminal's end
        os.close(primary)
        self.assertEqual(process.wait(support.PATIENCE), 0, shown)
        bars = shown.decode().split("\r\x1b[K")
        self.assertGreater(len(bars), 1)
        self.assertIn("[" + "#" * 30 + "] 100%", bars[-1])
        for bar in bars[1:]:
            self.assertLess(len(bar.splitlines()[0]), 100, "it would wrap")
        self.assertIn("org/model at ", bars[-1].splitlines()[1])
        lines = self.hubvfs("prefetch", "org/model").stdout
        self.assertNotIn("\r", lines)
        self.assertIn("fetching: 100%", lines)

    # --- whose cache it is

    def test_a_daemon_for_another_hub_or_token_is_not_asked(self):
        self.mounted()
        proxy = self.proxy()
        self.assertIn("not from " + proxy.url, self.refused("prefetch", "org/model", url=proxy.url))
        said = self.refused("prefetch", "org/model", HF_TOKEN="hf_abcdefghijklmnopqrstuvwxyz")
        self.assertIn("HF_TOKEN", said)
        self.assertNotIn("hf_abc", said)
        self.assertIn("offline", self.refused("prefetch", "org/model", "--offline"))
        self.assertEqual(self.told("prefetch", "org/model", "--include", "*.json",
                                   HF_ENDPOINT="")["endpoint"], self.server.url)

    def test_a_limit_that_is_not_the_daemons_is_told_of(self):
        self.mounted()
        done = self.hubvfs("prefetch", "org/model", options=",cache.size=1G")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("cache.size stays as the daemon (process ", done.stderr)
        self.assertEqual(self.hubvfs("prefetch", "org/model").stderr, "")

    def test_ctrl_c_while_another_command_is_at_the_cache(self):
        self.told("prefetch", "org/model", "--include", "*.json")
        folder = os.open(self.cache, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        command = self.start("cache", "ls")
        support.wait_for(lambda: self.folder_is_open_in(command.pid), "the command to be waiting")
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=support.PATIENCE / 2)
        self.assertNotEqual(command.returncode, 0)

    def folder_is_open_in(self, pid):
        held = []
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                held.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        return self.cache in held

    def test_a_cache_in_use_is_refused_with_the_process_that_has_it(self):
        proxy = self.proxy()
        proxy.set_fault("stall", after=0)
        self.start("prefetch", "org/model", url=proxy.url)
        support.wait_for(lambda: proxy.stalled > 0, "the prefetch to be under way")
        worker = self.workers()[0]
        self.assertIn(f"in use by pid {worker}", self.refused("cache", "stats"))
        done = run(binary(), "mount", self.place("mnt"), "-o", f"cache.path={self.cache}",
                   check=False, env=self.environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"in use by pid {worker}", done.stderr)
        self.assertEqual(support.mounts_below(self.place("mnt")), [])

    def test_a_daemon_that_ends_says_so_to_its_commands(self):
        proxy = self.proxy()
        mount = self.mounted(url=proxy.url)
        proxy.set_fault("stall", after=0)
        command = self.start("prefetch", "org/model", url=proxy.url)
        support.wait_for(lambda: proxy.stalled > 0, "the prefetch to be under way")
        self.assertEqual(mount.stop(), 0, mount.log())
        said = command.communicate(timeout=support.PATIENCE)[1]
        self.assertEqual(command.returncode, 1)
        self.assertIn("run the same command again", said)


if __name__ == "__main__":
    support.main()
