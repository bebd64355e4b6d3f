"""The data verbs: a table is read alike by check, build and a study, and each result is there as JSON too."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedcredit import __main__ as program
from fedcredit.data.infer import read_kinds
from fedcredit.data.schema import read_schema
from fedcredit.data.tables import read_table
from fedcredit.errors import TableError

Captured = pytest.CaptureFixture[str]
KEYS = ["--label", "bad", "--company", "uscc", "--institution", "bank"]
ALL = [
    *KEYS,
    *("--period", "year", "--split", "part", "--feature", "debt", "--feature", "industry", "--kinds", "kinds.yaml"),
    *("--incumbent", "score", "--amount", "loan", "--size", "staff", "--sector", "industry", "--stratum", "year"),
    *("--region", "province"),
    *("--definition", "90 days past due", "--encoding", "gb18030", "--allow-gaps"),
]


def leave(*words: str) -> int:
    """The code that the program leaves with."""
    try:
        program.main(["data", *words])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """loans.csv, one row a company at two banks; panel.csv with every role and a hole in 2023; kinds.yaml."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(3)
    loans = ["uscc,bank,debt,cash,note,bad"]
    for number in range(200):
        debt, cash = draw.gauss(0, 1), draw.gauss(0, 1)
        bad = int(debt - cash + draw.gauss(0, 1) > 0.8)
        loans.append(f"0091{number:06d},{'杭州银行' if number % 2 else '宁波银行'},{debt:.4f},{cash:.4f},a note,{bad}")
    Path("loans.csv").write_text("\n".join(loans) + "\n", encoding="utf-8")
    panel = ["uscc,bank,year,part,debt,industry,province,score,loan,staff,bad"]
    for company in ("01", "02"):
        years = (2022, 2024, 2025) if company == "02" else (2022, 2023, 2024, 2025)
        panel += [f"{company},西行,{year},train,1.5,纺织,033,0.1,1000,7,{int(company == '02')}" for year in years]
    Path("panel.csv").write_text("\n".join(panel) + "\n", encoding="gb18030")
    Path("kinds.yaml").write_text("industry: {kind: category, levels: [纺织, 钢铁]}\n", encoding="utf-8")
    return tmp_path


def test_a_built_table_is_what_a_study_reads_without_another_word(capsys: Captured) -> None:
    assert leave("build", "loans.csv", "out", *KEYS) == 0
    assert capsys.readouterr().out == "out\n"
    study = ["study", "run", "quickstart", "study=built", "data=table", "data.table.path=out/data.parquet"]
    tiny = ["model.kind=logistic", "recipe.rounds=2", "arms=[federated,local]", "evaluation.draws=20", "workers=1"]
    program.main([*study, *tiny, "seeds=[0]", "privacy.epsilons=[null]", "tracking.mlflow=false"])
    predictions = pd.read_parquet("runs/built/latest/predictions.parquet")
    assert set(predictions["institution"]) == {"杭州银行", "宁波银行"}
    assert predictions["company"].str.startswith("0091").all(), "an id keeps its leading zeros"


def test_a_built_table_holds_its_roles_its_source_and_nothing_else() -> None:
    assert leave("build", "panel.csv", "out", *ALL) == 0
    schema = read_schema(Path("out/table.json"))
    assert schema.features == ("debt", "industry")
    assert schema.columns[1].levels == ("纺织", "钢铁")
    roles = (schema.period, schema.split, schema.incumbent, schema.amount, schema.size, schema.sector, schema.region)
    assert (*roles, schema.stratum) == ("year", "part", "score", "loan", "staff", "industry", "province", "year")
    assert set(pd.read_parquet("out/data.parquet")["province"]) == {"033"}
    assert schema.label.definition == "90 days past due"
    digest = hashlib.sha256(Path("panel.csv").read_bytes()).hexdigest()
    assert schema.lineage == {"file": "panel.csv", "sha256": digest}
    assert sorted(path.name for path in Path("out").iterdir()) == ["data.parquet", "table.json"]

    assert leave("build", "loans.csv", "out", *KEYS) == 0, "a built table can be built again"
    assert "note" not in pd.read_parquet("out/data.parquet").columns


def test_a_padded_hole_is_not_written_and_comes_back_when_read() -> None:
    assert leave("build", "panel.csv", "out", *ALL) == 0
    path = Path("out/data.parquet")
    assert len(pd.read_parquet(path)) == 7
    assert len(read_table(path, read_schema(path.with_name("table.json")), allow_gaps=True).frame) == 8


def test_check_and_build_take_the_same_options_and_find_the_same_schema(capsys: Captured) -> None:
    said: list[dict[str, Any]] = []
    for words in (["check", "panel.csv"], ["build", "panel.csv", "out"]):
        assert leave(*words, *ALL, "--json") == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[1].pop("path") == "out/data.parquet"
    assert said[0] == said[1]
    assert said[0]["rows"] == 7
    assert said[0]["columns"][1] == {"name": "industry", "kind": "category", "nullable": False}


def test_a_hole_is_refused_until_gaps_are_allowed(capsys: Captured) -> None:
    assert leave("check", "panel.csv", *ALL[:-1]) == 1
    assert "missing periods" in capsys.readouterr().err


def test_a_faulty_table_builds_nothing(folder: Path) -> None:
    Path("loans.csv").write_text("uscc,bank,debt,bad\na,b,n/a,1\n")
    assert leave("build", "loans.csv", "out", *KEYS) == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize("words", [["build", "loans.csv", "taken", *KEYS], ["economy", "taken", "--companies", "30"]])
def test_a_folder_that_cannot_be_made_is_two_lines_or_one_object(words: list[str], capsys: Captured) -> None:
    Path("taken").write_text("a file")
    assert leave(*words) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: taken: found file exists",
        "hint: check the path, its permissions and the free space",
    ]
    assert leave(*words, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["error"], said["where"], said["found"], said["code"]) == (
        "FileExistsError",
        "taken",
        "file exists",
        "file",
    )


def test_the_economy_says_as_json_where_it_is_and_what_made_it(capsys: Captured) -> None:
    assert leave("economy", "made", "--companies", "30", "--months", "2", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == "made/data.parquet"
    assert (said["companies"], said["months"], said["seed"]) == (30, 2, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[industry]", "no mapping"),
        ("industry: category", "no mapping"),
        ("{a: [", "while parsing"),
        ("", "no mapping"),
    ],
)
def test_a_file_of_kinds_that_is_no_mapping_is_refused(text: str, found: str) -> None:
    Path("kinds.json").write_text(text)
    with pytest.raises(TableError, match=rf"kinds.json: found {found}"):
        read_kinds(Path("kinds.json"))


def test_an_absent_file_of_kinds_is_named(capsys: Captured) -> None:
    assert leave("check", "loans.csv", *KEYS, "--kinds", "nowhere.yaml") == 1
    assert capsys.readouterr().err.startswith("error: nowhere.yaml: found no such file or directory\n")
