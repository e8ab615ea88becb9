# SPDX-License-Identifier: Apache-2.0
"""One query of a dataset by path, as a user's program does it; run by test_tables.py as load.py is."""

import hashlib
import os
import tempfile

from load import digest, main

FILE = "data/train-00000-of-00001.parquet"
COLUMNS = ["id", "label"]


def numbers_of(table) -> str:
    return digest(*(table.column(name).to_numpy() for name in COLUMNS))


def images_of(table) -> str:
    return hashlib.sha256(b"".join(table.column("image").to_pylist())).hexdigest()


def pyarrow_columns_case(folder):
    import pyarrow.parquet
    table = pyarrow.parquet.read_table(os.path.join(folder, FILE), columns=COLUMNS)
    return "pyarrow", "parquet.read_table(FILE, columns=2 of 3)", numbers_of(table)


def pyarrow_rows_case(folder):
    import pyarrow.parquet
    with pyarrow.parquet.ParquetFile(os.path.join(folder, FILE)) as file:
        group = file.read_row_group(2)
    return ("pyarrow", "ParquetFile(FILE).read_row_group, 1 of 4",
            [numbers_of(group), images_of(group)])


def duckdb_columns_case(folder):
    import duckdb
    found = duckdb.connect().execute(
        "SELECT label, count(*), sum(id)::BIGINT FROM read_parquet(?) GROUP BY label ORDER BY label",
        [os.path.join(folder, FILE)]).fetchall()
    return ("duckdb", "SELECT of 2 columns of 3 FROM read_parquet(FILE), grouped",
            [list(row) for row in found])


def dataset(folder, **more):
    import datasets
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        found = datasets.load_dataset(folder, split="train", cache_dir=cache, **more)
        return found.with_format("arrow")[:]


def datasets_columns_case(folder):
    return ("datasets", "load_dataset(DIR, columns=2 of 3)",
            numbers_of(dataset(folder, columns=COLUMNS)))


def datasets_all_case(folder):
    table = dataset(folder)
    return ("datasets", "load_dataset(DIR), every row",
            [numbers_of(table), images_of(table)])


if __name__ == "__main__":
    main(globals())
