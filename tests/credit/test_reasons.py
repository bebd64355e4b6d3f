"""Reasons are ranked by what they add, hide what is above the viewer's level, and say what would change the grade."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fedcredit.credit.fields import Field, fields_of, typical_for, typical_of_dictionary
from fedcredit.credit.reasons import NOBODY, Reasons, find_reasons
from fedcredit.credit.scale import MASTER
from fedcredit.credit.sentences import as_dict, in_unit, reasons_of
from fedcredit.data.indicators import columns, indicators
from fedcredit.data.schema import Column, Label, Schema
from fedcredit.errors import ConfigError

Floats = NDArray[np.float64]
DICTIONARY = {field.name: field for field in fields_of(Schema(columns(), Label("bad"), "id"))}
DEBT, COVER, ROA, RATIO, TITLE = (
    DICTIONARY[name] for name in ("debt_ratio", "interest_cover", "roa", "current_ratio", "tech_title")
)
FIELDS = (DEBT, COVER, ROA)
# Per unit of the field, against the typical 0.6, 5 and 0.05.
WEIGHTS = {"debt_ratio": 2.0, "interest_cover": -0.25, "roa": -10.0}
TYPICAL = {"debt_ratio": 0.6, "interest_cover": 5.0, "roa": 0.05}
BASE = -3.0


def example(level: int = 3, **rest: Any) -> Reasons:
    """Three companies of a model that is a sum: a poor one, one whose return is missing, a good one."""
    values = pd.DataFrame(
        {"debt_ratio": [1.1, 0.7, 0.2], "interest_cover": [1.0, 5.0, 9.0], "roa": [0.01, None, 0.2]}, dtype=float
    )
    worth = pd.Series(WEIGHTS)
    shares = ((values - pd.Series(TYPICAL)) * worth).fillna(0.5).to_numpy()
    logit = BASE + shares.sum(axis=1)

    def pd_at(name: str) -> Callable[[NDArray[np.intp], Floats], Floats]:
        k = list(WEIGHTS).index(name)

        def pd_of(rows: NDArray[np.intp], tried: Floats) -> Floats:
            moved = logit[rows] - shares[rows, k] + WEIGHTS[name] * (tried - TYPICAL[name])
            return np.asarray(1 / (1 + np.exp(-moved)))

        return pd_of

    settings: dict[str, Any] = {
        "fields": FIELDS,
        "values": values,
        "typical": TYPICAL,
        "shares": shares,
        "pd_now": 1 / (1 + np.exp(-logit)),
        "place": MASTER.place,
        "grades": [grade.name for grade in MASTER.grades],
        "pd_at": pd_at,
        "monotone": WEIGHTS,
        "level": level,
    }
    return find_reasons(**settings | rest)


def test_reasons_are_ranked_by_what_they_add() -> None:
    poor = reasons_of(example(level=4), 0)
    assert [(r.rank, r.indicator, r.log_odds) for r in poor] == [
        (1, "debt_ratio", 1.0),  # 2 * (1.1 - 0.6)
        (2, "interest_cover", 1.0),  # 0.25 * (5 - 1)
        (3, "roa", 0.4),  # 10 * (0.05 - 0.01)
    ]
    assert reasons_of(example(level=4), 0, lowers=True) == []
    good = reasons_of(example(level=4), 2, lowers=True)
    assert [(r.indicator, r.log_odds) for r in good] == [
        ("roa", -1.5),
        ("interest_cover", -1.0),
        ("debt_ratio", -0.8),
    ]


def test_what_would_change_the_grade_is_worked_out() -> None:
    # The poor company: log-odds -3 + 2.4 = -0.6, PD 35.4 %, CC. CCC holds PDs below sqrt(.23 * .35) = 28.37 %, log-odds
    # -0.9261: 0.3261 less, which is 0.1631 of debt, 1.304 of cover, 0.03261 of return.
    poor = reasons_of(example(level=4), 0)
    assert [(r.better_value, r.better_grade) for r in poor] == [(0.936, "CCC"), (2.31, "CCC"), (0.0427, "CCC")]
    assert poor[0].text == (
        "Debt ratio is 1.1, typically 0.6: this raises the risk of default. "
        "At 0.936 in the latest period, all else equal, the grade would be CCC instead of CC."
    )


def test_reasons_in_chinese() -> None:
    poor = reasons_of(example(level=4), 0, language="zh")
    assert poor[0].text == (
        "资产负债率为1.1，典型值为0.6：提高了违约风险。若最近一期为0.936、其他不变，等级将由 CC 升为 CCC。"
    )
    assert poor[1].name == "利息保障倍数"
    assert "典型值为5 倍" in poor[1].text
    with pytest.raises(ConfigError, match="zh or en"):
        reasons_of(example(), 0, language="fr")  # type: ignore[arg-type]


def test_a_missing_indicator_is_a_reason_of_its_own() -> None:
    # -3 + 2 * 0.1 + 0 + 0.5 = -2.3, PD 9.11 %, B; at the typical return -2.8, PD 5.73 %, B+ from sqrt(.045 * .068).
    missing, debt = reasons_of(example(level=4), 1)
    assert (missing.indicator, missing.value, missing.log_odds) == ("roa", None, 0.5)
    assert (missing.better_value, missing.better_grade) == (0.05, "B+")
    assert missing.text.startswith("Return on assets is missing, typically 0.05: this raises the risk of default. At")
    zh = reasons_of(example(level=4), 1, language="zh")[0].text
    assert zh.startswith("总资产报酬率缺失，典型值为0.05：缺失提高了违约风险。若最近一期为0.05")
    assert debt.indicator == "debt_ratio"
    assert debt.rank == 2


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_field_above_the_viewers_level_is_nowhere(language: Any) -> None:
    found = example(level=3)
    assert "interest_cover" not in {field.name for field in found.fields}
    for row in range(3):
        told = json.dumps(as_dict(found, row, language=language), ensure_ascii=False)
        for word in ("interest_cover", "Interest cover", "利息"):
            assert word not in told
    assert "interest_cover" not in found.values
    assert "interest_cover" not in found.typical
    assert [r.indicator for r in reasons_of(found, 0)] == ["debt_ratio", "roa"]


def test_the_hidden_share_of_the_influence_is_told() -> None:
    told = as_dict(example(level=3), 0)
    assert told["hidden_percent"] == 42  # 1.0 of 1.0 + 1.0 + 0.4
    assert told["notes"] == [
        "A further 42 % of the influence comes from indicators above level 3, which are not shown."
    ]
    assert as_dict(example(level=3), 0, language="zh")["notes"] == ["另有 42% 的影响来自高于 3 级的指标，不予显示。"]
    assert as_dict(example(level=4), 0)["hidden_percent"] == 0
    assert as_dict(example(level=4), 0)["notes"] == []


def test_where_everything_is_hidden_nothing_is_said_but_that() -> None:
    found = example(level=2)
    assert found.fields == ()
    assert (found.raising == NOBODY).all()
    told = as_dict(found, 0)
    assert told["reasons"] == told["strengths"] == []
    assert told["hidden_percent"] == 100
    assert told["notes"][0] == "No indicator that may be shown raises the risk of default."


def test_a_level_that_does_not_exist_is_refused() -> None:
    for level in (0, 6):
        with pytest.raises(ConfigError, match="1 to 5"):
            example(level=level)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 rows, 3 columns"):
        example(shares=np.zeros((3, 2)))


def test_a_table_cannot_lower_the_level_of_an_indicator() -> None:
    schema = Schema(
        (Column("interest_cover", level=1, indicator="interest_cover"), Column("own", level=5)), Label("b"), "id"
    )
    assert [field.level for field in fields_of(schema)] == [4, 5]


def test_a_column_that_only_has_an_indicators_name_has_its_level_but_not_its_words() -> None:
    (field,) = fields_of(Schema((Column("interest_cover", unit="percent"),), Label("b"), "id"))
    assert (field.level, field.en, field.unit, field.is_movable) == (4, "interest_cover", "percent", False)


def test_a_column_that_carries_an_indicator_has_its_words_by_whatever_name() -> None:
    (field,) = fields_of(Schema((Column("zcfzl", indicator="debt_ratio"),), Label("b"), "id"))
    assert (field.name, field.zh, field.direction, field.hi) == ("zcfzl", "资产负债率", "down", 3)


def test_changes_go_the_way_that_is_better_and_stay_in_range() -> None:
    rng = np.random.default_rng(1)
    n = 400
    fields = tuple(DICTIONARY.values())
    typical = typical_of_dictionary()
    values = pd.DataFrame({f.name: _drawn(rng, f, n) for f in fields})
    sign = np.array([{"up": -1.0, "down": 1.0, "inner": 0.0}[str(f.direction)] for f in fields])
    span = np.array([float(f.hi or 0) - float(f.lo or 0) for f in fields])

    def share_of(k: int, value: Floats) -> Floats:
        f = fields[k]
        if f.direction == "inner":
            assert f.optimum is not None
            return np.asarray(6 * np.abs(value - np.clip(value, *f.optimum)) / span[k])
        return np.asarray(6 * sign[k] * (value - typical[f.name]) / span[k])

    raw = values.to_numpy(dtype=float)
    shares = np.column_stack([share_of(k, raw[:, k]) for k in range(len(fields))])
    logit = -2 + shares.sum(axis=1)

    def pd_at(name: str) -> Callable[[NDArray[np.intp], Floats], Floats]:
        k = list(DICTIONARY).index(name)
        return lambda rows, tried: 1 / (1 + np.exp(-(logit[rows] - shares[rows, k] + share_of(k, tried))))

    found = find_reasons(
        fields=fields, values=values, typical=typical, shares=shares, pd_now=1 / (1 + np.exp(-logit)),
        place=MASTER.place, grades=[g.name for g in MASTER.grades], pd_at=pd_at, level=5,
    )  # fmt: skip
    moved = np.argwhere(np.isfinite(found.better_value))
    assert len(moved) > 200
    for row, rank in moved:
        field = found.fields[found.raising[row, rank]]
        value, better = values.at[row, field.name], found.better_value[row, rank]
        assert field.lo is not None
        assert field.hi is not None
        assert field.lo <= better <= field.hi
        assert found.better_grade[row, rank] < found.grade[row]
        if field.direction == "up":
            assert better > value
        elif field.direction == "down":
            assert better < value
        else:
            assert field.optimum is not None
            assert abs(better - np.clip(better, *field.optimum)) < abs(value - np.clip(value, *field.optimum))
        if field.is_whole:
            assert better == round(better)
        placed = MASTER.place(pd_at(field.name)(np.array([row]), np.array([better])))
        assert placed[0] == found.better_grade[row, rank]


def _drawn(rng: np.random.Generator, field: Field, n: int) -> Floats:
    assert field.lo is not None
    assert field.hi is not None
    drawn = rng.uniform(field.lo, field.hi, n)
    return np.round(drawn) if field.is_whole else drawn


def test_whole_numbers_stay_whole() -> None:
    assert TITLE.is_whole
    assert not DEBT.is_whole


def test_no_change_within_the_range_is_said_so() -> None:
    stubborn = example(level=4, pd_at=lambda name: lambda rows, tried: np.full(len(rows), 0.9))
    assert reasons_of(stubborn, 0)[0].text.endswith(
        "No better value within its range 0 to 3 was found that would by itself raise the grade."
    )
    assert reasons_of(stubborn, 0, language="zh")[0].text.endswith(
        "在有效范围 0 至 3 内，仅将此项朝改善方向调整，未找到能提高等级的值。"
    )
    assert reasons_of(stubborn, 0)[0].better_value is None


def test_the_best_grade_is_said_so() -> None:
    best = example(level=4, pd_now=np.full(3, 1e-5))
    assert reasons_of(best, 0)[0].text.endswith("The grade is AAA already, the best.")


def test_a_column_without_a_known_direction_gets_no_change() -> None:
    own = fields_of(Schema((Column("x1"), Column("x2"), Column("x3")), Label("b"), "id"))
    found = example(
        level=4,
        fields=own,
        values=pd.DataFrame({"x1": [1.0, 1, 1], "x2": [1.0, 1, 1], "x3": [1.0, 1, 1]}),
        typical={"x1": 0.5, "x2": 1.0, "x3": 1.0},
    )
    assert reasons_of(found, 0)[0].text == (
        "x1 is 1, typically 0.5: this raises the risk of default. "
        "No better direction and range are known for it, so no value that would raise the grade was sought."
    )


def test_a_value_that_is_no_worse_than_typical_speaks_by_its_course() -> None:
    shares = np.array([[-1.0, 1.0, 0.5]] * 3)
    values = pd.DataFrame({"debt_ratio": [0.9] * 3, "interest_cover": [6.0] * 3, "roa": [0.0] * 3})
    found = example(level=4, shares=shares, values=values)
    cover, roa = reasons_of(found, 0)
    assert "6 times, typically 5 times: its course over the periods raises the risk" in cover.text
    assert "0, typically 0.05: this raises" in roa.text
    assert "its course over the periods lowers" in reasons_of(found, 0, lowers=True)[0].text
    assert "其近期走势提高了违约风险" in reasons_of(found, 0, language="zh")[0].text


def test_nothing_that_adds_less_than_a_hundredth_is_a_reason() -> None:
    found = example(level=4, shares=np.array([[0.009, 0.5, -0.009]] * 3))
    assert [r.indicator for r in reasons_of(found, 0)] == ["interest_cover"]
    assert reasons_of(found, 0, lowers=True) == []


def test_every_indicator_has_a_typical_value_in_its_range() -> None:
    typical = typical_of_dictionary()
    assert list(typical) == [indicator.id for indicator in indicators()]
    for indicator in indicators():
        value = typical[indicator.id]
        assert indicator.lo <= value <= indicator.hi
        if indicator.optimum is not None:
            assert indicator.optimum[0] <= value <= indicator.optimum[1]
    named = Schema((Column("leverage", indicator="debt_ratio"), Column("roa"), Column("own")), Label("b"), "id")
    assert typical_for(named) == {"leverage": 0.6}


def test_values_have_their_units() -> None:
    cases: list[tuple[str, float, str, str]] = [
        ("inv_turn_days", 72.84, "72.8 days", "72.8 天"),
        ("order_cont", 0.9167, "91.7 %", "91.7%"),
        ("tech_title", 2, "level 2", "2 级"),
        ("patent_stock", 1.4321, "index 1.43", "指数 1.43"),
        ("current_ratio", 1.9, "1.9 times", "1.9 倍"),
        ("inv_turn_days", 1234.5, "1234 days", "1234 天"),
    ]
    for name, value, en, zh in cases:
        assert in_unit(value, DICTIONARY[name], language="en") == en
        assert in_unit(value, DICTIONARY[name], language="zh") == zh
    own = Field("sales", "sales", "sales", "{CNY}", 3)
    assert in_unit(1.5, own, language="en") == "1.5 CNY"
    assert in_unit("yes", own, language="en") == "yes"
