"""Loans guaranteed by the US Small Business Administration become a table of one row a loan, with its bank.

United States government data, published with Li, Mickel and Taylor, "Should This Loan be Approved or Denied?",
Journal of Statistics Education 26 (2018), CC BY 4.0. `sba` and `sba_time` are the first 22,427 loans of the national
file, `sbacase` the paper's Californian real-estate and rental loans with the authors' own split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from fedcredit.data.datasets import dataset
from fedcredit.data.features import choose
from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.errors import DatasetError

NATIONAL, CASE = "SBAnational_first22427.csv", "SBAcase.11.13.17.csv"
FILES = {"sba": NATIONAL, "sba_time": NATIONAL, "sbacase": CASE}
SPLITS = {"sba": "split_grouped", "sba_time": "split_time", "sbacase": "split_author"}
LAST_TRAIN_YEAR = 2004
TEST_SHARE = 0.3
OTHER = "OTHER"
# The banks with most loans in each file (a public count that looks at no outcome); all others are OTHER.
BANKS = {
    NATIONAL: (
        "BANK OF AMERICA NATL ASSOC",
        "CAPITAL ONE NATL ASSOC",
        "WELLS FARGO BANK NATL ASSOC",
        "PNC BANK, NATIONAL ASSOCIATION",
        "CITIZENS BANK NATL ASSOC",
        "JPMORGAN CHASE BANK NATL ASSOC",
        "ZIONS FIRST NATIONAL BANK",
        "TD BANK, NATIONAL ASSOCIATION",
        "MANUFACTURERS & TRADERS TR CO",
        "CALIFORNIA BANK & TRUST",
    ),
    CASE: (
        "BANK OF AMERICA NATL ASSOC",
        "WELLS FARGO BANK NATL ASSOC",
        "U.S. BANK NATIONAL ASSOCIATION",
        "CAPITAL ONE NATL ASSOC",
    ),
}

NUMBERS = ("ApprovalFY", "NoEmp", "NewExist", "CreateJob", "RetainedJob", "FranchiseCode", "GrAppv", "SBA_Appv")
TEXTS = ("Name", "City", "State", "Bank", "BankState", "NAICS", "ApprovalDate", "UrbanRural", "RevLineCr", "LowDoc")
# Sectors of the North American Industry Classification System; 31-33, 44-45 and 48-49 are one sector each.
SECTORS = (
    *("11", "21", "22", "23", "31", "42", "44", "48", "51", "52"),
    *("53", "54", "55", "56", "61", "62", "71", "72", "81", "92"),
)
KEY = ("Name", "City", "State")
SIZES = ("0-1", "2-4", "5-9", "10-49", "50+")
SECTOR_OF = {"32": "31", "33": "31", "45": "44", "49": "48"}
# Divisions of the US Census Bureau.
DIVISIONS = {
    "new_england": "CT ME MA NH RI VT",
    "middle_atlantic": "NJ NY PA",
    "east_north_central": "IL IN MI OH WI",
    "west_north_central": "IA KS MN MO NE ND SD",
    "south_atlantic": "DE DC FL GA MD NC SC VA WV",
    "east_south_central": "AL KY MS TN",
    "west_south_central": "AR LA OK TX",
    "mountain": "AZ CO ID MT NV NM UT WY",
    "pacific": "AK CA HI OR WA",
}
DIVISION_OF = {state: division for division, states in DIVISIONS.items() for state in states.split()}

FEATURES = (
    Column("log10_gross", "number", unit="log10 USD", lo=3.0, hi=7.0),
    Column("GrAppv", "amount", unit="USD"),
    Column("SBA_Appv", "amount", unit="USD"),
    Column("portion", "ratio", unit="SBA_Appv / GrAppv", lo=0.0, hi=1.0),
    Column("NoEmp", "amount", unit="employees"),
    Column("CreateJob", "amount", unit="jobs"),
    Column("RetainedJob", "amount", unit="jobs"),
    Column("is_new", "flag"),
    Column("is_franchise", "flag"),
    Column("UrbanRural", "category", levels=("1", "2")),
    Column("RevLineCr", "category", levels=("Y", "N", "0", "T")),
    Column("is_low_doc", "flag"),
    Column("sector", "category", levels=SECTORS),
    Column("division", "category", levels=tuple(DIVISIONS)),
    Column("is_same_state", "flag"),
    Column("approval_month", "month"),
    Column("ApprovalFY", "number", unit="fiscal year", lo=1962.0, hi=2014.0),
)
# Offered by name, not fed by default. 95 % of the file's 307 loans before 1997 were charged off (21 % of all), which
# looks like a choice of who was kept in the file; and a year extrapolates in `sba_time`. Amounts repeat log10_gross.
ON_REQUEST = ("GrAppv", "SBA_Appv", "ApprovalFY")
DEFAULT = tuple(column.name for column in FEATURES if column.name not in ON_REQUEST)

LABEL = Label(
    "default",
    definition="the loan was charged off (CHGOFF) and not paid in full (P I F)",
    performance_window="life of the loan",
    cure="none",
    censoring="loans without a final status are left out",
    acceptance="accepted",
)


def read(name: str, files: Mapping[str, Path], *, columns: Sequence[str] | None = None) -> Table:
    """Loans of `sba`, `sba_time` or `sbacase`: one row a loan with a final status; a company may have several.

    `sba` splits at random by company (30 % test), `sba_time` by approval year (train <= 2004); both columns are in
    the frame of either, and neither has a validation split: choose by company-grouped cross-validation in train.

    Raises `TrapRefused` when `columns` names one that leaks the outcome.
    """
    if name not in FILES:
        raise DatasetError("sba", found=f"name {name!r}", expected=f"one of {', '.join(FILES)}")
    dataset(name).refuse_traps(columns or ())
    features = choose(FEATURES, DEFAULT if columns is None else columns, where=name)
    frame = derive(load(files[FILES[name]]), banks=BANKS[FILES[name]])
    schema = Schema(
        columns=features,
        label=LABEL,
        company="company",
        institution="institution",
        split=SPLITS[name],
        amount="GrAppv",
        size="employees",
        sector="sector",
        region="division",
        stratum="ApprovalFY",
        lineage={"dataset": name, "file": FILES[name]},
    )
    return Table(frame, schema)


def load(path: Path) -> pd.DataFrame:
    """Loans with a final status: columns known at approval, the outcome, and `Selected` where the file has it."""
    header = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns
    wanted = [*NUMBERS, *TEXTS, "MIS_Status"]
    absent = [column for column in wanted if column not in header]
    if absent:
        raise DatasetError(path.name, found=f"no column {', '.join(absent)}", expected="the file as published")
    kept = [*wanted, *(["Selected"] if "Selected" in header else [])]
    rows = pd.read_csv(path, usecols=kept, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    rows = rows[rows["MIS_Status"] != ""].reset_index(drop=True)
    return rows.assign(**{column: pd.to_numeric(rows[column]) for column in NUMBERS})


def derive(rows: pd.DataFrame, *, banks: Sequence[str]) -> pd.DataFrame:
    """Features, keys, label and splits of loaded rows; nothing that became known after the approval."""
    company = company_ids(rows)
    two_digits = rows["NAICS"].str[:2]
    frame = pd.DataFrame(
        {
            "company": company,
            "institution": rows["Bank"].where(rows["Bank"].isin(banks), OTHER),
            "default": (rows["MIS_Status"] == "CHGOFF").astype("int64"),
            "split_grouped": np.where([in_test(one) for one in company], "test", "train"),
            "split_time": np.where(rows["ApprovalFY"] <= LAST_TRAIN_YEAR, "train", "test"),
            "ApprovalFY": rows["ApprovalFY"],
            "approval_month": approved(rows["ApprovalDate"]).dt.month,
            "GrAppv": rows["GrAppv"],
            "SBA_Appv": rows["SBA_Appv"],
            "log10_gross": np.log10(rows["GrAppv"]),
            "portion": rows["SBA_Appv"] / rows["GrAppv"],
            "NoEmp": rows["NoEmp"],
            "CreateJob": rows["CreateJob"],
            "RetainedJob": rows["RetainedJob"],
            "is_new": (rows["NewExist"] == 2).astype("int64"),
            "is_franchise": (rows["FranchiseCode"] > 1).astype("int64"),  # 0 and 1 both say no franchise
            "UrbanRural": rows["UrbanRural"],
            "RevLineCr": rows["RevLineCr"],
            "is_low_doc": (rows["LowDoc"] == "Y").astype("int64"),
            "sector": two_digits.replace(SECTOR_OF).where(two_digits != "0", "unstated"),
            "division": rows["State"].map(DIVISION_OF),
            "is_same_state": (rows["State"] == rows["BankState"]).astype("int64"),
            "bank": rows["Bank"],
            "city": rows["City"],
            "state": rows["State"],
            "employees": pd.cut(rows["NoEmp"], [-1, 1, 4, 9, 49, np.inf], labels=SIZES).astype(str),
        }
    )
    if "Selected" in rows:
        frame["split_author"] = np.where(rows["Selected"] == "1", "train", "test")
    return frame


def company_ids(rows: pd.DataFrame) -> list[str]:
    """An id of 16 hex digits for each loan: SHA-256 of the borrower's name, city and state, case and signs left aside.

    >>> rows = pd.DataFrame({"Name": ["Joe's Bar", "JOES  BAR.", "JOE S BAR"], "City": "ERIE", "State": "PA"})
    >>> first, second, third = company_ids(rows)
    >>> first == third, first == second
    (True, False)
    """
    parts = [rows[part].str.upper().str.replace(r"[^A-Z0-9]+", " ", regex=True).str.strip() for part in KEY]
    return [sha256("|".join(key).encode()).hexdigest()[:16] for key in zip(*parts, strict=True)]


def in_test(company: str) -> bool:
    """Whether the grouped split puts this company's loans into test: a draw fixed by its id."""
    return int(sha256(company.encode()).hexdigest()[:8], 16) < TEST_SHARE * 16**8


def approved(dates: pd.Series) -> pd.Series:
    """Approval dates, of `2/28/1997` in the national file and of days since 1960 (SAS) in the case file.

    >>> approved(pd.Series(["15074"])).dt.strftime("%Y-%m-%d").tolist()
    ['2001-04-09']
    """
    if dates.str.contains("/").any():
        return pd.to_datetime(dates, format="%m/%d/%Y")
    return pd.to_datetime(pd.to_numeric(dates), unit="D", origin="1960-01-01")
