"""Default rates by period: PDs of one year, and PDs through the cycle, at the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedcredit.credit.long_run import through_the_cycle
from fedcredit.errors import ConfigError, FedCreditError, TableError
from fedcredit.models import bundle as bundles
from fedcredit.models.calibrated import PriorShift, calibrate
from server.cli import model
from server.default_rates import rates_of, read_periods
from tests.server.test_calibrate_cli import made_bundle, rows

YEARS = "period,companies,defaults\n2024,1200,60\n2022,1000,20\n2023,500,10\n"  # 2 %, 2 %, then 5 %: a bad year


@pytest.fixture
def years(tmp_path: Path) -> Path:
    (tmp_path / "years.csv").write_text(YEARS)
    return tmp_path / "years.csv"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Calibration of a model to rows, without the names of rates."""
    rows().to_csv(tmp_path / "held.csv", index=False)
    folder = made_bundle(tmp_path / "model")
    return ["calibrate", str(folder), "--predictions", str(tmp_path / "held.csv"), "--no-register", "--json"]


def call(*words: object) -> Result:
    return CliRunner().invoke(model, [str(word) for word in words])


def refused(*words: object) -> FedCreditError:
    fault = call(*words).exception
    assert isinstance(fault, FedCreditError), fault
    return fault


def test_long_run_rate_is_the_mean_of_the_years_and_the_period_is_the_latest_in_time(years: Path) -> None:
    found = rates_of(long_run=None, period=None, periods=years)
    assert found.long_run == pytest.approx(0.03)  # pooled rows would give 3.3 %
    assert found.period == 0.05
    assert [one.name for one in found.periods] == ["2022", "2023", "2024"]


def test_new_version_is_through_the_cycle_unless_it_is_asked_to_be_of_the_period(
    words: list[str], years: Path, tmp_path: Path
) -> None:
    told = {}
    for name, flags in (("ttc", []), ("pit", ["--point-in-time"])):
        done = call(*words, "--periods", years, "--out", tmp_path / name, *flags)
        assert done.exit_code == 0, done.output
        told[name] = json.loads(done.stdout)
    rate = float(rows()["y"].mean())
    assert bundles.read(tmp_path / "ttc").calibration[-1] == PriorShift(rate, float(np.mean([0.02, 0.02, 0.05])))
    assert bundles.read(tmp_path / "pit").calibration[-1] == PriorShift(rate, 0.05)
    p = rows()["p"].to_numpy()[:50]
    ttc, pit = (calibrate(p, bundles.read(tmp_path / name).calibration) for name in ("ttc", "pit"))
    assert ttc == pytest.approx(through_the_cycle(pit, period_rate=0.05, long_run=0.03))
    assert (told["pit"]["point_in_time"], told["ttc"]["point_in_time"]) == (True, False)
    assert told["pit"]["period_rate"] == 0.05
    assert told["pit"]["long_run_rate"] == pytest.approx(0.03)


def test_both_kinds_stand_beside_each_other_with_the_grades_that_move(
    words: list[str], years: Path, tmp_path: Path
) -> None:
    found = json.loads(call(*words, "--periods", years, "--out", tmp_path / "new").stdout)["beside"]
    assert list(found) == ["point in time", "through the cycle"]
    assert found["through the cycle"]["moved"] == 0  # it is the chosen one
    assert found["point in time"]["mean_pd"] > found["through the cycle"]["mean_pd"]
    assert np.isclose(found["through the cycle"]["rate"], 0.03)
    words.remove("--json")
    text = call(*words, "--periods", years, "--out", tmp_path / "text")
    assert text.stdout.splitlines()[5].startswith("0.0500")
    assert text.stdout.splitlines()[5].endswith("point in time")
    assert "3 periods; a long-run rate asks for 5 or more" in text.stderr


def test_rates_may_be_typed(words: list[str], tmp_path: Path) -> None:
    typed = ("--period-rate", 0.05, "--long-run-rate", 0.03, "--out", tmp_path / "new", "--point-in-time")
    assert json.loads(call(*words, *typed).stdout)["steps"][-1]["to_rate"] == 0.05


@pytest.mark.parametrize(
    "flags",
    [
        ["--point-in-time"],
        ["--point-in-time", "--long-run-rate", "0.02"],
        ["--period-rate", "5"],
        ["--period-rate", "0"],
        ["--period-rate", "0.02", "--periods", "years.csv"],
        ["--long-run-rate", "0.02", "--periods", "years.csv"],
    ],
)
def test_rates_that_do_not_go_together_are_refused_before_anything_is_written(
    words: list[str], years: Path, tmp_path: Path, flags: list[str]
) -> None:
    fault = refused(*words, *(str(years) if one == years.name else one for one in flags), "--out", tmp_path / "new")
    assert isinstance(fault, ConfigError)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"period,companies,defaults\n",
        b"period,companies\n2024,10\n",
        b"period,companies,defaults,name\n2024,10,1,Li\n",
        b"period,companies,defaults\n2024,10,11\n",
        b"period,companies,defaults\n2024,0,0\n",
        b"period,companies,defaults\n2024,10,-1\n",
        b"period,companies,defaults\n2024,1e3,1\n",
        b"period,companies,defaults\n2024,10,1.5\n",
        b"period,companies,defaults\n2024,10,1\n2024,10,1\n",
        b"period,companies,defaults\n2024,10,1\nlast year,10,1\n",
        b"period,companies,defaults\n,10,1\n",
        b"period,companies,defaults\n2024,10,1,7\n",
        b"period,companies,defaults\n" + b"9" * 41 + b",10,1\n",
        b'period,companies,defaults\n"2024,10,1\n',
        b"period,companies,defaults\n2024,\xff\xfe,1\n",
        b"period,companies,defaults\n2024,10\x00,1\n",
        b"period,companies,defaults\n2024,10,0\n",  # a rate of 0 is no rate to calibrate to
        b"x" * 300_000,
        b"period,companies,defaults\n" + b"2024,10,1\n" * 1001,
    ],
)
def test_file_of_another_form_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "years.csv").write_bytes(content)
    with pytest.raises(TableError, match=r"years\.csv"):
        rates_of(long_run=None, period=None, periods=tmp_path / "years.csv")


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="No such file"):
        read_periods(tmp_path / "years.csv")


def test_columns_may_stand_in_any_order_and_come_from_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "years.csv").write_bytes(
        b"\xef\xbb\xbfdefaults,period,companies\r\n1,2024Q2,50\r\n\r\n,,\r\n2,2024Q1,50\r\n"
    )
    assert [(one.name, one.defaults) for one in read_periods(tmp_path / "years.csv")] == [("2024Q1", 2), ("2024Q2", 1)]


def test_pds_move_through_the_cycle_and_back(years: Path) -> None:
    def asked(*more: object) -> dict[str, object]:
        found: dict[str, object] = json.loads(call("grade", *more, "--json").stdout)["grades"][0]
        return found

    there = asked(0.04, "--to", "through-the-cycle", "--periods", years)
    assert there["pd"] == pytest.approx(float(through_the_cycle([0.04], period_rate=0.05, long_run=0.03)[0]))
    assert (there["given"], there["grade"]) == (0.04, "BB+")
    back = asked(there["pd"], "--to", "point-in-time", "--period-rate", 0.05, "--long-run-rate", 0.03)
    assert back["pd"] == pytest.approx(0.04)
    text = call("grade", 0.04, "--to", "through-the-cycle", "--periods", years)
    assert text.stdout.splitlines()[0].startswith("GIVEN %")
    assert "PDs through the cycle: period 0.05, long run 0.03" in text.stderr


def test_grade_refuses_rates_without_a_direction_and_a_direction_without_rates() -> None:
    assert isinstance(refused("grade", 0.04, "--period-rate", 0.05), ConfigError)
    assert isinstance(refused("grade", 0.04, "--to", "point-in-time", "--period-rate", 0.05), ConfigError)
    words = ("--to", "point-in-time", "--period-rate", 0.05, "--long-run-rate", 0.03)
    assert isinstance(refused("grade", 2, *words), ConfigError)
