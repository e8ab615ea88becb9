# SPDX-License-Identifier: Apache-2.0
"""An error in the middle of a file is EIO, whatever failed: never the file's end, never EAGAIN.

Python takes a short read for the end of the data and EAGAIN for nothing to read yet: a program that
loads weights then goes on with a part of them.
"""

import errno
import os
import signal

import support
from proxy import FaultyProxy
from support import BLOCK, MIB, MountTestCase, content, drop_caches

SIZE = 72 * MIB + 999  # more than is ever read ahead, so that the end of it is not there yet
GOOD = 4 * MIB  # read while all is well
DEADLINES = "read.deadline=3s,metadata.deadline=3s"


class Faults(MountTestCase):
    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/weights.safetensors", content("w", SIZE))
        support.write_file(folder, "org/model/config.json", content("c", 9000))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = content("w", SIZE)

    def setUp(self):
        super().setUp()
        self.proxy = FaultyProxy(self.server.url)
        self.addCleanup(self.proxy.close)
        self.m = self.mount(url=self.proxy.url, options=DEADLINES)
        self.path = self.m / "org/model/weights.safetensors"

    def assert_eio(self, call):
        with self.assertRaises(OSError) as caught:
            got = call()
            self.fail(f"no error, but {len(got) if got is not None else None} bytes of {SIZE}")
        self.assertEqual(caught.exception.errno, errno.EIO, caught.exception)

    def read_whole(self):
        with open(self.path, "rb") as file:
            return file.read()

    def read_by_pieces(self):
        """What a reader got in its hands before the error must be the file's own start."""
        got = bytearray()
        with open(self.path, "rb", buffering=0) as file:
            while True:
                piece = file.read(131072)
                self.assertIsNotNone(piece, "EAGAIN")
                if not piece:
                    return bytes(got)
                got += piece
                self.assertEqual(bytes(piece), self.data[len(got) - len(piece):len(got)])

    def check_fault(self, *fault, **more):
        with open(self.path, "rb", buffering=0) as file:
            self.assertEqual(os.pread(file.fileno(), GOOD, 0), self.data[:GOOD])
        self.proxy.set_fault(*fault, **more)
        self.assert_eio(self.read_whole)
        self.assert_eio(self.read_by_pieces)
        with open(self.path, "rb", buffering=0) as file:
            self.assert_eio(lambda: os.pread(file.fileno(), 4096, SIZE - BLOCK))
            self.assertEqual(os.fstat(file.fileno()).st_size, SIZE)
        self.assertEqual(os.stat(self.path).st_size, SIZE)

    def check_healed(self):
        """The failure is remembered for a moment only, and nothing bad was kept."""
        self.proxy.release()

        def whole():
            try:
                return self.read_whole()
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
                return None

        self.assertTrue(support.wait_for(whole, "the file to be whole again") == self.data)
        drop_caches(self.path)
        self.assertTrue(self.read_whole() == self.data)

    def test_connections_cut_after_their_headers(self):
        self.check_fault("cut", after=0)
        self.check_healed()

    def test_connections_that_stall(self):
        self.check_fault("stall", after=0)
        self.check_healed()

    def test_a_connection_cut_in_the_middle_is_gone_on_with(self):
        self.proxy.set_fault("cut", after=700_000)
        self.assertTrue(self.read_whole() == self.data)

    def test_connections_hung_up_at_once(self):
        self.check_fault("refuse")
        self.check_healed()

    def test_answers_of_500(self):
        self.check_fault("status", status=500)
        self.check_healed()

    def test_answers_of_429(self):
        self.check_fault("status", status=429)
        self.check_healed()

    def test_answers_of_404_for_content_that_is_listed(self):
        self.check_fault("status", status=404)
        self.check_healed()

    def test_a_mapped_read_of_what_cannot_be_fetched_is_a_bus_error(self):
        with open(self.path, "rb", buffering=0) as file:
            os.pread(file.fileno(), 4096, 0)
        self.proxy.set_fault("cut", after=0)
        program = ("import mmap, sys; f = open(sys.argv[1], 'rb'); "
                   "m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); print(sum(m[:]))")
        done = support.run("/usr/bin/python3", "-c", program, self.path, check=False)
        self.assertEqual(done.returncode, -signal.SIGBUS, done.stdout + done.stderr)

    def test_a_small_file_that_fails(self):
        path = self.m / "org/model/config.json"
        self.proxy.set_fault("cut", after=100)

        def read():
            with open(path, "rb") as file:
                return file.read()

        self.assert_eio(read)

    def test_content_that_does_not_match_its_hash_is_never_read_as_good(self):
        self.proxy.set_fault("garble")
        path = self.m / "org/model/config.json"

        def read():
            with open(path, "rb") as file:
                return file.read()

        self.assert_eio(read)
        self.proxy.release()
        self.m = self.remount(self.m, url=self.proxy.url)
        path = self.m / "org/model/config.json"
        self.assertEqual(read(), content("c", 9000))


class ServerGone(MountTestCase):
    """The server dies with a reader in the middle of a file."""

    @classmethod
    def make_tree(cls, folder):
        support.write_file(folder, "org/model/weights.safetensors", content("w", SIZE))

    def test_a_server_killed_while_a_file_is_read(self):
        mount = self.mount(options=DEADLINES)
        path, data = mount / "org/model/weights.safetensors", content("w", SIZE)
        with open(path, "rb", buffering=0) as file:
            self.assertEqual(os.pread(file.fileno(), GOOD, 0), data[:GOOD])
            self.server.process.kill()
            self.server.process.wait(10)
            got = bytearray()
            with self.assertRaises(OSError) as caught:
                while piece := file.read(131072):
                    got += piece
                self.fail(f"the file ended after {len(got)} of {SIZE} bytes")
            self.assertEqual(caught.exception.errno, errno.EIO)
            self.assertEqual(bytes(got), data[:len(got)])
            # What is in the cache is served all the same.
            drop_caches(path)
            self.assertEqual(os.pread(file.fileno(), GOOD, 0), data[:GOOD])
        self.assertEqual(os.listdir(mount / "org/model"), ["weights.safetensors"])


if __name__ == "__main__":
    support.main()
