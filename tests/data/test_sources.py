"""The 18 sources: complete, consistent with the indicators that read them; a wrong row is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.data.indicators import indicators
from fedcredit.data.sources import SOURCES, read, source, sources, sources_sha256
from fedcredit.errors import TableError


def test_there_are_eighteen_sources_with_ids_in_order_and_tables_of_their_own() -> None:
    assert [one.id for one in sources()] == [f"S{number:02d}" for number in range(1, 19)]
    assert len({one.table for one in sources()}) == 18
    assert all(one.zh and one.en and one.holder["zh"] and one.identifier == "uscc" for one in sources())


def test_every_key_column_exists_and_begins_with_the_company() -> None:
    for one in sources():
        assert one.key[0] == "company"
        assert set(one.key) <= {column.name for column in one.fields}


def test_no_column_is_public_by_mistake_a_level_is_that_of_the_source_unless_it_is_said() -> None:
    levels = {(one.table, column.name): column.level for one in sources() for column in one.fields}
    assert levels["bank", "days_past_due"] == 4
    assert levels["bank", "company"] == 4
    assert levels["registration", "representative"] == 3
    assert levels["power", "degree_days"] == 1
    assert set(levels.values()) <= {1, 2, 3, 4, 5}


def test_every_indicator_reads_sources_that_exist_and_is_not_below_their_lowest_level() -> None:
    level = {one.id: min(column.level for column in one.columns) for one in sources()}
    for indicator in indicators():
        assert set(indicator.sources) <= set(level)
        assert indicator.level >= max(level[source] for source in indicator.sources), indicator.id


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("type: number, lo", "type: nummer, lo", "nummer"),
        ("    level: 4\n", "    levell: 4\n", "did you mean 'level'"),
        (", lo: 0, hi: 1.0e+9, usual", ", usual", "lo and hi"),
        ("kind, type: category, levels:", "kind, type: text, levels:", "levels of a category only"),
    ],
)
def test_a_source_that_is_not_as_it_must_be_is_refused(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = SOURCES.read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "sources.yaml"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(TableError, match=said):
        read(path)


def test_an_unknown_table_is_refused_with_the_tables_that_there_are() -> None:
    with pytest.raises(TableError, match="one of registration, tax"):
        source("taxes")


def test_the_digest_is_that_of_the_file() -> None:
    assert len(sources_sha256()) == 64
