"""FATE's files of 30,000 credit-card clients become a table of 23 columns a client.

`homo` has the same columns at three institutions and a test file; `hetero` has one client's columns at two holders,
here joined by id: the guest's 13 (and the label) first, then the host's 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.data.splits import split_by_company
from fedcredit.data.transforms import choose

INSTITUTIONS = ("guest", "host_1", "host_2")
COLUMNS = tuple(Column(f"x{number}", "raw", unit="standard deviations") for number in range(23))
HOST = tuple(column.name for column in COLUMNS[13:])
HOST_FILE = tuple(column.name for column in COLUMNS[: len(HOST)])  # the host's file counts from x0 again
HELD_OUT = 0.3  # the share of hetero clients that test, by the hash of their id

LABEL = Label(
    column="y",
    definition="default on the next month's payment",
    performance_window="1 month",
    cure="none",
    censoring="none",
    acceptance="accepted",
)


def read(name: str, files: Mapping[str, Path], *, columns: Sequence[str] | None = None) -> Table:
    """One row a client. `homo`: train and test, no validation; `hetero`: 30 % test by hash, no institution."""
    is_homo = name == "default_credit_homo"
    frame = _homo(files) if is_homo else _hetero(files)
    schema = Schema(
        columns=choose(COLUMNS, columns, where=name),
        label=LABEL,
        company="id",
        institution="institution" if is_homo else None,
        split="split",
        lineage={"dataset": name},
    )
    keys = ["id", "y", "split", *(["institution"] if is_homo else [])]
    return Table(frame[[*keys, *schema.features]], schema)


def _homo(files: Mapping[str, Path]) -> pd.DataFrame:
    parts = [
        _read(files[f"default_credit_homo_{name}.csv"]).assign(institution=name, split="train") for name in INSTITUTIONS
    ]
    test = _read(files["default_credit_homo_test.csv"]).assign(split="test")
    # The test clients belong to no institution upstream; dealing them out in turn lets each have its own slice.
    parts.append(test.assign(institution=np.resize(INSTITUTIONS, len(test))))
    return pd.concat(parts, ignore_index=True)


def _hetero(files: Mapping[str, Path]) -> pd.DataFrame:
    guest = _read(files["default_credit_hetero_guest.csv"])
    host = _read(files["default_credit_hetero_host.csv"]).rename(columns=dict(zip(HOST_FILE, HOST, strict=True)))
    frame = guest.merge(host, on="id", validate="one_to_one")
    split = split_by_company(frame["id"].to_numpy(dtype=np.str_), validation=0.0, test=HELD_OUT)
    return frame.assign(split=split)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"id": "str"})
