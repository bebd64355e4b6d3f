"""Your own table at the command line: a study of it in seconds, or a fault that its owner can mend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcredit import __main__ as program

Captured = pytest.CaptureFixture[str]
BANKS = np.array(["杭州银行", "宁波银行"])
FAST = [
    "privacy.epsilons=[null]",
    "model.kind=logistic",
    "recipe.rounds=4",
    "arms=[local,federated,pooled]",
    "tracking.mlflow=false",
    "seeds=[0]",
    "evaluation.draws=20",
    "workers=1",
]


def loans(n: int = 300) -> pd.DataFrame:
    """One row a company; half of them at each of two banks."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, 2)).round(4)
    bad = (x[:, 0] - x[:, 1] + rng.normal(size=n) > 0.8).astype(int)
    company = [f"0091{i:06d}" for i in range(n)]
    return pd.DataFrame(
        {"uscc": company, "bank": BANKS[np.arange(n) % 2], "debt": x[:, 0], "cash": x[:, 1], "bad": bad}
    )


def panel(companies: int = 200, months: int = 4) -> pd.DataFrame:
    """Company-months, oldest last: a panel need not be sorted."""
    frame = loans(companies)
    months_of = [frame.assign(month=f"2023-{m:02d}", debt=frame["debt"] + 0.1 * m) for m in range(months, 0, -1)]
    return pd.concat(months_of, ignore_index=True)


Study = Callable[..., int]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Runs a study of one file in a folder of its own and gives the exit code."""
    monkeypatch.chdir(tmp_path)

    def run(path: Path, *more: str, institution: str = "bank") -> int:
        named = {"path": path, "label": "bad", "company": "uscc", "institution": institution}
        words = [f"data.table.{key}={value}" for key, value in named.items()]
        try:
            program.main(["study", "run", "quickstart", "data=table", *words, *FAST, *more])
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    return run


def report_in(folder: Path) -> dict[str, object]:
    (report,) = (path for path in folder.glob("runs/quickstart/*Z/report.json"))
    found: dict[str, object] = json.loads(report.read_text(encoding="utf-8"))
    return found


def test_a_gb18030_csv_becomes_a_report_with_the_banks_names(study: Study, tmp_path: Path, capsys: Captured) -> None:
    loans().to_csv(tmp_path / "loans.csv", index=False, encoding="gb18030")
    assert study(tmp_path / "loans.csv") == 0
    said = capsys.readouterr()
    assert "report: runs/quickstart/" in said.out
    assert "[4/4]" in said.err
    (folder,) = tmp_path.glob("runs/quickstart/*Z")
    assert {"config.yaml", "report.json", "report.html", "report.md", "status.json", "log.txt", "model"} <= {
        path.name for path in folder.iterdir()
    }
    assert (tmp_path / "runs/quickstart/latest").resolve() == folder
    assert json.loads((folder / "status.json").read_text())["state"] == "succeeded"
    rows = report_in(tmp_path)["rows"]
    assert {*BANKS, "all"} <= {row["institution"] for row in rows}  # type: ignore[attr-defined]
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert predictions["company"].str.startswith("0091").all(), "an id keeps its leading zeros"
    assert predictions["p"].between(0, 1).all()
    assert not (folder / "work").exists()


def test_a_named_region_is_in_the_report_and_no_input(study: Study, tmp_path: Path) -> None:
    rows = loans(900)
    rows.assign(place=[f"{330 + i // 2 % 2:06d}" for i in range(900)]).to_csv(tmp_path / "loans.csv", index=False)
    assert study(tmp_path / "loans.csv", "data.table.region=place") == 0
    (folder,) = tmp_path.glob("runs/quickstart/*Z")
    card = json.loads((folder / "model" / "model.json").read_text())
    assert card["features"] == ["debt", "cash"]
    assert card["transforms"]["region"] == "place"
    assert set(pd.read_parquet(folder / "predictions.parquet")["region"]) == {"000330", "000331"}
    (gain, *_) = report_in(tmp_path)["gain"]  # type: ignore[misc]
    assert {one["name"] for one in gain["against"][0]["groups"] if one["by"] == "region"} == {"000330", "000331"}


def test_a_panel_in_parquet_becomes_windows(study: Study, tmp_path: Path) -> None:
    panel().to_parquet(tmp_path / "panel.parquet")
    words = ["data.table.period=month", "data.length=3", "model.kind=lstm", "model.hidden=4"]
    assert study(tmp_path / "panel.parquet", *words) == 0
    (folder,) = tmp_path.glob("runs/quickstart/*Z")
    card = json.loads((folder / "model" / "model.json").read_text())
    assert card["architecture"]["time"] == 3
    predictions = pd.read_parquet(folder / "predictions.parquet")
    pooled = predictions[predictions["arm"] == "pooled"]
    assert pooled["company"].is_unique


def faulty(name: str) -> pd.DataFrame:
    frame = loans(60)
    if name == "label":
        frame.loc[3, "bad"] = 2
    elif name == "text":
        frame["debt"] = frame["debt"].astype(object)
        frame.loc[5, "debt"] = "1,250"
    elif name == "one class":
        frame.loc[frame["bank"] == BANKS[0], "bad"] = 0
    elif name == "empty bank":
        frame["split"] = np.where(frame["bank"] == BANKS[0], "test", "train")
    elif name == "no column":
        frame = frame.drop(columns="bank")
    elif name == "no name":
        frame.loc[2, "bank"] = None
    elif name == "infinite":
        frame.loc[4, "cash"] = np.inf
    elif name == "split":
        frame["split"] = "training"
    return frame


@pytest.mark.parametrize(
    ("name", "error", "hint"),
    [
        ("label", "loans.csv, column 'bad', row 5: found 2, expected 0 or 1", ""),
        ("text", "loans.csv, column 'debt', row 7: found '1,250', expected a number", "without thousands separators"),
        ("one class", "institution '杭州银行': found only good companies in training", "data.exclude=['杭州银行']"),
        ("empty bank", "institution '杭州银行': found no training rows", "data.exclude=['杭州银行']"),
        ("no column", "loans.csv, column 'bank': found no such column", "did you mean 'bad'?"),
        ("no name", "loans.csv, column 'bank', row 4: found an empty cell", ""),
        ("infinite", "loans.csv, column 'cash', row 6: found inf, expected a finite number", ""),
        ("split", "loans.csv, column 'split', row 2: found 'training'", "by the hash of their id"),
    ],
)
def test_a_faulty_table_is_two_lines_and_leaves_nothing_behind(
    name: str, error: str, hint: str, study: Study, tmp_path: Path, capsys: Captured
) -> None:
    faulty(name).to_csv(tmp_path / "loans.csv", index=False)
    more = ["data.table.split=split"] if name in ("empty bank", "split") else []
    assert study(tmp_path / "loans.csv", *more) == 1
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith(f"error: {error}")
    assert len(lines) <= 2
    assert hint in said.err
    assert not (tmp_path / "runs").exists()


def test_a_company_month_that_is_there_twice_is_named(study: Study, tmp_path: Path, capsys: Captured) -> None:
    frame = panel(40)
    pd.concat([frame, frame.iloc[[7]]]).to_csv(tmp_path / "panel.csv", index=False)
    assert study(tmp_path / "panel.csv", "data.table.period=month", "data.length=3") == 1
    error = capsys.readouterr().err
    assert "panel.csv, column 'month', row 162: found the company and period of row 9 again" in error
    assert not (tmp_path / "runs").exists()


def test_a_month_that_is_missing_in_the_middle_is_named(study: Study, tmp_path: Path, capsys: Captured) -> None:
    frame = panel(40)
    gone = (frame["uscc"] == "0091000007") & (frame["month"] == "2023-02")
    frame[~gone].to_csv(tmp_path / "panel.csv", index=False)
    assert study(tmp_path / "panel.csv", "data.table.period=month", "data.length=3") == 1
    # The file's newest months come first: 2023-03 of the company stands in row 40 + 7 + 2.
    error, hint = capsys.readouterr().err.splitlines()
    assert "panel.csv, column 'month', row 49: found 1 missing periods in 1 panels, the first before this row" in error
    assert "allow_gaps" in hint


def test_a_table_that_is_not_there_and_one_that_is_no_table_say_so(
    study: Study, tmp_path: Path, capsys: Captured
) -> None:
    assert study(tmp_path / "gone.csv") == 1
    (tmp_path / "picture.csv").write_bytes(b"PAR1" + bytes(range(256)))
    assert study(tmp_path / "picture.csv") == 1
    (tmp_path / "empty.csv").write_text("")
    assert study(tmp_path / "empty.csv") == 1
    (tmp_path / "header.csv").write_text("uscc,bank,debt,bad\n")
    assert study(tmp_path / "header.csv") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].split(",")[0].strip() for line in lines if line.startswith("error")] == [
        "gone.csv",
        "picture.csv",
        "empty.csv",
        "header.csv",
    ]


def test_an_own_table_without_its_columns_named_says_which(tmp_path: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        program.main(["study", "run", "quickstart", "data=table", "data.table.path=x.csv"])
    assert left.value.code == 2
    assert "no label, company" in capsys.readouterr().err


def test_a_quorum_above_the_number_of_institutions_is_refused(study: Study, tmp_path: Path, capsys: Captured) -> None:
    loans(120).to_csv(tmp_path / "loans.csv", index=False)
    assert study(tmp_path / "loans.csv", "federation.quorum=3") in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert any("quorum" in line and "at most the 2 institutions" in line for line in lines)


def test_best_alone_and_personal_heads_run_on_a_table_of_nothing_but_its_keys(study: Study, tmp_path: Path) -> None:
    loans(150).to_csv(tmp_path / "loans.csv", index=False)
    assert study(tmp_path / "loans.csv", "arms=[local,best_alone,federated]") == 0


def test_an_institution_with_a_name_that_reports_use_themselves_is_refused(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = loans(150)
    frame["bank"] = frame["bank"].replace(BANKS[0], "pooled")
    frame.to_csv(tmp_path / "loans.csv", index=False)
    assert study(tmp_path / "loans.csv", "arms=[local]") == 1
    assert "found a reserved name" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/quickstart/*Z"))
