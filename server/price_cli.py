"""`fedcredit model grade` and `price`: a PD becomes a grade and points, two grades a difference in interest."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ADVICE = "inputs are an example, no bank's terms: give your own; docs/pricing.md has the formulas"


def grade(
    pds: Annotated[list[float] | None, typer.Argument(metavar="[PD]...", help="Shares: 0.02 is 2 %.")] = None,
    as_json: Json = False,
) -> None:
    """Give the grade and the points of PDs; without one, print the master scale."""
    from fedcredit.credit.points import Points
    from fedcredit.credit.scale import MASTER

    asked = pds if pds else [one.pd for one in MASTER.grades]
    places = [MASTER.grades[int(place)] for place in MASTER.place(asked)]
    points = Points().of(asked)
    if as_json:
        rows = [
            {"pd": pd, "grade": g.name, "number": g.number, "low": g.low, "high": g.high, "points": round(float(p), 1)}
            for pd, g, p in zip(asked, places, points, strict=True)
        ]
        typer.echo(json.dumps({"scale": MASTER.name, "grades": rows}, indent=1))
        return
    typer.echo("PD %      GRADE  NUMBER  FROM %    BELOW %   POINTS")
    for pd, g, p in zip(asked, places, points, strict=True):
        typer.echo(f"{100 * pd:<9.4g} {g.name:<6} {g.number:<7} {100 * g.low:<9.4g} {100 * g.high:<9.4g} {p:.0f}")


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
