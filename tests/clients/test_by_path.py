# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current frameworks load a real model by its path in a mount, with the same output as
from the plain folder; what each load fetched is shown, and bounded where it takes a part."""

import sys

import client_case
from client_case import REPO, support

CONNECT = "import socket, sys; socket.create_connection((\"127.0.0.1\", int(sys.argv[1])), 60)"

WHOLE = 1.1  # of the repo's bytes, at most
CASES = {"transformers": WHOLE, "sentence_transformers": WHOLE, "safetensors_all": WHOLE,
         "torch": WHOLE, "fastsafetensors": WHOLE, "runai_model_streamer": WHOLE,
         "safetensors_slice": 0.2, "tokenizers": 0.02, "numpy": 0.7}


class ByPath(client_case.ClientTestCase):
    PROGRAM = "load.py"

    def check(self, case):
        self.check_path(case, REPO, at_most=CASES[case])

    def test_no_client_reaches_a_server(self):
        if not self.alone:
            self.skipTest("no network namespace can be made here")
        command = [sys.executable, "-c", CONNECT, str(self.server.port)]
        self.assertIn("unreachable", support.run(*self.alone, *command, check=False).stderr)
        support.run(*command)  # from outside it is there


ByPath.add_cases(CASES)

if __name__ == "__main__":
    client_case.main()
