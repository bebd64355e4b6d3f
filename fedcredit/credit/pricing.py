"""A PD and a bank's terms become the interest rate that covers them, every part in basis points."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from fedcredit.credit.capital import irb_capital
from fedcredit.credit.scale import MASTER, MasterScale
from fedcredit.errors import ConfigError

BP = 10_000.0
TERM_YEARS = 1.0  # the tenor that `cost_of_funds` is quoted for


@dataclass(frozen=True)
class Terms:
    """What a bank puts in; every rate is a share a year. The defaults are an example, no bank's and no market's.

    lgd: share lost of what is owed at default. tenor_years: until the loan is paid back. cost_of_funds: of one year's
    money; term_premium: more for each further year. operating_cost: of one year, as a share of the loan.
    capital_ratio: own funds held against risk-weighted assets. return_on_capital: asked on them, before tax.
    margin: what the bank adds. sales_million_eur: the company's annual sales, for the capital; None as for a large one.
    """

    lgd: float = 0.45
    tenor_years: float = 2.5
    cost_of_funds: float = 0.02
    term_premium: float = 0.001
    operating_cost: float = 0.008
    capital_ratio: float = 0.105
    return_on_capital: float = 0.12
    margin: float = 0.003
    sales_million_eur: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            most = {"tenor_years": 50.0, "sales_million_eur": 1e9}.get(field.name, 1.0)
            if value is not None and not (0 <= value <= most):
                raise ConfigError(f"terms, {field.name}", found=str(value), expected=f"a number from 0 to {most:g}")
        if self.tenor_years == 0:
            raise ConfigError("terms, tenor_years", found="0", expected="years above 0")


@dataclass(frozen=True)
class Price:
    """The parts of a risk-based rate in basis points a year, which add up to `total_bp`.

    capital_bp is what own funds cost beyond the money they replace. requirement and risk_weight are the IRB formula's,
    own_funds the share of the loan that the bank holds.
    """

    pd: float
    expected_loss_bp: float
    capital_bp: float
    funds_bp: float
    operating_bp: float
    margin_bp: float
    total_bp: float
    correlation: float
    requirement: float
    risk_weight: float
    own_funds: float


def price(pd: float, terms: Terms | None = None) -> Price:
    """The rate at which a loan to a company of this PD earns its cost and no more than the margin.

    expected loss = PD x LGD a year: with the same hazard each year the tenor cancels, since loss and interest are both
    paid by those that are still there. capital = risk weight x capital ratio x (return asked - cost of funds).
    The tenor enters through the maturity adjustment of the capital and through the term premium.

    Raises:
        ConfigError: a PD that is no probability below 1.

    >>> found = price(0.068, Terms(lgd=0.45))
    >>> round(found.expected_loss_bp), round(found.capital_bp), round(found.total_bp)
    (306, 173, 804)
    """
    told = terms if terms is not None else Terms()
    capital = irb_capital(pd, lgd=told.lgd, tenor_years=told.tenor_years, sales_million_eur=told.sales_million_eur)
    funds = told.cost_of_funds + told.term_premium * max(0.0, told.tenor_years - TERM_YEARS)
    own = min(1.0, capital.risk_weight * told.capital_ratio)
    parts = {
        "expected_loss_bp": BP * pd * told.lgd,
        "capital_bp": BP * own * max(0.0, told.return_on_capital - funds),
        "funds_bp": BP * funds,
        "operating_bp": BP * told.operating_cost,
        "margin_bp": BP * told.margin,
    }
    return Price(
        pd=pd,
        **parts,
        total_bp=sum(parts.values()),
        correlation=capital.correlation,
        requirement=capital.requirement,
        risk_weight=capital.risk_weight,
        own_funds=own,
    )


@dataclass(frozen=True)
class Repricing:
    """Two grades' prices at the same terms; saved_bp is what the second pays less, by part and in all."""

    before: Price
    after: Price
    notches: int
    saved_bp: dict[str, float]


def reprice(before: str, after: str, *, terms: Terms | None = None, scale: MasterScale = MASTER) -> Repricing:
    """What a move between two grades is worth to the company, at the PDs that stand for the grades.

    From B+ (6.8 %) to A (.27 %) the expected loss alone falls by 6.53 % x 45 % = 294 bp.

    Raises:
        ConfigError: the scale has no such grade, or the grade is D: a company in default has no price.

    >>> found = reprice("B+", "A")
    >>> found.notches, {part: round(bp) for part, bp in found.saved_bp.items() if bp}
    (8, {'expected_loss': 294, 'capital': 120, 'total': 413})
    """
    first, second = (price(scale.grade(name).pd, terms) for name in (before, after))
    ends = [asdict(first), asdict(second)]
    saved = {key.removesuffix("_bp"): ends[0][key] - ends[1][key] for key in ends[0] if key.endswith("_bp")}
    return Repricing(first, second, scale.notches(before, after), saved)
