"""Rescoring scores what is due and nothing else, goes on after a kill, and keeps stale scores at an outage."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fedcredit.data.features import make_windows
from fedcredit.data.hub.table import build_table
from fedcredit.data.identifiers import uscc
from fedcredit.data.schema import Schema, Table, read_schema
from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import ModelError, TableError
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle
from server.scoring.book import ScoreBook
from server.scoring.explaining import NOT_WANTED
from server.scoring.inputs import HubInputs
from server.scoring.kept_reasons import read_reasons
from server.scoring.rescore import rescore
from tests.data.hub.raw_rows import at_random, months, rows, store_of

NOON = datetime(2024, 12, 20, 12)
COUNT = 24
NAMES = uscc(990001, np.arange(COUNT)).tolist()
TIME = 3


def raw() -> dict[str, pa.Table]:
    """Random rows of every source; every company has a bank."""
    bank = [
        {"company": company, "valid_at": day, "bank": "bank-01", "loan_cny": 100, "inflow_cny": 10 + day.month}
        for company in NAMES
        for day in months(date(2023, 1, 1), 24)
    ]
    return at_random(4, companies=COUNT, first=date(2023, 1, 1), count=24) | {"bank": rows("bank", *bank)}


@dataclass(frozen=True)
class World:
    """A hub, two models for it, and the table to score that it builds at noon."""

    hub: Path
    models: tuple[Bundle, Bundle]
    table: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("hub")
    with store_of(folder, *raw().items()) as store:
        models = trained(store, folder / "table", seed=1), trained(store, folder / "table", seed=2)
    return World(folder / "hub.duckdb", models, folder / "table")


@pytest.fixture
def store(world: World, tmp_path: Path) -> Iterator[DuckStore]:
    shutil.copy(world.hub, tmp_path / "events.duckdb")
    with DuckStore(tmp_path / "events.duckdb") as opened:
        yield opened


def trained(store: DuckStore, folder: Path, *, seed: int) -> Bundle:
    """An untrained model for the hub's table."""
    path = build_table(store, folder, as_of=NOON, months=TIME, has_outcome=False)
    schema = read_schema(folder / "features.json")
    windows = make_windows(to_score(path, schema), length=TIME)
    settings = ModelSettings("lstm", hidden=4)
    weights = build(settings, features=windows.features, time=TIME, seed=seed).state_dict()
    made = Bundle("hub", settings, TIME, windows.features, schema, weights, "c" * 64, "abc", ("east",))
    return bundles.write(folder / f"bundle-{seed}", made)


def to_score(path: Path, schema: Schema) -> Table:
    plain = Schema(schema.columns, schema.label, schema.company, schema.period)
    return Table(pd.read_parquet(path).assign(**{schema.label.column: 0}), plain)


def test_scores_are_those_of_the_table_that_the_hub_builds(world: World, store: DuckStore, tmp_path: Path) -> None:
    bundle = world.models[0]
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        done = rescore(book, HubInputs(store, bundle.schema, time=TIME), bundle, as_of=NOON)
        assert done.fault == ""
        assert (done.scored, done.why) == (done.due, {"no_score": done.due})
        table = to_score(world.table / "features.parquet", bundle.schema)
        expected = bundles.score(bundle, table).set_index("company")
        found = {name: one for name in NAMES if (one := book.latest(name)) is not None}
        assert len(found) == done.freshness.live >= COUNT // 2
        for name, one in found.items():
            assert one.pd == pytest.approx(expected.loc[name, "pd"], abs=1e-6)
            assert one.coverage == pytest.approx(expected.loc[name, "coverage"])
            assert (one.period, one.model_version) == ("2024-12", bundle.version)


def test_each_score_is_kept_with_its_reasons_unless_none_are_wanted(
    world: World, store: DuckStore, tmp_path: Path
) -> None:
    first, other = world.models
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        done = rescore(book, HubInputs(store, first.schema, time=TIME), first, as_of=NOON)
        assert (done.explained, done.no_reasons) == (done.scored, "")
        assert 0 < done.seconds_explaining < done.seconds
        live = book.newest().query("is_live")["company"].tolist()
        for one in (book.latest(name) for name in live):
            assert one is not None
            assert [read_reasons(one.reasons, level=level, language="zh").reasons is None for level in (2, 3, 4)] == [
                False
            ] * 3
        inputs = HubInputs(store, other.schema, time=TIME)
        plain = rescore(book, inputs, other, as_of=NOON + timedelta(hours=1), has_reasons=False)
        assert (plain.scored, plain.explained, plain.no_reasons) == (done.scored, 0, NOT_WANTED)
        found = book.latest(live[0])
        assert found is not None
        assert (found.model_version, found.reasons) == (other.version, None)


def test_a_second_run_scores_nothing_and_news_of_one_company_only_that_one(
    world: World, store: DuckStore, tmp_path: Path
) -> None:
    bundle = world.models[0]
    inputs = HubInputs(store, bundle.schema, time=TIME)
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        rescore(book, inputs, bundle, as_of=NOON)
        assert rescore(book, inputs, bundle, as_of=NOON).due == 0
        assert rescore(book, inputs, bundle, as_of=NOON + timedelta(hours=1)).due == 0
        live = book.newest().query("is_live")["company"].iloc[0]
        fact = {"company": live, "valid_at": date(2024, 12, 1), "case_no": "new", "severity": 3}
        store.append("judicial", rows("judicial", {**fact, "known_at": NOON}))
        done = rescore(book, inputs, bundle, as_of=NOON + timedelta(hours=1))  # of the same moment, and still seen
        assert (done.due, done.why) == (1, {"inputs": 1})
        found = book.latest(live)
        assert found is not None
        assert found.scored_at == "2024-12-20T13:00:00.000001Z"


def test_another_champion_and_age_make_scores_due(world: World, store: DuckStore, tmp_path: Path) -> None:
    first, other = world.models
    inputs = HubInputs(store, first.schema, time=TIME)
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        live = rescore(book, inputs, first, as_of=NOON).freshness.live
        assert rescore(book, inputs, other, as_of=NOON + timedelta(hours=1)).why == {"champion": live}
        assert rescore(book, inputs, first, as_of=NOON + timedelta(hours=2)).why == {"champion": live}  # rolled back
        assert "age" not in rescore(book, inputs, first, as_of=NOON + timedelta(hours=25)).why
        renewed = rescore(book, inputs, first, as_of=NOON + timedelta(hours=26))
        assert sum(renewed.why.values()) >= live - COUNT // 4
        assert set(renewed.why) <= {"age", "inputs"}
        assert renewed.freshness.oldest_hours is not None
        assert renewed.freshness.oldest_hours < 2


def test_a_dry_run_says_what_is_due_and_writes_nothing(world: World, store: DuckStore, tmp_path: Path) -> None:
    bundle = world.models[0]
    inputs = HubInputs(store, bundle.schema, time=TIME)
    inputs.refresh(NOON)
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        done = rescore(book, inputs, bundle, as_of=NOON, is_dry_run=True)
        assert done.due > 0
        assert done.scored == 0
        assert book.newest().empty


class Cut(Exception):
    """The process was killed."""


def test_a_run_that_is_cut_goes_on_where_it_was(
    world: World, store: DuckStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.scoring.rescore.CHUNK", 5)
    bundle = world.models[0]
    inputs = HubInputs(store, bundle.schema, time=TIME)

    def cut(done: int, due: int) -> None:
        if done >= 10:
            raise Cut

    with ScoreBook(tmp_path / "scores.sqlite") as book:
        with pytest.raises(Cut):
            rescore(book, inputs, bundle, as_of=NOON, on_batch=cut)
        assert book.freshness(NOON).fresh == 10
        done = rescore(book, inputs, bundle, as_of=NOON + timedelta(minutes=1))
        assert done.due == done.freshness.live - 10
        assert done.freshness.share == 1.0


def test_an_outage_of_a_source_lets_scores_grow_old_and_drops_none(
    world: World, store: DuckStore, tmp_path: Path
) -> None:
    bundle = world.models[0]
    other = world.models[1]

    def away() -> None:
        raise TableError("tax.parquet", found="no file", expected="a delivery")

    with ScoreBook(tmp_path / "scores.sqlite") as book:
        rescore(book, HubInputs(store, bundle.schema, time=TIME), bundle, as_of=NOON)
        later = NOON + timedelta(hours=73)
        done = rescore(book, HubInputs(store, other.schema, time=TIME, intake=away), other, as_of=later)
        assert done.fault.startswith("tax.parquet")
        assert done.scored == done.freshness.live  # by the new champion, on what was known at noon
        assert done.freshness.share == 0.0
        company = book.newest().query("is_live")["company"].iloc[0]
        found = book.latest(company)
        assert found is not None
        assert found.is_stale(later.replace(tzinfo=UTC))
        assert found.model_version == other.version


def test_a_row_that_comes_late_moves_the_month_that_it_is_of(world: World, store: DuckStore, tmp_path: Path) -> None:
    bundle = world.models[0]
    inputs = HubInputs(store, bundle.schema, time=TIME)
    inputs.refresh(NOON)
    company = NAMES[0]

    def month(period: str) -> pd.Series:
        frame = inputs.rows([company]).frame
        return frame[frame["period"] == period].drop(columns="default_12m", errors="ignore").iloc[0]

    before = month("2024-11")
    late = {"company": company, "valid_at": date(2024, 11, 2), "case_no": "late", "severity": 3}
    store.append("judicial", rows("judicial", {**late, "known_at": datetime(2024, 11, 10)}))
    inputs.refresh(NOON + timedelta(hours=1))
    assert month("2024-11")["judicial_risk"] != before["judicial_risk"]


def test_a_model_of_other_columns_is_refused_before_anything_is_read(
    world: World, store: DuckStore, tmp_path: Path
) -> None:
    bundle = world.models[0]
    columns = tuple(bundle.schema.columns[:1]) + tuple(
        type(one)(**{**vars(one), "name": f"x_{one.name}"}) for one in bundle.schema.columns[1:2]
    )
    with pytest.raises(ModelError, match="no hub has"):
        HubInputs(store, Schema(columns, bundle.schema.label, "company", "period"), time=TIME)


def test_a_hub_that_was_never_refreshed_says_so(world: World, store: DuckStore, tmp_path: Path) -> None:
    bundle = world.models[0]
    with ScoreBook(tmp_path / "scores.sqlite") as book, pytest.raises(TableError, match="no refresh yet"):
        rescore(book, HubInputs(store, bundle.schema, time=TIME), bundle, as_of=NOON, is_dry_run=True)
