"""The loan reader: who is a company, a bank and a test loan, and that nothing known after approval gets in."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from fedcredit.data.datasets import dataset, locate, mirror_folder
from fedcredit.data.public import sba
from fedcredit.errors import DatasetError, TableError, TrapRefused

NATIONAL_HEADER = (
    "LoanNr_ChkDgt,Name,City,State,Zip,Bank,BankState,NAICS,ApprovalDate,ApprovalFY,Term,NoEmp,NewExist,CreateJob,"
    "RetainedJob,FranchiseCode,UrbanRural,RevLineCr,LowDoc,ChgOffDate,DisbursementDate,DisbursementGross,MIS_Status,"
    "ChgOffPrinGr,GrAppv,SBA_Appv"
)
NATIONAL_LOANS = (
    "1,JOE'S BAR,ERIE,PA,,ZIONS FIRST NATIONAL BANK,UT,445310,2/28/1997,1997,84,4,2,1,0,1,0,N,Y,,,6,P I F,0,10000,8000",
    "2,Joe s Bar ,Erie,PA,1,SMALL BANK,PA,0,12/1/2004,2005,84,1,1,0,0,78760,2,Y,N,1-Jan-06,,6,CHGOFF,5,100000,50000",
    "3,OPEN LOAN INC,ERIE,PA,1,SMALL BANK,PA,0,12/1/2004,2005,84,1,1,0,0,1,2,Y,N,,,6,,0,100000,50000",
    "4,ANN'S BAR,MIAMI,FL,1,,,722410,10/1/2003,2004,84,60,0,0,0,0,1,T,N,,,6,P I F,0,1000,500",
)
CASE_HEADER = (
    "Selected,LoanNr_ChkDgt,Name,City,State,Zip,Bank,BankState,NAICS,ApprovalDate,ApprovalFY,Term,NoEmp,NewExist,"
    "CreateJob,RetainedJob,FranchiseCode,UrbanRural,RevLineCr,LowDoc,ChgOffDate,DisbursementDate,DisbursementGross,"
    "BalanceGross,MIS_Status,ChgOffPrinGr,GrAppv,SBA_Appv,New,RealEstate,Portion,Recession,daysterm,xx,Default"
)
CASE_LOAN = (
    "ANAHEIM,CA,92801,CALIFORNIA BANK & TRUST,CA,532420,15074,2001,36,1,,0,0,1,0,Y,N,,15095,3,0,P I F,0,30000,15000,"
    "0,0,0.5,0,1080,16175,0"
)


@pytest.fixture
def national(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "national.csv"
    path.write_text("\n".join([NATIONAL_HEADER, *NATIONAL_LOANS]) + "\n")
    return {sba.NATIONAL: path}


def test_a_loan_without_a_final_status_is_left_out(national: dict[str, Path]) -> None:
    assert sba.read("sba", national).frame["default"].tolist() == [0, 1, 0]


def test_spelling_does_not_part_a_company_and_its_name_does_not_stay(national: dict[str, Path]) -> None:
    frame = sba.read("sba", national).frame
    assert frame["company"].nunique() == 2
    assert frame["company"][0] == frame["company"][1]
    assert "Name" not in frame.columns
    assert frame["split_grouped"][0] == frame["split_grouped"][1]


def test_a_bank_outside_the_ten_or_unnamed_is_other(national: dict[str, Path]) -> None:
    frame = sba.read("sba", national).frame
    assert frame["institution"].tolist() == ["ZIONS FIRST NATIONAL BANK", "OTHER", "OTHER"]


def test_features_are_what_the_codes_say(national: dict[str, Path]) -> None:
    frame = sba.read("sba", national).frame
    assert frame["log10_gross"].tolist() == [4.0, 5.0, 3.0]
    assert frame["portion"].tolist() == [0.8, 0.5, 0.5]
    assert frame["is_new"].tolist() == [1, 0, 0]
    assert frame["is_franchise"].tolist() == [0, 1, 0]
    assert frame["is_low_doc"].tolist() == [1, 0, 0]
    assert frame["is_same_state"].tolist() == [0, 1, 0]
    assert frame["approval_month"].tolist() == [2, 12, 10]
    assert frame["sector"].tolist() == ["44", "unstated", "72"]
    assert frame["division"].tolist() == ["middle_atlantic", "middle_atlantic", "south_atlantic"]
    assert frame["employees"].tolist() == ["2-4", "0-1", "50+"]


def test_a_division_is_the_region_and_an_input_as_it_was(national: dict[str, Path]) -> None:
    table = sba.read("sba", national)
    assert table.schema.region == "division"
    assert "division" in table.schema.features


def test_time_split_trains_on_approvals_up_to_2004(national: dict[str, Path]) -> None:
    table = sba.read("sba_time", national)
    assert table.schema.split == "split_time"
    assert table.frame["split_time"].tolist() == ["train", "test", "train"]


def test_case_file_keeps_the_authors_split_and_reads_days_since_1960(tmp_path: Path) -> None:
    path = tmp_path / "case.csv"
    loans = [f"{selected},{n},SIMPLEX {n},{CASE_LOAN}" for n, selected in enumerate("01")]
    path.write_text("\n".join([CASE_HEADER, *loans]) + "\n", encoding="utf-8-sig")
    table = sba.read("sbacase", {sba.CASE: path})
    assert table.frame[table.schema.split].tolist() == ["test", "train"]
    assert table.frame["approval_month"].tolist() == [4, 4]
    assert table.frame["institution"].tolist() == ["OTHER", "OTHER"]


@pytest.mark.parametrize("trap", ["Term", "term", "RealEstate", "ChgOffDate", "DisbursementGross", "MIS_Status"])
def test_naming_what_was_known_only_later_is_refused_with_the_reason(national: dict[str, Path], trap: str) -> None:
    with pytest.raises(TrapRefused) as refused:
        sba.read("sba", national, columns=["NoEmp", trap])
    assert refused.value.hint


@pytest.mark.parametrize("trap", ["xx", "daysterm", "Recession", "BalanceGross"])
def test_hindsight_of_the_case_file_is_refused(tmp_path: Path, trap: str) -> None:
    with pytest.raises(TrapRefused):
        sba.read("sbacase", {sba.CASE: tmp_path / "not read.csv"}, columns=[trap])


def test_no_column_of_the_frame_is_a_trap(national: dict[str, Path]) -> None:
    traps = {trap.casefold() for trap in dataset("sba").traps}
    assert not traps & {column.casefold() for column in sba.read("sba", national).frame.columns}


def test_named_columns_come_in_the_order_asked(national: dict[str, Path]) -> None:
    assert sba.read("sba", national, columns=["portion", "NoEmp"]).schema.features == ("portion", "NoEmp")


def test_an_unknown_column_or_set_is_named(national: dict[str, Path]) -> None:
    with pytest.raises(TableError, match="Zip"):
        sba.read("sba", national, columns=["Zip"])
    with pytest.raises(DatasetError, match="sba_tme"):
        sba.read("sba_tme", national)


def test_a_file_without_a_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    pd.DataFrame({"Name": ["A"]}).to_csv(path, index=False)
    with pytest.raises(DatasetError, match=r"short\.csv: found no column ApprovalFY"):
        sba.read("sba", {sba.NATIONAL: path})


@pytest.mark.skipif(
    mirror_folder() is None and os.environ.get("FEDCREDIT_CI") != "1",
    reason="the public files are not here: set FEDCREDIT_DATA_MIRROR",
)
def test_published_file_has_the_loans_and_banks_that_are_known() -> None:
    table = sba.read("sba", {sba.NATIONAL: locate("sba", sba.NATIONAL)})
    frame = table.frame
    assert len(frame) == 22_308
    assert frame["default"].mean() == pytest.approx(0.21037, abs=1e-5)
    banks = frame["institution"].value_counts()
    assert len(banks) == 11
    assert banks["BANK OF AMERICA NATL ASSOC"] == 6_602
    assert banks.drop("OTHER").min() == 361
    assert (frame["company"].value_counts() > 1).sum() == 657
    assert not frame.groupby("company")["split_grouped"].nunique().gt(1).any()
    assert (frame["split_grouped"] == "test").mean() == pytest.approx(0.296, abs=1e-3)
    assert not frame.isna().any().any()
