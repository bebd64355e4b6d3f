"""`fedcredit model grade` and `price`: a PD becomes a grade and points, two grades a difference in interest."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from fedcredit.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Cycle = Literal["through-the-cycle", "point-in-time"]
ADVICE = "inputs are an example, no bank's terms: give your own; docs/pricing.md has the formulas"


def grade(
    pds: Annotated[list[float] | None, typer.Argument(metavar="[PD]...", help="Shares: 0.02 is 2 %.")] = None,
    to: Annotated[
        Cycle | None,
        typer.Option("--to", help="Move PDs there first, from the other; asks for the rates of both."),
    ] = None,
    long_run_rate: Annotated[
        float | None, typer.Option("--long-run-rate", help="Default rate over the cycle, as a share: 0.02.")
    ] = None,
    period_rate: Annotated[
        float | None, typer.Option("--period-rate", help="Default rate of the period, as a share.")
    ] = None,
    periods: Annotated[
        Path | None, typer.Option("--periods", help="CSV with period, companies, defaults: gives both rates.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give the grade and the points of PDs; without one, print the master scale.

    With --to, PDs of one period become those through the cycle, or PDs through the cycle those of a period.
    """
    from fedcredit.credit.points import Points
    from fedcredit.credit.scale import MASTER
    from server.default_rates import moved, rates_of

    given = pds if pds else [one.pd for one in MASTER.grades]
    rates = rates_of(long_run=long_run_rate, period=period_rate, periods=periods)
    if to is None and (rates.long_run, rates.period) != (None, None):
        raise ConfigError("--to", found="rates alone", expected="through-the-cycle or point-in-time")
    asked = moved(given, to=to, rates=rates) if to else given
    places = [MASTER.grades[int(place)] for place in MASTER.place(asked)]
    points = Points().of(asked)
    if as_json:
        rows = [
            {"given": before, "pd": pd, "grade": g.name, "number": g.number, "low": g.low, "high": g.high,
             "points": round(float(p), 1)}
            for before, pd, g, p in zip(given, asked, places, points, strict=True)
        ]  # fmt: skip
        told = {"scale": MASTER.name, "to": to, "long_run_rate": rates.long_run, "period_rate": rates.period}
        typer.echo(json.dumps({**told, "grades": rows}, indent=1))
        return
    if to:
        typer.echo(f"PDs {to.replace('-', ' ')}: period {rates.period:.4g}, long run {rates.long_run:.4g}", err=True)
    typer.echo(f"{'GIVEN %   ' if to else ''}PD %      GRADE  NUMBER  FROM %    BELOW %   POINTS")
    for before, pd, g, p in zip(given, asked, places, points, strict=True):
        first = f"{100 * before:<9.4g} " if to else ""
        line = f"{100 * pd:<9.4g} {g.name:<6} {g.number:<7} {100 * g.low:<9.4g} {100 * g.high:<9.4g} {p:.0f}"
        typer.echo(first + line)


def price_grade(
    before: Annotated[str, typer.Option("--from", help="Grade before, such as B+.")],
    after: Annotated[str, typer.Option("--to", help="Grade after, such as A.")],
    lgd: Annotated[float, typer.Option("--lgd", help="Share lost at default.")] = 0.45,
    tenor: Annotated[float, typer.Option("--tenor", help="Years.")] = 2.5,
    funds: Annotated[float, typer.Option("--funds", help="Cost of one year's money, a share a year.")] = 0.02,
    premium: Annotated[float, typer.Option("--term-premium", help="More for each further year.")] = 0.001,
    operating: Annotated[float, typer.Option("--operating", help="Operating cost, a share of the loan.")] = 0.008,
    ratio: Annotated[float, typer.Option("--capital-ratio", help="Own funds to risk-weighted assets.")] = 0.105,
    asked: Annotated[float, typer.Option("--return", help="Return on own funds, before tax.")] = 0.12,
    margin: Annotated[float, typer.Option("--margin", help="What the bank adds.")] = 0.003,
    sales: Annotated[float | None, typer.Option("--sales", help="Annual sales in million EUR, for capital.")] = None,
    as_json: Json = False,
) -> None:
    """Compute what a move between two grades is worth in interest, part by part, in basis points a year."""
    from fedcredit.credit.pricing import Terms, reprice

    terms = Terms(lgd, tenor, funds, premium, operating, ratio, asked, margin, sales)
    found = reprice(before, after, terms=terms)
    typer.echo(ADVICE, err=True)
    if as_json:
        typer.echo(json.dumps({"from": before, "to": after, "terms": asdict(terms), **asdict(found)}, indent=1))
        return
    first, second = asdict(found.before), asdict(found.after)
    typer.echo(f"{'BP A YEAR':<14} {before:>8} {after:>8} {'SAVED':>8}")
    for part, saved in found.saved_bp.items():
        typer.echo(
            f"{part.replace('_', ' '):<14} {first[part + '_bp']:>8.1f} {second[part + '_bp']:>8.1f} {saved:>8.1f}"
        )
    typer.echo(f"{'PD %':<14} {100 * found.before.pd:>8.3g} {100 * found.after.pd:>8.3g} {found.notches:>+8} notches")
