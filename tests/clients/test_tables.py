# SPDX-License-Identifier: Apache-2.0
"""Unmodified, current readers of parquet on a dataset in a mount: the same rows as from the plain
folder, and a query of some columns fetches a part of the file, far below the whole."""

import client_case

DATASET = "made/table"
# Two columns are a thousandth of the bytes, and their blocks a sixteenth. datasets reads on from each
# column through a buffer of a block, so that hubvfs reads ahead: see docs/CLIENTS.md.
PART = 0.35
CASES = {"pyarrow_columns": PART, "pyarrow_rows": 0.7, "duckdb_columns": PART,
         "datasets_columns": 0.9, "datasets_all": 1.1}


class Tables(client_case.ClientTestCase):
    REPOS = ()
    DATASETS = (DATASET,)
    PROGRAM = "load_tables.py"

    @classmethod
    def make_tree(cls, folder):
        cls.make_models(folder, f"parquet:datasets/{DATASET}")

    def check(self, case):
        self.check_path(case, DATASET, CASES[case], root="datasets",
                        arguments=("--type", "dataset"))


Tables.add_cases(CASES)

if __name__ == "__main__":
    client_case.main()
