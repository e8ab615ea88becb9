# SPDX-License-Identifier: Apache-2.0
"""One daemon for all mounts of a cache: they come and go one by one, share what they fetched, and end
together."""

import json
import os
import shutil
import signal
import subprocess

import support
from proxy import FaultyProxy
from support import MIB, MountTestCase, all_files, binary, clean_environment, content, run, sha256_of

SIZE = 24 * MIB + 11


class ManyMounts(MountTestCase):
    REPOS = ("org/first", "org/second")

    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/first/config.json", b'{"a": 1}\n')
        support.write_file(folder, "org/first/weights.safetensors", content("first", SIZE))
        support.write_file(folder, "org/first/sub/deep/tokens.txt", b"tokens\n")
        support.write_file(folder, "org/second/weights.safetensors", content("second", SIZE))
        support.write_file(folder, "datasets/org/data/train.parquet", content("data", 3 * MIB))

    def setUp(self):
        super().setUp()
        self.cache = self.place("cache")
        self.addCleanup(shutil.rmtree, self.cache, ignore_errors=True)
        support.wait_for(lambda: self.server.get("/api/datasets/org/data")[0] == 200, "the dataset")

    def place(self, name):
        return os.path.join(self.work, f"{name}-{self._testMethodName}")

    def environment(self, url="", **more):
        return clean_environment(self.work, self.tag, HF_ENDPOINT=url or self.server.url, **more)

    def hubvfs(self, *arguments, url="", **more):
        return run(binary(), *arguments, check=False, env=self.environment(url, **more))

    def add(self, name, *what, options="", **more):
        """`hubvfs mount WHAT... PLACE` on this test's cache; the place."""
        point = self.place(name)
        done = self.hubvfs("mount", *what, point, "-o", f"cache.path={self.cache}{options}", **more)
        self.addCleanup(support.abort, point)
        self.assertEqual(done.returncode, 0, done.stderr)
        return point

    def refused(self, name, *what, options="", **more):
        point = self.place(name)
        done = self.hubvfs("mount", *what, point, "-o", f"cache.path={self.cache}{options}", **more)
        self.addCleanup(support.abort, point)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(support.mounts_below(point), [])
        self.assertFalse(os.path.exists(point), "a folder was left behind")
        return done.stderr

    def start(self, *command, **more):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, **more)

        def end():
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def keeper_of(self, point):
        return json.loads(self.hubvfs("status", point, "--json").stdout)["keeper"]

    def processes(self):
        return support.processes_naming(self.cache)

    def assert_daemon_gone(self):
        support.wait_for(lambda: not self.processes(), "the daemon to end")
        self.assertFalse(os.path.exists(self.cache + "/control.sock"))

    def test_two_mounts_and_three_repos_one_unmounted_while_the_other_reads(self):
        models, data = self.add("models"), self.add("data", "--type", "dataset")
        self.assertEqual(self.keeper_of(models)["pid"], self.keeper_of(data)["pid"])
        self.assertEqual(self.keeper_of(data)["mounts"], 2)
        plain = {f"{models}/org/first": self.repo("org/first"),
                 f"{models}/org/second": self.repo("org/second"),
                 f"{data}/org/data": os.path.join(self.served, "datasets/org/data")}
        reader = self.start("sha256sum", f"{models}/org/first/weights.safetensors",
                            f"{models}/org/second/weights.safetensors")
        self.assertEqual(sha256_of(f"{data}/org/data/train.parquet"),
                         sha256_of(plain[f"{data}/org/data"] + "/train.parquet"))
        done = self.hubvfs("umount", data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(support.mounts_below(data), [])
        digests = [line.split()[0] for line in reader.communicate(timeout=support.PATIENCE)[0].splitlines()]
        self.assertEqual(digests, [sha256_of(self.repo(f"org/{name}") + "/weights.safetensors")
                                   for name in ("first", "second")])
        self.assertEqual(self.keeper_of(models)["mounts"], 1)
        self.assertEqual(self.hubvfs("umount", models).returncode, 0)
        self.assert_daemon_gone()

    def test_what_one_mount_fetched_the_other_does_not_fetch_again(self):
        one, other = self.add("one"), self.add("other")
        digest = sha256_of(f"{one}/org/first/weights.safetensors")
        mark = self.server.mark()
        self.assertEqual(sha256_of(f"{other}/org/first/weights.safetensors"), digest)
        self.assertEqual(self.server.settled_since(mark), [])
        self.assertEqual(os.stat(f"{one}/org/first/config.json").st_ino,
                         os.stat(f"{other}/org/first/config.json").st_ino)

    def test_two_readers_in_two_mounts_share_one_fetch(self):
        one, other = self.add("one"), self.add("other")
        mark = self.server.mark()
        readers = [self.start("sha256sum", f"{point}/org/second/weights.safetensors")
                   for point in (one, other)]
        digests = {reader.communicate(timeout=support.PATIENCE)[0].split()[0] for reader in readers}
        self.assertEqual(digests, {sha256_of(self.repo("org/second") + "/weights.safetensors")})
        self.assertEqual(support.content_bytes(self.server.settled_since(mark)), SIZE)

    def test_a_single_repo_at_the_root(self):
        point = self.add("glm", "hf://org/first")
        self.assertEqual(sorted(all_files(point)), all_files(self.repo("org/first")))
        self.assertEqual(run("cat", f"{point}/sub/deep/tokens.txt").stdout, "tokens\n")
        self.assertEqual(sha256_of(f"{point}/weights.safetensors"),
                         sha256_of(self.repo("org/first") + "/weights.safetensors"))
        self.assertEqual(run("getfattr", "--only-values", "-n", "user.hubvfs.repo",
                             f"{point}/config.json").stdout, "org/first")
        told = json.loads(self.hubvfs("status", point, "--json").stdout)
        self.assertEqual(told["status"]["repo"], "hf://org/first")
        self.assertIn("hf://org/first", self.hubvfs("status", point).stdout)

    def test_a_revision_a_folder_and_a_dataset_at_the_root(self):
        commit = json.loads(self.server.get("/api/models/org/first")[1])["sha"]
        pinned = self.add("pinned", f"hf://org/first@{commit}/sub")
        self.assertEqual(all_files(pinned), ["deep/tokens.txt"])
        data = self.add("data", "hf://datasets/org/data@main")
        self.assertEqual(all_files(data), ["train.parquet"])
        self.assertEqual(self.keeper_of(pinned)["pid"], self.keeper_of(data)["pid"])

    def test_a_repo_that_is_not_there_is_said_at_once(self):
        for repo, word in (("hf://org/absent", "org/absent"), ("hf://org/first@v9", "v9"),
                           ("hf://org/first/nowhere", "nowhere"),
                           ("hf://org/first/config.json", "config.json")):
            with self.subTest(repo):
                self.assertIn(word, self.refused("wrong", repo))
                self.assert_daemon_gone()
        models = self.add("models")  # and where a daemon serves others, these stay
        self.assertIn("absent", self.refused("wrong", "hf://org/absent"))
        self.assertEqual(run("cat", f"{models}/org/first/config.json").stdout, '{"a": 1}\n')

    def test_a_name_that_is_no_repo_is_wrong_usage(self):
        for repo in ("hf://", "hf://org/../x", "hf://org/first@", "hf://org/first@../x"):
            with self.subTest(repo):
                done = self.hubvfs("mount", repo, self.place("wrong"), "-o", f"cache.path={self.cache}")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("hf://", done.stderr)

    def test_another_endpoint_or_token_needs_another_cache(self):
        models = self.add("models")
        proxy = FaultyProxy(self.server.url)
        self.addCleanup(proxy.close)
        self.assertIn("cache.path", self.refused("elsewhere", url=proxy.url))
        said = self.refused("someone", HF_TOKEN="hf_abcdefghijklmnopqrstuvwxyz")
        self.assertIn("HF_TOKEN", said)
        self.assertNotIn("hf_abc", said)
        self.assertIn("offline", self.refused("offline", "--offline"))
        self.assertEqual(run("cat", f"{models}/org/first/config.json").stdout, '{"a": 1}\n')

    def test_settings_that_stay_as_they_were_are_said(self):
        self.add("models")
        point = self.place("more")
        done = self.hubvfs("mount", point, "-o", f"cache.path={self.cache},memory=64M")
        self.addCleanup(support.abort, point)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("memory", done.stderr)

    def test_commands_at_the_same_moment_make_one_daemon(self):
        points = [self.place(f"m{i}") for i in range(6)]
        commands = []
        for point in points:
            self.addCleanup(support.abort, point)
            commands.append(self.start(binary(), "mount", point, "-o", f"cache.path={self.cache}",
                                       env=self.environment()))
        for command in commands:
            said = command.communicate(timeout=support.PATIENCE)[0]
            self.assertEqual(command.returncode, 0, said)
        self.assertEqual({self.keeper_of(point)["pid"] for point in points},
                         {self.keeper_of(points[0])["pid"]})
        for point in points:
            self.assertEqual(self.hubvfs("umount", point).returncode, 0)
        self.assert_daemon_gone()

    def test_mount_and_umount_in_turn_never_meet_a_dying_daemon(self):
        for turn in range(40 if support.FULL else 8):
            point = self.add("turn")
            self.assertEqual(run("cat", f"{point}/org/first/config.json").stdout, '{"a": 1}\n', turn)
            self.assertEqual(self.hubvfs("umount", point).returncode, 0)

    def test_in_the_foreground_beside_a_daemon(self):
        self.add("models")
        mount = self.mount(cache=os.path.basename(self.cache))
        self.assertEqual(os.listdir(mount / "org/second"), ["weights.safetensors"])
        self.assertEqual(mount.stop(signal.SIGINT), 0, mount.log())
        self.assertEqual(support.mounts_below(mount.path), [])
        self.assertEqual(self.keeper_of(self.place("models"))["mounts"], 1)

    def test_status_lists_all_of_them(self):
        points = [self.add("models"), self.add("data", "--type", "dataset")]
        listed = {m["mount_point"]: m for m in json.loads(self.hubvfs("status", "--json").stdout)}
        for point in points:
            self.assertTrue(listed[point]["answers"])
        self.assertEqual([listed[point]["status"]["type"] for point in points], ["models", "datasets"])

    def test_a_killed_worker_serves_all_mounts_again(self):
        points = [self.add("models"), self.add("data", "--type", "dataset"),
                  self.add("one", "hf://org/first")]
        os.kill(self.keeper_of(points[0])["worker_pid"], signal.SIGKILL)
        self.assertEqual(run("cat", f"{points[0]}/org/first/config.json").stdout, '{"a": 1}\n')
        self.assertEqual(os.listdir(f"{points[1]}/org/data"), ["train.parquet"])
        self.assertEqual(run("cat", f"{points[2]}/config.json").stdout, '{"a": 1}\n')
        self.assertEqual(self.keeper_of(points[0])["workers_died"], 1)
        self.assertIn(" 1 worker died ", self.hubvfs("status", points[0]).stdout)

    def test_mounts_of_a_killed_keeper_are_recognised_and_replaced(self):
        points = [self.add("models"), self.add("data", "--type", "dataset")]
        os.kill(self.keeper_of(points[0])["pid"], signal.SIGKILL)
        support.wait_for(lambda: not self.processes(), "the worker to go with its keeper")
        for point in points:
            self.assertIn("dead", self.hubvfs("status", point).stdout)
        again = self.hubvfs("mount", points[0], "-o", f"cache.path={self.cache}")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("dead mount", again.stderr)
        self.assertEqual(run("cat", f"{points[0]}/org/first/config.json").stdout, '{"a": 1}\n')
        gone = self.hubvfs("umount", points[1])
        self.assertEqual(gone.returncode, 0, gone.stderr)
        self.assertEqual(support.mounts_below(points[1]), [])

    def test_a_folder_inside_a_mount_is_refused(self):
        models = self.add("models")
        done = self.hubvfs("mount", f"{models}/org/first/sub", "-o", f"cache.path={self.cache}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("inside the hubvfs", done.stderr)

    def test_sigterm_with_parked_reads_and_a_dead_server(self):
        proxy = FaultyProxy(self.server.url)
        self.addCleanup(proxy.close)
        points = [self.add("models", url=proxy.url), self.add("more", url=proxy.url)]
        for point in points:
            os.listdir(f"{point}/org/first")
        proxy.set_fault("stall", after=0)
        readers = [self.start("sha256sum", f"{point}/org/{repo}/weights.safetensors")
                   for point in points for repo in ("first", "second")]
        keeper = self.keeper_of(points[0])["pid"]
        support.wait_for(lambda: json.loads(self.hubvfs("status", points[0], "--json").stdout)
                         ["status"]["reads"]["waiting_now"] >= 2, "reads to be parked")
        os.kill(keeper, signal.SIGTERM)
        # Ten seconds are what is promised; the test waits no longer than that.
        support.wait_for(lambda: not self.processes(), "the daemon to be gone", patience=10)
        for point in points:
            self.assertEqual(support.mounts_below(point), [])
        for reader in readers:
            self.assertNotEqual(reader.wait(support.PATIENCE), 0, "a read ended as if it were whole")


if __name__ == "__main__":
    support.main()
