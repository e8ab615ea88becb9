# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current frameworks load a real model by its path in a mount, with the same output as
from the plain folder; what each load fetched is shown."""

import os

import client_case
from client_case import REPO, support

CASES = ("transformers", "sentence_transformers", "safetensors_all", "torch", "tokenizers", "numpy")


class ByPath(client_case.ClientTestCase):
    PROGRAM = "load.py"

    def check(self, case):
        mount, mark = self.mount(), self.server.mark()  # cold: a cache of its own
        there = self.load(case, mount / REPO)
        entries = self.server.settled_since(mark)
        fetched = self.compare(there, self.load(case, os.path.join(self.served, REPO)), entries)
        self.assertGreater(fetched, 0)
        self.assertLessEqual(fetched, 1.1 * self.tree_size())
        return fetched

    def tree_size(self):
        root = os.path.join(self.served, REPO)
        return sum(os.path.getsize(os.path.join(root, name)) for name in support.all_files(root))

    def test_a_slice_costs_a_part_of_the_file(self):
        fetched = self.check("safetensors_slice")
        self.assertLess(fetched, self.weights // 2)


ByPath.add_cases(CASES)

if __name__ == "__main__":
    client_case.main()
