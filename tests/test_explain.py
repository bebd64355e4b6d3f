"""A bundle and a table become reasons that hold when the table is scored again with what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from fedcredit.credit.counterfactual import NO_GRADE
from fedcredit.credit.scale import MASTER
from fedcredit.credit.sentences import as_dict, reasons_of
from fedcredit.data.economy import EconomySettings, generate
from fedcredit.data.features import make_windows
from fedcredit.data.indicators import indicators
from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.errors import ConfigError, FedCreditError, ModelError
from fedcredit.explain import explain, medians
from fedcredit.models import bundle as bundles
from fedcredit.models.build import Kind, ModelSettings, build
from fedcredit.models.bundle import Bundle, score
from fedcredit.models.calibrated import PriorShift
from fedcredit.models.factors import Factor
from fedcredit.models.train import LocalSettings, fit
from server.cli import model as commands

ECONOMY = generate(EconomySettings(companies=400, months=6, seed=3))
SECRET = [indicator for indicator in indicators() if indicator.level >= 4]


def bundle_of(table: Table, kind: Kind, *, time: int, factors: tuple[Factor, ...] = (), epochs: int = 15) -> Bundle:
    """A model that has learnt something of the table, with a calibration."""
    windows = make_windows(table, length=time)
    settings = ModelSettings(kind, hidden=5, factors=factors).resolved(windows.features)
    model = build(settings, features=windows.features, time=time, seed=0)
    how = LocalSettings("adam", lr=2e-2, batch_size=64, epochs=epochs)
    x, y = torch.from_numpy(windows.x), torch.from_numpy(windows.y)
    fit(model, x, y, settings=how, generator=torch.Generator().manual_seed(0))
    return Bundle(
        study="reasons",
        settings=settings,
        time=time,
        inputs=windows.features,
        schema=table.schema,
        weights=model.state_dict(),
        config_sha256="c" * 64,
        git_sha="abc",
        roster=("east",),
        calibration=(PriorShift(0.08, 0.03),),
    )


@pytest.fixture(scope="module")
def economy_bundle() -> Bundle:
    return bundle_of(ECONOMY, "nine_factor", time=6)


OWN = Schema(
    (
        Column("Debt!", "ratio", unit="CNY", lo=0, hi=4, level=3),
        Column("cash", "ratio", lo=-5, hi=5, nullable=True, level=4),
        Column("branch", "category", levels=("north", "south"), level=2),
        Column("listed", "flag", level=1),
    ),
    Label("bad"),
    company="id",
)
OWN_FACTORS = (
    Factor("money", up=("cash",), down=("Debt!",)),
    Factor("place", up=("listed",), free=("branch=north", "branch=south")),
)


def own_table(n: int = 300) -> Table:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(n)],
            "Debt!": rng.uniform(0, 4, n),
            "cash": rng.normal(size=n),
            "branch": rng.choice(["north", "south"], n),
            "listed": rng.integers(0, 2, n),
        }
    )
    frame["bad"] = (frame["Debt!"] - frame["cash"] - frame["listed"] + rng.normal(size=n) > 2.5).astype(int)
    frame.loc[frame.index % 7 == 0, "cash"] = None
    return Table(frame, OWN)


@pytest.mark.parametrize("kind", ["nine_factor", "lstm"])
def test_what_would_change_the_grade_does_when_the_table_is_scored_again(kind: Kind, economy_bundle: Bundle) -> None:
    bundle = economy_bundle if kind == "nine_factor" else bundle_of(ECONOMY, kind, time=6)
    found = explain(bundle, ECONOMY, level=4)
    reasons, frame = found.reasons, ECONOMY.frame
    last = frame.groupby("company", sort=False).tail(1).index
    assert (frame.loc[last, "company"].to_numpy() == found.scores["company"].to_numpy()).all()
    tried = 0
    for rank in range(3):
        rows = np.flatnonzero(reasons.better_grade[:, rank] != NO_GRADE)
        changed = frame.astype(dict.fromkeys(ECONOMY.schema.features, "float64"))
        for row in rows.tolist():
            name = reasons.fields[int(reasons.raising[row, rank])].name
            changed.loc[last[row], name] = reasons.better_value[row, rank]
        again = MASTER.place(score(bundle, Table(changed, ECONOMY.schema))["pd"].to_numpy())
        assert (again[rows] == reasons.better_grade[rows, rank]).mean() > 0.995  # float32 at a bound
        assert (again[rows] < reasons.grade[rows]).mean() > 0.995
        tried += len(rows)
    assert tried > 200


def test_the_pd_is_that_of_the_score(economy_bundle: Bundle) -> None:
    found = explain(economy_bundle, ECONOMY).scores
    scored = score(economy_bundle, ECONOMY)
    assert found["pd"].to_numpy() == pytest.approx(scored["pd"].to_numpy(), abs=1e-6)
    assert (found["company"] == scored["company"]).all()
    assert found["grade"].tolist() == MASTER.names(found["pd"].to_numpy()).tolist()


def test_shares_add_up_to_the_distance_from_the_typical_company(economy_bundle: Bundle) -> None:
    found = explain(economy_bundle, ECONOMY, level=5)
    raw = [PriorShift(0.03, 0.08).apply(found.scores["pd"]), PriorShift(0.03, 0.08).apply([found.typical_pd])]
    logit, base = (np.log(p / (1 - p)) for p in raw)
    assert found.reasons.shares.sum(axis=1) == pytest.approx(logit - base[0], abs=1e-3)
    assert found.by_factor.sum(axis=1) == pytest.approx(logit - base[0], abs=1e-3)
    assert len(found.factors) == 9


def test_factors_with_a_hidden_indicator_are_left_out(economy_bundle: Bundle) -> None:
    assert {indicator.factor for indicator in SECRET} == {"F-A", "F-C", "O-B"}
    assert explain(economy_bundle, ECONOMY, level=3).factors == ("F-B", "O-A", "O-C", "G-A", "G-B", "G-C")


def test_reasons_of_one_company_are_those_it_has_among_all(economy_bundle: Bundle) -> None:
    every = explain(economy_bundle, ECONOMY)
    name = str(every.scores["company"].iloc[17])
    one = explain(economy_bundle, ECONOMY, company=name)
    assert one.scores["company"].tolist() == [name]
    assert [r.indicator for r in reasons_of(one.reasons, 0)] == [r.indicator for r in reasons_of(every.reasons, 17)]
    with pytest.raises(ConfigError, match="does not have"):
        explain(economy_bundle, ECONOMY, company="nobody")


def test_another_table_is_refused(economy_bundle: Bundle) -> None:
    schema = replace(ECONOMY.schema, label=Label("default_12m", definition="another"))
    with pytest.raises(ModelError, match="learnt from"):
        explain(economy_bundle, Table(ECONOMY.frame, schema))


def test_an_own_table_speaks_by_its_column_names() -> None:
    table = own_table()
    bundle = bundle_of(table, "nine_factor", time=1, factors=OWN_FACTORS)
    with pytest.raises(ModelError, match="typical values"):
        explain(bundle, table)
    typical = medians(table) | {"listed": 1}
    found = explain(bundle, table, typical=typical, level=4)
    debt = next(f for f in found.reasons.fields if f.name == "Debt!")
    assert (debt.zh, debt.direction, debt.factor) == ("Debt!", "down", "money")
    told = [as_dict(found.reasons, row, language="zh") for row in range(len(found.reasons))]
    text = json.dumps(told, ensure_ascii=False)
    assert "Debt!为" in text
    assert "cash缺失" in text
    listed = [r for one in told for r in one["reasons"] if r["indicator"] == "listed" and r["better_grade"]]
    assert listed
    assert all(r["better_value"] == 1 for r in listed)
    assert found.factors == ("money", "place")
    less = explain(bundle, table, typical=typical, level=3)
    assert less.factors == ("place",)
    assert "cash" not in json.dumps([as_dict(less.reasons, row) for row in range(300)])


def test_a_short_history_is_a_reason_with_its_length() -> None:
    bundle = bundle_of(ECONOMY, "lstm", time=6, epochs=1)
    frame = ECONOMY.frame.groupby("company", sort=False).tail(2).reset_index(drop=True)
    found = explain(bundle, Table(frame, ECONOMY.schema), level=5)
    told = [r for row in range(50) for low in (False, True) for r in reasons_of(found.reasons, row, lowers=low)]
    history = [r for r in told if r.indicator == "present"]
    assert history
    assert history[0].text.startswith("Length of history is 2 periods, typically 6 periods: ")


def test_medians_of_few_companies_are_not_taken() -> None:
    table = own_table(19)
    with pytest.raises(ConfigError, match="20 or more"):
        medians(table)
    assert medians(own_table(20))["branch"] in ("north", "south")


@pytest.fixture(scope="module")
def on_disk(economy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("explain")
    bundles.write(folder / "model", economy_bundle)
    rows = ECONOMY.frame[ECONOMY.frame["company"].isin(ECONOMY.frame["company"].unique()[:30])]
    rows.drop(columns="default_12m").to_csv(folder / "rows.csv", index=False)
    return str(folder / "model"), str(folder / "rows.csv")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_output_names_a_field_above_the_viewers_level(
    on_disk: tuple[str, str], tmp_path: Path, language: str
) -> None:
    run, out = CliRunner(), tmp_path / "out.jsonl"
    plain = run.invoke(commands, ["explain", *on_disk, "--lang", language])
    as_json = run.invoke(commands, ["explain", *on_disk, "--lang", language, "--json"])
    filed = run.invoke(commands, ["explain", *on_disk, "--lang", language, "--out", str(out)])
    assert plain.exit_code == as_json.exit_code == filed.exit_code == 0
    for text in (plain.output, as_json.output, filed.output, out.read_text(encoding="utf-8")):
        assert len(text) > 10
        for secret in SECRET:
            assert not any(word in text for word in (secret.id, secret.zh, secret.en))
    told = json.loads(as_json.stdout)
    assert told["companies"] == 30
    assert told["level"] == 3
    assert told["typical"].startswith("typical values proposed by the dictionary")
    assert max(one["hidden_percent"] for one in told["explained"]) > 10
    assert len(out.read_text(encoding="utf-8").splitlines()) == 30
    seen = run.invoke(commands, ["explain", *on_disk, "--lang", language, "--level", "4"]).output
    assert any((secret.zh if language == "zh" else secret.en) in seen for secret in SECRET)


def test_one_company_as_json(on_disk: tuple[str, str]) -> None:
    name = str(ECONOMY.frame["company"].iloc[0])
    told = json.loads(CliRunner().invoke(commands, ["explain", *on_disk, "--company", name, "--json"]).stdout)
    (one,) = told["explained"]
    assert one["company"] == name
    assert set(one) == {
        "company", "period", "pd", "grade", "model_version", "reasons", "strengths", "hidden_percent", "level",
        "notes", "factors",
    }  # fmt: skip
    assert set(one["reasons"][0]) == {
        "rank", "indicator", "name", "value", "typical", "unit", "log_odds", "better_value", "better_grade", "text",
    }  # fmt: skip


def test_typical_values_of_a_file_and_of_the_table(on_disk: tuple[str, str], tmp_path: Path) -> None:
    run, path = CliRunner(), tmp_path / "typical.yaml"
    path.write_text("\n".join(f"{indicator.id}: {indicator.lo}" for indicator in indicators()))
    told = json.loads(run.invoke(commands, ["explain", *on_disk, "--typical", str(path), "--json"]).stdout)
    assert told["typical"] == "typical values of typical.yaml"
    table = json.loads(run.invoke(commands, ["explain", *on_disk, "--typical", "table", "--json"]).stdout)
    assert table["typical"] == "medians of the table's own rows"
    assert told["typical_pd"] != table["typical_pd"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no readable file"),
        ("[1]", "no readable file"),
        ("debt_ratio: .nan", "another value"),
        ("roa: 1", "none for"),
    ],
)
def test_bad_typical_values_are_refused(
    on_disk: tuple[str, str], tmp_path: Path, content: str | None, found: str
) -> None:
    path = tmp_path / "typical.yaml"
    if content is not None:
        path.write_text(content)
    outcome = CliRunner().invoke(commands, ["explain", *on_disk, "--typical", str(path)])
    assert isinstance(outcome.exception, FedCreditError)
    assert found in str(outcome.exception)


def test_a_level_that_does_not_exist_is_refused(on_disk: tuple[str, str]) -> None:
    outcome = CliRunner().invoke(commands, ["explain", *on_disk, "--level", "9"])
    assert isinstance(outcome.exception, ConfigError)
