"""The synthetic economy repeats to the byte, tells no more than it should, and can be learnt from as promised."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fedcredit.data.economy import EconomySettings, generate, truth, write
from fedcredit.data.features import make_windows
from fedcredit.data.indicators import indicators
from fedcredit.data.schema import Table
from fedcredit.data.tables import read_table
from fedcredit.errors import ConfigError

SMALL = EconomySettings(companies=400, months=6)


@pytest.fixture(scope="module")
def small() -> Table:
    return generate(SMALL)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def last_month(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a company, in the order of `truth`."""
    return frame[frame["period"] == "2025-12"].reset_index(drop=True)


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    here = write(SMALL, tmp_path / "a")
    again = write(SMALL, tmp_path / "b")
    program = (
        "from pathlib import Path; from fedcredit.data.economy import EconomySettings, write; "
        f"write(EconomySettings(companies=400, months=6), Path({str(tmp_path / 'c')!r}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert len({sha256(path) for path in (here, again, tmp_path / "c" / "data.parquet")}) == 1
    assert len({sha256(tmp_path / name / "table.json") for name in "abc"}) == 1
    assert sorted(path.name for path in here.parent.iterdir()) == ["data.parquet", "table.json"]


def test_another_seed_gives_another_economy(small: Table) -> None:
    other = generate(EconomySettings(seed=2, companies=400, months=6)).frame
    assert not np.array_equal(last_month(other)["roa"], last_month(small.frame)["roa"])


def test_the_written_file_reads_back_as_the_table_in_memory(tmp_path: Path, small: Table) -> None:
    path = write(SMALL, tmp_path)
    back = read_table(path, small.schema).frame
    pd.testing.assert_frame_equal(back, small.frame, check_dtype=False)
    said = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert said["schema_sha256"] == small.schema.sha256
    assert said["lineage"]["origin"] == "synthetic"


def test_companies_are_of_28_regions_which_are_groups_and_no_input(small: Table) -> None:
    regions = make_windows(small, length=6).about["region"]
    assert set(regions) == set(small.frame["region"]) <= {f"region-{k:02d}" for k in range(1, 29)}
    assert regions.nunique() > 20
    assert "region" not in small.schema.features


def test_every_company_reaches_the_observation_month_and_keeps_one_label_split_and_bank(small: Table) -> None:
    assert len(last_month(small.frame)) == small.frame["company"].nunique() == 400
    fixed = ["default_12m", "split", "institution", "region", "industry", "size_class", "loan_amount_cny"]
    assert (small.frame.groupby("company")[fixed].nunique() == 1).all(axis=None)


def test_ids_cannot_be_mistaken_for_social_credit_codes(small: Table) -> None:
    assert small.frame["company"].str.fullmatch(r"SYN\d{15}").all()


def test_some_histories_are_short_and_none_has_a_gap(small: Table) -> None:
    months = small.frame.groupby("company")["period"].agg(["size", "min"])
    assert 0.02 < (months["size"] < 6).mean() < 0.2
    assert (months["min"] == [f"2025-{13 - n:02d}" for n in months["size"]]).all()


def test_values_lie_in_the_dictionary_s_ranges_and_only_nullable_columns_have_empty_cells(small: Table) -> None:
    for indicator in indicators():
        cells = small.frame[indicator.id]
        assert cells.dtype == np.float32
        assert cells.dropna().between(indicator.lo, indicator.hi).all(), indicator.id
        assert cells.std() > 0, indicator.id
        assert cells.isna().any() == indicator.nullable, indicator.id


def test_quarterly_statements_stand_for_three_months(small: Table) -> None:
    one = small.frame[small.frame["company"] == small.frame["company"].value_counts().index[0]]
    assert one["debt_ratio"].nunique() == 3  # September, December, and what stood before
    assert one["cf_volatility"].nunique() == 6


def test_split_and_institutions_have_their_shares() -> None:
    frame = last_month(generate(EconomySettings(companies=5000, months=1)).frame)
    shares = frame["split"].value_counts(normalize=True)
    assert shares[["train", "validation", "test"]].tolist() == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
    sizes = frame["institution"].value_counts()
    assert len(sizes) == 5
    assert sizes.max() > 2 * sizes.min()


def test_the_default_rate_is_the_one_asked_for() -> None:
    settings = EconomySettings(companies=12_000, months=6, default_rate=0.1, horizon_months=6)
    assert truth(settings)["pd"].mean() == pytest.approx(0.1, abs=0.004)
    assert last_month(generate(settings).frame)["default_6m"].mean() == pytest.approx(0.1, abs=0.01)


def test_every_direction_of_the_dictionary_agrees_with_the_truth() -> None:
    settings = EconomySettings(companies=10_000, months=2, missing_share=0)
    frame, risk = last_month(generate(settings).frame), truth(settings)
    assert frame["company"].tolist() == risk["company"].tolist()
    for indicator in indicators():
        worse = frame[indicator.id].to_numpy()
        if indicator.direction == "up":
            worse = -worse
        elif indicator.optimum is not None:
            worse = np.maximum(indicator.optimum[0] - worse, worse - indicator.optimum[1])
        assert spearmanr(worse, risk["pd"]).statistic > 0.05, indicator.id
    assert roc_auc_score(frame["default_12m"], frame["incumbent_pd"]) > 0.6


def flat(
    settings: EconomySettings,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.str_], NDArray[np.str_]]:
    """Flattened windows, labels, splits and institutions."""
    windows = make_windows(generate(settings), length=settings.months)
    return windows.x.reshape(len(windows), -1), windows.y, windows.split, windows.institution


def test_nothing_can_be_learnt_in_the_null_world() -> None:
    settings = EconomySettings(companies=20_000, months=1, strength=0)
    x, y, split, _ = flat(settings)
    is_train = split == "train"
    model = LogisticRegression(max_iter=500).fit(x[is_train], y[is_train])
    assert roc_auc_score(y[~is_train], model.predict_proba(x[~is_train])[:, 1]) == pytest.approx(0.5, abs=0.04)
    assert truth(settings)["pd"].nunique() == 1


def test_a_slide_before_the_last_month_says_more_than_the_last_month_alone() -> None:
    settings = EconomySettings(companies=5_000, months=12, levels=0.3, trends=2, interactions=0, hidden=0)
    frame, risk = generate(settings).frame, truth(settings).set_index("company")["pd"]
    wide = frame.pivot_table(index="company", columns="period", values="cash_buffer_days").dropna()
    now, before = np.log1p(wide["2025-12"]), np.log1p(wide["2025-01"])
    ahead = risk[wide.index]
    assert spearmanr(before - now, ahead).statistic > spearmanr(-now, ahead).statistic + 0.1


def test_extreme_settings_still_give_an_economy() -> None:
    settings = EconomySettings(companies=40, months=24, strength=5, noise=20, default_rate=0.3, short_history_share=1)
    assert generate(settings).frame["company"].nunique() == 40
    assert len(generate(EconomySettings(companies=1, months=1, regions=1, institutions=1)).frame) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"companies": 0},
        {"months": 0},
        {"regions": 1000},
        {"default_rate": 0.0},
        {"default_rate": float("nan")},
        {"strength": -1.0},
        {"missing_share": 0.6},
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused_before_anything_is_drawn(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"economy\.{next(iter(wrong))}"):
        EconomySettings(**wrong)  # type: ignore[arg-type]


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedcredit.data.economy.json.dumps", full)
    with pytest.raises(OSError, match="No space"):
        write(SMALL, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_quickstart_sized_economies_can_be_learnt_as_promised() -> None:
    oracle: list[float] = []
    pooled: list[float] = []
    alone: list[float] = []
    for seed in (1, 2, 3):
        settings = EconomySettings(seed=seed)
        x, y, split, bank = flat(settings)
        risk = truth(settings)["pd"].to_numpy()
        is_train, is_test = split == "train", split == "test"
        smallest = min(set(bank), key=lambda name: (bank == name).sum())
        oracle.append(roc_auc_score(y, risk))
        for rows, found in ((is_train, pooled), (is_train & (bank == smallest), alone)):
            trees = LGBMClassifier(
                n_estimators=150, learning_rate=0.04, num_leaves=7, colsample_bytree=0.4, n_jobs=1, verbose=-1
            )
            trees.fit(x[rows], y[rows])
            found.append(roc_auc_score(y[is_test], trees.predict_proba(x[is_test])[:, 1]))
    assert 0.84 < np.mean(oracle) < 0.90
    assert 0.75 < np.mean(pooled) < 0.84
    assert np.mean(alone) < np.mean(pooled) - 0.03


@pytest.mark.slow
def test_120_000_companies_times_24_months_fit_in_a_minute_and_6_gib(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from fedcredit.data.economy import EconomySettings, write; "
        "write(EconomySettings(companies=120_000, months=24, institutions=28), Path(sys.argv[1])); "
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True)
    cpu_seconds, peak_kib = (float(word) for word in done.stdout.split())
    assert cpu_seconds < 60
    assert peak_kib < 6 * 2**20
