"""The sections of a world file: what each parameter means. Values and their sources are in the YAML files."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.data.indicators import FACTOR_SIZES
from fedcredit.data.sources import sources

FACTORS = tuple(FACTOR_SIZES)
MARGINS = (
    *("debt_ratio", "current_ratio", "cash_debt_cover", "roa", "net_margin", "ar_turn_days", "inv_turn_days"),
    *("asset_turnover", "cost_share", "loan_share", "loan_rate", "cf_volatility", "cash_buffer_days", "tax_rate"),
    *("tax_arrears_ratio", "order_cont", "on_time_share", "power_growth", "headcount_growth", "paid_share"),
    *("rd_intensity", "tech_title", "patent_rate", "procure_win"),
)
NAMES = {"weights": FACTORS, "margins": MARGINS, "missing": tuple(source.table for source in sources())}


@dataclass(frozen=True)
class Population:
    """Who there is. `default_rate`: of the companies alive at a month, the share that defaults in the next 12."""

    default_rate: float
    birth_share: float  # founded within the observed months
    micro_share: float
    small_share: float  # the rest is medium
    second_bank_share: float
    region_spread: float  # standard deviation of the log size of regions
    sales_micro_cny: float  # median monthly sales by size class
    sales_small_cny: float
    sales_medium_cny: float
    sales_spread: float  # standard deviation of log sales within a class


@dataclass(frozen=True)
class States:
    """Standard deviations of what a factor is made of, and the monthly persistence of its moving parts."""

    common: float  # one solvency for all nine factors
    own: float  # of the company and factor, constant
    moving: float
    persistence: float
    momentum: float  # of cash and of activity, shared by three factors each
    momentum_persistence: float
    cycles: float  # regional, industrial
    cycle_persistence: float


@dataclass(frozen=True)
class Hazard:
    """How states move the logit of the monthly hazard; `strength` scales all of it, 0 makes a null world."""

    strength: float
    levels: float
    trends: float
    interactions: float
    hidden: float  # shown by no indicator
    youth: float  # extra logit of a company founded less than two years ago


@dataclass(frozen=True)
class Shocks:
    """Dated blows to a region or industry: `size` on the logit of those hit, after `lead_months` of precursors."""

    per_year: float
    size: float
    lead_months: float
    duration_months: float
    hit_share: float
    power_drop: float  # log change at full effect
    inventory_rise: float
    logistics_drop: float
    invoice_drop: float


@dataclass(frozen=True)
class Contagion:
    """A partner's default raises the logit by `seller` or `buyer` times its trade share, fading by `decay` a month."""

    seller: float  # the company that sold to the failed one
    buyer: float  # the company that bought from it
    decay: float
    visible: float  # loss of cash, activity and supply chain factors, in their standard deviations


@dataclass(frozen=True)
class Graph:
    """Who sells to whom."""

    partners: float  # median number of buyers at a time
    partners_spread: float  # standard deviation of its log
    regional_share: float
    attraction_spread: float  # of the log attraction of a buyer: heavy tail of in-degrees
    assortativity: float  # share of partners picked for a solvency like the own
    renewal: float  # new buyers of six months / buyers
    regularity: float  # chance that a living relation brings an invoice in a month


@dataclass(frozen=True)
class Activity:
    """Sales by month: yearly growth and what moves it, seasons, noise."""

    growth: float
    growth_spread: float  # per standard deviation of the growth factor
    growth_trading: float  # per standard deviation of the trading factor
    level_trading: float  # log sales per standard deviation of the trading factor
    season: float
    noise: float
    collapse: float  # activity left in each month after a default, as a share of the month before


@dataclass(frozen=True)
class Signals:
    """An indicator's standard score = factor * its factor + own * constant + noise * AR(1)."""

    factor: float
    own: float
    noise: float
    persistence: float


@dataclass(frozen=True)
class Margin:
    """Centre and spread of a quantity in its unit; the code that draws it says whether it is normal, log, share ..."""

    centre: float
    spread: float


@dataclass(frozen=True)
class Holders:
    """Shares of companies that have a thing at all."""

    loan: float
    exporter: float  # of manufacturing, wholesale and agriculture
    logistics: float  # of goods industries
    gas: float  # of manufacturing and catering
    patents: float  # of manufacturing, software and services
    research: float  # file research expenses, same industries
    bidder: float
    regulated: float  # has environmental ratings, of agriculture, manufacturing and construction


@dataclass(frozen=True)
class Records:
    """Yearly rates of recorded events of a company at the mean of its factor, and how much the factor moves them."""

    suits: float
    penalties: float
    bids: float
    pledges: float
    sensitivity: float  # log rate per standard deviation of governance
    late_payments: float  # monthly chance of a delay below 60 days that is made good
    arrears_after_default: float  # enforcement cases in the three months after a default


@dataclass(frozen=True)
class Delivery:
    """How rows reach the institution: later than they are valid, twice, corrected, or not at all."""

    delay_factor: float  # times the source's delay_days
    delay_spread: float  # standard deviation of its log
    late_share: float
    late_days: float  # mean further delay of late rows
    duplicate_share: float
    correction_share: float
    correction_size: float
    missing_months: float


@dataclass(frozen=True)
class Reports:
    """Annual reports: who writes one, and how risk shows in them."""

    share: float
    base_rate: float  # of a risk class that is written of a company at the mean risk
    signal: float  # logit per standard deviation of the hidden risk
    denied: float  # chance of a sentence that denies the risk, where it is not there
    boilerplate: float  # chance of a sentence on what might happen to anyone


@dataclass(frozen=True)
class Market:
    """Two sides of financing."""

    demand: float  # requests per company and month
    amount: float  # median request in months of sales
    insurers: float
