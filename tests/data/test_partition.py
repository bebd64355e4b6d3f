"""Institutions out of companies: whole companies, cut points from training rows, the same on every machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fedcredit.data import partition
from fedcredit.data.splits import split_by_company
from fedcredit.data.windows import Windows
from fedcredit.errors import TableError


def windows_of(
    company: list[str], *, y: list[int] | None = None, split: list[str] | None = None, size: list[float] | None = None
) -> Windows:
    n = len(company)
    return Windows(
        x=np.zeros((n, 1, 1), dtype=np.float32),
        y=np.asarray(y or [0] * n, dtype=np.float32),
        company=np.asarray(company),
        institution=np.full(n, "all"),
        split=np.asarray(split or ["train"] * n),
        features=("debt",),
        about=pd.DataFrame({"size": size} if size else {}, index=range(n)),
        schema_sha256="",
    )


MANY = windows_of(
    [f"c{number // 2}" for number in range(2000)],
    y=[int(number // 2 % 5 == 0) for number in range(2000)],
    split=(["train"] * 14 + ["test"] * 6) * 100,
    size=[float(number // 2) for number in range(2000)],
)


def companies_stay_together(names: NDArray[np.str_]) -> bool:
    return bool(pd.Series(names).groupby(MANY.company).nunique().max() == 1)


def test_every_partition_keeps_a_companys_rows_together() -> None:
    assert companies_stay_together(partition.by_hash(MANY, 4))
    assert companies_stay_together(partition.by_size_quantile(MANY, 4, noise=0.5))
    assert companies_stay_together(partition.dirichlet(MANY, 4, alpha=1.0))
    assert companies_stay_together(partition.contiguous(MANY, 4))


def test_names_count_from_one_and_sort_as_they_count() -> None:
    assert np.unique(partition.contiguous(MANY, 2)).tolist() == ["bank-1", "bank-2"]
    assert np.unique(partition.contiguous(MANY, 10)).tolist()[-2:] == ["bank-09", "bank-10"]


def test_hashed_institutions_do_not_depend_on_the_order_of_rows() -> None:
    backwards = MANY.take(np.arange(len(MANY))[::-1])

    assert np.array_equal(partition.by_hash(backwards, 4), partition.by_hash(MANY, 4)[::-1])


def test_the_cut_points_of_size_come_from_training_rows_only() -> None:
    windows = windows_of(
        ["a", "b", "c", "d", "e"],
        split=["train", "train", "test", "test", "test"],
        size=[1.0, 100.0, 2.0, 1e6, 1e7],
    )

    assert partition.by_size_quantile(windows, 2).tolist() == ["bank-1", "bank-2", "bank-1", "bank-2", "bank-2"]


def test_noise_mixes_neighbouring_sizes_the_same_way_for_the_same_seed() -> None:
    plain, noisy = partition.by_size_quantile(MANY, 4), partition.by_size_quantile(MANY, 4, noise=0.5, seed=1)

    assert not np.array_equal(plain, noisy)
    assert np.array_equal(noisy, partition.by_size_quantile(MANY, 4, noise=0.5, seed=1))
    assert not np.array_equal(noisy, partition.by_size_quantile(MANY, 4, noise=0.5, seed=2))


def test_a_small_alpha_skews_the_labels_more_than_a_large_one() -> None:
    def spread(alpha: float) -> float:
        names = partition.dirichlet(MANY, 3, alpha=alpha, seed=0)
        rates = [float(MANY.y[names == name].mean()) for name in np.unique(names)]
        return max(rates) - min(rates)

    assert spread(1000.0) < 0.05 < spread(0.5)


def test_contiguous_blocks_have_equal_sizes_inside_each_split() -> None:
    names = partition.contiguous(
        windows_of([f"c{number}" for number in range(24)], split=["train"] * 20 + ["test"] * 4), 4
    )

    assert names[:5].tolist() == ["bank-1"] * 5
    assert names[20:].tolist() == ["bank-1", "bank-2", "bank-3", "bank-4"]


def test_an_institution_without_training_rows_is_refused() -> None:
    with pytest.raises(TableError, match="institution bank-2: found no training rows") as caught:
        partition.contiguous(windows_of(["a", "b"], split=["train", "test"]), 2)
    assert "fewer institutions" in caught.value.hint


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_institution_is_refused(n: int) -> None:
    with pytest.raises(TableError, match="expected at least 1"):
        partition.by_hash(MANY, n)


def test_alpha_must_be_positive() -> None:
    with pytest.raises(TableError, match="expected alpha > 0"):
        partition.dirichlet(MANY, 3, alpha=0.0)


def test_a_column_names_the_institutions() -> None:
    windows = windows_of(["a", "b"], size=[1.0, 2.0])

    assert partition.by_column(windows, "size").tolist() == ["1.0", "2.0"]
    assert partition.by_column(windows, "institution").tolist() == ["all", "all"]
    assert partition.assign(windows, partition.by_column(windows, "size")).institutions == ["1.0", "2.0"]


def test_regions_may_be_the_institutions() -> None:
    windows = replace(windows_of(["a", "b"]), about=pd.DataFrame({"region": ["north", "south"]}))

    assert partition.assign(windows, partition.by_column(windows, "region")).institutions == ["north", "south"]


def test_an_unknown_column_and_an_empty_name_are_refused() -> None:
    windows = windows_of(["a", "b"], size=[1.0, float("nan")])

    with pytest.raises(TableError, match="institution column"):
        partition.by_column(windows, "city")
    with pytest.raises(TableError, match="found 1 examples without one"):
        partition.by_column(windows, "size")


def test_a_split_by_company_does_not_depend_on_who_else_is_there() -> None:
    alone, together = split_by_company(np.asarray(["acme"])), split_by_company(np.asarray(["beta", "acme"]))

    assert alone[0] == together[1]
