"""Every field and every message type has a level, and from level 4 on nothing leaves but what was charged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedcredit.data.economy import EconomySettings, generate
from fedcredit.data.features import make_windows
from fedcredit.data.governance.contract import contracts
from fedcredit.data.governance.levels import LEVELS, level_of, may_leave, refuse_plain
from fedcredit.data.indicators import indicators
from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.data.sources import sources
from fedcredit.data.windows import join, load, save
from fedcredit.errors import PolicyRefused
from tests.conftest import make_windows as small_windows


def test_every_indicator_and_every_source_has_a_level() -> None:
    assert {row.level for row in indicators()} <= set(LEVELS)
    assert {field.level for source in sources() for field in source.fields} <= set(LEVELS)


def test_every_key_of_every_message_has_a_level() -> None:
    rules = [rule for contract in contracts().values() for kept in contract.records.values() for rule in kept.values()]
    assert {rule.level_on(3) for rule in rules} <= set(LEVELS)


def test_what_is_computed_from_rows_has_their_level() -> None:
    levels = {name: contract.level_on(4) for name, contract in contracts().items()}
    assert levels == {
        "query.describe": 2,
        "train": 4,
        "train.personalise": 1,
        "evaluate": 4,
        "query.spent": 2,
        "train.masked": 4,
        "query.counts": 4,
        "query.masked": 4,
        "query.champion": 1,
    } | dict.fromkeys(
        ["query.keys", "query.agree", "query.confirm", "query.shares", "query.survivors", "query.unmask"], 1
    )


@pytest.mark.parametrize("level", [4, 5])
def test_level_4_leaves_as_a_charged_private_aggregate_only(level: int) -> None:
    assert not may_leave(level, is_private=False, is_open=False)
    assert may_leave(level, is_private=True, is_open=False)
    with pytest.raises(PolicyRefused, match=f"rows of level {level}, without privacy"):
        refuse_plain(level, what="task", is_private=False, is_open=False)


def test_rows_that_are_open_may_leave_as_they_are() -> None:
    refuse_plain(5, what="task", is_private=False, is_open=True)


def test_a_tables_level_is_that_of_its_most_harmful_feature() -> None:
    columns = (Column("debt", level=2), Column("overdue", level=4))
    schema = Schema(columns, Label("bad"), company="id")
    assert level_of(schema) == 4
    assert level_of(replace(schema, columns=columns[:1])) == 2


def test_a_column_without_a_level_counts_as_3() -> None:
    assert level_of(Schema((Column("debt"),), Label("bad"), company="id")) == 3


def test_the_level_travels_with_the_windows(tmp_path: Path) -> None:
    table = generate(EconomySettings(companies=60, months=3, institutions=2, seed=1))
    windows = make_windows(Table(table.frame, table.schema), length=2)
    assert windows.level == max(column.level for column in table.schema.columns) == 4
    path = tmp_path / "rows.npz"
    save(windows, path)
    assert load(path).level == load(path).part("train").level == 4


def test_joined_windows_have_the_higher_level() -> None:
    low, high = small_windows("a", n=6), replace(small_windows("b", n=6), level=4)
    assert (low.level, join([low, high]).level) == (3, 4)


def test_windows_that_were_written_before_levels_count_as_3(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    save(small_windows("a", n=6), path)
    with np.load(path) as held:
        np.savez(path, **{name: held[name] for name in held.files if name != "level"})
    assert load(path).level == 3
