"""An economy on disk repeats to the byte, replaces only an economy, and leaves nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fedcredit.data.sources import sources
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.truth import bayes_auc, known_truth
from fedcredit.data.worlds.world import read_world
from fedcredit.data.worlds.write import write
from fedcredit.errors import TableError
from tests.data.worlds.conftest import SMALL

TINY = WorldSettings(companies=60, months=6, regions=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_in_another_process(small: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from fedcredit.data.worlds.settings import WorldSettings; "
        "from fedcredit.data.worlds.write import write; "
        "write(WorldSettings(companies=600, months=24, regions=4, banks=3), Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "again")], check=True)
    assert contents(tmp_path / "again") == contents(small)


def test_the_same_seed_gives_the_same_bytes_again_in_one_process(small: Path, tmp_path: Path) -> None:
    assert contents(write(SMALL, tmp_path / "again")) == contents(small)
    # Two people of one name would make pages that depend on what the compressor did before.
    names = pq.read_table(small / "raw" / "registration.parquet", columns=["company", "representative"]).to_pandas()
    assert names.groupby("representative", observed=True)["company"].nunique().max() > 1


def test_all_files_are_there_and_the_world_that_made_them(small: Path) -> None:
    names = {f"raw/{kind.table}.parquet" for kind in sources()}
    names |= {f"truth/{name}.parquet" for name in ("hazard", "shocks", "exposures", "graph", "passages")}
    names |= {"reports.parquet", "market/demand.parquet", "market/offers.parquet", "world.yaml"}
    assert set(contents(small)) == names
    assert read_world(small / "world.yaml").leaves == read_world("default").leaves


def test_an_economy_is_replaced_and_a_folder_of_something_else_is_not(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write(TINY, tmp_path / "mine", on_region=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]
    before = contents(tmp_path / "mine")
    write(WorldSettings(companies=60, months=6, regions=2, seed=2), tmp_path / "mine")
    assert contents(tmp_path / "mine") != before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work", encoding="utf-8")
    with pytest.raises(TableError, match="thesis"):
        write(TINY, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter").exists()


def test_a_full_disk_leaves_the_old_economy_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    write(TINY, tmp_path / "mine")
    before = contents(tmp_path)
    monkeypatch.setattr("fedcredit.data.worlds.write.write_truth", full)
    with pytest.raises(OSError, match="No space"):
        write(TINY, tmp_path / "mine")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "settings",
    [
        WorldSettings(companies=1, months=1, regions=1, banks=1),
        WorldSettings(companies=3, months=2),
        WorldSettings(companies=40, months=7, world="harsh", last_month="2020-02"),
    ],
)
def test_small_economies_have_all_tables_too(tmp_path: Path, settings: WorldSettings) -> None:
    folder = write(settings, tmp_path / "economy")
    for kind in sources():
        assert pq.read_schema(folder / "raw" / f"{kind.table}.parquet").names == [f.name for f in kind.fields]
    assert pd.read_parquet(folder / "raw" / "registration.parquet")["company"].nunique() == settings.companies


def test_the_truth_is_scored_against_what_happened(small: Path) -> None:
    assert 0.65 < bayes_auc(small, "2024-12") < 1
    hazard, defaults = known_truth(small, "2024-12", horizon=3)
    assert len(hazard) == len(defaults)
    assert 0 < defaults.mean() < 0.08
    with pytest.raises(TableError, match="2019-12"):
        bayes_auc(small, "2019-12")
    with pytest.raises(TableError, match="no two outcomes"):
        bayes_auc(small, "2025-12")


def test_the_null_world_s_hazard_is_no_better_than_a_coin(tmp_path: Path) -> None:
    folder = write(WorldSettings(companies=400, months=14, regions=2, world="null"), tmp_path / "null")
    assert bayes_auc(folder, "2024-12") == 0.5


def test_reports_say_what_the_truth_says_of_them(small: Path) -> None:
    reports = pd.read_parquet(small / "reports.parquet").astype({"company": str})
    passages = pd.read_parquet(small / "truth" / "passages.parquet").astype({"company": str})
    assert 40 < len(reports) < 300
    assert not reports.duplicated(["company", "year"]).any()
    assert set(passages["stance"]) == {"present", "denied", "conditional", "other"}
    assert passages["risk_class"].nunique() == 12
    texts = reports.set_index(["company", "year"])["text"]
    for row in passages.head(200).itertuples():
        sentence = texts[row.company, row.year][row.begin : row.end]
        assert sentence.endswith("。")
        assert "{" not in sentence
    assert (reports["known_at"].dt.year == reports["year"] + 1).all()
    # A counter of keywords finds the word of a risk as often where it is denied as where it is there.
    suits = passages[passages["risk_class"] == "litigation"].groupby("stance").size()
    assert suits["denied"] > 0.5 * suits["present"]


def test_risk_is_written_of_more_often_the_higher_the_hazard(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write(WorldSettings(companies=3000, months=12, regions=3), tmp_path_factory.mktemp("r") / "e")
    passages = pd.read_parquet(folder / "truth" / "passages.parquet").astype({"company": str})
    hazards = pd.read_parquet(folder / "truth" / "hazard.parquet").astype({"company": str})
    reports = pd.read_parquet(folder / "reports.parquet").astype({"company": str})
    last = hazards[pd.to_datetime(hazards["month"]) == "2025-12-31"].set_index("company")["hazard"]
    present = passages[passages["stance"] == "present"].groupby("company").size()
    count = reports.set_index("company").index.to_series().map(present).fillna(0)
    both = count.index.intersection(last.index)
    assert np.corrcoef(count[both], np.log(last[both]))[0, 1] > 0.3


def test_the_market_has_two_sides(small: Path) -> None:
    demand = pd.read_parquet(small / "market" / "demand.parquet")
    offers = pd.read_parquet(small / "market" / "offers.parquet")
    assert (demand["amount_cny"] >= 10_000).all()
    assert offers["institution"].nunique() == SMALL.banks + 12
    assert (offers["least_cny"] < offers["most_cny"]).all()
    assert offers["rate"].between(0.03, 0.12).all()


@pytest.mark.slow
@pytest.mark.timeout(900)  # four minutes of the processor are more by the clock where others use it too
def test_120_000_companies_times_36_months_fit_in_four_minutes_and_8_gib(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from fedcredit.data.worlds.settings import WorldSettings; "
        "from fedcredit.data.worlds.write import write; write(WorldSettings(companies=120_000), Path(sys.argv[1])); "
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "large")]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    cpu_seconds, peak_kib = (float(word) for word in done.stdout.split())
    assert cpu_seconds < 240
    assert peak_kib < 8 * 2**20
    assert 0.80 < bayes_auc(tmp_path / "large", "2024-12") < 0.85
