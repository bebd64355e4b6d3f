"""No log line, error or extract carries an identifier, and what is none stays readable."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcredit import __main__ as program
from fedcredit.data.governance.extract import mask_columns
from fedcredit.data.governance.masking import LogMask, mask_text
from fedcredit.data.governance.names import Names, read_names
from fedcredit.data.governance.scanner import kinds_in
from fedcredit.errors import ConfigError, TableError
from tests.data.planted import DRESSES, KINDS, NAMES, planted

CODE = "9144030071526726XG"


def test_a_thousand_planted_lines_lose_their_identifiers() -> None:
    left = [
        what
        for what, _, dressed in planted(1_500, seed=11)
        if dressed in mask_text(f"bank-0 refused: found {dressed} in row 7", names=NAMES) and "backwards" not in what
    ]
    assert left == []


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        (f"row 7: found {CODE}, expected a number", "row 7: found ‹uscc›, expected a number"),
        ("row 7: found 9144030071526726X6", "row 7: found ‹uscc›"),  # a slip in it, and it names the company
        (f"first={CODE[:8]} second={CODE[8:]}", "first=‹uscc› second=‹uscc›"),
        ("id 11010519491231002X.", "id ‹id-card›."),
        ("call +86 138-0013-8000 now", "call ‹mobile› now"),
        ("card 4111 1111 1111 1111", "card ‹bank-card›"),
        ("公司控股股东被列为失信被执行人，存在重大风险", "‹text›"),
    ],
)
def test_an_identifier_becomes_its_kind(line: str, masked: str) -> None:
    assert mask_text(line) == masked


@pytest.mark.parametrize(
    "line",
    [
        "round 12, 0.35 s, quarantined {'bank-1': 'not-finite'}",
        "2026-11-22 23:59:59,123 WARNING clients.app: train refused",
        "loss 0.6931471805599453 after 10000 of 150000 rows",
        "left out of this run: 杭州银行, 宁波银行, 中国工商银行股份有限公司",
        "/home/ana/runs/quickstart/20261122T215500Z/report.json",
        "loans.csv, column 'sales', row 3: found '1,250', expected a number",
    ],
)
def test_an_ordinary_line_stays_as_it_is(line: str) -> None:
    assert mask_text(line) == line


def test_names_are_found_in_any_width_and_with_other_brackets() -> None:
    names = Names.of(["杭州甲乙（集团）有限公司", "Acme Trading Ltd."])
    assert mask_text("found 杭州甲乙(集团)有限公司", names=names) == "found ‹name›"
    assert mask_text("found ＡＣＭＥ trading LTD, twice", names=names) == "found ‹name›, twice"


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_a_registry_is_read_from_text_csv_and_parquet(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"names{suffix}"
    frame = pd.DataFrame(
        {"id": [1, 2], "name": ["甲乙科技有限公司", "丙丁贸易有限公司"], "representative": ["赵一", None]}
    )
    if suffix == ".txt":
        path.write_text("\n".join(frame["name"]), encoding="gb18030")
    elif suffix == ".csv":
        frame.to_csv(path, index=False, encoding="gb18030")
    else:
        frame.to_parquet(path)
    assert read_names(path).spans("客户丙丁贸易有限公司") == [(2, 10)]


def test_a_registry_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    for name in ("gone.txt", "gone.csv", "empty.txt"):
        with pytest.raises(TableError):
            read_names(tmp_path / name)


def test_many_names_cost_a_line_little() -> None:
    letters = np.random.default_rng(0).integers(0x4E00, 0x9FA5, size=(50_000, 8))
    names = Names.of("".join(map(chr, row)) for row in letters.tolist())
    started = time.thread_time()  # by the clock, one pause of the machine would cost all lines too much
    for _ in range(100):
        mask_text("round 12: bank-0 trained 1200 rows in 0.35 s, loss 0.431", names=names)
    assert (time.thread_time() - started) / 100 < 0.005


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What a handler writes that was added after the mask was installed."""
    before, out = logging.getLogRecordFactory(), io.StringIO()
    handler, log = logging.StreamHandler(out), logging.getLogger("some.library")
    mask = LogMask()
    mask.install()
    mask.watch(NAMES)
    log.addHandler(handler)
    log.propagate = False
    yield out
    log.removeHandler(handler)
    log.propagate = True
    logging.setLogRecordFactory(before)


def test_no_record_of_any_logger_carries_an_identifier(said: io.StringIO) -> None:
    log = logging.getLogger("some.library")
    plain = []
    for number, (_, one, _) in enumerate(planted(len(KINDS) * len(DRESSES), seed=5)):
        plain.append(one)
        match number % 4:
            case 0:
                log.warning("found %s", one)
            case 1:
                log.error(f"found {one}")
            case 2:
                log.warning("found %(it)s", {"it": one})
            case 3:
                try:
                    int(f"cell {one}")
                except ValueError:
                    log.exception("failed on %r", [one])
    written = said.getvalue()
    assert "Traceback" in written
    assert [one for one in plain if one in written] == []


def test_a_record_that_cannot_be_written_says_so_and_nothing_more(said: io.StringIO) -> None:
    logging.getLogger("some.library").warning("%d", CODE)
    assert "cannot be written" in said.getvalue()
    assert CODE not in said.getvalue()


def test_the_programs_errors_carry_no_identifier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loans.csv").write_text(f"id,bad,debt\na,0,1\nb,1,{CODE}\n")
    words = ["data", "check", str(tmp_path / "loans.csv"), "--label", "bad", "--company", "id"]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as left:
            program.main([*words, *more])
        assert left.value.code == 1
    heard = capsys.readouterr()
    assert "row 3: found '‹uscc›', expected a number" in heard.err
    assert json.loads(heard.out)["found"] == "'‹uscc›'"


def test_a_fault_of_ours_prints_its_traceback_without_identifiers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError(f"cell {CODE}")

    monkeypatch.setattr("fedcredit.data.datasets.catalogue", fail)
    with pytest.raises(SystemExit) as left:
        program.main(["data", "fetch"])
    error = capsys.readouterr().err
    assert left.value.code == 1
    assert "RuntimeError: cell ‹uscc›" in error


FRAME = pd.DataFrame(
    {
        "company": ["9144030071526726XG", "91330100799655058B", "9144030071526726XG"],
        "name": ["甲乙科技有限公司", None, "甲乙科技有限公司"],
        "sales": [1234.5, -0.037, 0.0],
        "loans": [52_300, 980, 0],
        "region": ["region-01", "region-02", "region-01"],
        "informant": ["x", "y", "z"],
    }
)
LEVELS = {"company": 4, "sales": 3, "loans": 4, "region": 1, "informant": 5}


def test_an_extract_is_blunted_by_level() -> None:
    shown = mask_columns(FRAME, LEVELS, key=b"k" * 16)
    assert list(shown) == ["company", "name", "sales", "loans", "region"]
    assert shown["region"].equals(FRAME["region"])
    assert shown["sales"].tolist() == pytest.approx([1000, -0.04, 0])
    assert shown["loans"].tolist() == [10_000, 1_000, 0]
    assert shown["name"].tolist()[0] == "甲乙*"
    assert shown["name"].isna().tolist() == [False, True, False]
    assert shown["company"].nunique() == 2
    assert not any(kinds_in(str(cell)) & {"uscc", "name"} for cell in shown["company"])


def test_extracts_of_two_keys_cannot_be_joined_and_a_short_key_is_refused() -> None:
    one, two = (set(mask_columns(FRAME, LEVELS, key=key * 16)["company"]) for key in (b"a", b"b"))
    assert not one & two
    with pytest.raises(ConfigError):
        mask_columns(FRAME, LEVELS, key=b"short")
