"""SMEsD's relation edges as one row of counts, amounts and neighbours' facts for each company; no label is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from fedcredit.data.schema import Column

# The other types below 12 mirror these edge for edge; 12-19 (loan, deal, rent, creditor) are not used by the paper.
PERSONS = {"supervisors": 0, "executives": 2, "stakeholders": 4, "person_investors": 9}
COMPANIES = {"investments": 6, "company_investors": 7, "branches": 10, "head_offices": 11}
RELATIONS = PERSONS | COMPANIES
CIRCLES = ("shared", "tied")  # companies with a person in common; companies one investment or branch edge away
CIRCLE_SUMS = (
    "registered_capital",
    "lawsuits",
    "lawsuits_defendant_failed",
    "lawsuits_plaintiff_won",
    "lawsuits_loan",
    "lawsuits_sale",
    "lawsuits_corporate",
)

Links = Mapping[str, Mapping[int, Mapping[int, float]]]  # relation -> company -> person or company -> 10,000 CNY
Facts = Mapping[int, Mapping[str, float]]


def _counts(*names: str) -> list[Column]:
    return [Column(name, kind="amount", level=2) for name in names]


def _money(*names: str) -> list[Column]:
    return [Column(name, kind="amount", unit="10,000 CNY", level=2) for name in names]


def _shares(*names: str) -> list[Column]:
    return [Column(name, kind="ratio", lo=0.0, hi=1.0, level=2) for name in names]


def _circle_columns(ring: str) -> list[Column]:
    return [
        *_counts(f"{ring}_companies", f"{ring}_people", *(f"{ring}_{name}" for name in CIRCLE_SUMS)),
        *_counts(f"{ring}_registered_capital_mean", f"{ring}_registered_capital_max", f"{ring}_lawsuits_mean"),
        *_counts(f"{ring}_stakeholders_mean", f"{ring}_person_investors_mean"),
        *_shares(f"{ring}_sued", f"{ring}_same_industry", *(f"{ring}_with_{name}" for name in RELATIONS)),
        *_shares(f"{ring}_own_registered_capital", f"{ring}_own_lawsuits"),
    ]


COLUMNS: tuple[Column, ...] = (
    *_counts(*RELATIONS, *(f"{name}_{what}" for name in PERSONS for what in ("widest", "elsewhere"))),
    *_counts("people", "people_in_one_role", "people_in_two_roles", "people_in_more_roles", "people_elsewhere"),
    *_shares("people_with_several_roles"),
    *_money("invested_by_persons", "invested_by_companies", "invested_elsewhere"),
    *_shares("largest_investor", "funded_by_persons", "funded_by_companies", "funded", "placed_elsewhere"),
    *(column for ring in CIRCLES for column in _circle_columns(ring)),
)


def describe(graph: Sequence[Sequence[Any]], *, facts: Facts, industries: Mapping[int, set[str]]) -> pd.DataFrame:
    """Rows of `COLUMNS`, indexed by the companies of `facts`, from the graph of one split.

    graph: ([[source, target], ...], [type, ...], [weight, ...]).
    facts: for each company its `CIRCLE_SUMS`. A neighbour outside the split counts as one without facts.

    >>> def fact(lawsuits: float) -> dict[str, float]:
    ...     return dict.fromkeys(CIRCLE_SUMS, 0.0) | {"registered_capital": 10.0, "lawsuits": lawsuits}
    >>> graph = ([[0, 7], [1, 7], [1, 8]], [2, 4, 4], [1, 1, 1])
    >>> rows = describe(graph, facts={0: fact(0), 1: fact(3)}, industries={0: {"retail"}, 1: {"retail"}})
    >>> rows.loc[0, ["executives", "shared_companies", "shared_lawsuits", "shared_with_stakeholders"]].tolist()
    [1.0, 1.0, 3.0, 1.0]
    """
    links = _links(graph)
    people, companies_of = _meetings({name: links[name] for name in PERSONS})
    shared = {c: set().union(*(companies_of[p] for p in known)) - {c} for c, known in people.items()}
    tied: dict[int, set[int]] = defaultdict(set)
    for name in COMPANIES:
        for c, partners in links[name].items():
            tied[c].update(partners)
    breadth = {name: _meetings({name: links[name]})[1] for name in PERSONS}
    rows = {}
    for c, own in facts.items():
        row = {name: float(len(links[name].get(c, ()))) for name in RELATIONS}
        for name in PERSONS:
            held = [len(breadth[name][p]) for p in links[name].get(c, ())]
            row |= {f"{name}_widest": max(held, default=0), f"{name}_elsewhere": sum(held) - len(held)}
        row |= _roles(c, links=links, people=people.get(c, set()))
        row["people_elsewhere"] = sum(len(companies_of[p]) > 1 for p in people.get(c, ()))
        row |= _funding(c, links=links, capital=own["registered_capital"])
        for ring, circle in zip(CIRCLES, (shared, tied), strict=True):
            near = circle.get(c, set())
            row |= _circle(ring, near, c=c, facts=facts, links=links, industries=industries)
            row[f"{ring}_people"] = sum(len(people.get(d, ())) for d in near)
        rows[c] = row
    return pd.DataFrame.from_dict(rows, orient="index", dtype=float)[[column.name for column in COLUMNS]]


def _links(graph: Sequence[Sequence[Any]]) -> Links:
    name_of = {kind: name for name, kind in RELATIONS.items()}
    links: dict[str, dict[int, dict[int, float]]] = {name: defaultdict(dict) for name in RELATIONS}
    for (source, target), kind, weight in zip(*graph, strict=True):
        if kind in name_of:
            links[name_of[kind]][source][target] = float(weight)
    return {name: dict(of) for name, of in links.items()}


def _meetings(links: Links) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """The persons of each company, and the companies of each person, over the relations given."""
    people: dict[int, set[int]] = defaultdict(set)
    companies: dict[int, set[int]] = defaultdict(set)
    for of in links.values():
        for c, known in of.items():
            people[c].update(known)
            for p in known:
                companies[p].add(c)
    return people, companies


def _roles(c: int, *, links: Links, people: set[int]) -> dict[str, float]:
    held = [sum(p in links[name].get(c, ()) for name in PERSONS) for p in people]
    return {
        "people": len(held),
        "people_in_one_role": held.count(1),
        "people_in_two_roles": held.count(2),
        "people_in_more_roles": sum(n > 2 for n in held),
        "people_with_several_roles": _mean(n > 1 for n in held),
    }


def _funding(c: int, *, links: Links, capital: float) -> dict[str, float]:
    persons, companies, placed = (
        list(links[name].get(c, {}).values()) for name in ("person_investors", "company_investors", "investments")
    )
    total = sum(persons) + sum(companies)
    return {
        "invested_by_persons": sum(persons),
        "invested_by_companies": sum(companies),
        "invested_elsewhere": sum(placed),
        "largest_investor": max(persons + companies) / total if total else 0.0,
        "funded_by_persons": sum(persons) / capital,
        "funded_by_companies": sum(companies) / capital,
        "funded": total / capital,
        "placed_elsewhere": sum(placed) / capital,
    }


def _circle(
    ring: str, near: set[int], *, c: int, facts: Facts, links: Links, industries: Mapping[int, set[str]]
) -> dict[str, float]:
    nothing = dict.fromkeys(CIRCLE_SUMS, 0.0)
    known = [facts.get(d, nothing) for d in near]
    row: dict[str, float] = {"companies": len(near)}
    row |= {name: sum(d[name] for d in known) for name in CIRCLE_SUMS}
    row |= {f"{name}_mean": _mean(d[name] for d in known) for name in ("registered_capital", "lawsuits")}
    row |= {
        f"{name}_mean": _mean(len(links[name].get(d, ())) for d in near)
        for name in ("stakeholders", "person_investors")
    }
    row["registered_capital_max"] = max((d["registered_capital"] for d in known), default=0.0)
    row["sued"] = _mean(d["lawsuits"] > 0 for d in known)
    row["same_industry"] = _mean(bool(industries.get(d, set()) & industries.get(c, set())) for d in near)
    row |= {f"with_{name}": _mean(d in links[name] for d in near) for name in RELATIONS}
    for name in ("registered_capital", "lawsuits"):  # the company's part of its circle
        row[f"own_{name}"] = facts[c][name] / max(row[name] + facts[c][name], 1e-9)
    return {f"{ring}_{name}": value for name, value in row.items()}


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / len(held) if held else 0.0
