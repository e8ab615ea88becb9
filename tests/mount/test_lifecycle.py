# SPDX-License-Identifier: Apache-2.0
"""Mounting and leaving: what the commands answer, and that nothing stays behind."""

import json
import os
import signal
import subprocess

import support
from support import MountTestCase, binary, clean_environment, mounts_below, processes_naming, run


class Lifecycle(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/config.json", b'{"a": 1}\n')

    def environment(self, **more):
        return clean_environment(self.work, self.tag, HF_ENDPOINT=self.server.url, **more)

    def hubvfs(self, *arguments, **more):
        return run(binary(), *arguments, check=False, env=self.environment(), **more)

    def place(self, name="dir"):
        return os.path.join(self.work, f"{name}-{self._testMethodName}")

    def daemon(self, point, cache=None):
        """Mounts in daemon mode: the command has returned when this does."""
        done = self.hubvfs("mount", point, "-o",
                           f"cache.path={cache or self.place('cache')}", timeout=60)
        self.addCleanup(support.abort, point)
        return done

    def assert_gone(self, point):
        self.assertEqual(mounts_below(point), [])
        support.wait_for(lambda: not self.served_by(point), f"the processes of {point} to end")

    def served_by(self, point):
        return {pid: words for pid, words in processes_naming(point).items()}

    def test_ctrl_c_and_sigterm_leave_nothing(self):
        for how in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(how=how):
                mount = self.mount()
                self.assertEqual(os.listdir(mount / "org/model"), ["config.json"])
                self.assertEqual(mount.stop(how), 0, mount.log())
                self.assert_gone(mount.path)

    def test_a_signal_to_the_whole_group_leaves_nothing(self):
        # What a terminal does on Ctrl-C: keeper and worker both get it.
        mount = self.mount()
        os.killpg(mount.process.pid, signal.SIGINT)
        self.assertEqual(mount.process.wait(support.PATIENCE), 0, mount.log())
        self.assert_gone(mount.path)

    def test_mount_returns_when_the_mount_answers(self):
        point = self.place()
        done = self.daemon(point)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(run("cat", f"{point}/org/model/config.json").stdout, '{"a": 1}\n')
        with open("/proc/self/mountinfo") as file:
            line = next(line for line in file if f" {point} " in line)
        self.assertIn(" fuse.hubvfs hubvfs ", line)
        self.assertTrue({"ro", "nosuid", "nodev"} <= set(line.split()[5].split(",")), line)
        done = self.hubvfs("umount", point)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_gone(point)

    def test_status_tells_of_the_mount(self):
        point = self.place()
        self.assertEqual(self.daemon(point).returncode, 0)
        run("cat", f"{point}/org/model/config.json")
        told = json.loads(self.hubvfs("status", point, "--json").stdout)
        self.assertEqual(told["mount_point"], point)
        self.assertGreater(told["status"]["hub"]["requests"], 0)
        self.assertGreater(told["status"]["hub"]["bytes_received"], 0)
        text = self.hubvfs("status", point)
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn(point, text.stdout)
        ended = self.hubvfs("umount", point)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        done = self.hubvfs("status", point)
        self.assertEqual(done.returncode, 1)
        self.assertIn(point, done.stderr)

    def test_a_busy_mount_is_not_left_and_who_keeps_it_is_named(self):
        point = self.place()
        self.assertEqual(self.daemon(point).returncode, 0)
        keeper = subprocess.Popen(["sleep", "1000"], cwd=f"{point}/org/model")
        self.addCleanup(lambda: (keeper.kill(), keeper.wait()))
        done = self.hubvfs("umount", point)
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(keeper.pid), done.stderr)
        self.assertIn("sleep", done.stderr)
        self.assertEqual(run("cat", f"{point}/org/model/config.json").stdout, '{"a": 1}\n')
        done = self.hubvfs("umount", "-l", point)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(mounts_below(point), [])
        keeper.kill()
        keeper.wait()
        self.assert_gone(point)

    def test_umount_from_inside_is_not_in_its_own_way(self):
        point = self.place()
        self.assertEqual(self.daemon(point).returncode, 0)
        inside = f"{point}/org/model"
        keeper = subprocess.Popen(["sleep", "1000"], cwd=inside)
        self.addCleanup(lambda: (keeper.kill(), keeper.wait()))
        done = self.hubvfs("umount", point, cwd=inside)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"in use by sleep (process {keeper.pid}, current folder);", done.stderr)
        keeper.kill()
        keeper.wait()
        done = self.hubvfs("umount", "../..", cwd=inside)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_gone(point)

    def test_a_folder_that_is_not_empty_is_refused(self):
        point = self.place()
        os.makedirs(point)
        with open(os.path.join(point, "precious"), "w") as file:
            file.write("mine")
        done = self.daemon(point)
        self.assertEqual(done.returncode, 1)
        self.assertIn(point, done.stderr)
        self.assertIn("empty", done.stderr)
        self.assertEqual(os.listdir(point), ["precious"])

    def test_a_folder_is_made_where_its_parent_is_there(self):
        done = self.daemon(os.path.join(self.place(), "deep"))
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.place(), done.stderr)
        self.assertFalse(os.path.exists(self.place()))
        self.assertEqual(self.daemon(self.place()).returncode, 0)

    def test_a_second_mount_on_one_folder_is_refused(self):
        point = self.place()
        self.assertEqual(self.daemon(point).returncode, 0)
        done = self.daemon(point, self.place("other"))
        self.assertEqual(done.returncode, 1)
        self.assertIn(point, done.stderr)
        self.assertEqual(run("cat", f"{point}/org/model/config.json").stdout, '{"a": 1}\n')

    def test_umount_of_what_is_no_mount_of_ours(self):
        point = self.place()
        os.makedirs(point)
        done = self.hubvfs("umount", point)
        self.assertEqual(done.returncode, 1)
        self.assertIn(point, done.stderr)

    def test_umount_from_outside_ends_the_daemon(self):
        point = self.place()
        self.assertEqual(self.daemon(point).returncode, 0)
        run("fusermount3", "-u", point)
        self.assert_gone(point)

    def test_wrong_usage_exits_2_and_says_what_is_wrong(self):
        for arguments in (("mount",), ("mount", "--no-such-option", self.place()), ("no-such-command",),
                          ("mount", self.place(), "-o", "no.such.key=1"),
                          ("mount", self.place(), "-o", "cache.size=soon"),
                          ("mount", self.place(), "--type", "poem"), ("umount",), ("serve",)):
            with self.subTest(arguments):
                done = self.hubvfs(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertNotEqual(done.stderr.strip(), "")
        self.assertFalse(os.path.exists(self.place()))

    def test_an_endpoint_that_is_none_is_refused(self):
        done = self.hubvfs("mount", self.place(), "-o",
                           f"endpoint=gopher://x,cache.path={self.place('cache')}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("gopher", done.stderr)
        self.assertEqual(mounts_below(self.place()), [])

    def test_version_and_help(self):
        done = self.hubvfs("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"hubvfs \d+\.\d+\.\d+")
        done = self.hubvfs("--help")
        self.assertEqual(done.returncode, 0)
        for command in ("mount", "umount", "status", "serve"):
            self.assertIn(command, done.stdout)
            self.assertEqual(self.hubvfs(command, "--help").returncode, 0)

    def test_sixty_mounts_in_a_row_leave_nothing(self):
        for _ in range(60 if support.FULL else 5):
            mount = self.mount(cache="shared-cache")
            self.assertEqual(run("cat", mount / "org/model/config.json").stdout, '{"a": 1}\n')
            self.assertEqual(mount.stop(), 0, mount.log())
            self.assert_gone(mount.path)


if __name__ == "__main__":
    support.main()
