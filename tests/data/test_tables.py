"""A table's fault names the file, the column, the row that a spreadsheet shows, what was found and what is right."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.features import make_windows
from fedcredit.data.schema import Column, Label, Schema, read_schema
from fedcredit.data.tables import check, infer_schema, read_table, write_table
from fedcredit.errors import TableError

LOANS = "id,debt,bad\nb,1.5,0\na,2,1\n"
PANEL = "id,month,bank,debt,bad\na,2024-02,x,2,1\na,2024-01,x,1,0\nb,2024-02,y,3,0\n"
LOAN_SCHEMA = Schema((Column("debt"),), Label("bad"), company="id")
PANEL_SCHEMA = Schema((Column("debt", "raw"),), Label("bad"), company="id", period="month", institution="bank")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, *, encoding: str = "utf-8") -> Path:
        path = tmp_path / "loans.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def fault_of(path: Path, schema: Schema) -> TableError:
    with pytest.raises(TableError) as caught:
        read_table(path, schema)
    return caught.value


def test_rows_without_a_period_keep_their_order(write: Write) -> None:
    frame = read_table(write(LOANS), LOAN_SCHEMA).frame

    assert frame["id"].tolist() == ["b", "a"]
    assert frame["debt"].tolist() == [1.5, 2.0]


def test_unsorted_periods_are_sorted_within_each_company(write: Write) -> None:
    frame = read_table(write(PANEL), PANEL_SCHEMA).frame

    assert frame[["id", "month"]].to_numpy().tolist() == [["a", "2024-01"], ["a", "2024-02"], ["b", "2024-02"]]


def test_a_company_id_keeps_its_leading_zeros(write: Write) -> None:
    frame = read_table(write("id,debt,bad\n007,1,0\n"), LOAN_SCHEMA).frame

    assert frame["id"].tolist() == ["007"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_text_is_read_in_each_encoding_that_spreadsheets_save(write: Write, encoding: str) -> None:
    path = write("企业,负债,违约\n温州某厂,1,0\n", encoding=encoding)
    schema = infer_schema(path, label="违约", company="企业")

    table = read_table(path, schema)

    assert schema.features == ("负债",)
    assert table.frame["企业"].tolist() == ["温州某厂"]


def test_gb18030_is_told_from_utf8_by_the_last_row(write: Write) -> None:
    many = "".join(f"{row},1,0\n" for row in range(1000))

    frame = read_table(write(f"id,debt,bad\n{many}最后,1,0\n", encoding="gb18030"), LOAN_SCHEMA).frame

    assert frame["id"].iloc[-1] == "最后"


def test_parquet_gives_the_same_table_as_csv(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "loans.parquet"
    pd.read_csv(write(LOANS)).to_parquet(path)

    pd.testing.assert_frame_equal(
        read_table(path, LOAN_SCHEMA).frame, read_table(write(LOANS), LOAN_SCHEMA).frame, check_dtype=False
    )


def test_an_empty_line_is_left_out_and_still_counted(write: Write) -> None:
    found = fault_of(write("id,debt,bad\na,1,0\n\nb,x,0\n\n"), LOAN_SCHEMA)

    assert found.where == "loans.csv, column 'debt', row 4"


def test_a_missing_column_is_named_with_its_nearest_neighbour(write: Write) -> None:
    found = fault_of(write("id,debts,bad\na,1,0\n"), LOAN_SCHEMA)

    assert found.where == "loans.csv, column 'debt'"
    assert found.hint == "did you mean 'debts'?"


@pytest.mark.parametrize(
    ("text", "where", "found", "expected"),
    [
        ("id,debt,bad\na,1,0\nb,n/a,0\n", "column 'debt', row 3", "'n/a'", "a number"),
        ("id,debt,bad\na,1,0\nb,,0\n", "column 'debt', row 3", "an empty cell", "a number in every row"),
        ("id,debt,bad\na,1,0\nb,inf,0\n", "column 'debt', row 3", "inf", "a finite number"),
        ("id,debt,bad\na,1,0\nb,1,2\n", "column 'bad', row 3", "2", "0 or 1"),
        ("id,debt,bad\na,1,0\nb,1,\n", "column 'bad', row 3", "an empty cell", "0 or 1"),
        ("id,debt,bad\na,1,0\nb,1,yes\n", "column 'bad', row 3", "'yes'", "a number"),
        ("id,debt,bad\na,1,0\n,1,0\n", "column 'id', row 3", "an empty cell", "a company id"),
    ],
)
def test_a_wrong_cell_is_named_by_row(write: Write, text: str, where: str, found: str, expected: str) -> None:
    fault = fault_of(write(text), LOAN_SCHEMA)

    assert (fault.where, fault.found, fault.expected) == (f"loans.csv, {where}", found, expected)


@pytest.mark.parametrize(("bank", "found"), [("", "an empty cell"), ("  ", "'  '")])
def test_an_empty_institution_name_is_refused(write: Write, bank: str, found: str) -> None:
    fault = fault_of(write(PANEL + f"c,2024-01,{bank},1,0\n"), PANEL_SCHEMA)

    assert (fault.where, fault.found) == ("loans.csv, column 'bank', row 5", found)


def test_a_split_outside_the_three_is_refused(write: Write) -> None:
    schema = Schema((Column("debt"),), Label("bad"), company="id", split="part")

    fault = fault_of(write("id,debt,bad,part\na,1,0,train\nb,1,0,dev\n"), schema)

    assert (fault.where, fault.expected) == ("loans.csv, column 'part', row 3", "one of train, validation, test")


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [("flag", "2", "0 or 1"), ("month", "13", "a month, 1 to 12"), ("month", "1.5", "a month, 1 to 12")],
)
def test_a_flag_or_month_out_of_range_is_refused(write: Write, kind: str, cell: str, expected: str) -> None:
    schema = Schema((Column("debt", kind),), Label("bad"), company="id")  # type: ignore[arg-type]

    assert fault_of(write(f"id,debt,bad\na,{cell},0\n"), schema).expected == expected


def test_a_repeated_company_and_period_names_both_rows_and_no_company(write: Write) -> None:
    fault = fault_of(write(PANEL.replace("b,2024-02,y", "a,2024/2,x")), PANEL_SCHEMA)

    assert fault.where == "loans.csv, column 'month', row 4"
    assert fault.found == "the company and period of row 2 again"


def test_one_company_at_two_banks_is_no_repetition(write: Write) -> None:
    assert len(read_table(write(PANEL + "a,2024-01,y,5,0\n"), PANEL_SCHEMA).frame) == 4


def test_missing_months_are_counted_and_the_first_place_is_named(write: Write) -> None:
    text = PANEL + "a,2024-04,x,4,0\nb,2024-05,y,4,0\n"

    fault = fault_of(write(text), PANEL_SCHEMA)

    assert fault.where == "loans.csv, column 'month', row 5"
    assert fault.found == "3 missing periods in 2 panels, the first before this row"
    assert fault.expected == "one row every month"
    assert fault.hint == "allow_gaps: true pads them"


def test_allowed_gaps_become_rows_without_label_and_padding_in_the_window(write: Write) -> None:
    path = write(PANEL + "a,2024-04,x,4,0\n")

    table = read_table(path, PANEL_SCHEMA, allow_gaps=True)
    window = make_windows(table, length=4).x[0]

    assert table.frame["month"].tolist() == ["2024-01", "2024-02", "2024-03", "2024-04", "2024-02"]
    assert table.frame["bad"].isna().tolist() == [False, False, True, False, False]
    assert window.tolist() == [[1, 1], [2, 1], [0, 0], [4, 1]]


def test_quarterly_rows_have_no_gaps_between_them(write: Write) -> None:
    quarters = "".join(f"a,2024-{month:02d},x,1,0\n" for month in (3, 6, 9, 12))

    assert len(read_table(write("id,month,bank,debt,bad\n" + quarters), PANEL_SCHEMA).frame) == 4


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "No columns to parse from file"),
        (b"id,debt,bad\n", "no rows"),
        (b"id,id,bad\na,1,0\n", "two columns named 'id'"),
        (b"id;debt;bad\na;1;0\n", "columns separated by ';' and not by commas"),
        (b"PK\x03\x04rest", "an Excel workbook"),
        (b"id,debt,bad\na,1,0\nb,1,0,9\n", "Expected 3 fields in line 3, saw 4"),
        (b"id,debt,bad\na,1,0,9\n", "a row with more cells than the header"),
        (b"id,debt,bad\na,\xe9\xff,0\n", "bytes that are not gb18030, at byte 14"),
    ],
)
def test_a_file_of_another_form_says_what_it_is(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "loans.csv"
    path.write_bytes(content)

    assert found in fault_of(path, LOAN_SCHEMA).found


def test_a_damaged_parquet_file_and_an_absent_file_are_table_faults(tmp_path: Path) -> None:
    path = tmp_path / "loans.parquet"
    path.write_bytes(b"PAR1 and then nothing")

    assert "loans.parquet" in fault_of(path, LOAN_SCHEMA).where
    assert fault_of(tmp_path / "none.csv", LOAN_SCHEMA).found == "no such file or directory"


def test_a_column_stored_as_categories_is_read_as_what_it_holds() -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "debt": ["1.5", "2"], "bad": [0, 1]}).astype({"debt": "category"})

    assert check(frame, LOAN_SCHEMA, where="loans").frame["debt"].tolist() == [1.5, 2.0]


def test_a_fault_that_a_worker_hands_on_keeps_its_place(write: Write) -> None:
    fault = fault_of(write("id,debt,bad\na,x,0\n"), LOAN_SCHEMA)

    assert str(pickle.loads(pickle.dumps(fault))) == str(fault)  # noqa: S301


def test_inference_takes_number_columns_and_leaves_text_and_keys(write: Write) -> None:
    path = write("id,name,debt,is_new,score,bad\na,Acme,1.5,0,600,0\nb,Zeta,,1,700,1\n")

    schema = infer_schema(path, label="bad", company="id", incumbent="score")

    assert schema.columns == (Column("debt", "amount", nullable=True), Column("is_new", "flag"))


def test_inference_refuses_a_number_column_with_text_in_it(write: Write) -> None:
    with pytest.raises(TableError, match=r"column 'debt', row 3: found '-', expected a number"):
        infer_schema(write("id,debt,bad\na,1,0\nb,-,0\n"), label="bad", company="id")


def test_a_text_column_needs_its_levels(write: Write) -> None:
    path = write("id,city,bad\na,Ningbo,0\nb,Hangzhou,1\n")

    with pytest.raises(TableError, match=r"hint: declare it: kind: category"):
        infer_schema(path, label="bad", company="id", features=["city"])
    schema = infer_schema(
        path, label="bad", company="id", features=["city"], kinds={"city": {"kind": "category", "levels": ["Ningbo"]}}
    )
    assert make_windows(read_table(path, schema), length=1).x[:, 0].tolist() == [[1.0], [0.0]]


def test_kinds_override_what_the_cells_show(write: Write) -> None:
    schema = infer_schema(write(LOANS), label="bad", company="id", kinds={"debt": {"kind": "ratio", "lo": 0, "hi": 3}})

    assert schema.columns == (Column("debt", "ratio", lo=0, hi=3),)


REGIONS = "id,debt,code,bad\na,1,011,0\nb,2,012,1\n"


def test_a_region_is_a_group_with_its_leading_zeros_and_no_input(write: Write) -> None:
    path = write(REGIONS)

    schema = infer_schema(path, label="bad", company="id", region="code")

    assert (schema.features, schema.region) == (("debt",), "code")
    assert make_windows(read_table(path, schema), length=1).about["region"].tolist() == ["011", "012"]


@pytest.mark.parametrize("role", ["sector", "region"])
def test_a_group_that_is_declared_or_named_as_a_feature_stays_an_input(write: Write, role: str) -> None:
    path, kinds = write(REGIONS), {"code": {"kind": "category", "levels": ["011", "012"]}}

    before = infer_schema(path, label="bad", company="id", kinds=kinds)
    after = infer_schema(path, label="bad", company="id", kinds=kinds, **{role: "code"})
    named = infer_schema(path, label="bad", company="id", features=["debt", "code"], kinds=kinds, **{role: "code"})

    assert before.features == after.features == named.features == ("debt", "code")
    assert before.sha256 == after.sha256 == named.sha256
    windows = make_windows(read_table(path, after), length=1)
    assert windows.x[:, 0, 1:].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert windows.about[role].tolist() == ["011", "012"]


def test_a_region_that_the_table_lacks_is_refused(write: Write) -> None:
    with pytest.raises(TableError, match="column 'province': found no such column"):
        infer_schema(write(REGIONS), label="bad", company="id", region="province")


def test_a_table_without_a_region_is_described_as_before_there_was_the_role(write: Write, tmp_path: Path) -> None:
    path = write(REGIONS)
    said = LOAN_SCHEMA.as_dict()
    assert set(said) == {
        *("schema", "schema_sha256", "columns", "label", "company", "period", "institution", "split", "incumbent"),
        *("amount", "size", "sector", "stratum", "lineage", "dictionary_sha256"),
    }
    (tmp_path / "table.json").write_text(json.dumps(said))
    assert read_schema(tmp_path / "table.json") == LOAN_SCHEMA

    cut = Schema(LOAN_SCHEMA.columns, LOAN_SCHEMA.label, company="id", region="code")
    assert cut.sha256 == LOAN_SCHEMA.sha256, "groups are no part of what institutions agree on"
    written = write_table(read_table(path, cut), tmp_path / "out", source=path)
    back = read_schema(written.with_name("table.json"))
    assert back.region == "code"
    assert read_table(written, back).frame["code"].tolist() == ["011", "012"]


def test_a_misspelt_setting_of_a_column_is_refused(write: Write) -> None:
    with pytest.raises(TableError, match="expected some of name, kind, unit"):
        infer_schema(write(LOANS), label="bad", company="id", kinds={"debt": {"kin": "ratio"}})


def test_the_label_is_refused_as_a_feature(write: Write) -> None:
    with pytest.raises(TableError, match="found the label or a key"):
        infer_schema(write(LOANS), label="bad", company="id", features=["debt", "bad"])


@pytest.mark.slow
def test_a_province_of_panels_becomes_windows_in_half_a_minute() -> None:
    companies, months = 120_000, 24
    draws = np.random.default_rng(0).standard_normal((companies * months, 28), dtype=np.float32)
    frame = pd.DataFrame(draws, columns=[f"f{number}" for number in range(28)]).assign(
        id=np.repeat([f"91330100{number:010d}" for number in range(companies)], months),
        month=np.tile([f"{2023 + month // 12}-{month % 12 + 1:02d}" for month in range(months)], companies),
        bad=0,
    )
    schema = Schema(tuple(Column(f"f{number}") for number in range(28)), Label("bad"), company="id", period="month")
    start = time.process_time()  # what other processes of the machine do is no part of it

    windows = make_windows(check(frame, schema, where="province"), length=months)

    assert windows.x.shape == (companies, months, 29)
    assert time.process_time() - start < 30
