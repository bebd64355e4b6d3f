"""FATE's credit-card files: the same columns at three institutions, or one client's columns at two."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fedcredit.data import partition
from fedcredit.data.datasets import load
from fedcredit.data.features import make_windows
from fedcredit.data.fetch import mirror_folder
from fedcredit.data.public import default_credit

needs_mirror = pytest.mark.skipif(
    mirror_folder() is None and os.environ.get("FEDCREDIT_CI") != "1",
    reason="no mirror of the public data: set FEDCREDIT_DATA_MIRROR",
)


def test_the_host_columns_follow_the_guests_whatever_the_order_of_rows(tmp_path: Path) -> None:
    guest, host = tmp_path / "guest.csv", tmp_path / "host.csv"
    guest.write_text(
        "id,y," + ",".join(f"x{n}" for n in range(13)) + "\n07,1" + ",0.5" * 13 + "\n8,0" + ",0.6" * 13 + "\n"
    )
    host.write_text("id," + ",".join(f"x{n}" for n in range(10)) + "\n8" + ",0.8" * 10 + "\n07" + ",0.7" * 10 + "\n")
    files = {"default_credit_hetero_guest.csv": guest, "default_credit_hetero_host.csv": host}

    table = default_credit.read("default_credit_hetero", files)

    assert table.frame["id"].tolist() == ["07", "8"]
    assert table.frame[["x0", "x12", "x13", "x22"]].to_numpy().tolist() == [[0.5, 0.5, 0.7, 0.7], [0.6, 0.6, 0.8, 0.8]]
    assert table.schema.institution is None


@needs_mirror
def test_homo_has_three_institutions_and_no_validation() -> None:
    windows = make_windows(load("default_credit_homo"), length=1)
    train = windows.part("train")

    assert windows.x.shape == (30_000, 1, 23)
    assert {name: len(train.of(name)) for name in train.institutions} == {"guest": 8000, "host_1": 8000, "host_2": 8000}
    assert (len(windows.part("validation")), len(windows.part("test"))) == (0, 6000)
    assert windows.y.mean() == pytest.approx(0.2212, abs=1e-4)


@needs_mirror
def test_the_parity_job_has_ten_clients_of_2400_rows_in_the_files_order() -> None:
    windows = make_windows(load("default_credit_homo"), length=1)

    names = partition.contiguous(windows, 10)[windows.split == "train"]

    assert np.unique(names, return_counts=True)[1].tolist() == [2400] * 10
    assert names[:2400].tolist() == ["bank-01"] * 2400


@needs_mirror
def test_hetero_holds_out_thirty_percent_of_clients() -> None:
    windows = make_windows(load("default_credit_hetero"), length=1)

    assert len(windows.part("test")) / 30_000 == pytest.approx(0.3, abs=0.01)
    assert len(windows.part("validation")) == 0


@needs_mirror
def test_homo_and_hetero_tell_the_same_of_a_client() -> None:
    homo, hetero = (load(f"default_credit_{kind}").frame.set_index("id") for kind in ("homo", "hetero"))
    names = [column.name for column in default_credit.COLUMNS]
    both = homo.index.intersection(hetero.index)

    assert len(both) == 30_000
    assert np.allclose(homo.loc[both, names], hetero.loc[both, names])
    assert (homo.loc[both, "y"] == hetero.loc[both, "y"]).all()
