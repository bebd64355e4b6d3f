"""Hidden states decide who defaults as the world says: at its rate, after its shocks, along its graph, or by luck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from fedcredit.data.worlds.fate import Economy, default_rate, simulate
from fedcredit.data.worlds.hazard import NEVER, run
from fedcredit.data.worlds.settings import HISTORY, WorldSettings
from fedcredit.data.worlds.states import blow, precursor
from fedcredit.data.worlds.truth import auc
from fedcredit.data.worlds.world import read_world
from fedcredit.errors import ConfigError


@pytest.fixture(scope="module")
def economy() -> Economy:
    return simulate(WorldSettings(companies=8000))


@pytest.fixture(scope="module")
def null() -> Economy:
    return simulate(WorldSettings(companies=8000, world="null"))


def outcome(economy: Economy, month: int) -> tuple[np.ndarray, np.ndarray]:
    alive = economy.alive()[month]
    return economy.hazard[month, alive].astype(float), economy.defaulted[alive] <= month + 12


@pytest.mark.parametrize("world", ["default", "null", "calm", "harsh"])
def test_companies_default_at_the_rate_of_the_world(world: str) -> None:
    economy = simulate(WorldSettings(companies=6000, world=world, seed=5))
    rate = default_rate(economy.firms.founded - HISTORY, economy.defaulted, months=36)
    assert rate == pytest.approx(economy.world.population.default_rate, rel=0.12)


def test_the_true_hazard_knows_much_and_not_all(economy: Economy) -> None:
    hazard, defaults = outcome(economy, 23)
    assert 0.78 < auc(defaults, hazard) < 0.87


def test_nobody_can_be_told_apart_in_the_null_world(economy: Economy, null: Economy) -> None:
    assert np.ptp(null.hazard) == 0
    risk, (_, defaults) = null.risk[23, null.alive()[23]].astype(float), outcome(null, 23)
    assert auc(defaults, risk) == pytest.approx(0.5, abs=0.03)
    # Everything that is shown has the same margins: factors of the first month are the same numbers.
    assert np.array_equal(null.path[: HISTORY + 1], economy.path[: HISTORY + 1])


def test_a_factor_that_gets_worse_raises_the_hazard(economy: Economy) -> None:
    alive = economy.alive()[23]
    for factor in range(9):
        level = economy.path[HISTORY + 23, factor, alive]
        assert spearmanr(level, economy.hazard[23, alive]).statistic < -0.1


def test_a_shock_shows_before_it_strikes(economy: Economy) -> None:
    assert economy.nation.shocks
    for shock in economy.nation.shocks:
        shows = np.flatnonzero(precursor(shock, 36) > 0)[0]
        strikes = np.flatnonzero(blow(shock, 36) > 0)[0]
        assert strikes - shows == shock.lead >= 1


def test_those_who_are_hit_default_more_often(economy: Economy) -> None:
    hit = mate = fallen = fallen_mate = 0
    for shock, exposure in zip(economy.nation.shocks, economy.exposure, strict=True):
        group = (economy.firms.region if shock.kind == "region" else economy.firms.industry) == shock.target
        group &= economy.alive()[shock.start]
        falls = economy.defaulted <= shock.start + shock.duration
        hit, fallen = hit + (group & (exposure > 0)).sum(), fallen + (group & (exposure > 0) & falls).sum()
        mate, fallen_mate = (
            mate + (group & (exposure == 0)).sum(),
            fallen_mate + (group & (exposure == 0) & falls).sum(),
        )
    assert fallen / hit > 2 * fallen_mate / mate


def test_a_partner_s_default_raises_the_hazard_of_the_next_months() -> None:
    economy = simulate(WorldSettings(companies=400, months=12, regions=2))
    seller, buyer = int(economy.edges.seller[0]), int(economy.edges.buyer[0])
    edges = replace(
        economy.edges,
        **{name: getattr(economy.edges, name)[:1] for name in ("seller", "buyer", "since", "until", "weight")},
    )
    edges = replace(edges, since=np.array([-36], np.int32), until=np.array([99], np.int32))
    risk, luck = np.zeros((6, 400), np.float32), np.ones((6, 400), np.float32)
    firms = replace(economy.firms, founded=np.zeros(400, np.int32))
    luck[1, buyer] = 0  # defaults in month 2
    hazard, defaulted, spread = run(risk, luck, firms, edges, world=economy.world, intercept=-5.0)
    assert defaulted[buyer] == 2
    assert (defaulted == 2).sum() == 1
    assert (hazard[:2, seller] == hazard[0, seller]).all()
    assert hazard[2, seller] > 5 * hazard[1, seller]
    assert hazard[2, seller] > hazard[3, seller] > hazard[5, seller] > hazard[1, seller]
    stranger = next(k for k in range(400) if k not in (seller, buyer))
    assert (hazard[:, stranger] == hazard[0, stranger]).all()
    assert (spread[:2] == 0).all()


def test_the_future_does_not_reach_back() -> None:
    """Other luck from month 10 on leaves hazard and defaults up to month 10 as they were."""
    economy = simulate(WorldSettings(companies=500, months=20, regions=3))
    rng = np.random.default_rng(0)
    luck = rng.random((20, 500), dtype=np.float32) * 0.2
    other = luck.copy()
    other[10:] = rng.random((10, 500), dtype=np.float32) * 0.2
    one, two = (
        run(economy.risk, drawn, economy.firms, economy.edges, world=economy.world, intercept=-4.0)
        for drawn in (luck, other)
    )
    assert np.array_equal(one[0][:11], two[0][:11])
    assert np.array_equal(np.minimum(one[1], 11), np.minimum(two[1], 11))
    assert not np.array_equal(one[0][11:], two[0][11:])


def test_the_graph_is_mostly_regional_heavy_tailed_and_without_loops(economy: Economy) -> None:
    edges, firms = economy.edges, economy.firms
    assert (edges.seller != edges.buyer).all()
    pairs = edges.seller.astype(np.int64) * len(firms) + edges.buyer
    assert (np.diff(pairs) > 0).all()
    regional = (firms.region[edges.seller] == firms.region[edges.buyer]).mean()
    assert regional == pytest.approx(read_world("default").graph.regional_share, abs=0.05)
    bought = np.bincount(edges.buyer, minlength=len(firms))
    assert bought.max() > 30 * np.median(bought)


def test_a_horizon_beyond_the_months_is_scaled() -> None:
    born = np.array([0, 0, 0, 0])
    assert default_rate(born, np.array([1, NEVER, NEVER, NEVER]), months=3) == pytest.approx(1 - (3 / 4) ** 6)
    assert default_rate(born, np.array([NEVER] * 4), months=1) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"companies": 0},
        {"months": 0},
        {"regions": 29},
        {"banks": 0},
        {"seed": -1},
        {"drawn": -1},
        {"last_month": "2025-13"},
        {"last_month": "2025-1"},
        {"last_month": "25"},
        {"last_month": "2500-01"},
    ],
)
def test_impossible_settings_are_refused_before_anything_is_drawn(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"economy\.{next(iter(wrong))}"):
        WorldSettings(**wrong)  # type: ignore[arg-type]
