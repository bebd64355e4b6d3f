"""A file of grades that persons changed: what it counts to, what it tells, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedcredit.errors import TableError
from server.validation.content import Section
from server.validation.overrides import overrides_section
from server.validation.overrides_file import read_overrides

HEADER = "model_grade,final_grade,outcome,reason\n"
SECRET = "91330106MA2SECRET"  # noqa: S105 - a company's number


class Named:
    """Stands for the source, of which the section takes the name alone."""

    subject = "models:/fedcredit-quick/1"


def rows(model: str, final: str, *, good: int, bad: int = 0, reason: str = "", unknown: int = 0) -> str:
    line = f"{model},{final},{{}},{reason}\n"
    return line.format(0) * good + line.format(1) * bad + line.format("") * unknown


def section(tmp_path: Path, text: str) -> Section:
    (tmp_path / "o.csv").write_text(HEADER + text)
    source: Any = Named()
    return overrides_section(source, read_overrides(tmp_path / "o.csv"))


USUAL = (
    rows("BB", "BB", good=180, bad=6)
    + rows("BB", "BB+", good=36, bad=4, reason="group-support")
    + rows("BB", "B+", good=18, bad=2, reason="litigation")
)


def test_rate_outcomes_and_reasons_are_told_by_direction(tmp_path: Path) -> None:
    found = section(tmp_path, USUAL)
    assert found.says[0].startswith("Persons changed 60 of 246 grades: 24.4 %")
    better, worse, unchanged = found.grids[0].rows
    assert better[:3] == ("to a better grade", "40", "4")
    assert float(better[4].split()[0]) == pytest.approx(4 / 40 / 0.03, abs=0.001)  # BB stands for 3 %
    assert float(better[5].split()[0]) == pytest.approx(4 / 40 / 0.02, abs=0.001)  # BB+ for 2 %
    assert worse[:3] == ("to a worse grade", "20", "2")
    assert unchanged[:3] == ("left as the model gave it", "186", "6")
    assert "no closer to what came" in found.says[1]
    assert "closer to what came" in found.says[2]
    assert "no closer" not in found.says[2]
    assert [row[0] for row in found.grids[2].rows] == ["group-support", "litigation"]
    assert len(found.drawings) == 1


def test_without_a_file_there_is_one_sentence_that_names_the_columns() -> None:
    source: Any = Named()
    found = overrides_section(source, None)
    assert len(found.says) == 1
    assert "model_grade, final_grade, outcome, reason" in found.says[0]
    assert (found.grids, found.drawings) == ((), {})


def test_direction_of_a_few_companies_hides_all_directions(tmp_path: Path) -> None:
    text = rows("BB", "BB", good=100, bad=3) + rows("BB", "BB+", good=40, bad=1, reason="data-error")
    found = section(tmp_path, text + rows("BB", "BB-", good=8, bad=1, reason="litigation"))
    assert [one.caption for one in found.grids] == ["The file", "Changed grades by reason"]
    assert found.drawings == {}
    assert found.says[0].startswith("Persons changed 50 of 153")
    assert [row[0] for row in found.grids[1].rows] == ["others, together"]  # 9 and 41: one would tell of the other


def test_a_few_changes_in_all_are_not_told(tmp_path: Path) -> None:
    found = section(tmp_path, rows("BB", "BB", good=100) + rows("BB", "BB+", good=9, reason="data-error"))
    assert len(found.says) == 1
    assert "fewer than 10 were changed" in found.says[0]
    assert [one.caption for one in found.grids] == ["The file"]


def test_a_few_that_were_left_are_not_told_by_the_reasons_of_the_others(tmp_path: Path) -> None:
    found = section(tmp_path, rows("BB", "BB", good=5) + rows("BB", "BB+", good=90, bad=5, reason="data-error"))
    assert [one.caption for one in found.grids] == ["The file"]
    assert len(found.says) == 1


def test_grade_without_an_outcome_counts_in_the_rate_and_in_no_default_rate(tmp_path: Path) -> None:
    text = USUAL + rows("BB", "BB", good=0, unknown=30) + rows("BB", "BB+", good=0, reason="data-error", unknown=20)
    found = section(tmp_path, text)
    assert found.says[0].startswith("Persons changed 80 of 296 grades")
    assert found.grids[0].rows[0][1] == "40"
    assert ("rows without one yet", "50") in found.grids[1].rows


def test_file_without_a_change_says_so(tmp_path: Path) -> None:
    found = section(tmp_path, rows("BB", "BB", good=30, bad=1))
    assert found.says[0].startswith("Persons changed 0 of 31 grades")


@pytest.mark.parametrize(
    "line",
    [
        "BB,BB,0",
        "BB,BB,0,,x",
        "bb,BB,0,",
        "D,BB,0,data-error",
        "BB,D,1,data-error",
        f"{SECRET},BB,0,",
        f"BB,BB,0,{SECRET}",
        "BB,BB,2,",
        "BB,BB,yes,",
        "BB,BB+,0,",
        "BB,BB+,0,he asked for it",
        "BB,BB,0,data-error",
        "BB,BBB,0,data-error",  # three notches
        '"BB,BB,0,',
        "BB,BB,0,\x00",
        "=cmd|' /C calc'!A0,BB,0,",
        "BB,BB,0," + "x" * 5000,
    ],
)
def test_row_that_does_not_hold_is_refused_by_line_and_never_repeated(tmp_path: Path, line: str) -> None:
    (tmp_path / "o.csv").write_text(HEADER + "BB,BB,0,\n" + line + "\n")
    with pytest.raises(TableError) as caught:
        read_overrides(tmp_path / "o.csv")
    assert "o.csv, line" in caught.value.where
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "content",
    [
        b"",
        HEADER.encode(),
        b"model_grade,final_grade,outcome\nBB,BB,0\n",
        b"company,model_grade,final_grade,outcome,reason\nA,BB,BB,0,\n",
        b"model_grade,model_grade,final_grade,outcome\nBB,BB,BB,0\n",
        b"PAR1" + b"\x00" * 100,
        b"PK\x03\x04" + b"\x00" * 100,
        b"\xff\xfem\x00o\x00d\x00",
        HEADER.encode() + b"BB,BB,0,\n" * 200_001,
    ],
)
def test_file_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "o.csv").write_bytes(content)
    with pytest.raises(TableError, match=r"o\.csv"):
        read_overrides(tmp_path / "o.csv")


def test_oversize_file_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "o.csv").open("wb") as file:
        file.truncate(1 << 33)  # 8 GB that take no room
    with pytest.raises(TableError, match="oversize"):
        read_overrides(tmp_path / "o.csv")
