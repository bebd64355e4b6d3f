"""A table becomes the windows of one institution: its own rows, to train and validate, under its own name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clients.rows import save_private, synthetic_table, windows_of
from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.data.windows import load
from fedcredit.errors import TableError


def table(*banks: str, one_outcome: bool = False, named: bool = True) -> Table:
    n = 60
    frame = pd.DataFrame(
        {
            "id": [f"C{number:04}" for number in range(n)],
            "bank": [banks[number % len(banks)] for number in range(n)],
            "debt": np.arange(n) / n,
            "bad": [0 if one_outcome else (number // 2) % 2 for number in range(n)],
        }
    )
    return Table(frame, Schema((Column("debt"),), Label("bad"), company="id", institution="bank" if named else None))


def test_of_a_table_of_several_only_the_own_rows_are_taken() -> None:
    found = windows_of(table("bank-a", "bank-b"), institution="bank-a", length=1)
    assert set(found.company.tolist()) <= {f"C{number:04}" for number in range(0, 60, 2)}
    assert found.institutions == ["bank-a"]


def test_rows_to_be_judged_on_stay_out() -> None:
    found = windows_of(table("bank-a"), institution="bank-a", length=1)
    assert set(found.split.tolist()) == {"train", "validation"}


@pytest.mark.parametrize("named", [True, False])
def test_a_table_of_one_institution_is_taken_whole_under_the_nodes_name(named: bool) -> None:
    found = windows_of(table("our branch", named=named), institution="bank-a", length=1)
    assert found.institutions == ["bank-a"]


def test_a_table_of_others_is_refused_until_one_is_named() -> None:
    others = table("bank-b", "bank-c")
    with pytest.raises(TableError, match="none of them 'bank-a'"):
        windows_of(others, institution="bank-a", length=1)
    with pytest.raises(TableError):
        windows_of(others, institution="bank-a", length=1, named="bank-d")
    assert windows_of(others, institution="bank-a", length=1, named="bank-c").institutions == ["bank-a"]


def test_rows_with_one_outcome_are_refused() -> None:
    with pytest.raises(TableError, match="with 1 outcomes"):
        windows_of(table("bank-a", one_outcome=True), institution="bank-a", length=1)


def test_windows_are_written_for_their_owner_only_and_read_as_they_were(tmp_path: Path) -> None:
    found = windows_of(table("bank-a"), institution="bank-a", length=1)
    save_private(found, tmp_path / "windows.npz")
    assert (tmp_path / "windows.npz").stat().st_mode & 0o777 == 0o600
    assert np.array_equal(load(tmp_path / "windows.npz").x, found.x)
    assert [path.name for path in tmp_path.iterdir()] == ["windows.npz"]


def test_the_synthetic_banks_are_different_ones_of_one_economy() -> None:
    (economy, first), (_, second) = synthetic_table(1), synthetic_table(2)
    mine, yours = (windows_of(economy, institution=name, length=12) for name in (first, second))
    assert mine.schema_sha256 == yours.schema_sha256
    assert mine.x.shape[1:] == yours.x.shape[1:]
    assert not np.array_equal(np.unique(mine.company), np.unique(yours.company))


@pytest.mark.parametrize("part", [0, 6, -1])
def test_a_synthetic_bank_that_is_not_there_is_refused(part: int) -> None:
    with pytest.raises(TableError):
        synthetic_table(part)
