"""The page of a bank's own raw tables is tried: its map, its commands, and the refusal that it prints."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml

from fedcredit.__main__ import main
from fedcredit.data.schema import read_schema
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write
from tests.test_readme import ROOT, blocks, try_commands

PAGE = ROOT / "docs" / "your-own-sources.md"
# Beside `power`, which the page maps; a bank's own word for each category that it has.
MORE = """\
  registration:
    file: 工商.csv
    encoding: gb18030
    columns:
      {company: 信用代码, valid_at: 日期, known_at: 获知, kind: 事项, name: 名称, representative: 法人,
       region: 地区, industry: 行业, size_class: 规模, registered_capital_cny: 注册资本万元}
    units: {registered_capital_cny: 10000}
    values: {kind: {设立: founded, 变更: changed, 质押: pledged, 注销: deregistered}}
"""
WORDS = {"founded": "设立", "changed": "变更", "pledged": "质押", "deregistered": "注销"}
NEWS = ("2025-11-30", "2025-12-10 08:00:00")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A bank's folder in its own words: GB 18030, Chinese columns, 10,000 kWh and 10,000 yuan; `news` is beside it."""
    raw = write(WorldSettings(companies=150, months=36, regions=2, banks=2, seed=3), tmp_path / "eco") / "raw"
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "sources.map.yaml").write_text(page_s_map() + MORE)
    power = pd.read_parquet(raw / "power.parquet").drop_duplicates(["company", "valid_at"], ignore_index=True)
    is_new = power["valid_at"].astype("str") == NEWS[0]
    readings(power[~is_new]).to_csv(folder / "用电量.csv", index=False, encoding="gb18030")
    firms = pd.read_parquet(raw / "registration.parquet").rename(columns=columns("registration"))
    firms = firms.assign(注册资本万元=firms["注册资本万元"] / 1e4, 事项=firms["事项"].map(WORDS))
    firms.to_csv(folder / "工商.csv", index=False, encoding="gb18030")
    pd.read_parquet(raw / "bank.parquet").to_csv(folder / "bank.csv", index=False)
    (tmp_path / "news").mkdir()
    (tmp_path / "news" / "sources.map.yaml").write_text(page_s_map())
    readings(power[is_new]).to_csv(tmp_path / "news" / "用电量.csv", index=False, encoding="gb18030")
    return folder


def readings(power: pd.DataFrame) -> pd.DataFrame:
    """Without known_at: the page's map says that readings come 8 days later."""
    own = power.assign(kwh=power["kwh"] / 1e4).drop(columns="known_at")
    return own.rename(columns=columns("power")).assign(备注="估读")


def columns(table: str) -> dict[str, str]:
    return dict(yaml.safe_load(page_s_map() + MORE)["tables"][table]["columns"])


def page_s_map() -> str:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(text)


def test_the_commands_of_the_page_run_on_a_bank_s_own_folder(
    ours: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ours.parent)
    for block in blocks(PAGE, "console"):
        try_commands(block, capsys, more=[])
    schema, table = read_schema(Path("hub/table.json")), pd.read_parquet("hub/data.parquet")
    assert set(table["institution"]) == {"bank-01", "bank-02"}
    assert len(schema.features) == 28
    assert {"source:power", "source:registration", "source:bank"} <= set(schema.lineage)
    with duckdb.connect("hub/events.duckdb", read_only=True) as store:
        for name in ("power", "registration"):
            theirs = pd.read_parquet(f"eco/raw/{name}.parquet").drop_duplicates(["company", "valid_at"])
            assert len(store.table(f"raw.{name}").project("firm, valid_at").distinct()) == len(theirs)
        usual = "SELECT median(kwh), min(known_at - valid_at), max(known_at - valid_at) FROM raw.power"
        ((median, soonest, latest),) = store.sql(usual).fetchall()
    assert median == pytest.approx(pd.read_parquet("eco/raw/power.parquet")["kwh"].median(), rel=0.05)
    assert soonest.days == latest.days == 8


def test_a_file_in_another_unit_is_refused_in_the_words_of_the_page(
    ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = re.findall(r"^    ((?:error|hint): .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(said) == 2
    path = ours / "sources.map.yaml"
    path.write_text(path.read_text().replace("    units: { kwh: 10000 }\n", ""))
    with pytest.raises(SystemExit, match="1"):
        main(["data", "check", str(ours)])
    assert capsys.readouterr().err.splitlines() == said


@pytest.mark.parametrize("told", [0.01, 1, 100_000_000])
def test_the_factor_that_is_offered_is_the_one_to_write_down(
    ours: Path, capsys: pytest.CaptureFixture[str], told: float
) -> None:
    path = ours / "sources.map.yaml"
    path.write_text(path.read_text().replace("units: { kwh: 10000 }", f"units: {{kwh: {told}}}"))
    with pytest.raises(SystemExit, match="1"):
        main(["data", "check", str(ours)])
    assert "tables: power: units: {kwh: 10000}" in capsys.readouterr().err
